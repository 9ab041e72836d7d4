/* SPDX-License-Identifier: Apache-2.0 */
/* test_store_crash.c -- a client is killed at each instruction of its life: making, writing, sealing, pinning, reading,
 * unpinning, giving up.
 *
 * The client is a child that is single-stepped; after n steps it is killed, for greater and greater n until it has come to its end
 * before. Each run takes another of STRIDE offsets, or, with MOB_LONG set, all.
 * Its messages go over a socket as in life, and are read to the end after its death, as the raylet does.
 */
#include "store_fixture.h"

#include <signal.h>
#include <sys/ptrace.h>
#include <sys/socket.h>
#include <sys/wait.h>

#define STORE (1u << 20)
#define KEEPER 5u               /* lives through it all */
#define FIRST 100u              /* the clients that die */
#define SIZE 64u
#ifdef __SANITIZE_ADDRESS__
#define STRIDE 397u             /* it takes ten times the steps */
#else
#define STRIDE 13u
#endif
#define TASK_KEPT 1
#define TASK_SEALED 2
#define TASK_ABANDONED 3

enum verb { CREATE, SEAL, ABANDON, FETCH, FREE };

struct word {                           /* both ways */
    enum verb verb;
    uint64_t task;
    uint32_t entry, generation;
    uint64_t offset;
};

static struct fixture *f;
static struct mob_store_client *keeper;
static struct answer kept;

/* -- the client ---------------------------------------------------------------------------------------------------------- */

static struct word ask(int fd, enum verb verb, uint64_t task, uint32_t entry)
{
    struct word w = { verb, task, entry, 0, 0 };

    if (write(fd, &w, sizeof w) != sizeof w || ((verb == CREATE || verb == FETCH) && read(fd, &w, sizeof w) != sizeof w))
        _exit(3);
    return w;
}

static void read_pinned(struct mob_store_client *c, uint32_t entry, uint32_t generation, struct mob_object_id id)
{
    const char *bytes;
    uint64_t size;
    uint32_t slot;
    bool full;

    if ((bytes = mob_store_client_pin(c, entry, generation, &id, &size, &slot, &full)) == NULL || size != SIZE || bytes[SIZE - 1] != bytes[0])
        _exit(4);
    mob_store_client_unpin(c, slot);
}

static void live(struct mob_store_client *c, int fd, uint32_t process)
{
    struct word made = ask(fd, CREATE, TASK_SEALED, 0), given_up;

    memset(mob_store_client_write(c, made.offset, SIZE), 'c', SIZE);
    ask(fd, SEAL, TASK_SEALED, made.entry);
    read_pinned(c, kept.entry, kept.generation, object_of(HERE, KEEPER, TASK_KEPT));
    made = ask(fd, FETCH, TASK_SEALED, 0);
    read_pinned(c, made.entry, made.generation, object_of(HERE, process, TASK_SEALED));
    given_up = ask(fd, CREATE, TASK_ABANDONED, 0);
    *(char *)mob_store_client_write(c, given_up.offset, SIZE) = 'x';
    ask(fd, ABANDON, TASK_ABANDONED, given_up.entry);
    ask(fd, FREE, TASK_SEALED, 0);
}

static _Noreturn void be_client(int arena, int meta, int pins, int fd, uint32_t process)
{
    struct mob_store_client *c = mob_store_client_open(&(struct mob_store_fds){ arena, meta, pins, -1 }, NULL);

    if (c == NULL || ptrace(PTRACE_TRACEME, 0, NULL, NULL) < 0)
        _exit(2);
    raise(SIGSTOP);
    live(c, fd, process);
    _exit(0);
}

/* -- the raylet ---------------------------------------------------------------------------------------------------------- */

/* What it has said so far. */
static void hear(int fd, uint32_t process)
{
    struct word w;

    while (recv(fd, &w, sizeof w, MSG_DONTWAIT) == sizeof w) {
        struct mob_object_id id = object_of(HERE, process, w.task);

        if (w.verb == CREATE)
            send_create(f, process, id, SIZE);
        else if (w.verb == SEAL)
            send_seal(f, process, id, w.entry);
        else if (w.verb == ABANDON)
            send_abandon(f, process, id, w.entry);
        else if (w.verb == FETCH)
            send_fetch(f, process, id, SIZE, HERE);
        else
            send_free(f, process, id);
        w = (struct word){ w.verb, w.task, f->last.entry, f->last.generation, f->last.offset };
        if (w.verb == CREATE || w.verb == FETCH)
            ck_assert_int_eq(send(fd, &w, sizeof w, MSG_NOSIGNAL), sizeof w);
    }
}

/* A client that dies after `steps` instructions. False: it was at its end before. */
static bool client_dies_after(unsigned steps, uint32_t process)
{
    int arena, meta, pins, pair[2], status;
    pid_t pid;

    ck_assert_int_eq(mob_store_client(f->store, process, &arena, &meta, &pins, NULL), 0);
    ck_assert_int_eq(socketpair(AF_UNIX, SOCK_SEQPACKET, 0, pair), 0);
    if ((pid = fork()) == 0)
        be_client(dup(arena), dup(meta), pins, pair[1], process);
    close(pins);
    close(pair[1]);
    ck_assert_int_eq(waitpid(pid, &status, 0), pid);
    for (; WIFSTOPPED(status) && steps > 0; steps--) {
        ck_assert_int_eq(ptrace(PTRACE_SINGLESTEP, pid, NULL, NULL), 0);
        ck_assert_int_eq(waitpid(pid, &status, 0), pid);
        hear(pair[0], process);
    }
    if (WIFSTOPPED(status)) {
        kill(pid, SIGKILL);
        waitpid(pid, &status, 0);
    } else {
        ck_assert(WIFEXITED(status));
        ck_assert_int_eq(WEXITSTATUS(status), 0);
    }
    hear(pair[0], process);
    close(pair[0]);
    return WIFSIGNALED(status);
}

/* What the dynamic linker does at the first call of a function is no business of ours, and takes many steps. */
static void bind_now(void)
{
    ck_assert_int_eq(write(-1, "", 1), -1);
    ck_assert_int_eq(read(-1, &(char){ 0 }, 1), -1);
}

START_TEST(test_killed_at_any_instruction)
{
    unsigned stride = getenv("MOB_LONG") != NULL ? 1 : STRIDE, first = (unsigned)getpid() % stride, steps = first;
    bool killed;

    bind_now();
    f = fixture_create(STORE);
    keeper = fixture_client(f, KEEPER);
    kept = make(f, keeper, KEEPER, object_of(HERE, KEEPER, TASK_KEPT), SIZE, 'k');
    do {
        struct mob_object_id id = object_of(HERE, KEEPER, TASK_KEPT);
        const char *bytes;
        uint64_t size;
        uint32_t slot;
        bool full;

        killed = client_dies_after(steps, FIRST + steps);
        mob_store_client_gone(f->store, FIRST + steps);
        mob_store_check(f->store);
        ck_assert_uint_eq(f->bads, 0);
        ck_assert_uint_eq(mob_store_usage(f->store).objects, 1);        /* the keeper's */
        ck_assert_uint_eq(mob_store_usage(f->store).used, SIZE);
        bytes = mob_store_client_pin(keeper, kept.entry, kept.generation, &id, &size, &slot, &full);
        ck_assert(bytes != NULL && bytes[0] == 'k' && bytes[SIZE - 1] == 'k');
        mob_store_client_unpin(keeper, slot);
        steps += stride;
    } while (killed);
    ck_assert_uint_gt(steps, 300);
    send_free(f, KEEPER, object_of(HERE, KEEPER, TASK_KEPT));
    ck_assert_uint_eq(mob_store_usage(f->store).used, 0);               /* no pin of the dead is left */
    mob_store_client_close(keeper);
    fixture_destroy(f);
}
END_TEST

UNIT_CASE("store_crash", tcase)
{
    tcase_set_timeout(tcase, getenv("MOB_LONG") != NULL ? 1800 : 60);
    UNIT_TESTS(tcase, test_killed_at_any_instruction);
}
