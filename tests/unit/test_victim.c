/* SPDX-License-Identifier: Apache-2.0 */
/* test_victim.c -- who is ended when memory is short, case by case. */
#include "raylet/victim.h"
#include "unit.h"

#define MIB UINT64_C(1048576)
#define NOBODY 99u

static const struct {
    const char *what;
    size_t chosen;
    struct candidate all[6];
    size_t count;
} cases[] = {
#define CASE(what, chosen, ...) { what, chosen, { __VA_ARGS__ }, sizeof((struct candidate[]){ __VA_ARGS__ }) / sizeof(struct candidate) }
#define IDLE(mib) { VICTIM_IDLE, (mib) * MIB, 0, 1, 0 }
#define BEYOND(mib, asked) { VICTIM_BEYOND, (mib) * MIB, (asked) * MIB, 1, 0 }
#define AGAIN(mib, group, since) { VICTIM_REPEATABLE, (mib) * MIB, 0, group, since }
#define LAST(mib, group, since) { VICTIM_LAST, (mib) * MIB, 0, group, since }
    { "nobody", NOBODY, { { 0 } }, 0 },
    CASE("nobody has enough", NOBODY, IDLE(15), AGAIN(3, 1, 1), LAST(15, 1, 1), BEYOND(15, 1)),
    CASE("the largest of those that idle", 1, IDLE(20), IDLE(40), IDLE(30), AGAIN(9000, 1, 9)),
    CASE("small ones that idle stay", 1, IDLE(5), AGAIN(50, 1, 1), LAST(90, 2, 2)),
    CASE("who breaks its word, the furthest", 2, AGAIN(9000, 1, 9), BEYOND(400, 350), BEYOND(300, 200), LAST(500, 1, 9)),
    CASE("what can be repeated before what cannot", 1, LAST(9000, 1, 9), AGAIN(50, 2, 1)),
    CASE("the newest of a function", 2, AGAIN(100, 1, 5), AGAIN(110, 1, 6), AGAIN(90, 1, 8), AGAIN(100, 1, 7)),
    CASE("of the function that has most, not of the one with most workers", 4, AGAIN(100, 1, 5), AGAIN(100, 1, 6), AGAIN(100, 1, 7),
         AGAIN(500, 2, 1), AGAIN(600, 2, 2)),
    CASE("not in vain: it has hardly anything", 1, AGAIN(100, 1, 5), AGAIN(2000, 1, 6), AGAIN(20, 1, 8), AGAIN(30, 1, 7)),
    CASE("what cannot be repeated, if there is nothing else", 1, LAST(100, 1, 5), LAST(90, 1, 6), AGAIN(2, 1, 8)),
    CASE("groups are of a class: what cannot be repeated does not count", 2, LAST(900, 1, 5), AGAIN(100, 1, 9), AGAIN(150, 2, 1)),
};

START_TEST(test_choice)
{
    size_t chosen = mob_victim_choose(cases[_i].all, cases[_i].count);

    ck_assert_msg(chosen == (cases[_i].chosen == NOBODY ? cases[_i].count : cases[_i].chosen), "%s: %zu", cases[_i].what, chosen);
}
END_TEST

UNIT_CASE("victim", tcase)
{
    tcase_add_loop_test(tcase, test_choice, 0, (int)MOB_COUNT(cases));
}
