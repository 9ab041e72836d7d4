/* SPDX-License-Identifier: Apache-2.0 */
/* test_elf.c -- can this machine run that program, or that script? */
#include <elf.h>
#include <fcntl.h>
#include <link.h>
#include <pthread.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "raylet/elf.h"
#include "raylet/script.h"
#include "unit.h"

/* Our own executable, with `patch` applied, in a file without a name. */
static int copy_of_self(void (*patch)(ElfW(Ehdr) *h))
{
    char name[] = "/tmp/mobula-test-XXXXXX", bytes[64 << 10];
    int self = open("/proc/self/exe", O_RDONLY), fd = mkstemp(name);
    ssize_t n;

    unlink(name);
    while ((n = read(self, bytes, sizeof bytes)) > 0)
        ck_assert_int_eq(write(fd, bytes, (size_t)n), n);
    close(self);
    ElfW(Ehdr) h;
    ck_assert_int_eq(pread(fd, &h, sizeof h, 0), sizeof h);
    patch(&h);
    ck_assert_int_eq(pwrite(fd, &h, sizeof h, 0), sizeof h);
    return fd;
}

static void nothing(ElfW(Ehdr) *h)
{
    (void)h;
}

static void other_machine(ElfW(Ehdr) *h)
{
    h->e_machine = h->e_machine == EM_AARCH64 ? EM_X86_64 : EM_AARCH64;
}

static void no_program(ElfW(Ehdr) *h)
{
    h->e_type = ET_REL;
}

static void no_elf(ElfW(Ehdr) *h)
{
    memcpy(h->e_ident, "#!/b", 4);
}

START_TEST(test_own_program_and_its_libraries)
{
    int fd = copy_of_self(nothing);
    char loader[256];
    struct mob_error err;

    ck_assert_int_eq(mob_elf_check(fd, "here", loader, sizeof loader, &err), 0);
    ck_assert_ptr_nonnull(strstr(loader, "ld"));
    ck_assert_int_eq(mob_elf_check_libraries("/proc/self/exe", loader, "", "here", &err), 0);
    close(fd);
}
END_TEST

START_TEST(test_refusals_name_the_node)
{
    void (*patches[])(ElfW(Ehdr) *h) = { other_machine, no_program, no_elf };
    int fd = copy_of_self(patches[_i]);
    char loader[256];
    struct mob_error err;

    ck_assert_int_lt(mob_elf_check(fd, "node-seven", loader, sizeof loader, &err), 0);
    ck_assert_int_eq(err.code, MOB_ERR_INFEASIBLE);
    ck_assert_ptr_nonnull(strstr(err.text, "node-seven"));
    if (_i == 0)
        ck_assert_ptr_nonnull(strstr(err.text, "x86_64"));
    close(fd);
}
END_TEST

START_TEST(test_missing_library_is_found_in_a_listing)
{
    char name[64];

    ck_assert_int_eq(mob_elf_missing("\tlibc.so.6 => /lib/libc.so.6 (0x1)\n", name, sizeof name), 0);
    ck_assert_int_eq(mob_elf_missing("\tlibc.so.6 => /lib/libc.so.6 (0x1)\n\tlibgone.so.3 => not found\n", name, sizeof name), 1);
    ck_assert_str_eq(name, "libgone.so.3");
    ck_assert_int_eq(mob_elf_missing(" => not found", name, sizeof name), 1);
    ck_assert_str_eq(name, "");
    ck_assert_int_eq(mob_elf_missing("/p: error while loading shared libraries: libgone.so.3: cannot open shared object file\n", name,
                                     sizeof name), 1);
    ck_assert_str_eq(name, "libgone.so.3");
    ck_assert_int_eq(mob_elf_missing("/p: error while loading shared libraries: ", name, sizeof name), 1);
    ck_assert_str_eq(name, "");
}
END_TEST

START_TEST(test_library_that_is_too_old)
{
    char name[64];

    ck_assert_int_eq(mob_elf_missing("/p: /lib/libc.so.6: version `GLIBC_2.38' not found (required by /p)\n\tlibc.so.6 => /lib/libc.so.6\n",
                                     name, sizeof name), 1);
    ck_assert_str_eq(name, "libc.so.6 with version GLIBC_2.38");
    ck_assert_int_eq(mob_elf_missing(": version `1' not found", name, sizeof name), 1);
    ck_assert_str_eq(name, " with version 1");
    ck_assert_int_eq(mob_elf_missing("/p: /lib/libc.so.6: version `GLIBC_2.38", name, sizeof name), 0);
    ck_assert_int_eq(mob_elf_missing("/p: /lib/libc.so.6: version `1\n' not found", name, sizeof name), 0);
}
END_TEST

START_TEST(test_missing_loader_names_it)
{
    struct mob_error err;

    ck_assert_int_lt(mob_elf_check_libraries("/proc/self/exe", "/lib/ld-none.so", "", "node-seven", &err), 0);
    ck_assert_ptr_nonnull(strstr(err.text, "ld-none.so"));
    ck_assert_int_eq(mob_elf_check_libraries("/proc/self/exe", "", "", "node-seven", &err), 0);        /* linked statically */
}
END_TEST

/* As the raylet's own (reap.c): whichever child of this process has ended. Returns that one's pid. */
static void *reap_one(void *signals)
{
    pid_t reaped = 0;
    int number;

    while (reaped <= 0) {
        sigwait(signals, &number);
        reaped = waitpid(-1, NULL, WNOHANG);
    }
    return (void *)(intptr_t)reaped;
}

/* Speaks when its parent, who was asked, is reaped: it is a process still until then. */
static char *who_says_late(const char *folder, const char *says)
{
    char *path = mob_printf("%s/asked", folder);
    char *text = mob_printf("#!/bin/sh\n{ while kill -0 $$ 2>/dev/null; do sleep 0.01; done; echo '%s'; } &\n", says);

    unit_write(folder, "asked", text);
    ck_assert_int_eq(chmod(path, 0700), 0);
    free(text);
    return path;
}

/* The raylet's loop reaps whatever child ends, and may be faster than the thread that asks: it takes nothing that the thread needs. */
START_TEST(test_who_is_asked_is_reaped_by_another)
{
    static const struct { bool script; const char *says, *refusal; } asked[] = {
        { true, "fits", NULL }, { true, "it lacks numpy", "it lacks numpy" },
        { false, "libc.so.6 => /lib/libc.so.6 (0x1)", NULL }, { false, "libm.so.9 => not found", "libm.so.9" },
    };
    char *folder = unit_folder(), *path = who_says_late(folder, asked[_i].says);
    struct mob_error err;
    pthread_t reaper;
    sigset_t signals;
    void *reaped;

    sigemptyset(&signals);
    sigaddset(&signals, SIGCHLD);
    pthread_sigmask(SIG_BLOCK, &signals, NULL);
    ck_assert_int_eq(pthread_create(&reaper, NULL, reap_one, &signals), 0);
    int result = asked[_i].script ? mob_script_check(path, "", "node-seven", &err)
                                  : mob_elf_check_libraries("/proc/self/exe", path, "", "node-seven", &err);
    ck_assert_int_eq(pthread_join(reaper, &reaped), 0);
    ck_assert_int_gt((intptr_t)reaped, 0);
    ck_assert_int_eq(result, (asked[_i].refusal == NULL ? 0 : -1));
    if (asked[_i].refusal != NULL)
        ck_assert_ptr_nonnull(strstr(err.text, asked[_i].refusal));
    free(path);
    unit_folder_remove(folder);
}
END_TEST

UNIT_CASE("elf", tcase)
{
    UNIT_TESTS(tcase, test_own_program_and_its_libraries, test_missing_library_is_found_in_a_listing,
               test_library_that_is_too_old, test_missing_loader_names_it);
    tcase_add_loop_test(tcase, test_refusals_name_the_node, 0, 3);
    tcase_add_loop_test(tcase, test_who_is_asked_is_reaped_by_another, 0, 4);
}
