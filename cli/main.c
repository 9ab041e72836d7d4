/* SPDX-License-Identifier: Apache-2.0 */
/* main.c -- mobula: finds the verb and runs it. One file a verb. */
#include <stdio.h>
#include <string.h>

#include "cli/verbs.h"

static const struct verb *const verbs[] = {
    &verb_start, &verb_stop, &verb_status, &verb_memory, &verb_list, &verb_explain, &verb_drain, &verb_wait,
    &verb_health, &verb_logs, &verb_timeline, &verb_version,
};

static void usage(FILE *to)
{
    fprintf(to, "usage: mobula VERB [options]      (mobula VERB --help says more)\n\n");
    for (size_t i = 0; i < sizeof verbs / sizeof verbs[0]; i++)
        fprintf(to, "  %-10s %.*s\n", verbs[i]->name, (int)strcspn(verbs[i]->help, "\n"), verbs[i]->help);
}

int main(int argc, char **argv)
{
    if (argc < 2 || strcmp(argv[1], "--help") == 0 || strcmp(argv[1], "-h") == 0 || strcmp(argv[1], "help") == 0) {
        usage(argc < 2 ? stderr : stdout);
        return argc < 2 ? 2 : 0;
    }
    for (size_t i = 0; i < sizeof verbs / sizeof verbs[0]; i++) {
        struct args *a;
        int code;
        if (strcmp(strcmp(argv[1], "--version") == 0 ? "version" : argv[1], verbs[i]->name) != 0)
            continue;
        if (args_parse(&a, verbs[i], argc - 2, argv + 2, &code) < 0)
            return code;
        code = verbs[i]->run(a);
        args_destroy(a);
        return code;
    }
    fprintf(stderr, "mobula: there is no verb \"%s\"\n\n", argv[1]);
    usage(stderr);
    return 2;
}
