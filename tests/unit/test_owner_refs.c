/* SPDX-License-Identifier: Apache-2.0 */
/* test_owner_refs.c -- references between processes: holds of ours by others, and ours of others. */
#include "tests/unit/owner_refs.h"

/* -- ours, held by others -------------------------------------------------------------------------------------------------- */

START_TEST(test_an_object_lives_as_long_as_others_hold_it)
{
    struct mob_object_id id;
    struct fake f;

    fake_init(&f);
    uint64_t ref = stored(&f, &id);

    say(&f, other, 1, true, &id, 5, other);
    say(&f, other, 2, true, &id, 6, third);                     /* given away by it */
    ck_assert_uint_eq(f.sent[DONE], 2);
    ck_assert_uint_eq(f.sent[MOURN], 2);
    mob_owner_drop(f.o, ref, NULL);
    ck_assert_uint_eq(freed(&f), 0);
    say(&f, other, 3, false, &id, 5, other);
    ck_assert_uint_eq(freed(&f), 0);
    say(&f, other, 2, true, &id, 6, third);                     /* a repeat changes nothing */
    say(&f, other, 3, false, &id, 5, other);
    ck_assert_uint_eq(f.sent[DONE], 5);
    mourned(&f, third, false);
    ck_assert_uint_eq(freed(&f), 1);
    ck_assert_uint_eq(mob_owner_counts(f.o).objects, 0);
    fake_fini(&f);
}
END_TEST

START_TEST(test_nobody_speaks_for_another)
{
    struct mob_object_id id;
    struct fake f;

    fake_init(&f);
    uint64_t ref = stored(&f, &id);
    Mobula__References m = MOBULA__REFERENCES__INIT;
    Mobula__References__Change c = MOBULA__REFERENCES__CHANGE__INIT, *list[1] = { &c };
    Mobula__Address issuer;

    say(&f, other, 1, true, &id, 5, other);
    mob_wire_put_address(&issuer, other);
    c.issuer = &issuer;
    c.ticket = 5;
    m.seq = 1;
    m.n_changes = 1;
    m.changes = list;
    fake_tell_from(&f, third, REFERENCES, &m);                       /* a release of what is neither from it nor its own */
    mob_owner_drop(f.o, ref, NULL);
    ck_assert_uint_eq(freed(&f), 0);
    id.task += 1000;
    say(&f, other, 2, true, &id, 7, other);                     /* a never-made object */
    say(&f, other, 3, false, &id, 5, other);
    ck_assert_uint_eq(freed(&f), 1);
    fake_fini(&f);
}
END_TEST

START_TEST(test_what_comes_too_early_is_refused)
{
    struct mob_object_id id;
    struct fake f;

    fake_init(&f);
    uint64_t ref = stored(&f, &id);

    say(&f, other, 2, true, &id, 6, other);
    ck_assert_int_eq(f.last[DONE]->references_done->error->code, MOB_ERR_UNREACHABLE);
    mob_owner_drop(f.o, ref, NULL);
    ck_assert_uint_eq(freed(&f), 1);
    fake_fini(&f);
}
END_TEST

START_TEST(test_an_unreachable_holder_is_asked_for_again)
{
    struct mob_object_id id;
    struct fake f;

    fake_init(&f);
    stored(&f, &id);
    say(&f, other, 1, true, &id, 5, other);
    ck_assert_uint_eq(f.sent[MOURN], 1);
    mourned(&f, other, true);
    mob_owner_flush(f.o);
    ck_assert_uint_eq(f.sent[MOURN], 1);
    f.now_ns += 1000 * FAKE_MS;
    mob_owner_flush(f.o);
    ck_assert_uint_eq(f.sent[MOURN], 2);
    fake_fini(&f);
}
END_TEST

/* A worker returns to us what is our own; its answer is lost, and it dies. (With its answer: test_what_came_back_outlives_the_worker.) */
START_TEST(test_what_is_returned_to_its_owner_ends_with_the_worker)
{
    struct mob_object_id id;
    struct fake f;

    fake_init(&f);
    uint64_t ref = stored(&f, &id);

    say(&f, other, 1, true, &id, 5, (struct mob_address){ FAKE_NODE, FAKE_PROCESS });
    mob_owner_drop(f.o, ref, NULL);
    ck_assert_uint_eq(freed(&f), 0);
    mourned(&f, other, false);
    ck_assert_uint_eq(freed(&f), 1);
    ck_assert_uint_eq(mob_owner_counts(f.o).held, 0);
    fake_fini(&f);
}
END_TEST

/* It gave a reference of ours to another, with an answer, and died: that one is asked whether it has it. */
START_TEST(test_who_holds_by_tickets_of_a_dead_worker_is_asked)
{
    struct mob_object_id id, second;
    struct fake f;

    fake_init(&f);
    uint64_t ref = stored(&f, &id), other_ref = stored(&f, &second);

    say(&f, other, 1, true, &id, 5, other);                     /* its own ends with it */
    say(&f, other, 2, true, &id, 6, third);
    say(&f, other, 3, true, &second, 7, third);
    say_of(&f, third, other, 1, false, &second, 7, third);                /* it has had that one */
    mourned(&f, other, false);
    ck_assert_uint_eq(f.sent[ORPHANS], 1);
    ck_assert_uint_eq(f.last[ORPHANS]->to->process, third.process);
    ck_assert_uint_eq(f.last[ORPHANS]->orphans->issuer->process, other.process);
    ck_assert_uint_eq(f.last[ORPHANS]->orphans->n_tickets, 1);
    ck_assert_uint_eq(f.last[ORPHANS]->orphans->tickets[0], 6);
    mourned(&f, third, true);                                   /* a link was lost, with the question perhaps */
    f.now_ns += 1000 * FAKE_MS;
    mob_owner_flush(f.o);
    ck_assert_uint_eq(f.sent[ORPHANS], 2);
    ck_assert_uint_eq(f.last[ORPHANS]->to->process, third.process);
    ck_assert_uint_eq(f.last[ORPHANS]->orphans->issuer->process, other.process);
    ck_assert_uint_eq(f.last[ORPHANS]->orphans->n_tickets, 1);
    ck_assert_uint_eq(f.last[ORPHANS]->orphans->tickets[0], 6);
    mob_owner_drop(f.o, ref, NULL);
    ck_assert_uint_eq(freed(&f), 0);
    say_of(&f, third, other, 2, false, &id, 6, third);
    ck_assert_uint_eq(freed(&f), 1);
    mourned(&f, third, true);                                   /* nobody has a ticket of it any more */
    f.now_ns += 1000 * FAKE_MS;
    mob_owner_flush(f.o);
    mob_owner_drop(f.o, other_ref, NULL);
    mourned(&f, third, false);
    ck_assert_uint_eq(f.sent[ORPHANS], 2);
    ck_assert_uint_eq(mob_owner_counts(f.o).objects, 0);
    fake_fini(&f);
}
END_TEST

/* A late word of one that is gone: what it says has an end all the same. */
START_TEST(test_one_that_is_gone_speaks_again)
{
    struct mob_object_id id;
    struct fake f;

    fake_init(&f);
    uint64_t ref = stored(&f, &id);

    say(&f, other, 1, true, &id, 5, third);
    mourned(&f, other, false);
    unsigned mourns = f.sent[MOBULA__ENVELOPE__BODY_MOURN];

    say(&f, other, 2, true, &id, 6, other);
    ck_assert_uint_eq(f.sent[MOBULA__ENVELOPE__BODY_MOURN], mourns + 1);
    ck_assert_uint_eq(mob_owner_counts(f.o).held, 2);
    mourned(&f, other, false);
    ck_assert_uint_eq(mob_owner_counts(f.o).held, 1);
    mourned(&f, third, false);
    ck_assert_uint_eq(mob_owner_counts(f.o).held, 0);
    mob_owner_drop(f.o, ref, NULL);
    ck_assert_uint_eq(mob_owner_counts(f.o).objects, 0);
    fake_fini(&f);
}
END_TEST

/* -- ours of others -------------------------------------------------------------------------------------------------------- */

START_TEST(test_what_is_met_is_held_before_its_source_goes)
{
    struct fake_waiter all;
    struct mob_object_id id;
    struct fake f;

    fake_init(&f);
    fake_waiter_init(&all);
    uint64_t source = stored(&f, &id), met = mob_owner_meet(f.o, &foreign, source);

    ck_assert(mob_owner_unconfirmed(f.o, &all.w));
    mob_owner_drop(f.o, source, NULL);
    ck_assert_uint_eq(freed(&f), 0);                            /* it is what keeps the other one */
    ck_assert_uint_eq(f.sent[REFERENCES], 1);
    ck_assert_uint_eq(f.last[REFERENCES]->to->process, 9);
    ck_assert_uint_eq(f.last[REFERENCES]->references->changes[0]->holder->process, FAKE_PROCESS);
    answer(&f, other, 1, MOB_OK);
    ck_assert_int_eq(all.calls, 1);
    ck_assert_uint_eq(freed(&f), 1);
    mob_owner_drop(f.o, met, NULL);
    mob_owner_flush(f.o);
    ck_assert_uint_eq(f.sent[REFERENCES], 2);
    ck_assert(!f.last[REFERENCES]->references->changes[0]->held);
    ck_assert_uint_eq(f.sent[MOBULA__ENVELOPE__BODY_WATCH], 0);         /* nobody wanted the value */
    fake_fini(&f);
}
END_TEST

START_TEST(test_a_lost_link_repeats_and_a_dead_owner_ends)
{
    struct mob_object_id id;
    struct fake f;

    fake_init(&f);
    uint64_t source = stored(&f, &id), met = mob_owner_meet(f.o, &foreign, source);

    mob_owner_flush(f.o);
    answer(&f, other, 1, MOB_ERR_NODE_DIED);
    mob_owner_drop(f.o, met, NULL);
    mob_owner_flush(f.o);
    ck_assert_uint_eq(f.sent[REFERENCES], 1);                   /* in order: not before the first is said again */
    f.now_ns += 1000 * FAKE_MS;
    mob_owner_flush(f.o);
    ck_assert_uint_eq(f.sent[REFERENCES], 3);
    ck_assert_uint_eq(f.last[REFERENCES]->references->seq, 2);
    mob_owner_drop(f.o, source, NULL);
    ck_assert_uint_eq(freed(&f), 0);
    answer(&f, other, 1, MOB_ERR_OWNER_DIED);
    answer(&f, other, 2, MOB_ERR_OWNER_DIED);
    ck_assert_uint_eq(freed(&f), 1);
    fake_fini(&f);
}
END_TEST

START_TEST(test_what_a_task_met_is_held_if_it_is_kept)
{
    struct fake f;

    fake_init(&f);
    uint64_t dropped = mob_owner_meet(f.o, &foreign, 0), kept = mob_owner_meet(f.o, &foreign, 0);

    mob_owner_drop(f.o, dropped, NULL);
    ck_assert(mob_owner_keep(f.o));
    mob_owner_flush(f.o);
    ck_assert_uint_eq(f.sent[REFERENCES], 1);
    ck_assert_uint_eq(f.last[REFERENCES]->references->n_changes, 1);
    answer(&f, other, 1, MOB_OK);
    ck_assert(!mob_owner_keep(f.o));
    mob_owner_drop(f.o, kept, NULL);
    mob_owner_flush(f.o);
    ck_assert_uint_eq(f.sent[REFERENCES], 2);
    ck_assert_uint_eq(mob_owner_counts(f.o).objects, 0);
    fake_fini(&f);
}
END_TEST

START_TEST(test_what_is_lent_lives_for_its_holder)
{
    struct mob_object_id id, name;
    struct fake f;

    fake_init(&f);
    uint64_t mine = stored(&f, &id), ticket = mob_owner_lend(f.o, mine, third, &name);

    ck_assert(mob_object_id_eq(&id, &name));
    ck_assert_uint_eq(f.sent[MOURN], 1);
    mob_owner_drop(f.o, mine, NULL);
    ck_assert_uint_eq(freed(&f), 0);
    mob_owner_lend_undo(f.o, &name, ticket);
    ck_assert_uint_eq(freed(&f), 1);

    uint64_t theirs = mob_owner_accept(f.o, &foreign, other, 3);

    mob_owner_lend(f.o, theirs, third, &name);
    ck_assert(mob_object_id_eq(&foreign, &name));
    mob_owner_drop(f.o, theirs, NULL);
    mob_owner_flush(f.o);
    ck_assert_uint_eq(f.last[REFERENCES]->references->n_changes, 1);    /* ours stays until the other's is confirmed */
    ck_assert_uint_eq(f.last[REFERENCES]->references->changes[0]->holder->process, third.process);
    answer(&f, other, 1, MOB_OK);
    mob_owner_flush(f.o);
    ck_assert(!f.last[REFERENCES]->references->changes[0]->held);
    ck_assert_uint_eq(f.last[REFERENCES]->references->changes[0]->ticket, 3);
    fake_fini(&f);
}
END_TEST

/* -- cancel ---------------------------------------------------------------------------------------------------------------- */

static void say_cancel(struct fake *f, struct mob_address from, uint64_t seq, const struct mob_object_id *id, bool force)
{
    Mobula__References m = MOBULA__REFERENCES__INIT;
    Mobula__References__Change c = MOBULA__REFERENCES__CHANGE__INIT, *list[1] = { &c };
    Mobula__Address issuer;
    Mobula__ObjectId object;

    mob_wire_put_address(&issuer, from);
    mob_wire_put_object(&object, id);
    c.cancel = true;
    c.force = force;
    c.issuer = &issuer;
    c.object = &object;
    m.seq = seq;
    m.n_changes = 1;
    m.changes = list;
    fake_tell_from(f, from, REFERENCES, &m);
    mob_owner_check(f->o);
}

/* Who has a reference of ours has its task cancelled, in whatever state that is; not one that is over. */
START_TEST(test_others_have_a_task_cancelled)
{
    struct mob_object_id id;
    struct mob_task_frame t;
    const void *body;
    struct fake f;
    uint32_t shape = fake_start(&f);
    uint64_t runs = fake_submit(&f, shape, 3, NULL, 0), queued = fake_submit(&f, shape, 3, NULL, 0);

    mob_owner_flush(f.o);
    ck_assert(fake_claim(&f, 0, &t, &body));
    ck_assert_int_eq(mob_owner_name(f.o, queued, &id, NULL), 0);
    say_cancel(&f, other, 1, &id, false);
    say_cancel(&f, other, 1, &id, false);                       /* a repeat */
    ck_assert_int_eq(fake_look(&f, queued).error->code, MOB_ERR_CANCELLED);
    ck_assert_int_eq(fake_look(&f, runs).state, MOB_OBJECT_PENDING);
    ck_assert_int_eq(mob_owner_name(f.o, runs, &id, NULL), 0);
    say_cancel(&f, third, 1, &id, true);
    ck_assert_uint_eq(f.sent[MOBULA__ENVELOPE__BODY_CANCEL], 1);
    ck_assert(f.last[MOBULA__ENVELOPE__BODY_CANCEL]->cancel->force);
    ck_assert_uint_eq(f.sent[DONE], 3);
    id.task += 77;                                              /* of nobody */
    say_cancel(&f, third, 2, &id, true);
    ck_assert_uint_eq(f.sent[DONE], 4);
    fake_reply_value(&f, 0, &t, 1, 1);
    fake_drain(&f);
    mob_owner_drop(f.o, runs, NULL);
    mob_owner_drop(f.o, queued, NULL);
    fake_finish(&f);
}
END_TEST

START_TEST(test_the_owner_of_a_reference_is_told_to_cancel)
{
    struct fake f;
    const Mobula__References__Change *c;

    fake_init(&f);
    uint64_t met = mob_owner_meet(f.o, &foreign, 0);

    ck_assert_int_eq(mob_owner_cancel(f.o, met, MOB_CANCEL_ALONE, NULL), 0);
    mob_owner_flush(f.o);
    ck_assert_uint_eq(f.sent[REFERENCES], 1);
    ck_assert_uint_eq(f.last[REFERENCES]->to->process, 9);
    c = f.last[REFERENCES]->references->changes[0];
    ck_assert(c->cancel && c->alone && !c->force && !c->held);
    ck_assert_uint_eq(c->object->task, foreign.task);
    answer(&f, other, 1, MOB_ERR_NODE_DIED);                    /* lost with a link, perhaps: it is said again */
    f.now_ns += 300 * FAKE_MS;
    mob_owner_flush(f.o);
    ck_assert_uint_eq(f.sent[REFERENCES], 2);
    ck_assert(f.last[REFERENCES]->references->changes[0]->cancel);
    mob_owner_drop(f.o, met, NULL);
    mob_owner_flush(f.o);
    fake_fini(&f);
}
END_TEST

UNIT_MAIN("owner_refs", test_an_object_lives_as_long_as_others_hold_it, test_nobody_speaks_for_another,
          test_what_comes_too_early_is_refused, test_an_unreachable_holder_is_asked_for_again,
          test_what_is_returned_to_its_owner_ends_with_the_worker, test_who_holds_by_tickets_of_a_dead_worker_is_asked,
          test_one_that_is_gone_speaks_again, test_what_is_met_is_held_before_its_source_goes,
          test_a_lost_link_repeats_and_a_dead_owner_ends, test_what_a_task_met_is_held_if_it_is_kept,
          test_what_is_lent_lives_for_its_holder, test_others_have_a_task_cancelled,
          test_the_owner_of_a_reference_is_told_to_cancel)
