/* SPDX-License-Identifier: Apache-2.0 */
/* interleave.h -- included before all else when common/doorbell.c and common/channel*.c, or the store (interleave_store.h), are compiled
 * for the interleaver: each atomic operation becomes a step at which another actor may go on. The code under test is otherwise the very
 * same. */
#ifndef MOB_TESTS_INTERLEAVE_H
#define MOB_TESTS_INTERLEAVE_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <unistd.h>

#define MOB_CHANNEL_SLOTS 2             /* so that a slot is used again soon */
#define MOB_CHANNEL_BYTES 4096u
#define MOB_DIRTY_BITS 64

enum step_change { STEP_EXCHANGE, STEP_OR, STEP_ADD };

uint64_t step_load(const volatile void *p, size_t size, const char *where);
void step_publish(volatile void *p, size_t size, uint64_t value, const char *where);        /* and a full fence */
void step_store(volatile void *p, size_t size, uint64_t value, const char *where);
uint64_t step_change(volatile void *p, size_t size, enum step_change how, uint64_t value, const char *where);
bool step_compare_exchange(volatile void *p, size_t size, uint64_t *expected, uint64_t value, const char *where);
void step_fence(const char *where);
ssize_t step_event_write(int fd, const void *p, size_t size);
ssize_t step_event_read(int fd, void *p, size_t size);

#undef atomic_load
#undef atomic_store
#undef atomic_load_explicit
#undef atomic_store_explicit
#undef atomic_exchange_explicit
#undef atomic_fetch_or_explicit
#undef atomic_fetch_add_explicit
#undef atomic_fetch_sub_explicit
#undef atomic_compare_exchange_strong_explicit
#undef atomic_thread_fence
#define atomic_load(p) step_load(p, sizeof(*(p)), __func__)
#define atomic_store(p, value) step_publish(p, sizeof(*(p)), value, __func__)
#define atomic_load_explicit(p, order) step_load(p, sizeof(*(p)), __func__)
#define atomic_store_explicit(p, value, order) step_store(p, sizeof(*(p)), value, __func__)
#define atomic_exchange_explicit(p, value, order) step_change(p, sizeof(*(p)), STEP_EXCHANGE, value, __func__)
#define atomic_fetch_or_explicit(p, value, order) step_change(p, sizeof(*(p)), STEP_OR, value, __func__)
#define atomic_fetch_add_explicit(p, value, order) step_change(p, sizeof(*(p)), STEP_ADD, value, __func__)
#define atomic_fetch_sub_explicit(p, value, order) step_change(p, sizeof(*(p)), STEP_ADD, -(uint64_t)(value), __func__)
#define atomic_compare_exchange_strong_explicit(p, expected, value, won, lost) \
    step_compare_exchange(p, sizeof(*(p)), expected, value, __func__)
#define atomic_thread_fence(order) step_fence(__func__)
#define write step_event_write          /* doorbell.c does these on eventfds alone */
#define read step_event_read

#endif
