/* SPDX-License-Identifier: Apache-2.0 */
/* test_raylet_death.c -- the end of workers, drivers, jobs, links and nodes, and of tasks that are cancelled. */
#include <signal.h>

#include "common/event.h"
#include "raylet_fake.h"

static struct fake f;

/* A driver with one lease; returns its number. */
static uint32_t driver_with_lease(struct fake_grant *g)
{
    fake_open(&f, "CPU=2");
    uint32_t p = fake_driver(&f);
    fake_all_up(&f);
    fake_want(&f, p, (struct fake_ask){ .count = 1 });
    ck_assert(fake_grant(&f, f.process[p].link, g));
    return p;
}

/* How it ended; running a task then?; what its owner is told. */
static const struct { int status; uint64_t task; const char *text; int killed_by, signal, exit_code; } deaths[] = {
    { SIGSEGV, 5, "signal SIGSEGV", MOB_KILLED_BY_CRASH, SIGSEGV, -1 },
    { SIGABRT | 0x80, 5, "signal SIGABRT", MOB_KILLED_BY_CRASH, SIGABRT, -1 },
    { SIGKILL, 0, "signal SIGKILL", MOB_KILLED_BY_SIGNAL, SIGKILL, -1 },
    { SIGTERM, 3, "signal SIGTERM", MOB_KILLED_BY_SIGNAL, SIGTERM, -1 },
    { 3 << 8, 7, "code 3", MOB_KILLED_BY_EXIT, 0, 3 },
    { 0, 7, "code 0", MOB_KILLED_BY_EXIT, 0, 0 },
};

/* The one certificate of an error. */
static const Mobula__Death *death_of(const Mobula__Error *e)
{
    ck_assert_uint_eq(e->n_deaths, 1);
    return e->deaths[0];
}

START_TEST(test_certificate)
{
    struct fake_grant g;
    uint32_t p = driver_with_lease(&g);

    fake_runs(&f, &g, deaths[_i].task, 2);
    fake_exit(&f, g.worker, deaths[_i].status);
    Mobula__Envelope *e = fake_expect(&f, f.process[p].link, MOBULA__ENVELOPE__BODY_LEASE_OVER);
    ck_assert_int_eq(e->lease_over->cause->code, MOB_ERR_WORKER_CRASHED);
    ck_assert_int_eq(e->lease_over->claimed, deaths[_i].task != 0);
    ck_assert_uint_eq(e->lease_over->task, deaths[_i].task);
    ck_assert_ptr_nonnull(strstr(e->lease_over->cause->text, deaths[_i].text));
    ck_assert_ptr_nonnull(strstr(e->lease_over->cause->text, "3.0 MiB"));
    ck_assert_ptr_nonnull(strstr(e->lease_over->cause->text, "last words"));
    const Mobula__Death *d = death_of(e->lease_over->cause);
    ck_assert_int_eq(d->killed_by, deaths[_i].killed_by);
    ck_assert_int_eq(d->signal, deaths[_i].signal);
    ck_assert_int_eq(d->exit_code, deaths[_i].exit_code);
    ck_assert_int_eq(d->peak_memory, 3 << 20);
    ck_assert_int_eq(d->cpu_ns, 20 * FAKE_MS);
    ck_assert_str_eq(d->last_lines, "one line\nlast words");
    ck_assert_int_eq(d->attempt, e->lease_over->task != 0 ? 2 : 0);
    ck_assert_int_eq(fake_free(&f, "CPU"), 2 * MOB_UNITS);
    fake_fini(&f);
}
END_TEST

/* A worker that reported tasks of its own: the head hears that it says no more of them. Of one that did not there is nothing to say. */
START_TEST(test_end_of_an_owner_is_recorded)
{
    Mobula__Events m = MOBULA__EVENTS__INIT, *said;
    struct mob_event record = { .kind = MOB_EVENT_SUBMITTED };
    struct fake_grant g;

    driver_with_lease(&g);
    m.records.data = (uint8_t *)&record;
    m.records.len = sizeof record;
    if (_i == 1)
        fake_say(&f, f.process[g.worker].link, fake_at(FAKE_NODE, g.worker), fake_at(0, 0), MOBULA__ENVELOPE__BODY_EVENTS, &m);
    fake_forget_sent(&f);
    fake_exit(&f, g.worker, SIGKILL);
    Mobula__Envelope *e = fake_take(&f, f.head, MOBULA__ENVELOPE__BODY_EVENTS);
    ck_assert_int_eq(e != NULL, _i);
    if (e != NULL) {
        said = e->events;
        ck_assert_uint_eq(said->records.len, sizeof record);
        memcpy(&record, said->records.data, sizeof record);
        ck_assert_uint_eq(record.kind, MOB_EVENT_OWNER_OVER);
        ck_assert_uint_eq(record.owner_node, FAKE_NODE);
        ck_assert_uint_eq(record.owner_process, g.worker);
    }
    fake_fini(&f);
}
END_TEST

START_TEST(test_kernel_kills)
{
    struct fake_grant g;
    uint32_t p = driver_with_lease(&g);

    f.out_of_memory = true;
    f.core = _i == 0 ? "/tmp/core.1" : "core";
    fake_exit(&f, g.worker, _i == 0 ? SIGKILL : SIGSEGV | 0x80);
    Mobula__Envelope *e = fake_take(&f, f.process[p].link, MOBULA__ENVELOPE__BODY_LEASE_OVER);
    ck_assert_int_eq(death_of(e->lease_over->cause)->killed_by, _i == 0 ? MOB_KILLED_BY_KERNEL_MEMORY : MOB_KILLED_BY_CRASH);
    ck_assert_int_eq(strstr(e->lease_over->cause->text, "by the kernel, for want of memory") != NULL, _i == 0);
    ck_assert_str_eq(death_of(e->lease_over->cause)->core, f.core);
    ck_assert_ptr_nonnull(strstr(e->lease_over->cause->text,
                                 _i == 0 ? "; its core: /tmp/core.1;" : "; its core: core in the folder where it worked;"));
    fake_fini(&f);
}
END_TEST

START_TEST(test_worker_with_broken_socket)
{
    struct fake_grant g;
    uint32_t p = driver_with_lease(&g);

    mob_raylet_link_lost(f.raylet, f.process[g.worker].link, NULL);
    f.process[g.worker].link = 0;
    ck_assert_int_eq(f.process[g.worker].killed, SIGKILL);
    ck_assert_ptr_null(fake_take(&f, f.process[p].link, MOBULA__ENVELOPE__BODY_LEASE_OVER));
    fake_reap(&f);
    Mobula__Envelope *e = fake_expect(&f, f.process[p].link, MOBULA__ENVELOPE__BODY_LEASE_OVER);
    ck_assert_int_eq(death_of(e->lease_over->cause)->killed_by, MOB_KILLED_BY_RAYLET);
    fake_fini(&f);
}
END_TEST

START_TEST(test_driver_dies)
{
    struct fake_grant g;
    uint32_t p = driver_with_lease(&g);

    fake_want(&f, g.worker, (struct fake_ask){ .count = 1, .depth = 1 });
    fake_want(&f, p, (struct fake_ask){ .count = 9, .seen = 1 });
    fake_exit(&f, p, 0);
    ck_assert_ptr_nonnull(fake_take(&f, f.head, MOBULA__ENVELOPE__BODY_JOB_OVER));
    for (uint32_t i = 0; i < f.spawned; i++)
        ck_assert(!f.process[i].spawned || f.process[i].killed == SIGKILL);
    fake_reap(&f);
    ck_assert(mob_raylet_quiet(f.raylet));
    fake_fini(&f);
}
END_TEST

START_TEST(test_driver_dies_without_head)
{
    struct fake_grant g;
    uint32_t p = driver_with_lease(&g);

    fake_lose(&f, f.head);
    fake_exit(&f, p, 0);
    fake_pass(&f, 500);
    f.head = f.dialed;
    fake_join(&f);
    fake_tick(&f);
    ck_assert_ptr_nonnull(fake_take(&f, f.head, MOBULA__ENVELOPE__BODY_REPORT));
    ck_assert_ptr_null(fake_take(&f, f.head, MOBULA__ENVELOPE__BODY_JOB_STARTED));  /* that says it: its job is not named before */
    fake_fini(&f);
}
END_TEST

START_TEST(test_link_to_an_owner_breaks)
{
    struct fake_grant g;

    fake_open(&f, "CPU=2");
    uint64_t link = fake_peer(&f, 3);
    fake_place(&f, fake_at(3, 9), (struct fake_ask){ .count = 3 });
    fake_all_up(&f);
    ck_assert(fake_grant(&f, link, &g));
    uint64_t second = fake_peer(&f, 3);
    fake_lose(&f, second);              /* any link of the pair ends both */
    ck_assert_uint_eq(f.hung_up, link);
    ck_assert_int_eq(f.process[g.worker].killed, SIGKILL);
    fake_reap(&f);
    ck_assert(mob_raylet_quiet(f.raylet));
    fake_fini(&f);
}
END_TEST

START_TEST(test_lender_is_lost)
{
    Mobula__Grant m = MOBULA__GRANT__INIT;
    Mobula__Watch watch = MOBULA__WATCH__INIT;
    Mobula__ObjectId id = MOBULA__OBJECT_ID__INIT;
    Mobula__Address worker;

    fake_open(&f, "CPU=1");
    uint32_t p = fake_driver(&f);
    uint64_t link = fake_peer(&f, 3);
    fake_want(&f, p, (struct fake_ask){ .count = 2, .strategy = MOB_SPREAD });
    fake_tick(&f);
    fake_placed(&f, p, 0, 3, 2);
    mob_wire_put_address(&worker, fake_at(3, 50));
    m.lease = 4;
    m.worker = &worker;
    fake_say(&f, link, fake_at(3, 0), fake_at(FAKE_NODE, p), MOBULA__ENVELOPE__BODY_GRANT, &m);
    id.node = 3;
    id.process = 50;
    watch.object = &id;
    fake_say(&f, f.process[p].link, fake_at(0, 0), fake_at(3, 50), MOBULA__ENVELOPE__BODY_WATCH, &watch);
    fake_forget_sent(&f);
    fake_node_down(&f, 3, false, "silent");
    Mobula__Envelope *e = fake_expect(&f, f.process[p].link, MOBULA__ENVELOPE__BODY_LEASE_OVER);
    ck_assert_int_eq(e->lease_over->cause->code, MOB_ERR_NODE_DIED);
    ck_assert_uint_eq(e->lease_over->worker->node, 3);
    ck_assert_int_eq(death_of(e->lease_over->cause)->killed_by, MOB_KILLED_BY_NODE);
    ck_assert_str_eq(death_of(e->lease_over->cause)->node, "3");
    ck_assert_str_ne(death_of(e->lease_over->cause)->ip, "");
    ck_assert_str_eq(death_of(e->lease_over->cause)->host, "there");
    e = fake_expect(&f, f.process[p].link, MOBULA__ENVELOPE__BODY_WATCHED);
    ck_assert_int_eq(e->watched->error->code, MOB_ERR_OWNER_DIED);
    ck_assert_int_eq(fake_demand(&f), 1);       /* the one that was placed there and had not come */
    fake_fini(&f);
}
END_TEST

/* The driver is told why, and that it is its node that is gone. */
static void expect_refused(uint32_t driver, const char *text)
{
    const Mobula__Envelope *e = fake_expect(&f, f.process[driver].link, MOBULA__ENVELOPE__BODY_REFUSED);

    ck_assert_int_eq(e->refused->error->code, MOB_ERR_NODE_DIED);
    ck_assert_str_eq(e->refused->error->text, text);
}

START_TEST(test_declared_dead)
{
    struct fake_grant g;
    uint32_t driver = driver_with_lease(&g);

    fake_node_down(&f, FAKE_NODE, false, "2.5 s of silence");
    ck_assert_int_eq(f.over.code, MOB_ERR_NODE_DIED);
    ck_assert_int_eq(f.process[g.worker].killed, SIGKILL);
    expect_refused(driver, "node 2 was declared dead by the head: 2.5 s of silence");
    ck_assert_uint_eq(fake_count(&f, f.process[g.worker].link, MOBULA__ENVELOPE__BODY_REFUSED), 0);
    fake_fini(&f);
}
END_TEST

/* A driver on a node that was drained, whatever ran there. */
START_TEST(test_drained_away)
{
    struct fake_grant g;
    uint32_t driver = driver_with_lease(&g);

    fake_node_down(&f, FAKE_NODE, true, "drained: its time is over");
    expect_refused(driver, "node 2 was drained: its time is over");
    fake_fini(&f);
}
END_TEST

/* -- cancel -------------------------------------------------------------------------------------------------------------- */

static void cancel_so(uint32_t p, uint64_t lease, uint64_t task, bool force, bool alone)
{
    Mobula__Cancel m = MOBULA__CANCEL__INIT;

    m.lease = lease;
    m.task = task;
    m.attempt = 1;
    m.force = force;
    m.alone = alone;
    fake_say(&f, f.process[p].link, fake_at(FAKE_NODE, p), fake_at(FAKE_NODE, 0), MOBULA__ENVELOPE__BODY_CANCEL, &m);
}

static void cancel(uint32_t p, uint64_t lease, uint64_t task, bool force)
{
    cancel_so(p, lease, task, force, false);
}

START_TEST(test_cancel_by_steps)
{
    struct fake_grant g;
    uint32_t p = driver_with_lease(&g);

    fake_runs(&f, &g, 5, 1);
    cancel(p, g.lease, 5, false);
    ck_assert_uint_eq(f.mark_task, 5);
    fake_pass(&f, 4000);
    cancel(p, g.lease, 5, false);       /* a repeat changes nothing */
    ck_assert_int_eq(f.process[g.worker].killed, 0);
    fake_pass(&f, 1100);
    ck_assert_int_eq(f.process[g.worker].killed, SIGTERM);
    fake_pass(&f, 5000);
    ck_assert_int_eq(f.process[g.worker].killed, SIGKILL);
    fake_exit(&f, g.worker, SIGKILL);
    Mobula__Envelope *e = fake_take(&f, f.process[p].link, MOBULA__ENVELOPE__BODY_LEASE_OVER);
    ck_assert_int_eq(e->lease_over->cause->code, MOB_ERR_CANCELLED);
    ck_assert_int_eq(death_of(e->lease_over->cause)->killed_by, MOB_KILLED_BY_CANCEL);
    fake_fini(&f);
}
END_TEST

/* What the task called runs on, until somebody means that, too. */
START_TEST(test_cancel_alone_and_then_not)
{
    struct fake_grant g;
    uint32_t p = driver_with_lease(&g);
    const Mobula__Envelope *e;

    fake_runs(&f, &g, 5, 1);
    cancel_so(p, g.lease, 5, false, true);
    e = fake_take(&f, f.process[g.worker].link, MOBULA__ENVELOPE__BODY_CANCEL);
    ck_assert(e != NULL && e->cancel->alone);
    cancel(p, g.lease, 5, false);
    e = fake_take(&f, f.process[g.worker].link, MOBULA__ENVELOPE__BODY_CANCEL);
    ck_assert(e != NULL && !e->cancel->alone);
    fake_fini(&f);
}
END_TEST

START_TEST(test_cancel_by_force)
{
    struct fake_grant g;
    uint32_t p = driver_with_lease(&g);

    fake_runs(&f, &g, 5, 1);
    cancel(p, g.lease, 5, true);
    ck_assert_int_eq(f.process[g.worker].killed, SIGKILL);
    ck_assert_uint_eq(f.mark_task, 0);                  /* a word before might be answered */
    fake_fini(&f);
}
END_TEST

START_TEST(test_cancel_that_comes_late_hits_nobody)
{
    struct fake_grant g;
    uint32_t p = driver_with_lease(&g);

    fake_runs(&f, &g, 5, 1);
    cancel(p, g.lease, 5, false);
    fake_runs(&f, &g, 6, 1);            /* it ended by itself; the next one runs */
    fake_pass(&f, 20000);
    ck_assert_int_eq(f.process[g.worker].killed, 0);
    cancel(p, g.lease, 5, true);
    fake_pass(&f, 100);
    ck_assert_int_eq(f.process[g.worker].killed, 0);
    cancel(p, g.lease, 6, false);
    fake_return(&f, p, g.lease);
    fake_pass(&f, 20000);
    ck_assert_int_ne(f.process[g.worker].killed, SIGKILL);
    cancel(p, g.lease, 6, true);        /* the lease is over */
    cancel(p, 999, 6, true);
    ck_assert_int_ne(f.process[g.worker].killed, SIGKILL);
    fake_fini(&f);
}
END_TEST

/* Found by the simulator: tasks of two owners may have the same number, and a worker is lent to one after the other. */
START_TEST(test_cancel_ends_with_its_lease)
{
    struct fake_grant g;
    uint32_t p = driver_with_lease(&g);

    fake_runs(&f, &g, 5, 1);
    cancel(p, g.lease, 5, false);
    ck_assert_uint_eq(f.mark_task, 5);
    fake_return(&f, p, g.lease);
    fake_want(&f, p, (struct fake_ask){ .count = 2, .seen = 1 });       /* both workers */
    ck_assert_uint_eq(f.mark_task, 0);
    fake_fini(&f);
}
END_TEST

START_TEST(test_forced_cancel_of_a_task_that_is_just_claimed)
{
    struct fake_grant g;
    uint32_t p = driver_with_lease(&g);

    cancel(p, g.lease, 5, true);
    ck_assert_int_eq(f.process[g.worker].killed, 0);
    fake_runs(&f, &g, 5, 1);
    fake_pass(&f, 20);
    ck_assert_int_eq(f.process[g.worker].killed, SIGKILL);
    fake_fini(&f);
}
END_TEST

/* A process fills what waits for the connection to node 3 up to `left` bytes. */
static void fill_queue(uint32_t p, size_t left)
{
    const size_t all = 64u << 20, most = 3u << 20;
    char *argument = calloc(1, most + 1);
    Mobula__Query m = MOBULA__QUERY__INIT;
    size_t room;

    memset(argument, 'x', most);
    m.verb = (char *)"output";
    m.argument = argument;
    while ((room = all - mob_raylet_queued(f.raylet, fake_at(3, 0))) > left) {
        argument[room - left > most ? most : room > 2 * left ? room - 2 * left : 1] = '\0';
        fake_say(&f, f.process[p].link, fake_at(0, 0), fake_at(3, 0), MOBULA__ENVELOPE__BODY_QUERY, &m);
        memset(argument, 'x', most);
    }
    free(argument);
}

/* The pair is reset for it; the Grant that was one too many is not in the middle of it. */
START_TEST(test_too_much_waits_for_a_connection)
{
    uint32_t p;

    fake_open(&f, "CPU=1");
    p = fake_driver(&f);
    fake_place(&f, fake_at(3, 9), (struct fake_ask){ .count = 1 });
    fill_queue(p, 60);
    fake_all_up(&f);
    fake_tick(&f);
    ck_assert_uint_eq(mob_raylet_queued(f.raylet, fake_at(3, 0)), 0);
    fake_reap(&f);
    fake_fini(&f);
}
END_TEST

UNIT_CASE("raylet_death", tcase)
{
    UNIT_TESTS(tcase, test_worker_with_broken_socket, test_driver_dies, test_driver_dies_without_head,
               test_link_to_an_owner_breaks, test_lender_is_lost, test_declared_dead, test_drained_away, test_cancel_by_steps,
               test_cancel_alone_and_then_not, test_cancel_by_force, test_cancel_that_comes_late_hits_nobody,
               test_cancel_ends_with_its_lease, test_too_much_waits_for_a_connection, test_forced_cancel_of_a_task_that_is_just_claimed);
    tcase_add_loop_test(tcase, test_certificate, 0, (int)MOB_COUNT(deaths));
    tcase_add_loop_test(tcase, test_end_of_an_owner_is_recorded, 0, 2);
    tcase_add_loop_test(tcase, test_kernel_kills, 0, 2);
}
