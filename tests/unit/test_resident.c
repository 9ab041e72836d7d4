/* SPDX-License-Identifier: Apache-2.0 */
/* test_resident.c -- a worker's burial, with real processes and a core that is played: what the core asks for while the last frames of the
 * dead are read must not touch it after it is freed. */
#include <signal.h>

#include "played_core.h"
#include "unit.h"

static struct mob_shell shell;
static unsigned drained;

/* The dead worker's last frame breaks a rule: the core has it killed. */
static void kill_the_dead(void)
{
    struct mob_resident *buried = mob_resident_find(&shell, 1);

    drained++;
    mob_resident_kill(buried, SIGKILL);
    ck_assert_int_eq(buried->failure.code, MOB_OK);     /* nothing is posted that outlives it */
}

static int64_t tick(void *arg)
{
    (void)arg;
    return INT64_MAX;
}

static void begin(const char *program)
{
    struct mob_spawn ask = { .process = 1, .job = { 2, 9 } };
    char *folder = unit_folder();

    played.program = program;
    played.drain = kill_the_dead;
    played_shell_open(&shell, tick, folder);
    mob_spawn_worker(&shell, &ask);
    unit_folder_remove(folder);
}

static void end(void)
{
    for (int i = 0; i < 10; i++)
        uv_run(mob_loop_uv(shell.loop), UV_RUN_NOWAIT);
    ck_assert_uint_eq(played.exits, 1);
    ck_assert_uint_eq(played.exited, 1);
    ck_assert_uint_eq(shell.residents.count, 0);
    mob_ticker_destroy(shell.ticker);
    mob_logs_destroy(shell.logs);
    mob_loop_destroy(shell.loop);
    mob_map_fini(&shell.residents);
    mob_map_fini(&shell.residents_by_pid);
}

START_TEST(test_a_kill_in_the_burial)
{
    begin("/bin/true");
    mob_resident_find(&shell, 1)->stream = (struct mob_stream *)&played.tag;
    mob_reap_all(&shell);
    ck_assert_uint_eq(drained, 1);
    ck_assert_uint_eq(played.exits, 1);
    end();
}
END_TEST

START_TEST(test_a_kill_before_the_start)
{
    begin(NULL);                        /* its program does not come */
    mob_resident_kill(mob_resident_find(&shell, 1), SIGKILL);
    mob_resident_kill(mob_resident_find(&shell, 1), SIGKILL);
    ck_assert_uint_eq(played.exits, 0); /* from the loop, not from inside the core's call */
    end();
}
END_TEST

UNIT_MAIN("resident", test_a_kill_in_the_burial, test_a_kill_before_the_start)
