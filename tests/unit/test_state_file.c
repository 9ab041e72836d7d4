/* SPDX-License-Identifier: Apache-2.0 */
/* test_state_file.c -- the file in which a head keeps its state: read back, altered, torn, used by two, removed, and without room. */
#include "unit.h"

#include <fcntl.h>
#include <signal.h>
#include <sqlite3.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "head/state_file.h"
#include "head_fake.h"

static char *folder, *path, *log_path;
static struct mob_error err;

static void setup(void)
{
    folder = unit_folder();
    path = mob_printf("%s/state.db", folder);
    log_path = mob_printf("%s-wal", path);
}

static void teardown(void)
{
    unit_folder_remove(folder);
    free(path);
    free(log_path);
}

static struct state_file *opened(void)
{
    struct state_file *s = mob_state_file_open(path, &err);

    ck_assert_msg(s != NULL, "%s", err.text);
    return s;
}

static void keep_counters(struct state_file *s, uint32_t next)
{
    Mobula__CountersRow row = MOBULA__COUNTERS_ROW__INIT;
    uint8_t bytes[16];

    row.next_node = next;
    ck_assert_int_eq(mob_state_file_keep(s, MOB_HEAD_COUNTERS, 0, bytes, mobula__counters_row__pack(&row, bytes), &err), 0);
}

/* A head with `count` nodes in the file, killed. */
static void write_by_a_head(unsigned count)
{
    int status;
    pid_t child = fork();

    if (child == 0) {
        struct state_file *s = opened();

        for (unsigned i = 1; i <= count; i++)
            keep_counters(s, i);
        raise(SIGKILL);
    }
    ck_assert_int_eq(waitpid(child, &status, 0), child);
    ck_assert(WIFSIGNALED(status));
}

/* The number that a node gets next. */
static uint32_t next_of(const struct state_file *s)
{
    struct fake f;
    struct fake_node n = { 0 };

    fake_init(&f);
    ck_assert_int_eq(mob_state_file_load(s, f.head, &err), 0);
    fake_join(&f, &n, "CPU=1");
    fake_fini(&f);
    return n.number;
}

static void alter(const char *file, off_t at, const char *bytes, size_t size)
{
    int fd = open(file, O_RDWR);

    ck_assert_int_ge(fd, 0);
    ck_assert_int_eq(pwrite(fd, bytes, size, at), (ssize_t)size);
    close(fd);
}

static off_t size_of(const char *file)
{
    struct stat st;

    return stat(file, &st) == 0 ? st.st_size : -1;
}

static void expect_refused(const char *words, enum mob_code code)
{
    ck_assert_ptr_null(mob_state_file_open(path, &err));
    ck_assert_int_eq(err.code, code);
    ck_assert_msg(strstr(err.text, words) != NULL && strstr(err.text, path) != NULL, "%s", err.text);
}

START_TEST(test_what_was_kept_is_read_after_a_kill)
{
    uint8_t cluster[16];
    struct state_file *s;

    setup();
    s = opened();
    memcpy(cluster, mob_state_file_cluster(s), sizeof cluster);
    ck_assert_uint_eq(mob_state_file_generation(s), 1);
    mob_state_file_close(s);
    write_by_a_head(7);
    s = opened();
    ck_assert_uint_eq(mob_state_file_generation(s), 3);
    ck_assert_mem_eq(mob_state_file_cluster(s), cluster, sizeof cluster);
    ck_assert_uint_eq(next_of(s), 7);
    ck_assert_int_eq(mob_state_file_keep(s, MOB_HEAD_COUNTERS, 0, NULL, 0, &err), 0);
    mob_state_file_close(s);
    s = opened();
    ck_assert_uint_eq(next_of(s), 1);
    mob_state_file_remove(s);
    ck_assert_int_eq(size_of(path), -1);
    ck_assert_int_eq(size_of(log_path), -1);
    teardown();
}
END_TEST

/* The last commit may be torn by the end of its head: it is as if it had not been. Anything before it was answered. */
START_TEST(test_a_torn_log)
{
    struct state_file *s;
    off_t before;

    setup();
    write_by_a_head(7);
    before = size_of(log_path);
    write_by_a_head(0);                 /* one more commit, of its start, over the log's end */
    ck_assert_int_gt(before, 0);
    write_by_a_head(9);
    ck_assert_int_eq(truncate(log_path, size_of(log_path) - 3000), 0);
    s = opened();
    ck_assert_uint_eq(next_of(s), 8);
    mob_state_file_close(s);
    teardown();
}
END_TEST

/* Nothing is left of it: a new cluster, and the log of its head says so. */
START_TEST(test_a_log_without_a_commit)
{
    char said[512] = "";
    FILE *log;

    setup();
    write_by_a_head(7);
    ck_assert_int_eq(truncate(log_path, 100), 0);
    log = tmpfile();
    ck_assert_int_ge(dup2(fileno(log), STDERR_FILENO), 0);
    mob_state_file_close(opened());
    rewind(log);
    ck_assert_ptr_nonnull(fgets(said, sizeof said, log));
    ck_assert_msg(strstr(said, "holds nothing that was committed: a new cluster begins") != NULL && strstr(said, path) != NULL, "%s", said);
    fclose(log);
    teardown();
}
END_TEST

START_TEST(test_an_altered_log)
{
    setup();
    write_by_a_head(9);
    alter(log_path, size_of(log_path) / 2, "altered", 7);
    expect_refused("its log", MOB_ERR_INVALID);
    expect_refused("its log", MOB_ERR_INVALID);         /* it was left as it is */
    teardown();
}
END_TEST

static void run_sql(const char *sql)
{
    sqlite3 *db;

    ck_assert_int_eq(sqlite3_open(path, &db), SQLITE_OK);
    ck_assert_int_eq(sqlite3_exec(db, sql, NULL, NULL, NULL), SQLITE_OK);
    sqlite3_close(db);
}

START_TEST(test_altered_rows)
{
    setup();
    mob_state_file_close((write_by_a_head(9), opened()));
    run_sql("UPDATE rows SET bytes = x'0d00000005'");
    expect_refused("not as it was written", MOB_ERR_INVALID);
    run_sql("UPDATE rows SET kind = 9");
    expect_refused("no known kind", MOB_ERR_INVALID);
    run_sql("DELETE FROM rows");
    expect_refused("not as it was written", MOB_ERR_INVALID);
    run_sql("DELETE FROM meta WHERE name = 'cluster'");
    expect_refused("lacks", MOB_ERR_INVALID);
    run_sql("UPDATE meta SET value = x'02000000' WHERE name = 'format'");
    expect_refused("format 2", MOB_ERR_INVALID);
    teardown();
}
END_TEST

START_TEST(test_no_state_at_all)
{
    setup();
    mob_state_file_close((write_by_a_head(9), opened()));
    alter(path, 0, "This is no database, but somebody's text of some length.", 50);
    expect_refused("damaged", MOB_ERR_INVALID);
    ck_assert_int_eq(truncate(path, 5000), 0);
    expect_refused("damaged", MOB_ERR_INVALID);
    ck_assert_int_eq(unlink(path), 0);
    ck_assert_int_eq(mkdir(path, 0700), 0);
    expect_refused("state", MOB_ERR_SYSTEM);
    teardown();
}
END_TEST

START_TEST(test_two_heads)
{
    struct state_file *s;

    setup();
    s = opened();
    if (fork() == 0) {
        expect_refused("another head", MOB_ERR_DENIED);
        _exit(0);
    }
    int status;

    ck_assert_int_gt(wait(&status), 0);
    ck_assert_int_eq(status, 0);
    keep_counters(s, 5);
    mob_state_file_remove(s);
    teardown();
}
END_TEST

START_TEST(test_removed_while_it_is_used)
{
    struct state_file *s;
    char *moved;

    setup();
    moved = mob_printf("%s.moved", folder);
    s = opened();
    keep_counters(s, 5);
    ck_assert_int_eq(unlink(path), 0);
    unlink(log_path);
    ck_assert_int_eq(mob_state_file_keep(s, MOB_HEAD_JOB, 77, "x", 1, &err), 0);
    ck_assert_int_eq(mob_state_file_keep(s, MOB_HEAD_JOB, 77, NULL, 0, &err), 0);
    mob_state_file_close(s);
    s = opened();
    ck_assert_uint_eq(next_of(s), 5);
    ck_assert_int_eq(rename(folder, moved), 0);         /* nowhere to write it */
    ck_assert_int_eq(mob_state_file_keep(s, MOB_HEAD_JOB, 77, "x", 1, &err), -1);
    ck_assert_int_eq(mob_state_file_keep(s, MOB_HEAD_JOB, 77, "x", 1, &err), -1);
    ck_assert_int_eq(mkdir(folder, 0700), 0);
    keep_counters(s, 6);
    mob_state_file_close(s);
    s = opened();
    ck_assert_uint_eq(next_of(s), 6);
    mob_state_file_close(s);
    unit_folder_remove(moved);
    teardown();
}
END_TEST

START_TEST(test_no_room)
{
    struct rlimit limit;
    struct state_file *s;

    setup();
    signal(SIGXFSZ, SIG_IGN);
    s = opened();
    keep_counters(s, 5);
    getrlimit(RLIMIT_FSIZE, &limit);
    limit.rlim_cur = 4096;
    ck_assert_int_eq(setrlimit(RLIMIT_FSIZE, &limit), 0);
    ck_assert_int_eq(mob_state_file_keep(s, MOB_HEAD_JOB, 77, "x", 1, &err), -1);
    ck_assert_ptr_nonnull(strstr(err.text, path));
    limit.rlim_cur = limit.rlim_max;
    ck_assert_int_eq(setrlimit(RLIMIT_FSIZE, &limit), 0);
    keep_counters(s, 6);
    mob_state_file_close(s);
    s = opened();
    ck_assert_uint_eq(next_of(s), 6);
    mob_state_file_close(s);
    teardown();
}
END_TEST

UNIT_MAIN("state_file", test_what_was_kept_is_read_after_a_kill, test_a_torn_log, test_a_log_without_a_commit, test_an_altered_log,
          test_altered_rows, test_no_state_at_all, test_two_heads, test_removed_while_it_is_used, test_no_room)
