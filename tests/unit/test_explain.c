/* SPDX-License-Identifier: Apache-2.0 */
/* test_explain.c -- the head finds out why a task waits: round after round of questions to raylets, and words at the end. */
#include "head/core.h"
#include "head_answer.h"

static struct fake f;
static struct fake_node a, b;

static void setup(void)
{
    a = b = (struct fake_node){ 0 };
    b.ip = "10.0.0.2";
    fake_init(&f);
    fake_join(&f, &a, "CPU=4,GPU=1");
    fake_join(&f, &b, "CPU=4");
}

/* The question that a raylet was asked: its number; the argument must be this. */
static uint64_t asked(const struct fake_node *n, const char *argument)
{
    const Mobula__Envelope *e = fake_expect(&f, n->link, MOBULA__ENVELOPE__BODY_QUERY);

    ck_assert_str_eq(e->query->verb, "explain");
    ck_assert_str_eq(e->query->argument, argument);
    return e->query->id;
}

static void reply(const struct fake_node *n, uint64_t id, const char *text)
{
    fake_reply(&f, n, id, text, true);
}

/* The answer to the asker, and its error. */
static json_t *answer(uint64_t link, int *ret_code)
{
    return fake_answer(&f, link, 7, ret_code);
}

static uint64_t ask(const char *question)
{
    uint64_t link = fake_link(&f);

    fake_query(&f, link, 7, "explain", question);
    return link;
}

static void expect_words(json_t *json, const char *const *words)
{
    const char *text = json_string_value(json_object_get(json, "text"));

    ck_assert_ptr_nonnull(text);
    for (; *words != NULL; words++)
        ck_assert_msg(strstr(text, *words) != NULL, "\"%s\" is not in:\n%s", *words, text);
}

/* For so long nodes live, and answer nothing. */
static void silence(int ms)
{
    for (; ms > 0; ms -= 100) {
        fake_report(&f, &a, 2, "CPU=4,GPU=1", 0);
        fake_report(&f, &b, 2, "CPU=4", 0);
        fake_pass(&f, 100);
    }
}

#define WORDS(...) ((const char *const[]){ __VA_ARGS__, NULL })

/* The words of an answer of which no more is of interest. */
static void expect_answer(uint64_t link, const char *const *words)
{
    int code;
    json_t *json = answer(link, &code);

    expect_words(json, words);
    json_decref(json);
}

/* merge waits for count, which a worker on node b runs, whose call waits for merge. */
START_TEST(test_a_chain_that_closes)
{
    json_t *json, *cycle;
    uint64_t link, id;
    int code;

    setup();
    link = ask("{\"task\":\"o-1.1-7.0\"}");
    id = asked(&a, "{\"tasks\":[\"t-1.1-7\"]}");
    ck_assert_uint_eq(asked(&b, "{\"tasks\":[\"t-1.1-7\"]}"), id);
    reply(&b, id, "{\"node\":2,\"queue\":[],\"lent\":[],\"processes\":[]}");
    reply(&a, id, "{\"node\":1,\"queue\":[],\"lent\":[],\"processes\":[{\"task\":\"t-1.1-7\",\"state\":\"WAITING\",\"name\":\"merge\","
                  "\"age_ms\":1500,\"waits\":[\"o-1.1-5.0\",\"o-1.1-6.1\"],\"waits_more\":0,\"process\":1},"
                  "{\"task\":\"t-6.6-6\",\"state\":\"WAITING\",\"waits\":[\"o-9.9-9.9\"]},{\"waits\":[],\"process\":1}]}");
    id = asked(&a, "{\"tasks\":[\"t-1.1-5\",\"t-1.1-6\"]}");
    asked(&b, "{\"tasks\":[\"t-1.1-5\",\"t-1.1-6\"]}");
    reply(&a, id, "{\"node\":1,\"processes\":[{\"task\":\"t-1.1-5\",\"name\":\"count\",\"state\":\"PUSHED\",\"worker\":\"2.3\","
                  "\"ip\":\"10.0.0.2\",\"pid\":77,\"before\":0},{\"task\":\"t-1.1-6\",\"state\":\"READY\"}]}");
    ck_assert_ptr_null(answer(link, &code));
    reply(&b, id, "{\"node\":2,\"lent\":[{\"owner\":\"1.1\",\"worker\":\"2.3\",\"pid\":77,\"resources\":\"CPU=1\",\"state\":\"blocked\","
                  "\"task\":\"t-1.1-5\",\"run_ms\":2500}],\"processes\":[{\"waits\":[\"o-1.1-7.0\"],\"process\":3}]}");
    json = answer(link, &code);
    expect_words(json, WORDS("These tasks wait for each other, and none can go on: t-1.1-7 -> t-1.1-5 -> t-1.1-7",
                             "t-1.1-7 \"merge\": waits for arguments", "o-1.1-5.0 o-1.1-6.1",
                             "t-1.1-5 \"count\": runs on node 2 (10.0.0.2), pid 77, for 2.5 s; a call of it waits for",
                             "t-1.1-6: is over, and its results are there"));
    cycle = json_object_get(json, "cycle");
    ck_assert_uint_eq(json_array_size(cycle), 3);
    json_decref(json);
    fake_fini(&f);
}
END_TEST

/* What it lacks, its place in the queue, and who has the one GPU: a task that waits for it. */
START_TEST(test_all_holders_wait)
{
    static const char first[] =
        "{\"node\":1,\"queue\":[{\"owner\":\"1.9\",\"shape\":0,\"leases\":1,\"resources\":\"CPU=1\",\"waited_ms\":10},"
        "{\"owner\":\"1.4\",\"shape\":3,\"leases\":1,\"resources\":\"GPU=1\",\"waited_ms\":900,\"first\":true}],\"queue_more\":2,"
        "\"lent\":[{\"owner\":\"1.1\",\"worker\":\"1.4\",\"pid\":70,\"resources\":\"CPU=1,GPU=1\",\"state\":\"blocked\",\"held_ms\":5000,"
        "\"task\":\"t-1.1-2\",\"run_ms\":4000}],\"lent_more\":0,\"processes\":[%s]}";
    json_t *json;
    uint64_t link, id;
    char *text;
    int code;

    setup();
    fake_report(&f, &a, 2, "CPU=4", 0);
    link = ask("{\"task\":\"t-1.1-2\"}");
    id = asked(&a, "{\"tasks\":[\"t-1.1-2\"]}");
    reply(&b, id, "{\"node\":2}");
    text = mob_printf(first, "{\"task\":\"t-1.1-2\",\"name\":\"outer\",\"state\":\"PUSHED\",\"worker\":\"1.4\",\"ip\":\"10.0.0.1\","
                             "\"pid\":70},{\"waits\":[\"o-1.4-8.0\"],\"process\":4}");
    reply(&a, id, text);
    free(text);
    id = asked(&a, "{\"tasks\":[\"t-1.4-8\"]}");
    reply(&b, id, "{\"node\":2}");
    text = mob_printf(first, "{\"task\":\"t-1.4-8\",\"name\":\"inner\",\"state\":\"QUEUED\",\"age_ms\":900,\"shape\":3,\"before\":2,"
                             "\"resources\":\"GPU=1\",\"labels\":{},\"strategy\":\"hybrid\",\"attempt\":0}");
    reply(&a, id, text);
    free(text);
    json = answer(link, &code);
    expect_words(json, WORDS("t-1.4-8 \"inner\": waits for a worker with {GPU=1}, 0.9 s old; before it: 2 like it",
                             "node 1, its queue: place 2 of 4, for 0.9 s; what comes free is kept for it",
                             "node 1, GPU is held by: t-1.1-2 (pid 70, waits in a call, runs for 4.0 s)",
                             "All that has GPU waits for this task: it can never run."));
    ck_assert(json_is_null(json_object_get(json, "cycle")));
    json_decref(json);
    fake_fini(&f);
}
END_TEST

/* It was ended, and waits until it is tried again. */
START_TEST(test_a_rest)
{
    uint64_t link, id;

    setup();
    link = ask("{\"task\":\"t-1.1-7\"}");
    id = asked(&a, "{\"tasks\":[\"t-1.1-7\"]}");
    reply(&b, id, "{\"node\":2}");
    reply(&a, id, "{\"node\":1,\"processes\":[{\"task\":\"t-1.1-7\",\"name\":\"leak\",\"state\":\"RESTING\",\"age_ms\":9000,\"attempt\":2,"
                  "\"rest_ms\":3900,\"error\":\"MOB_ERR_OUT_OF_MEMORY\",\"where\":\"10.0.0.2\"}]}");
    expect_answer(link, WORDS("t-1.1-7 \"leak\": waits 3.9 s before it is tried again, as attempt 3, because its last one was ended when node "
                              "10.0.0.2 ran short of memory; 9.0 s old"));
    link = ask("{\"task\":\"t-1.1-7\"}");                /* and then */
    id = asked(&a, "{\"tasks\":[\"t-1.1-7\"]}");
    reply(&b, id, "{\"node\":2,\"lent\":[{\"task\":\"t-1.1-7\",\"run_ms\":500,\"state\":\"lent\"}]}");
    reply(&a, id, "{\"node\":1,\"processes\":[{\"task\":\"t-1.1-7\",\"name\":\"leak\",\"state\":\"PUSHED\",\"age_ms\":9000,\"attempt\":2,"
                  "\"retries\":3,\"pid\":9,\"ip\":\"10.0.0.2\",\"error\":\"MOB_ERR_OUT_OF_MEMORY\",\"where\":\"10.0.0.2\"}]}");
    expect_answer(link, WORDS("t-1.1-7 \"leak\": runs on node 2 (10.0.0.2), pid 9, for 0.5 s; attempt 3 of 6, as its last one was ended when "
                              "node 10.0.0.2 ran short of memory\n"));
    fake_fini(&f);
}
END_TEST

/* Nobody knows it; a node that is silent; more than any node has; answers that are none; names that are none. */
START_TEST(test_what_is_not_known)
{
    uint64_t link, id;
    int code;

    setup();
    for (const char *const *bad = WORDS("{\"task\":\"t-1.1\"}", "{\"task\":\"t-1.1-5x\"}", "{\"node\":7}", "{}", "[", "{\"task\":3}");
         *bad != NULL; bad++) {
        link = ask(*bad);
        ck_assert_ptr_null(answer(link, &code));
        ck_assert_int_eq(code, MOB_ERR_INVALID);
    }
    link = ask("{\"task\":\"t-1.1-7\"}");
    id = asked(&a, "{\"tasks\":[\"t-1.1-7\"]}");
    asked(&b, "{\"tasks\":[\"t-1.1-7\"]}");
    reply(&a, id, "{\"node\":1,\"processes\":[{\"task\":\"t-1.1-7\",\"state\":\"QUEUED\",\"resources\":\"CPU=99\",\"labels\":{\"k\":3},"
                  "\"warning\":\"w\"},3,{\"task\":4}],\"lent\":[{\"task\":{}},\"x\"],\"queue\":7}");
    silence(6000);
    expect_answer(link, WORDS("t-1.1-7: waits for a worker with {CPU=99}", "  No node could serve it, not even an idle one: ask for less, or "
                              "add a node that has as much.\n"));
    link = ask("{\"task\":\"t-1.1-7\"}");
    id = asked(&a, "{\"tasks\":[\"t-1.1-7\"]}");
    reply(&a, id, "nonsense");
    reply(&b, id, "{}");
    expect_answer(link, WORDS("t-1.1-7: the process that owns it is gone, or did not answer"));
    fake_fini(&f);
}
END_TEST

START_TEST(test_who_is_silent_reads_nothing_or_is_gone)
{
    uint64_t link, id;

    setup();
    link = ask("{\"task\":\"t-1.1-7\"}");             /* one runs there, and the node says nothing */
    id = asked(&a, "{\"tasks\":[\"t-1.1-7\"]}");
    reply(&a, id, "{\"node\":1,\"processes\":[{\"task\":\"t-1.1-7\",\"state\":\"PUSHED\",\"worker\":\"2.1\",\"pid\":9}]}");
    silence(6000);
    expect_answer(link, WORDS("before it there: 0; but node 2 does not answer, and was heard of 0."));
    link = ask("{\"task\":\"t-1.1-7\"}");             /* a generator that nobody reads */
    id = asked(&a, "{\"tasks\":[\"t-1.1-7\"]}");
    asked(&b, "{\"tasks\":[\"t-1.1-7\"]}");
    reply(&a, id, "{\"node\":1,\"processes\":[{\"task\":\"t-1.1-7\",\"state\":\"PUSHED\",\"worker\":\"2.1\",\"pid\":9,\"unread\":3}]}");
    reply(&b, id, "{\"node\":2,\"lent\":[{\"task\":\"t-1.1-7\",\"run_ms\":500,\"state\":\"blocked\"}]}");
    expect_answer(link, WORDS("for 0.5 s; it waits until somebody reads what it has yielded: items that nobody has read: 3\n"));
    mob_head_job_started(mob_head_node_find(f.head, 1), (struct mob_address){ 1, 1 }, "train.py", 55);
    mob_head_job_over(f.head, (struct mob_address){ 1, 1 });
    link = ask("{\"task\":\"t-1.1-7\"}");
    id = asked(&a, "{\"tasks\":[\"t-1.1-7\"]}");
    reply(&a, id, "{\"node\":1}");
    reply(&b, id, "{\"node\":2}");
    expect_answer(link, WORDS("t-1.1-7: its driver (train.py, pid 55) has ended, and all its tasks with it"));
    link = ask("{\"task\":\"t-2.9-7\"}");
    id = asked(&a, "{\"tasks\":[\"t-2.9-7\"]}");
    reply(&a, id, "{\"node\":1}");
    mob_head_link_lost(f.head, b.link, true);
    fake_tick(&f);
    expect_answer(link, WORDS("t-2.9-7: the process that owns it is gone: node 2 (10.0.0.2) is dead: "));
    fake_fini(&f);
}
END_TEST

/* What a task left in stores, and whether that can be made again; and one that does make it again. */
START_TEST(test_what_was_lost)
{
    static const char *const rows[][2] = {
        { "\"state\":\"READY\",\"stored\":2,\"lost\":0,\"attempt\":0,\"retries\":3",
          "is over, and its results are there; if what lies in a store is lost, it runs again: attempt 2 of 4\n" },
        { "\"state\":\"READY\",\"stored\":1,\"lost\":0,\"why_not\":\"it was put\"",
          "its results are there; if what lies in a store is lost, it cannot be made again: it was put\n" },
        { "\"state\":\"READY\",\"put\":true,\"stored\":1,\"lost\":0,\"why_not\":\"it was put\",\"on\":1",
          "t-1.1-7: was put, and is there; if what lies in a store is lost, it cannot be made again: it was put\n" },
        { "\"state\":\"READY\",\"stored\":1,\"lost\":0,\"attempt\":0,\"retries\":3,\"on\":3",
          "t-1.1-7: is over, and its result lay on node 3 alone, which is dead; if what lies in a store is lost, it runs again: attempt 2 of 4\n" },
        { "\"state\":\"LOST\",\"stored\":1,\"lost\":2,\"attempt\":1,\"retries\":-1",
          "is over; 2 of its 3 results in stores are lost, or were let go, and it runs again when somebody wants them: attempt 3\n" },
        { "\"state\":\"PUSHED\",\"worker\":\"3.1\",\"ip\":\"10.0.0.3\",\"pid\":9,\"before\":0,\"age_ms\":1000",
          "t-1.1-7: is sent to worker 3.1 (pid 9 on 10.0.0.3), 1.0 s old; before it there: 0; but node 3 is dead: " },
        { "\"state\":\"RAISED\"", "t-1.1-7: failed: it raised an exception, which a get of its result tells\n" },
        { "\"state\":\"RESTING\",\"attempt\":1,\"rest_ms\":500,\"error\":\"MOB_ERR_WORKER_CRASHED\",\"where\":\"10.0.0.2\",\"how\":\"it sneezed\"",
          "tried again, as attempt 2, because its last one ended with MOB_ERR_WORKER_CRASHED on node 10.0.0.2: it sneezed; " },
        { "\"state\":\"RESTING\",\"attempt\":1,\"rest_ms\":500,\"error\":\"MOB_ERR_TASK\",\"where\":\"10.0.0.2\"",
          "because its last one failed by itself on node 10.0.0.2; " },
        { "\"state\":\"STAGING\",\"again\":true,\"attempt\":1,\"retries\":2",
          "attempt 2 of 4, as what it had left in a store was lost; has a worker" },
    };
    struct fake_node third = { 0 };

    setup();
    fake_join(&f, &third, "CPU=1");
    mob_head_link_lost(f.head, third.link, true);
    for (size_t i = 0; i < MOB_COUNT(rows); i++) {
        char *text = mob_printf("{\"node\":1,\"processes\":[{\"task\":\"t-1.1-7\",%s}]}", rows[i][0]);
        uint64_t link, id;

        link = ask("{\"task\":\"t-1.1-7\"}");
        id = asked(&a, "{\"tasks\":[\"t-1.1-7\"]}");
        asked(&b, "{\"tasks\":[\"t-1.1-7\"]}");
        reply(&a, id, text);
        reply(&b, id, "{\"node\":2}");
        expect_answer(link, WORDS(rows[i][1]));
        free(text);
    }
    fake_fini(&f);
}
END_TEST

/* The asker goes, or the head ends, while raylets are asked: nothing is left (the sanitizer looks). */
START_TEST(test_nobody_waits_any_more)
{
    uint64_t link;

    setup();
    link = ask("{\"task\":\"t-1.1-7\"}");
    asked(&a, "{\"tasks\":[\"t-1.1-7\"]}");
    mob_head_link_lost(f.head, link, false);
    fake_query(&f, fake_link(&f), 8, "explain", "{\"task\":\"t-1.1-7\"}");
    fake_query(&f, fake_link(&f), 9, "explain", "{\"node\":1}");
    fake_fini(&f);
}
END_TEST

START_TEST(test_a_node)
{
    struct node *n;
    json_t *json;
    uint64_t link, id;
    int code;

    setup();
    n = mob_head_node_find(f.head, 2);
    link = ask("{\"node\":1}");
    id = asked(&a, "{}");
    reply(&b, id, "{\"node\":2}");
    reply(&a, id, "{\"node\":1,\"queue\":[{\"owner\":\"1.4\",\"shape\":3,\"leases\":5,\"resources\":\"GPU=1\",\"waited_ms\":900}],"
                  "\"lent\":[{\"owner\":\"1.1\",\"resources\":\"CPU=1\",\"state\":\"starting\",\"held_ms\":40}]}");
    json = answer(link, &code);
    expect_words(json, WORDS("node 1 (", "serves; free {CPU=4,GPU=1} of {CPU=4,GPU=1}", "{CPU=1} to 1.1: a worker of 1.1 (starting for 0.0 s)",
                             "place 1 in its queue: 1.4, {GPU=1} x 5, for 0.9 s"));
    ck_assert_str_eq(json_string_value(json_object_get(json, "state")), "alive");       /* and the same for programs */
    ck_assert_int_eq(json_integer_value(json_object_get(json_object_get(json, "available"), "GPU")), 1);
    ck_assert_uint_eq(json_array_size(json_object_get(json, "lent")), 1);
    ck_assert_uint_eq(json_array_size(json_object_get(json, "queue")), 1);
    json_decref(json);
    link = ask("{\"task\":\"10.0.0.2\"}");               /* as people call it */
    id = asked(&a, "{}");
    asked(&b, "{}");
    reply(&a, id, "{\"node\":1}");
    reply(&b, id, "{\"node\":2}");
    expect_answer(link, WORDS("node 2 ("));
    fake_query(&f, fake_link(&f), 7, "drain", "{\"node\":\"2\"}");
    link = ask("{\"node\":2}");
    id = asked(&a, "{}");
    asked(&b, "{}");
    reply(&a, id, "{\"node\":1}");
    reply(&b, id, "{\"node\":2}");
    expect_answer(link, WORDS("is draining; it has not answered that yet; free {CPU=4}"));
    n->drain.heard = true;
    n->drain.left = (struct drain_left){ .tasks = 2, .objects = 3, .bytes = 5 << 20, .owners = 1, .drivers = 4 };
    link = ask("{\"node\":2}");
    id = asked(&a, "{}");
    reply(&a, id, "{\"node\":1}");
    silence(5100);
    json = answer(link, &code);
    expect_words(json, WORDS("is draining; workers that still have tasks: 2; objects still to move: 3 (5.0 MiB); idle workers that own what "
                             "others hold: 1; drivers that run there: 4; free {", "  it does not answer\n"));
    ck_assert_int_eq(json_integer_value(json_object_get(json_object_get(json, "draining"), "objects")), 3);
    ck_assert_str_eq(json_string_value(json_object_get(json, "error")), "it does not answer");
    json_decref(json);
    mob_head_link_lost(f.head, b.link, true);
    link = ask("{\"node\":2}");
    id = asked(&a, "{}");
    reply(&a, id, "{\"node\":1}");
    expect_answer(link, WORDS("is dead: "));
    fake_fini(&f);
}
END_TEST

/* Could it ever run? Of a node that is cut off, too; of a dead one not. */
START_TEST(test_fits)
{
    static const struct { const char *question; int nodes; } asked[] = {
        { "{\"resources\":\"CPU=4\"}", 2 }, { "{\"resources\":\"CPU=4,GPU=1\",\"strategy\":\"spread\"}", 1 },
        { "{\"resources\":\"CPU=1\",\"labels\":{\"disk\":\"!ssd\"}}", 2 },
        { "{\"resources\":\"CPU=5\"}", 0 }, { "{\"resources\":\"CPU=1\",\"labels\":{\"disk\":\"ssd\"}}", 0 },
        { "{\"resources\":\"CPU=1\",\"strategy\":\"node\",\"node\":2}", 1 },
        { "{\"resources\":\"CPU=1\",\"strategy\":\"node\",\"node\":7}", 0 }, { "{}", 2 },
    };
    uint64_t link;
    json_t *json;
    int code;

    setup();
    fake_report(&f, &a, 2, "CPU=0", 0);
    for (size_t i = 0; i < MOB_COUNT(asked); i++) {
        fake_query(&f, link = fake_link(&f), 7, "fits", asked[i].question);
        json = answer(link, &code);
        ck_assert_int_eq(json_integer_value(json_object_get(json, "nodes")), asked[i].nodes);
        ck_assert_int_eq(json_is_string(json_object_get(json, "why")), asked[i].nodes == 0);
        json_decref(json);
    }
    mob_head_link_lost(f.head, a.link, true);
    fake_query(&f, link = fake_link(&f), 7, "fits", "{\"resources\":\"GPU=1\"}");
    json = answer(link, &code);
    ck_assert_ptr_nonnull(strstr(json_string_value(json_object_get(json, "why")), "not even an idle one: ask for less, or add a node that has as much; what the only node lacks for {GPU=1}"));
    json_decref(json);
    fake_query(&f, link = fake_link(&f), 7, "fits", "nonsense");
    ck_assert_ptr_null(answer(link, &code));
    ck_assert_int_eq(code, MOB_ERR_INVALID);
    fake_fini(&f);
}
END_TEST

UNIT_MAIN("explain", test_fits, test_a_chain_that_closes, test_all_holders_wait, test_a_rest, test_what_is_not_known,
          test_who_is_silent_reads_nothing_or_is_gone, test_what_was_lost, test_nobody_waits_any_more, test_a_node)
