/* SPDX-License-Identifier: Apache-2.0 */
/* bad.h -- expectations of programs that do what one must not do: the call fails, with this code, and its text has these words. */
#ifndef MOB_TESTS_BAD_H
#define MOB_TESTS_BAD_H

#include <stdio.h>
#include <string.h>

#include "mobula.h"

#define REFUSED(call, code, words) bad_refused(__LINE__, #call, (call) < 0, &err, code, words)
#define REFUSED_NULL(call, code, words) bad_refused(__LINE__, #call, (call) == NULL, &err, code, words)
#define WORKS(call) bad_works(__LINE__, #call, (call) >= 0, &err)

static unsigned bad_failures;

static inline void bad_refused(int line, const char *call, int failed, const struct mob_error *err, int code, const char *words)
{
    if (failed && err->code == code && strstr(err->text, words) != NULL)
        return;
    bad_failures++;
    fprintf(stderr, "FAILED (line %d): %s: %s, code %d, not %d with '%s': %s\n", line, call, failed ? "failed" : "did not fail",
            (int)err->code, code, words, failed ? err->text : "");
}

static inline void bad_works(int line, const char *call, int worked, const struct mob_error *err)
{
    if (worked)
        return;
    bad_failures++;
    fprintf(stderr, "FAILED (line %d): %s: code %d: %s\n", line, call, (int)err->code, err->text);
}

#endif
