/* SPDX-License-Identifier: Apache-2.0 */
/* head_fake.h -- a head's core with a world of memory: a clock that the test sets, and what was sent, link by link. */
#ifndef MOB_TESTS_HEAD_FAKE_H
#define MOB_TESTS_HEAD_FAKE_H

#include "common/wire.h"
#include "common/map.h"
#include "head/head.h"

#define FAKE_MS INT64_C(1000000)

struct fake_sent {
    uint64_t link;
    void *bytes;
    size_t size;
    bool taken;
};

struct fake {
    struct mob_world world;
    struct mob_head *head;
    struct mob_wire *wire;              /* of the test */
    int64_t now_ns;
    uint64_t random;
    uint64_t next_link;
    struct fake_sent *sent;
    size_t sent_count;
    size_t kept_after;                  /* how many had been sent when a row was kept last */
    uint64_t hung_up[64], dialed[64];
    size_t hung_up_count, dialed_count;
    size_t recorded, stopped;
    uint64_t generation;                /* of the next head */
    struct mob_map kept[3];             /* by kind of row: key -> struct fake_row */
    bool full;                          /* no row can be kept */
    struct mob_map saved[3];            /* a copy of `kept`, of when the next head would have had `saved_generation` */
    uint64_t saved_generation;
};

struct fake_row {
    size_t size;
    uint8_t bytes[];
};

void fake_init(struct fake *f);
void fake_fini(struct fake *f);
/* The head is killed, and another one is started on what it has kept. Links are gone. */
void fake_restart(struct fake *f);
/* Copy what it has kept by now; and start a head on that copy, instead of what was kept since. */
void fake_save(struct fake *f);
void fake_restart_on_saved(struct fake *f);

/* Time passes, the head ticks at least each 100 ms, and is checked. */
void fake_pass(struct fake *f, int64_t ms);
void fake_tick(struct fake *f);

uint64_t fake_link(struct fake *f);
void fake_receive(struct fake *f, uint64_t link, const Mobula__Envelope *e);

/* Register `resources` ("CPU=4") on a new link; returns it. The node's number stands in Registered. */
struct fake_node {
    bool store_full;                    /* as its reports say */
    uint64_t link;
    uint32_t number;
    uint8_t incarnation[16];
    const char *resources, *labels;
    const char *ip;                     /* NULL: "10.0.0.1" */
    bool driver_only;
    uint64_t generation;                /* of the head that it has registered with last */
    uint64_t events_heard;              /* as Registered said last */
    uint32_t highest;                   /* the highest number that it has heard of */
    bool stranger;                      /* its number is of another cluster */
};
void fake_register(struct fake *f, struct fake_node *n, uint64_t link);
void fake_join(struct fake *f, struct fake_node *n, const char *resources);

void fake_report(struct fake *f, const struct fake_node *n, uint64_t version, const char *free_now, uint64_t placed_seq);
void fake_report_claim(struct fake *f, const struct fake_node *n, uint64_t version, const char *free_now, uint64_t claim_over);
struct fake_demand {
    uint32_t process, shape, count, depth;
    uint64_t placed_seen, age_ms;
    const char *resources;
    enum mob_strategy strategy;
    uint32_t node;
    struct mob_near near[2];
    uint32_t job_node;                  /* of its driver; 0: the demand's own */
};
void fake_demand(struct fake *f, const struct fake_node *n, const struct fake_demand *d);
/* It says of a job, JobStarted or JobOver, whose driver is process `process` of `node`. */
void fake_job(struct fake *f, const struct fake_node *n, Mobula__Envelope__BodyCase body, uint32_t node, uint32_t process);
/* Its part of an answer to a Query of the head's. */
void fake_node_down(struct fake *f, const struct fake_node *n, uint32_t node);
void fake_events(struct fake *f, const struct fake_node *n, uint32_t process);    /* one record */
void fake_reply(struct fake *f, const struct fake_node *n, uint64_t id, const char *text, bool last);
void fake_query(struct fake *f, uint64_t link, uint64_t id, const char *verb, const char *argument);

/* The next envelope of this body on the link that was not taken yet, or NULL; lives until the next call. */
const Mobula__Envelope *fake_take(struct fake *f, uint64_t link, Mobula__Envelope__BodyCase body);
/* The same where there must be one: a failure names the test's own line. */
#define fake_expect(f, link, body)                                               \
    ({                                                                           \
        const Mobula__Envelope *taken = fake_take(f, link, body);                \
                                                                                 \
        ck_assert_ptr_nonnull(taken);                                            \
        taken;                                                                   \
    })
bool fake_was_hung_up(const struct fake *f, uint64_t link);

#endif
