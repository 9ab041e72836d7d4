/* SPDX-License-Identifier: Apache-2.0 */
/* test_launch.c -- starting daemons that behave, fail, lie, or say nothing. A daemon here is a shell script in a folder of its own. */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "common/launch.h"
#include "common/identity.h"
#include "common/loop.h"
#include "common/paths.h"
#include "unit.h"

static char folder[64];

static void setup(void)
{
    strcpy(folder, "/tmp/mob_launch_XXXXXX");
    ck_assert_ptr_nonnull(mkdtemp(folder));
    setenv("MOBULA_BIN", folder, 1);
}

static void teardown(void)
{
    mob_paths_remove(folder, NULL);
}

/* The daemon's program: `body` sees its folder as $here. */
static void daemon_is(const char *body)
{
    char path[128];
    FILE *f;

    snprintf(path, sizeof path, "%s/mobula-fake", folder);
    ck_assert_ptr_nonnull(f = fopen(path, "we"));
    fprintf(f, "#!/bin/sh\nhere=%s\n%s\n", folder, body);
    fclose(f);
    ck_assert_int_eq(chmod(path, 0700), 0);
}

static int launch_with(struct mob_launch l, struct mob_launched *ret, struct mob_error *err)
{
    memset(err, 0, sizeof *err);
    if (l.timeout_ms == 0)
        l.timeout_ms = 20000;
    return mob_launch("mobula-fake", &l, ret, err);
}

static int launch(struct mob_launched *ret, struct mob_error *err)
{
    return launch_with((struct mob_launch){ .private_fd = -1 }, ret, err);
}

static void read_note(const char *name, char *text, size_t size)
{
    char path[128];
    FILE *f;

    snprintf(path, sizeof path, "%s/%s", folder, name);
    ck_assert_ptr_nonnull(f = fopen(path, "re"));
    text[fread(text, 1, size - 1, f)] = '\0';
    fclose(f);
}

static void ck_fails(const char *body, int code, const char *part)
{
    struct mob_launched got = { .port = 4711 };
    struct mob_error err;

    daemon_is(body);
    ck_assert_int_eq(launch(&got, &err), -1);
    ck_assert_msg(err.code == code && strstr(err.text, part) != NULL, "%d: %s", err.code, err.text);
    ck_assert_uint_eq(got.port, 4711);
}

START_TEST(test_good)
{
    struct mob_launched got;
    struct mob_error err;

    daemon_is("echo '{\"ok\":true,\"ip\":\"10.0.0.1\",\"port\":6200,\"cluster\":\"abcd\",\"node\":7,\"socket\":\"/x\"}' >&3");
    ck_assert_msg(launch(&got, &err) == 0, "%s", err.text);
    ck_assert_str_eq(got.ip, "10.0.0.1");
    ck_assert_uint_eq(got.port, 6200);
    ck_assert_str_eq(got.cluster, "abcd");
    ck_assert_uint_eq(got.node, 7);
    ck_assert_str_eq(got.socket, "/x");
}
END_TEST

/* Not our child, in another session, with the promised descriptors and no others, whatever the caller left open or blocked. */
START_TEST(test_detached)
{
    const char *const options[] = { "--ip", "1.2.3.4", NULL };
    struct mob_launch l = { .options = options, .private_fd = -1 };
    struct mob_launched got;
    struct mob_error err;
    char note[256], expected[64];

    ck_assert_int_ge(dup2(open("/dev/null", O_RDONLY), 77), 0);         /* no CLOEXEC: a guest's */
    daemon_is("echo \"$*\" >$here/words\nls -l /proc/$$/fd | sed -n 's/.* \\([0-9]*\\) -> .*/\\1/p' | sort -n | tr '\\n' ' ' >$here/fds\n"
              "cut -d' ' -f6 /proc/$$/stat >$here/session\nreadlink /proc/$$/fd/0 >$here/stdin\necho '{\"ok\":true}' >&3");
    ck_assert_msg(launch_with(l, &got, &err) == 0, "%s", err.text);
    read_note("words", note, sizeof note);
    ck_assert_str_eq(note, "--ip 1.2.3.4 --ready-fd 3\n");
    read_note("fds", note, sizeof note);
    ck_assert_msg(strncmp(note, "0 1 2 3 ", 8) == 0 && strstr(note, "77 ") == NULL, "%s", note);
    read_note("session", note, sizeof note);
    snprintf(expected, sizeof expected, "%d\n", (int)getsid(0));
    ck_assert_str_ne(note, expected);
    read_note("stdin", note, sizeof note);
    ck_assert_str_eq(note, "/dev/null\n");
    ck_assert(waitpid(-1, NULL, WNOHANG | __WALL) == -1 && errno == ECHILD);
}
END_TEST

START_TEST(test_failures)
{
    ck_fails("echo '{\"ok\":false,\"error\":\"port 6200 is in use\",\"code\":15}' >&3", MOB_ERR_SYSTEM, "port 6200 is in use");
    ck_fails("echo '{\"ok\":false,\"error\":\"wrong token\",\"code\":11}' >&3", MOB_ERR_DENIED, "wrong token");
    ck_fails("exit 3", MOB_ERR_SYSTEM, "ended before it served");
    ck_fails("printf '{\"ok\":true' >&3", MOB_ERR_SYSTEM, "ended before it served");
    ck_fails("echo good morning >&3", MOB_ERR_PROTOCOL, "not understood");
    ck_fails("echo '{\"ok\":\"yes\"}' >&3", MOB_ERR_PROTOCOL, "not understood");
    ck_fails("echo '{\"ok\":true,\"port\":\"x\"}' >&3", MOB_ERR_PROTOCOL, "not understood");
    ck_fails("head -c 100000 /dev/zero | tr '\\0' x >&3", MOB_ERR_PROTOCOL, "too much");
}
END_TEST

/* A daemon that says nothing in time is ended: nobody would know of it. */
START_TEST(test_silence)
{
    struct mob_launch l = { .private_fd = -1, .timeout_ms = 500 };
    struct timespec pause = { .tv_nsec = 5000000 };
    struct mob_identity daemon;
    struct mob_launched got;
    struct mob_error err;
    char note[32];

    daemon_is("echo $$ >$here/pid; exec sleep 60");
    ck_assert_int_eq(launch_with(l, &got, &err), -1);
    ck_assert_msg(err.code == MOB_ERR_TIMEOUT, "%s", err.text);
    read_note("pid", note, sizeof note);
    while (mob_identity_of(atoi(note), &daemon, NULL) == 0)     /* the test's time-out ends a wait in vain */
        nanosleep(&pause, NULL);
}
END_TEST

START_TEST(test_log_and_private_descriptor)
{
    struct mob_launched got;
    struct mob_error err;
    char log[128], note[64] = "";
    int life[2];

    snprintf(log, sizeof log, "%s/log", folder);
    ck_assert_int_eq(pipe2(life, O_CLOEXEC), 0);
    daemon_is("echo started >&2\necho '{\"ok\":true}' >&3\nexec 3>&-\ncat <&4 >/dev/null\necho ended >&2\nmkfifo $here/over; echo x >$here/over");
    ck_assert_msg(launch_with((struct mob_launch){ .log_file = log, .private_fd = life[0] }, &got, &err) == 0, "%s", err.text);
    read_note("log", note, sizeof note);
    ck_assert_str_eq(note, "started\n");
    close(life[1]);                     /* our end of its life: now it ends */
    while (strcmp(note, "started\nended\n") != 0)
        read_note("log", note, sizeof note);
    snprintf(log, sizeof log, "%s/over", folder);
    while (access(log, F_OK) != 0)
        ;
    close(open(log, O_RDONLY | O_CLOEXEC));
    close(life[0]);
}
END_TEST

START_TEST(test_not_found)
{
    struct mob_launched got;
    struct mob_error err;

    setenv("PATH", "/nowhere::", 1);
    ck_assert_int_eq(launch(&got, &err), -1);
    ck_assert_msg(strstr(err.text, "set MOBULA_BIN") != NULL, "%s", err.text);
    daemon_is("exit 0");
    setenv("PATH", folder, 1);
    unsetenv("MOBULA_BIN");
    ck_assert_int_eq(launch(&got, &err), -1);
    ck_assert_msg(strstr(err.text, "ended before it served") != NULL, "%s", err.text);
}
END_TEST

UNIT_CASE("launch", tcase)
{
    tcase_add_checked_fixture(tcase, setup, teardown);
    tcase_set_timeout(tcase, 30);
    UNIT_TESTS(tcase, test_good, test_detached, test_failures, test_silence, test_log_and_private_descriptor, test_not_found);
}
