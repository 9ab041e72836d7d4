/* SPDX-License-Identifier: Apache-2.0 */
/* channel.c -- what the two ends of a channel share: making and mapping its memory, and ringing. The ends themselves are
 * channel_owner.c and channel_worker.c; the memory and its rules of order are in channel_layout.h.
 *
 * Life: the raylet creates the memory and passes it to an owner and a worker; each maps it when it hears of it, in any order. An
 * end that dies leaves nothing half-done that the other waits for: a reservation is nothing until its one publishing store.
 */
#include <assert.h>
#include <fcntl.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "common/channel_layout.h"
#include "common/mem.h"

#define CHANNEL_SEALS (F_SEAL_SHRINK | F_SEAL_GROW)     /* without them a peer could take the memory away under us: SIGBUS */

size_t mob_channel_memory_size(void)
{
    return sizeof(struct memory);
}

int mob_channel_create(int *ret_fd, struct mob_error *err)
{
    const uint32_t head[4] = { CHANNEL_MAGIC, CHANNEL_VERSION, SLOTS, BYTES };
    int fd = memfd_create("mobula-channel", MFD_CLOEXEC | MFD_ALLOW_SEALING);

    _Static_assert(offsetof(struct memory, magic) == 0 && offsetof(struct memory, bytes) == 12, "head of the channel");
    if (fd < 0 || ftruncate(fd, sizeof(struct memory)) < 0 || pwrite(fd, head, sizeof(head), 0) != sizeof(head)
        || fcntl(fd, F_ADD_SEALS, CHANNEL_SEALS | F_SEAL_SEAL) < 0) {
        mob_error_errno(err, "cannot make the memory of a channel");
        if (fd >= 0)
            close(fd);
        return -1;
    }
    *ret_fd = fd;
    return 0;
}

static struct memory *memory_map(int fd, struct mob_error *err)
{
    struct stat about;
    int seals = fcntl(fd, F_GET_SEALS);
    struct memory *m;

    if (seals < 0 || (seals & CHANNEL_SEALS) != CHANNEL_SEALS || fstat(fd, &about) < 0 || about.st_size != sizeof(struct memory)) {
        mob_error_set(err, MOB_ERR_PROTOCOL, "a channel is not sealed memory of %zu bytes", sizeof(struct memory));
        return NULL;
    }
    m = mmap(NULL, sizeof(*m), PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    if (m == MAP_FAILED) {
        mob_error_errno(err, "cannot map a channel");
        return NULL;
    }
    if (m->magic != CHANNEL_MAGIC || m->version != CHANNEL_VERSION || m->slots != SLOTS || m->bytes != BYTES) {
        mob_error_set(err, MOB_ERR_VERSION, "a channel has version %u, this program speaks %u: use one release of Mobula", m->version,
                      CHANNEL_VERSION);
        munmap(m, sizeof(*m));
        return NULL;
    }
    madvise(m, sizeof(*m), MADV_DONTFORK);
    return m;
}

struct mob_channel *mob_channel_on_memory(void *memory, const struct mob_doorbell *peer, enum mob_channel_role role, unsigned bit)
{
    struct mob_channel *c = mob_new(struct mob_channel);

    assert(bit < MOB_DIRTY_BITS);
    c->shared = memory;
    c->peer = *peer;
    c->role = role;
    if (role == MOB_CHANNEL_OWNER) {
        c->owner.oldest = c->owner.next = c->owner.answer = 1;
    } else {
        c->worker.next = c->worker.answer = 1;
    }
    /* Release only by habit: a peer that does not see it yet rings the bit that means "look at all". */
    atomic_store_explicit(&c->shared->bits[role], bit + 1, memory_order_release);
    return c;
}

struct mob_channel *mob_channel_open(int fd, int peer_page_fd, int peer_event_fd, enum mob_channel_role role, unsigned bit,
                                     struct mob_error *err)
{
    struct memory *memory = memory_map(fd, err);
    struct mob_doorbell peer;
    struct mob_channel *c;

    close(fd);
    if (memory == NULL) {
        close(peer_page_fd);
        close(peer_event_fd);
        return NULL;
    }
    if (mob_doorbell_open(&peer, peer_page_fd, peer_event_fd, err) < 0) {
        munmap(memory, sizeof(*memory));
        return NULL;
    }
    c = mob_channel_on_memory(memory, &peer, role, bit);
    c->mapped = true;
    return c;
}

void mob_channel_close(struct mob_channel *c)
{
    if (c == NULL)
        return;
    if (c->mapped) {
        munmap(c->shared, sizeof(*c->shared));
        mob_doorbell_close(&c->peer);
    }
    free(c);
}

void mob_channel_ring(struct mob_channel *c, bool urgent)
{
    uint32_t bit;

    if (!c->news)
        return;
    c->news = false;
    bit = atomic_load_explicit(&c->shared->bits[1 - c->role], memory_order_relaxed);
    if (bit > MOB_DIRTY_BITS) {
        channel_break(c, "the peer's dirty bit is out of range");
        return;
    }
    mob_doorbell_ring(&c->peer, bit == 0 ? MOB_DIRTY_BITS - 1 : bit - 1, urgent);
}

void mob_channel_ring_all(const struct mob_channel *c)
{
    assert(c->role == MOB_CHANNEL_WORKER);
    mob_doorbell_ring(&c->peer, MOB_DIRTY_BITS - 1, true);
}

const char *mob_channel_error(const struct mob_channel *c)
{
    return c->error;
}

const struct mob_doorbell *mob_channel_peer(const struct mob_channel *c)
{
    return &c->peer;
}
