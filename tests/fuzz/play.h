/* SPDX-License-Identifier: Apache-2.0 */
/* play.h -- an input as a list of messages to a core: who speaks, which body, its size, its bytes. The envelope around the bytes is
 * right (proto/raylet.proto), so that bodies are reached at once; one in 64 has none. */
#ifndef MOB_TESTS_PLAY_H
#define MOB_TESTS_PLAY_H

#include <stdbool.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "common/id.h"
#include "common/log.h"

#define PLAY_FIRST_BODY 10              /* Hello */
#define PLAY_BODIES 65                  /* up to Reply */

struct play {
    const uint8_t *bytes;               /* what is left of the input */
    size_t size;
    uint8_t who;
    uint8_t envelope[40 + UINT16_MAX];
    size_t envelope_size;
    const uint8_t *body;                /* its bytes alone */
    size_t body_size;
};

static inline void play_quietly(void)
{
    setenv("MOBULA_LOG", "error", 1);
    mob_log_init("fuzz");
}

static inline size_t play_varint(uint8_t *to, size_t value)
{
    size_t n = 0;

    for (; value >= 128; value >>= 7)
        to[n++] = (uint8_t)(value | 128);
    to[n++] = (uint8_t)value;
    return n;
}

static inline size_t play_address(uint8_t *to, uint8_t field, struct mob_address a)
{
    to[0] = (uint8_t)(field << 3 | 2);
    to[1] = 10;
    to[2] = 1 << 3 | 5;
    memcpy(to + 3, &a.node, 4);
    to[7] = 2 << 3 | 5;
    memcpy(to + 8, &a.process, 4);
    return 12;
}

/* Fills in who and envelope. False: the input is over. */
static inline bool play_next(struct play *p, struct mob_address from, struct mob_address to)
{
    if (p->size < 4)
        return false;
    size_t said = p->bytes[2] | (size_t)p->bytes[3] << 8, size = said < p->size - 4 ? said : p->size - 4, at = 0;

    p->who = p->bytes[0];
    if (p->bytes[1] % 64 != 63) {
        at += play_address(p->envelope, 1, from);
        at += play_address(p->envelope + at, 2, to);
        at += play_varint(p->envelope + at, (size_t)(PLAY_FIRST_BODY + p->bytes[1] % PLAY_BODIES) << 3 | 2);
        at += play_varint(p->envelope + at, size);
    }
    memcpy(p->envelope + at, p->bytes + 4, size);
    p->envelope_size = at + size;
    p->body = p->bytes + 4;
    p->body_size = size;
    p->bytes += 4 + size;
    p->size -= 4 + size;
    return true;
}

#endif
