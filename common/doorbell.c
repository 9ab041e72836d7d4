/* SPDX-License-Identifier: Apache-2.0 */
/* doorbell.c -- the page of a process and how others wake it.
 *
 *   ringer                                        sleeper
 *     publish                                       take dirty bits (exchange, F3), look at what they name, again until none is set
 *     F1  full fence                                asleep = ASLEEP
 *     dirty bit not set: set it (RMW, seq_cst)      F2  full fence
 *     R1  read asleep (seq_cst)                     a dirty bit is set: asleep = AWAKE, start again
 *     asleep: exchange to AWAKE, write eventfd      poll the eventfd and the socket
 *
 * No wake-up is lost: either the ringer's bit comes before the sleeper's last look (F2), which then sees it, or R1 comes after
 * asleep = ASLEEP and sees that. A bit that is set already is not written again, so that many ringers share the line; F1 and F3
 * make sure that whoever takes that bit afterwards sees what was published, too. Whose exchange finds the page asleep writes the
 * eventfd: one system call a sleep, whatever the number of ringers.
 *
 * A ringer that dies between the exchange and the write leaves a sleeper whom nobody rings. Its death wakes the sleeper: the raylet
 * tells every process that has a channel to a dead one, over the socket that is polled with the eventfd. So each sleep ends.
 * tests/unit/interleave.c runs this very file through all interleavings, and shows what each fence is for.
 */
#include "common/doorbell.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <stddef.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "common/mem.h"

#define PAGE_SEALS (F_SEAL_SHRINK | F_SEAL_GROW)       /* without them a peer could take the memory away under us: SIGBUS */

int mob_doorbell_create(int *ret_page_fd, int *ret_event_fd, struct mob_error *err)
{
    const uint32_t head[2] = { MOB_PAGE_MAGIC, MOB_PAGE_VERSION };
    int event_fd = -1, page_fd;

    _Static_assert(offsetof(struct mob_page, magic) == 0 && offsetof(struct mob_page, version) == 4, "head of the page");
    page_fd = memfd_create("mobula-page", MFD_CLOEXEC | MFD_ALLOW_SEALING);
    if (page_fd < 0 || ftruncate(page_fd, MOB_PAGE_SIZE) < 0 || pwrite(page_fd, head, sizeof(head), 0) != sizeof(head)
        || fcntl(page_fd, F_ADD_SEALS, PAGE_SEALS | F_SEAL_SEAL) < 0
        || (event_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK)) < 0) {
        mob_error_errno(err, "cannot make the page of a process");
        if (page_fd >= 0)
            close(page_fd);
        return -1;
    }
    *ret_page_fd = page_fd;
    *ret_event_fd = event_fd;
    return 0;
}

/* Is it memory of our size that cannot shrink, of our version? */
static int page_map(int page_fd, struct mob_page **ret_page, struct mob_error *err)
{
    struct stat about;
    int seals = fcntl(page_fd, F_GET_SEALS);
    struct mob_page *page;

    if (seals < 0 || (seals & PAGE_SEALS) != PAGE_SEALS || fstat(page_fd, &about) < 0 || about.st_size != MOB_PAGE_SIZE)
        return mob_error_set(err, MOB_ERR_PROTOCOL, "the page of a process is not sealed memory of %d bytes", MOB_PAGE_SIZE);
    page = mmap(NULL, MOB_PAGE_SIZE, PROT_READ | PROT_WRITE, MAP_SHARED, page_fd, 0);
    if (page == MAP_FAILED)
        return mob_error_errno(err, "cannot map the page of a process");
    if (page->magic != MOB_PAGE_MAGIC || page->version != MOB_PAGE_VERSION) {
        mob_error_set(err, MOB_ERR_VERSION, "the page of a process has version %u, this program speaks %u: use one release of Mobula",
                      page->version, MOB_PAGE_VERSION);
        munmap(page, MOB_PAGE_SIZE);
        return -1;
    }
    madvise(page, MOB_PAGE_SIZE, MADV_DONTFORK);
    *ret_page = page;
    return 0;
}

int mob_doorbell_open(struct mob_doorbell *ret_bell, int page_fd, int event_fd, struct mob_error *err)
{
    struct mob_page *page = NULL;
    int result = page_map(page_fd, &page, err);

    close(page_fd);
    if (result < 0) {
        close(event_fd);
        return -1;
    }
    ret_bell->page = page;
    ret_bell->fd = event_fd;
    return 0;
}

void mob_doorbell_close(struct mob_doorbell *bell)
{
    if (bell->page != NULL)
        munmap(bell->page, MOB_PAGE_SIZE);
    if (bell->fd >= 0)
        close(bell->fd);
    bell->page = NULL;
    bell->fd = -1;
}

void mob_page_set_name(struct mob_page *page, const char *name)
{
    mob_copy(page->name, sizeof page->name, name);
}

bool mob_page_has_name(const struct mob_page *page, const char *name)
{
    return strncmp(page->name, name, MOB_PAGE_NAME_SIZE - 1) == 0;
}

void mob_page_name(const struct mob_page *page, char ret_name[MOB_PAGE_NAME_SIZE])
{
    memcpy(ret_name, page->name, MOB_PAGE_NAME_SIZE);
    ret_name[MOB_PAGE_NAME_SIZE - 1] = '\0';
    for (char *at = ret_name; *at != '\0'; at++)
        if (*at < 0x20 || *at > 0x7e)
            *at = '?';
}

bool mob_doorbell_ring(const struct mob_doorbell *bell, unsigned bit, bool urgent)
{
    const uint64_t mask = (uint64_t)1 << (bit % 64), one = 1;
    struct mob_page *page = bell->page;
    uint32_t asleep;

    assert(bit < MOB_DIRTY_BITS);
    atomic_thread_fence(memory_order_seq_cst);                                          /* F1 */
    if ((atomic_load_explicit(&page->dirty[bit / 64], memory_order_relaxed) & mask) == 0)
        atomic_fetch_or_explicit(&page->dirty[bit / 64], mask, memory_order_seq_cst);
    asleep = atomic_load_explicit(&page->asleep, memory_order_seq_cst);                 /* R1: not before the RMW above */
    if (asleep == MOB_AWAKE || (asleep == MOB_DOZING && !urgent))
        return false;
    if (atomic_exchange_explicit(&page->asleep, MOB_AWAKE, memory_order_seq_cst) == MOB_AWAKE)
        return false;                                                                   /* another ringer was first and writes */
    if (bell->fd >= 0)
        while (write(bell->fd, &one, sizeof(one)) < 0 && errno == EINTR)
            ;
    return true;
}

bool mob_doorbell_try_sleep(struct mob_doorbell *bell, enum mob_asleep how)
{
    struct mob_page *page = bell->page;

    assert(how != MOB_AWAKE);
    atomic_store_explicit(&page->asleep, how, memory_order_relaxed);
    atomic_thread_fence(memory_order_seq_cst);                                          /* F2 */
    for (unsigned i = 0; i < MOB_DIRTY_BITS / 64; i++) {
        if (atomic_load_explicit(&page->dirty[i], memory_order_relaxed) != 0) {
            /* Who rang just now may still write the eventfd: the next sleep then ends early, once. */
            atomic_store_explicit(&page->asleep, MOB_AWAKE, memory_order_relaxed);
            return false;
        }
    }
    return true;
}

void mob_doorbell_wake_up(struct mob_doorbell *bell)
{
    uint64_t count;

    /* Relaxed: who still reads ASLEEP writes the eventfd in vain; who reads AWAKE has set a bit that the next try_sleep() sees. */
    atomic_store_explicit(&bell->page->asleep, MOB_AWAKE, memory_order_relaxed);
    if (bell->fd >= 0)
        while (read(bell->fd, &count, sizeof(count)) < 0 && errno == EINTR)
            ;
}

uint64_t mob_doorbell_take(struct mob_doorbell *bell, unsigned i)
{
    uint64_t bits;

    assert(i < MOB_DIRTY_BITS / 64);
    if (atomic_load_explicit(&bell->page->dirty[i], memory_order_relaxed) == 0)
        return 0;
    bits = atomic_exchange_explicit(&bell->page->dirty[i], 0, memory_order_acq_rel);    /* acquire: what its setters published */
    atomic_thread_fence(memory_order_seq_cst);                                          /* F3: and those who found it set (F1) */
    return bits;
}

void mob_doorbell_drain(struct mob_doorbell *bell, void (*look)(void *arg, const uint64_t dirty[MOB_DIRTY_BITS / 64]), void *arg)
{
    const uint64_t one = 1;
    uint64_t dirty[MOB_DIRTY_BITS / 64];

    for (int pass = 0; pass < MOB_DRAIN_PASSES; pass++) {
        mob_doorbell_wake_up(bell);
        for (unsigned i = 0; i < MOB_DIRTY_BITS / 64; i++)
            dirty[i] = mob_doorbell_take(bell, i);
        look(arg, dirty);
        if (mob_doorbell_try_sleep(bell, MOB_ASLEEP))
            return;
    }
    while (write(bell->fd, &one, sizeof one) < 0 && errno == EINTR)
        ;
}
