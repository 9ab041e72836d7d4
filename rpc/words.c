/* SPDX-License-Identifier: Apache-2.0 */
/* words.c -- what two ends say of themselves in metadata, and how an error travels as a status.
 *
 * The caller says token and protocol; the called one says its protocol in the initial metadata, or ends the call with a status.
 * Every status carries the code of a mob_error in its trailing metadata: gRPC's own codes are coarser.
 */
#include <grpc/slice.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/token.h"
#include "rpc/internal.h"

static bool slice_is(grpc_slice s, const char *text)
{
    return GRPC_SLICE_LENGTH(s) == strlen(text) && memcmp(GRPC_SLICE_START_PTR(s), text, strlen(text)) == 0;
}

/* The value as a string, cut at size; false if there is none, or one that is no string. */
bool rpc_metadata_get(const grpc_metadata_array *m, const char *key, char *ret_value, size_t size)
{
    for (size_t i = 0; i < m->count; i++) {
        if (slice_is(m->metadata[i].key, key)) {
            grpc_slice value = m->metadata[i].value;
            size_t length = GRPC_SLICE_LENGTH(value) < size ? GRPC_SLICE_LENGTH(value) : size - 1;

            if (memchr(GRPC_SLICE_START_PTR(value), '\0', length) != NULL)
                return false;
            memcpy(ret_value, GRPC_SLICE_START_PTR(value), length);
            ret_value[length] = '\0';
            return true;
        }
    }
    return false;
}

static void said_protocol(const grpc_metadata_array *m, char text[16])
{
    if (!rpc_metadata_get(m, RPC_PROTOCOL_KEY, text, 16))
        mob_copy(text, 16, "none");
}

static bool same_protocol(struct mob_rpc *r, const char *text)
{
    char ours[16];

    snprintf(ours, sizeof ours, "%u", r->protocol);
    return strcmp(text, ours) == 0;
}

/* The slices are the call's to unref after the batch. */
size_t rpc_say_who(struct mob_rpc *r, bool with_token, grpc_metadata said[2])
{
    char protocol[16];

    snprintf(protocol, sizeof protocol, "%u", r->protocol);
    said[0] = (grpc_metadata){ .key = grpc_slice_from_static_string(RPC_PROTOCOL_KEY),
                               .value = grpc_slice_from_copied_string(protocol) };
    if (!with_token)
        return 1;
    said[1] = (grpc_metadata){ .key = grpc_slice_from_static_string(RPC_TOKEN_KEY),
                               .value = grpc_slice_from_copied_string(r->token) };
    return 2;
}

int rpc_check_caller(struct mob_rpc *r, const grpc_metadata_array *m, struct mob_error *err)
{
    char token[256], protocol[16];

    if (!rpc_metadata_get(m, RPC_TOKEN_KEY, token, sizeof token) || !mob_token_equal(r->token, token))
        return mob_error_set(err, MOB_ERR_DENIED, "the token is not this cluster's: copy the head's token file to this machine");
    said_protocol(m, protocol);
    if (!same_protocol(r, protocol))
        return mob_error_set(err, MOB_ERR_VERSION, "the caller speaks protocol %s, this daemon speaks %u: install the same version "
                             "of Mobula on all machines", protocol, r->protocol);
    return 0;
}

int rpc_check_callee(struct mob_rpc *r, const char *peer, const grpc_metadata_array *m, struct mob_error *err)
{
    char protocol[16];

    said_protocol(m, protocol);
    if (!same_protocol(r, protocol))
        return mob_error_set(err, MOB_ERR_VERSION, "%s speaks protocol %s, this process speaks %u: install the same version of "
                             "Mobula on all machines", peer, protocol, r->protocol);
    return 0;
}

grpc_status_code rpc_status_of(int code)
{
    switch (code) {
    case MOB_OK:
        return GRPC_STATUS_OK;
    case MOB_ERR_DENIED:
        return GRPC_STATUS_UNAUTHENTICATED;
    case MOB_ERR_VERSION:
        return GRPC_STATUS_FAILED_PRECONDITION;
    default:
        return GRPC_STATUS_ABORTED;
    }
}

/* gRPC puts its story before the reason: "failed to connect to all addresses; last error: UNKNOWN: ...: Connection refused". */
static const char *reason(const char *details)
{
    const char *last = details;

    for (const char *at = details; (at = strstr(at, ": ")) != NULL; at += 2)
        if (at[2] != '\0')
            last = at + 2;
    return last;
}

/* Why a call that we dialed is over, from its status. */
void rpc_error_of_status(const struct rpc_link *l, struct mob_error *ret)
{
    char number[16], *text = grpc_slice_to_c_string(l->details);
    int code = 0;

    if (rpc_metadata_get(&l->trailing, RPC_CODE_KEY, number, sizeof number))
        code = atoi(number);
    if (code > MOB_OK && code <= MOB_CODE_LAST)
        mob_error_set(ret, code, "%s", text);
    else if (l->status == GRPC_STATUS_OK)
        mob_error_set(ret, MOB_ERR_UNREACHABLE, "%s hung up", l->peer);
    else if (l->status == GRPC_STATUS_UNIMPLEMENTED)
        mob_error_set(ret, MOB_ERR_PROTOCOL, "%s is no daemon of Mobula", l->peer);
    else if (l->status == GRPC_STATUS_RESOURCE_EXHAUSTED)
        mob_error_set(ret, MOB_ERR_PROTOCOL, "%s sent more than %u bytes in one message", l->peer, MOB_ENVELOPE_MAX);
    else if (l->opened)
        mob_error_set(ret, MOB_ERR_UNREACHABLE, "the connection to %s broke: %s", l->peer, reason(text));
    else
        mob_error_set(ret, MOB_ERR_UNREACHABLE, "%s cannot be reached: %s", l->peer, reason(text));
    gpr_free(text);
}

/* "ipv4:10.0.0.1:80", "ipv6:%5B::1%5D:80" -> "10.0.0.1:80", "[::1]:80" */
void rpc_peer_name(const char *uri, char *ret, size_t size)
{
    const char *at = strncmp(uri, "ipv", 3) == 0 && strlen(uri) > 5 ? uri + 5 : uri;
    size_t n = 0;

    while (*at != '\0' && n + 1 < size) {
        bool open = strncmp(at, "%5B", 3) == 0, close = strncmp(at, "%5D", 3) == 0;

        ret[n++] = open ? '[' : close ? ']' : *at;
        at += open || close ? 3 : 1;
    }
    ret[n] = '\0';
}
