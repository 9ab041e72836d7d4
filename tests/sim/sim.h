/* SPDX-License-Identifier: Apache-2.0 */
/* sim.h -- a cluster in one process, on a virtual clock: the cores of the daemons and of libmobula as they are, in a world made here.
 *
 *   queue.c    the clock, and what comes next
 *   world.c    chance, memory, actors and their turns
 *   links.c    links between actors, and the world's table
 *   heads.c    the head, and those that follow it
 *   cluster.c  hosts, raylets and the channels of their processes: what the shells do
 *   processes.c  drivers and workers
 *   program.c  drivers' programs, and what they may see
 *   scene.c    programs that are made to meet
 *   work.c     the functions that workers run
 *   faults.h   what goes wrong, and when; cuts.c: networks in two parts; aim.c: messages that are met
 *   trace.c    a run as a person reads it
 *   check.c    what must be true after each step, and at the end; audit.c looks into raylets' books for it
 *   streams.c  tasks that yield items, and their readers
 *   stores.h   nodes with object stores, and programs that use them
 *   drains.c   nodes that are asked to leave
 *   places.c   what was placed at a node, and what it made of that
 *   kept.c     what a lender gave back, and does not get again
 *
 * Everything that is random comes from one seed, so a run is repeated by its seed. A link delivers once and in order or breaks, as TCP
 * does: no message is lost out of the middle of one, or overtakes another on the same.
 */
#ifndef MOB_TESTS_SIM_H
#define MOB_TESTS_SIM_H

#include <stdbool.h>

#include "common/list.h"
#include "common/map.h"
#include "common/wire.h"
#include "head/head.h"
#include "raylet/raylet.h"
#include "worker/executor.h"
#include "worker/owner.h"

#define SIM_US INT64_C(1000)
#define SIM_MS INT64_C(1000000)
#define SIM_S INT64_C(1000000000)
#define SIM_HOSTS_MAX 1024
#define SIM_HEAD_PORT 1u
#define DRAINS_MAX 6u                   /* nodes that are asked to leave */
#define AIMS_MAX 16u                    /* kinds of messages that are struck */
#define SIM_GPUS 2                      /* of a host that has any */

struct scene;
struct sim_config {
    uint64_t seed;
    unsigned nodes, drivers, tasks;     /* tasks: of each driver */
    unsigned faults;                    /* kinds of them (faults.h) */
    bool crash, trace;                  /* crash: of the first driver, while all else goes well */
    const struct scene *scene;          /* NULL: random programs */
    bool restart;                       /* kill the head, and see how long it takes (restart.c) */
    bool unchecked;                     /* look at invariants at the end only: for speed, and for many nodes */
    bool stores;                        /* nodes have some, and programs use them (refs.c) ... */
    uint64_t store_bytes, large;        /* ... of so many bytes; most large values are smaller than `large` */
    bool tight;                         /* they may be full of what is in use */
    bool broadcast;                     /* drivers put objects that go from node to node, and give each to many tasks at once */
    bool cancels;                       /* tasks are cancelled, too */
    bool memory;                        /* that of a host runs short now and then */
    bool drains;                        /* nodes are asked to leave */
    bool streams;                       /* some tasks yield items */
    bool overflow;                      /* they have one, of four times their bytes */
    bool relays;                        /* tasks are given references of others, and give them back */
    bool losses;                        /* they lose what they have, now and then */
};

struct sim;
struct host;
struct actor;
struct end;
struct audit_reserve;

/* -- queue.c ---------------------------------------------------------------------------------------------------------------- */

/* What is planned: an event, or the turn of an actor. */
struct sim_slot {
    int64_t at;
    uint64_t number;
    union { struct event *event; struct actor *actor; };
    size_t actor_number;                /* of a turn */
};

struct sim_heap {
    struct sim_slot *of;
    size_t count, room;
};

struct event *sim_after(struct sim *s, int64_t delay, struct actor *a, void (*run)(struct event *e), void *arg);
struct event *sim_after_with(struct sim *s, int64_t delay, struct actor *a, void (*run)(struct event *e), void *arg,
                             const void *bytes, size_t size);
void event_delay(struct sim *s, struct event *e, int64_t at);   /* one that came, and comes again */
void event_over(struct sim *s, struct event *e);
void turn_init(struct actor *a);
void turn_plan(struct actor *a, int64_t at);                    /* unless one is planned that is sooner */
void turn_delay(struct actor *a, int64_t at);
void turn_forget(struct actor *a);
/* What is next, which moves the clock: an event, the caller's, and whose it is; or NULL and whose turn it is. False: nothing is left. */
bool queue_next(struct sim *s, struct event **ret_event, struct actor **ret_actor);
void queue_fini(struct sim *s);

/* -- world.c --------------------------------------------------------------------------------------------------------------- */

enum actor_kind { ACTOR_HEAD, ACTOR_RAYLET, ACTOR_PROCESS };

/* How a link looks to who has it. */
enum end_kind { END_HEAD, END_PEER, END_LOCAL };

/* Whoever has a core, and so a world: its facts and its turn. Lives until the sim ends; dead ones get no events. */
struct actor {
    struct mob_world world;
    struct sim *sim;
    struct host *host;
    enum actor_kind kind;
    bool alive;
    uint32_t port;
    void (*link_up)(struct actor *a, uint64_t link, enum end_kind kind);
    void (*receive)(struct actor *a, uint64_t link, const void *frame, size_t size);
    void (*link_lost)(struct actor *a, uint64_t link, const struct mob_error *why, bool refused);
    int64_t (*turn)(struct actor *a);   /* do what is due; returns when to come again */
    struct mob_page *page;              /* its doorbell; NULL: none */
    size_t number;                      /* counted from 0 */
    int64_t busy_until;                 /* no turn before */
    struct mob_link ends;               /* of its links */
    struct mob_link link;               /* in sim.actors */
};

/* A thing that happens later. Not to the dead; to the frozen when they thaw. */
struct event {
    uint64_t number;
    struct actor *actor;                /* NULL: the world itself */
    void (*run)(struct event *e);
    void *arg;
    uint64_t n;
    size_t size;
    unsigned char bytes[];
};

struct host {
    struct sim *sim;
    unsigned index;                     /* 0: the head's */
    char ip[32];
    bool off;                           /* the machine is dead: nothing comes back from it, not even a refusal */
    int64_t frozen_until, slow_until, slow_disk_until, short_until;       /* short: of memory */
    int64_t excused_until;              /* it may be declared dead: something was done to it */
    unsigned side;                      /* cuts.c */
    struct raylet *raylet;              /* NULL: none runs */
    unsigned starts;                    /* of raylets here */
    struct mob_link processes;          /* all that there ever were */
    struct living *living;              /* of them, those whose doorbell may ring */
    size_t living_count, living_room;
};

/* What is looked at after each event of a host stands side by side. */
struct living {
    const struct mob_page *page;
    struct process *process;
};

struct sim {
    struct sim_config config;
    int64_t now;
    uint64_t random;
    struct sim_heap events, turns;
    size_t *turn_places;                /* by number of the actor: where in `turns` */
    size_t turn_count, turn_room;
    struct event *spare;                /* small ones, to be used again */
    uint64_t next_number, next_link, steps;
    struct mob_wire *wire;              /* of who receives now */
    struct end **ends, *spare_end;      /* in pieces */
    size_t end_count;
    struct mob_link actors;
    struct host hosts[SIM_HOSTS_MAX + 1];
    struct actor *stepped;              /* of the last step; NULL: the world */
    struct actor *head_actor;
    struct mob_head *head;              /* NULL: it is dead */
    uint64_t head_generation;
    bool head_forgot;                   /* a head was started on a state that lacks what was told */
    struct mob_map kept[3];             /* by kind of row: key -> struct kept, what heads have kept */
    struct commit *commits;             /* what was there before each: heads.c */
    size_t commit_count;
    void **memory;                      /* pages and channels: theirs until the end of the sim, as mapped files are */
    size_t memory_count, memory_room;
    struct mob_link programs;           /* program.c: one a driver */
    unsigned programs_running;
    struct mob_map unknown;             /* check.c: leases that their lender does not have -> since when, in ms (as a pointer) */
    struct mob_map runs;                /* seed of a call -> how often it began (as a pointer) */
    int64_t memory_until;               /* no host is short of memory anew after this */
    int64_t faults_until;               /* nothing new goes wrong after this ... */
    int64_t trouble_until;              /* ... and this is how long the last that has begun lasts */
    int64_t aim_at[AIMS_MAX];           /* aim.c: of each kind of message, when it may be struck next ... */
    unsigned aims_left[AIMS_MAX];       /* ... and how often still */
    int64_t cut_until[2];               /* by side: nothing that is sent there arrives on the other before */
    uint64_t cuts;
    uint64_t misfortunes;               /* that may cost objects: so far */
    uint64_t checked_misfortunes;       /* check.c: after these, all was looked at */
    struct mob_link transfers;          /* stores.c */
    uint64_t landed, spilled, read_back, overflowed;    /* ranges of objects, objects, berths; so far */
    uint64_t passed_on;                 /* ranges asked of a node that still received the object itself */
    uint64_t items_sent, items_read;
    uint64_t refused;                   /* who asked for room and was told that there is none */
    uint64_t made_again;                /* tasks that ran again as what they had made was lost; by processes that are gone */
    uint64_t cancelled, cancelled_staging;      /* tasks; of them such whose arguments were on their way */
    uint32_t drained[DRAINS_MAX];       /* nodes that were asked to leave */
    unsigned drained_count, left;       /* left: those that did */
    uint64_t functions_run, tasks_right, tasks_failed;
    uint64_t ended_for_memory;          /* workers */
    uint32_t next_pid;
};

uint64_t sim_random(struct sim *s);
uint64_t sim_below(struct sim *s, uint64_t limit);              /* 0 .. limit-1 */
bool sim_chance(struct sim *s, unsigned percent);
void sim_trace(struct sim *s, const char *format, ...) __attribute__((format(printf, 2, 3)));

bool sim_step(struct sim *s);                                   /* one event; false: none is left */
void *sim_memory(struct sim *s, size_t size);
struct mob_doorbell bell_new(struct sim *s);
bool bell_take(struct mob_doorbell *bell, uint64_t ret_dirty[MOB_DIRTY_BITS / 64]);      /* false: it has not rung */

void actor_init(struct sim *s, struct actor *a, enum actor_kind kind, struct host *host);
void actor_poke(struct actor *a);                               /* give it a turn soon */
void host_join(struct host *h, struct process *p);
void host_leave(struct host *h, const struct process *p);
/* It is gone: peers lose their links after what it sent; `silently`: after ten seconds, as when its machine died. */
void actor_die(struct actor *a, bool silently);

/* -- links.c --------------------------------------------------------------------------------------------------------------- */

void world_init(struct mob_world *w);

/* A pair of ends that are up at once (a local socket). */
void link_pair(struct actor *a, enum end_kind a_kind, uint64_t *ret_a, struct actor *b, enum end_kind b_kind, uint64_t *ret_b);
/* Run at the far end of `link`, after all that was sent on it before. False: it is gone. */
bool link_event(struct sim *s, uint64_t link, void (*run)(struct event *e), void *arg, uint64_t n);
void link_break(struct sim *s, uint64_t link);
void link_send(struct mob_world *w, uint64_t link, const void *frame, size_t size);     /* world->send() */
/* There is one between them, all are sound, and nothing is under way. */
bool links_are_quiet(const struct actor *a, const struct actor *b);
bool link_is_between_daemons(const struct sim *s, uint64_t link);
void links_end(struct actor *a, bool silently);                 /* all of one that dies */
void link_break_all(struct actor *a);                           /* of a daemon, those to others */
void links_lose_some(struct actor *a);                          /* what it sent last does not arrive, on some; it is about to die */
void links_hold_up_some(struct actor *a, int64_t span);         /* what it says next to others than the head is late, on some of them */
void links_hold_up(struct sim *s, int64_t least, int64_t span); /* what is sent between some raylets is late by `least` to `least` + `span` */
void links_break_across(struct sim *s);                         /* all that cross a cut */
uint64_t link_next(const struct sim *s, size_t *at);            /* to go through all ends of links: start with 0; 0: that was all */
void links_fini(struct sim *s);

/* -- heads.c --------------------------------------------------------------------------------------------------------------- */

void head_start(struct sim *s);
void head_kill(struct sim *s);                                  /* another one follows */
void head_kill_for(struct sim *s, int64_t span);                /* after that */
void head_fini(struct sim *s);

/* -- restart.c ------------------------------------------------------------------------------------------------------------- */

bool restart_measure(struct sim *s);    /* false: the next head is of no use */

/* -- cluster.c ------------------------------------------------------------------------------------------------------------- */

struct raylet {
    struct actor a;
    struct mob_raylet *core;
    struct mob_raylet_config config;
    uint32_t node;
    struct mob_doorbell bell;
    struct mob_map placed, claimed, promised;   /* places.c */
    uint64_t placed_seq, claim_number, generation;      /* the same: the last heard */
    uint64_t leases_before_claim, leases_before_head;   /* the same: made until then */
    bool is_void;                       /* the same: another head has just said Registered */
    struct audit_reserve *reserve;      /* check.c: after its last step */
    struct shelf *shelf;                /* its store; NULL: it has none */
};

enum process_state { PROCESS_STARTING, PROCESS_UP, PROCESS_GONE };

struct program;
struct process {
    struct actor a;
    enum process_state state;
    bool driver;
    struct raylet *raylet;
    uint32_t number, pid;
    uint64_t nonce, link, raylet_link;  /* both ends of its socket */
    struct mob_address self, job;
    struct mob_hash executable;
    struct mob_doorbell bell;
    unsigned next_bit;
    struct mob_owner *owner;
    struct mob_executor *executor;
    struct program *program;            /* of a driver */
    struct mob_map kept_back, asked_back;   /* kept.c */
    struct work *work;                  /* the function that runs */
    struct user *user;                  /* or what does it where nodes have stores (refs.c) */
    struct desk *desk;
    unsigned unheard;                   /* Blocked and Unblocked on their way to its raylet */
    int64_t behind_since;               /* a task stands behind the one that sleeps; 0: none does */
    struct mob_link by_host;
};

struct sim *sim_create(const struct sim_config *config);
void sim_destroy(struct sim *s);

void raylet_start(struct host *h);
void raylet_kill(struct host *h, bool silently);
void raylet_reaps(struct process *p, int64_t delay, int status);        /* the raylet of `p` learns how it ended; status -1: it never was */

/* -- processes.c ----------------------------------------------------------------------------------------------------------- */

void worker_start(struct raylet *r, const struct mob_spawn *ask);       /* it says Hello later, or fails to */
struct process *driver_start(struct host *h, struct program *p);        /* NULL: its raylet has not joined */
struct process *process_of(struct actor *a);
void process_free(struct process *p);                                   /* what it has; at the end of the sim */
void process_die(struct process *p, int status, bool silently);
void process_leave(struct process *p);                                  /* a driver ends well */

/* -- program.c, work.c ----------------------------------------------------------------------------------------------------- */

void program_create(struct sim *s, struct host *h, unsigned number);
void programs_destroy(struct sim *s);
/* A worker's turn: claim and run. */
void work_turn(struct process *p);
void work_abandon(struct process *p);                                   /* it dies */
bool work_gpus(const struct process *p, const uint32_t **ret_gpus, size_t *ret_count, int64_t *ret_units);  /* of what it runs */
uint64_t call_runs(const struct sim *s, uint64_t seed);
const struct mob_executor_lease *work_running(const struct process *p);  /* that its function runs on, and its raylet knows */
void program_raylet_lost(struct program *p);
void program_leave(struct program *p);                                  /* it has done what it wanted */
void program_gone(struct program *p);                                   /* its process died under it */
bool program_crash(struct sim *s);                                      /* some driver's; false: none, or the last */

/* -- drains.c -------------------------------------------------------------------------------------------------------------- */

void drains_plan(struct sim *s);
void drains_check(const struct sim *s);                                 /* at the end */

/* -- places.c -------------------------------------------------------------------------------------------------------------- */

/* A raylet is about to hear, has heard, or says. True: a Place that it had not heard. */
bool places_hear(struct raylet *r, const void *frame, size_t size);
void places_heard(struct raylet *r);
void places_say(struct raylet *r, const void *frame, size_t size);
void places_fini(struct raylet *r);

/* -- kept.c ---------------------------------------------------------------------------------------------------------------- */

void kept_send(struct mob_world *w, uint64_t link, const void *frame, size_t size);     /* world->send() of a process */
void kept_hears(struct process *p, const Mobula__Envelope *e);  /* before its owner's core has it, which may send at once */
void kept_heard(struct process *p, const Mobula__Envelope *e);  /* and after */
void kept_fini(struct process *p);

/* -- trace.c, check.c ------------------------------------------------------------------------------------------------------ */

/* What arrives at `a`: from whom, what, and its main numbers. */
void trace_frame(struct actor *a, const void *frame, size_t size);
void check_step(struct sim *s);
void check_gpus(const struct host *h);
void check_signal(const struct process *p);                     /* its raylet sends it one */
void check_number(const struct raylet *r, uint32_t node);        /* it has just got it */
void check_job_gone(const struct sim *s, struct mob_address job);
/* Nobody holds any reference any more: no store has anything, and no owner. */
void check_no_objects(const struct sim *s);
void check_end(struct sim *s);

#endif
