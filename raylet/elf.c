/* SPDX-License-Identifier: Apache-2.0 */
/* elf.c -- can this machine run that program? Asked once for a program that came from another node, before it is a worker. And what of
 * other files does it need? Asked on the driver's node, so that they go with it (bundle.c).
 *
 * A program of another architecture, or one whose libraries are not installed here, would die in exec or in its loader: again and again,
 * with an error that names neither the node nor the library. The loader itself is asked for the libraries (`ld.so --list program`):
 * it maps them and prints where they are, and runs nothing of the program.
 */
#include "raylet/elf.h"

#include <elf.h>
#include <errno.h>
#include <fcntl.h>
#include <link.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "common/loop.h"
#include "common/mem.h"
#include "raylet/asked.h"

#define LISTING_MAX (64u << 10)
#define LISTING_NS INT64_C(5000000000)

static const char *machine_name(unsigned machine, char text[32])
{
    switch (machine) {
    case EM_X86_64: return "x86_64";
    case EM_AARCH64: return "aarch64";
    case EM_386: return "i386";
    case EM_ARM: return "arm";
    case EM_RISCV: return "riscv";
    case EM_PPC64: return "ppc64";
    case EM_S390: return "s390";
    default:
        snprintf(text, 32, "machine %u", machine);
        return text;
    }
}

/* What we are ourselves, read from our own executable. */
static int own_header(ElfW(Ehdr) *ret)
{
    int fd = open("/proc/self/exe", O_RDONLY | O_CLOEXEC);
    ssize_t n = fd < 0 ? -1 : pread(fd, ret, sizeof *ret, 0);

    if (fd >= 0)
        close(fd);
    return n == sizeof *ret ? 0 : -1;
}

int mob_elf_check(int fd, const char *host, char *ret_loader, size_t size, struct mob_error *err)
{
    ElfW(Ehdr) own, h;
    ElfW(Phdr) segment;
    char its[32], ours[32];

    if (own_header(&own) < 0)
        return mob_error_errno(err, "cannot read /proc/self/exe");
    if (pread(fd, &h, sizeof h, 0) != sizeof h || memcmp(h.e_ident, ELFMAG, SELFMAG) != 0
        || (h.e_type != ET_EXEC && h.e_type != ET_DYN))
        return mob_error_set(err, MOB_ERR_INFEASIBLE, "node %s cannot run the program: it is no ELF executable", host);
    if (h.e_ident[EI_CLASS] != own.e_ident[EI_CLASS] || h.e_ident[EI_DATA] != own.e_ident[EI_DATA] || h.e_machine != own.e_machine)
        return mob_error_set(err, MOB_ERR_INFEASIBLE, "node %s is %s and cannot run a program built for %s; build it for both, or ask "
                             "for nodes of one architecture", host, machine_name(own.e_machine, ours), machine_name(h.e_machine, its));
    for (unsigned i = 0; i < h.e_phnum && h.e_phentsize == sizeof segment; i++) {
        if (pread(fd, &segment, sizeof segment, (off_t)(h.e_phoff + i * sizeof segment)) != sizeof segment)
            break;
        if (segment.p_type != PT_INTERP)
            continue;
        if (segment.p_filesz < 2 || segment.p_filesz > size
            || pread(fd, ret_loader, segment.p_filesz, (off_t)segment.p_offset) != (ssize_t)segment.p_filesz)
            return mob_error_set(err, MOB_ERR_INFEASIBLE, "node %s cannot run the program: its loader's name is broken", host);
        ret_loader[segment.p_filesz - 1] = '\0';
        return 0;
    }
    ret_loader[0] = '\0';
    return 0;
}

/* The word before `end`. */
static const char *word_before(const char *text, const char *end)
{
    while (end > text && strchr("\n\t ", end[-1]) == NULL)
        end--;
    return end;
}

/* "/p: /lib/libc.so.6: version `GLIBC_2.38' not found (required by /p)": the library is there, but older than the program. */
static int too_old(const char *listing, char *ret_name, size_t size)
{
    static const char said[] = ": version `", not_found[] = "' not found";
    const char *at = strstr(listing, said), *end;

    if (at == NULL)
        return 0;
    const char *library = word_before(listing, at), *version = at + sizeof said - 1;
    const char *slash = memrchr(library, '/', (size_t)(at - library));
    if ((end = strstr(version, not_found)) == NULL || memchr(version, '\n', (size_t)(end - version)) != NULL)
        return 0;
    library = slash != NULL ? slash + 1 : library;
    snprintf(ret_name, size, "%.*s with version %.*s", (int)(at - library), library, (int)(end - version), version);
    return 1;
}

int mob_elf_missing(const char *listing, char *ret_name, size_t size)
{
    static const char listed[] = " => not found", said[] = "error while loading shared libraries: ";
    const char *end = strstr(listing, listed), *start = strstr(listing, said);

    if (end != NULL) {
        start = word_before(listing, end);
    } else if (start != NULL) {
        start += sizeof said - 1;
        end = start + strcspn(start, ":\n");
    } else {
        return too_old(listing, ret_name, size);
    }
    snprintf(ret_name, size, "%.*s", (int)(end - start), start);
    return 1;
}

/* All that `fd` gives until its end, or until the deadline. NULL: it took too long or said too much. */
static char *read_listing(int fd)
{
    char *text = mob_alloc(LISTING_MAX + 1);
    int64_t deadline = mob_now_ns() + LISTING_NS;
    size_t have = 0;

    for (;;) {
        struct pollfd p = { .fd = fd, .events = POLLIN };
        int64_t left_ms = (deadline - mob_now_ns()) / 1000000;
        ssize_t n = -1;

        if (left_ms > 0 && have < LISTING_MAX && poll(&p, 1, (int)left_ms) > 0)
            n = read(fd, text + have, LISTING_MAX - have);
        if (n == 0)
            return text;
        if (n < 0) {
            free(text);
            return NULL;
        }
        have += (size_t)n;
    }
}

static pid_t start_loader(const char *path, const char *loader, const char *library_path, int *ret_out, struct mob_error *err)
{
    char *argv[] = { (char *)loader, "--list", (char *)path, NULL };
    char *variable = mob_printf("LD_LIBRARY_PATH=%s", library_path);
    char *environment[] = { variable, NULL };
    pid_t pid = mob_asked_start(argv, environment, ret_out, err);

    free(variable);
    return pid;
}

int mob_elf_check_libraries(const char *path, const char *loader, const char *library_path, const char *host, struct mob_error *err)
{
    int out, result = 0;
    char library[256];

    if (loader[0] == '\0')
        return 0;
    if (access(loader, X_OK) < 0)
        return mob_error_set(err, MOB_ERR_INVALID, "node %s cannot run the program: its loader %s is not installed there", host, loader);
    pid_t pid = start_loader(path, loader, library_path, &out, err);
    if (pid < 0)
        return -1;
    char *listing = read_listing(out);
    close(out);
    if (listing == NULL)
        kill(pid, SIGKILL);
    waitpid(pid, NULL, 0);              /* the loop may have reaped it already: what it said is all we need */
    if (listing == NULL)
        result = mob_error_set(err, MOB_ERR_INVALID, "node %s: %s did not list the program's libraries within 5 s", host, loader);
    else if (mob_elf_missing(listing, library, sizeof library))
        result = mob_error_set(err, MOB_ERR_INVALID, "node %s cannot run the program: the library %s is not installed there", host,
                               library);
    free(listing);
    return result;
}

/* -- needs --------------------------------------------------------------------------------------------------------------------- */

#define SEGMENTS_MAX 64
#define ENTRIES_MAX 4096                /* of the dynamic section */
#define TEXT_MAX 4096

struct dynamic {
    int fd;
    ElfW(Phdr) segments[SEGMENTS_MAX];
    unsigned segment_count;
    ElfW(Dyn) *of;
    size_t count;
    uint64_t strings, strings_size;     /* in the file */
};

/* Where an address of the loaded program is in its file; UINT64_MAX: nowhere. */
static uint64_t in_file(const struct dynamic *d, uint64_t address)
{
    for (unsigned i = 0; i < d->segment_count; i++) {
        const ElfW(Phdr) *s = &d->segments[i];

        if (s->p_type == PT_LOAD && address >= s->p_vaddr && address - s->p_vaddr < s->p_filesz)
            return s->p_offset + (address - s->p_vaddr);
    }
    return UINT64_MAX;
}

/* 1: there is a dynamic section, in d->of, to be freed; 0: there is none; -1: it is broken. */
static int read_dynamic(struct dynamic *d, struct mob_error *err)
{
    ElfW(Ehdr) own, h;

    if (own_header(&own) < 0)
        return mob_error_errno(err, "cannot read /proc/self/exe");
    if (pread(d->fd, &h, sizeof h, 0) != sizeof h || memcmp(h.e_ident, own.e_ident, EI_VERSION) != 0 || h.e_machine != own.e_machine)
        return 0;
    d->segment_count = h.e_phnum < SEGMENTS_MAX ? h.e_phnum : SEGMENTS_MAX;
    size_t size = d->segment_count * sizeof *d->segments;
    if (h.e_phentsize != sizeof *d->segments || h.e_phoff > INT64_MAX || pread(d->fd, d->segments, size, (off_t)h.e_phoff) != (ssize_t)size)
        return mob_error_set(err, MOB_ERR_INVALID, "its segments are broken");
    for (unsigned i = 0; i < d->segment_count; i++) {
        const ElfW(Phdr) *s = &d->segments[i];

        if (s->p_type != PT_DYNAMIC)
            continue;
        d->count = s->p_filesz / sizeof *d->of < ENTRIES_MAX ? s->p_filesz / sizeof *d->of : ENTRIES_MAX;
        d->of = mob_alloc((d->count + 1) * sizeof *d->of);
        size = d->count * sizeof *d->of;
        if (s->p_offset <= INT64_MAX && pread(d->fd, d->of, size, (off_t)s->p_offset) == (ssize_t)size)
            return 1;
        free(d->of);
        return mob_error_set(err, MOB_ERR_INVALID, "its dynamic section is broken");
    }
    return 0;
}

/* A string of the dynamic section; NULL: it is too long, or not there. */
static char *dynamic_text(const struct dynamic *d, uint64_t index)
{
    char text[TEXT_MAX];

    if (index >= d->strings_size || index > INT32_MAX || d->strings > INT64_MAX - INT32_MAX)
        return NULL;
    ssize_t n = pread(d->fd, text, sizeof text, (off_t)(d->strings + index));
    return n > 0 && memchr(text, '\0', (size_t)n) != NULL ? mob_strdup(text) : NULL;
}

static int take_need(const struct dynamic *d, const ElfW(Dyn) *entry, struct mob_elf_needs *ret, struct mob_error *err)
{
    char **to = entry->d_tag == DT_RPATH ? &ret->rpath : entry->d_tag == DT_RUNPATH ? &ret->runpath : NULL;

    if (to == NULL && entry->d_tag != DT_NEEDED)
        return 0;
    if (to == NULL && ret->count == MOB_ELF_NEEDS_MAX)
        return mob_error_set(err, MOB_ERR_INVALID, "it needs more than %d libraries", MOB_ELF_NEEDS_MAX);
    char *text = dynamic_text(d, entry->d_un.d_val);
    if (text == NULL)
        return mob_error_set(err, MOB_ERR_INVALID, "a name in its dynamic section is broken");
    if (to == NULL)
        to = &ret->of[ret->count++];
    free(*to);
    *to = text;
    return 0;
}

int mob_elf_needs(int fd, struct mob_elf_needs *ret, struct mob_error *err)
{
    struct dynamic d = { .fd = fd };
    int there = read_dynamic(&d, err), result = 0;

    memset(ret, 0, sizeof *ret);
    if (there <= 0)
        return there;
    for (size_t i = 0; i < d.count && d.of[i].d_tag != DT_NULL; i++) {
        if (d.of[i].d_tag == DT_STRTAB)
            d.strings = in_file(&d, d.of[i].d_un.d_ptr);
        else if (d.of[i].d_tag == DT_STRSZ)
            d.strings_size = d.of[i].d_un.d_val;
    }
    for (size_t i = 0; i < d.count && d.of[i].d_tag != DT_NULL && result == 0; i++)
        result = take_need(&d, &d.of[i], ret, err);
    free(d.of);
    if (result < 0)
        mob_elf_needs_free(ret);
    return result;
}

void mob_elf_needs_free(struct mob_elf_needs *needs)
{
    for (size_t i = 0; i < needs->count; i++)
        free(needs->of[i]);
    free(needs->rpath);
    free(needs->runpath);
    memset(needs, 0, sizeof *needs);
}
