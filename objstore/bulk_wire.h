/* SPDX-License-Identifier: Apache-2.0 */
/* bulk_wire.h -- the frames of a bulk connection: fixed structs, little-endian as every machine of a cluster is.
 *
 *   caller   hello ask                                      ask      (the next one may follow when the answer has been read)
 *   server              answer chunk, answer chunk ...           answer sentence
 *
 * A range of an object is answered chunk by chunk, each with its hash; a file at once. Instead of any chunk there may be an error,
 * which ends the answer; instead of the first one the advice to ask another node. Before all that, as often as it takes, a word that the
 * answer is still to come: so a node that waits for room itself is not taken for dead.
 */
#ifndef MOB_OBJSTORE_BULK_WIRE_H
#define MOB_OBJSTORE_BULK_WIRE_H

#include <stddef.h>
#include <stdint.h>

#include "common/error.h"
#include "common/id.h"
#include "objstore/range.h"

#define BULK_MAGIC 0x4d4f424bu
#define BULK_VERSION 3u
#define BULK_TOKEN_MAX 64
#define BULK_TEXT_MAX 512
#define BULK_FILE_MAX (UINT64_C(16) << 30)      /* an executable */
#define BULK_OBJECT_MAX (UINT64_C(1) << 46)
#define BULK_CHUNK MOB_CHUNK
#define BULK_REFER 1000                         /* a status: ask `node` */
#define BULK_PATIENCE 1001                      /* a status: the answer is still to come */
#define BULK_PATIENCE_PART 4                    /* of the silence that a peer bears: then it is said, and again */
#define BULK_PATIENCE_MAX 120                   /* times: 5 minutes; who looks for longer does not know what it is looking for */

struct bulk_hello {
    uint32_t magic, version;
    uint32_t node, zero;                /* the caller's; 0: it has no number yet */
    char token[BULK_TOKEN_MAX];         /* filled up with zeros */
};

enum bulk_kind { BULK_OBJECT = 1, BULK_FILE = 2 };

struct bulk_ask {
    uint32_t kind, zero;
    union {
        struct mob_object_id object;
        struct mob_hash file;
    } what;
    uint64_t size;                      /* of the whole object, as its asker knows it; the rest, too, is 0 for a file */
    uint64_t offset, length;            /* of the range: whole chunks, or up to the end */
    uint32_t root, position;            /* who gave the asker its place in the line, and which (objstore/store_serve.c); 0: nobody yet */
    uint32_t failed;                    /* a node that the server referred to, and that did not help; 0: none */
    uint32_t direct;                    /* 1: do not refer */
};

struct bulk_answer {
    int32_t status;                     /* MOB_OK: `size` bytes follow; BULK_REFER, BULK_PATIENCE: nothing; else a sentence */
    uint32_t text_size;                 /* of the sentence */
    uint64_t size, hash;                /* of the chunk: XXH3, 64 bits; of a file: 0, the caller knows its SHA-256 */
    uint32_t node, position;            /* BULK_REFER: whom to ask; the asker's place in the server's line, 0: as it was */
};
_Static_assert(sizeof(struct bulk_hello) == 80 && sizeof(struct bulk_ask) == 80 && sizeof(struct bulk_answer) == 32, "frames");

void bulk_hello_fill(struct bulk_hello *ret, uint32_t node, const char *token);
int bulk_hello_check(const struct bulk_hello *hello, const char *token, struct mob_error *err);
int bulk_ask_check(const struct bulk_ask *ask, struct mob_error *err);
/* The size of the chunk at `at`, within the range of `ask`. */
uint64_t bulk_chunk_size(const struct bulk_ask *ask, uint64_t at);
/* Could this be the answer to `ask`, where the next chunk stands at `at`? */
int bulk_answer_check(const struct bulk_answer *answer, const struct bulk_ask *ask, uint64_t at, struct mob_error *err);
/* bulk_sum.c: the hash of a chunk, at once or in parts. */
uint64_t bulk_sum(const void *bytes, size_t size);
struct bulk_summer;
struct bulk_summer *bulk_summer_create(void);
void bulk_summer_destroy(struct bulk_summer *s);
void bulk_summer_begin(struct bulk_summer *s);
void bulk_summer_add(struct bulk_summer *s, const void *bytes, size_t size);
uint64_t bulk_summer_end(const struct bulk_summer *s);

#endif
