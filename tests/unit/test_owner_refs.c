/* SPDX-License-Identifier: Apache-2.0 */
/* test_owner_refs.c -- references between processes: holds of ours by others, ours of others, and references inside values. */
#include "tests/unit/owner_fake.h"
#include "tests/unit/unit.h"

#define REFERENCES MOBULA__ENVELOPE__BODY_REFERENCES
#define DONE MOBULA__ENVELOPE__BODY_REFERENCES_DONE
#define MOURN MOBULA__ENVELOPE__BODY_MOURN
#define FREE MOBULA__ENVELOPE__BODY_FREE
#define ORPHANS MOBULA__ENVELOPE__BODY_ORPHANS

static const struct mob_address other = { 6, 9 }, third = { 7, 11 };
static const struct mob_object_id foreign = { .cluster = 77, .node = 6, .process = 9, .task = 10 };

/* An envelope from a process. */
static void tell_from(struct fake *f, struct mob_address from, Mobula__Envelope__BodyCase body, void *message)
{
    struct mob_envelope e;
    size_t size;

    mob_envelope_init(&e, from, (struct mob_address){ FAKE_NODE, FAKE_PROCESS }, body);
    e.e.want = message;
    const void *bytes = mob_wire_pack(f->wire, &e.e, &size);

    mob_owner_receive(f->o, bytes, size);
}

/* One change, from `from`, of a ticket of `by`, in the name of `holder`. */
static void say_of(struct fake *f, struct mob_address from, struct mob_address by, uint64_t seq, bool held,
                   const struct mob_object_id *id, uint64_t ticket, struct mob_address holder)
{
    Mobula__References m = MOBULA__REFERENCES__INIT;
    Mobula__References__Change c = MOBULA__REFERENCES__CHANGE__INIT, *list[1] = { &c };
    Mobula__Address issuer, in_name_of;
    Mobula__ObjectId object;

    mob_wire_put_address(&issuer, by);
    mob_wire_put_address(&in_name_of, holder);
    mob_wire_put_object(&object, id);
    c.held = held;
    c.ticket = ticket;
    c.issuer = &issuer;
    c.holder = held ? &in_name_of : NULL;
    c.object = held ? &object : NULL;
    m.seq = seq;
    m.n_changes = 1;
    m.changes = list;
    tell_from(f, from, REFERENCES, &m);
}

static void say(struct fake *f, struct mob_address from, uint64_t seq, bool held, const struct mob_object_id *id, uint64_t ticket,
                struct mob_address holder)
{
    say_of(f, from, from, seq, held, id, ticket, holder);
}

static void answer(struct fake *f, struct mob_address owner, uint64_t seq, enum mob_code code)
{
    Mobula__ReferencesDone m = MOBULA__REFERENCES_DONE__INIT;
    Mobula__Error error = MOBULA__ERROR__INIT;

    error.code = code;
    error.text = (char *)"as the test says";
    m.seq = seq;
    m.error = code == MOB_OK ? NULL : &error;
    tell_from(f, owner, DONE, &m);
    mob_owner_check(f->o);
}

static void mourned(struct fake *f, struct mob_address process, bool unreachable)
{
    Mobula__Mourned m = MOBULA__MOURNED__INIT;
    Mobula__Address address;

    mob_wire_put_address(&address, process);
    m.process = &address;
    m.unreachable = unreachable;
    fake_tell(f, process.node, MOBULA__ENVELOPE__BODY_MOURNED, &m);
    mob_owner_check(f->o);
}

static uint64_t stored(struct fake *f, struct mob_object_id *ret_id)
{
    uint64_t ref = mob_owner_put_begin(f->o, ret_id);

    mob_owner_put_stored(f->o, ref, 3, 1000);
    return ref;
}

static unsigned freed(struct fake *f)
{
    mob_owner_flush(f->o);
    mob_owner_check(f->o);
    return f->sent[FREE];
}

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
    tell_from(&f, third, REFERENCES, &m);                       /* a release of what is neither from it nor its own */
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

/* -- ours of others -------------------------------------------------------------------------------------------------------- */

struct counted {
    struct mob_waiter w;
    int calls;
};

static void count(struct mob_waiter *w)
{
    ((struct counted *)w)->calls++;
}

START_TEST(test_what_is_met_is_held_before_its_source_goes)
{
    struct counted all = { .w.ready = count };
    struct mob_object_id id;
    struct fake f;

    fake_init(&f);
    mob_list_init(&all.w.link);
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

static void ask_of_orphans(struct fake *f, struct mob_address issuer, uint64_t first, size_t count)
{
    Mobula__Orphans m = MOBULA__ORPHANS__INIT;
    Mobula__ObjectId object, *list[2] = { &object, &object };
    uint64_t tickets[2] = { first, first + 1 };
    Mobula__Address address;

    mob_wire_put_address(&address, issuer);
    mob_wire_put_object(&object, &foreign);
    m.issuer = &address;
    m.tickets = tickets;
    m.objects = list;
    m.n_tickets = m.n_objects = count;
    tell_from(f, other, ORPHANS, &m);
    mob_owner_flush(f->o);
}

/* -- inside values --------------------------------------------------------------------------------------------------------- */

struct packed_answer {
    struct mob_arg_head tickets_head;
    uint64_t ticket;
    struct mob_object_id lent[2];
    struct mob_arg_head head;
    uint8_t value[8 + 2 * sizeof(struct mob_object_id) + sizeof(struct mob_packed_footer)];
};

static void fill(struct packed_answer *a, const struct mob_object_id ids[2])
{
    memset(a, 0, sizeof *a);
    a->tickets_head = (struct mob_arg_head){ MOB_VALUE_TICKETS, 8 + 2 * sizeof(struct mob_object_id) };
    a->ticket = 40;
    a->head = (struct mob_arg_head){ MOB_VALUE_PACKED, sizeof a->value };
    memcpy(a->value, "abcdefg", 8);
    for (size_t i = 0; i < 2; i++) {
        a->lent[i] = ids[i];
        mob_packed_put_id(a->value, 8, i, &ids[i]);
    }
    mob_packed_finish(a->value, 8, 2);
}

/* The one task's answer. */
static uint64_t answered(struct fake *f, uint32_t shape, const void *body, size_t size)
{
    uint64_t ref = fake_submit(f, shape, 0, NULL, 0);
    struct mob_task_frame t;
    const void *args;

    mob_owner_flush(f->o);
    ck_assert(fake_claim(f, 0, &t, &args));
    fake_reply(f, 0, &t, MOB_OK, body, size, 1000);
    fake_drain(f);
    mob_owner_check(f->o);
    return ref;
}

START_TEST(test_a_result_brings_references)
{
    struct mob_object_id ids[2] = { foreign };
    struct packed_answer a;
    struct fake f;

    fake_init(&f);
    uint32_t shape = fake_shape(&f);

    fake_open(&f, 0);
    fake_grant(&f, shape, 1, 0);
    uint64_t own = stored(&f, &ids[1]);

    say(&f, (struct mob_address){ FAKE_NODE, 100 }, 1, true, &ids[1], 41, (struct mob_address){ FAKE_NODE, FAKE_PROCESS });
    fill(&a, ids);
    uint64_t ref = answered(&f, shape, &a, sizeof a);
    struct mob_object_info info = fake_look(&f, ref);

    ck_assert_uint_eq(info.size, 8);
    ck_assert_uint_eq(info.packed.refs, 2);
    uint64_t inner = mob_owner_inner(f.o, ref, 0, &ids[0]);

    ck_assert_uint_eq(mob_owner_inner(f.o, ref, 1, &ids[1]), own);
    mob_owner_drop(f.o, own, NULL);
    mob_owner_drop(f.o, own, NULL);
    ck_assert_uint_eq(freed(&f), 0);                            /* the value has it */
    mob_owner_drop(f.o, ref, NULL);
    ck_assert_uint_eq(freed(&f), 1);
    ck_assert_uint_eq(f.sent[REFERENCES], 0);
    mob_owner_drop(f.o, inner, NULL);
    mob_owner_flush(f.o);
    ck_assert_uint_eq(f.last[REFERENCES]->references->changes[0]->ticket, 40);
    ck_assert_uint_eq(mob_owner_counts(f.o).objects, 0);
    fake_fini(&f);
}
END_TEST

/* A worker returns to us, unseen, a reference of our own, and ends after its answer. */
START_TEST(test_what_came_back_outlives_the_worker)
{
    const struct mob_address worker = { FAKE_NODE, 100 };
    struct {
        struct mob_arg_head tickets_head;
        uint64_t ticket;
        struct mob_object_id lent;
        struct mob_arg_head head;
        struct mob_object_id forward;
    } a = { .tickets_head = { MOB_VALUE_TICKETS, 8 + sizeof a.lent }, .ticket = 41, .head = { MOB_VALUE_FORWARD, sizeof a.forward } };
    Mobula__Watched m;
    Mobula__Watched__Place place = MOBULA__WATCHED__PLACE__INIT;
    Mobula__ObjectId object;
    struct fake f;

    fake_init(&f);
    uint32_t shape = fake_shape(&f);

    fake_open(&f, 0);
    fake_grant(&f, shape, 1, 0);
    uint64_t own = stored(&f, &a.lent);

    a.forward = a.lent;
    say(&f, worker, 1, true, &a.lent, 41, (struct mob_address){ FAKE_NODE, FAKE_PROCESS });
    uint64_t ref = answered(&f, shape, &a, sizeof a);

    mob_wire_put_object(&object, &a.lent);
    mobula__watched__init(&m);
    m.object = &object;
    m.state_case = MOBULA__WATCHED__STATE_PLACE;
    m.place = &place;
    place.object = &object;
    place.node = 3;
    place.size = 1000;
    fake_tell(&f, FAKE_NODE, MOBULA__ENVELOPE__BODY_WATCHED, &m);
    mob_owner_drop(f.o, own, NULL);
    mourned(&f, worker, false);
    ck_assert_uint_eq(freed(&f), 0);
    mob_owner_drop(f.o, ref, NULL);
    ck_assert_uint_eq(freed(&f), 1);
    ck_assert_uint_eq(mob_owner_counts(f.o).held, 0);
    ck_assert_uint_eq(mob_owner_counts(f.o).objects, 0);
    fake_fini(&f);
}
END_TEST

/* Its answer may be under way as long as it is lent to us; then what we do not have is released. */
START_TEST(test_tickets_that_never_came_are_released)
{
    const struct mob_address worker = { FAKE_NODE, 100 };
    struct mob_object_id ids[2] = { foreign, foreign };
    struct packed_answer a;
    struct fake f;

    fake_init(&f);
    uint32_t shape = fake_shape(&f);

    fake_open(&f, 0);
    fake_grant(&f, shape, 1, 0);
    fill(&a, ids);                                              /* tickets 40 and 41 */
    uint64_t ref = answered(&f, shape, &a, sizeof a);

    ask_of_orphans(&f, worker, 41, 2);
    ck_assert_uint_eq(f.sent[REFERENCES], 0);
    f.now_ns += 200 * FAKE_MS;                                  /* the lease is returned */
    mob_owner_flush(f.o);
    mob_owner_flush(f.o);
    ck_assert_uint_eq(mob_owner_counts(f.o).leases, 0);
    ck_assert_uint_eq(f.sent[REFERENCES], 1);
    ck_assert_uint_eq(f.last[REFERENCES]->references->n_changes, 1);
    ck_assert(!f.last[REFERENCES]->references->changes[0]->held);
    ck_assert_uint_eq(f.last[REFERENCES]->references->changes[0]->ticket, 42);
    ck_assert_uint_eq(f.last[REFERENCES]->references->changes[0]->issuer->process, worker.process);
    mob_owner_drop(f.o, ref, NULL);
    fake_fini(&f);
}
END_TEST

START_TEST(test_malformed_references_fail_the_task)
{
    struct mob_object_id ids[2] = { foreign, foreign };
    struct packed_answer a;
    struct fake f;

    fake_init(&f);
    uint32_t shape = fake_shape(&f);

    fake_open(&f, 0);
    fake_grant(&f, shape, 1, 0);
    for (int how = 0; how < 4; how++) {
        struct mob_packed_footer footer = { .data_size = how == 1 ? 9 : 8, .refs = how == 0 ? UINT32_MAX : 2,
                                            .magic = MOB_PACKED_MAGIC };

        fill(&a, ids);
        memcpy(a.value + sizeof a.value - sizeof footer, &footer, sizeof footer);
        if (how == 2)
            a.tickets_head.size -= 8;
        if (how == 3)
            a.lent[1].node = 0;
        ck_assert_int_eq(fake_look(&f, answered(&f, shape, &a, sizeof a)).error->code, MOB_ERR_PROTOCOL);
    }
    fake_fini(&f);
}
END_TEST

START_TEST(test_a_task_holds_what_its_arguments_carry)
{
    struct mob_object_id id;
    struct fake f;
    struct mob_task_frame t;
    struct mob_arg_head head;
    const void *args;
    uint8_t value[8 + sizeof id + sizeof(struct mob_packed_footer)] = "abcdefg";

    fake_init(&f);
    uint32_t shape = fake_shape(&f);

    fake_open(&f, 0);
    fake_grant(&f, shape, 1, 0);
    uint64_t inner = stored(&f, &id);
    struct mob_arg arg = { .data = value, .size = sizeof value, .carried = &inner, .carried_count = 1 };

    mob_packed_put_id(value, 8, 0, &id);
    mob_packed_finish(value, 8, 1);
    uint64_t ref = fake_submit(&f, shape, 3, (struct mob_arg[]){ arg, { .data = "x", .size = 1 } }, 2);

    mob_owner_drop(f.o, inner, NULL);
    ck_assert_uint_eq(freed(&f), 0);
    ck_assert(fake_claim(&f, 0, &t, &args));
    memcpy(&head, args, sizeof head);
    ck_assert_uint_eq(head.kind, MOB_VALUE_PACKED);
    ck_assert_mem_eq((const char *)args + sizeof head, value, sizeof value);
    ck_assert_uint_eq(t.args, 2);
    fake_reply_value(&f, 0, &t, 1, 1000);
    fake_drain(&f);
    ck_assert_uint_eq(freed(&f), 1);
    mob_owner_drop(f.o, ref, NULL);
    fake_fini(&f);
}
END_TEST

START_TEST(test_a_long_chain_of_values_ends_without_recursion)
{
    struct mob_object_id id;
    struct fake f;
    uint8_t value[sizeof id + sizeof(struct mob_packed_footer)];

    fake_init(&f);
    uint64_t ref = mob_owner_put(f.o, "end", 3, NULL);

    for (int i = 0; i < 300000; i++) {
        mob_owner_name(f.o, ref, &id, NULL);
        mob_packed_put_id(value, 0, 0, &id);
        mob_packed_finish(value, 0, 1);
        uint64_t next = mob_owner_put_packed(f.o, value, sizeof value, &ref, 1, NULL);

        mob_owner_drop(f.o, ref, NULL);
        ref = next;
    }
    ck_assert_uint_eq(mob_owner_counts(f.o).objects, 300001);
    mob_owner_drop(f.o, ref, NULL);
    ck_assert_uint_eq(mob_owner_counts(f.o).objects, 0);
    mob_owner_check(f.o);
    fake_fini(&f);
}
END_TEST

UNIT_MAIN("owner_refs", test_an_object_lives_as_long_as_others_hold_it, test_nobody_speaks_for_another,
          test_what_comes_too_early_is_refused, test_an_unreachable_holder_is_asked_for_again,
          test_what_is_met_is_held_before_its_source_goes, test_a_lost_link_repeats_and_a_dead_owner_ends,
          test_what_a_task_met_is_held_if_it_is_kept, test_what_is_returned_to_its_owner_ends_with_the_worker,
          test_what_is_lent_lives_for_its_holder, test_a_result_brings_references,
          test_what_came_back_outlives_the_worker, test_who_holds_by_tickets_of_a_dead_worker_is_asked, test_one_that_is_gone_speaks_again,
          test_tickets_that_never_came_are_released,
          test_malformed_references_fail_the_task, test_a_task_holds_what_its_arguments_carry,
          test_a_long_chain_of_values_ends_without_recursion)
