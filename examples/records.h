/* SPDX-License-Identifier: Apache-2.0 */
/* records.h -- records of 100 bytes, of which the first 10 are the key: made from their numbers, sorted by their keys, cut,
 * merged, summed up. What the tasks of shuffle.c and its serial run have in common. */
#ifndef RECORDS_H
#define RECORDS_H

#include <stddef.h>
#include <stdint.h>

#define RECORD 100
#define KEY 10

/* Of a run of records; first and last key where there are any. */
struct summary {
    uint64_t count, checksum;           /* the sum of the checksums of all */
    unsigned char first[KEY], last[KEY];
    uint32_t part;                      /* in shuffle.c: which one, and who had it */
    char host[64];
};

/* Records from number `first` on: key, number, and payload. Adds to *s. */
void make_records(uint64_t first, uint64_t count, unsigned char *ret, struct summary *s);

/* A key as numbers, and whose it is: cheaper to sort than the records. */
struct entry {
    uint64_t head;
    uint32_t record;
    uint16_t tail;
};
struct entry *sort_keys(const unsigned char *records, size_t count);                /* free() it */
void gather(const unsigned char *records, const struct entry *order, size_t count, unsigned char *ret);
/* Where range `r` of `parts` equal ranges of keys ends, that begins at `from`. */
size_t range_end(const struct entry *order, size_t count, size_t from, size_t r, uint32_t parts);

/* What is left of a sorted piece: not empty. Merges them all; returns the end of what it wrote. Uses up `pieces`. */
struct rest {
    const unsigned char *at, *end;
};
unsigned char *merge_pieces(struct rest *pieces, size_t count, unsigned char *ret);

/* Adds to *s. The number of the first record that is smaller than the one before it, or `count`. */
size_t sum_up(const unsigned char *records, size_t count, struct summary *s);

#endif
