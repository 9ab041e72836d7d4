/* SPDX-License-Identifier: Apache-2.0 */
/* disk_flow.h -- bytes on their way to a spill file, or from one: some are under way while the next ones are copied and hashed. */
#ifndef MOB_OBJSTORE_DISK_FLOW_H
#define MOB_OBJSTORE_DISK_FLOW_H

#include <stdbool.h>
#include <stdint.h>

struct bulk_summer;
struct disk_flow;

/* For one direction. One thread at a time. */
struct disk_flow *disk_flow_create(bool writing);
void disk_flow_destroy(struct disk_flow *f);            /* NULL is fine */

/* Writing, from `at` on, where a block begins: what is put stands one behind the other. It is on the disk when end() has said 0, with
 * zeros up to a whole block. -1: errno says why. `sum` NULL: these bytes are not hashed. */
void disk_flow_begin(struct disk_flow *f, int fd, uint64_t at);
int disk_flow_put(struct disk_flow *f, const void *bytes, uint64_t size, struct bulk_summer *sum);
int disk_flow_end(struct disk_flow *f);

/* Reading [at, end). Where the last read ended at `at`, the disk goes on behind `end`: as far as it was read in order before, and up to
 * `limit` >= `end`, as what is before that never changes. What is got stood one behind the other; `bytes` NULL skips some. -1: errno says
 * why; 0 there: the file has no more. */
void disk_flow_seek(struct disk_flow *f, int fd, uint64_t at, uint64_t end, uint64_t limit);
int disk_flow_get(struct disk_flow *f, void *bytes, uint64_t size, struct bulk_summer *sum);

/* Nothing is under way any more, and nothing known of a file. `rest`: its memory is the system's, until it is used again. */
void disk_flow_drop(struct disk_flow *f, bool rest);

#endif
