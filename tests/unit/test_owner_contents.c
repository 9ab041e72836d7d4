/* SPDX-License-Identifier: Apache-2.0 */
/* test_owner_contents.c -- references inside values: what a result brings, what an argument carries, and what is malformed. */
#include "tests/unit/owner_refs.h"

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
    fake_tell_from(f, other, ORPHANS, &m);
    mob_owner_flush(f->o);
}

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
    uint32_t shape = fake_start(&f);
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
    struct fake f;
    uint32_t shape = fake_start(&f);
    uint64_t own = stored(&f, &a.lent);

    a.forward = a.lent;
    say(&f, worker, 1, true, &a.lent, 41, (struct mob_address){ FAKE_NODE, FAKE_PROCESS });
    uint64_t ref = answered(&f, shape, &a, sizeof a);

    fake_found(&f, FAKE_NODE, &a.lent, 3, 0);
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
    uint32_t shape = fake_start(&f);

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
    uint32_t shape = fake_start(&f);

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
    uint32_t shape = fake_start(&f);
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

UNIT_MAIN("owner_contents", test_a_result_brings_references, test_what_came_back_outlives_the_worker,
          test_tickets_that_never_came_are_released, test_malformed_references_fail_the_task,
          test_a_task_holds_what_its_arguments_carry, test_a_long_chain_of_values_ends_without_recursion)
