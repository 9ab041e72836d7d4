/* SPDX-License-Identifier: Apache-2.0 */
/* bulk_wire.c -- every field of a bulk frame is checked here before anyone acts on it. */
#include "objstore/bulk_wire.h"

#include <assert.h>
#include <inttypes.h>
#include <stdbool.h>
#include <string.h>

#include "common/token.h"

void bulk_hello_fill(struct bulk_hello *ret, uint32_t node, const char *token)
{
    assert(strlen(token) <= BULK_TOKEN_MAX);
    *ret = (struct bulk_hello){ .magic = BULK_MAGIC, .version = BULK_VERSION, .node = node };
    memcpy(ret->token, token, strlen(token));
}

int bulk_hello_check(const struct bulk_hello *hello, const char *token, struct mob_error *err)
{
    char theirs[BULK_TOKEN_MAX + 1] = "";

    memcpy(theirs, hello->token, BULK_TOKEN_MAX);
    if (hello->magic != BULK_MAGIC)
        return mob_error_set(err, MOB_ERR_PROTOCOL, "this port serves the objects of Mobula, and nothing else");
    if (!mob_token_equal(token, theirs))
        return mob_error_set(err, MOB_ERR_DENIED, "the token is not this cluster's");
    if (hello->version != BULK_VERSION)
        return mob_error_set(err, MOB_ERR_VERSION, "the caller speaks version %u of bulk transfer, this node speaks %u", hello->version,
                             BULK_VERSION);
    return 0;
}

static bool is_range(const struct bulk_ask *ask)
{
    uint64_t end = ask->offset + ask->length;

    return ask->size <= BULK_OBJECT_MAX && ask->length > 0 && ask->length <= ask->size && ask->offset <= ask->size - ask->length
        && ask->offset % BULK_CHUNK == 0 && (end == ask->size || end % BULK_CHUNK == 0);
}

int bulk_ask_check(const struct bulk_ask *ask, struct mob_error *err)
{
    if (ask->zero != 0 || (ask->kind != BULK_OBJECT && ask->kind != BULK_FILE))
        return mob_error_set(err, MOB_ERR_PROTOCOL, "asked for something of kind %u", ask->kind);
    if (ask->kind == BULK_FILE && (ask->size | ask->offset | ask->length) != 0)
        return mob_error_set(err, MOB_ERR_PROTOCOL, "asked for a file of %" PRIu64 " bytes: its size is for us to tell", ask->size);
    if (ask->kind == BULK_OBJECT && (!is_range(ask) || ask->what.object.zero != 0 || ask->direct > 1))
        return mob_error_set(err, MOB_ERR_PROTOCOL, "asked for %" PRIu64 " bytes at %" PRIu64 " of an object of %" PRIu64 " bytes",
                             ask->length, ask->offset, ask->size);
    return 0;
}

uint64_t bulk_chunk_size(const struct bulk_ask *ask, uint64_t at)
{
    uint64_t left = ask->offset + ask->length - at;

    return left < BULK_CHUNK ? left : BULK_CHUNK;
}

static int check_error(const struct bulk_answer *answer, const struct bulk_ask *ask, uint64_t at, struct mob_error *err)
{
    bool refers = answer->status == BULK_REFER, waits = answer->status == BULK_PATIENCE;

    if ((answer->status < MOB_OK || answer->status > MOB_CODE_LAST) && !refers && !waits)
        return mob_error_set(err, MOB_ERR_PROTOCOL, "answered with the unknown status %d", answer->status);
    if (answer->size != 0 || answer->text_size > BULK_TEXT_MAX)
        return mob_error_set(err, MOB_ERR_PROTOCOL, "answered with an error of %u bytes", answer->text_size);
    if (refers && (ask->kind != BULK_OBJECT || at != ask->offset || answer->text_size != 0 || answer->node == 0))
        return mob_error_set(err, MOB_ERR_PROTOCOL, "referred to node %u without need", answer->node);
    if (waits && (at != ask->offset || answer->text_size != 0))
        return mob_error_set(err, MOB_ERR_PROTOCOL, "asked for patience in the middle of its answer");
    return 0;
}

int bulk_answer_check(const struct bulk_answer *answer, const struct bulk_ask *ask, uint64_t at, struct mob_error *err)
{
    if (answer->status != MOB_OK)
        return check_error(answer, ask, at, err);
    if (answer->text_size != 0)
        return mob_error_set(err, MOB_ERR_PROTOCOL, "answered with bytes and an error at once");
    if (ask->kind == BULK_OBJECT && answer->size != bulk_chunk_size(ask, at))
        return mob_error_set(err, MOB_ERR_PROTOCOL, "offered %" PRIu64 " bytes for a chunk of %" PRIu64, answer->size,
                             bulk_chunk_size(ask, at));
    if (ask->kind == BULK_FILE && (answer->size == 0 || answer->size > BULK_FILE_MAX))
        return mob_error_set(err, MOB_ERR_PROTOCOL, "offered a file of %" PRIu64 " bytes", answer->size);
    return 0;
}
