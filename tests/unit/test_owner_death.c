/* SPDX-License-Identifier: Apache-2.0 */
/* test_owner_death.c -- death certificates in an owner: from LeaseOver to whoever sees the error. */
#include <stdio.h>

#include "common/event.h"
#include "tests/unit/owner_fake.h"
#include "tests/unit/unit.h"
#include "worker/certificate.h"

/* So many attempts of the one task die; each with its number as exit code. */
static void die_often(struct fake *f, uint32_t shape, unsigned times, struct mob_death death)
{
    struct mob_task_frame t;
    const void *body;

    for (unsigned i = 0; i < times; i++) {
        if (i > 0) {
            fake_open(f, i);
            fake_grant(f, shape, 1 + i, i);
        }
        mob_owner_flush(f->o);
        ck_assert(fake_claim(f, i, &t, &body));
        death.exit_code = (int32_t)i;
        fake_dies(f, 1 + i, i, &t, &death);
        mob_owner_check(f->o);
    }
}

/* Each of so many attempts failed by a death; nothing else did. */
static void check_record(const Mobula__Events *m, uint64_t task, unsigned attempts)
{
    struct mob_event e;
    unsigned died = 0;
    char words[64];

    for (size_t i = 0; i < m->records.len; i += sizeof e) {
        memcpy(&e, m->records.data + i, sizeof e);
        if (e.kind != MOB_EVENT_FAILED_ATTEMPT && e.kind != MOB_EVENT_ENDED)
            continue;
        ck_assert_uint_eq(e.killed_by, e.task == task ? MOB_KILLED_BY_EXIT : MOB_KILLED_BY_UNKNOWN);
        if (e.task != task)
            continue;
        snprintf(words, sizeof words, "its worker exited with code %u", died++);
        ck_assert_str_eq((const char *)m->records.data + i + sizeof e + MOB_EVENT_TEXT, words);     /* of the WHY behind it */
    }
    ck_assert_uint_eq(died, attempts);
}

START_TEST(test_the_last_attempts_are_kept)
{
    struct fake f;
    uint32_t shape = fake_start(&f);
    uint64_t ref = fake_submit(&f, shape, 5, NULL, 0);
    struct mob_arg arg = { .ref = ref };
    uint64_t after = fake_submit(&f, shape, 3, &arg, 1);
    struct mob_death d, death = { .killed_by = MOB_KILLED_BY_EXIT, .worker = "2.7", .node = "2", .host = "h", .core = "/tmp/core",
                                  .peak_memory = 5 << 20, .cpu_ns = 3, .lived_ns = 4, .last_lines = "a\nb" };

    die_often(&f, shape, 6, death);
    ck_assert_int_eq(fake_look(&f, ref).state, MOB_OBJECT_ERROR);
    for (unsigned i = 0; i < MOB_DEATHS_MAX; i++) {
        ck_assert(mob_owner_deaths_at(fake_look(&f, ref).deaths, i, &d));
        ck_assert_int_eq(d.attempt, 5 - (int)i);
        ck_assert_int_eq(d.exit_code, 5 - (int)i);
    }
    ck_assert(!mob_owner_deaths_at(fake_look(&f, ref).deaths, MOB_DEATHS_MAX, &d));
    ck_assert_int_eq(fake_look(&f, after).state, MOB_OBJECT_ERROR);     /* its argument failed: it says how */
    ck_assert(mob_owner_deaths_at(fake_look(&f, after).deaths, 0, &d));
    ck_assert_int_ne(d.pid, 0);                             /* what the lender left out, the lease knows */
    ck_assert_str_ne(d.ip, "");
    death.size = sizeof death;
    death.attempt = death.exit_code = 5;
    death.pid = d.pid;
    mob_copy(death.ip, sizeof death.ip, d.ip);
    ck_assert_mem_eq(&d, &death, sizeof d);
    f.now_ns += 200 * FAKE_MS;
    mob_owner_flush(f.o);
    check_record(f.last[MOBULA__ENVELOPE__BODY_EVENTS]->events, ref, 6);
    fake_finish(&f);
}
END_TEST

/* Who died, and how often it was tried, stands before the lender's words, the last of which are the worker's own. */
START_TEST(test_the_text_says_which_attempt_of_what)
{
    struct fake f;
    uint32_t shape = fake_start(&f);
    uint64_t never = fake_submit(&f, shape, 0, NULL, 0);

    die_often(&f, shape, 1, (struct mob_death){ .killed_by = MOB_KILLED_BY_EXIT });
    ck_assert_str_eq(fake_look(&f, never).error->text, "'work', attempt 1 of 1: it died");
    mob_owner_drop(f.o, never, NULL);
    fake_finish(&f);

    shape = fake_start(&f);
    uint64_t often = fake_submit(&f, shape, 2, NULL, 0);

    die_often(&f, shape, 3, (struct mob_death){ .killed_by = MOB_KILLED_BY_EXIT });
    ck_assert_str_eq(fake_look(&f, often).error->text,
                     "'work', attempt 3 of 3, has killed three different workers by now, so look at the task: it died");
    mob_owner_drop(f.o, often, NULL);
    fake_finish(&f);
}
END_TEST

/* In the room that a record has for a reason. */
START_TEST(test_a_death_in_a_few_words)
{
    static const struct { struct mob_death death; const char *words; } table[] = {
        { { .killed_by = MOB_KILLED_BY_EXIT, .exit_code = 3 }, "its worker exited with code 3" },
        { { .killed_by = MOB_KILLED_BY_CRASH, .signal = 11, .exit_code = -1 }, "its worker was ended by SIGSEGV" },
        { { .killed_by = MOB_KILLED_BY_SIGNAL, .signal = 9, .exit_code = -1 }, "its worker was ended by SIGKILL, which Mobula did not send" },
        { { .killed_by = MOB_KILLED_BY_SIGNAL, .signal = 63, .exit_code = -1 }, "its worker was ended by a signal, which Mobula did not send" },
        { { .killed_by = MOB_KILLED_BY_CANCEL, .exit_code = 1 }, "its worker exited with code 1, to cancel it" },
        { { .killed_by = MOB_KILLED_BY_MEMORY, .signal = 9, .exit_code = -1 }, "its worker was ended by SIGKILL: its node ran short of memory" },
        { { .killed_by = MOB_KILLED_BY_KERNEL_MEMORY, .signal = 9, .exit_code = -1 },
          "its worker was ended by SIGKILL: the kernel ran short of memory" },
        { { .killed_by = MOB_KILLED_BY_NODE, .exit_code = -1 }, "its node was lost" },
        { { .killed_by = MOB_KILLED_BY_START, .exit_code = -1 }, "its worker could not be started" },
        { { .killed_by = MOB_KILLED_BY_UNKNOWN, .exit_code = -1 }, "" },
    };
    char words[128] = "x";

    mob_owner_deaths_words(NULL, words, sizeof words);
    ck_assert_str_eq(words, "");
    for (size_t i = 0; i < MOB_COUNT(table); i++) {
        struct deaths *d = mob_owner_deaths_add(NULL, &table[i].death);

        mob_owner_deaths_words(d, words, sizeof words);
        ck_assert_str_eq(words, table[i].words);
        ck_assert_uint_lt(strlen(words), MOB_EVENT_TEXT_SIZE);
        mob_owner_deaths_drop(d);
    }
}
END_TEST

START_TEST(test_what_the_task_says_itself_is_no_death)
{
    struct fake f;
    uint32_t shape = fake_start(&f);
    struct mob_error why = { .code = MOB_ERR_TASK, .text = "no" };
    uint64_t ref = fake_submit(&f, shape, 3, NULL, 0), last = fake_submit(&f, shape, 0, NULL, 0);
    struct mob_task_frame t;
    const void *body;

    die_often(&f, shape, 1, (struct mob_death){ .killed_by = MOB_KILLED_BY_CRASH });
    fake_open(&f, 1);
    fake_grant(&f, shape, 2, 1);
    mob_owner_flush(f.o);
    ck_assert(fake_claim(&f, 1, &t, &body));
    fake_reply(&f, 1, &t, why.code, &why, sizeof why, 1000);
    fake_drain(&f);
    ck_assert_int_eq(fake_look(&f, ref).error->code, MOB_ERR_TASK);
    ck_assert_ptr_null(fake_look(&f, ref).deaths);
    mob_owner_cancel(f.o, last, true, NULL);
    ck_assert_ptr_null(fake_look(&f, last).deaths);
    mob_owner_check(f.o);
    fake_fini(&f);
}
END_TEST

/* A borrower asks, and another owner hears the answer; what that owner is told next is too long. */
START_TEST(test_others_are_told)
{
    struct fake f;
    uint32_t shape = fake_start(&f);
    uint64_t ref = fake_submit(&f, shape, 1, NULL, 0);
    struct mob_object_id id;
    struct mob_death d, before;
    Mobula__ObjectId object;
    Mobula__Watch m = MOBULA__WATCH__INIT;
    Mobula__Error *told;
    struct deaths *heard;
    char *text = mob_alloc(100001);

    die_often(&f, shape, 2, (struct mob_death){ .killed_by = MOB_KILLED_BY_SIGNAL, .signal = 9, .last_lines = "last words" });
    ck_assert_int_eq(mob_owner_name(f.o, ref, &id, NULL), 0);
    mob_wire_put_object(&object, &id);
    m.object = &object;
    fake_tell(&f, 6, MOBULA__ENVELOPE__BODY_WATCH, &m);
    told = f.last[MOBULA__ENVELOPE__BODY_WATCHED]->watched->error;
    ck_assert_uint_eq(told->n_deaths, 2);
    heard = mob_owner_deaths_of(told);
    ck_assert(mob_owner_deaths_at(fake_look(&f, ref).deaths, 1, &before));
    ck_assert(mob_owner_deaths_at(heard, 1, &d));
    ck_assert_mem_eq(&d, &before, sizeof d);
    mob_owner_deaths_drop(heard);

    char *short_text = told->deaths[1]->last_lines;
    memset(text, 'x', 100000);
    text[100000] = '\0';
    told->deaths[1]->last_lines = text;
    heard = mob_owner_deaths_of(told);
    ck_assert(mob_owner_deaths_at(heard, 0, &d));
    ck_assert_uint_eq(strlen(d.last_lines), sizeof d.last_lines - 1);
    told->deaths[1]->last_lines = short_text;
    mob_owner_deaths_drop(heard);
    free(text);
    fake_finish(&f);
}
END_TEST

static void expect_node_lost(const struct mob_object_info *info, const char *node, const char *ip)
{
    struct mob_death d;

    ck_assert_int_eq(info->state, MOB_OBJECT_ERROR);
    ck_assert(mob_owner_deaths_at(info->deaths, 0, &d));
    ck_assert_int_eq(d.killed_by, MOB_KILLED_BY_NODE);
    ck_assert_str_eq(d.node, node);
    ck_assert_str_eq(d.ip, ip);
    ck_assert_int_eq(d.exit_code, -1);
    ck_assert_str_eq(d.worker, "");
    ck_assert(!mob_owner_deaths_at(info->deaths, 1, &d));
}

/* Its own raylet is gone: whatever is pending, and what takes it, ends with this node. */
START_TEST(test_a_lost_raylet_is_a_death_of_its_node)
{
    struct mob_error why = { .code = MOB_ERR_UNREACHABLE, .node = "10.0.0.2", .text = "it closed its socket" };
    struct fake f;
    uint32_t shape = fake_start(&f);
    uint64_t refs[3] = { fake_submit(&f, shape, 3, NULL, 0) };
    struct mob_object_id id;

    refs[1] = fake_submit(&f, shape, 3, &(struct mob_arg){ .ref = refs[0] }, 1);
    refs[2] = mob_owner_put_begin(f.o, &id);
    mob_owner_raylet_lost(f.o, &why);
    for (size_t i = 0; i < 3; i++) {
        struct mob_object_info info = fake_look(&f, refs[i]);

        ck_assert_int_eq(info.error->code, MOB_ERR_NODE_DIED);
        expect_node_lost(&info, "2", "10.0.0.2");
        mob_owner_drop(f.o, refs[i], NULL);
    }
    fake_finish(&f);
}
END_TEST

/* It said why before: that is what the errors say. */
START_TEST(test_a_raylet_says_why_it_ends)
{
    struct mob_error why = { .code = MOB_ERR_NODE_DIED, .node = "10.0.0.2", .text = "it closed its socket" };
    struct mob_error said = { .code = MOB_ERR_NODE_DIED, .text = "node 2 was drained" };
    Mobula__Refused m = MOBULA__REFUSED__INIT;
    Mobula__Error error;
    struct fake f;
    uint64_t ref = fake_submit(&f, fake_start(&f), 3, NULL, 0);

    mob_wire_put_error(&error, &said);
    m.error = &error;
    fake_tell(&f, FAKE_NODE, MOBULA__ENVELOPE__BODY_REFUSED, &m);
    ck_assert_int_eq(fake_look(&f, ref).state, MOB_OBJECT_PENDING);
    mob_owner_raylet_lost(f.o, &why);
    ck_assert_int_eq(fake_look(&f, ref).error->code, MOB_ERR_NODE_DIED);
    ck_assert_str_eq(fake_look(&f, ref).error->text,
                     "the raylet of this node (node 2) is gone: node 2 was drained; mob_shutdown(), then mob_init() again");
    fake_finish(&f);
}
END_TEST

/* An object whose node died has no process to be mourned. What was lost otherwise has nothing. */
START_TEST(test_a_lost_object_has_the_death_of_its_node)
{
    struct mob_error why = { .code = MOB_ERR_NODE_DIED, .node = "10.0.0.9", .text = "node 9: it has died" };
    struct mob_object_info info;
    struct mob_object_id id;
    struct fake f;
    uint64_t ref, other;

    fake_init(&f);
    ref = mob_owner_put_begin(f.o, &id);
    mob_owner_put_stored(f.o, ref, 9, 1000);
    other = mob_owner_put_begin(f.o, &id);
    mob_owner_put_stored(f.o, other, 9, 1000);
    ck_assert(!mob_owner_lost(f.o, ref, fake_look(&f, ref).since, &why));
    why.code = MOB_ERR_OBJECT_LOST;
    ck_assert(!mob_owner_lost(f.o, other, fake_look(&f, other).since, &why));
    info = fake_look(&f, ref);
    ck_assert_int_eq(info.error->code, MOB_ERR_OBJECT_LOST);
    expect_node_lost(&info, "9", "10.0.0.9");
    ck_assert_ptr_null(fake_look(&f, other).deaths);
    mob_owner_drop(f.o, ref, NULL);
    mob_owner_drop(f.o, other, NULL);
    fake_finish(&f);
}
END_TEST

UNIT_MAIN("owner_death", test_the_last_attempts_are_kept, test_the_text_says_which_attempt_of_what, test_a_death_in_a_few_words,
          test_what_the_task_says_itself_is_no_death, test_others_are_told,
          test_a_lost_raylet_is_a_death_of_its_node, test_a_raylet_says_why_it_ends, test_a_lost_object_has_the_death_of_its_node)
