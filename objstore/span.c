/* SPDX-License-Identifier: Apache-2.0 */
/* span.c -- addresses are taken as one range of no access, the slack that aligns it is given back, and files are laid over it: memory of
 * ours, of which nothing is committed by that, or of huge pages, which are reserved by it. */
#include "objstore/span.h"

#include <sys/mman.h>
#include <unistd.h>

#define ALIGN (UINT64_C(2) << 20)

static uint64_t whole_pages(uint64_t size)
{
    uint64_t page = (uint64_t)sysconf(_SC_PAGESIZE);

    return (size + page - 1) & ~(page - 1);
}

void *mob_span_reserve(uint64_t size, struct mob_error *err)
{
    uint64_t length = whole_pages(size);
    char *all = mmap(NULL, length + ALIGN, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0), *span;

    if (all == MAP_FAILED) {
        mob_error_errno(err, "reserving %llu bytes of addresses for the object store", (unsigned long long)length);
        return NULL;
    }
    span = (char *)(((uintptr_t)all + ALIGN - 1) & ~(uintptr_t)(ALIGN - 1));
    if (span > all)
        munmap(all, (size_t)(span - all));
    munmap(span + length, (size_t)(all + ALIGN - span));
    return span;
}

int mob_span_map(void *at, int fd, uint64_t size, int protection, struct mob_error *err)
{
    if (mmap(at, size, protection, MAP_SHARED | MAP_FIXED, fd, 0) == MAP_FAILED)
        return mob_error_errno(err, "mapping %llu bytes of the object store", (unsigned long long)size);
    madvise(at, size, MADV_DONTFORK);
    madvise(at, size, MADV_DONTDUMP);   /* a core dump would read, and so commit, the whole arena, twice */
    return 0;
}

void mob_span_release(void *span, uint64_t size)
{
    if (span != NULL)
        munmap(span, whole_pages(size));
}
