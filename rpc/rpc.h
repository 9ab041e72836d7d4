/* SPDX-License-Identifier: Apache-2.0 */
/* rpc.h -- links between daemons: gRPC bidirectional streams that carry envelopes as bytes. The one folder that sees gRPC.
 *
 * One service, one method: /mobula.Link/Open, a stream of bytes both ways. The caller proves the cluster's token and says its
 * protocol version in the call's metadata (mobula-token, mobula-protocol); a wrong one ends the call with UNAUTHENTICATED or
 * FAILED_PRECONDITION and a sentence, which the caller gets as the reason of `lost`. A completion-queue thread turns tags into posted
 * events and touches nothing else; all callbacks run on the loop thread, none from inside a call of this header. Messages over 4 MiB
 * end the link. Keepalive: 10 s of silence (ping each 5 s, time-out 5 s). Proxies from the environment are ignored; addresses are
 * numeric, so nothing is resolved; nothing is dialed again by itself.
 */
#ifndef MOB_RPC_RPC_H
#define MOB_RPC_RPC_H

#include <stddef.h>
#include <stdint.h>

#include "common/error.h"
#include "common/loop.h"

struct mob_rpc;

/* Facts, on the loop thread. `link` numbers are never used twice in a process. After lost() there is nothing more of that link. */
struct mob_rpc_callbacks {
    void (*up)(void *arg, uint64_t link, const char *peer, int accepted);       /* accepted: 1 it called us, 0 we dialed */
    void (*receive)(void *arg, uint64_t link, const void *frame, size_t size);
    void (*lost)(void *arg, uint64_t link, const struct mob_error *why);        /* UNREACHABLE (refused or silent), DENIED, VERSION, ... */
};

struct mob_rpc *mob_rpc_create(struct mob_loop *loop, const char *token, const struct mob_rpc_callbacks *cb, void *arg);
/* Ends all links without telling, joins the thread. */
void mob_rpc_destroy(struct mob_rpc *r);

/* Serve on ip:port (0: any free one). IPv6 addresses without brackets. Error: in use (MOB_ERR_SYSTEM), no such address. */
int mob_rpc_listen(struct mob_rpc *r, const char *ip, uint32_t port, uint32_t *ret_port, struct mob_error *err);

/* Open a link; up() or lost() follows, never before this returns. Fails fast where the port refuses, within `timeout_ms` otherwise. */
uint64_t mob_rpc_dial(struct mob_rpc *r, const char *ip, uint32_t port, int64_t timeout_ms);

/* Queue a frame (copied); one over 4 MiB ends the link, and so do 64 MiB that the peer leaves unread. What is queued stays in
 * order. Unknown link: no-op. */
void mob_rpc_send(struct mob_rpc *r, uint64_t link, const void *frame, size_t size);
/* Bytes queued and not yet written: for back-pressure. */
size_t mob_rpc_queued(struct mob_rpc *r, uint64_t link);
/* End a link after what is queued was written; nothing is received any more, lost() follows. `why` (may be NULL) is its reason, and the
 * peer's, if the peer dialed. Not up yet: ends at once. A peer that does not take the end is not waited for after 5 s. */
void mob_rpc_hang_up(struct mob_rpc *r, uint64_t link, const struct mob_error *why);

#endif
