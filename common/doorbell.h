/* SPDX-License-Identifier: Apache-2.0 */
/* doorbell.h -- the one word that wakes a process, and the page it stands on.
 *
 * Each process has a page (a sealed memfd made by its raylet, mapped by its raylet and by every peer with a channel to it) and an
 * eventfd. To ring: publish, set the dirty bit, full fence; if `asleep` says so, exchange it to MOB_AWAKE and write the eventfd,
 * once. To sleep: set `asleep`, full fence, read `dirty` again, poll the eventfd (with the socket). So any number of peers is one
 * sleep, and an awake process costs its peers no system call. An eventfd and not a futex, because the sleeper also waits for its
 * socket and a raylet for its loop; both cost the same to wake.
 */
#ifndef MOB_COMMON_DOORBELL_H
#define MOB_COMMON_DOORBELL_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include "common/error.h"

#define MOB_PAGE_SIZE 4096
#define MOB_PAGE_MAGIC 0x4d4f4250u
#define MOB_PAGE_VERSION 6u
#define MOB_PAGE_NAME_SIZE 64
#ifndef MOB_DIRTY_BITS          /* the interleaver has one word of them */
#define MOB_DIRTY_BITS 256      /* one a channel of the process; the last one: "look at all" */
#endif

enum mob_asleep {
    MOB_AWAKE,                  /* do not ring */
    MOB_ASLEEP,                 /* a thread waits for anything: ring */
    MOB_DOZING,                 /* only urgent news: an answer others depend on, a half-full ring, the last task of a ring */
};

enum mob_worker_state { MOB_WORKER_IDLE, MOB_WORKER_RUNNING, MOB_WORKER_BLOCKED };

struct mob_page {
    uint32_t magic, version;
    /* written by the process, read by all */
    _Alignas(64) _Atomic uint32_t state;        /* enum mob_worker_state */
    _Atomic uint32_t epoch;
    _Atomic uint64_t task;                      /* the one that runs */
    _Atomic uint32_t attempt;
    _Atomic uint32_t once;                      /* not 0: it is never repeated */
    _Atomic int64_t claimed_ns;                 /* CLOCK_BOOTTIME; 0: none runs */
    _Atomic uint32_t held;                      /* not 0: others hold objects of ours, or run tasks of ours: both end with us */
    _Atomic uint32_t owns;                      /* not 0: it may own objects, and a thread of it reads the socket whatever its code does */
    _Atomic uint32_t interrupts;                /* not 0: a worker that wants SIGINT when a task is cancelled; it asks which one itself */
    char name[MOB_PAGE_NAME_SIZE];              /* of the function that runs, or ran last; for people: may be read half written */
    /* written by the raylet: stop (task, attempt) */
    _Alignas(64) _Atomic uint64_t cancel_task;  /* 0: none */
    _Atomic uint32_t cancel_attempt;
    /* written by all */
    _Alignas(64) _Atomic uint32_t asleep;       /* enum mob_asleep */
    _Alignas(64) _Atomic uint64_t dirty[MOB_DIRTY_BITS / 64];
};
_Static_assert(sizeof(struct mob_page) <= MOB_PAGE_SIZE, "page");

struct mob_doorbell {
    struct mob_page *page;
    int fd;                     /* the eventfd; -1 in the simulator and in tests that never sleep */
};

/* Make the page and eventfd of a process (its raylet). Both descriptors are the caller's. */
int mob_doorbell_create(int *ret_page_fd, int *ret_event_fd, struct mob_error *err);

/* Map a page and take over `event_fd`; closes page_fd in any case. Checks size, seals, magic and version. */
int mob_doorbell_open(struct mob_doorbell *ret_bell, int page_fd, int event_fd, struct mob_error *err);
void mob_doorbell_close(struct mob_doorbell *bell);

/* The name of what runs, by the process itself; and as another reads it: ended, and printable whatever stands there. */
void mob_page_set_name(struct mob_page *page, const char *name);
bool mob_page_has_name(const struct mob_page *page, const char *name);
void mob_page_name(const struct mob_page *page, char ret_name[MOB_PAGE_NAME_SIZE]);

/* Set dirty bit `bit` and wake the owner of the page if it sleeps (dozes: only if urgent). Returns true if it made the system call. */
bool mob_doorbell_ring(const struct mob_doorbell *bell, unsigned bit, bool urgent);

/* Say how this process sleeps from now on and look again: true if nothing is dirty and it may sleep; false: it is awake again. */
bool mob_doorbell_try_sleep(struct mob_doorbell *bell, enum mob_asleep how);

/* Awake again: asleep = MOB_AWAKE, the eventfd is emptied. */
void mob_doorbell_wake_up(struct mob_doorbell *bell);

/* For a sleeper that waits in a loop of its own: look() at what is dirty until the page may sleep, at most MOB_DRAIN_PASSES times. When
 * that does not end, as a peer sets bits without end, the eventfd is written: the loop has its turn, and comes again. */
#define MOB_DRAIN_PASSES 4
void mob_doorbell_drain(struct mob_doorbell *bell, void (*look)(void *arg, const uint64_t dirty[MOB_DIRTY_BITS / 64]), void *arg);

/* Take the dirty bits of word `i` (exchange with 0). */
uint64_t mob_doorbell_take(struct mob_doorbell *bell, unsigned i);

#endif
