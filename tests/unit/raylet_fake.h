/* SPDX-License-Identifier: Apache-2.0 */
/* raylet_fake.h -- a raylet's core in a world of memory: the test sets the clock, plays the head, peers and processes, and reads
 * what was sent, spawned, killed and connected. The core is checked after each call. Node 2; the head's link is `head`. */
#ifndef MOB_TESTS_RAYLET_FAKE_H
#define MOB_TESTS_RAYLET_FAKE_H

#include "raylet/raylet.h"
#include "unit.h"

#define FAKE_MS INT64_C(1000000)
#define FAKE_NODE 2u
#define FAKE_PROCESSES 4096

struct fake_process {
    uint64_t link;                      /* 0: not up */
    bool spawned, up, gone, driver;
    int killed;                         /* the last signal */
    struct mob_address job;
    uint32_t gpus[8];
    size_t gpu_count;
    uint64_t resident;                  /* what world->resident() answers */
    struct mob_page page;
};

struct fake_sent {
    uint64_t link;
    void *bytes;                        /* NULL: taken */
    size_t size;
};

struct fake {
    struct mob_world world;
    struct mob_raylet_config config;
    struct mob_raylet *raylet;
    struct mob_wire *wire;
    int64_t now_ns;
    uint64_t random, next_link, head;
    struct fake_sent *sent;
    size_t sent_count, sent_room;
    struct fake_process *process;       /* by number */
    uint32_t spawned, connected;
    bool prepares;                      /* what world->prepare() answers */
    struct mob_memory memory;           /* what world->memory() answers; limit 0: it cannot be read */
    uint32_t memory_looks;
    uint64_t hung_up, dialed, dialed_head;      /* the last */
    uint32_t dials, hang_ups;
    uint64_t slow;                      /* a link on which slow_queued bytes wait */
    size_t slow_queued;
    uint64_t mark_task, places, claims;
    bool out_of_memory;                 /* what fake_exit() says besides */
    const char *core;
    uint64_t generation;                /* of the head, as Registered says */
    uint32_t last;                      /* the highest number of a node, as Registered says; 4 at least */
    uint64_t events_heard;              /* by the head, the same */
    uint64_t forgot_seq;                /* what peers say in their PeerHello */
    struct mob_address flushed;         /* whose output was asked for last */
    size_t flushed_after;               /* how many messages had been sent by then */
    struct mob_error over;              /* code MOB_OK: not over */
    struct mob_hash executable;
};

/* The core asks world->memory() and world->resident(). Between init and start. */
void fake_watch_memory(struct fake *f);
/* Not joined yet. Change f->config between init and start. */
void fake_init(struct fake *f, const char *resources);
void fake_start(struct fake *f);
void fake_fini(struct fake *f);
/* init, start and join. */
void fake_open(struct fake *f, const char *resources);
/* The head's link comes up and it answers Register. */
void fake_join(struct fake *f);

void fake_pass(struct fake *f, int64_t ms);
void fake_tick(struct fake *f);

/* Next envelope of this kind sent on the link, or NULL; lives till the next call. */
Mobula__Envelope *fake_take(struct fake *f, uint64_t link, Mobula__Envelope__BodyCase body);
/* The same where there must be one: a failure names the test's own line. */
#define fake_expect(f, link, body)                                               \
    ({                                                                           \
        Mobula__Envelope *taken = fake_take(f, link, body);                      \
                                                                                 \
        ck_assert_ptr_nonnull(taken);                                            \
        taken;                                                                   \
    })
size_t fake_count(struct fake *f, uint64_t link, Mobula__Envelope__BodyCase body);     /* takes all */
void fake_forget_sent(struct fake *f);

/* Say something over a link. */
void fake_say(struct fake *f, uint64_t link, struct mob_address from, struct mob_address to, Mobula__Envelope__BodyCase body,
              void *message);

/* The head says it to this node. */
void fake_head_says(struct fake *f, Mobula__Envelope__BodyCase body, void *message);
void fake_node_up(struct fake *f, uint32_t node);
/* `left`: it was drained. */
void fake_node_down(struct fake *f, uint32_t node, bool left, const char *reason);

uint32_t fake_driver(struct fake *f);
void fake_worker_up(struct fake *f, uint32_t process);
/* All workers that were spawned come up, until no more are. */
void fake_all_up(struct fake *f);
void fake_exit(struct fake *f, uint32_t process, int status);
/* It never started, and none of its program will. */
void fake_unfit(struct fake *f, uint32_t process);
/* All that were killed are reaped. */
void fake_reap(struct fake *f);

struct fake_ask {
    uint32_t shape, count, depth;
    uint64_t seen;
    const char *resources;              /* NULL: "CPU=1" */
    enum mob_strategy strategy;
    uint32_t node;
    struct mob_near near[2];            /* of a Want */
    uint64_t age_ms;                    /* of a Place or Claim */
    bool full;                          /* of a Claim */
};
void fake_want(struct fake *f, uint32_t process, struct fake_ask ask);
struct fake_grant {
    uint64_t lease, place_seq;
    uint32_t worker, epoch, shape;
    uint32_t gpus[8];
    size_t gpu_count;
};
/* The next Grant for a process (or on a peer's link). False: none. */
bool fake_grant(struct fake *f, uint64_t link, struct fake_grant *ret);
void fake_return(struct fake *f, uint32_t process, uint64_t lease);
void fake_blocked(struct fake *f, uint32_t process, bool blocked);
void fake_runs(struct fake *f, const struct fake_grant *g, uint64_t task, uint32_t attempt);

/* A peer raylet that dials us: its link. */
uint64_t fake_peer(struct fake *f, uint32_t node);
/* From the head: Place `count` of a shape for an owner elsewhere. */
void fake_place(struct fake *f, struct mob_address owner, struct fake_ask ask);
/* And Claim; its number is f->claims. */
void fake_claim(struct fake *f, struct mob_address owner, struct fake_ask ask);
void fake_placed(struct fake *f, uint32_t process, uint32_t shape, uint32_t node, uint32_t count);
/* The level of the last Demand, or -1. */
int64_t fake_demand(struct fake *f);
void fake_lose(struct fake *f, uint64_t link);
int64_t fake_free(struct fake *f, const char *name);    /* in the last Report, after the pace */

struct mob_address fake_at(uint32_t node, uint32_t process);

#endif
