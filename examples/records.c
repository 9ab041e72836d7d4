/* SPDX-License-Identifier: Apache-2.0 */
#include "records.h"

#include <endian.h>
#include <stdlib.h>
#include <string.h>

static uint64_t mix(uint64_t x)         /* splitmix64 */
{
    x += 0x9e3779b97f4a7c15;
    x = (x ^ x >> 30) * 0xbf58476d1ce4e5b9;
    x = (x ^ x >> 27) * 0x94d049bb133111eb;
    return x ^ x >> 31;
}

static uint64_t checksum(const unsigned char *record)
{
    uint64_t words[(RECORD + 7) / 8] = { 0 }, sum = 0;

    memcpy(words, record, RECORD);
    for (size_t i = 0; i < sizeof words / sizeof words[0]; i++)
        sum = mix(sum ^ words[i]);
    return sum;
}

void make_records(uint64_t first, uint64_t count, unsigned char *ret, struct summary *s)
{
    uint64_t words[(RECORD + 7) / 8];

    for (uint64_t n = first; n < first + count; n++, ret += RECORD) {
        for (size_t i = 0; i < sizeof words / sizeof words[0]; i++)
            words[i] = mix(n * (sizeof words / sizeof words[0]) + i);
        memcpy(ret, words, RECORD);
        memcpy(ret + KEY, &n, sizeof n);
        s->checksum += checksum(ret);
    }
    s->count += count;
}

static int compare(const void *a, const void *b)
{
    const struct entry *x = a, *y = b;

    return x->head != y->head ? (x->head > y->head) - (x->head < y->head) : (x->tail > y->tail) - (x->tail < y->tail);
}

struct entry *sort_keys(const unsigned char *records, size_t count)
{
    struct entry *all = malloc((count + 1) * sizeof *all);

    if (all == NULL)
        abort();
    for (size_t i = 0; i < count; i++, records += RECORD) {
        memcpy(&all[i].head, records, sizeof all[i].head);
        memcpy(&all[i].tail, records + sizeof all[i].head, sizeof all[i].tail);
        all[i] = (struct entry){ be64toh(all[i].head), (uint32_t)i, be16toh(all[i].tail) };
    }
    qsort(all, count, sizeof *all, compare);
    return all;
}

void gather(const unsigned char *records, const struct entry *order, size_t count, unsigned char *ret)
{
    for (size_t i = 0; i < count; i++)
        memcpy(ret + i * RECORD, records + (size_t)order[i].record * RECORD, RECORD);
}

size_t range_end(const struct entry *order, size_t count, size_t from, size_t r, uint32_t parts)
{
    while (from < count && (order[from].head >> 32) * parts >> 32 == r)
        from++;
    return from;
}

/* A heap: the smallest key is on top. */
static void sink(struct rest *heap, size_t count, size_t i)
{
    for (size_t child; (child = 2 * i + 1) < count; i = child) {
        struct rest above = heap[i];
        if (child + 1 < count && memcmp(heap[child + 1].at, heap[child].at, KEY) < 0)
            child++;
        if (memcmp(above.at, heap[child].at, KEY) <= 0)
            return;
        heap[i] = heap[child];
        heap[child] = above;
    }
}

unsigned char *merge_pieces(struct rest *heap, size_t count, unsigned char *ret)
{
    for (size_t i = count / 2; i-- > 0;)
        sink(heap, count, i);
    for (; count > 0; ret += RECORD) {
        memcpy(ret, heap[0].at, RECORD);
        if ((heap[0].at += RECORD) == heap[0].end)
            heap[0] = heap[--count];
        sink(heap, count, 0);
    }
    return ret;
}

size_t sum_up(const unsigned char *records, size_t count, struct summary *s)
{
    for (size_t i = 0; i < count; i++) {
        if (i > 0 && memcmp(records + (i - 1) * RECORD, records + i * RECORD, KEY) > 0)
            return i;
        s->checksum += checksum(records + i * RECORD);
    }
    s->count += count;
    if (count > 0) {
        memcpy(s->first, records, KEY);
        memcpy(s->last, records + (count - 1) * RECORD, KEY);
    }
    return count;
}
