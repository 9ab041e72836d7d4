/* SPDX-License-Identifier: Apache-2.0 */
/* elf.h -- can this machine run that program, and which libraries does it need? */
#ifndef MOB_RAYLET_ELF_H
#define MOB_RAYLET_ELF_H

#include <stddef.h>

#include "common/error.h"

/* The file is a 64-bit (or 32-bit, as we are) ELF program of our own machine. ret_loader (size >= 1) becomes the path of its dynamic
 * loader, "" if it is linked statically. Error: it never will be; MOB_ERR_INFEASIBLE naming `host` and the architecture of both. */
int mob_elf_check(int fd, const char *host, char *ret_loader, size_t size, struct mob_error *err);

/* Ask the program's loader, without running the program, whether all shared libraries are here. Blocks up to 5 s, for a thread of its
 * own. `library_path`: becomes LD_LIBRARY_PATH. Error: names `host` and the first library that is missing or too old; it may be
 * installed later. */
int mob_elf_check_libraries(const char *path, const char *loader, const char *library_path, const char *host, struct mob_error *err);

/* From what the loader lists ("\tlibx.so.1 => not found"), or says as it gives up ("... loading shared libraries: libx.so.1: ..."): the
 * first missing name into ret_name; or "libx.so.1 with version X_2" of one that is too old. Returns 1 if one is missing, else 0. */
int mob_elf_missing(const char *listing, char *ret_name, size_t size);

#define MOB_ELF_NEEDS_MAX 512

/* What a program or library asks its loader for. */
struct mob_elf_needs {
    char *of[MOB_ELF_NEEDS_MAX];        /* DT_NEEDED */
    size_t count;
    char *rpath, *runpath;              /* NULL: none */
};

/* Nothing, if it is linked statically or no ELF file of this machine. Error: MOB_ERR_INVALID, it is broken. */
int mob_elf_needs(int fd, struct mob_elf_needs *ret, struct mob_error *err);
void mob_elf_needs_free(struct mob_elf_needs *needs);

#endif
