/* SPDX-License-Identifier: Apache-2.0 */
/* fuzz_bulk.c -- whatever the bytes of a bulk connection are: what passes the checks is within the limits that the code relies on. */
#include <assert.h>
#include <string.h>

#include "objstore/bulk_wire.h"

#define TOKEN "00112233445566778899aabbccddeeff00112233445566778899aabbccddeeff"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check_conversation(const struct bulk_hello *hello, const struct bulk_ask *ask, const struct bulk_answer *answer)
{
    struct mob_error err;

    if (bulk_hello_check(hello, TOKEN, &err) == 0)
        assert(memcmp(hello->token, TOKEN, BULK_TOKEN_MAX) == 0);
    else
        assert(err.code == MOB_ERR_PROTOCOL || err.code == MOB_ERR_DENIED || err.code == MOB_ERR_VERSION);
    if (bulk_ask_check(ask, &err) < 0)
        return;
    assert(ask->kind == BULK_OBJECT ? ask->size <= BULK_OBJECT_MAX : ask->size == 0);
    if (bulk_answer_check(answer, ask, &err) < 0)
        return;
    if (answer->status != MOB_OK)
        assert(answer->text_size <= BULK_TEXT_MAX && answer->size == 0);
    else
        assert(ask->kind == BULK_OBJECT ? answer->size == ask->size : answer->size > 0 && answer->size <= BULK_FILE_MAX);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct {
        struct bulk_hello hello;
        struct bulk_ask ask;
        struct bulk_answer answer;
    } said = { 0 };

    bulk_hello_fill(&said.hello, TOKEN);
    if (size > 0 && data[0] % 2 == 0)           /* half of the inputs are past the token */
        memcpy(&said.ask, data + 1, size - 1 < sizeof said - sizeof said.hello ? size - 1 : sizeof said - sizeof said.hello);
    else if (size > 0)
        memcpy(&said, data + 1, size - 1 < sizeof said ? size - 1 : sizeof said);
    check_conversation(&said.hello, &said.ask, &said.answer);
    return 0;
}
