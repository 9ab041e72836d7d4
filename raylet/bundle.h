/* SPDX-License-Identifier: Apache-2.0 */
/* bundle.h -- a program and the libraries beside it, by content. */
#ifndef MOB_RAYLET_BUNDLE_H
#define MOB_RAYLET_BUNDLE_H

#include <stdbool.h>
#include <stddef.h>

#include "common/error.h"
#include "common/id.h"

#define MOB_BUNDLE_FILES_MAX 256
#define MOB_BUNDLE_NAME_MAX 255
#define MOB_BUNDLE_TEXT_MAX (96u << 10)         /* of a manifest */

struct mob_bundle_file {
    char *name;                         /* below the program's folder: "lib/libx.so.1" */
    struct mob_hash hash;
    int fd;                             /* of one that was found here; -1: known by a manifest only */
};
struct mob_bundle {
    struct mob_hash hash;               /* of the manifest; of a program with no library beside it: its own */
    struct mob_bundle_file *of;         /* the program first */
    size_t count;
};

/* Open the libraries beside the program that `fd` (taken over) has open. The hashes are the caller's to fill in, then
 * mob_bundle_close_up(). A program that was deleted has no libraries. NULL: too many, or one cannot be read. */
struct mob_bundle *mob_bundle_find(int fd, struct mob_error *err);
/* All files have their hashes: compute the bundle's. */
int mob_bundle_close_up(struct mob_bundle *b, struct mob_error *err);
void mob_bundle_destroy(struct mob_bundle *b);  /* NULL is fine */

/* The manifest of a bundle of more than one file; free() it. */
char *mob_bundle_print(const struct mob_bundle *b);
/* Do these first bytes of a file say that it is a manifest, and no program? */
bool mob_bundle_is_manifest(const char *text, size_t size);
/* From another node: every name stays in the folder, none comes twice. NULL: it is broken, and *err. */
struct mob_bundle *mob_bundle_parse(const char *text, size_t size, struct mob_error *err);

#endif
