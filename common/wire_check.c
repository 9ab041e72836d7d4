/* SPDX-License-Identifier: Apache-2.0 */
/* wire_check.c -- which sub-messages a body must have, so that a handler may read them without looking.
 *
 * protobuf-c leaves a pointer NULL for a sub-message that did not come. One row a body, with the offsets of the pointers that must
 * not be NULL. What is absent from the rows is optional by meaning (Created.error) or read by a function that takes NULL
 * (mob_wire_address).
 */
#include <stddef.h>

#include "common/mem.h"
#include "common/wire_private.h"

#define NEEDED_MAX 3

struct body_rule {
    size_t needed[NEEDED_MAX];          /* offsets of pointers; 0 ends: there the base message stands */
    const char *name;                   /* NULL: no such body */
};

#define AT(message, field) offsetof(Mobula__##message, field)

static const struct body_rule rules[] = {
    [MOBULA__ENVELOPE__BODY_HELLO] = { { 0 }, "Hello" },
    [MOBULA__ENVELOPE__BODY_WELCOME] = { { AT(Welcome, self), AT(Welcome, job) }, "Welcome" },
    [MOBULA__ENVELOPE__BODY_REFUSED] = { { AT(Refused, error) }, "Refused" },
    [MOBULA__ENVELOPE__BODY_WANT] = { { AT(Want, definition) }, "Want" },
    [MOBULA__ENVELOPE__BODY_GRANT] = { { AT(Grant, worker) }, "Grant" },
    [MOBULA__ENVELOPE__BODY_RETURN_LEASE] = { { 0 }, "Return" },
    [MOBULA__ENVELOPE__BODY_RECALL] = { { 0 }, "Recall" },
    [MOBULA__ENVELOPE__BODY_LEASE_OVER] = { { AT(LeaseOver, worker), AT(LeaseOver, cause) }, "LeaseOver" },
    [MOBULA__ENVELOPE__BODY_UNPLACEABLE] = { { 0 }, "Unplaceable" },
    [MOBULA__ENVELOPE__BODY_ASSIGN] = { { AT(Assign, owner) }, "Assign" },
    [MOBULA__ENVELOPE__BODY_ASSIGNED] = { { 0 }, "Assigned" },
    [MOBULA__ENVELOPE__BODY_BLOCKED] = { { 0 }, "Blocked" },
    [MOBULA__ENVELOPE__BODY_UNBLOCKED] = { { 0 }, "Unblocked" },
    [MOBULA__ENVELOPE__BODY_CANCEL] = { { 0 }, "Cancel" },
    [MOBULA__ENVELOPE__BODY_TASK_FRAMES] = { { 0 }, "TaskFrames" },
    [MOBULA__ENVELOPE__BODY_ANSWER_FRAMES] = { { 0 }, "AnswerFrames" },
    [MOBULA__ENVELOPE__BODY_TAKE_BACK] = { { 0 }, "TakeBack" },
    [MOBULA__ENVELOPE__BODY_TAKEN] = { { 0 }, "Taken" },
    [MOBULA__ENVELOPE__BODY_ALLOW] = { { 0 }, "Allow" },
    [MOBULA__ENVELOPE__BODY_CHANNEL_OPEN] = { { AT(ChannelOpen, owner), AT(ChannelOpen, worker) }, "ChannelOpen" },
    [MOBULA__ENVELOPE__BODY_OUTPUT] = { { 0 }, "Output" },
    [MOBULA__ENVELOPE__BODY_WATCH] = { { AT(Watch, object) }, "Watch" },
    [MOBULA__ENVELOPE__BODY_WATCHED] = { { AT(Watched, object) }, "Watched" },
    [MOBULA__ENVELOPE__BODY_EVENTS] = { { 0 }, "Events" },
    [MOBULA__ENVELOPE__BODY_EVENTS_AGAIN] = { { 0 }, "EventsAgain" },
    [MOBULA__ENVELOPE__BODY_OWNER_OVER] = { { 0 }, "OwnerOver" },
    [MOBULA__ENVELOPE__BODY_REFERENCES] = { { 0 }, "References" },
    [MOBULA__ENVELOPE__BODY_REFERENCES_DONE] = { { 0 }, "ReferencesDone" },
    [MOBULA__ENVELOPE__BODY_MOURN] = { { 0 }, "Mourn" },
    [MOBULA__ENVELOPE__BODY_MOURNED] = { { AT(Mourned, process) }, "Mourned" },
    [MOBULA__ENVELOPE__BODY_ORPHANS] = { { AT(Orphans, issuer) }, "Orphans" },
    [MOBULA__ENVELOPE__BODY_STAGE] = { { 0 }, "Stage" },
    [MOBULA__ENVELOPE__BODY_STAGED] = { { 0 }, "Staged" },
    [MOBULA__ENVELOPE__BODY_UNSTAGE] = { { 0 }, "Unstage" },
    [MOBULA__ENVELOPE__BODY_CREATE] = { { AT(Create, object) }, "Create" },
    [MOBULA__ENVELOPE__BODY_CREATED] = { { AT(Created, object) }, "Created" },
    [MOBULA__ENVELOPE__BODY_SEAL] = { { AT(Seal, object) }, "Seal" },
    [MOBULA__ENVELOPE__BODY_ABANDON] = { { AT(Abandon, object) }, "Abandon" },
    [MOBULA__ENVELOPE__BODY_FETCH] = { { AT(Fetch, object) }, "Fetch" },
    [MOBULA__ENVELOPE__BODY_FETCHED] = { { AT(Fetched, object) }, "Fetched" },
    [MOBULA__ENVELOPE__BODY_FREE] = { { 0 }, "Free" },
    [MOBULA__ENVELOPE__BODY_COPIES] = { { 0 }, "Copies" },
    [MOBULA__ENVELOPE__BODY_REGISTER_NODE] = { { 0 }, "Register" },
    [MOBULA__ENVELOPE__BODY_REGISTERED] = { { 0 }, "Registered" },
    [MOBULA__ENVELOPE__BODY_NODE_UP] = { { AT(NodeUp, node) }, "NodeUp" },
    [MOBULA__ENVELOPE__BODY_NODE_DOWN] = { { 0 }, "NodeDown" },
    [MOBULA__ENVELOPE__BODY_REPORT] = { { 0 }, "Report" },
    [MOBULA__ENVELOPE__BODY_DEMAND] = { { AT(Demand, owner), AT(Demand, definition) }, "Demand" },
    [MOBULA__ENVELOPE__BODY_PLACED] = { { AT(Placed, owner) }, "Placed" },
    [MOBULA__ENVELOPE__BODY_PLACE] = { { AT(Place, owner), AT(Place, definition), AT(Place, owner_node) }, "Place" },
    [MOBULA__ENVELOPE__BODY_CLAIM] = { { AT(Claim, owner) }, "Claim" },
    [MOBULA__ENVELOPE__BODY_DECLINED] = { { AT(Declined, owner) }, "Declined" },
    [MOBULA__ENVELOPE__BODY_WITHDRAW] = { { AT(Withdraw, owner) }, "Withdraw" },
    [MOBULA__ENVELOPE__BODY_JOB_STARTED] = { { AT(JobStarted, job) }, "JobStarted" },
    [MOBULA__ENVELOPE__BODY_JOB_OVER] = { { AT(JobOver, job) }, "JobOver" },
    [MOBULA__ENVELOPE__BODY_PEER_HELLO] = { { 0 }, "PeerHello" },
    [MOBULA__ENVELOPE__BODY_QUERY] = { { 0 }, "Query" },
    [MOBULA__ENVELOPE__BODY_REPLY] = { { 0 }, "Reply" },
    [MOBULA__ENVELOPE__BODY_UNFIT] = { { 0 }, "Unfit" },
    [MOBULA__ENVELOPE__BODY_DRAIN] = { { 0 }, "Drain" },
    [MOBULA__ENVELOPE__BODY_MOVE] = { { 0 }, "Move" },
    [MOBULA__ENVELOPE__BODY_MOVED] = { { 0 }, "Moved" },
};

static const void *pointer_at(const void *base, size_t offset)
{
    return *(const void *const *)((const char *)base + offset);
}

/* Each change names who gave out its ticket; one that is held, the object and its holder, too; one that cancels, the object. */
static bool changes_are_whole(const Mobula__References *m)
{
    for (size_t i = 0; i < m->n_changes; i++) {
        const Mobula__References__Change *c = m->changes[i];

        if (c->issuer == NULL || (c->held && c->holder == NULL) || ((c->held || c->cancel) && c->object == NULL))
            return false;
    }
    return true;
}

int mob_wire_check(const Mobula__Envelope *e, struct mob_error *err)
{
    const struct body_rule *rule = (size_t)e->body_case < MOB_COUNT(rules) ? &rules[e->body_case] : NULL;
    const void *body = e->hello;        /* all bodies are pointers in one union */

    if (rule == NULL || rule->name == NULL || body == NULL)
        return mob_error_set(err, MOB_ERR_PROTOCOL, "an envelope without a body that this version knows");
    for (size_t i = 0; i < NEEDED_MAX && rule->needed[i] != 0; i++)
        if (pointer_at(body, rule->needed[i]) == NULL)
            return mob_error_set(err, MOB_ERR_PROTOCOL, "%s lacks a part it must have", rule->name);
    if (e->body_case == MOBULA__ENVELOPE__BODY_WATCHED && e->watched->state_case == MOBULA__WATCHED__STATE__NOT_SET)
        return mob_error_set(err, MOB_ERR_PROTOCOL, "Watched says neither value, place nor error");
    for (size_t i = 0; e->body_case == MOBULA__ENVELOPE__BODY_STAGE && i < e->stage->n_items; i++)
        if (e->stage->items[i]->object == NULL)
            return mob_error_set(err, MOB_ERR_PROTOCOL, "Stage has an item without an object");
    for (size_t i = 0; e->body_case == MOBULA__ENVELOPE__BODY_MOVE && i < e->move->n_items; i++)
        if (e->move->items[i]->object == NULL)
            return mob_error_set(err, MOB_ERR_PROTOCOL, "Move has an item without an object");
    if (e->body_case == MOBULA__ENVELOPE__BODY_REFERENCES && !changes_are_whole(e->references))
        return mob_error_set(err, MOB_ERR_PROTOCOL, "References has a change that lacks a part it must have");
    return 0;
}
