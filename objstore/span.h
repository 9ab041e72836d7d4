/* SPDX-License-Identifier: Apache-2.0 */
/* span.h -- a range of addresses in which several files lie side by side: the arena, and behind it the overflow. Not for cores. */
#ifndef MOB_OBJSTORE_SPAN_H
#define MOB_OBJSTORE_SPAN_H

#include <stdint.h>

#include "common/error.h"

/* Nothing can be read or written there yet. It begins where huge pages may. */
void *mob_span_reserve(uint64_t size, struct mob_error *err);
/* The first `size` bytes of the file, at `at` of a span: a mapping that fork() does not copy. */
int mob_span_map(void *at, int fd, uint64_t size, int protection, struct mob_error *err);
/* All of it; NULL is fine. */
void mob_span_release(void *span, uint64_t size);

#endif
