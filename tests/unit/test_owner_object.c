/* SPDX-License-Identifier: Apache-2.0 */
/* test_owner_object.c -- refs, counts, waiters, copies, other owners, and the loss of the raylet. */
#include "tests/unit/owner_fake.h"
#include "tests/unit/unit.h"

START_TEST(test_dropped_refs_are_refused_by_name)
{
    struct fake f;
    struct mob_error err;
    struct mob_object_info info;

    fake_init(&f);
    uint64_t ref = mob_owner_put(f.o, "0123456789", 10, &err);

    ck_assert_uint_ne(ref, 0);
    ck_assert_mem_eq(fake_look(&f, ref).data, "0123456789", 10);
    ck_assert_int_eq(mob_owner_clone(f.o, ref, &err), 0);
    ck_assert_int_eq(mob_owner_drop(f.o, ref, &err), 0);
    ck_assert_int_eq(mob_owner_drop(f.o, ref, &err), 0);
    ck_assert_int_eq(mob_owner_drop(f.o, ref, &err), -1);
    ck_assert_int_eq(err.code, MOB_ERR_INVALID);
    ck_assert_int_eq(mob_owner_look(f.o, ref, &info, &err), -1);
    uint64_t next = mob_owner_put(f.o, "", 0, &err);

    ck_assert_uint_ne(next, ref);                   /* the same slot, another number */
    ck_assert_int_eq(mob_owner_clone(f.o, ref, &err), -1);
    ck_assert_int_eq(mob_owner_clone(f.o, 0, &err), -1);
    ck_assert_int_eq(mob_owner_clone(f.o, UINT64_MAX, &err), -1);
    ck_assert_uint_eq(mob_owner_put(f.o, "", MOB_INLINE_MAX + 1, &err), 0);
    mob_owner_check(f.o);
    fake_fini(&f);
}
END_TEST

static bool is_named(struct fake *f, uint64_t ref, const struct mob_object_id *id)
{
    struct mob_object_info info = fake_look(f, ref);

    return mob_object_id_eq(&info.id, id);
}

START_TEST(test_waiters_are_told_once)
{
    struct fake f;
    struct fake_waiter a, b;
    struct mob_object_id id;

    fake_init(&f);
    uint64_t ref = mob_owner_put_begin(f.o, &id);

    fake_waiter_init(&a);
    fake_waiter_init(&b);
    ck_assert(mob_owner_wait(f.o, ref, &a.w));
    ck_assert(mob_owner_wait(f.o, ref, &b.w));
    mob_owner_wait_cancel(f.o, &b.w);
    mob_owner_put_stored(f.o, ref, 3, 1000);
    ck_assert_int_eq(a.calls, 1);
    ck_assert_int_eq(b.calls, 0);
    ck_assert(!mob_owner_wait(f.o, ref, &a.w));
    ck_assert_int_eq(fake_look(&f, ref).state, MOB_OBJECT_STORED);
    ck_assert_uint_eq(fake_look(&f, ref).node, 3);
    ck_assert(is_named(&f, ref, &id));
    mob_owner_check(f.o);
    fake_fini(&f);
}
END_TEST

START_TEST(test_free_goes_to_each_node_with_a_copy)
{
    struct fake f;
    struct mob_object_id id;
    struct mob_error lost = { .code = MOB_ERR_OBJECT_LOST, .text = "gone" };

    fake_init(&f);
    uint64_t ref = mob_owner_put_begin(f.o, &id), other = mob_owner_put_begin(f.o, &id);

    mob_owner_put_stored(f.o, ref, 3, 1000);
    mob_owner_copied(f.o, ref, 2);
    mob_owner_copied(f.o, ref, 2);
    mob_owner_copied(f.o, ref, 3);
    mob_owner_put_stored(f.o, other, 3, 1000);
    mob_owner_drop(f.o, ref, NULL);
    mob_owner_drop(f.o, other, NULL);
    mob_owner_flush(f.o);
    ck_assert_uint_eq(f.sent[MOBULA__ENVELOPE__BODY_FREE], 2);
    ck_assert_uint_eq(f.last[MOBULA__ENVELOPE__BODY_FREE]->to->node, 3);
    ck_assert_uint_eq(f.last[MOBULA__ENVELOPE__BODY_FREE]->free->n_objects, 2);
    ref = mob_owner_put_begin(f.o, &id);
    mob_owner_put_stored(f.o, ref, 4, 1000);
    mob_owner_lost(f.o, ref, fake_look(&f, ref).since, &lost);
    mob_owner_lost(f.o, ref, fake_look(&f, ref).since, &lost);
    ck_assert_int_eq(fake_look(&f, ref).error->code, MOB_ERR_OBJECT_LOST);
    mob_owner_check(f.o);
    fake_fini(&f);
}
END_TEST

START_TEST(test_raylets_tell_of_copies)
{
    struct fake f;
    struct mob_object_id id;

    fake_init(&f);
    uint64_t ref = mob_owner_put_begin(f.o, &id);

    mob_owner_put_stored(f.o, ref, 3, 1000);
    fake_copies(&f, 4, (struct fake_copies){ .added = &id });
    fake_copies(&f, 5, (struct fake_copies){ .added = &id });
    ck_assert_uint_eq(fake_look(&f, ref).copy_count, 2);
    fake_copies(&f, 4, (struct fake_copies){ .gone = &id });
    ck_assert_uint_eq(fake_look(&f, ref).copy_count, 1);
    ck_assert_uint_eq(fake_look(&f, ref).copies[0], 5);
    mob_owner_drop(f.o, ref, NULL);
    mob_owner_flush(f.o);
    ck_assert_uint_eq(f.sent[MOBULA__ENVELOPE__BODY_FREE], 2);
    ck_assert_uint_eq(f.last[MOBULA__ENVELOPE__BODY_FREE]->to->node, 5);
    fake_copies(&f, 6, (struct fake_copies){ .added = &id });              /* it came when we were done with it */
    fake_copies(&f, 7, (struct fake_copies){ .gone = &id });
    mob_owner_flush(f.o);
    ck_assert_uint_eq(f.sent[MOBULA__ENVELOPE__BODY_FREE], 3);
    ck_assert_uint_eq(f.last[MOBULA__ENVELOPE__BODY_FREE]->to->node, 6);
    mob_owner_check(f.o);
    fake_fini(&f);
}
END_TEST

/* A link broke, and Free or Copies may have been lost with it: what we do not know of there is freed (again). */
START_TEST(test_raylets_tell_what_they_have_after_a_lost_link)
{
    struct mob_object_id id, gone;
    struct fake f;

    fake_init(&f);
    uint64_t ref = mob_owner_put_begin(f.o, &id), other = mob_owner_put_begin(f.o, &gone);

    fake_copies(&f, 3, (struct fake_copies){ .have = &id });                      /* it may yet be heard of */
    mob_owner_put_stored(f.o, ref, 3, 1000);
    mob_owner_put_stored(f.o, other, 3, 1000);
    fake_copies(&f, 4, (struct fake_copies){ .added = &id });
    fake_copies(&f, 3, (struct fake_copies){ .have = &id });
    fake_copies(&f, 4, (struct fake_copies){ .have = &id });
    ck_assert_uint_eq(f.sent[MOBULA__ENVELOPE__BODY_FREE], 0);
    fake_copies(&f, 5, (struct fake_copies){ .have = &id });
    ck_assert_uint_eq(f.sent[MOBULA__ENVELOPE__BODY_FREE], 1);
    mob_owner_drop(f.o, other, NULL);
    mob_owner_flush(f.o);
    fake_copies(&f, 3, (struct fake_copies){ .have = &gone });
    ck_assert_uint_eq(f.sent[MOBULA__ENVELOPE__BODY_FREE], 3);
    ck_assert_uint_eq(f.last[MOBULA__ENVELOPE__BODY_FREE]->to->node, 3);
    fake_fini(&f);
}
END_TEST

/* Its object is at another place from now on; a word that came too early, or names nothing that we know, changes nothing. */
START_TEST(test_a_node_that_leaves)
{
    struct mob_object_id id;
    struct fake f;

    fake_init(&f);
    uint64_t ref = mob_owner_put_begin(f.o, &id);

    fake_copies(&f, 3, (struct fake_copies){ .leaving = &id, .to = 4 });                /* pending */
    mob_owner_put_stored(f.o, ref, 3, 1000);
    fake_copies(&f, 3, (struct fake_copies){ .leaving = &id, .to = 4 });                /* the other copy is not known yet */
    fake_copies(&f, 3, (struct fake_copies){ .leaving = &id, .to = 3 });
    ck_assert_uint_eq(f.sent[MOBULA__ENVELOPE__BODY_FREE], 0);
    ck_assert_uint_eq(fake_look(&f, ref).node, 3);
    fake_copies(&f, 4, (struct fake_copies){ .added = &id });
    fake_copies(&f, 5, (struct fake_copies){ .added = &id });
    fake_copies(&f, 3, (struct fake_copies){ .leaving = &id, .to = 4 });
    ck_assert_uint_eq(f.sent[MOBULA__ENVELOPE__BODY_FREE], 1);
    ck_assert_uint_eq(f.last[MOBULA__ENVELOPE__BODY_FREE]->to->node, 3);
    ck_assert_uint_eq(fake_look(&f, ref).node, 4);
    ck_assert(fake_look(&f, ref).copy_count == 1 && fake_look(&f, ref).copies[0] == 5);
    fake_copies(&f, 5, (struct fake_copies){ .leaving = &id, .to = 4 });                /* of one that is not the first */
    ck_assert_uint_eq(fake_look(&f, ref).copy_count, 0);
    fake_copies(&f, 3, (struct fake_copies){ .leaving = &id, .to = 4 });                /* a repeat: it is told again */
    ck_assert_uint_eq(f.sent[MOBULA__ENVELOPE__BODY_FREE], 3);
    mob_owner_drop(f.o, ref, NULL);
    mob_owner_flush(f.o);
    ck_assert_uint_eq(f.sent[MOBULA__ENVELOPE__BODY_FREE], 4);
    ck_assert_uint_eq(f.last[MOBULA__ENVELOPE__BODY_FREE]->to->node, 4);
    mob_owner_check(f.o);
    fake_fini(&f);
}
END_TEST

/* Found by the simulator: an attempt whose answer was lost had left its result there, and then the word to free it was lost, too. */
START_TEST(test_results_of_lost_attempts_are_freed)
{
    struct fake f;
    struct mob_task_frame t;
    const void *args;

    fake_init(&f);
    uint32_t shape = fake_shape(&f);

    fake_open(&f, 0);
    uint64_t ref = fake_submit(&f, shape, 3, NULL, 0);
    struct mob_object_id id = fake_look(&f, ref).id;

    mob_owner_flush(f.o);
    fake_copies(&f, 3, (struct fake_copies){ .have = &id });                      /* it runs nowhere now */
    ck_assert_uint_eq(f.sent[MOBULA__ENVELOPE__BODY_FREE], 1);
    fake_grant(&f, shape, 1, 0);
    mob_owner_flush(f.o);
    ck_assert(fake_claim(&f, 0, &t, &args));
    fake_copies(&f, FAKE_NODE, (struct fake_copies){ .have = &id });              /* its answer is on its way */
    ck_assert_uint_eq(f.sent[MOBULA__ENVELOPE__BODY_FREE], 1);
    fake_copies(&f, 3, (struct fake_copies){ .have = &id });
    ck_assert_uint_eq(f.sent[MOBULA__ENVELOPE__BODY_FREE], 2);
    fake_finish(&f);
}
END_TEST

START_TEST(test_pending_objects_may_be_dropped)
{
    struct fake f;
    struct mob_object_id id;
    struct mob_error why = { .code = MOB_ERR_NO_SPACE, .text = "full" };

    fake_init(&f);
    uint64_t stored = mob_owner_put_begin(f.o, &id), failed = mob_owner_put_begin(f.o, &id);

    ck_assert_int_eq(mob_owner_drop(f.o, stored, NULL), 0);
    ck_assert_int_eq(mob_owner_drop(f.o, failed, NULL), 0);
    ck_assert_int_eq(mob_owner_drop(f.o, failed, NULL), -1);
    mob_owner_put_stored(f.o, stored, 3, 1000);
    mob_owner_put_failed(f.o, failed, &why);
    mob_owner_flush(f.o);
    ck_assert_uint_eq(f.sent[MOBULA__ENVELOPE__BODY_FREE], 1);
    ck_assert_uint_eq(mob_owner_counts(f.o).objects, 0);
    fake_fini(&f);
}
END_TEST

/* A worker's answer to its one task: that other owner's object. */
static uint64_t forwarded(struct fake *f, uint32_t shape, const struct mob_object_id *id)
{
    struct { struct mob_arg_head head; struct mob_object_id id; } body = { { MOB_VALUE_FORWARD, sizeof *id }, *id };
    uint64_t ref = fake_submit(f, shape, 3, NULL, 0);
    struct mob_task_frame t;
    const void *args;

    mob_owner_flush(f->o);
    ck_assert(fake_claim(f, 0, &t, &args));
    fake_reply(f, 0, &t, MOB_OK, &body, sizeof body, 1000);
    fake_drain(f);
    ck_assert_int_eq(fake_look(f, ref).state, MOB_OBJECT_PENDING);
    return ref;
}

static void watched(struct fake *f, const struct mob_object_id *id, Mobula__Watched *m)
{
    Mobula__ObjectId object;

    mob_wire_put_object(&object, id);
    m->object = &object;
    fake_tell(f, id->node, MOBULA__ENVELOPE__BODY_WATCHED, m);
}

START_TEST(test_returned_references_are_asked_for_once)
{
    struct fake f;
    struct mob_object_id id = { .cluster = 77, .node = 8, .process = 9, .task = 10 };
    Mobula__Watched__Place place = MOBULA__WATCHED__PLACE__INIT;
    Mobula__Error error = MOBULA__ERROR__INIT;
    Mobula__Watched m;
    uint32_t shape = fake_start(&f);
    uint64_t a = forwarded(&f, shape, &id), b = forwarded(&f, shape, &id);

    ck_assert_uint_eq(f.sent[MOBULA__ENVELOPE__BODY_WATCH], 1);
    ck_assert_uint_eq(f.last[MOBULA__ENVELOPE__BODY_WATCH]->to->process, 9);
    mobula__watched__init(&m);
    m.state_case = MOBULA__WATCHED__STATE_PLACE;
    m.place = &place;
    place.node = 8;
    place.size = 1 << 20;
    watched(&f, &id, &m);
    watched(&f, &id, &m);                           /* a repeat: nobody asks any more */
    ck_assert_int_eq(fake_look(&f, a).state, MOB_OBJECT_STORED);
    ck_assert(is_named(&f, b, &id));
    id.task = 11;
    uint64_t c = forwarded(&f, shape, &id);

    mob_owner_drop(f.o, c, NULL);                   /* nobody wants it; the Watch holds it */
    c = forwarded(&f, shape, &id);
    mobula__watched__init(&m);
    m.state_case = MOBULA__WATCHED__STATE_ERROR;
    m.error = &error;
    error.code = MOB_ERR_OWNER_DIED;
    watched(&f, &id, &m);
    ck_assert_int_eq(fake_look(&f, c).error->code, MOB_ERR_OWNER_DIED);
    id.task = 12;
    c = forwarded(&f, shape, &id);
    error.code = MOB_OK;                            /* neither value nor error */
    watched(&f, &id, &m);
    ck_assert_int_eq(fake_look(&f, c).error->code, MOB_ERR_PROTOCOL);
    mob_owner_check(f.o);
    fake_fini(&f);
}
END_TEST

START_TEST(test_watches_of_others_are_answered)
{
    struct fake f;
    struct mob_object_id id;
    Mobula__ObjectId object;
    Mobula__Watch m = MOBULA__WATCH__INIT;

    fake_init(&f);
    uint64_t ref = mob_owner_put_begin(f.o, &id);

    mob_wire_put_object(&object, &id);
    m.object = &object;
    fake_tell(&f, 6, MOBULA__ENVELOPE__BODY_WATCH, &m);
    ck_assert_uint_eq(f.sent[MOBULA__ENVELOPE__BODY_WATCHED], 0);
    mob_owner_put_stored(f.o, ref, 3, 1000);
    ck_assert_uint_eq(f.sent[MOBULA__ENVELOPE__BODY_WATCHED], 1);
    ck_assert_uint_eq(f.last[MOBULA__ENVELOPE__BODY_WATCHED]->to->node, 6);
    ck_assert_uint_eq(f.last[MOBULA__ENVELOPE__BODY_WATCHED]->watched->place->node, 3);
    fake_tell(&f, 6, MOBULA__ENVELOPE__BODY_WATCH, &m);
    ck_assert_uint_eq(f.sent[MOBULA__ENVELOPE__BODY_WATCHED], 2);
    object.index = 1;
    fake_tell(&f, 6, MOBULA__ENVELOPE__BODY_WATCH, &m);
    ck_assert_int_eq(f.last[MOBULA__ENVELOPE__BODY_WATCHED]->watched->error->code, MOB_ERR_OBJECT_LOST);
    object.index = 0;
    mob_owner_drop(f.o, ref, NULL);                 /* who asks must hold it: nobody does */
    mob_owner_flush(f.o);
    ck_assert_uint_eq(f.sent[MOBULA__ENVELOPE__BODY_FREE], 1);
    fake_tell(&f, 6, MOBULA__ENVELOPE__BODY_WATCH, &m);
    ck_assert_int_eq(f.last[MOBULA__ENVELOPE__BODY_WATCHED]->watched->error->code, MOB_ERR_OBJECT_LOST);
    mob_owner_check(f.o);
    fake_fini(&f);
}
END_TEST

START_TEST(test_lost_raylet_fails_all_that_is_pending)
{
    struct fake f;
    struct mob_object_id id, foreign = { .cluster = 77, .node = 8, .process = 9, .task = 10 };
    struct mob_error why = { .code = MOB_ERR_UNREACHABLE, .text = "end of file" }, err;
    uint64_t refs[6];
    uint32_t shape = fake_start(&f);

    refs[0] = forwarded(&f, shape, &foreign);
    refs[1] = mob_owner_put_begin(f.o, &id);
    refs[2] = fake_submit(&f, shape, -1, &(struct mob_arg){ .ref = refs[1] }, 1);
    for (int i = 3; i < 6; i++)
        refs[i] = fake_submit(&f, shape, -1, NULL, 0);
    for (int i = 0; i < 2000; i++)
        fake_submit(&f, shape, -1, NULL, 0);
    mob_owner_raylet_lost(f.o, &why);
    mob_owner_raylet_lost(f.o, &why);
    for (int i = 0; i < 6; i++)
        ck_assert_int_eq(fake_look(&f, refs[i]).error->code, MOB_ERR_NODE_DIED);
    ck_assert_ptr_nonnull(strstr(fake_look(&f, refs[3]).error->text, "node 2"));
    mob_owner_put_stored(f.o, refs[1], 2, 1000);
    ck_assert_uint_eq(fake_submit(&f, shape, 0, NULL, 0), 0);
    struct mob_submit s = { .shape = shape, .name = "f", .returns = 1 };

    ck_assert_int_eq(mob_owner_submit(f.o, &s, refs, &err), -1);
    ck_assert_int_eq(err.code, MOB_ERR_NODE_DIED);
    ck_assert_int_eq(mob_owner_flush(f.o), INT64_MAX);
    ck_assert_uint_eq(mob_owner_counts(f.o).leases, 0);
    mob_owner_check(f.o);
    fake_fini(&f);
}
END_TEST

START_TEST(test_argument_lost_after_it_was_ready_fails_the_task)
{
    struct fake f;
    struct mob_object_id id;
    struct mob_error lost = { .code = MOB_ERR_OBJECT_LOST, .text = "gone" };

    fake_init(&f);
    uint32_t shape = fake_shape(&f);
    uint64_t value = mob_owner_put_begin(f.o, &id), late = fake_submit(&f, shape, 3, NULL, 0);
    struct mob_arg args[] = { { .ref = value }, { .ref = late } };
    struct mob_task_frame t;
    const void *body;

    mob_owner_put_stored(f.o, value, 3, 1000);
    uint64_t queued = fake_submit(&f, shape, 3, args, 1), waiting = fake_submit(&f, shape, 3, args, 2);

    mob_owner_lost(f.o, value, fake_look(&f, value).since, &lost);
    fake_open(&f, 0);
    fake_grant(&f, shape, 1, 0);
    mob_owner_flush(f.o);
    ck_assert(fake_claim(&f, 0, &t, &body));
    ck_assert_uint_eq(t.task, late);
    fake_reply_value(&f, 0, &t, 7, 1000);
    fake_drain(&f);
    mob_owner_flush(f.o);
    ck_assert(!fake_claim(&f, 0, &t, &body));
    ck_assert_int_eq(fake_look(&f, queued).error->code, MOB_ERR_OBJECT_LOST);
    ck_assert_int_eq(fake_look(&f, waiting).error->code, MOB_ERR_OBJECT_LOST);
    mob_owner_check(f.o);
    fake_fini(&f);
}
END_TEST

UNIT_MAIN("owner_object", test_dropped_refs_are_refused_by_name, test_waiters_are_told_once, test_free_goes_to_each_node_with_a_copy,
          test_raylets_tell_of_copies, test_raylets_tell_what_they_have_after_a_lost_link, test_a_node_that_leaves,
          test_results_of_lost_attempts_are_freed, test_pending_objects_may_be_dropped, test_returned_references_are_asked_for_once,
          test_watches_of_others_are_answered, test_lost_raylet_fails_all_that_is_pending,
          test_argument_lost_after_it_was_ready_fails_the_task)
