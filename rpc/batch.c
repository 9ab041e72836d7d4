/* SPDX-License-Identifier: Apache-2.0 */
/* batch.c -- the gRPC operations of one link.
 *
 * A call has four kinds of batch, each under way at most once: opening (initial metadata), receiving (one message), sending (one
 * message, at the end half-close or status) and ending (gRPC's last word: status, or the peer's close). What gRPC reads or fills
 * stands in the link, which lives until the last tag came.
 */
#include <assert.h>
#include <grpc/byte_buffer_reader.h>
#include <stdio.h>
#include <stdlib.h>

#include "rpc/internal.h"

void rpc_batches_init(struct rpc_link *l)
{
    grpc_metadata_array_init(&l->initial);
    grpc_metadata_array_init(&l->trailing);
    l->details = grpc_empty_slice();
    l->said_details = grpc_empty_slice();
    l->said_code = (grpc_metadata){ .key = grpc_slice_from_static_string(RPC_CODE_KEY), .value = grpc_empty_slice() };
    mob_list_init(&l->frames);
}

static void frame_destroy(struct rpc_frame *f)
{
    mob_list_remove(&f->link);
    grpc_byte_buffer_destroy(f->bytes);
    free(f);
}

void rpc_batches_fini(struct rpc_link *l)
{
    assert(!l->opening.busy && !l->receiving.busy && !l->sending.busy && !l->ending.busy);
    while (!mob_list_empty(&l->frames))
        frame_destroy(mob_list_first(&l->frames, struct rpc_frame, link));
    for (size_t i = 0; i < l->said_count; i++)
        grpc_slice_unref(l->said[i].value);
    grpc_slice_unref(l->said_code.value);
    grpc_slice_unref(l->said_details);
    grpc_slice_unref(l->details);
    grpc_metadata_array_destroy(&l->initial);
    grpc_metadata_array_destroy(&l->trailing);
    grpc_byte_buffer_destroy(l->received);
    grpc_byte_buffer_destroy(l->written);
}

static void start_last_word(struct rpc_link *l)
{
    grpc_op op = { .op = GRPC_OP_RECV_CLOSE_ON_SERVER };

    if (l->accepted) {
        op.data.recv_close_on_server.cancelled = &l->cancelled;
    } else {
        op.op = GRPC_OP_RECV_STATUS_ON_CLIENT;
        op.data.recv_status_on_client.trailing_metadata = &l->trailing;
        op.data.recv_status_on_client.status = &l->status;
        op.data.recv_status_on_client.status_details = &l->details;
    }
    rpc_start(l->rpc, l->call, &op, 1, &l->ending);
}

/* A refused caller gets no initial metadata: they would tell it that the link is open. */
void rpc_batch_open(struct rpc_link *l)
{
    grpc_op ops[2] = { { .op = GRPC_OP_SEND_INITIAL_METADATA }, { .op = GRPC_OP_RECV_INITIAL_METADATA } };

    start_last_word(l);
    if (l->refused)
        return;
    l->said_count = rpc_say_who(l->rpc, !l->accepted, l->said);
    ops[0].data.send_initial_metadata.count = l->said_count;
    ops[0].data.send_initial_metadata.metadata = l->said;
    ops[1].data.recv_initial_metadata.recv_initial_metadata = &l->initial;
    rpc_start(l->rpc, l->call, ops, l->accepted ? 1 : 2, &l->opening);
}

void rpc_batch_receive(struct rpc_link *l)
{
    grpc_op op = { .op = GRPC_OP_RECV_MESSAGE, .data.recv_message.recv_message = &l->received };

    assert(l->received == NULL);
    rpc_start(l->rpc, l->call, &op, 1, &l->receiving);
}

/* With more frames behind it, a message may wait in the transport for them: one write to the socket for several. */
void rpc_batch_send(struct rpc_link *l)
{
    struct rpc_frame *f = mob_list_first(&l->frames, struct rpc_frame, link);
    grpc_op op = { .op = GRPC_OP_SEND_MESSAGE, .data.send_message.send_message = f->bytes };

    assert(l->written == NULL);
    mob_list_remove(&f->link);
    if (!mob_list_empty(&l->frames))
        op.flags = GRPC_WRITE_BUFFER_HINT;
    l->written = f->bytes;
    l->writing = f->size;
    free(f);
    rpc_start(l->rpc, l->call, &op, 1, &l->sending);
}

static void fill_status(struct rpc_link *l, grpc_op *op)
{
    char code[16];

    snprintf(code, sizeof code, "%d", l->has_why ? l->why.code : MOB_OK);
    l->said_code.value = grpc_slice_from_copied_string(code);
    l->said_details = grpc_slice_from_copied_string(l->has_why ? l->why.text : "");
    op->op = GRPC_OP_SEND_STATUS_FROM_SERVER;
    op->data.send_status_from_server.trailing_metadata_count = 1;
    op->data.send_status_from_server.trailing_metadata = &l->said_code;
    op->data.send_status_from_server.status = rpc_status_of(l->has_why ? l->why.code : MOB_OK);
    op->data.send_status_from_server.status_details = &l->said_details;
}

void rpc_batch_end(struct rpc_link *l)
{
    grpc_op ops[2] = { 0 };
    size_t count = 0;

    assert(!l->said_end);
    l->said_end = true;
    if (l->refused)
        ops[count++].op = GRPC_OP_SEND_INITIAL_METADATA;
    if (l->accepted)
        fill_status(l, &ops[count++]);
    else
        ops[count++].op = GRPC_OP_SEND_CLOSE_FROM_CLIENT;
    rpc_start(l->rpc, l->call, ops, count, &l->sending);
}
