/* SPDX-License-Identifier: Apache-2.0 */
/* test_cli.c -- the words after a verb, who holds a port, and where logs go. */
#include <arpa/inet.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "cli/args.h"
#include "cli/print.h"
#include "common/daemon_log.h"
#include "common/holder.h"
#include "unit.h"

static int run_nothing(const struct args *a)
{
    (void)a;
    return 0;
}

static const struct option options[] = {
    { "head", NULL, "a flag" }, { "port", "N", "a number" }, { "o", "FILE", "a letter" }, { 0 },
};
static const struct verb with_operand = { "verb", "[WORD]", "does", options, run_nothing };
static const struct verb without = { "verb", NULL, "does", options, run_nothing };

static struct args *parse(const struct verb *v, char **argv, int *ret_exit)
{
    struct args *a = NULL;
    int argc = 0;

    while (argv[argc] != NULL)
        argc++;
    return args_parse(&a, v, argc, argv, ret_exit) < 0 ? NULL : a;
}
#define PARSE(verb, code, ...) parse(verb, (char *[]){ __VA_ARGS__, NULL }, code)

START_TEST(test_good_words)
{
    struct args *a;
    int64_t port = 5, other = 6;
    int code;

    ck_assert_ptr_nonnull(a = PARSE(&with_operand, &code, "--head", "--port=62", "-o", "-", "word"));
    ck_assert(args_flag(a, "head"));
    ck_assert_str_eq(args_text(a, "o"), "-");
    ck_assert_str_eq(args_operand(a), "word");
    ck_assert_int_eq(args_number(a, "port", 0, 65535, &port, NULL), 0);
    ck_assert_int_eq(port, 62);
    args_destroy(a);
    ck_assert_ptr_nonnull(a = PARSE(&without, &code, "--port", "7"));
    ck_assert(!args_flag(a, "head") && args_operand(a) == NULL && args_text(a, "o") == NULL);
    ck_assert_int_eq(args_number(a, "missing", 0, 9, &other, NULL), 0);
    ck_assert_int_eq(other, 6);
    args_destroy(a);
}
END_TEST

START_TEST(test_bad_words)
{
    int code = 0;

    ck_assert(PARSE(&without, &code, "--bogus") == NULL && code == 2);
    ck_assert(PARSE(&without, &code, "-x") == NULL && code == 2);
    ck_assert(PARSE(&without, &code, "--o=x") == NULL && code == 2);
    ck_assert(PARSE(&without, &code, "-port=1") == NULL && code == 2);
    ck_assert(PARSE(&without, &code, "--head=yes") == NULL && code == 2);
    ck_assert(PARSE(&without, &code, "--port") == NULL && code == 2);
    ck_assert(PARSE(&without, &code, "--por=1") == NULL && code == 2);
    ck_assert(PARSE(&without, &code, "word") == NULL && code == 2);
    ck_assert(PARSE(&with_operand, &code, "one", "two") == NULL && code == 2);
    ck_assert(PARSE(&without, &code, "--help") == NULL && code == 0);
}
END_TEST

START_TEST(test_bad_numbers)
{
    static char *const bad[] = { "--port=", "--port=x", "--port=1x", "--port=-1", "--port=65536", "--port=99999999999999999999" };
    struct mob_error err;
    struct args *a;
    int64_t port = 5;
    int code;

    ck_assert_ptr_nonnull(a = PARSE(&without, &code, bad[_i]));
    ck_assert_int_eq(args_number(a, "port", 0, 65535, &port, &err), -1);
    ck_assert_int_eq(err.code, MOB_ERR_INVALID);
    ck_assert_ptr_nonnull(strstr(err.text, "--port must be a whole number from 0 to 65535"));
    ck_assert_int_eq(port, 5);
    args_destroy(a);
}
END_TEST

START_TEST(test_bytes)
{
    static const struct { char *word; int64_t bytes; } good[] = {
        { "--port=64MiB", 64 << 20 }, { "--port=2GiB", INT64_C(2) << 30 }, { "--port=1.5K", 1500 }, { "--port=4096", 4096 },
    };
    static char *const bad[] = { "--port=", "--port=x", "--port=64mib", "--port=-1", "--port=0.5", "--port=1023", "--port=5GiB" };
    struct mob_error err;
    struct args *a;
    int64_t bytes = 5;
    int code;

    for (size_t i = 0; i < sizeof good / sizeof good[0]; i++) {
        ck_assert_ptr_nonnull(a = PARSE(&without, &code, good[i].word));
        ck_assert_int_eq(args_bytes(a, "port", 1024, INT64_C(4) << 30, &bytes, NULL), 0);
        ck_assert_int_eq(bytes, good[i].bytes);
        args_destroy(a);
    }
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        ck_assert_ptr_nonnull(a = PARSE(&without, &code, bad[i]));
        ck_assert_int_eq(args_bytes(a, "port", 1024, INT64_C(4) << 30, &bytes, &err), -1);
        ck_assert_int_eq(err.code, MOB_ERR_INVALID);
        ck_assert_ptr_nonnull(strstr(err.text, "--port"));
        ck_assert_int_eq(bytes, 4096);
        args_destroy(a);
    }
}
END_TEST

#define FOUR "   0: 0100007F:1838 00000000:0000 0A 00000000:00000000 00:00000000 00000000  1000        0 45123 1 0 100"
#define FOUR_ALL "   0: 00000000:1838 00000000:0000 0A 00000000:00000000 00:00000000 00000000     0        0 45123 1 0 100"
#define FOUR_IN_SIX                                                                                                             \
    "  12: 0000000000000000FFFF00000100007F:1838 00000000000000000000000000000000:0000 0A 00000000:00000000 00:00000000 00000000 " \
    "    0        0 77 1"
#define SIX                                                                                                                     \
    "  12: B80D0120000000000000000001000000:1838 00000000000000000000000000000000:0000 0A 00000000:00000000 00:00000000 00000000 " \
    "    0        0 78 1"

START_TEST(test_holder_lines)
{
    struct mob_holder h = { 0 };

    ck_assert(mob_holder_parse(FOUR, "127.0.0.1", 6200, &h));
    ck_assert(h.inode == 45123 && h.uid == 1000);
    ck_assert(mob_holder_parse(FOUR_ALL, "10.0.0.1", 6200, &h));
    ck_assert(mob_holder_parse(FOUR_IN_SIX, "127.0.0.1", 6200, &h));
    ck_assert(h.inode == 77 && h.uid == 0);
    ck_assert(mob_holder_parse(SIX, "2001:db8::1", 6200, &h));
    ck_assert(!mob_holder_parse(SIX, "2001:db8::2", 6200, &h));
    ck_assert(!mob_holder_parse(FOUR, "127.0.0.2", 6200, &h));
    ck_assert(!mob_holder_parse(FOUR, "::1", 6200, &h));
    ck_assert(!mob_holder_parse(FOUR, "127.0.0.1", 6201, &h));
    ck_assert(!mob_holder_parse("   0: 0100007F:1838 0100007F:9999 01 00000000:00000000 00:00000000 00000000     0        0 45123 1",
                                "127.0.0.1", 6200, &h));
    ck_assert(!mob_holder_parse("  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid", "::1", 6200, &h));
    ck_assert(!mob_holder_parse("", "::1", 6200, &h));
}
END_TEST

START_TEST(test_holder)
{
    struct sockaddr_in here = { .sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
    socklen_t size = sizeof here;
    int fd = socket(AF_INET, SOCK_STREAM, 0);
    char text[80], pid[32];

    ck_assert_int_eq(bind(fd, (struct sockaddr *)&here, sizeof here), 0);
    ck_assert_int_eq(getsockname(fd, (struct sockaddr *)&here, &size), 0);
    ck_assert(!mob_holder_of_port("127.0.0.1", ntohs(here.sin_port), text, sizeof text));
    ck_assert_int_eq(listen(fd, 1), 0);
    ck_assert(mob_holder_of_port("127.0.0.1", ntohs(here.sin_port), text, sizeof text));
    snprintf(pid, sizeof pid, "(pid %d)", (int)getpid());
    ck_assert_msg(strstr(text, pid) != NULL && strstr(text, "test_cli") != NULL, "%s", text);
    close(fd);
}
END_TEST

static void write_log(const char *path, const char *text)
{
    FILE *f = fopen(path, "we");

    ck_assert_ptr_nonnull(f);
    fputs(text, f);
    fclose(f);
}

START_TEST(test_logs)
{
    char run[] = "/tmp/mob_cli_XXXXXX", path[MOB_PATH_SIZE], kept[MOB_PATH_SIZE + 32], session[MOB_PATH_SIZE];
    struct mob_error err;
    int lock;

    ck_assert_ptr_nonnull(mkdtemp(run));
    setenv("XDG_RUNTIME_DIR", run, 1);
    ck_assert_int_eq(mob_daemon_log_begin("mobula-fake", path, &err), 0);
    write_log(path, "one\ntwo\n");
    mob_error_set(&err, MOB_ERR_SYSTEM, "mobula-fake ended before it served; its log says why");
    mob_daemon_log_drop(path, &err);
    ck_assert_str_eq(err.text, "mobula-fake ended before it served: two");
    ck_assert_int_eq(access(path, F_OK), -1);

    mob_error_set(&err, MOB_ERR_DENIED, "wrong token");
    write_log(path, "two\n");
    mob_daemon_log_drop(path, &err);
    ck_assert_str_eq(err.text, "wrong token");

    write_log(path, "one\n");
    ck_assert_int_eq(mob_paths_run(kept, &err), 0);
    ck_assert_int_eq(mob_paths_session(kept, "0123456789abcdef", "127.0.0.1", session, &err), 0);
    ck_assert_int_eq(mob_paths_enter(session, &lock, &err), 0);
    mob_daemon_log_keep(path, "mobula-fake", "0123456789abcdef", "127.0.0.1");
    snprintf(kept, sizeof kept, "%s/logs/mobula-fake.log", session);
    ck_assert_int_eq(access(kept, F_OK), 0);
    ck_assert_int_eq(access(path, F_OK), -1);

    ck_assert_int_eq(mob_paths_remove(session, NULL), 0);       /* it ended meanwhile: its log does not make the folder again */
    write_log(path, "one\n");
    mob_daemon_log_keep(path, "mobula-fake", "0123456789abcdef", "127.0.0.1");
    ck_assert_int_eq(access(session, F_OK), -1);
    ck_assert_int_eq(access(path, F_OK), -1);
    close(lock);
    mob_paths_remove(run, NULL);
}
END_TEST

static void print_nodes(json_t *rows)
{
    static const char *const columns[] = { "node", "state", "cpu", "store", NULL };

    print_node_table(rows, columns);
}

/* What a table prints. */
static char *printed(void (*print)(json_t *rows), const char *json)
{
    json_t *rows = json_loads(json, 0, NULL);
    char *text = NULL;
    size_t size;
    FILE *screen = stdout, *memory = open_memstream(&text, &size);

    ck_assert_ptr_nonnull(rows);
    stdout = memory;
    print(rows);
    stdout = screen;
    fclose(memory);
    json_decref(rows);
    return text;
}

/* Times as people read them; words of others on one line, without a hold on the terminal. */
START_TEST(test_task_table)
{
    char *text;

    setenv("TZ", "UTC", 1);
    tzset();
    text = printed(print_task_table, "[{\"task\":\"t-1.2-3\",\"name\":\"f\",\"state\":\"FAILED\",\"submitted_ns\":1767323045123000000,\"started_ns\":0,"
                       "\"ended_ns\":1767323046004000000,\"run_ms\":null,\"error\":\"MOB_ERR_TASK\",\"error_text\":\"no\\n\\u001b[2J\"},"
                       "{\"task\":\"t-1.2-4\",\"state\":\"RUNNING\",\"error\":\"\",\"error_text\":\"\"}]");
    ck_assert_ptr_nonnull(strstr(text, "FAILED   -     -    -        01-02 03:04:05.123  -        01-02 03:04:06.004  -       TASK: no  [2J"));
    ck_assert_ptr_nonnull(strstr(text, "t-1.2-4  -     RUNNING"));
    ck_assert_ptr_null(strchr(text, '\x1b'));
    free(text);
}
END_TEST

/* A dead node has nothing in use, and nothing to give. */
START_TEST(test_node_table)
{
    char *text = printed(print_nodes, "[{\"node\":1,\"state\":\"alive\",\"total\":{\"CPU\":4},\"available\":{\"CPU\":3.5},"
                         "\"store_used\":0,\"store_size\":1024},"
                         "{\"node\":2,\"state\":\"dead\",\"total\":{\"CPU\":4},\"available\":{}}]");

    ck_assert_ptr_nonnull(strstr(text, "1     alive  0.5/4  0B/1KiB"));
    ck_assert_ptr_nonnull(strstr(text, "2     dead   -      -"));
    free(text);
}
END_TEST

UNIT_CASE("cli", tcase)
{
    UNIT_TESTS(tcase, test_good_words, test_bad_words, test_bytes, test_task_table, test_node_table, test_holder_lines,
               test_holder, test_logs);
    tcase_add_loop_test(tcase, test_bad_numbers, 0, 6);
}
