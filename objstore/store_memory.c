/* SPDX-License-Identifier: Apache-2.0 */
/* store_memory.c -- the memory of a store: what it asks of the operating system. All else of the store is pure (tests/sim/pure.sh).
 *
 *   arena     memfd, size sealed; clients map it to read and to write. In huge pages if so many are reserved in the system and free: then
 *             they are ours from the start, so that no page is ever missing, and none is given back; nobody else could use it for anything
 *   overflow  a file without a name, which the shell makes (objstore/disk.c), at addresses that are kept for it behind the arena
 *   metadata  memfd, sealed against all writers to come: only the mapping made here can write
 *   pin page  memfd, one a client, which writes it; mapped here to read
 *
 * In memory (the simulator) all of it is plain memory, and there are no descriptors.
 */
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "common/error.h"
#include "common/sysinfo.h"
#include "objstore/span.h"
#include "objstore/store_private.h"

#ifndef F_SEAL_FUTURE_WRITE
#define F_SEAL_FUTURE_WRITE 0x0010
#endif
#define CHOSEN_SIZE 32
#ifndef MFD_HUGE_2MB
#define MFD_HUGE_2MB (21u << 26)
#endif

struct memory {
    const char *name;
    uint64_t size, span;                /* it is mapped at the front of so many bytes of addresses */
    bool huge;
    int more_seals;
};

/* Memory behind a descriptor, mapped to read and write; then sealed. The mapping is not copied by fork(). */
static void *shared(const struct memory *m, int *ret_fd, struct mob_error *err)
{
    int fd = memfd_create(m->name, MFD_CLOEXEC | MFD_ALLOW_SEALING | (m->huge ? MFD_HUGETLB | MFD_HUGE_2MB : 0));
    void *p = NULL;

    if (fd < 0 || ftruncate(fd, (off_t)m->size) < 0)
        mob_error_errno(err, "making %llu bytes of shared memory for the object store", (unsigned long long)m->size);
    else if ((p = mob_span_reserve(m->span, err)) == NULL || mob_span_map(p, fd, m->size, PROT_READ | PROT_WRITE, err) < 0)
        ;
    else if (fcntl(fd, F_ADD_SEALS, F_SEAL_GROW | F_SEAL_SHRINK | F_SEAL_SEAL | m->more_seals) < 0)
        mob_error_errno(err, "sealing the object store's memory (Linux 5.1 or newer is needed)");
    else
        return *ret_fd = fd, p;
    mob_span_release(p, m->span);
    if (fd >= 0)
        close(fd);
    return NULL;
}

void *mob_memory_shared(const char *name, uint64_t size, int more_seals, int *ret_fd, struct mob_error *err)
{
    return shared(&(struct memory){ .name = name, .size = size, .span = size, .more_seals = more_seals }, ret_fd, err);
}

void *mob_memory_plain(uint64_t size, struct mob_error *err)
{
    void *p = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

    if (p != MAP_FAILED)
        return p;
    mob_error_set(err, MOB_ERR_NO_SPACE, "no memory for an object store of %llu bytes", (unsigned long long)size);
    return NULL;
}

void mob_memory_let_go(const struct mob_store *s, void *p, uint64_t size)
{
    if (p == NULL)
        return;
    if (s->in_memory)
        munmap(p, size);
    else
        mob_span_release(p, size);
}

/* What is in brackets in a file of choices; "nothing" if there is no such file. */
static void chosen_of(const char *path, char ret[CHOSEN_SIZE])
{
    char text[128] = "", *from;
    FILE *file = fopen(path, "re");

    if (file != NULL && fgets(text, sizeof text, file) == NULL)
        text[0] = '\0';
    if (file != NULL)
        fclose(file);
    from = strchr(text, '[');
    snprintf(ret, CHOSEN_SIZE, "%.*s", from != NULL ? (int)strcspn(from + 1, "]") : 7, from != NULL ? from + 1 : "nothing");
}

static uint64_t whole_huge_pages(uint64_t size)
{
    return (size + MOB_HUGE_PAGE - 1) / MOB_HUGE_PAGE * MOB_HUGE_PAGE;
}

/* Which pages the arena has, and why, for people. Huge pages that are not reserved are the kernel's to give: shared memory that asks for
 * them has them if shmem_enabled says so. */
static void say_pages(struct mob_store *s, uint64_t size)
{
    unsigned long long takes = whole_huge_pages(size) / MOB_HUGE_PAGE, free = s->config.huge / MOB_HUGE_PAGE;
    char chosen[CHOSEN_SIZE];
    size_t used;

    if (s->huge) {
        snprintf(s->page_text, sizeof s->page_text, "%llu huge pages of 2 MiB, reserved from vm.nr_hugepages", takes);
        return;
    }
    madvise(s->arena, size, MADV_HUGEPAGE);
    chosen_of("/sys/kernel/mm/transparent_hugepage/shmem_enabled", chosen);
    if (strcmp(chosen, "nothing") != 0 && strcmp(chosen, "never") != 0 && strcmp(chosen, "deny") != 0) {
        snprintf(s->page_text, sizeof s->page_text, "huge pages where they fit: transparent_hugepage/shmem_enabled says %s", chosen);
        return;
    }
    used = (size_t)snprintf(s->page_text, sizeof s->page_text, "pages of %ld KiB: transparent_hugepage/shmem_enabled says %s; ",
                            sysconf(_SC_PAGESIZE) / 1024, chosen);
    snprintf(s->page_text + used, sizeof s->page_text - used, "of vm.nr_hugepages %llu are free, and it takes %llu", free, takes);
}

/* Where there are huge pages for all of it: mapping it makes them ours, or fails. Returns the size of the file. */
static uint64_t make_arena(struct mob_store *s, uint64_t size, struct mob_error *err)
{
    struct memory m = { .name = "mobula-arena", .size = whole_huge_pages(size), .span = s->span, .huge = true };

    if (s->config.huge >= m.size)
        s->arena = shared(&m, &s->arena_fd, err);
    s->huge = s->arena != NULL;
    if (s->huge)
        return m.size;
    m.huge = false;
    m.size = size;
    s->arena = shared(&m, &s->arena_fd, err);
    return size;
}

int mob_memory_make(struct mob_store *s, uint64_t size, struct mob_error *err)
{
    uint64_t file_size = size;

    s->span = s->in_memory && s->config.overflow == 0 ? size : mob_overflow_at(size) + s->config.overflow;
    if (s->in_memory) {
        s->arena = mob_memory_plain(s->span, err);
        s->meta = s->arena != NULL ? mob_memory_plain(s->meta_size, err) : NULL;
    } else {
        file_size = make_arena(s, size, err);
        s->meta = s->arena != NULL ? mob_memory_shared("mobula-meta", s->meta_size, F_SEAL_FUTURE_WRITE, &s->meta_fd, err) : NULL;
    }
    if (s->meta == NULL)
        return -1;
    if (!s->in_memory)
        say_pages(s, size);
    s->meta->magic = MOB_STORE_MAGIC;
    s->meta->version = MOB_STORE_VERSION;
    s->meta->arena_size = file_size;
    s->meta->entries = s->entries;
    return 0;
}

int mob_memory_overflow(struct mob_store *s, int fd, struct mob_error *err)
{
    uint64_t at = mob_overflow_at(mob_alloc_size(s->alloc));

    if (!s->in_memory && mob_span_map(s->arena + at, fd, s->config.overflow, PROT_READ | PROT_WRITE, err) < 0)
        return -1;
    s->overflow.fd = fd;
    s->meta->overflow_size = s->config.overflow;
    return 0;
}

void mob_memory_end(struct mob_store *s)
{
    mob_memory_let_go(s, s->arena, s->span);
    mob_memory_let_go(s, s->meta, s->meta_size);
    if (s->overflow.fd >= 0)
        close(s->overflow.fd);
    if (s->arena_fd >= 0)
        close(s->arena_fd);
    if (s->meta_fd >= 0)
        close(s->meta_fd);
}

uint64_t mob_memory_warm(const struct mob_store *s)
{
    struct stat st;

    return s->in_memory || fstat(s->arena_fd, &st) < 0 ? 0 : (uint64_t)st.st_blocks * 512;
}
