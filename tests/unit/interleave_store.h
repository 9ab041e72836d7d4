/* SPDX-License-Identifier: Apache-2.0 */
/* interleave_store.h -- included before all else when the store and its client are compiled for the interleaver: interleave.h; a store of
 * few entries and slots; and memory that goes back all at once, as an actor that is left in the middle of a call frees nothing. */
#ifndef MOB_TESTS_INTERLEAVE_STORE_H
#define MOB_TESTS_INTERLEAVE_STORE_H

#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>

#include "interleave.h"

#define MOB_PIN_SLOTS 2
#define IN_MEMORY_ENTRIES 1             /* so that it is used again at once */

void *ground_alloc(size_t count, size_t size);
void *ground_realloc(void *p, size_t size);

#define malloc(size) ground_alloc(1, size)
#define calloc(count, size) ground_alloc(count, size)
#define realloc(p, size) ground_realloc(p, size)
#define free(p) ((void)(p))
#define mmap(at, size, protection, flags, fd, offset) ((void)(at), (void)(protection), (void)(fd), ground_alloc(1, size))
#define munmap(p, size) ((void)(p), (void)(size))

#endif
