/* SPDX-License-Identifier: Apache-2.0 */
/* fuzz_inbox.c -- whatever the raylet says to a driver that has come in: Welcome, channels, room and objects of the store,
 * output, answers to its questions. No crash; every call comes back when the raylet is gone; what is handed out lies in the
 * store. An input: what the driver asks for, then messages (play.h); of each, `who` says how many descriptors come with it, or
 * that the body around the bytes is good. */
#include <assert.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "common/channel.h"
#include "common/doorbell.h"
#include "mobula.h"
#include "objstore/layout.h"
#include "play.h"
#include "worker/store_call.h"

#define NODE 2u
#define DRIVER 1u
#define ARENA (64u << 10)
#define ENTRIES 4

enum { DONE_RIGHT = 8 };                /* `who` from here on: the body around the bytes is good */

static struct sockaddr_un address = { .sun_family = AF_UNIX };
static int listener, gives[6];          /* page, eventfd, arena, metadata, pins: as a Welcome gives them; a channel */
static struct mob_wire *wire;

int LLVMFuzzerInitialize(int *argc, char ***argv);
int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size);

static void remove_address(void)
{
    unlink(address.sun_path);
}

static int memory_of(const void *bytes, size_t size)
{
    int fd = memfd_create("fuzz", MFD_CLOEXEC);

    assert(fd >= 0 && ftruncate(fd, (off_t)size) == 0 && (bytes == NULL || write(fd, bytes, size) == (ssize_t)size));
    return fd;
}

static struct mob_object_id object_of(uint64_t task)
{
    return (struct mob_object_id){ .cluster = 9, .node = NODE, .process = DRIVER, .task = task };
}

static void make_store(void)
{
    struct mob_pin_page *pins = calloc(1, sizeof *pins);         /* of some MiB */
    size_t size = sizeof(struct mob_store_meta) + ENTRIES * sizeof(struct mob_store_entry);
    struct mob_store_meta *meta = calloc(1, size);

    *meta = (struct mob_store_meta){ .magic = MOB_STORE_MAGIC, .version = MOB_STORE_VERSION, .arena_size = ARENA, .entries = ENTRIES };
    for (uint64_t i = 0; i < ENTRIES; i++)
        meta->entry[i] = (struct mob_store_entry){ .word = mob_entry_word(1, MOB_ENTRY_SEALED), .offset = i * 4096, .size = 4096,
                                                  .object = object_of(i) };
    gives[2] = memory_of(NULL, ARENA);
    gives[3] = memory_of(meta, size);
    free(meta);
    pins->magic = MOB_STORE_MAGIC;
    pins->version = MOB_STORE_VERSION;
    gives[4] = memory_of(pins, sizeof *pins);
    free(pins);
}

int LLVMFuzzerInitialize(int *argc, char ***argv)
{
    (void)argc, (void)argv;
    play_quietly();
    stdout = fopen("/dev/null", "w");           /* what tasks "printed" */
    stderr = fopen("/dev/null", "w");
    wire = mob_wire_create();
    listener = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    snprintf(address.sun_path, sizeof address.sun_path, "/tmp/fuzz_inbox.%d", (int)getpid());
    remove_address();
    assert(bind(listener, (struct sockaddr *)&address, sizeof address) == 0 && listen(listener, 8) == 0);
    atexit(remove_address);
    assert(mob_doorbell_create(&gives[0], &gives[1], NULL) == 0 && mob_channel_create(&gives[5], NULL) == 0);
    make_store();
    return 0;
}

/* -- the raylet's words ------------------------------------------------------------------------------------------------------ */

static void say(int fd, const void *frame, size_t size, const int *fds, size_t count)
{
    _Alignas(struct cmsghdr) char control[CMSG_SPACE(8 * sizeof(int))] = { 0 };
    uint32_t head = (uint32_t)size;
    struct iovec parts[2] = { { &head, sizeof head }, { (void *)(uintptr_t)frame, size } };
    struct msghdr message = { .msg_iov = parts, .msg_iovlen = 2 };

    if (count > 0) {
        message.msg_control = control;
        message.msg_controllen = CMSG_SPACE(count * sizeof(int));
        struct cmsghdr *c = CMSG_FIRSTHDR(&message);
        c->cmsg_level = SOL_SOCKET;
        c->cmsg_type = SCM_RIGHTS;
        c->cmsg_len = CMSG_LEN(count * sizeof(int));
        memcpy(CMSG_DATA(c), fds, count * sizeof(int));
    }
    (void)!sendmsg(fd, &message, MSG_NOSIGNAL | MSG_DONTWAIT);
}

static void say_envelope(int fd, const Mobula__Envelope *e, const int *fds, size_t count)
{
    size_t size;
    const void *bytes = mob_wire_pack(wire, e, &size);

    say(fd, bytes, size, fds, count);
}

static void say_welcome(int fd)
{
    static uint8_t hash[sizeof(struct mob_hash)];
    Mobula__Welcome m = MOBULA__WELCOME__INIT;
    Mobula__Address self, job;
    struct mob_envelope out;

    mob_wire_put_address(&self, (struct mob_address){ NODE, DRIVER });
    mob_wire_put_address(&job, (struct mob_address){ NODE, DRIVER });
    m.cluster = 9;
    m.self = &self;
    m.job = &job;
    m.ip = (char[]){ "10.0.0.1" };
    m.executable = (ProtobufCBinaryData){ sizeof hash, hash };
    mob_envelope_init(&out, (struct mob_address){ NODE, 0 }, (struct mob_address){ NODE, DRIVER }, MOBULA__ENVELOPE__BODY_WELCOME);
    out.e.welcome = &m;
    say_envelope(fd, &out.e, gives, 5);
}

/* Nodes and sums, with names and amounts made of the bytes. */
static size_t wrap(char *to, size_t room, const uint8_t *bytes, size_t size)
{
    int exponent = size > 0 ? bytes[0] : 0, amount = size > 1 ? (int8_t)bytes[1] : 0, n;
    char name[128] = "";

    for (size_t i = 2; i < size && i < sizeof name; i++)
        name[i - 2] = (char)('a' + bytes[i] % 26);
    n = snprintf(to, room, "{\"total\":{\"%s\":%de%d},\"available\":{\"CPU\":%d},\"nodes\":[{\"node\":%de%d,\"ip\":\"%s\","
                 "\"port\":%d,\"total\":{\"CPU\":%de%d}},%d,{}]}", name, amount, exponent, amount, amount, exponent % 16, name, amount, amount,
                 exponent, amount);
    return n > 0 && (size_t)n < room ? (size_t)n : 0;
}

/* The bytes in a body that is good but for them. */
static void say_right(int fd, unsigned which, const uint8_t *bytes, size_t size)
{
    Mobula__Reply reply = MOBULA__REPLY__INIT;
    Mobula__Created created = MOBULA__CREATED__INIT;
    Mobula__Fetched fetched = MOBULA__FETCHED__INIT;
    Mobula__ObjectId object = MOBULA__OBJECT_ID__INIT;
    struct mob_object_id id = object_of(size > 0 ? bytes[0] % (ENTRIES + 1) : 0);
    struct mob_envelope out;
    static char text[8192];
    uint64_t word = 0;

    memcpy(&word, bytes, size < sizeof word ? size : sizeof word);
    mob_wire_put_object(&object, &id);
    mob_envelope_init(&out, (struct mob_address){ 0, 0 }, (struct mob_address){ NODE, DRIVER },
                      which % 4 == 0   ? MOBULA__ENVELOPE__BODY_CREATED
                      : which % 4 == 1 ? MOBULA__ENVELOPE__BODY_FETCHED
                                       : MOBULA__ENVELOPE__BODY_REPLY);
    if (which % 4 >= 2) {
        reply.id = 1;
        reply.last = which % 8 >= 4;
        reply.text = (ProtobufCBinaryData){ size, (uint8_t *)(uintptr_t)bytes };
        if (which % 4 == 3)
            reply.text = (ProtobufCBinaryData){ wrap(text, sizeof text, bytes, size), (uint8_t *)text };
        out.e.reply = &reply;
    } else if (which % 4 == 0) {
        created.object = &object;
        created.offset = word >> 8;
        out.e.created = &created;
    } else {
        fetched.object = &object;
        fetched.entry = (uint32_t)(word >> 8) % (word >> 41 & 1 ? UINT32_MAX : ENTRIES + 2);
        fetched.generation = 1 + (word >> 40 & 1);
        out.e.fetched = &fetched;
    }
    say_envelope(fd, &out.e, NULL, 0);
}

static void say_all(int fd, const uint8_t *bytes, size_t size)
{
    struct play play = { .bytes = bytes, .size = size };
    const int channel[3] = { gives[5], gives[0], gives[1] };

    while (play_next(&play, (struct mob_address){ NODE, 0 }, (struct mob_address){ NODE, DRIVER })) {
        if (play.who >= DONE_RIGHT && play.who % 2)
            say_right(fd, play.who / 2, play.body, play.body_size);
        else
            say(fd, play.envelope, play.envelope_size, channel, play.who % 4);
    }
    shutdown(fd, SHUT_WR);
}

/* -- the driver -------------------------------------------------------------------------------------------------------------- */

static void make_room(struct mob_runtime *r)
{
    struct mob_object_id id = object_of(0);
    struct mob_room room;

    if (r->state == MOB_RUNTIME_UP && mob_store_room(r, &id, 512, 0, &room, NULL) == 0)
        memset(room.data, 0, 512);
}

static void ask(unsigned what)
{
    struct mob_node nodes[2] = { { .size = sizeof nodes[0] } };
    char total[256], available[16];
    struct mob_error err;
    size_t count = 2;

    if (what == 0)
        mob_nodes(nodes, &count, &err);
    else if (what == 1)
        mob_resources(total, available, sizeof available, &err);
    else if (what == 2)
        mob_wait_nodes(1, -1, &err);
}

static void fetched(struct mob_runtime *r, struct mob_fetch *fetch, size_t left)
{
    for (unsigned i = 0; i < ENTRIES; i++) {
        uint8_t byte = 0;

        for (uint64_t at = 0; fetch[i].data != NULL && at < fetch[i].size; at++)
            byte |= ((const uint8_t *)fetch[i].data)[at];
        assert(byte == 0 && (fetch[i].data == NULL || fetch[i].size == 4096));
        mob_fetch_cancel(r, &fetch[i]);
    }
    assert(left == 0 || r->state == MOB_RUNTIME_UP);
}

static void run(struct mob_runtime *r, int fd, const uint8_t *bytes, size_t size)
{
    struct mob_fetch fetch[ENTRIES] = { 0 };
    size_t left = 0;

    r->state = MOB_RUNTIME_GREETING;
    if (bytes[0] % 8 != 7)              /* else the Welcome is among the messages */
        say_welcome(fd);
    else
        say_all(fd, bytes + 1, size - 1);
    mob_runtime_read(r);
    if (r->state != MOB_RUNTIME_UP)
        return;
    for (uint64_t i = 0; i < ENTRIES; i++) {
        fetch[i].id = object_of(i);
        mob_fetch_start(r, &fetch[i], NULL, &left);
    }
    say_all(fd, bytes + 1, size - 1);
    if (bytes[0] % 4 == 3) {
        make_room(r);
    } else {
        mob_runtime_unlock(r);
        ask(bytes[0] % 4);
        mob_runtime_lock();
    }
    while (r->state == MOB_RUNTIME_UP)
        mob_runtime_read(r);
    fetched(r, fetch, left);
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size)
{
    struct mob_runtime *r = mob_runtime_lock();
    int fd;

    assert(mob_runtime_open(r, NULL) == 0);
    r->socket = mob_socket_connect(address.sun_path, NULL);
    fd = accept4(listener, NULL, NULL, SOCK_CLOEXEC);
    assert(r->socket != NULL && fd >= 0);
    if (size > 0)
        run(r, fd, bytes, size);
    mob_output_print(r);
    mob_runtime_close(r);
    mob_runtime_unlock(r);
    close(fd);
    return 0;
}
