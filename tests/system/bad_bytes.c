/* SPDX-License-Identifier: Apache-2.0 */
/* bad_bytes.c -- a peer that says what no peer may say.
 *
 *   bad_bytes SOCKET FORM           say FORM; wait until the other end hangs up, print what it answered as text
 *   bad_bytes SOCKET FORM leave     say FORM, hang up
 *   bad_bytes SOCKET silent FILE    32 connections that say nothing, until FILE is there; FILE.up when they stand
 *
 * SOCKET: the path of a Unix socket, or IP:PORT. Forms: noise, http, and of each protocol half a message and one of a huge length. */
#include <arpa/inet.h>
#include <netinet/in.h>
#include <poll.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "common/wire.h"
#include "objstore/bulk_wire.h"

#define PATIENCE_MS 20000
#define SILENT 32

struct speech {
    unsigned char bytes[1 << 16];
    size_t size;
};

static void say(struct speech *s, const void *bytes, size_t size)
{
    memcpy(s->bytes + s->size, bytes, size);
    s->size += size;
}

/* -- forms ------------------------------------------------------------------------------------------------------------------- */

static void say_noise(struct speech *s)
{
    uint64_t x = 88172645463325252u;    /* xorshift: the same noise each time */

    while (s->size + sizeof x <= sizeof s->bytes) {
        x ^= x << 13, x ^= x >> 7, x ^= x << 17;
        say(s, &x, sizeof x);
    }
}

static void say_http(struct speech *s)
{
    say(s, "GET / HTTP/1.1\r\nHost: x\r\n\r\n", 27);
}

static void say_preface(struct speech *s)
{
    say(s, "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", 24);
}

static void say_half_grpc(struct speech *s)
{
    say_preface(s);
    say(s, "\0\0\x20\x04", 4);
}

/* A HEADERS frame that claims 16 MiB, more than any peer allows. */
static void say_huge_grpc(struct speech *s)
{
    say_preface(s);
    say(s, "\0\0\0\x04\0\0\0\0\0", 9);
    say(s, "\xff\xff\xff\x01\x04\0\0\0\x01", 9);
    say_noise(s);
}

static void say_half_frame(struct speech *s)
{
    say(s, &(uint32_t){ 100 }, 4);
    say(s, "half", 4);
}

static void say_huge_frame(struct speech *s)
{
    say(s, &(uint32_t){ UINT32_MAX }, 4);
    say(s, "much more", 9);
}

/* A whole frame that is no message. */
static void say_senseless_frame(struct speech *s)
{
    say(s, &(uint32_t){ 8 }, 4);
    say(s, "\xff\xff\xff\xff\xff\xff\xff\xff", 8);
}

static void say_other_version(struct speech *s)
{
    struct mob_envelope out;
    struct mob_wire *wire = mob_wire_create();
    Mobula__Hello m = MOBULA__HELLO__INIT;
    const void *bytes;
    size_t size;

    mob_envelope_init(&out, (struct mob_address){ 0, 0 }, (struct mob_address){ 0, 0 }, MOBULA__ENVELOPE__BODY_HELLO);
    m.protocol = MOB_PROTOCOL + 1;
    m.program = m.name = (char *)"x";
    out.e.hello = &m;
    bytes = mob_wire_pack(wire, &out.e, &size);
    say(s, &(uint32_t){ (uint32_t)size }, 4);
    say(s, bytes, size);
    mob_wire_destroy(wire);
}

static void say_bulk_hello(struct speech *s, uint32_t version)
{
    struct bulk_hello hello = { .magic = BULK_MAGIC, .version = version };

    if (getenv("BAD_TOKEN") != NULL)
        memcpy(hello.token, getenv("BAD_TOKEN"), strnlen(getenv("BAD_TOKEN"), sizeof hello.token));
    say(s, &hello, sizeof hello);
}

static void say_half_bulk(struct speech *s)
{
    say_bulk_hello(s, BULK_VERSION);
    s->size /= 2;
}

static void say_huge_bulk(struct speech *s)
{
    struct bulk_ask ask = { .kind = BULK_OBJECT, .size = UINT64_MAX, .length = UINT64_MAX };

    say_bulk_hello(s, BULK_VERSION);
    say(s, &ask, sizeof ask);
}

static void say_other_bulk(struct speech *s)
{
    say_bulk_hello(s, BULK_VERSION + 1);
    say(s, &(struct bulk_ask){ .kind = BULK_FILE }, sizeof(struct bulk_ask));
}

static const struct form {
    const char *name;
    void (*say)(struct speech *s);
} forms[] = {
    { "noise", say_noise },           { "http", say_http },             { "half-grpc", say_half_grpc },
    { "huge-grpc", say_huge_grpc },   { "half-frame", say_half_frame }, { "huge-frame", say_huge_frame },
    { "half-bulk", say_half_bulk },   { "huge-bulk", say_huge_bulk },   { "senseless-frame", say_senseless_frame },
    { "version-frame", say_other_version }, { "version-bulk", say_other_bulk },
};

/* -- connections --------------------------------------------------------------------------------------------------------------- */

static int connect_path(const char *path)
{
    struct sockaddr_un address = { .sun_family = AF_UNIX };
    int fd = socket(AF_UNIX, SOCK_STREAM, 0);

    strncpy(address.sun_path, path, sizeof address.sun_path - 1);
    return connect(fd, (struct sockaddr *)&address, sizeof address) == 0 ? fd : -1;
}

static int connect_port(const char *text)
{
    struct sockaddr_in address = { .sin_family = AF_INET };
    const char *colon = strrchr(text, ':');
    char ip[64] = "";
    int fd = socket(AF_INET, SOCK_STREAM, 0);

    memcpy(ip, text, (size_t)(colon - text) % sizeof ip);
    inet_pton(AF_INET, ip, &address.sin_addr);
    address.sin_port = htons((uint16_t)atoi(colon + 1));
    return connect(fd, (struct sockaddr *)&address, sizeof address) == 0 ? fd : -1;
}

static int connect_to(const char *where)
{
    int fd = where[0] == '/' ? connect_path(where) : connect_port(where);

    if (fd < 0) {
        perror(where);
        exit(3);
    }
    return fd;
}

/* Print the answer's text; 1 if the other end does not hang up. */
static int listen_to(int fd)
{
    struct pollfd p = { .fd = fd, .events = POLLIN };
    unsigned char bytes[4096];
    ssize_t n;

    while (poll(&p, 1, PATIENCE_MS) > 0) {
        if ((n = read(fd, bytes, sizeof bytes)) <= 0)
            return 0;
        for (ssize_t i = 0; i < n; i++)
            putchar(bytes[i] >= ' ' && bytes[i] < 127 ? bytes[i] : ' ');
    }
    fprintf(stderr, "it did not hang up within %d s\n", PATIENCE_MS / 1000);
    return 1;
}

static int stay_silent(const char *where, const char *until)
{
    char up[4096];

    for (int i = 0; i < SILENT; i++)
        connect_to(where);
    snprintf(up, sizeof up, "%s.up", until);
    fclose(fopen(up, "w"));
    while (access(until, F_OK) != 0)
        poll(NULL, 0, 20);
    return 0;
}

int main(int argc, char **argv)
{
    static struct speech speech;

    if (argc == 4 && strcmp(argv[2], "silent") == 0)
        return stay_silent(argv[1], argv[3]);
    for (size_t i = 0; argc >= 3 && i < sizeof forms / sizeof forms[0]; i++) {
        if (strcmp(argv[2], forms[i].name) != 0)
            continue;
        int fd = connect_to(argv[1]);

        forms[i].say(&speech);
        send(fd, speech.bytes, speech.size, MSG_NOSIGNAL);      /* it may hang up in the middle */
        return argc == 4 ? 0 : listen_to(fd);
    }
    fprintf(stderr, "usage: bad_bytes SOCKET FORM [leave] | SOCKET silent FILE\n");
    return 2;
}
