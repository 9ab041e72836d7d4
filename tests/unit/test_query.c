/* SPDX-License-Identifier: Apache-2.0 */
/* test_query.c -- the head's answers. */
#include "unit.h"

#include "head_answer.h"

static json_t *ask(struct fake *f, const char *verb, const char *argument, int *ret_code)
{
    uint64_t link = fake_link(f);

    fake_query(f, link, 5, verb, argument);
    fake_tick(f);
    return fake_answer(f, link, 5, ret_code);
}

START_TEST(test_nodes_and_status)
{
    struct fake f;
    struct fake_node a = { 0 }, b = { 0 }, c = { 0 };
    json_t *json, *row;
    int code;

    fake_init(&f);
    fake_join(&f, &a, "CPU=4,memory=1GiB");
    fake_join(&f, &b, "CPU=2.5");
    fake_join(&f, &c, "CPU=2");
    mob_head_link_lost(f.head, c.link, true);
    fake_report(&f, &a, 2, "CPU=1,memory=1GiB", 0);
    fake_demand(&f, &a, &(struct fake_demand){ .process = 1, .count = 3, .resources = "CPU=3" });

    json = ask(&f, "nodes", "", &code);
    ck_assert_uint_eq(json_array_size(json_object_get(json, "nodes")), 3);
    row = json_array_get(json_object_get(json, "nodes"), 0);
    ck_assert_str_eq(json_string_value(json_object_get(row, "state")), "alive");
    ck_assert_int_eq(json_integer_value(json_object_get(json_object_get(row, "total"), "memory")), 1 << 30);
    ck_assert_int_eq(json_integer_value(json_object_get(json_object_get(row, "available"), "CPU")), 1);
    row = json_array_get(json_object_get(json, "nodes"), 2);
    ck_assert_str_eq(json_string_value(json_object_get(row, "state")), "dead");
    ck_assert_ptr_nonnull(json_object_get(row, "reason"));
    json_decref(json);

    json = ask(&f, "status", "", &code);
    ck_assert_uint_eq(json_array_size(json_object_get(json, "nodes")), 2);
    ck_assert_double_eq(json_number_value(json_object_get(json_object_get(json, "total"), "CPU")), 6.5);
    ck_assert_double_eq(json_number_value(json_object_get(json_object_get(json, "available"), "CPU")), 3.5);
    ck_assert_int_eq(json_integer_value(json_object_get(json, "waiting")), 3);
    ck_assert_int_eq(json_integer_value(json_object_get(json, "died")), 1);     /* not those that left, nor drivers' own */
    row = json_array_get(json_object_get(json, "demands"), 0);
    ck_assert_str_eq(json_string_value(json_object_get(row, "state")), "waiting");
    ck_assert_str_eq(json_string_value(json_object_get(json, "cluster")), "30313233343536373839616263646500");
    json_decref(json);

    json = ask(&f, "health", "", &code);
    ck_assert(json_is_true(json_object_get(json, "ok")));
    json_decref(json);
    json = ask(&f, "stop", "", &code);
    ck_assert_uint_eq(f.stopped, 1);
    json_decref(json);
    ck_assert_ptr_null(ask(&f, "nonsense", "", &code));
    ck_assert_int_eq(code, MOB_ERR_INVALID);
    fake_fini(&f);
}
END_TEST

START_TEST(test_wait)
{
    struct fake f;
    struct fake_node a = { 0 }, b = { .driver_only = true }, c = { 0 };
    uint64_t first, second, third;
    json_t *json;
    int code;

    fake_init(&f);
    fake_query(&f, first = fake_link(&f), 1, "wait", "{\"nodes\":2}");
    fake_query(&f, second = fake_link(&f), 2, "wait", "{\"nodes\":9,\"timeout_ms\":300}");
    fake_query(&f, third = fake_link(&f), 3, "wait", "{\"nodes\":1}");
    mob_head_link_lost(f.head, third, false);
    fake_join(&f, &a, "CPU=4");
    fake_join(&f, &b, "CPU=4");
    ck_assert_ptr_null(fake_answer(&f, first, 1, &code));
    ck_assert_ptr_null(fake_answer(&f, third, 3, &code));
    fake_join(&f, &c, "CPU=4");
    json = fake_answer(&f, first, 1, &code);
    ck_assert_int_eq(json_integer_value(json_object_get(json, "nodes")), 2);
    json_decref(json);
    fake_pass(&f, 200);
    ck_assert_ptr_null(fake_answer(&f, second, 2, &code));
    ck_assert_int_eq(code, MOB_OK);
    fake_pass(&f, 100);
    ck_assert_ptr_null(fake_answer(&f, second, 2, &code));
    ck_assert_int_eq(code, MOB_ERR_TIMEOUT);
    fake_fini(&f);
}
END_TEST

START_TEST(test_long_answers_come_in_parts)
{
    struct fake f;
    uint64_t link;
    const Mobula__Envelope *e;
    char *text = mob_alloc((600 << 10) + 1);
    size_t size = 0, parts = 0;

    fake_init(&f);
    link = fake_link(&f);
    memset(text, 'x', 600 << 10);
    mob_head_reply_part(f.head, link, 4, (struct mob_address){ 0, 0 }, text, 600 << 10);
    mob_head_reply(f.head, link, 4, (struct mob_address){ 0, 0 }, "end", 3, NULL);
    while ((e = fake_take(&f, link, MOBULA__ENVELOPE__BODY_REPLY)) != NULL) {
        ck_assert_uint_le(e->reply->text.len, 256 << 10);
        size += e->reply->text.len;
        parts++;
        ck_assert_int_eq(e->reply->last, size == (600 << 10) + 3);
    }
    ck_assert_uint_eq(parts, 4);
    free(text);
    fake_fini(&f);
}
END_TEST

static void silences(struct fake *f, json_int_t *ret_now_ms, json_int_t *ret_longest_ms)
{
    int code;
    json_t *json = ask(f, "status", "", &code), *row = json_array_get(json_object_get(json, "nodes"), 0);

    *ret_now_ms = json_integer_value(json_object_get(row, "silent_ms"));
    *ret_longest_ms = json_integer_value(json_object_get(row, "most_silent_ms"));
    json_decref(json);
}

/* How long a node was silent before it was heard of again is kept, as the longest. */
START_TEST(test_the_longest_silence)
{
    struct fake f;
    struct fake_node a = { 0 };
    json_int_t silent_ms, kept_ms;

    fake_init(&f);
    fake_join(&f, &a, "CPU=4");
    fake_pass(&f, 700);
    silences(&f, &silent_ms, &kept_ms);
    ck_assert_int_ge(silent_ms, 500);
    ck_assert_int_eq(kept_ms, 0);
    for (uint64_t version = 2; version < 4; version++) {
        json_int_t now_ms, longest_ms = silent_ms;

        fake_report(&f, &a, version, "CPU=1", 0);
        fake_pass(&f, 300);
        silences(&f, &now_ms, &kept_ms);
        ck_assert_int_lt(now_ms, longest_ms);
        ck_assert_int_eq(kept_ms, longest_ms);
    }
    fake_fini(&f);
}
END_TEST

/* Each node answers for itself; one that is silent is named, and keeps nobody waiting for long. */
START_TEST(test_memory_is_gathered)
{
    struct fake f;
    struct fake_node a = { 0 }, b = { 0 };
    const Mobula__Envelope *e;
    json_t *json, *nodes;
    uint64_t link, id;
    int code;

    fake_init(&f);
    link = fake_link(&f);
    fake_query(&f, link, 7, "memory", "{\"limit\":3}");
    json = fake_answer(&f, link, 7, &code);
    ck_assert_uint_eq(json_array_size(json_object_get(json, "nodes")), 0);
    json_decref(json);
    fake_join(&f, &a, "CPU=4");
    fake_join(&f, &b, "CPU=4");
    fake_query(&f, link, 8, "memory", "{\"limit\":3}");
    e = fake_expect(&f, a.link, MOBULA__ENVELOPE__BODY_QUERY);
    ck_assert_str_eq(e->query->argument, "{\"limit\":3}");
    id = e->query->id;
    ck_assert_ptr_nonnull(fake_take(&f, b.link, MOBULA__ENVELOPE__BODY_QUERY));
    fake_reply(&f, &a, id, "{\"node\":1,\"obj", false);
    fake_reply(&f, &b, id + 99, "{}", true);
    fake_reply(&f, &a, id, "ects\":[]}", true);
    ck_assert_ptr_null(fake_take(&f, link, MOBULA__ENVELOPE__BODY_REPLY));
    fake_report(&f, &a, 2, "CPU=4", 0);
    for (int i = 0; i < 60; i++) {
        fake_report(&f, &a, 2, "CPU=4", 0);
        fake_report(&f, &b, 2, "CPU=4", 0);
        fake_pass(&f, 100);
    }
    json = fake_answer(&f, link, 8, &code);
    nodes = json_object_get(json, "nodes");
    ck_assert_uint_eq(json_array_size(nodes), 2);
    ck_assert_ptr_nonnull(json_object_get(json_array_get(nodes, 0), "objects"));
    ck_assert_str_eq(json_string_value(json_object_get(json_array_get(nodes, 1), "error")), "it does not answer");
    json_decref(json);
    fake_reply(&f, &b, id, "{}", true);                 /* too late: nobody waits */
    fake_query(&f, link, 10, "memory", "");             /* nobody waits for one whose link is lost */
    e = fake_take(&f, a.link, MOBULA__ENVELOPE__BODY_QUERY);
    id = e->query->id;
    fake_reply(&f, &a, id, "{\"node\":1,\"objects\":[]}", true);
    fake_reply(&f, &b, id, "{\"node\":2,\"obj", false);
    mob_head_link_lost(f.head, b.link, true);
    fake_tick(&f);
    json = fake_answer(&f, link, 10, &code);
    ck_assert_uint_eq(json_array_size(json_object_get(json, "nodes")), 2);
    ck_assert_str_eq(json_string_value(json_object_get(json_array_get(json_object_get(json, "nodes"), 1), "error")), "it does not answer");
    json_decref(json);
    fake_query(&f, link, 9, "memory", "");
    mob_head_link_lost(f.head, link, false);            /* nor here */
    fake_pass(&f, 6000);
    fake_fini(&f);
}
END_TEST

UNIT_MAIN("query", test_memory_is_gathered, test_nodes_and_status, test_the_longest_silence, test_wait, test_long_answers_come_in_parts)
