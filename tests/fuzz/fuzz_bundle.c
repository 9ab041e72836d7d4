/* SPDX-License-Identifier: Apache-2.0 */
/* fuzz_bundle.c -- any bytes as a program's manifest from another node: no name leaves its folder.
 * And any bytes as a program whose needs are looked up; half of the inputs stand behind the header of this very program. */
#include <assert.h>
#include <fcntl.h>
#include <link.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "common/mem.h"
#include "raylet/bundle.h"
#include "raylet/elf.h"

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size);

static void check_manifest(const uint8_t *bytes, size_t size)
{
    static const char first[] = "mobula program 1\n";
    char *text = mob_alloc(sizeof first + size);
    struct mob_error err;

    memcpy(text, first, sizeof first);
    memcpy(text + sizeof first - 1, bytes, size);
    struct mob_bundle *b = mob_bundle_parse(text, sizeof first - 1 + size, &err);
    for (size_t i = 0; b != NULL && i < b->count; i++) {
        const char *name = b->of[i].name;
        char *path = mob_printf("/%s/", name);

        assert(name[0] != '\0' && strlen(name) <= MOB_BUNDLE_NAME_MAX);
        assert(strstr(path, "/../") == NULL && strstr(path, "/./") == NULL && strstr(path, "//") == NULL);
        free(path);
    }
    if (b != NULL)
        assert(b->count >= 2 && b->count <= MOB_BUNDLE_FILES_MAX);
    mob_bundle_destroy(b);
    free(text);
}

static void check_needs(const uint8_t *bytes, size_t size, bool own_header)
{
    ElfW(Ehdr) h = { 0 };
    struct mob_elf_needs needs;
    struct mob_error err;
    int fd = memfd_create("program", MFD_CLOEXEC), self = open("/proc/self/exe", O_RDONLY | O_CLOEXEC);

    assert(fd >= 0 && pread(self, &h, sizeof h, 0) == sizeof h);
    close(self);
    h.e_phoff = sizeof h;
    if (own_header)
        assert(write(fd, &h, sizeof h) == sizeof h);
    assert(write(fd, bytes, size) == (ssize_t)size);
    if (mob_elf_needs(fd, &needs, &err) == 0) {
        assert(needs.count <= MOB_ELF_NEEDS_MAX);
        mob_elf_needs_free(&needs);
    }
    close(fd);
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size)
{
    if (size == 0)
        return 0;
    if (bytes[0] % 2 == 0)
        check_manifest(bytes + 1, size - 1);
    else
        check_needs(bytes + 1, size - 1, bytes[0] % 4 == 1);
    return 0;
}
