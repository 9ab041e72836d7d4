/* SPDX-License-Identifier: Apache-2.0 */
/* test_fold.c -- what is printed of lines that workers repeat. */
#include <stdio.h>

#include "tests/unit/unit.h"
#include "worker/fold.h"

#define WINDOW 1000

static char printed[4096];
static size_t used;

static void print(void *arg, bool error, const char *head, const char *line, size_t size, unsigned repeated)
{
    (void)arg;
    used += (size_t)snprintf(printed + used, sizeof printed - used, "%s%s%.*s", error ? "!" : "", head, (int)size, line);
    if (repeated > 0)
        used += (size_t)snprintf(printed + used, sizeof printed - used, " x%u", repeated);
    used += (size_t)snprintf(printed + used, sizeof printed - used, "\n");
}

static struct mob_fold *made(const char *keep, const char *skip)
{
    struct mob_fold_config c = { .window_ns = WINDOW, .keep = keep, .skip = skip, .print = print };
    struct mob_error err;
    struct mob_fold *f = mob_fold_create(&c, &err);

    ck_assert_msg(f != NULL, "%s", err.text);
    return f;
}

static void say(struct mob_fold *f, int64_t now, uint64_t worker, const char *line)
{
    char head[16];

    snprintf(head, sizeof head, "%u:", (unsigned)worker);
    mob_fold_line(f, now, worker, false, head, line, strlen(line));
}

/* What was printed since the last call. */
static const char *said(void)
{
    static char text[sizeof printed];

    memcpy(text, printed, used);
    text[used] = '\0';
    used = 0;
    return text;
}

START_TEST(test_of_several_workers)
{
    struct mob_fold *f = made(NULL, NULL);

    ck_assert_int_eq(mob_fold_due_ns(f), INT64_MAX);
    say(f, 10, 1, "loss 1 of step 7");
    ck_assert_str_eq(said(), "1:loss 1 of step 7\n");
    ck_assert_int_eq(mob_fold_due_ns(f), 10 + WINDOW);
    say(f, 20, 1, "loss 2 of step 7");      /* its own affair */
    ck_assert_str_eq(said(), "1:loss 2 of step 7\n");
    say(f, 30, 2, "loss 3 of step 9");
    say(f, 40, 1, "loss 4 of step 9");
    say(f, 50, 2, "gain 4 of step 9");
    ck_assert_str_eq(said(), "2:gain 4 of step 9\n");
    mob_fold_turn(f, 10 + WINDOW - 1);
    ck_assert_str_eq(said(), "");
    mob_fold_turn(f, 10 + WINDOW);
    ck_assert_str_eq(said(), "1:loss 4 of step 9 x2\n");
    say(f, 1500, 3, "loss 5 of step 1");    /* still looked out for; one alone stands for itself */
    mob_fold_turn(f, 10 + 2 * WINDOW);
    ck_assert_str_eq(said(), "3:loss 5 of step 1\n");
    ck_assert_int_eq(mob_fold_due_ns(f), INT64_MAX);
    say(f, 3000, 3, "loss 6 of step 1");
    ck_assert_str_eq(said(), "3:loss 6 of step 1\n");
    mob_fold_destroy(f);
}
END_TEST

START_TEST(test_at_the_end)
{
    struct mob_fold *f = made(NULL, NULL);

    for (unsigned i = 0; i < 4; i++)
        say(f, 0, i, "equal");
    mob_fold_line(f, 0, 1, true, "e", "bad", 3);
    mob_fold_line(f, 0, 2, true, "e", "bad", 3);
    say(f, 0, 1, "");
    say(f, 0, 2, "");
    ck_assert_str_eq(said(), "0:equal\n!ebad\n1:\n2:\n");
    mob_fold_turn(f, INT64_MAX);
    ck_assert_str_eq(said(), "3:equal x3\n!ebad\n");
    ck_assert_int_eq(mob_fold_due_ns(f), INT64_MAX);
    mob_fold_destroy(f);
}
END_TEST

START_TEST(test_expressions)
{
    struct mob_fold *f = made("^all|every$", "never[0-9]");
    struct mob_fold_config bad = { .keep = "a", .skip = "a(" };
    struct mob_error err;

    for (unsigned i = 0; i < 2; i++) {
        say(f, 0, i, "all of them");
        say(f, 0, i, "not all of them");
        say(f, 0, i, "a never7");
    }
    ck_assert_str_eq(said(), "0:all of them\n0:not all of them\n1:all of them\n");
    mob_fold_destroy(f);
    ck_assert_ptr_null(mob_fold_create(&bad, &err));
    ck_assert_int_eq(err.code, MOB_ERR_INVALID);
    ck_assert_ptr_nonnull(strstr(err.text, "\"a(\""));
    mob_fold_destroy(NULL);
}
END_TEST

/* Many different lines: the oldest is told and forgotten. */
START_TEST(test_bound)
{
    struct mob_fold *f = made(NULL, NULL);
    char line[MOB_FOLD_REPEATS_MAX + 64] = "x";

    say(f, 0, 1, "first");
    say(f, 0, 2, "first");
    said();
    for (unsigned i = 0; i <= MOB_FOLD_REPEATS_MAX; i++) {
        line[i % 1000] = (char)('a' + i / 1000);
        say(f, 0, 1, line);
        ck_assert_int_eq(strstr(said(), "2:first\n") != NULL, i == MOB_FOLD_REPEATS_MAX - 1);
    }
    say(f, 0, 2, "first");
    ck_assert_str_eq(said(), "2:first\n");
    mob_fold_destroy(f);
}
END_TEST

UNIT_MAIN("fold", test_of_several_workers, test_at_the_end, test_expressions, test_bound)
