/* SPDX-License-Identifier: Apache-2.0 */
/* test_output.c -- what a worker prints: whole lines, bounded, the last lines of stderr. */
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "common/print_mark.h"
#include "raylet/output.h"
#include "unit.h"

static struct mob_loop *loop;
static struct mob_logs *logs;
static struct mob_output *output;
static int out, err;
static char folder[32], path[64];
static char told[32 << 20];
static size_t told_used;
static uint64_t told_dropped;
static unsigned tells;
static bool refuses;

static char page_name[MOB_PAGE_NAME_SIZE], told_names[1000];

static void name_now(void *arg, char ret_name[MOB_PAGE_NAME_SIZE])
{
    (void)arg;
    memcpy(ret_name, page_name, MOB_PAGE_NAME_SIZE);
}

static bool tell(void *arg, Mobula__Output *what)
{
    (void)arg;
    if (strlen(told_names) + strlen(what->name) + 2 < sizeof told_names)
        strcat(strcat(told_names, what->name), " ");
    ck_assert_uint_le(what->text.len, MOB_OUTPUT_TEXT_MAX);
    ck_assert_uint_le(told_used + what->text.len, sizeof told);
    if (refuses)
        return false;
    memcpy(told + told_used, what->text.data, what->text.len);
    told_used += what->text.len;
    told_dropped += what->dropped;
    tells++;
    return true;
}

static const struct mob_output_listener listener = { tell, name_now, NULL };

static void turn(void)
{
    uv_run(mob_loop_uv(loop), UV_RUN_NOWAIT);
}

/* Until the files are written. */
static void settle(void)
{
    turn();
    while (mob_logs_busy(logs))
        uv_run(mob_loop_uv(loop), UV_RUN_ONCE);
}

static void setup(void)
{
    int a[2], b[2];

    strcpy(folder, "/tmp/mobula-test-XXXXXX");
    ck_assert_ptr_nonnull(mkdtemp(folder));
    snprintf(path, sizeof path, "%s/worker-1-2", folder);
    ck_assert_int_eq(pipe2(a, O_CLOEXEC), 0);
    ck_assert_int_eq(pipe2(b, O_CLOEXEC), 0);
    out = a[1];
    err = b[1];
    loop = mob_loop_create();
    logs = mob_logs_create(loop, folder, MOB_LOGS_BYTES_MAX, MOB_LOGS_COUNT_MAX);
    output = mob_output_create(loop, a[0], b[0], logs, "worker-1-2", &listener);
}

static void teardown(void)
{
    char name[80];

    mob_output_destroy(output);
    mob_logs_destroy(logs);
    mob_loop_destroy(loop);
    close(out);
    close(err);
    snprintf(name, sizeof name, "%s.out", path);
    unlink(name);
    snprintf(name, sizeof name, "%s.err", path);
    unlink(name);
    ck_assert_int_eq(rmdir(folder), 0);
}

static void print(int fd, const char *text)
{
    ck_assert_int_eq(write(fd, text, strlen(text)), (ssize_t)strlen(text));
    turn();
}

START_TEST(test_first_line_is_told_at_once)
{
    print(out, "hello\n");
    ck_assert_uint_eq(told_used, 6);
    ck_assert_int_eq(memcmp(told, "hello\n", 6), 0);
}
END_TEST

START_TEST(test_only_whole_lines_until_the_end)
{
    print(out, "one\ntw");
    ck_assert_uint_eq(told_used, 4);
    print(out, "o\nthr");
    mob_output_finish(output);
    ck_assert_uint_eq(told_used, 11);
    ck_assert_int_eq(memcmp(told, "one\ntwo\nthr", 11), 0);
}
END_TEST

START_TEST(test_flush_tells_all_that_was_printed)
{
    char line[1000];

    memset(line, 'x', sizeof line);
    line[sizeof line - 1] = '\n';
    print(out, "first\n");               /* from here on the pace holds the rest back */
    told_used = 0;
    for (int i = 0; i < 60; i++)
        ck_assert_int_eq(write(out, line, sizeof line), (ssize_t)sizeof line);
    ck_assert_int_eq(write(err, "half", 4), 4);
    size_t left = MOB_OUTPUT_FLUSH_MAX;
    mob_output_flush(output, &left);
    ck_assert_uint_eq(left, MOB_OUTPUT_FLUSH_MAX - 60 * sizeof line - 4);
    ck_assert_uint_eq(told_used, 60 * sizeof line + 4);
    print(out, "goes on\n");
    mob_output_finish(output);
    ck_assert_uint_eq(told_used, 60 * sizeof line + 4 + 8);
    ck_assert_uint_eq(told_dropped, 0);
}
END_TEST

START_TEST(test_flush_tells_a_line_without_an_end)
{
    char part[1000];

    memset(part, 'x', sizeof part);
    for (int i = 0; i < 60; i++)
        ck_assert_int_eq(write(out, part, sizeof part), (ssize_t)sizeof part);
    turn();                             /* they wait for their line's end, and more stands in the pipe */
    for (int i = 0; i < 60; i++)
        ck_assert_int_eq(write(out, part, sizeof part), (ssize_t)sizeof part);
    size_t left = MOB_OUTPUT_FLUSH_MAX;
    mob_output_flush(output, &left);
    ck_assert_uint_eq(told_used, 120 * sizeof part);
    ck_assert_uint_eq(told_dropped, 0);
}
END_TEST

START_TEST(test_flush_is_bounded_by_bytes)
{
    size_t left = 10;

    print(out, "first\n");
    ck_assert_int_eq(write(out, "0123456789abcdef\n", 17), 17);
    ck_assert_int_eq(write(err, "0123456789abcdef\n", 17), 17);
    told_used = 0;
    mob_output_flush(output, &left);
    ck_assert_uint_eq(left, 0);
    ck_assert_uint_eq(told_used, 10);
}
END_TEST

START_TEST(test_what_is_not_taken_waits_as_far_as_there_is_room)
{
    static char lines[64][1000];
    size_t left = MOB_OUTPUT_FLUSH_MAX;

    memset(lines, 'x', sizeof lines);
    for (int i = 0; i < 64; i++)
        lines[i][999] = '\n';
    refuses = true;
    print(out, "first\n");
    for (int i = 0; i < 2; i++) {
        ck_assert_int_eq(write(out, lines, sizeof lines), (ssize_t)sizeof lines);
        turn();
    }
    ck_assert_uint_eq(told_used, 0);
    refuses = false;
    mob_output_flush(output, &left);
    ck_assert_uint_eq(memcmp(told, "first\n", 6), 0);
    ck_assert_uint_eq(told_used % 1000, 6);
    ck_assert_uint_gt(told_used, 64000);
    ck_assert_uint_eq(told_used + told_dropped, 128006);
    mob_output_flush(output, &left);
    ck_assert_uint_eq(told_used + told_dropped, 128006);
}
END_TEST

/* What "one" and nobody printed is read when "three" runs. What only looks like a mark is printed, a mark never, wherever a read ends. */
START_TEST(test_marks_say_who_printed)
{
    static const char printed[] = "1\n" MOB_PRINT_MARK "one\0" "2\n" MOB_PRINT_MARK "\0" "\0\036m3";
    size_t size = sizeof printed - 1, left = MOB_OUTPUT_FLUSH_MAX;
    char kept[100], name[80];
    FILE *f;

    strcpy(page_name, "three");
    ck_assert_int_eq(write(out, printed, (size_t)_i), _i);
    turn();
    ck_assert_int_eq(write(out, printed + _i, size - (size_t)_i), (ssize_t)size - _i);
    turn();
    mob_output_flush(output, &left);
    ck_assert_uint_eq(told_used, 8);
    ck_assert_int_eq(memcmp(told, "1\n2\n\0\036m3", 8), 0);
    if (_i == 0)
        ck_assert_str_eq(told_names, "one  three ");
    settle();
    snprintf(name, sizeof name, "%s.out", path);
    f = fopen(name, "re");
    ck_assert_ptr_nonnull(f);
    ck_assert_uint_eq(fread(kept, 1, sizeof kept, f), 8);
    ck_assert_int_eq(memcmp(kept, told, 8), 0);
    fclose(f);
}
END_TEST

/* More than a message holds, in no time: nothing of it is lost, and no line is torn. */
START_TEST(test_a_burst_is_told)
{
    char line[1000];

    memset(line, 'x', sizeof line);
    line[sizeof line - 1] = '\n';
    for (int i = 0; i < 700; i++) {
        ck_assert_int_eq(write(out, line, sizeof line), (ssize_t)sizeof line);
        turn();
        ck_assert(told_used == 0 || told[told_used - 1] == '\n');
    }
    mob_output_finish(output);
    ck_assert_uint_eq(told_dropped, 0);
    ck_assert_uint_eq(told_used, 700 * sizeof line);
}
END_TEST

/* Of what is told then, each line is one that was printed. */
START_TEST(test_too_fast_is_counted)
{
    static char lines[64][1000];
    size_t printed = 0;

    memset(lines, 'x', sizeof lines);
    for (int i = 0; i < 64; i++)
        lines[i][999] = '\n';
    for (int i = 0; i < 400; i++) {
        ck_assert_int_eq(write(out, lines, sizeof lines), (ssize_t)sizeof lines);
        printed += sizeof lines;
        turn();
    }
    mob_output_finish(output);
    ck_assert_uint_gt(told_dropped, 0);
    ck_assert_uint_eq(told_used + told_dropped, printed);
    ck_assert_uint_eq(told_used % 1000, 0);
    for (size_t i = 0; i < told_used; i += 1000)
        ck_assert_int_eq(memcmp(told + i, lines, 1000), 0);
}
END_TEST

START_TEST(test_log_file_is_bounded)
{
    char *chunk = malloc(32 << 10), name[80];
    struct stat st;

    memset(chunk, 'y', 32 << 10);
    for (unsigned sent = 0; sent < MOB_LOG_MAX + (1u << 20); sent += 32 << 10) {
        ck_assert_int_eq(write(out, chunk, 32 << 10), 32 << 10);
        settle();
        told_used = 0;
    }
    snprintf(name, sizeof name, "%s.out", path);
    ck_assert_int_eq(stat(name, &st), 0);
    ck_assert_int_eq(st.st_size, MOB_LOG_MAX);
    ck_assert_int_eq(st.st_mode & 0777, 0600);
    free(chunk);
}
END_TEST

START_TEST(test_last_lines_of_stderr)
{
    char line[32];

    ck_assert_str_eq(mob_output_finish(output), "");
    for (int i = 0; i < 100; i++) {
        snprintf(line, sizeof line, "line %d\n", i);
        print(err, line);
    }
    print(err, "no end");
    const char *tail = mob_output_finish(output);
    ck_assert_int_eq(strncmp(tail, "line 81\n", 8), 0);
    ck_assert_str_eq(tail + strlen(tail) - 6, "no end");
}
END_TEST

START_TEST(test_a_log_that_cannot_be_written_costs_nothing_else)
{
    mob_output_destroy(output);
    int a[2], b[2];
    ck_assert_int_eq(pipe2(a, O_CLOEXEC), 0);
    ck_assert_int_eq(pipe2(b, O_CLOEXEC), 0);
    close(out);
    close(err);
    out = a[1];
    err = b[1];
    output = mob_output_create(loop, a[0], b[0], logs, "no/such", &listener);
    print(out, "still told\n");
    settle();
    ck_assert_uint_eq(told_used, 11);
}
END_TEST

UNIT_CASE("output", tcase)
{
    tcase_add_checked_fixture(tcase, setup, teardown);
    UNIT_TESTS(tcase, test_first_line_is_told_at_once, test_only_whole_lines_until_the_end,
               test_flush_tells_all_that_was_printed, test_flush_tells_a_line_without_an_end, test_flush_is_bounded_by_bytes,
               test_what_is_not_taken_waits_as_far_as_there_is_room, test_a_burst_is_told, test_too_fast_is_counted,
               test_log_file_is_bounded, test_last_lines_of_stderr, test_a_log_that_cannot_be_written_costs_nothing_else);
    tcase_add_loop_test(tcase, test_marks_say_who_printed, 0, 32);
}
