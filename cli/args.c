/* SPDX-License-Identifier: Apache-2.0 */
/* args.c -- options against a verb's table; help is made of the same table. */
#include "cli/args.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/mem.h"
#include "common/resources.h"

#define OPTIONS_MAX 32

struct args {
    const struct verb *verb;
    const char *given[OPTIONS_MAX];     /* by index in verb->options; "" for a flag that is set */
    const char *operand;
};

static void help(const struct verb *v)
{
    printf("usage: mobula %s [options]%s%s\n\n%s\n\n", v->name, v->operand != NULL ? " " : "", v->operand != NULL ? v->operand : "",
           v->help);
    for (const struct option *o = v->options; o->name != NULL; o++) {
        char left[64];
        bool letter = strlen(o->name) == 1;
        snprintf(left, sizeof left, "%s%s%s%s", letter ? "-" : "--", o->name, o->value == NULL ? "" : letter ? " " : "=",
                 o->value != NULL ? o->value : "");
        printf("  %-32s %s\n", left, o->help);
    }
}

static int find(const struct verb *v, const char *name, size_t length)
{
    for (int i = 0; v->options[i].name != NULL; i++)
        if (strlen(v->options[i].name) == length && memcmp(v->options[i].name, name, length) == 0)
            return i;
    return -1;
}

static int wrong(const struct verb *v, const char *what, const char *word)
{
    fprintf(stderr, "mobula %s: %s %s; see mobula %s --help\n", v->name, what, word, v->name);
    return -1;
}

/* Takes argv[*at], and the next word where it is its value. */
static int take(struct args *a, int argc, char **argv, int *at)
{
    const char *word = argv[*at];
    bool letter = word[1] != '-';
    const char *name = word + (letter ? 1 : 2);
    size_t length = strcspn(name, "=");
    int i = (length == 1) == letter ? find(a->verb, name, length) : -1;

    if (i < 0)
        return wrong(a->verb, "unknown option", word);
    if (a->verb->options[i].value == NULL) {
        if (name[length] == '=')
            return wrong(a->verb, "no value belongs to", word);
        a->given[i] = "";
        return 0;
    }
    if (name[length] == '=') {
        a->given[i] = name + length + 1;
        return 0;
    }
    if (*at + 1 >= argc)
        return wrong(a->verb, "a value is missing after", word);
    a->given[i] = argv[++*at];
    return 0;
}

int args_parse(struct args **ret, const struct verb *verb, int argc, char **argv, int *ret_exit)
{
    struct args *a = mob_new(struct args);

    a->verb = verb;
    *ret_exit = 2;
    for (int i = 0; i < argc; i++) {
        if (strcmp(argv[i], "--help") == 0 || strcmp(argv[i], "-h") == 0) {
            help(verb);
            *ret_exit = 0;
            goto end;
        }
        if (argv[i][0] == '-' && argv[i][1] != '\0') {
            if (take(a, argc, argv, &i) < 0)
                goto end;
        } else if (verb->operand == NULL || a->operand != NULL) {
            wrong(verb, "unexpected word", argv[i]);
            goto end;
        } else {
            a->operand = argv[i];
        }
    }
    *ret = a;
    return 0;
end:
    free(a);
    return -1;
}

void args_destroy(struct args *a)
{
    free(a);
}

static const char *given(const struct args *a, const char *name)
{
    int i = find(a->verb, name, strlen(name));

    return i < 0 ? NULL : a->given[i];
}

bool args_flag(const struct args *a, const char *name)
{
    return given(a, name) != NULL;
}

const char *args_text(const struct args *a, const char *name)
{
    return given(a, name);
}

int args_number(const struct args *a, const char *name, int64_t least, int64_t most, int64_t *ret, struct mob_error *err)
{
    const char *text = given(a, name);
    char *end;
    int64_t n;

    if (text == NULL)
        return 0;
    errno = 0;
    n = strtoll(text, &end, 10);
    if (errno != 0 || end == text || *end != '\0' || n < least || n > most)
        return mob_error_set(err, MOB_ERR_INVALID, "--%s must be a whole number from %" PRId64 " to %" PRId64 ", not \"%s\"", name,
                             least, most, text);
    *ret = n;
    return 0;
}

int args_bytes(const struct args *a, const char *name, int64_t least, int64_t most, int64_t *ret, struct mob_error *err)
{
    const char *text = given(a, name);
    char option[64];

    snprintf(option, sizeof option, "--%s", name);
    return text == NULL ? 0 : mob_bytes_parse(option, text, least, most, ret, err);
}

const char *args_operand(const struct args *a)
{
    return a->operand;
}

int args_failed(const struct mob_error *err)
{
    fprintf(stderr, "mobula: %s\n", err->text);
    return 1;
}
