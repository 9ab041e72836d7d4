/* SPDX-License-Identifier: Apache-2.0 */
/* fuzz_elf.c -- any bytes as a program that another node sent, and as what a loader lists: no crash, and names end within their room.
 * Half of the inputs stand behind the header of this very program, so that segments are reached at once. */
#include <assert.h>
#include <fcntl.h>
#include <link.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "common/mem.h"
#include "raylet/elf.h"

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size);

static void check_program(const uint8_t *bytes, size_t size, size_t own)
{
    ElfW(Ehdr) header = { 0 };
    char loader[64];
    struct mob_error err;
    int fd = memfd_create("program", MFD_CLOEXEC), self = open("/proc/self/exe", O_RDONLY | O_CLOEXEC);

    assert(fd >= 0 && pread(self, &header, sizeof header, 0) == sizeof header);
    close(self);
    assert(pwrite(fd, &header, own, 0) == (ssize_t)own && pwrite(fd, bytes, size, (off_t)own) == (ssize_t)size);
    if (mob_elf_check(fd, "host", loader, sizeof loader, &err) == 0)
        assert(strlen(loader) < sizeof loader);
    close(fd);
}

static void check_listing(const uint8_t *bytes, size_t size)
{
    char *listing = mob_alloc(size + sizeof " => not found"), name[16];

    memcpy(listing, bytes, size);
    strcpy(listing + size, size % 2 == 0 ? "" : " => not found");
    if (mob_elf_missing(listing, name, sizeof name))
        assert(strlen(name) < sizeof name);
    free(listing);
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size)
{
    if (size == 0)
        return 0;
    /* Up to e_phoff, or up to e_ehsize: the place or the size of the segments is the input's. */
    size_t own = bytes[0] % 4 == 0 ? 0 : bytes[0] % 4 == 1 ? offsetof(ElfW(Ehdr), e_phoff)
               : bytes[0] % 4 == 2 ? offsetof(ElfW(Ehdr), e_ehsize) : sizeof(ElfW(Ehdr));

    check_program(bytes + 1, size - 1, own);
    check_listing(bytes + 1, size - 1);
    return 0;
}
