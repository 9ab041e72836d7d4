/* SPDX-License-Identifier: Apache-2.0 */
/* words.c -- open addressing; the words themselves stand one after the other in one buffer. */
#include "words.h"

#include <ctype.h>
#include <stdlib.h>
#include <string.h>

#define WORD_MAX 255

struct slot {
    uint64_t count;                     /* 0: free */
    uint32_t at, length, hash;
};

struct words {
    struct slot *slots;
    size_t capacity, used;              /* a power of two */
    char *text;
    size_t text_size, text_room;
};

static void *must(void *p)
{
    if (p == NULL)
        abort();
    return p;
}

struct words *words_create(void)
{
    struct words *w = must(calloc(1, sizeof *w));

    w->capacity = 1 << 12;
    w->slots = must(calloc(w->capacity, sizeof *w->slots));
    return w;
}

void words_destroy(struct words *w)
{
    free(w->slots);
    free(w->text);
    free(w);
}

static struct slot *find(const struct words *w, const char *word, uint32_t length, uint32_t hash)
{
    size_t i = hash & (w->capacity - 1);

    while (w->slots[i].count != 0
           && (w->slots[i].hash != hash || w->slots[i].length != length || memcmp(w->text + w->slots[i].at, word, length) != 0))
        i = (i + 1) & (w->capacity - 1);
    return &w->slots[i];
}

static void grow(struct words *w)
{
    struct words bigger = *w;

    bigger.capacity = w->capacity * 2;
    bigger.slots = must(calloc(bigger.capacity, sizeof *bigger.slots));
    for (size_t i = 0; i < w->capacity; i++)
        if (w->slots[i].count != 0)
            *find(&bigger, w->text + w->slots[i].at, w->slots[i].length, w->slots[i].hash) = w->slots[i];
    free(w->slots);
    *w = bigger;
}

static void add(struct words *w, const char *word, uint32_t length, uint32_t hash, uint64_t count)
{
    struct slot *s = find(w, word, length, hash);

    if (s->count == 0) {
        if (w->text_size + length > w->text_room) {
            w->text_room = (w->text_size + length) * 2;
            w->text = must(realloc(w->text, w->text_room));
        }
        memcpy(w->text + w->text_size, word, length);
        *s = (struct slot){ 0, (uint32_t)w->text_size, length, hash };
        w->text_size += length;
        w->used++;
    }
    s->count += count;
    if (w->used * 2 > w->capacity)
        grow(w);
}

void words_count_text(struct words *w, const char *text, size_t size)
{
    size_t i = 0;

    while (i < size) {
        size_t start;
        uint32_t hash = 2166136261u, length;
        while (i < size && !isalnum((unsigned char)text[i]) && text[i] != '_')
            i++;
        for (start = i; i < size && i - start < WORD_MAX && (isalnum((unsigned char)text[i]) || text[i] == '_'); i++)
            hash = (hash ^ (unsigned char)text[i]) * 16777619u;
        length = (uint32_t)(i - start);
        if (length > 0)
            add(w, text + start, length, hash, 1);
    }
}

/* A word: its count, its hash, its length, its bytes. */
#define PACKED_HEAD (sizeof(uint64_t) + sizeof(uint32_t) + 1)

char *words_pack(const struct words *w, size_t *ret_size)
{
    char *packed = must(malloc(w->text_size + w->used * PACKED_HEAD + 1)), *at = packed;

    for (size_t i = 0; i < w->capacity; i++) {
        const struct slot *s = &w->slots[i];
        if (s->count == 0)
            continue;
        memcpy(at, &s->count, 8);
        memcpy(at + 8, &s->hash, 4);
        at[12] = (char)s->length;
        memcpy(at + PACKED_HEAD, w->text + s->at, s->length);
        at += PACKED_HEAD + s->length;
    }
    *ret_size = (size_t)(at - packed);
    return packed;
}

void words_add_packed(struct words *w, const char *packed, size_t size)
{
    for (size_t at = 0; at + PACKED_HEAD <= size;) {
        uint64_t count;
        uint32_t hash, length = (unsigned char)packed[at + 12];
        memcpy(&count, packed + at, 8);
        memcpy(&hash, packed + at + 8, 4);
        if (length > size - at - PACKED_HEAD || count == 0)
            return;
        add(w, packed + at + PACKED_HEAD, length, hash, count);
        at += PACKED_HEAD + length;
    }
}

int words_equal(const struct words *a, const struct words *b)
{
    if (a->used != b->used)
        return 0;
    for (size_t i = 0; i < a->capacity; i++) {
        const struct slot *s = &a->slots[i];
        if (s->count != 0 && find(b, a->text + s->at, s->length, s->hash)->count != s->count)
            return 0;
    }
    return 1;
}

size_t words_different(const struct words *w)
{
    return w->used;
}

uint64_t words_total(const struct words *w)
{
    uint64_t total = 0;

    for (size_t i = 0; i < w->capacity; i++)
        total += w->slots[i].count;
    return total;
}
