/* SPDX-License-Identifier: Apache-2.0 */
/* timeline.c -- mobula timeline: what ran where and when, for chrome://tracing or Perfetto. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "cli/ask.h"
#include "cli/verbs.h"

#define TIMELINE_MS 120000

static const struct option options[] = {
    { "output", "FILE", "write there instead of to stdout" },
    { "o", "FILE", "the same" },
    ASK_OPTIONS,
    { 0 },
};

static int run(const struct args *a)
{
    const char *path = args_text(a, "output") != NULL ? args_text(a, "output") : args_text(a, "o");
    struct mob_error err;
    char *text;
    size_t size;
    FILE *to = stdout;
    int failed;

    if (ask_head(a, "timeline", "", TIMELINE_MS, &text, &size, &err) < 0)
        return args_failed(&err);
    if (path != NULL && (to = fopen(path, "we")) == NULL) {
        fprintf(stderr, "mobula: cannot write %s: %s\n", path, strerror(errno));
        free(text);
        return 1;
    }
    failed = fwrite(text, 1, size, to) != size;
    failed |= (to != stdout ? fclose(to) : fflush(to)) != 0;
    free(text);
    if (failed)
        fprintf(stderr, "mobula: cannot write the timeline: %s\n", strerror(errno));
    return failed;
}

const struct verb verb_timeline = { "timeline", NULL, "print a Chrome trace of the tasks that ended", options, run };
