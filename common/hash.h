/* SPDX-License-Identifier: Apache-2.0 */
/* hash.h -- SHA-256. */
#ifndef MOB_COMMON_HASH_H
#define MOB_COMMON_HASH_H

#include <stdbool.h>
#include <stddef.h>

#include "common/error.h"
#include "common/id.h"

#define MOB_HASH_TEXT_SIZE (2 * MOB_HASH_SIZE + 1)

struct mob_hash mob_hash_bytes(const void *bytes, size_t size);
/* The whole file behind fd; its position is left alone. */
int mob_hash_fd(int fd, struct mob_hash *ret, struct mob_error *err);

/* 64 hex digits into text; returns it. */
const char *mob_hash_text(const struct mob_hash *hash, char text[MOB_HASH_TEXT_SIZE]);
/* False: not 64 hex digits. */
bool mob_hash_from_text(const char *text, struct mob_hash *ret);

/* In parts, for bytes that arrive one after the other. */
struct mob_hasher;
struct mob_hasher *mob_hasher_create(void);
void mob_hasher_add(struct mob_hasher *h, const void *bytes, size_t size);
struct mob_hash mob_hasher_finish(struct mob_hasher *h);        /* frees h */

#endif
