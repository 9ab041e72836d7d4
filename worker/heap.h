/* SPDX-License-Identifier: Apache-2.0 */
/* heap.h -- the memory that a worker's tasks allocate and free. */
#ifndef MOB_WORKER_HEAP_H
#define MOB_WORKER_HEAP_H

#include <stdbool.h>
#include <stdint.h>

/* From here on what is freed stays with this process, for the next task. `store` is the size of the node's store in bytes: all workers
 * together keep about half as much at most. Returns false, and nothing changes, where that is too little for each to be of use, or where
 * the environment says how malloc is to do it. */
bool mob_heap_keep(uint64_t store);

/* What is free goes back to the kernel: up to some 50 ms. */
void mob_heap_give_back(void);

#endif
