/* SPDX-License-Identifier: Apache-2.0 */
/* test_machine.c -- a machine of three states: moves by the table, facts that arrive while a step runs, and what ends the process. */
#include "unit.h"

#include <signal.h>
#include <stddef.h>

#include "common/machine.h"

enum { DOOR_OPEN, DOOR_SHUT, DOOR_GONE };

struct door {
    struct mob_machine m;
    int push, steps;
    bool broken;
};

static enum mob_next door_open(struct mob_machine *m)
{
    struct door *d = MOB_CONTAINER(m, struct door, m);

    d->steps++;
    if (d->push == 0)
        return MOB_WAIT;
    d->push--;
    return mob_machine_goto(m, DOOR_SHUT);
}

static enum mob_next door_shut(struct mob_machine *m)
{
    struct door *d = MOB_CONTAINER(m, struct door, m);

    d->steps++;
    if (d->steps == 2) {
        d->push++;                      /* a fact, and its run from inside: must be looked at, once we are out */
        mob_machine_run(m);
        ck_assert_uint_eq(m->now, DOOR_SHUT);
        return MOB_WAIT;
    }
    return d->push > 0 ? (d->push--, mob_machine_goto(m, DOOR_OPEN)) : MOB_WAIT;
}

static bool door_holds(const struct mob_machine *m)
{
    return !MOB_CONTAINER(m, const struct door, m)->broken;
}

static const struct mob_state door_states[] = {
    [DOOR_OPEN] = { "open", door_open, MOB_TO(DOOR_SHUT) },
    [DOOR_SHUT] = { "shut", door_shut, MOB_TO(DOOR_OPEN) | MOB_TO(DOOR_GONE) },
    [DOOR_GONE] = { "gone", NULL, 0 },
};

START_TEST(test_a_fact_during_a_step_is_seen_after_it)
{
    struct door d = { .push = 1 };

    mob_machine_init(&d.m, "door", 1, door_states, DOOR_OPEN, door_holds);
    mob_machine_run(&d.m);
    ck_assert_uint_eq(d.m.now, DOOR_OPEN);      /* open -> shut, pushed while shut -> open */
    ck_assert_int_eq(d.steps, 4);
    ck_assert_str_eq(mob_machine_state(&d.m), "open");
}
END_TEST

START_TEST(test_a_state_without_step_waits)
{
    struct door d = { 0 };

    mob_machine_init(&d.m, "door", 1, door_states, DOOR_SHUT, NULL);
    ck_assert_int_eq(mob_machine_goto(&d.m, DOOR_GONE), MOB_AGAIN);
    mob_machine_run(&d.m);
    ck_assert_str_eq(mob_machine_state(&d.m), "gone");
}
END_TEST

START_TEST(test_a_move_outside_the_table_ends_the_process)
{
    struct door d = { 0 };

    mob_machine_init(&d.m, "door", 1, door_states, DOOR_OPEN, NULL);
    mob_machine_goto(&d.m, DOOR_GONE);
}
END_TEST

START_TEST(test_a_broken_invariant_ends_the_process)
{
    struct door d = { .broken = true };

    mob_machine_init(&d.m, "door", 1, door_states, DOOR_OPEN, door_holds);
    mob_machine_goto(&d.m, DOOR_SHUT);
}
END_TEST

UNIT_CASE("machine", tcase)
{
    tcase_add_test_raise_signal(tcase, test_a_move_outside_the_table_ends_the_process, SIGABRT);
    tcase_add_test_raise_signal(tcase, test_a_broken_invariant_ends_the_process, SIGABRT);
    UNIT_TESTS(tcase, test_a_fact_during_a_step_is_seen_after_it, test_a_state_without_step_waits);
}
