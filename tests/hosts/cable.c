// SPDX-License-Identifier: Apache-2.0
/* lab-cable A B PERCENT MS SEED -- a long and bad cable between two network devices, for kernels that have no netem: what comes in at A goes
 * out at B after MS milliseconds, and the other way round; PERCENT of it is lost, by the random numbers of SEED. It prints "up" when it
 * carries, and does so until it is killed.
 *
 * Frames carry their virtio header in and out of the packet sockets: so those that the sender left for its card to cut up and to sum pass
 * as they are, as they do between two hosts of the lab without it. All of one way are late by the same time, and so keep their order. */
#include <errno.h>
#include <linux/if_packet.h>
#include <net/ethernet.h>
#include <net/if.h>
#include <poll.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <arpa/inet.h>

enum {
    WAITING_MAX = 4096,                 /* frames on one way; what comes beyond is lost, as in a router that has no room */
    FRAME_MAX = 128 << 10,
    ROOM = 32 << 20,                    /* in the kernel, for what comes while this program does not run */
};

struct frame {
    int64_t due;
    size_t size;
    void *bytes;
};

struct way {
    int from, to;
    struct frame waiting[WAITING_MAX];  /* [first, last) modulo WAITING_MAX, by time */
    unsigned first, last;
};

struct cable {
    struct way ways[2];
    double lost;
    int64_t late;
    uint64_t random;
};

static _Noreturn void give_up(const char *what)
{
    fprintf(stderr, "lab-cable: %s: %s\n", what, strerror(errno));
    exit(1);
}

static int64_t now_ns(void)
{
    struct timespec t;

    clock_gettime(CLOCK_MONOTONIC, &t);
    return t.tv_sec * INT64_C(1000000000) + t.tv_nsec;
}

static int plug(const char *device)
{
    struct sockaddr_ll at = { .sll_family = AF_PACKET, .sll_protocol = htons(ETH_P_ALL), .sll_ifindex = (int)if_nametoindex(device) };
    int fd = socket(AF_PACKET, SOCK_RAW | SOCK_NONBLOCK | SOCK_CLOEXEC, 0), yes = 1, room = ROOM;

    if (fd < 0 || at.sll_ifindex == 0 || setsockopt(fd, SOL_PACKET, PACKET_IGNORE_OUTGOING, &yes, sizeof yes) < 0
        || setsockopt(fd, SOL_PACKET, PACKET_VNET_HDR, &yes, sizeof yes) < 0)
        give_up(device);
    if (setsockopt(fd, SOL_SOCKET, SO_RCVBUFFORCE, &room, sizeof room) < 0)
        setsockopt(fd, SOL_SOCKET, SO_RCVBUF, &room, sizeof room);
    if (bind(fd, (struct sockaddr *)&at, sizeof at) < 0)
        give_up(device);
    return fd;
}

static bool is_lost(struct cable *c)
{
    c->random = c->random * UINT64_C(6364136223846793005) + UINT64_C(1442695040888963407);
    return (double)(c->random >> 33) < c->lost * (double)(UINT64_C(1) << 31);
}

static void take_in(struct cable *c, struct way *w)
{
    static char bytes[FRAME_MAX];
    ssize_t size;

    while ((size = recv(w->from, bytes, sizeof bytes, MSG_DONTWAIT)) >= 0) {
        struct frame *f = &w->waiting[w->last % WAITING_MAX];
        if (is_lost(c) || w->last - w->first == WAITING_MAX)
            continue;
        *f = (struct frame){ .due = now_ns() + c->late, .size = (size_t)size, .bytes = malloc((size_t)size) };
        if (f->bytes == NULL)
            give_up("memory");
        memcpy(f->bytes, bytes, (size_t)size);
        w->last++;
    }
}

/* Returns when the next one is due. A device that is down, as its cable was cut, takes none. */
static int64_t let_out(struct way *w, int64_t now)
{
    for (; w->first != w->last; w->first++) {
        struct frame *f = &w->waiting[w->first % WAITING_MAX];
        if (f->due > now)
            return f->due;
        send(w->to, f->bytes, f->size, MSG_DONTWAIT);
        free(f->bytes);
    }
    return INT64_MAX;
}

int main(int argc, char **argv)
{
    static struct cable c;
    int64_t due[2] = { INT64_MAX, INT64_MAX };

    if (argc != 6) {
        fprintf(stderr, "usage: lab-cable A B PERCENT MS SEED\n");
        return 2;
    }
    c.lost = atof(argv[3]) / 100;
    c.late = atoll(argv[4]) * 1000000;
    c.random = strtoull(argv[5], NULL, 10);
    c.ways[0] = (struct way){ .from = plug(argv[1]), .to = plug(argv[2]) };
    c.ways[1] = (struct way){ .from = c.ways[0].to, .to = c.ways[0].from };
    puts("up");
    fflush(stdout);
    for (;;) {
        struct pollfd ends[2] = { { .fd = c.ways[0].from, .events = POLLIN }, { .fd = c.ways[1].from, .events = POLLIN } };
        int64_t next = due[0] < due[1] ? due[0] : due[1], left = next - now_ns();
        struct timespec patience = { .tv_sec = left > 0 ? left / 1000000000 : 0, .tv_nsec = left > 0 ? left % 1000000000 : 0 };

        ppoll(ends, 2, next == INT64_MAX ? NULL : &patience, NULL);
        for (int i = 0; i < 2; i++) {
            take_in(&c, &c.ways[i]);
            due[i] = let_out(&c.ways[i], now_ns());
        }
    }
}
