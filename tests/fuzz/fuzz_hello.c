/* SPDX-License-Identifier: Apache-2.0 */
/* fuzz_hello.c -- whoever comes to the raylet's Unix socket, whatever they say, with whatever descriptors, in any order with what else
 * happens: nothing but one good Hello is heard before its Welcome; each that comes in leaves again, once; no descriptor stays open. The core,
 * the store and the hashing of programs are played. An input is a list of steps {what, whom, size, bytes}. */
#include <assert.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <unistd.h>

#include "descriptors.h"
#include "play.h"
#include "raylet/bundle.h"
#include "raylet/fork.h"
#include "raylet/resident.h"

#define CALLERS 4u
#define LINKS 4096u                     /* more than one input can open: it has 4096 bytes, and three are a step */
#define HASHINGS 1000u
#define TURNS_MAX 100                   /* until an end is noticed, and all handles are closed */
#define DRIVERS 32u                     /* their numbers are below */
#define NUMBERS 64u                     /* workers' are below */
#define PID_OF_NOBODY 0x7ffffff0
#define NONCE(number) ((number) % 4u + 1)

struct caller {
    int fd;                             /* its end; -1: it has gone */
    struct mob_stream *stream;          /* ours; NULL: over */
};

static struct mob_shell shell;
static uint8_t scratch[MOB_STREAM_READ];
static struct caller callers[CALLERS];
static struct { bool up, in; } links[LINKS];    /* as the core knows them */
static bool is_in[NUMBERS];             /* a process of this number */
static uint32_t last_number;
static uint64_t last_link;
static unsigned kept;                   /* programs of drivers */
static bool core_refuses, store_refuses, store_overflows;
static int file;
static struct hashing {
    void (*done)(void *arg, struct mob_bundle *bundle, const struct mob_error *err);
    void *arg;
    int fd;
} hashing[HASHINGS];
static unsigned hashings;

int LLVMFuzzerInitialize(int *argc, char ***argv);
int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size);

/* -- the core ------------------------------------------------------------------------------------------------------------------ */

void mob_raylet_link_up(struct mob_raylet *r, uint64_t link, enum mob_link_kind kind)
{
    (void)r;
    assert(kind == MOB_LINK_LOCAL && !links[link % LINKS].up);
    links[link % LINKS].up = true;
}

int mob_raylet_process_up(struct mob_raylet *r, uint64_t link, const struct mob_hello *hello, struct mob_address *ret_self,
                          struct mob_address *ret_job, uint32_t *ret_depth, struct mob_error *err)
{
    uint32_t number = hello->driver ? last_number + 1 : hello->process;

    (void)r;
    assert(links[link % LINKS].up && !links[link % LINKS].in && memchr(hello->name, '\0', sizeof hello->name) != NULL);
    if (core_refuses || number >= (hello->driver ? DRIVERS : NUMBERS))
        return mob_error_set(err, MOB_ERR_INVALID, "not now");
    assert(!is_in[number]);
    last_number = hello->driver ? number : last_number;
    links[link % LINKS].in = is_in[number] = true;
    *ret_self = *ret_job = (struct mob_address){ 2, number };
    *ret_depth = 0;
    return 0;
}

/* The core hears no link that has not come in. */
void mob_raylet_receive(struct mob_raylet *r, uint64_t link, const void *frame, size_t size)
{
    (void)r;
    assert(links[link % LINKS].in && frame != NULL && size > 0);
}

void mob_raylet_link_lost(struct mob_raylet *r, uint64_t link, const struct mob_error *why)
{
    (void)r;
    assert(why->code != MOB_OK);
    links[link % LINKS].up = links[link % LINKS].in = false;        /* of one that never was up: nothing */
}

void mob_raylet_process_exited(struct mob_raylet *r, uint32_t process, const struct mob_exit *exit)
{
    (void)r, (void)exit;
    is_in[process] = false;
}

void mob_raylet_page(struct mob_raylet *r, uint32_t process, struct mob_page *page)
{
    (void)r;
    assert(is_in[process] && page->magic == MOB_PAGE_MAGIC);
}

struct mob_address mob_raylet_self(const struct mob_raylet *r)
{
    (void)r;
    return (struct mob_address){ 2, 0 };
}

/* -- the rest ------------------------------------------------------------------------------------------------------------------ */

int mob_store_client(struct mob_store *s, uint32_t process, int *ret_arena, int *ret_meta, int *ret_pins, struct mob_error *err)
{
    (void)s;
    assert(is_in[process]);
    if (store_refuses)
        return mob_error_set(err, MOB_ERR_NO_SPACE, "too many clients");
    *ret_arena = *ret_meta = file;
    *ret_pins = dup(file);
    return 0;
}

int mob_store_overflow_fd(const struct mob_store *s)
{
    (void)s;
    return store_overflows ? file : -1;
}

void mob_store_client_job(struct mob_store *s, uint32_t process, struct mob_address job)
{
    (void)s;
    assert(is_in[process] && job.node == 2);
}

void mob_store_client_gone(struct mob_store *s, uint32_t process)
{
    (void)s, (void)process;
}

struct mob_store_usage mob_store_usage(const struct mob_store *s)
{
    (void)s;
    return (struct mob_store_usage){ .size = 4096 };
}

void mob_program_hash(struct mob_programs *p, int fd, void (*done)(void *arg, struct mob_bundle *bundle, const struct mob_error *err),
                      void *arg)
{
    (void)p;
    assert(fd >= 0 && hashings < HASHINGS);
    hashing[hashings].done = done;
    hashing[hashings].arg = arg;
    hashing[hashings++].fd = fd;
}

void mob_bundle_destroy(struct mob_bundle *b)
{
    free(b);
}

void mob_program_keep(struct mob_programs *p, struct mob_bundle *bundle, const char *path)
{
    (void)p;
    assert(path != NULL);
    kept++;
    mob_bundle_destroy(bundle);
}

void mob_program_forget(struct mob_programs *p, const struct mob_hash *hash)
{
    (void)p, (void)hash;
    assert(kept-- > 0);
}

void mob_program_cancel(struct mob_program_waiter *w)
{
    assert(mob_list_empty(&w->link));
}

void mob_output_destroy(struct mob_output *o)
{
    assert(o == NULL);
}

void mob_spawn_give_up(struct mob_resident *r, const struct mob_error *why)
{
    (void)r, (void)why;
    abort();                            /* nobody is PREPARING */
}

void mob_spawn_close_output(struct mob_resident *r)
{
    assert(r->out_fd < 0 && r->err_fd < 0);
}

/* Templates say that they have forked half of whom they were asked for. */
void mob_forks_read(struct mob_forks *forks)
{
    struct mob_resident *r;

    (void)forks;
    for (size_t at = 0; (r = mob_map_next(&shell.residents, &at, NULL)) != NULL;) {
        if (r->machine.now != MOB_RESIDENT_ASKED || r->number % 4 != 0)
            continue;
        r->pid = PID_OF_NOBODY;
        mob_machine_goto(&r->machine, MOB_RESIDENT_STARTED);
    }
}

/* -- callers ------------------------------------------------------------------------------------------------------------------- */

static void lost(void *arg, struct mob_stream *c, const struct mob_error *why)
{
    mob_hello_events.lost(&shell, c, why);
    ((struct caller *)arg)->stream = NULL;
}

static void heard(void *arg, struct mob_stream *c, const void *frame, size_t size)
{
    (void)arg;
    mob_hello_events.frame(&shell, c, frame, size);
}

static void settle(void)
{
    for (int i = 0; i < 4; i++)
        uv_run(mob_loop_uv(shell.loop), UV_RUN_NOWAIT);
}

static void leave(struct caller *c)
{
    if (c->fd >= 0)
        close(c->fd);
    c->fd = -1;
}

/* A new one takes the place of the old one. */
static void come(struct caller *c)
{
    static const struct mob_stream_events events = { heard, lost };
    int ends[2];

    leave(c);
    settle();
    if (c->stream != NULL)
        return;
    assert(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, ends) == 0);
    c->fd = ends[1];
    c->stream = mob_stream_create(shell.loop, ends[0], scratch, &events, c);
    mob_stream_tag(c->stream)->link = MOB_LOCAL_LINK | ++last_link % LINKS;
}

/* Up to three descriptors: a program; what it says is its pidfd, which cannot be polled, ends it at once, or never; one too many. */
static void say(const struct caller *c, const void *envelope, size_t size, unsigned how)
{
    _Alignas(struct cmsghdr) char control[CMSG_SPACE(3 * sizeof(int))] = { 0 };
    uint32_t head = (uint32_t)size;
    struct iovec parts[2] = { { &head, sizeof head }, { (void *)(uintptr_t)envelope, size } };
    struct msghdr message = { .msg_iov = parts, .msg_iovlen = 2 };
    int event = eventfd(how / 4 % 3 == 1, EFD_CLOEXEC), given[3] = { file, how / 4 % 3 == 0 ? file : event, event };
    unsigned count = how % 4;

    if (count > 0) {
        message.msg_control = control;
        message.msg_controllen = CMSG_SPACE(count * sizeof(int));
        struct cmsghdr *c0 = CMSG_FIRSTHDR(&message);
        c0->cmsg_level = SOL_SOCKET;
        c0->cmsg_type = SCM_RIGHTS;
        c0->cmsg_len = CMSG_LEN(count * sizeof(int));
        memcpy(CMSG_DATA(c0), given, count * sizeof(int));
    }
    if (c->fd >= 0)
        (void)!sendmsg(c->fd, &message, MSG_NOSIGNAL);
    close(event);
}

static void say_hello(const struct caller *c, const uint8_t *bytes, size_t size, bool driver)
{
    struct mob_wire *wire = mob_wire_create();
    Mobula__Hello hello = MOBULA__HELLO__INIT;
    struct mob_envelope e;
    char text[256] = "";
    size_t packed;

    memcpy(text, bytes, size < sizeof text - 1 ? size : sizeof text - 1);
    hello.protocol = size > 0 && bytes[0] % 16 == 15 ? bytes[0] : MOB_PROTOCOL;
    hello.kind = driver ? MOBULA__HELLO__KIND__DRIVER : MOBULA__HELLO__KIND__WORKER;
    hello.process = size > 1 ? bytes[1] % NUMBERS : DRIVERS;
    hello.nonce = size > 0 && bytes[0] % 8 == 7 ? bytes[0] : NONCE(hello.process);
    hello.program = hello.name = text;
    mob_envelope_init(&e, (struct mob_address){ 0, 0 }, (struct mob_address){ 0, 0 }, MOBULA__ENVELOPE__BODY_HELLO);
    e.e.hello = &hello;
    const void *envelope = mob_wire_pack(wire, &e.e, &packed);
    say(c, envelope, packed, driver ? 2 + (size > 0 ? bytes[0] : 0u) : 0);
    mob_wire_destroy(wire);
}

/* -- what else happens --------------------------------------------------------------------------------------------------------- */

static void hash_one(bool good)
{
    struct hashing h = hashing[0];
    struct mob_error why;

    memmove(&hashing[0], &hashing[1], --hashings * sizeof hashing[0]);
    close(h.fd);
    mob_error_set(&why, MOB_ERR_INVALID, "it is no program");
    if (good)
        h.done(h.arg, mob_new(struct mob_bundle), NULL);
    else
        h.done(h.arg, NULL, &why);
}

static void start_worker(uint32_t number)
{
    struct mob_resident *r;

    if (mob_resident_find(&shell, number) != NULL)
        return;
    r = mob_resident_create(&shell, false);
    mob_resident_number(r, number);
    r->nonce = NONCE(number);
    if (number % 2 == 0) {              /* it is to be forked */
        mob_machine_goto(&r->machine, MOB_RESIDENT_ASKED);
        return;
    }
    r->pid = PID_OF_NOBODY;
    mob_machine_goto(&r->machine, MOB_RESIDENT_STARTED);
}

static void bury_worker(uint32_t number)
{
    struct mob_resident *r = mob_resident_find(&shell, number);
    struct mob_exit exit = { .last_lines = "" };

    if (r != NULL && !r->driver)
        mob_resident_over(r, &exit);
}

static void step(uint8_t what, struct caller *c, const uint8_t *bytes, size_t size)
{
    uint8_t first = size > 0 ? bytes[0] : 0;
    uint8_t envelope[300];
    size_t at;

    switch (what % 8) {
    case 0:
        come(c);
        break;
    case 1:
    case 2:
        say_hello(c, bytes, size, what % 8 == 1);
        break;
    case 3:
        say(c, bytes, size, what / 8);
        break;
    case 4:                             /* a Hello of any bytes */
        at = play_varint(envelope, PLAY_FIRST_BODY << 3 | 2);
        at += play_varint(envelope + at, size);
        memcpy(envelope + at, bytes, size);
        say(c, envelope, at + size, what / 8);
        break;
    case 5:
        leave(c);
        break;
    case 6:
        if (hashings > 0)
            hash_one(first % 4 != 3);
        break;
    default:
        if (what / 8 % 4 == 0)
            start_worker(DRIVERS + first % (NUMBERS - DRIVERS));
        else if (what / 8 % 4 == 1)
            bury_worker(DRIVERS + first % (NUMBERS - DRIVERS));
        else if (what / 8 % 4 == 2)
            core_refuses = first % 2;
        else
            store_refuses = first % 2, store_overflows = first % 4 < 2;
    }
}

/* -- one input ----------------------------------------------------------------------------------------------------------------- */

static int64_t tick(void *arg)
{
    (void)arg;
    return INT64_MAX;
}

int LLVMFuzzerInitialize(int *argc, char ***argv)
{
    (void)argc, (void)argv;
    play_quietly();
    file = memfd_create("program", MFD_CLOEXEC);
    shell.loop = mob_loop_create();
    shell.wire = mob_wire_create();
    shell.ticker = mob_ticker_create(shell.loop, tick, NULL);
    settle();
    return 0;
}

/* All leave: nothing of them may be left. */
static void finish(void)
{
    for (unsigned i = 0; i < CALLERS; i++)
        leave(&callers[i]);
    settle();
    while (hashings > 0)
        hash_one(true);
    for (uint32_t number = DRIVERS; number < NUMBERS; number++)
        bury_worker(number);
    for (unsigned i = 0; i < CALLERS; i++) {
        for (unsigned turns = 0; callers[i].stream != NULL && turns < TURNS_MAX; turns++)
            settle();
        assert(callers[i].stream == NULL);
    }
    for (unsigned i = 0; i < NUMBERS; i++)
        assert(!is_in[i] && mob_resident_find(&shell, i) == NULL);
    for (unsigned i = 0; i < MOB_COUNT(links); i++)
        assert(!links[i].up);
    assert(kept == 0);
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size)
{
    int before = open_descriptors();

    last_number = 0;
    core_refuses = store_refuses = store_overflows = false;
    for (unsigned i = 0; i < CALLERS; i++)
        callers[i].fd = -1;
    while (size >= 3) {
        size_t part = bytes[2] < size - 3 ? bytes[2] : size - 3;

        step(bytes[0], &callers[bytes[1] % CALLERS], bytes + 3, part);
        if (bytes[1] / CALLERS % 4 != 0)        /* else the next step comes before anybody looks */
            settle();
        bytes += 3 + part;
        size -= 3 + part;
    }
    finish();
    assert(open_descriptors() == before);
    return 0;
}
