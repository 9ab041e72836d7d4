/* SPDX-License-Identifier: Apache-2.0 */
/* owner.c -- the owner core: its life, the user's objects, the dispatch of envelopes, and the flush.
 *
 * The journey of a task through the files: task.c (submit; waits for arguments) -> body.c (its bytes) -> shape.c (backlog,
 * Want) -> push.c (which lease) -> local.c or remote.c (ring or batch) ... answer.c (values) -> object.c (who waits is told;
 * last count). lease.c has the leases' life, backoff.c the pauses of tasks, lineage.c what is made again, watch.c other owners, event.c
 * what the head records, kind.c names and durations.
 */
#include "worker/owner.h"

#include <assert.h>
#include <stdlib.h>

#include "worker/core.h"

struct mob_owner *mob_owner_create(struct mob_world *w, const struct mob_owner_config *config)
{
    struct mob_owner *o = mob_new(struct mob_owner);

    o->world = w;
    o->config = *config;
    o->wire = mob_wire_create();
    o->now_ns = w->now_ns(w);
    mob_owner_bodies_init(&o->bodies);
    mob_owner_objects_init(o);
    mob_owner_slab_init(&o->tasks.slab, sizeof(struct task));
    mob_list_init(&o->shapes.dirty);
    mob_list_init(&o->leases.all);
    mob_list_init(&o->leases.idle);
    mob_list_init(&o->leases.unsent);
    o->leases.check_ns = INT64_MAX;
    mob_owner_holds_init(o);
    mob_owner_borrows_init(o);
    mob_owner_lineage_init(o);
    mob_list_init(&o->channels.all);
    mob_list_init(&o->channels.pushed);
    o->events.due_ns = INT64_MAX;
    o->events.second_ns = o->now_ns;
    return o;
}

/* Large bodies and histories of tasks are the only memory of theirs outside the slabs. */
static void free_pending(struct mob_owner *o)
{
    for (uint32_t i = 0; i < o->objects.slots; i++) {
        struct object *b = mob_owner_object_of_slot(o, i);
        struct task *t = (b->refs | b->pins) != 0 ? b->maker : NULL;

        if (t == NULL)
            continue;
        mob_owner_task_history_free(t);         /* another return may have it, too */
        if (t->body != t->small)
            mob_owner_body_give(&o->bodies, t->body, t->body_size);
        t->body = t->small;
    }
}

void mob_owner_destroy(struct mob_owner *o)
{
    if (o == NULL)
        return;
    free_pending(o);
    mob_owner_backoffs_fini(o);
    mob_owner_leases_fini(o);
    mob_owner_channels_fini(o);
    mob_owner_shapes_fini(o);
    mob_owner_watches_fini(o);
    mob_owner_holds_fini(o);
    mob_owner_stages_fini(o);
    mob_owner_events_fini(o);
    mob_owner_objects_fini(o);
    mob_owner_deaths_drop(o->lost_deaths);
    mob_owner_borrows_fini(o);
    mob_owner_lineage_fini(o);
    mob_owner_kinds_fini(o);
    mob_owner_slab_fini(&o->tasks.slab);
    mob_owner_bodies_fini(&o->bodies);
    mob_wire_destroy(o->wire);
    free(o);
}

void mob_owner_send(struct mob_owner *o, struct mob_address to, Mobula__Envelope__BodyCase body, void *message)
{
    struct mob_envelope e;
    size_t size;

    if (o->lost)
        return;
    mob_envelope_init(&e, o->config.self, to, body);
    e.e.want = message;                         /* all bodies are pointers in one union */
    const void *bytes = mob_wire_pack(o->wire, &e.e, &size);

    o->world->send(o->world, o->config.raylet, bytes, size);
}

/* -- the user's objects -------------------------------------------------------------------------------------------------- */

static uint64_t put(struct mob_owner *o, const void *data, size_t size, bool packed, struct mob_error *err)
{
    if (size > MOB_INLINE_MAX) {
        mob_error_set(err, MOB_ERR_INVALID, "a value of %zu bytes goes through the store", size);
        return 0;
    }
    struct object *b = mob_owner_object_create(o, NULL);

    if (mob_owner_object_set_inline(o, b, data, size, packed) == 0)
        return object_number(b);
    b->state = MOB_OBJECT_INLINE;               /* an empty one, and gone */
    b->refs = 0;
    mob_owner_object_release(o, b);
    mob_error_set(err, MOB_ERR_NO_SPACE, "no memory for a value of %zu bytes", size);
    return 0;
}

uint64_t mob_owner_put(struct mob_owner *o, const void *data, size_t size, struct mob_error *err)
{
    return put(o, data, size, false, err);
}

uint64_t mob_owner_put_packed(struct mob_owner *o, const void *packed, size_t size, const uint64_t *refs, size_t count,
                              struct mob_error *err)
{
    uint64_t ref = put(o, packed, size, true, err);

    if (ref != 0)
        mob_owner_contain(o, ref, refs, count);
    return ref;
}

uint64_t mob_owner_put_begin(struct mob_owner *o, struct mob_object_id *ret_id)
{
    struct object *b = mob_owner_object_create(o, NULL);

    b->pins++;                                  /* until it is stored or failed */
    *ret_id = mob_owner_object_id(o, b);
    return object_number(b);
}

void mob_owner_put_stored(struct mob_owner *o, uint64_t ref, uint32_t node, uint64_t size)
{
    struct object *b = mob_owner_object_at(o, ref);

    assert(b != NULL && b->pins > 0);
    if (b->state == MOB_OBJECT_PENDING) {       /* else the raylet was lost meanwhile */
        struct mob_object_id id = mob_owner_object_id(o, b);

        mob_owner_object_set_stored(o, b, &id, node, size);
    }
    object_unpin(o, b);
    mob_owner_objects_tell(o);
}

void mob_owner_put_failed(struct mob_owner *o, uint64_t ref, const struct mob_error *why)
{
    struct object *b = mob_owner_object_at(o, ref);
    struct fault *f = mob_owner_fault(o, why);

    assert(b != NULL && b->pins > 0);
    if (b->state == MOB_OBJECT_PENDING)
        mob_owner_object_set_fault(o, b, f);
    mob_owner_fault_drop(f);
    object_unpin(o, b);
    mob_owner_objects_tell(o);
}

uint64_t mob_owner_borrow(struct mob_owner *o, const struct mob_object_id *id)
{
    struct object *b = mob_owner_object_create(o, NULL);

    mob_owner_watch(o, b, id);
    return object_number(b);
}

int mob_owner_clone(struct mob_owner *o, uint64_t ref, struct mob_error *err)
{
    struct object *b = mob_owner_object_ref(o, ref, err);

    if (b == NULL)
        return -1;
    if (b->refs == UINT32_MAX)
        return mob_error_set(err, MOB_ERR_INVALID, "a ref was cloned %u times without a drop", b->refs);
    b->refs++;
    return 0;
}

int mob_owner_drop(struct mob_owner *o, uint64_t ref, struct mob_error *err)
{
    struct object *b = mob_owner_object_ref(o, ref, err);

    if (b == NULL)
        return -1;
    b->refs--;
    mob_owner_object_release(o, b);
    return 0;
}

static void look_at_stored(const struct stored *s, struct mob_object_info *ret)
{
    ret->node = s->node;
    ret->since = s->since;
    while (ret->copy_count < MOB_COPIES_SAID && ret->copy_count < s->more_count) {
        ret->copies[ret->copy_count] = s->more[ret->copy_count];
        ret->copy_count++;
    }
}

int mob_owner_look(struct mob_owner *o, uint64_t ref, struct mob_object_info *ret, struct mob_error *err)
{
    const struct object *b = mob_owner_object_ref(o, ref, err);

    if (b == NULL)
        return -1;
    *ret = (struct mob_object_info){ .state = b->state, .id = mob_owner_object_id(o, b), .size = b->size };
    if (b->state == MOB_OBJECT_INLINE) {
        ret->data = b->data;
        ret->packed.data_size = b->size;
        if (b->packed)
            mob_packed_read(b->data, b->size, &ret->packed);
        ret->size = ret->packed.data_size;
    }
    if (b->state == MOB_OBJECT_STORED)
        look_at_stored(b->stored, ret);
    if (b->state == MOB_OBJECT_ERROR)
        ret->error = &b->fault->error, ret->deaths = b->fault->deaths;
    return 0;
}

bool mob_owner_borrowed(const struct mob_owner *o, uint64_t ref)
{
    const struct object *b = mob_owner_object_at(o, ref);

    return b != NULL && b->borrowed;
}

int mob_owner_name(struct mob_owner *o, uint64_t ref, struct mob_object_id *ret, struct mob_error *err)
{
    const struct object *b = mob_owner_object_ref(o, ref, err);

    if (b == NULL)
        return -1;
    *ret = mob_owner_object_name(o, b);
    return 0;
}

void mob_owner_copied(struct mob_owner *o, uint64_t ref, uint32_t node)
{
    struct object *b = mob_owner_object_at(o, ref);

    if (b != NULL && b->state == MOB_OBJECT_STORED)
        mob_owner_object_copied(b, node);
}

bool mob_owner_wait(struct mob_owner *o, uint64_t ref, struct mob_waiter *w)
{
    struct object *b = mob_owner_object_ref(o, ref, NULL);

    if (b == NULL || b->state != MOB_OBJECT_PENDING || !mob_owner_object_wanted(o, b))
        return false;
    mob_list_append(&b->waiters, &w->link);
    return true;
}

void mob_owner_wait_cancel(struct mob_owner *o, struct mob_waiter *w)
{
    (void)o;
    mob_list_remove(&w->link);
}

/* -- facts ------------------------------------------------------------------------------------------------------------------ */

/* A bad envelope is our raylet's doing: it checked what it passes on. Its link is ended, and raylet_lost follows. */
static void refuse(struct mob_owner *o, const struct mob_error *err)
{
    if (o->config.warn != NULL)
        o->config.warn(o->config.arg, err->text);
    o->world->hang_up(o->world, o->config.raylet);
}

static void dispatch(struct mob_owner *o, const Mobula__Envelope *e)
{
    struct mob_address from = mob_wire_address(e->from);

    switch (e->body_case) {
    case MOBULA__ENVELOPE__BODY_GRANT:
        mob_owner_on_grant(o, e->grant);
        break;
    case MOBULA__ENVELOPE__BODY_RECALL:
        mob_owner_on_recall(o, from.node, e->recall);
        break;
    case MOBULA__ENVELOPE__BODY_LEASE_OVER:
        mob_owner_on_lease_over(o, e->lease_over);
        break;
    case MOBULA__ENVELOPE__BODY_UNPLACEABLE:
        mob_owner_on_unplaceable(o, e->unplaceable);
        break;
    case MOBULA__ENVELOPE__BODY_ANSWER_FRAMES:
        mob_owner_on_answer_frames(o, from.node, e->answer_frames);
        break;
    case MOBULA__ENVELOPE__BODY_TAKEN:
        mob_owner_on_taken(o, from.node, e->taken);
        break;
    case MOBULA__ENVELOPE__BODY_WATCH:
        mob_owner_on_watch(o, from, e->watch);
        break;
    case MOBULA__ENVELOPE__BODY_WATCHED:
        mob_owner_watched(o, e->watched);
        break;
    case MOBULA__ENVELOPE__BODY_STAGED:
        mob_owner_on_staged(o, from.node, e->staged);
        break;
    case MOBULA__ENVELOPE__BODY_REFERENCES:
        mob_owner_on_references(o, from, e->references);
        break;
    case MOBULA__ENVELOPE__BODY_REFERENCES_DONE:
        mob_owner_on_references_done(o, from, e->references_done);
        break;
    case MOBULA__ENVELOPE__BODY_MOURNED:
        mob_owner_on_mourned(o, e->mourned);
        break;
    case MOBULA__ENVELOPE__BODY_ORPHANS:
        mob_owner_on_orphans(o, from, e->orphans);
        break;
    case MOBULA__ENVELOPE__BODY_EVENTS_AGAIN:
        mob_owner_events_again(o);
        break;
    case MOBULA__ENVELOPE__BODY_COPIES:
        mob_owner_on_copies(o, from.node, e->copies);
        break;
    case MOBULA__ENVELOPE__BODY_REFUSED:
        mob_wire_error(e->refused->error, &o->lost_why);        /* the end of the connection follows */
        break;
    default:
        break;                                  /* for another part of this process */
    }
}

void mob_owner_receive(struct mob_owner *o, const void *frame, size_t size)
{
    struct mob_error err;
    const Mobula__Envelope *e = mob_wire_unpack(o->wire, frame, size, &err);

    if (e == NULL) {
        refuse(o, &err);
        return;
    }
    o->now_ns = o->world->now_ns(o->world);
    if (!o->lost)
        dispatch(o, e);
}

/* Puts under way: whoever writes them says stored or failed later, too. */
static void fail_puts(struct mob_owner *o, const struct mob_error *why)
{
    for (uint32_t i = 0; i < o->objects.slots; i++) {
        struct object *b = mob_owner_object_of_slot(o, i);

        if ((b->refs | b->pins) == 0 || b->state != MOB_OBJECT_PENDING || b->maker != NULL)
            continue;
        struct fault *f = mob_owner_fault(o, why);

        mob_owner_object_set_fault(o, b, f);
        mob_owner_fault_drop(f);
    }
    mob_owner_objects_tell(o);
}

void mob_owner_raylet_lost(struct mob_owner *o, const struct mob_error *why)
{
    struct mob_error said = o->lost_why.code != MOB_OK ? o->lost_why : *why;

    if (o->lost)
        return;
    o->lost_why = (struct mob_error){ .code = MOB_ERR_NODE_DIED };
    mob_error_set(&o->lost_why, MOB_ERR_NODE_DIED,
                  "the raylet of this node (node %u) is gone: %s; mob_shutdown(), then mob_init() again", o->config.self.node,
                  said.text);
    mob_copy(o->lost_why.node, sizeof o->lost_why.node, why->node);
    o->lost_deaths = mob_owner_deaths_of_node(o->config.self.node, why->node);
    o->lost = true;
    o->now_ns = o->world->now_ns(o->world);
    mob_owner_lineage_fail(o, &o->lost_why);
    mob_owner_leases_fail(o, &o->lost_why);
    for (uint32_t i = 0; i < o->shapes.count; i++)
        mob_owner_shape_fail(o, o->shapes.of[i], &o->lost_why);
    mob_owner_backoffs_fail(o, &o->lost_why);
    mob_owner_watches_fail(o, &o->lost_why);
    fail_puts(o, &o->lost_why);
    mob_owner_borrows_fail(o);
    assert(o->tasks.in_state[TASK_WAITING] == 0);           /* they waited for one of the above */
}

const struct mob_error *mob_owner_lost_why(const struct mob_owner *o)
{
    assert(o->lost);
    return &o->lost_why;
}

int64_t mob_owner_flush(struct mob_owner *o)
{
    int64_t next[7];

    if (o->lost)
        return INT64_MAX;
    o->now_ns = o->world->now_ns(o->world);
    mob_owner_objects_flush(o);                 /* Free, before what is made again is pushed */
    mob_owner_lineage_trim(o);
    mob_owner_leases_check_stalled(o);
    next[6] = mob_owner_backoffs_flush(o);
    mob_owner_shapes_flush(o);
    next[1] = mob_owner_leases_flush(o);
    next[0] = mob_owner_shapes_flush(o);        /* a lease that went may have to be asked for again */
    mob_owner_channels_flush(o);
    mob_owner_remote_flush(o);
    mob_owner_objects_flush(o);
    next[2] = mob_owner_events_flush(o);
    next[3] = o->leases.check_ns;               /* what was pushed may have lowered it */
    next[4] = mob_owner_holds_flush(o);
    next[5] = mob_owner_borrows_flush(o);
    for (unsigned i = 1; i < MOB_COUNT(next); i++)
        next[0] = next[i] < next[0] ? next[i] : next[0];
    return next[0];
}

/* -- asked ------------------------------------------------------------------------------------------------------------------ */

struct mob_owner_counts mob_owner_counts(const struct mob_owner *o)
{
    return (struct mob_owner_counts){
        .waiting = o->tasks.in_state[TASK_WAITING], .queued = o->tasks.in_state[TASK_QUEUED],
        .staging = o->tasks.in_state[TASK_STAGING], .pushed = o->tasks.in_state[TASK_PUSHED],
        .resting = o->tasks.in_state[TASK_RESTING], .done = o->tasks.in_state[TASK_DONE] + o->tasks.in_state[TASK_KEPT],
        .objects = o->objects.count, .leases = o->leases.by_number.count, .held = o->holds.count,
        .kept = o->lineage.count, .kept_bytes = o->lineage.bytes, .evicted = o->lineage.evicted, .again = o->lineage.again_count,
    };
}

bool mob_owner_is_needed(const struct mob_owner *o)
{
    struct mob_owner_counts c = mob_owner_counts(o);

    return c.held + c.leases + c.waiting + c.queued + c.staging + c.pushed + c.resting > 0;
}

void mob_owner_check(const struct mob_owner *o)
{
    mob_owner_objects_check(o);
    mob_owner_tasks_check(o);
    mob_owner_shapes_check(o);
    mob_owner_backoffs_check(o);
    mob_owner_leases_check(o);
    mob_owner_holds_check(o);
    mob_owner_stages_check(o);
    mob_owner_borrows_check(o);
    mob_owner_lineage_check(o);
}
