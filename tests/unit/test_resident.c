/* SPDX-License-Identifier: Apache-2.0 */
/* test_resident.c -- a worker's burial, with real processes and a core that is played: what the core asks for while the last frames of the
 * dead are read must not touch it after it is freed. */
#include <signal.h>

#include "raylet/fork.h"
#include "raylet/resident.h"
#include "unit.h"

static struct mob_shell shell;
static struct mob_stream_tag tag;
static struct mob_resident *buried;
static unsigned drained, exits;

/* -- what is played ---------------------------------------------------------------------------------------------------------- */

/* The dead worker's last frame breaks a rule: the core has it killed. */
void mob_stream_drain(struct mob_stream *c)
{
    (void)c;
    drained++;
    buried = mob_resident_find(&shell, 1);
    mob_resident_kill(buried, SIGKILL);
    ck_assert_int_eq(buried->failure.code, MOB_OK);     /* nothing is posted that outlives it */
}

struct mob_stream_tag *mob_stream_tag(struct mob_stream *c)
{
    (void)c;
    return &tag;
}

void mob_raylet_process_exited(struct mob_raylet *r, uint32_t process, const struct mob_exit *exit)
{
    (void)r, (void)exit;
    ck_assert_uint_eq(process, 1);
    exits++;
}

void mob_raylet_prepared(struct mob_raylet *r, struct mob_address job)
{
    (void)r, (void)job;
}

void mob_raylet_send(struct mob_raylet *r, const Mobula__Envelope *e)
{
    (void)r, (void)e;
}

void mob_program_need(struct mob_programs *p, const struct mob_hash *hash, uint32_t node, struct mob_program_waiter *w)
{
    struct mob_program_file file = { .path = "/bin/true", .fd = -1, .name = "true" };

    (void)hash;
    if (node == 0 && p == NULL)
        w->ready(w, &file, NULL);
}

unsigned mob_programs_checking(const struct mob_programs *p)
{
    (void)p;
    return 1;
}

/* -- the tests --------------------------------------------------------------------------------------------------------------- */

static int64_t tick(void *arg)
{
    (void)arg;
    return INT64_MAX;
}

static void begin(uint32_t executable_node)
{
    struct mob_spawn ask = { .process = 1, .job = { 2, 9 }, .executable_node = executable_node };
    char *folder = unit_folder();

    shell.loop = mob_loop_create();
    shell.ticker = mob_ticker_create(shell.loop, tick, NULL);
    shell.forks = mob_forks_create(&shell);
    shell.logs = mob_logs_create(shell.loop, folder, MOB_LOGS_BYTES_MAX, MOB_LOGS_COUNT_MAX);
    mob_spawn_worker(&shell, &ask);
    unit_folder_remove(folder);
}

static void end(void)
{
    for (int i = 0; i < 10; i++)
        uv_run(mob_loop_uv(shell.loop), UV_RUN_NOWAIT);
    ck_assert_uint_eq(exits, 1);
    ck_assert_uint_eq(shell.residents.count, 0);
    mob_ticker_destroy(shell.ticker);
    mob_logs_destroy(shell.logs);
    mob_loop_destroy(shell.loop);
    mob_map_fini(&shell.residents);
    mob_map_fini(&shell.residents_by_pid);
}

START_TEST(test_a_kill_in_the_burial)
{
    begin(0);
    mob_resident_find(&shell, 1)->stream = (struct mob_stream *)&tag;
    mob_reap_all(&shell);
    ck_assert_uint_eq(drained, 1);
    ck_assert_uint_eq(exits, 1);
    end();
}
END_TEST

START_TEST(test_a_kill_before_the_start)
{
    begin(3);                           /* its program does not come */
    mob_resident_kill(mob_resident_find(&shell, 1), SIGKILL);
    mob_resident_kill(mob_resident_find(&shell, 1), SIGKILL);
    ck_assert_uint_eq(exits, 0);        /* from the loop, not from inside the core's call */
    end();
}
END_TEST

UNIT_MAIN("resident", test_a_kill_in_the_burial, test_a_kill_before_the_start)
