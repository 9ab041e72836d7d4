/* SPDX-License-Identifier: Apache-2.0 */
/* dispatch.c -- one table says of each message who may say it to this raylet, who may have it passed on, and what is looked
 * at then.
 *
 *   to this raylet       `hear`, if the sender's kind of connection is in `from`
 *   to anyone else       passed on, if it is in `pass_from` and `passes` (NULL: always) does not keep it
 *   anything else        a broken rule: the connection is ended, and nobody else is disturbed
 *
 * `from` is never believed: a process speaks for itself, a peer for its node's processes, the head for itself.
 */
#include <string.h>

#include "raylet/core.h"

#define LOCAL (1u << MOB_LINK_LOCAL)
#define PEER (1u << MOB_LINK_PEER)
#define HEAD (1u << MOB_LINK_HEAD)

struct rule {
    void (*hear)(struct mob_raylet *r, const struct arrival *a);
    bool (*passes)(struct mob_raylet *r, const struct arrival *a);
    unsigned from, pass_from;
};

static void hear_store(struct mob_raylet *r, const struct arrival *a);
static void hear_free(struct mob_raylet *r, const struct arrival *a);
static bool passes_free(struct mob_raylet *r, const struct arrival *a);
static bool passes_copies(struct mob_raylet *r, const struct arrival *a);
static void hear_owner_over(struct mob_raylet *r, const struct arrival *a);
static void hear_nothing(struct mob_raylet *r, const struct arrival *a);
static void hear_query(struct mob_raylet *r, const struct arrival *a);
static bool passes_events(struct mob_raylet *r, const struct arrival *a);
static bool passes_query(struct mob_raylet *r, const struct arrival *a);
static bool passes_output(struct mob_raylet *r, const struct arrival *a);

static const struct rule rules[] = {
    [MOBULA__ENVELOPE__BODY_WANT] = { .hear = mob_want_on_want, .from = LOCAL },
    [MOBULA__ENVELOPE__BODY_GRANT] = { .passes = mob_borrowed_granted, .pass_from = PEER },
    [MOBULA__ENVELOPE__BODY_RETURN_LEASE] = { mob_lease_on_return, mob_borrowed_returned, LOCAL | PEER, LOCAL },
    [MOBULA__ENVELOPE__BODY_RECALL] = { .passes = mob_borrowed_from_lender, .pass_from = PEER },
    [MOBULA__ENVELOPE__BODY_LEASE_OVER] = { mob_lease_on_owner_gone, mob_borrowed_over, PEER, PEER },
    [MOBULA__ENVELOPE__BODY_UNPLACEABLE] = { .passes = mob_borrowed_from_lender, .pass_from = PEER | HEAD },
    [MOBULA__ENVELOPE__BODY_ASSIGNED] = { .hear = hear_nothing, .from = LOCAL },
    [MOBULA__ENVELOPE__BODY_BLOCKED] = { .hear = mob_pool_on_blocked, .from = LOCAL },
    [MOBULA__ENVELOPE__BODY_UNBLOCKED] = { .hear = mob_pool_on_unblocked, .from = LOCAL },
    [MOBULA__ENVELOPE__BODY_CANCEL] = { mob_cancel_on_cancel, mob_borrowed_used, LOCAL | PEER, LOCAL },
    [MOBULA__ENVELOPE__BODY_TASK_FRAMES] = { mob_proxy_on_task_frames, mob_borrowed_used, PEER, LOCAL },
    [MOBULA__ENVELOPE__BODY_STAGE] = { .hear = mob_stage_on_stage, .from = LOCAL | PEER, .pass_from = LOCAL },
    [MOBULA__ENVELOPE__BODY_STAGED] = { .passes = mob_borrowed_from_lender, .pass_from = PEER },
    [MOBULA__ENVELOPE__BODY_UNSTAGE] = { .hear = mob_stage_on_unstage, .from = LOCAL | PEER, .pass_from = LOCAL },
    [MOBULA__ENVELOPE__BODY_ANSWER_FRAMES] = { .passes = mob_borrowed_from_lender, .pass_from = PEER },
    [MOBULA__ENVELOPE__BODY_TAKE_BACK] = { mob_proxy_on_take_back, mob_borrowed_used, LOCAL | PEER, LOCAL },
    [MOBULA__ENVELOPE__BODY_ALLOW] = { mob_proxy_on_allow, mob_borrowed_used, PEER, LOCAL },
    [MOBULA__ENVELOPE__BODY_TAKEN] = { .passes = mob_borrowed_from_lender, .pass_from = PEER },
    [MOBULA__ENVELOPE__BODY_OUTPUT] = { .passes = passes_output, .pass_from = PEER },
    [MOBULA__ENVELOPE__BODY_WATCH] = { .passes = mob_question_watch, .pass_from = LOCAL | PEER },
    [MOBULA__ENVELOPE__BODY_WATCHED] = { mob_seek_on_watched, mob_question_watched, LOCAL | PEER, LOCAL | PEER },
    [MOBULA__ENVELOPE__BODY_REFERENCES] = { .passes = mob_question_references, .pass_from = LOCAL | PEER },
    [MOBULA__ENVELOPE__BODY_REFERENCES_DONE] = { .passes = mob_question_references_done, .pass_from = LOCAL | PEER },
    [MOBULA__ENVELOPE__BODY_MOURN] = { mob_question_on_mourn, mob_question_mourn, LOCAL | PEER, LOCAL },
    [MOBULA__ENVELOPE__BODY_MOURNED] = { .passes = mob_question_mourned, .pass_from = PEER },
    [MOBULA__ENVELOPE__BODY_ORPHANS] = { .pass_from = LOCAL | PEER },
    [MOBULA__ENVELOPE__BODY_EVENTS] = { .passes = passes_events, .pass_from = LOCAL },
    [MOBULA__ENVELOPE__BODY_QUERY] = { hear_query, passes_query, LOCAL | PEER | HEAD, LOCAL },
    [MOBULA__ENVELOPE__BODY_REPLY] = { mob_poll_on_reply, mob_question_replied, LOCAL, HEAD | PEER },
    [MOBULA__ENVELOPE__BODY_CREATE] = { .hear = hear_store, .from = LOCAL },
    [MOBULA__ENVELOPE__BODY_SEAL] = { .hear = hear_store, .from = LOCAL },
    [MOBULA__ENVELOPE__BODY_ABANDON] = { .hear = hear_store, .from = LOCAL },
    [MOBULA__ENVELOPE__BODY_FETCH] = { .hear = hear_store, .from = LOCAL },
    [MOBULA__ENVELOPE__BODY_FREE] = { hear_free, passes_free, LOCAL | PEER, LOCAL },
    [MOBULA__ENVELOPE__BODY_COPIES] = { .passes = passes_copies, .pass_from = PEER },
    [MOBULA__ENVELOPE__BODY_OWNER_OVER] = { .hear = hear_owner_over, .from = PEER },
    [MOBULA__ENVELOPE__BODY_REGISTERED] = { .hear = mob_membership_on_registered, .from = HEAD },
    [MOBULA__ENVELOPE__BODY_REFUSED] = { .hear = mob_membership_on_refused, .from = HEAD },
    [MOBULA__ENVELOPE__BODY_NODE_UP] = { .hear = mob_membership_on_node_up, .from = HEAD },
    [MOBULA__ENVELOPE__BODY_NODE_DOWN] = { .hear = mob_membership_on_node_down, .from = HEAD },
    [MOBULA__ENVELOPE__BODY_JOB_OVER] = { .hear = mob_membership_on_job_over, .from = HEAD },
    [MOBULA__ENVELOPE__BODY_PLACED] = { .hear = mob_demand_on_placed, .from = HEAD },
    [MOBULA__ENVELOPE__BODY_PLACE] = { .hear = mob_want_on_place, .from = HEAD },
    [MOBULA__ENVELOPE__BODY_CLAIM] = { .hear = mob_claim_on_claim, .from = HEAD },
    [MOBULA__ENVELOPE__BODY_DRAIN] = { .hear = mob_drain_on_drain, .from = HEAD },
    [MOBULA__ENVELOPE__BODY_MOVE] = { .hear = mob_move_on_move, .from = PEER },
    [MOBULA__ENVELOPE__BODY_MOVED] = { .hear = mob_move_on_moved, .from = PEER },
    [MOBULA__ENVELOPE__BODY_DECLINED] = { .hear = mob_demand_on_declined, .from = PEER },
    [MOBULA__ENVELOPE__BODY_WITHDRAW] = { .hear = mob_want_on_withdraw, .from = PEER },
};

static void hear_nothing(struct mob_raylet *r, const struct arrival *a)
{
    (void)r;
    (void)a;                            /* Assigned: frames of the new epoch wait in the ring, nobody waits for it */
}

static void hear_store(struct mob_raylet *r, const struct arrival *a)
{
    if (r->config.store != NULL)
        mob_store_receive(r->config.store, a->connection->process != NULL ? a->connection->process->address.process : 0, a->e);
}

/* Elsewhere only the owner may free. */
static bool passes_free(struct mob_raylet *r, const struct arrival *a)
{
    (void)r;
    for (size_t i = 0; i < a->e->free->n_objects; i++) {
        struct mob_object_id id = mob_wire_object(a->e->free->objects[i]);

        if (!mob_address_eq(a->from, (struct mob_address){ id.node, id.process }))
            return false;
    }
    return true;
}

static void hear_free(struct mob_raylet *r, const struct arrival *a)
{
    if (a->connection->kind == MOB_LINK_LOCAL || passes_free(r, a))
        hear_store(r, a);               /* who frees here what is another's is found out by the store */
}

/* An owner that is gone needs none of them; of another one its node hears when it ends. */
static bool passes_copies(struct mob_raylet *r, const struct arrival *a)
{
    Mobula__OwnerOver m = MOBULA__OWNER_OVER__INIT;
    struct process *owner = mob_process_find(r, a->to.process);
    struct mob_envelope e;

    if (a->from.process != 0)
        return false;
    if (a->to.node != r->self.node)
        return true;
    if (owner != NULL) {
        mob_map_set(&owner->lenders, a->from.node, a->connection->peer);
        return true;
    }
    m.process = a->to.process;
    mob_envelope_init(&e, r->self, a->from, MOBULA__ENVELOPE__BODY_OWNER_OVER);
    e.e.owner_over = &m;
    mob_route_send(r, &e.e);
    return false;
}

static void hear_owner_over(struct mob_raylet *r, const struct arrival *a)
{
    struct mob_address owner = { a->from.node, a->e->owner_over->process };

    if (a->from.process != 0 || owner.process == 0)
        return;
    mob_stages_owner_gone(r, owner);
    if (r->config.store != NULL)
        mob_store_owner_gone(r->config.store, owner);
}

static bool passes_events(struct mob_raylet *r, const struct arrival *a)
{
    struct process *p = mob_process_find(r, a->from.process);
    Mobula__Envelope copy = *a->e;
    Mobula__Address from;

    if (a->to.node != 0)
        return false;
    if (p != NULL)
        p->recorded = true;
    mob_wire_put_address(&from, a->from);
    copy.from = &from;
    mob_outbox_send(r, &copy);
    return false;
}

/* A driver that reads slowly is told how much it was not told. */
static bool passes_output(struct mob_raylet *r, const struct arrival *a)
{
    struct process *driver = mob_process_find(r, a->to.process);
    Mobula__Output *m = a->e->output;

    if (a->from.process != 0 || driver == NULL)
        return false;
    driver->output_dropped += m->dropped;
    if (mob_route_queued(r, a->to) > MOB_OUTPUT_ROOM(m->text.len)) {
        driver->output_dropped += m->text.len;
        return false;
    }
    if (driver->output_dropped == m->dropped) {
        driver->output_dropped = 0;
        return true;
    }
    m->dropped = driver->output_dropped;
    driver->output_dropped = 0;
    mob_route_send(r, a->e);
    return false;
}

/* -- questions ----------------------------------------------------------------------------------------------------------- */

/* "output": the asker is a driver; the Reply follows what its workers have printed. "memory", "explain": for the head. */
static void hear_query(struct mob_raylet *r, const struct arrival *a)
{
    struct mob_error why;

    if (strcmp(a->e->query->verb, "memory") == 0) {
        mob_memory_answer(r, a->from, a->e->query);
        return;
    }
    if (strcmp(a->e->query->verb, "explain") == 0) {
        mob_explain_answer(r, a->from, a->e->query);
        return;
    }
    if (strcmp(a->e->query->verb, "output") != 0) {
        mob_error_set(&why, MOB_ERR_INVALID, "a raylet has no answer to \"%.40s\"", a->e->query->verb);
        mob_question_reply(r, a->from, a->e->query->id, &why);
        return;
    }
    if (r->config.flush_output != NULL)
        r->config.flush_output(r->config.arg, a->from);
    mob_question_reply(r, a->from, a->e->query->id, NULL);
}

/* To whoever cannot be reached: answered here, so that nobody waits in vain. */
static bool passes_query(struct mob_raylet *r, const struct arrival *a)
{
    const struct mob_peer *peer = mob_raylet_peer(r, a->to.node);
    struct mob_error why;

    if (a->to.node == 0 ? mob_membership_joined(r) : a->to.process == 0 && peer != NULL && peer->alive) {
        mob_question_query(r, a);
        return true;
    }
    if (a->to.node == 0)
        mob_error_set(&why, MOB_ERR_UNREACHABLE, "the head at %s:%u is away; ask again later", r->config.head_ip, r->config.head_port);
    else
        mob_error_set(&why, MOB_ERR_UNREACHABLE, "node %u is not there to answer", a->to.node);
    mob_question_reply(r, a->from, a->e->query->id, &why);
    return false;
}

/* -- who speaks ---------------------------------------------------------------------------------------------------------- */

/* Who sent it: not what it says, but whose connection it is. False: the sender may not speak, or not for that one. */
static bool identify(struct mob_raylet *r, struct arrival *a)
{
    struct connection *c = a->connection;
    struct mob_address said = mob_wire_address(a->e->from);

    a->to = mob_wire_address(a->e->to);
    switch (c->kind) {
    case MOB_LINK_LOCAL:
        if (c->process == NULL)
            return false;
        a->from = c->process->address;
        return true;
    case MOB_LINK_PEER:
        a->from = said;
        return c->peer != NULL && said.node == c->peer->is.node && a->to.node == r->self.node;
    case MOB_LINK_HEAD:
        a->from = (struct mob_address){ 0, 0 };
        if (r->self.node == 0)
            a->to = r->self;            /* the number comes with this */
        return a->to.node == r->self.node;
    }
    return false;
}

/* Pass it on as it came, but for the sender's name. */
static void pass_on(struct mob_raylet *r, const struct arrival *a, const void *frame, size_t size)
{
    Mobula__Envelope copy = *a->e;
    Mobula__Address from;

    if (mob_address_eq(mob_wire_address(a->e->from), a->from)) {
        mob_route_bytes(r, a->to, frame, size);
        return;
    }
    mob_wire_put_address(&from, a->from);
    copy.from = &from;
    mob_route_send(r, &copy);
}

void mob_dispatch(struct mob_raylet *r, struct connection *c, const void *frame, size_t size)
{
    struct arrival a = { .connection = c };
    const struct rule *rule;
    struct mob_error err;

    a.e = mob_wire_unpack(r->wire, frame, size, &err);
    if (a.e == NULL) {
        mob_raylet_blame(r, c, err.text);
        return;
    }
    if (c->kind == MOB_LINK_PEER && a.e->body_case == MOBULA__ENVELOPE__BODY_PEER_HELLO) {
        mob_route_peer_hello(r, c, a.e->peer_hello);
        return;
    }
    rule = a.e->body_case < MOB_COUNT(rules) ? &rules[a.e->body_case] : &rules[0];
    if (!identify(r, &a)) {
        mob_raylet_blame(r, c, "spoke before it said who it is, or for another");
    } else if (a.to.node == r->self.node && a.to.process == 0) {
        if (rule->hear != NULL && (rule->from & 1u << c->kind) != 0)
            rule->hear(r, &a);
        else
            mob_raylet_blame(r, c, "sent what it may not");
    } else if ((rule->pass_from & 1u << c->kind) == 0) {
        mob_raylet_blame(r, c, "sent to another what it may not");
    } else if (rule->passes == NULL || rule->passes(r, &a)) {
        pass_on(r, &a, frame, size);
    }
}
