/* SPDX-License-Identifier: Apache-2.0 */
/* kept.c -- what a lender elsewhere gives back unasked, as its worker sleeps or runs long, is not given to it again before its next answer: they
 * would hand it to and fro, and nobody would ask for another lease.
 *
 * For each process the leases whose lender said Taken unasked while something stayed there. What the owner had put into a batch by then may
 * still go.
 */
#include "sim.h"

#include <assert.h>

#include "audit.h"

static uint64_t key_of(uint32_t node, uint64_t lease)
{
    return (uint64_t)node << 40 ^ lease;
}

/* What the maps have of a lease. */
static void *const yes = (void *)1;

void kept_send(struct mob_world *w, uint64_t link, const void *frame, size_t size)
{
    struct process *p = MOB_CONTAINER(MOB_CONTAINER(w, struct actor, world), struct process, a);
    struct mob_wire *wire = mob_wire_create();
    const Mobula__Envelope *e = mob_wire_unpack(wire, frame, size, NULL);

    if (e != NULL && e->body_case == MOBULA__ENVELOPE__BODY_TASK_FRAMES)
        assert(mob_map_get(&p->kept_back, key_of(e->to->node, e->task_frames->lease)) == NULL);
    else if (e != NULL && e->body_case == MOBULA__ENVELOPE__BODY_TAKE_BACK)
        mob_map_set(&p->asked_back, key_of(e->to->node, e->take_back->lease), yes);
    mob_wire_destroy(wire);
    link_send(w, link, frame, size);
}

void kept_hears(struct process *p, const Mobula__Envelope *e)
{
    if (e->body_case == MOBULA__ENVELOPE__BODY_ANSWER_FRAMES)
        mob_map_remove(&p->kept_back, key_of(e->from->node, e->answer_frames->lease));
}

void kept_heard(struct process *p, const Mobula__Envelope *e)
{
    uint64_t key;
    enum audit_rest rest;

    if (e->body_case != MOBULA__ENVELOPE__BODY_TAKEN)
        return;
    key = key_of(e->from->node, e->taken->lease);
    rest = audit_rest(p->owner, e->from->node, e->taken->lease);
    if (rest == AUDIT_NOTHING)
        mob_map_remove(&p->kept_back, key);
    else if (rest == AUDIT_SENT && mob_map_get(&p->asked_back, key) == NULL)
        mob_map_set(&p->kept_back, key, yes);
    mob_map_remove(&p->asked_back, key);
}

void kept_fini(struct process *p)
{
    mob_map_fini(&p->kept_back);
    mob_map_fini(&p->asked_back);
}
