/* SPDX-License-Identifier: Apache-2.0 */
/* fuzz_words.c -- any metadata and status of the other end of a gRPC stream: only the right token and protocol pass, and what
 * is said of it fits its room. An input: pairs of {key, size, bytes}; the key is one of ours, or the bytes of the pair before. */
#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "rpc/internal.h"

#define PAIRS_MAX 8
#define TOKEN "00112233445566778899aabbccddeeff00112233445566778899aabbccddeeff"

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size);

static size_t read_pairs(grpc_metadata *pairs, const uint8_t *bytes, size_t size)
{
    static const char *const keys[] = { RPC_TOKEN_KEY, RPC_PROTOCOL_KEY, RPC_CODE_KEY };
    size_t count = 0;

    for (; size >= 2 && count < PAIRS_MAX; count++) {
        size_t part = bytes[1] < size - 2 ? bytes[1] : size - 2;
        unsigned key = bytes[0] % 4u;

        pairs[count] = (grpc_metadata){
            .key = key < 3 ? grpc_slice_from_static_string(keys[key])
                : count > 0 ? grpc_slice_ref(pairs[count - 1].value) : grpc_empty_slice(),
            .value = bytes[0] % 16 == 12 ? grpc_slice_from_copied_string(TOKEN)
                : grpc_slice_from_copied_buffer((const char *)bytes + 2, part),
        };
        bytes += 2 + part;
        size -= 2 + part;
    }
    return count;
}

/* The first value of a key, as a whole. */
static bool says(const grpc_metadata_array *m, const char *key, const char *value)
{
    for (size_t i = 0; i < m->count; i++)
        if (grpc_slice_str_cmp(m->metadata[i].key, key) == 0)
            return grpc_slice_str_cmp(m->metadata[i].value, value) == 0;
    return false;
}

static void check_words(const grpc_metadata_array *m)
{
    struct mob_rpc r = { .token = (char[]){ TOKEN }, .protocol = 7 };
    struct mob_error err = { 0 };

    if (rpc_check_caller(&r, m, &err) == 0)
        assert(says(m, RPC_TOKEN_KEY, TOKEN) && says(m, RPC_PROTOCOL_KEY, "7"));
    else
        assert(err.code == MOB_ERR_DENIED || (err.code == MOB_ERR_VERSION && says(m, RPC_TOKEN_KEY, TOKEN)));
    if (rpc_check_callee(&r, "peer", m, &err) == 0)
        assert(says(m, RPC_PROTOCOL_KEY, "7"));
}

static void check_status(const grpc_metadata_array *m, const uint8_t *bytes, size_t size)
{
    struct rpc_link l = { .peer = "10.0.0.1:80", .trailing = *m, .status = size > 0 ? bytes[0] % 18 : 0, .opened = size % 2 };
    struct mob_error err = { 0 };

    l.details = grpc_slice_from_copied_buffer((const char *)bytes, size);
    rpc_error_of_status(&l, &err);
    assert(err.code > MOB_OK && err.code <= MOB_CODE_LAST && strnlen(err.text, sizeof err.text) < sizeof err.text);
    grpc_slice_unref(l.details);
}

static void check_name(const uint8_t *bytes, size_t size)
{
    char *uri = malloc(size + 1), name[64];

    memcpy(uri, bytes, size);
    uri[size] = '\0';
    rpc_peer_name(uri, name, sizeof name);
    assert(strlen(name) < sizeof name && strlen(name) <= strlen(uri));
    free(uri);
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size)
{
    grpc_metadata pairs[PAIRS_MAX];
    grpc_metadata_array m = { .metadata = pairs };

    m.count = read_pairs(pairs, bytes, size);
    check_words(&m);
    check_status(&m, bytes, size);
    check_name(bytes, size);
    for (size_t i = 0; i < m.count; i++) {
        grpc_slice_unref(pairs[i].key);
        grpc_slice_unref(pairs[i].value);
    }
    return 0;
}
