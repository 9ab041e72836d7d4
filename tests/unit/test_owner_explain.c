/* SPDX-License-Identifier: Apache-2.0 */
/* test_owner_explain.c -- an owner says why its tasks are not over. */
#include <jansson.h>

#include "tests/unit/owner_fake.h"
#include "tests/unit/unit.h"

static struct fake f;
static uint32_t shape;

/* The rows on one object of ours, by its ref, and on the process. */
static json_t *rows_of(uint64_t ref, uint32_t process)
{
    char name[MOB_OBJECT_NAME_SIZE], *argument, *text;
    json_t *rows;

    mob_task_name((struct mob_address){ FAKE_NODE, process }, ref, name);
    argument = mob_printf("{\"tasks\":[\"%s\",\"x\",7]}", name);
    text = mob_owner_explain(f.o, argument);
    rows = json_loads(text, 0, NULL);
    ck_assert_ptr_nonnull(rows);
    free(text);
    free(argument);
    return rows;
}

static json_t *row_of(uint64_t ref)
{
    json_t *rows = rows_of(ref, FAKE_PROCESS), *row;

    ck_assert_uint_eq(json_array_size(rows), 2);
    row = json_incref(json_array_get(rows, 0));
    json_decref(rows);
    return row;
}

static void expect_text(const json_t *row, const char *key, const char *wanted)
{
    ck_assert_pstr_eq(json_string_value(json_object_get(row, key)), wanted);
}

static void expect_number(const json_t *row, const char *key, json_int_t wanted)
{
    ck_assert_int_eq(json_integer_value(json_object_get(row, key)), wanted);
}

/* From waiting for an argument to a result; and a task that fails. */
START_TEST(test_each_state_says_what_it_waits_for)
{
    struct mob_task_frame frame;
    const void *body;
    char name[MOB_OBJECT_NAME_SIZE];
    json_t *row;
    uint64_t first, second, third;

    fake_init(&f);
    shape = fake_shape(&f);
    first = fake_submit(&f, shape, 3, NULL, 0);
    second = fake_submit(&f, shape, 3, &(struct mob_arg){ .ref = first }, 1);
    third = fake_submit(&f, shape, 3, NULL, 0);
    mob_owner_flush(f.o);
    f.now_ns += 2000 * FAKE_MS;

    row = row_of(second);
    expect_text(row, "state", "WAITING");
    expect_text(row, "name", "work");
    expect_number(row, "age_ms", 2000);
    ck_assert_uint_eq(json_array_size(json_object_get(row, "waits")), 1);
    mob_object_id_name(&(struct mob_object_id){ .node = FAKE_NODE, .process = FAKE_PROCESS, .task = first }, name);
    ck_assert_str_eq(json_string_value(json_array_get(json_object_get(row, "waits"), 0)), name);
    json_decref(row);

    row = row_of(third);
    expect_text(row, "state", "QUEUED");
    expect_text(row, "resources", "CPU=1");
    expect_text(row, "strategy", "hybrid");
    expect_number(row, "before", 1);
    expect_number(row, "queued", 2);
    expect_number(row, "leases", 0);
    json_decref(row);

    fake_open(&f, 0);
    fake_grant(&f, shape, 9, 0);
    mob_owner_flush(f.o);
    ck_assert(fake_claim(&f, 0, &frame, &body));
    row = row_of(third);
    expect_text(row, "state", "PUSHED");
    expect_text(row, "worker", "2.100");
    expect_text(row, "ip", "10.0.0.7");
    expect_number(row, "pid", 4711);
    expect_number(row, "before", 1);
    json_decref(row);

    fake_over(&f, 9, 0, FAKE_NODE, MOB_ERR_CANCELLED, NULL);
    mob_owner_cancel(f.o, third, true, NULL);
    mob_owner_flush(f.o);
    row = row_of(third);
    expect_text(row, "state", "FAILED");
    expect_text(row, "name", "work");
    json_decref(row);
    mob_owner_drop(f.o, third, NULL);
    row = row_of(third);
    expect_text(row, "state", "GONE");
    json_decref(row);
    fake_fini(&f);
}
END_TEST

static void answer_stored(const struct mob_task_frame *t)
{
    struct { struct mob_arg_head head; struct mob_stored_value value; } body = { { MOB_VALUE_STORED, sizeof body.value }, {
        .object = { .cluster = 77, .node = FAKE_NODE, .process = FAKE_PROCESS, .task = t->task }, .size = 500000, .node = 9 } };

    fake_reply(&f, 0, t, MOB_OK, &body, sizeof body, 1000);
    fake_drain(&f);
    mob_owner_flush(f.o);
}

static void nothing(struct mob_waiter *w);

static void expect_kept(const char *wanted)
{
    char *text = mob_owner_references(f.o, 0);
    const char *bytes = strstr(text, ",\"kept_max\"");

    ck_assert_ptr_nonnull(bytes);
    ck_assert_pstr_eq(bytes, wanted);
    free(text);
}

/* A result in a store, from its being there to its being made again; and one that cannot be. */
START_TEST(test_what_would_become_of_a_lost_result)
{
    struct mob_error why = { .code = MOB_ERR_OBJECT_LOST };
    struct mob_waiter w = { .ready = nothing };
    struct mob_task_frame frame;
    const void *body;
    uint64_t ref, once;
    json_t *row;

    shape = fake_start(&f);
    ref = fake_submit(&f, shape, 3, NULL, 0);
    once = fake_submit(&f, shape, 0, NULL, 0);
    mob_owner_flush(f.o);
    for (int i = 0; i < 2; i++) {
        ck_assert(fake_claim(&f, 0, &frame, &body));
        answer_stored(&frame);
    }
    row = row_of(ref);
    expect_text(row, "state", "READY");
    expect_number(row, "stored", 1);
    expect_number(row, "lost", 0);
    expect_number(row, "retries", 3);
    expect_number(row, "on", (json_int_t)fake_look(&f, ref).node);
    ck_assert_ptr_null(json_object_get(row, "put"));
    json_decref(row);
    row = row_of(once);
    expect_text(row, "why_not", "its task may not run again, as its max_retries is 0");
    json_decref(row);
    expect_kept(",\"kept_max\":1073741824,\"again\":0,\"evicted\":0}]");

    ck_assert(mob_owner_lost(f.o, ref, fake_look(&f, ref).since, &why));
    row = row_of(ref);
    expect_text(row, "state", "LOST");
    expect_number(row, "lost", 1);
    expect_number(row, "attempt", 0);
    json_decref(row);
    mob_list_init(&w.link);
    ck_assert(mob_owner_wait(f.o, ref, &w));
    mob_owner_flush(f.o);
    row = row_of(ref);
    expect_text(row, "state", "PUSHED");
    expect_number(row, "attempt", 1);
    ck_assert(json_is_true(json_object_get(row, "again")));
    json_decref(row);
    expect_kept(",\"kept_max\":1073741824,\"again\":1,\"evicted\":0}]");
    fake_fini(&f);
}
END_TEST

static void nothing(struct mob_waiter *w)
{
    (void)w;
}

/* What calls of the process wait for stands in its own row; others' tasks have none. */
START_TEST(test_the_process_says_what_its_calls_wait_for)
{
    struct mob_waiter w = { .ready = nothing };
    json_t *rows;
    uint64_t ref;

    fake_init(&f);
    shape = fake_shape(&f);
    ref = fake_submit(&f, shape, 3, NULL, 0);
    rows = rows_of(ref, FAKE_PROCESS + 1);
    ck_assert_uint_eq(json_array_size(rows), 1);
    ck_assert_uint_eq(json_array_size(json_object_get(json_array_get(rows, 0), "waits")), 0);
    json_decref(rows);
    mob_list_init(&w.link);
    ck_assert(mob_owner_wait(f.o, ref, &w));
    rows = rows_of(ref, FAKE_PROCESS + 1);
    ck_assert_uint_eq(json_array_size(json_object_get(json_array_get(rows, 0), "waits")), 1);
    json_decref(rows);
    mob_owner_wait_cancel(f.o, &w);
    fake_fini(&f);
}
END_TEST

/* A value that is an exception; a task that is tried again after a death; one whose argument failed has not the other's name. */
START_TEST(test_who_failed_and_how)
{
    struct { struct mob_arg_head head; uint64_t value; } body = { { MOB_VALUE_INLINE, 8 }, 7 };
    struct mob_death death = { .killed_by = MOB_KILLED_BY_EXIT, .exit_code = 3 };
    struct mob_task_frame frame;
    uint64_t raises, dies, after;
    const void *packed;
    json_t *row;

    shape = fake_start(&f);
    raises = fake_submit(&f, shape, 0, NULL, 0);
    dies = fake_submit(&f, shape, 1, NULL, 0);
    after = fake_submit(&f, shape, 0, &(struct mob_arg){ .ref = dies }, 1);
    mob_owner_flush(f.o);
    ck_assert(fake_claim(&f, 0, &frame, &packed));
    fake_reply(&f, 0, &frame, MOB_ANSWER_RAISED, &body, sizeof body, 1000);
    fake_drain(&f);
    mob_owner_flush(f.o);
    row = row_of(raises);
    expect_text(row, "state", "RAISED");
    json_decref(row);

    ck_assert(fake_claim(&f, 0, &frame, &packed));
    fake_dies(&f, 1, 0, &frame, &death);
    mob_owner_check(f.o);
    row = row_of(dies);
    expect_text(row, "how", "its worker exited with code 3");
    expect_text(row, "error", "MOB_ERR_WORKER_CRASHED");
    json_decref(row);

    fake_open(&f, 1);
    fake_grant(&f, shape, 2, 1);
    mob_owner_flush(f.o);
    ck_assert(fake_claim(&f, 1, &frame, &packed));
    fake_dies(&f, 2, 1, &frame, &death);
    mob_owner_check(f.o);
    row = row_of(dies);
    expect_text(row, "state", "FAILED");
    expect_text(row, "name", "work");
    json_decref(row);
    row = row_of(after);
    expect_text(row, "state", "FAILED");
    ck_assert_ptr_null(json_object_get(row, "name"));
    json_decref(row);
    fake_finish(&f);
}
END_TEST

UNIT_MAIN("owner_explain", test_each_state_says_what_it_waits_for, test_what_would_become_of_a_lost_result,
          test_the_process_says_what_its_calls_wait_for, test_who_failed_and_how)
