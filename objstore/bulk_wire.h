/* SPDX-License-Identifier: Apache-2.0 */
/* bulk_wire.h -- the frames of a bulk connection: fixed structs, little-endian as every machine of a cluster is.
 *
 *   caller   hello ask            ask               (the next one may follow when the answer has been read)
 *   server              answer bytes   answer text
 */
#ifndef MOB_OBJSTORE_BULK_WIRE_H
#define MOB_OBJSTORE_BULK_WIRE_H

#include <stdint.h>

#include "common/error.h"
#include "common/id.h"

#define BULK_MAGIC 0x4d4f424bu
#define BULK_VERSION 1u
#define BULK_TOKEN_MAX 64
#define BULK_TEXT_MAX 512
#define BULK_FILE_MAX (UINT64_C(16) << 30)      /* an executable */
#define BULK_OBJECT_MAX (UINT64_C(1) << 46)

struct bulk_hello {
    uint32_t magic, version;
    char token[BULK_TOKEN_MAX];         /* filled up with zeros */
};

enum bulk_kind { BULK_OBJECT = 1, BULK_FILE = 2 };

struct bulk_ask {
    uint32_t kind, zero;
    uint64_t size;                      /* of an object: as its asker knows it; of a file: 0 */
    union {
        struct mob_object_id object;
        struct mob_hash file;
    } what;
};

struct bulk_answer {
    int32_t status;                     /* MOB_OK: `size` bytes follow; else `text_size` bytes of a sentence */
    uint32_t text_size;
    uint64_t size;
};
_Static_assert(sizeof(struct bulk_hello) == 72 && sizeof(struct bulk_ask) == 48 && sizeof(struct bulk_answer) == 16, "frames");

void bulk_hello_fill(struct bulk_hello *ret, const char *token);
int bulk_hello_check(const struct bulk_hello *hello, const char *token, struct mob_error *err);
int bulk_ask_check(const struct bulk_ask *ask, struct mob_error *err);
/* Could this be the answer to `ask`? */
int bulk_answer_check(const struct bulk_answer *answer, const struct bulk_ask *ask, struct mob_error *err);

#endif
