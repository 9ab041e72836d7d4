/* SPDX-License-Identifier: Apache-2.0 */
/* inbox.c -- an envelope from the raylet, to the organ that it is for. Handlers act and return; nothing waits here. */
#include <stdlib.h>
#include <string.h>

#include "worker/store_call.h"

#define REFERENCES_MAX 1000u            /* rows */

/* Are we the owner's end of it? A worker that left nested tasks behind may be lent to itself: then both ends are ours, the worker's
 * is opened first. */
static bool is_owner_end(struct mob_runtime *r, struct mob_address owner, struct mob_address worker)
{
    if (!mob_address_eq(owner, r->self))
        return false;
    if (!mob_address_eq(worker, r->self))
        return true;
    r->own_half_open = !r->own_half_open;
    return !r->own_half_open;
}

/* A ring to a peer on this node. Descriptors: the channel, the peer's page, the peer's doorbell. */
static int on_channel_open(struct mob_runtime *r, const Mobula__ChannelOpen *m, struct mob_error *err)
{
    struct mob_address owner = mob_wire_address(m->owner), worker = mob_wire_address(m->worker);
    bool ours = is_owner_end(r, owner, worker);
    unsigned bit = r->next_bit++ % (MOB_DIRTY_BITS - 1);        /* channels may share one: it only says where to look */
    struct mob_channel *channel;
    int fds[3];

    if (mob_socket_take_fds(r->socket, fds, 3, err) < 0)
        return -1;
    channel = mob_channel_open(fds[0], fds[1], fds[2], ours ? MOB_CHANNEL_OWNER : MOB_CHANNEL_WORKER, bit, err);
    if (channel == NULL)
        return -1;
    if (ours) {
        mob_owner_channel(r->owner, worker.process, channel, bit);
    } else if (r->executor != NULL && mob_address_eq(worker, r->self)) {
        mob_executor_channel(r->executor, owner, channel);
    } else {
        mob_channel_close(channel);
        return mob_error_set(err, MOB_ERR_PROTOCOL, "the raylet opened a channel between two other processes");
    }
    return 0;
}

/* What the raylet asks for `mobula memory` and `mobula explain`. NULL: nothing else is asked of a process. */
static char *answer(struct mob_runtime *r, const Mobula__Query *m)
{
    const char *said = strstr(m->argument, "\"limit\":");
    size_t limit = said != NULL ? strtoul(said + 8, NULL, 10) : REFERENCES_MAX;

    if (strcmp(m->verb, "explain") == 0)
        return mob_owner_explain(r->owner, m->argument);
    if (strcmp(m->verb, "references") == 0)
        return mob_owner_references(r->owner, limit < REFERENCES_MAX ? limit : REFERENCES_MAX);
    return NULL;
}

static void on_query(struct mob_runtime *r, const Mobula__Query *m)
{
    Mobula__Reply reply = MOBULA__REPLY__INIT;
    struct mob_envelope out;
    char *text = answer(r, m);

    if (text == NULL)
        return;
    reply.id = m->id;
    reply.last = true;
    reply.text = (ProtobufCBinaryData){ strlen(text), (uint8_t *)text };
    mob_envelope_init(&out, r->self, mob_runtime_raylet(r), MOBULA__ENVELOPE__BODY_REPLY);
    out.e.reply = &reply;
    mob_runtime_send(r, &out.e);
    mob_runtime_flush(r);
    free(text);
}

/* The task of that run is cancelled. It may be just before, or after, what the user wrote. */
static void on_cancel(struct mob_runtime *r, uint32_t run, bool alone)
{
    if (!alone)
        mob_owner_cancel_run(r->owner, run);
    if (r->running) {
        r->cancelled = true;
        mob_wait_wake_all(r);
    }
}

static int dispatch(struct mob_runtime *r, const Mobula__Envelope *e, const void *bytes, size_t size, struct mob_error *err)
{
    uint32_t run;

    if (e->body_case == MOBULA__ENVELOPE__BODY_GRANT || e->body_case == MOBULA__ENVELOPE__BODY_OUTPUT)
        mob_map_set(&r->printers, mob_wire_address(e->from).node, r);
    switch (e->body_case) {
    case MOBULA__ENVELOPE__BODY_CHANNEL_OPEN:
        return on_channel_open(r, e->channel_open, err);
    case MOBULA__ENVELOPE__BODY_ASSIGN:
        if (r->executor != NULL)
            mob_executor_receive(r->executor, bytes, size);
        return 0;
    case MOBULA__ENVELOPE__BODY_CANCEL:
        if (r->executor != NULL && (run = mob_executor_cancels(r->executor, e->cancel)) != 0)
            on_cancel(r, run, e->cancel->alone);
        return 0;
    case MOBULA__ENVELOPE__BODY_CREATED:
        mob_store_call_created(r, e->created);
        return 0;
    case MOBULA__ENVELOPE__BODY_FETCHED:
        mob_store_call_fetched(r, e->fetched);
        return 0;
    case MOBULA__ENVELOPE__BODY_OUTPUT:
        mob_output_receive(r, e->output);
        return 0;
    case MOBULA__ENVELOPE__BODY_REPLY:
        mob_query_receive(r, e->reply);
        return 0;
    case MOBULA__ENVELOPE__BODY_QUERY:
        on_query(r, e->query);
        return 0;
    default:
        mob_owner_receive(r->owner, bytes, size);
        return 0;
    }
}

void mob_inbox_receive(struct mob_runtime *r, const void *bytes, size_t size)
{
    struct mob_error why;
    const Mobula__Envelope *e = mob_wire_unpack(r->wire, bytes, size, &why);

    if (e == NULL) {
        mob_runtime_lost(r, &why);
        return;
    }
    if (r->state == MOB_RUNTIME_GREETING)
        mob_init_welcome(r, e);
    else if (r->state == MOB_RUNTIME_UP && dispatch(r, e, bytes, size, &why) < 0)
        mob_runtime_lost(r, &why);
}
