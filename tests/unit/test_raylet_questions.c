/* SPDX-License-Identifier: Apache-2.0 */
/* test_raylet_questions.c -- References and Mourn on their way: each gets one answer, from whom it asks or from a raylet for it. */
#include <signal.h>

#include "raylet_fake.h"

#define REFERENCES MOBULA__ENVELOPE__BODY_REFERENCES
#define DONE MOBULA__ENVELOPE__BODY_REFERENCES_DONE
#define MOURN MOBULA__ENVELOPE__BODY_MOURN
#define MOURNED MOBULA__ENVELOPE__BODY_MOURNED

static struct fake f;

static void say_references(uint64_t link, struct mob_address from, struct mob_address to, uint64_t seq)
{
    Mobula__References m = MOBULA__REFERENCES__INIT;

    m.seq = seq;
    fake_say(&f, link, from, to, REFERENCES, &m);
}

static void say_mourn(uint64_t link, struct mob_address from, uint32_t node, uint32_t process)
{
    Mobula__Mourn m = MOBULA__MOURN__INIT;

    m.process = process;
    fake_say(&f, link, from, fake_at(node, 0), MOURN, &m);
}

static void expect_mourned(uint64_t link, struct mob_address process, bool unreachable)
{
    Mobula__Envelope *e = fake_expect(&f, link, MOURNED);

    ck_assert_uint_eq(e->mourned->process->node, process.node);
    ck_assert_uint_eq(e->mourned->process->process, process.process);
    ck_assert_int_eq(e->mourned->unreachable, unreachable);
    ck_assert_uint_eq(fake_count(&f, link, MOURNED), 0);
}

static void expect_done(uint64_t link, uint64_t seq, enum mob_code code)
{
    Mobula__Envelope *e = fake_expect(&f, link, DONE);

    ck_assert_uint_eq(e->references_done->seq, seq);
    ck_assert_int_eq(e->references_done->error != NULL ? e->references_done->error->code : MOB_OK, code);
    ck_assert_uint_eq(fake_count(&f, link, DONE), 0);
}

START_TEST(test_between_processes_of_a_node)
{
    fake_open(&f, "CPU=1");
    uint32_t a = fake_driver(&f), b = fake_driver(&f);
    uint64_t of_a = f.process[a].link, of_b = f.process[b].link;
    Mobula__ReferencesDone done = MOBULA__REFERENCES_DONE__INIT;

    say_references(of_a, fake_at(0, 0), fake_at(FAKE_NODE, b), 1);
    ck_assert_ptr_nonnull(fake_take(&f, of_b, REFERENCES));
    done.seq = 1;
    fake_say(&f, of_b, fake_at(0, 0), fake_at(FAKE_NODE, a), DONE, &done);
    expect_done(of_a, 1, MOB_OK);
    fake_say(&f, of_b, fake_at(0, 0), fake_at(FAKE_NODE, a), DONE, &done);      /* nobody asked again */
    ck_assert_uint_eq(fake_count(&f, of_a, DONE), 0);
    say_references(of_a, fake_at(0, 0), fake_at(FAKE_NODE, b), 2);
    say_mourn(of_a, fake_at(0, 0), FAKE_NODE, b);
    fake_exit(&f, b, 0);
    expect_done(of_a, 2, MOB_ERR_OWNER_DIED);
    expect_mourned(of_a, fake_at(FAKE_NODE, b), false);
    say_references(of_a, fake_at(0, 0), fake_at(FAKE_NODE, b), 3);
    expect_done(of_a, 3, MOB_ERR_OWNER_DIED);
    say_mourn(of_a, fake_at(0, 0), FAKE_NODE, b);
    expect_mourned(of_a, fake_at(FAKE_NODE, b), false);
    fake_fini(&f);
}
END_TEST

START_TEST(test_a_peer_asks_for_a_process_here)
{
    fake_open(&f, "CPU=1");
    uint32_t p = fake_driver(&f);
    uint64_t link = fake_peer(&f, 3);

    say_mourn(link, fake_at(3, 50), FAKE_NODE, p);
    say_mourn(link, fake_at(3, 50), FAKE_NODE, 4000);
    expect_mourned(link, fake_at(FAKE_NODE, 4000), false);      /* never was */
    fake_exit(&f, p, 0);
    expect_mourned(link, fake_at(FAKE_NODE, p), false);
    fake_fini(&f);
}
END_TEST

START_TEST(test_a_lost_link_and_a_dead_node_are_told_apart)
{
    fake_open(&f, "CPU=1");
    uint32_t p = fake_driver(&f);
    uint64_t link = fake_peer(&f, 3), of_p = f.process[p].link;

    say_mourn(of_p, fake_at(0, 0), 3, 50);
    say_references(of_p, fake_at(0, 0), fake_at(3, 50), 1);
    ck_assert_ptr_nonnull(fake_take(&f, link, MOURN));
    fake_lose(&f, link);
    expect_mourned(of_p, fake_at(3, 50), true);
    expect_done(of_p, 1, MOB_ERR_NODE_DIED);
    link = fake_peer(&f, 3);
    say_mourn(of_p, fake_at(0, 0), 3, 50);
    say_references(of_p, fake_at(0, 0), fake_at(3, 50), 1);
    fake_node_down(&f, 3, false, "silent");
    expect_mourned(of_p, fake_at(3, 50), false);
    expect_done(of_p, 1, MOB_ERR_OWNER_DIED);
    fake_fini(&f);
}
END_TEST

static void say_watch(uint64_t link, uint32_t node, uint32_t process)
{
    Mobula__Watch m = MOBULA__WATCH__INIT;
    Mobula__ObjectId id = MOBULA__OBJECT_ID__INIT;

    id.node = node;
    id.process = process;
    m.object = &id;
    fake_say(&f, link, fake_at(0, 0), fake_at(node, process), MOBULA__ENVELOPE__BODY_WATCH, &m);
}

/* Its error says how and where, and what to do; and has a certificate, if `killed_by` is one. */
static void expect_owner_died(uint64_t link, const char *where, const char *how, int killed_by, const char *host)
{
    Mobula__Envelope *e = fake_take(&f, link, MOBULA__ENVELOPE__BODY_WATCHED);

    ck_assert_ptr_nonnull(e);
    ck_assert_int_eq(e->watched->error->code, MOB_ERR_OWNER_DIED);
    ck_assert_msg(strstr(e->watched->error->text, where) != NULL && strstr(e->watched->error->text, how) != NULL
                  && strstr(e->watched->error->text, "return the value itself") != NULL, "%s", e->watched->error->text);
    ck_assert_uint_eq(e->watched->error->n_deaths, killed_by != MOB_KILLED_BY_UNKNOWN);
    if (killed_by == MOB_KILLED_BY_UNKNOWN)
        return;
    ck_assert_int_eq(e->watched->error->deaths[0]->killed_by, killed_by);
    ck_assert_str_eq(e->watched->error->deaths[0]->host, host);
}

START_TEST(test_an_owner_that_is_gone_is_named)
{
    Mobula__NodeDown down = MOBULA__NODE_DOWN__INIT;
    struct fake_grant g;
    char where[256];

    fake_open(&f, "CPU=1");
    uint32_t p = fake_driver(&f), q = fake_driver(&f);
    uint64_t link = fake_peer(&f, 3), of_p = f.process[p].link;

    fake_want(&f, p, (struct fake_ask){ .count = 1 });
    fake_all_up(&f);
    ck_assert(fake_grant(&f, of_p, &g));
    snprintf(where, sizeof where, "its owner, process %u of node %u (%s, %s)", g.worker, FAKE_NODE, f.config.host, f.config.ip);
    say_watch(of_p, FAKE_NODE, g.worker);
    fake_exit(&f, g.worker, SIGKILL);
    expect_owner_died(of_p, where, ": it was ended by signal SIGKILL", MOB_KILLED_BY_SIGNAL, f.config.host);
    say_watch(of_p, FAKE_NODE, g.worker);
    expect_owner_died(of_p, where, "it has ended", MOB_KILLED_BY_UNKNOWN, "");
    say_watch(of_p, FAKE_NODE, q);
    fake_exit(&f, q, 0);
    expect_owner_died(of_p, "its owner, process", "it has ended", MOB_KILLED_BY_UNKNOWN, "");
    say_watch(of_p, 3, 50);
    ck_assert_ptr_nonnull(fake_take(&f, link, MOBULA__ENVELOPE__BODY_WATCH));
    down.node = 3;
    down.reason = "silent";
    fake_say(&f, f.head, fake_at(0, 0), fake_at(FAKE_NODE, 0), MOBULA__ENVELOPE__BODY_NODE_DOWN, &down);
    expect_owner_died(of_p, "process 50 of node 3 (there, ", "node 3 died: silent", MOB_KILLED_BY_NODE, "there");
    say_watch(of_p, 3, 50);
    expect_owner_died(of_p, "process 50 of node 3 (there, ", "its node died: silent", MOB_KILLED_BY_NODE, "there");
    say_watch(of_p, 1, 7);
    expect_owner_died(of_p, "process 7 of node 1: ", "its node was gone before node 2, which asks, joined", MOB_KILLED_BY_UNKNOWN, "");
    fake_fini(&f);
}
END_TEST

/* It came before the head told of it, and its link broke before the head did: it cannot be dialed yet. */
START_TEST(test_a_question_waits_for_the_address_of_a_node)
{

    fake_open(&f, "CPU=1");
    uint32_t p = fake_driver(&f);
    uint64_t of_p = f.process[p].link;

    fake_lose(&f, fake_peer(&f, 9));
    say_mourn(of_p, fake_at(0, 0), 9, 50);
    fake_pass(&f, 5000);
    ck_assert_uint_eq(f.dials, 1);              /* the head */
    ck_assert_uint_eq(fake_count(&f, of_p, MOURNED), 0);
    fake_node_up(&f, 9);
    ck_assert_uint_eq(f.dials, 2);
    mob_raylet_link_up(f.raylet, f.dialed, MOB_LINK_PEER);
    ck_assert_ptr_nonnull(fake_take(&f, f.dialed, MOURN));
    fake_fini(&f);
}
END_TEST

START_TEST(test_only_a_raylet_mourns)
{
    Mobula__Mourned m = MOBULA__MOURNED__INIT;
    Mobula__Address process;

    fake_open(&f, "CPU=1");
    uint32_t a = fake_driver(&f);
    uint64_t link = fake_peer(&f, 3), of_a = f.process[a].link;

    say_mourn(of_a, fake_at(0, 0), 3, 50);
    mob_wire_put_address(&process, fake_at(3, 50));
    m.process = &process;
    fake_say(&f, link, fake_at(3, 51), fake_at(FAKE_NODE, a), MOURNED, &m);     /* a process for another */
    ck_assert_uint_eq(fake_count(&f, of_a, MOURNED), 0);
    fake_say(&f, link, fake_at(3, 0), fake_at(FAKE_NODE, a), MOURNED, &m);
    expect_mourned(of_a, fake_at(3, 50), false);
    fake_fini(&f);
}
END_TEST

static void say_rows(uint32_t process, uint64_t id, const char *rows)
{
    Mobula__Reply m = MOBULA__REPLY__INIT;

    m.id = id;
    m.last = true;
    m.text = (ProtobufCBinaryData){ strlen(rows), (uint8_t *)(uintptr_t)rows };
    fake_say(&f, f.process[process].link, fake_at(0, 0), fake_at(FAKE_NODE, 0), MOBULA__ENVELOPE__BODY_REPLY, &m);
}

/* What the node says at once, or has said. */
static void expect_memory(const char *rows)
{
    Mobula__Envelope *e = fake_take(&f, f.head, MOBULA__ENVELOPE__BODY_REPLY);
    char wanted[512];

    ck_assert_ptr_nonnull(e);
    ck_assert(e->reply->last);
    snprintf(wanted, sizeof wanted, "\"objects\":[],\"references\":[%s]}", rows);
    ck_assert_uint_gt(e->reply->text.len, strlen(wanted));
    ck_assert_mem_eq(e->reply->text.data + e->reply->text.len - strlen(wanted), wanted, strlen(wanted));
}

/* "memory": each process that may own objects is asked why it keeps them. What is no row is left out, and so is who says nothing in a
 * second. */
START_TEST(test_memory_asks_processes)
{
    Mobula__Query m = MOBULA__QUERY__INIT;
    uint64_t id;

    fake_open(&f, "CPU=1");
    m.id = 5;
    m.verb = (char *)"memory";
    m.argument = (char *)"{\"limit\":3}";
    fake_head_says(&f, MOBULA__ENVELOPE__BODY_QUERY, &m);
    expect_memory("");                  /* nobody to be asked */
    uint32_t a = fake_driver(&f), b = fake_driver(&f);

    fake_head_says(&f, MOBULA__ENVELOPE__BODY_QUERY, &m);
    expect_memory("");                  /* nobody who owns anything, and might be too busy to say so */
    f.process[a].page.owns = f.process[b].page.owns = 1;
    fake_head_says(&f, MOBULA__ENVELOPE__BODY_QUERY, &m);
    Mobula__Envelope *e = fake_expect(&f, f.process[a].link, MOBULA__ENVELOPE__BODY_QUERY);
    ck_assert_str_eq(e->query->verb, "references");
    ck_assert_str_eq(e->query->argument, "{\"limit\":1000}");      /* of what lies elsewhere, too: they cannot know which are shown */
    id = e->query->id;
    say_rows(a, id + 7, "[]");          /* to no question */
    say_rows(a, id, "[{\"object\":\"o-1.2-3.0\",\"local\":1,\"tasks\":2,\"holders\":\"x\"},{\"object\":\"\\\"}]\"},7,"
                    "{\"kept\":3,\"kept_bytes\":1200,\"kept_max\":9,\"again\":\"x\"},{\"kept\":\"x\"}]");
    ck_assert_ptr_null(fake_take(&f, f.head, MOBULA__ENVELOPE__BODY_REPLY));
    say_rows(b, id, "[{\"object\":");
    char wanted[300];

    snprintf(wanted, sizeof wanted, "{\"object\":\"o-1.2-3.0\",\"local\":1,\"tasks\":2,\"captured\":0,\"holders\":0,\"lineage\":0},"
             "{\"process\":%u,\"kept\":3,\"kept_bytes\":1200,\"kept_max\":9,\"again\":0,\"evicted\":0}", a);
    expect_memory(wanted);
    fake_head_says(&f, MOBULA__ENVELOPE__BODY_QUERY, &m);
    say_rows(b, id + 1, "[]");
    fake_pass(&f, 900);
    ck_assert_ptr_null(fake_take(&f, f.head, MOBULA__ENVELOPE__BODY_REPLY));
    fake_pass(&f, 200);
    expect_memory("");
    say_rows(a, id + 1, "[]");          /* too late: nobody waits */
    fake_fini(&f);
}
END_TEST

/* "explain": what is lent and what waits here; of the processes, the owner of an asked task and the worker that runs one are asked. */
START_TEST(test_explain_asks_whom_it_is_about)
{
    Mobula__Query m = MOBULA__QUERY__INIT;
    struct fake_grant g;

    fake_open(&f, "CPU=1");
    uint32_t owner = fake_driver(&f), other = fake_driver(&f);

    fake_want(&f, owner, (struct fake_ask){ .shape = 4, .count = 2 });
    fake_all_up(&f);
    ck_assert(fake_grant(&f, f.process[owner].link, &g));
    fake_runs(&f, &g, 7, 0);
    f.process[owner].page.owns = f.process[other].page.owns = f.process[g.worker].page.owns = 1;
    fake_pass(&f, 1500);
    char *argument = mob_printf("{\"tasks\":[\"t-2.%u-7\",\"t-3.%u-7\",\"nonsense\",5]}", owner, other);

    m.id = 5;
    m.verb = (char *)"explain";
    m.argument = argument;
    fake_head_says(&f, MOBULA__ENVELOPE__BODY_QUERY, &m);
    ck_assert_ptr_null(fake_take(&f, f.process[other].link, MOBULA__ENVELOPE__BODY_QUERY));
    ck_assert_ptr_nonnull(fake_take(&f, f.process[g.worker].link, MOBULA__ENVELOPE__BODY_QUERY));
    Mobula__Envelope *e = fake_expect(&f, f.process[owner].link, MOBULA__ENVELOPE__BODY_QUERY);
    ck_assert_str_eq(e->query->argument, argument);
    uint64_t id = e->query->id;

    say_rows(owner, id, "[{\"task\":\"t\"},3]");
    say_rows(g.worker, id, "[{\"waits\":[],\"process\":99}]");
    e = fake_expect(&f, f.head, MOBULA__ENVELOPE__BODY_REPLY);
    char *wanted = mob_printf("{\"node\":2,\"ip\":\"%s\",\"queue\":[{\"owner\":\"2.%u\",\"shape\":4,\"leases\":1,\"resources\":\"CPU=1\","
                              "\"waited_ms\":1500,\"depth\":0,\"first\":false}],\"queue_more\":0,\"lent\":[{\"owner\":\"2.%u\",\"resources\":\"CPU=1\","
                              "\"state\":\"lent\",\"held_ms\":1500,\"worker\":\"2.%u\",\"pid\":%u,\"task\":\"t-2.%u-7\",\"run_ms\":1500}],"
                              "\"lent_more\":0,\"processes\":[{\"task\":\"t\",\"process\":%u},{\"waits\":[],\"process\":%u}]}",
                              f.config.ip, owner, owner, g.worker, 1000 + g.worker, owner, owner, g.worker);
    char *got = mob_printf("%.*s", (int)e->reply->text.len, (const char *)e->reply->text.data);

    ck_assert_str_eq(got, wanted);
    free(got);
    free(wanted);
    free(argument);
    fake_fini(&f);
}
END_TEST

UNIT_MAIN("raylet_questions", test_explain_asks_whom_it_is_about, test_memory_asks_processes, test_between_processes_of_a_node, test_a_peer_asks_for_a_process_here,
          test_a_lost_link_and_a_dead_node_are_told_apart, test_an_owner_that_is_gone_is_named, test_a_question_waits_for_the_address_of_a_node,
          test_only_a_raylet_mourns)
