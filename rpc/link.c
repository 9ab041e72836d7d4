/* SPDX-License-Identifier: Apache-2.0 */
/* link.c -- one link: a call of gRPC's, from dialing or accepting until its last tag.
 *
 *   OPENING --> OPEN --> CLOSING --> OVER --> GONE
 *      |         '--------------------^
 *      '------------------^-----------'
 *
 *   OPENING   dialed: waits for the peer's initial metadata, for the status that refuses us, or for its patience. Accepted: passes
 *             through, to OPEN, or to CLOSING if the caller was refused (nobody hears of that link)
 *   OPEN      reads one message after the other; writes what is queued, one message at a time; waits for either end to hang up
 *   CLOSING   writes what is queued, then says the end (half-close of a caller, status of a server), and waits for the peer's
 *             answer to that, or for its patience
 *   OVER      the call is ended or cancelled: waits for the tags that are still with gRPC; then tells lost()
 *   GONE      waits for its timer to be closed, and is freed
 *
 * gRPC gives its last word (`ending`) only after the messages before it were read, so lost() is the last fact of a link.
 */
#include <grpc/byte_buffer_reader.h>
#include <stdlib.h>

#include "rpc/internal.h"

#define QUEUED_MAX (64u << 20)          /* keepalive finds a peer that is gone, not one that does not read */
#define CLOSING_MS 5000                 /* a peer that does not take our last words is not waited for */

enum { OPENING, OPEN, CLOSING, OVER, GONE };
static enum mob_next link_opening(struct mob_machine *m);
static enum mob_next link_open(struct mob_machine *m);
static enum mob_next link_closing(struct mob_machine *m);
static enum mob_next link_over(struct mob_machine *m);

static const struct mob_state link_states[] = {
    [OPENING] = { "opening", link_opening, MOB_TO(OPEN) | MOB_TO(CLOSING) | MOB_TO(OVER) },
    [OPEN]    = { "open",    link_open,    MOB_TO(CLOSING) | MOB_TO(OVER) },
    [CLOSING] = { "closing", link_closing, MOB_TO(OVER) },
    [OVER]    = { "over",    link_over,    MOB_TO(GONE) },
    [GONE]    = { "gone",    NULL,         0 },
};

static bool link_busy(const struct rpc_link *l)
{
    return l->opening.busy || l->receiving.busy || l->sending.busy || l->ending.busy;
}

static bool link_holds(const struct mob_machine *m)
{
    const struct rpc_link *l = MOB_CONTAINER(m, const struct rpc_link, machine);

    if (m->now == OPEN)
        return l->known && !l->refused && !l->said_end;
    return m->now != GONE || (!link_busy(l) && l->received == NULL);
}

static void set_why(struct rpc_link *l, const struct mob_error *why)
{
    if (!l->has_why)
        l->why = *why;
    l->has_why = true;
}

/* -- the adapters: note the fact, run the machine ------------------------------------------------------------------------ */

static void on_opened(struct rpc_tag *tag)
{
    struct rpc_link *l = MOB_CONTAINER(tag, struct rpc_link, opening);
    char said[16];

    /* A status without metadata before it looks like empty metadata: only a daemon that accepts says its protocol. */
    l->opened = tag->ok && (l->accepted || rpc_metadata_get(&l->initial, RPC_PROTOCOL_KEY, said, sizeof said));
    mob_machine_run(&l->machine);
}

static void on_received(struct rpc_tag *tag)
{
    struct rpc_link *l = MOB_CONTAINER(tag, struct rpc_link, receiving);

    l->receive_over = !tag->ok || l->received == NULL;
    mob_machine_run(&l->machine);
}

static void on_sent(struct rpc_tag *tag)
{
    struct rpc_link *l = MOB_CONTAINER(tag, struct rpc_link, sending);

    l->send_broken |= !tag->ok;
    l->queued -= l->writing;
    l->writing = 0;
    grpc_byte_buffer_destroy(l->written);
    l->written = NULL;
    mob_machine_run(&l->machine);
}

static void on_ended(struct rpc_tag *tag)
{
    struct rpc_link *l = MOB_CONTAINER(tag, struct rpc_link, ending);

    l->ended = true;
    mob_machine_run(&l->machine);
}

static void on_timer(uv_timer_t *timer)
{
    struct rpc_link *l = MOB_CONTAINER(timer, struct rpc_link, timer);
    struct mob_error why;

    if (l->machine.now == OPENING) {
        mob_error_set(&why, MOB_ERR_UNREACHABLE, "%s did not answer in time: is it a daemon of Mobula, and not stopped?", l->peer);
        set_why(l, &why);
    }
    l->cut = true;
    mob_machine_run(&l->machine);
}

/* -- life -------------------------------------------------------------------------------------------------------------- */

static void set_patience(struct rpc_link *l, int64_t ms)
{
    uv_update_time(l->timer.loop);
    uv_timer_start(&l->timer, on_timer, (uint64_t)ms, 0);
}

static void name_peer(struct rpc_link *l)
{
    char *uri = grpc_call_get_peer(l->call);

    rpc_peer_name(uri, l->peer, sizeof l->peer);
    gpr_free(uri);
}

static void init_tags(struct rpc_link *l)
{
    rpc_tag_init(&l->opening, on_opened);
    rpc_tag_init(&l->receiving, on_received);
    rpc_tag_init(&l->sending, on_sent);
    rpc_tag_init(&l->ending, on_ended);
}

struct rpc_link *rpc_link_create(struct mob_rpc *r, grpc_call *call, grpc_channel *channel, int64_t timeout_ms,
                                 const struct mob_error *refuse)
{
    struct rpc_link *l = mob_new(struct rpc_link);

    *l = (struct rpc_link){ .rpc = r, .number = ++r->last_link, .accepted = channel == NULL, .channel = channel, .call = call,
                            .refused = refuse != NULL, .known = refuse == NULL };
    mob_machine_init(&l->machine, "link", l->number, link_states, OPENING, link_holds);
    mob_list_init(&l->link);
    mob_list_append(&r->all, &l->link);
    if (l->known)
        mob_map_set(&r->links, l->number, l);
    if (l->refused)
        set_why(l, refuse);
    init_tags(l);
    rpc_batches_init(l);
    uv_timer_init(mob_loop_uv(r->loop), &l->timer);
    name_peer(l);
    rpc_batch_open(l);
    if (!l->accepted)
        set_patience(l, timeout_ms);
    mob_machine_run(&l->machine);
    return l;
}

void rpc_link_frame(struct rpc_link *l, const void *frame, size_t size)
{
    struct rpc_frame *f;
    struct mob_error why;
    grpc_slice slice;

    if (size > MOB_ENVELOPE_MAX) {
        mob_error_set(&why, MOB_ERR_PROTOCOL, "a message of %zu bytes for %s: the most is %u", size, l->peer, MOB_ENVELOPE_MAX);
        rpc_link_hang_up(l, &why);
    }
    if (l->hang_up_asked || l->cut || l->machine.now > OPEN)
        return;
    if (l->queued + size > QUEUED_MAX) {
        mob_error_set(&why, MOB_ERR_UNREACHABLE, "%s left %u MiB of messages unread", l->peer, QUEUED_MAX >> 20);
        set_why(l, &why);
        l->cut = true;                  /* it reads nothing: no last words */
        mob_machine_run(&l->machine);
        return;
    }
    f = mob_new(struct rpc_frame);
    slice = grpc_slice_from_copied_buffer(frame, size);
    f->bytes = grpc_raw_byte_buffer_create(&slice, 1);
    grpc_slice_unref(slice);
    f->size = size;
    mob_list_init(&f->link);
    mob_list_append(&l->frames, &f->link);
    l->queued += size;
    mob_machine_run(&l->machine);
}

void rpc_link_hang_up(struct rpc_link *l, const struct mob_error *why)
{
    if (l->hang_up_asked)
        return;
    if (why != NULL)
        set_why(l, why);
    l->hang_up_asked = true;
    mob_machine_run(&l->machine);
}

void rpc_link_abandon(struct rpc_link *l)
{
    l->cut = true;
    mob_machine_run(&l->machine);
}

/* -- the steps, in the order of life ------------------------------------------------------------------------------------- */

static enum mob_next link_opening(struct mob_machine *m)
{
    struct rpc_link *l = MOB_CONTAINER(m, struct rpc_link, machine);

    if (l->ended || l->cut || l->hang_up_asked)
        return mob_machine_goto(m, OVER);
    if (l->refused) {
        set_patience(l, CLOSING_MS);
        return mob_machine_goto(m, CLOSING);
    }
    if (!l->accepted && !l->opened)
        return MOB_WAIT;
    if (!l->accepted && rpc_check_callee(l->rpc, l->peer, &l->initial, &l->why) < 0) {
        l->has_why = true;
        return mob_machine_goto(m, OVER);
    }
    uv_timer_stop(&l->timer);
    mob_machine_goto(m, OPEN);
    l->rpc->callbacks.up(l->rpc->arg, l->number, l->peer, l->accepted);
    return MOB_AGAIN;
}

/* Hand over the bytes in one piece; they are in one slice unless the message crossed a read of the socket. */
static void deliver(struct rpc_link *l)
{
    grpc_slice_buffer *slices = &l->received->data.raw.slice_buffer;
    grpc_byte_buffer_reader reader;
    grpc_slice all;

    if (slices->count == 1) {
        all = grpc_slice_ref(slices->slices[0]);
    } else {
        grpc_byte_buffer_reader_init(&reader, l->received);
        all = grpc_byte_buffer_reader_readall(&reader);
        grpc_byte_buffer_reader_destroy(&reader);
    }
    l->rpc->callbacks.receive(l->rpc->arg, l->number, GRPC_SLICE_START_PTR(all), GRPC_SLICE_LENGTH(all));
    grpc_slice_unref(all);
}

/* After a hang-up messages are still read, because gRPC keeps its last word until they are, but nobody gets them. */
static void take_received(struct rpc_link *l)
{
    size_t size = l->received != NULL ? grpc_byte_buffer_length(l->received) : 0;
    struct mob_error why;

    if (l->receiving.busy || l->received == NULL)
        return;
    if (size > MOB_ENVELOPE_MAX) {
        mob_error_set(&why, MOB_ERR_PROTOCOL, "%s sent a message of %zu bytes: the most is %u", l->peer, size, MOB_ENVELOPE_MAX);
        rpc_link_hang_up(l, &why);
    } else if (!l->hang_up_asked && !l->rpc->ending) {
        deliver(l);
    }
    grpc_byte_buffer_destroy(l->received);
    l->received = NULL;
}

static void read_on(struct rpc_link *l)
{
    if (!l->receiving.busy && !l->receive_over)
        rpc_batch_receive(l);
}

static void write_on(struct rpc_link *l)
{
    if (!l->sending.busy && !l->send_broken && !mob_list_empty(&l->frames))
        rpc_batch_send(l);
}

static enum mob_next link_open(struct mob_machine *m)
{
    struct rpc_link *l = MOB_CONTAINER(m, struct rpc_link, machine);

    take_received(l);
    if (l->ended || l->cut)
        return mob_machine_goto(m, OVER);
    if (l->hang_up_asked || (l->accepted && l->receive_over)) {
        set_patience(l, CLOSING_MS);
        return mob_machine_goto(m, CLOSING);
    }
    write_on(l);                        /* an answer first: to read on makes gRPC write, too */
    read_on(l);
    return MOB_WAIT;                    /* for any tag, or a public call */
}

static enum mob_next link_closing(struct mob_machine *m)
{
    struct rpc_link *l = MOB_CONTAINER(m, struct rpc_link, machine);

    take_received(l);
    if (l->ended || l->cut)
        return mob_machine_goto(m, OVER);
    write_on(l);
    if (!l->refused)
        read_on(l);
    if (!l->sending.busy && !l->said_end && !l->send_broken)
        rpc_batch_end(l);
    return MOB_WAIT;                    /* on_ended or on_timer */
}

static void tell_lost(struct rpc_link *l)
{
    mob_map_remove(&l->rpc->links, l->number);
    if (!l->has_why && l->hang_up_asked)
        mob_error_set(&l->why, MOB_ERR_CANCELLED, "this process hung up on %s", l->peer);
    else if (!l->has_why && !l->accepted)
        rpc_error_of_status(l, &l->why);
    else if (!l->has_why && l->cancelled)
        mob_error_set(&l->why, MOB_ERR_UNREACHABLE, "the connection from %s broke", l->peer);
    else if (!l->has_why)
        mob_error_set(&l->why, MOB_ERR_UNREACHABLE, "%s hung up", l->peer);
    if (!l->rpc->ending)
        l->rpc->callbacks.lost(l->rpc->arg, l->number, &l->why);
}

static void on_timer_closed(uv_handle_t *timer)
{
    free(MOB_CONTAINER(timer, struct rpc_link, timer));
}

static enum mob_next link_over(struct mob_machine *m)
{
    struct rpc_link *l = MOB_CONTAINER(m, struct rpc_link, machine);

    if (!l->ended)
        grpc_call_cancel(l->call, NULL);
    take_received(l);
    if (link_busy(l))
        return MOB_WAIT;                /* the last tag: cancelled batches come back at once */
    mob_list_remove(&l->link);
    if (l->known)
        tell_lost(l);
    mob_machine_goto(m, GONE);
    rpc_batches_fini(l);
    grpc_call_unref(l->call);
    if (l->channel != NULL)
        grpc_channel_destroy(l->channel);
    uv_close((uv_handle_t *)&l->timer, on_timer_closed);
    return MOB_WAIT;
}
