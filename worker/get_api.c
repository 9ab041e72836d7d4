/* SPDX-License-Identifier: Apache-2.0 */
/* get_api.c -- get, wait, views.
 *
 *   get:  all ready? --no--> wait (a waiter a ref, one count) --> fetch the stored ones (one count) --> views
 *
 * The common case, one inline value that is there, is one lookup and one copy. In the slow one each ref is cloned for the time
 * of the call, so that another thread that drops it meanwhile does no harm. Views are given out only when all of them are
 * there. */
#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "worker/value.h"

#define ASK_NS 100000000

/* -- views ------------------------------------------------------------------------------------------------------------------- */

/* A value in memory, or one that carries references, lives as long as its ref: the view has a clone. */
static void view_of_inline(struct mob_runtime *r, uint64_t ref, const struct mob_object_info *info, struct mob_view *ret)
{
    struct mob_view_pin *p = mob_new(struct mob_view_pin);

    *p = (struct mob_view_pin){ .era = r->era, .ref = ref, .packed = info->packed };
    mob_owner_clone(r->owner, ref, NULL);
    *ret = (struct mob_view){ .data = info->data, .size = info->size, .ref_count = p->packed.refs, .pin = p };
}

/* The pin in the store is the view's from here on. */
static void view_of_stored(struct mob_runtime *r, uint64_t ref, struct mob_fetch *f, struct mob_view *ret)
{
    struct mob_view_pin *p = mob_new(struct mob_view_pin);

    *p = (struct mob_view_pin){ .era = r->era, .stored = true, .slot = f->slot, .packed = f->packed };
    if (p->packed.refs > 0) {
        p->ref = ref;
        mob_owner_clone(r->owner, ref, NULL);
    }
    *ret = (struct mob_view){ .data = f->data, .size = f->packed.data_size, .ref_count = p->packed.refs, .pin = p };
    f->data = NULL;
}

void mob_view_release(struct mob_view *view)
{
    struct mob_view_pin *p;
    struct mob_runtime *r;

    if (view == NULL || (p = view->pin) == NULL)
        return;
    *view = (struct mob_view){ 0 };
    if (p->of_task)
        return;                         /* lives as long as the task */
    if ((r = mob_enter_any()) != NULL) {
        if (p->era == r->era && p->stored)
            mob_store_client_unpin(r->store, p->slot);
        if (p->era == r->era && p->ref != 0)
            mob_owner_drop(r->owner, p->ref, NULL);
        mob_leave(r);
    }
    free(p->copy);
    free(p);
}

/* -- wait until some are ready ----------------------------------------------------------------------------------------------- */

struct ref_wait {
    struct mob_waiter waiter;
    struct ready_count *count;
    uint64_t ref;
    bool waiting;
};

struct ready_count {
    struct mob_runtime *r;
    struct mob_wait wait;
    size_t missing;                     /* until `wait` is done */
};

static void ref_ready(struct mob_waiter *w)
{
    struct ref_wait *one = MOB_CONTAINER(w, struct ref_wait, waiter);
    struct ready_count *count = one->count;

    one->waiting = false;
    if (count->missing > 0 && --count->missing == 0)
        mob_wait_done(count->r, &count->wait);
}

bool mob_wait_refs(struct mob_runtime *r, const uint64_t *refs, size_t count, size_t wanted, int64_t deadline_ns)
{
    struct ref_wait one_room, *each = count == 1 ? &one_room : mob_alloc(count * sizeof *each);
    struct ready_count ready = { .r = r, .missing = wanted };
    bool enough;

    mob_wait_init(&ready.wait);
    ready.wait.keeps_ns = MOB_KEEPS_CPU_NS;
    ready.wait.heeds = true;
    for (size_t i = 0; i < count; i++) {
        each[i] = (struct ref_wait){ .waiter.ready = ref_ready, .count = &ready, .ref = refs[i] };
        mob_list_init(&each[i].waiter.link);
        each[i].waiting = mob_owner_wait(r->owner, refs[i], &each[i].waiter);
        if (!each[i].waiting && ready.missing > 0)
            ready.missing--;
        if (each[i].waiting && !mob_owner_borrowed(r->owner, refs[i]))
            ready.wait.keeps_ns = 0;    /* a task of ours makes it, and may need this CPU */
    }
    enough = ready.missing == 0;
    if (!enough) {
        mob_owner_flush(r->owner);
        enough = mob_wait_until(r, &ready.wait, deadline_ns);
    }
    for (size_t i = 0; i < count; i++)
        if (each[i].waiting)
            mob_owner_wait_cancel(r->owner, &each[i].waiter);
    if (each != &one_room)
        free(each);
    return enough;
}

/* -- get --------------------------------------------------------------------------------------------------------------------- */

int mob_wait_ended(const struct mob_runtime *r, const char *what, struct mob_error *err)
{
    if (r->state == MOB_RUNTIME_LOST) {
        if (err != NULL)
            *err = r->why;
        return -1;
    }
    if (r->state != MOB_RUNTIME_UP)
        return mob_error_set(err, MOB_ERR_INVALID, "mob_shutdown() was called meanwhile");
    if (r->cancelled)
        return mob_error_set(err, MOB_ERR_CANCELLED, "the task that waited is cancelled");
    return mob_error_set(err, MOB_ERR_TIMEOUT, "%s", what);
}

/* 1: it was ready, and its value was lost since: wait again. */
static int look_ready(struct mob_runtime *r, uint64_t ref, struct mob_object_info *ret, struct mob_error *err)
{
    if (mob_owner_look(r->owner, ref, ret, err) < 0)
        return -1;
    if (ret->state != MOB_OBJECT_ERROR)
        return ret->state == MOB_OBJECT_PENDING;
    if (err != NULL)
        *err = *ret->error;
    return -1;
}

/* 1: wait again, as it is elsewhere, too, or is made again. */
static int fetch_failed(struct mob_runtime *r, uint64_t ref, const struct mob_fetch *f, struct mob_error *err)
{
    struct mob_object_info info;

    if (mob_owner_lost(r->owner, ref, f->since, &f->why))
        return 1;
    if (look_ready(r, ref, &info, err) < 0)
        return -1;
    if (err != NULL)
        *err = f->why;
    return -1;
}

/* Where what is on this node stands our raylet says at once: a get that may not wait has it, too. */
static int64_t until_asked(const struct mob_runtime *r, const struct mob_fetch *fetches, size_t count, int64_t deadline_ns)
{
    int64_t asked_ns = mob_runtime_now() + ASK_NS;

    if (deadline_ns >= asked_ns)
        return deadline_ns;
    for (size_t i = 0; i < count; i++) {
        bool here = fetches[i].wait == NULL || fetches[i].over || fetches[i].node == r->self.node;

        for (uint32_t c = 0; !here && c < fetches[i].copy_count; c++)
            here = fetches[i].copies[c] == r->self.node;
        if (!here)
            return deadline_ns;
    }
    return asked_ns;
}

/* Bring the stored ones of `refs` (all ready) here; fetches[i] is used only for these. 1: not all are ready any more. */
static int fetch_refs(struct mob_runtime *r, const uint64_t *refs, size_t count, int64_t deadline_ns, struct mob_fetch *fetches,
                      struct mob_error *err)
{
    struct mob_object_info info;
    struct mob_wait wait;
    size_t left = 1;                    /* ours, so that it is not done while we still start some */
    int rc;

    mob_wait_init(&wait);
    wait.keeps_ns = MOB_KEEPS_CPU_NS;
    wait.heeds = true;
    for (size_t i = 0; i < count; i++) {
        mob_list_init(&fetches[i].link);
        if ((rc = look_ready(r, refs[i], &info, err)) != 0)
            return rc;
        if (info.state != MOB_OBJECT_STORED)
            continue;
        fetches[i].id = info.id;
        fetches[i].size = info.size;
        fetches[i].node = info.node;
        fetches[i].since = info.since;
        fetches[i].copy_count = info.copy_count;
        memcpy(fetches[i].copies, info.copies, sizeof info.copies);
        fetches[i].get = true;
        mob_fetch_start(r, &fetches[i], &wait, &left);
    }
    if (--left > 0 && !mob_wait_until(r, &wait, until_asked(r, fetches, count, deadline_ns)))
        return mob_wait_ended(r, "the objects are ready, but did not arrive on this node in time", err);
    for (size_t i = 0; i < count; i++) {
        if (fetches[i].over && fetches[i].data == NULL)
            return fetch_failed(r, refs[i], &fetches[i], err);
        if (fetches[i].over && fetches[i].node != r->self.node)
            mob_owner_copied(r->owner, refs[i], r->self.node);
    }
    return 0;
}

static int make_views(struct mob_runtime *r, const uint64_t *refs, size_t count, struct mob_fetch *fetches,
                      struct mob_view *ret_views, struct mob_error *err)
{
    struct mob_object_info info;
    int rc;

    for (size_t i = 0; i < count; i++)  /* while we fetched, one may have been lost */
        if ((rc = look_ready(r, refs[i], &info, err)) != 0)
            return rc;
    for (size_t i = 0; i < count; i++) {
        if (fetches != NULL && fetches[i].data != NULL) {
            view_of_stored(r, refs[i], &fetches[i], &ret_views[i]);
            continue;
        }
        look_ready(r, refs[i], &info, NULL);
        assert(info.state == MOB_OBJECT_INLINE);
        view_of_inline(r, refs[i], &info, &ret_views[i]);
    }
    return 0;
}

static int get_stored(struct mob_runtime *r, const uint64_t *refs, size_t count, int64_t deadline_ns, struct mob_view *ret_views,
                      struct mob_error *err)
{
    struct mob_fetch *fetches = mob_alloc(count * sizeof *fetches);
    int rc = fetch_refs(r, refs, count, deadline_ns, fetches, err);

    if (rc == 0)
        rc = make_views(r, refs, count, fetches, ret_views, err);
    for (size_t i = 0; i < count && fetches[i].link.next != NULL; i++)
        mob_fetch_cancel(r, &fetches[i]);
    free(fetches);
    return rc;
}

/* Who sits before a terminal is told once, after a while, why nothing comes. */
static bool wait_and_tell(struct mob_runtime *r, const uint64_t *refs, size_t count, int64_t deadline_ns)
{
    int64_t tell_ns = r->explain_ns > 0 ? mob_runtime_now() + r->explain_ns : INT64_MAX;
    struct mob_object_info info;

    if (deadline_ns <= tell_ns)
        return mob_wait_refs(r, refs, count, count, deadline_ns);
    if (mob_wait_refs(r, refs, count, count, tell_ns))
        return true;
    for (size_t i = 0; r->state == MOB_RUNTIME_UP && i < count; i++)
        if (mob_owner_look(r->owner, refs[i], &info, NULL) == 0 && info.state == MOB_OBJECT_PENDING) {
            mob_explain_print(r, refs[i], r->explain_ns);
            break;
        }
    return mob_wait_refs(r, refs, count, count, deadline_ns);
}

/* 1: not all are ready any more. */
static int get_once(struct mob_runtime *r, const uint64_t *refs, size_t count, int64_t deadline_ns, struct mob_view *ret_views,
                    struct mob_error *err)
{
    struct mob_object_info info;
    bool stored = false;
    int rc;

    if (!wait_and_tell(r, refs, count, deadline_ns))
        return mob_wait_ended(r, "the value was not ready in time; its task runs on, and `mobula explain` says what it waits for", err);
    for (size_t i = 0; i < count; i++) {
        if ((rc = look_ready(r, refs[i], &info, err)) != 0)
            return rc;
        stored |= info.state == MOB_OBJECT_STORED;
    }
    return stored ? get_stored(r, refs, count, deadline_ns, ret_views, err) : make_views(r, refs, count, NULL, ret_views, err);
}

/* All refs are cloned by the caller. What was lost is waited for again; each time one less attempt of its task is left, or one place. */
static int get_ready(struct mob_runtime *r, const uint64_t *refs, size_t count, int64_t deadline_ns, struct mob_view *ret_views,
                     struct mob_error *err)
{
    int rc;

    while ((rc = get_once(r, refs, count, deadline_ns, ret_views, err)) > 0)
        ;
    return rc;
}

static int get_locked(struct mob_runtime *r, const uint64_t *refs, size_t count, int64_t timeout_ms, struct mob_view *ret_views,
                      struct mob_error *err)
{
    int64_t deadline_ns = mob_runtime_deadline(timeout_ms);
    size_t cloned = 0;
    int rc = 0;

    while (cloned < count && (rc = mob_owner_clone(r->owner, refs[cloned], err)) == 0)
        cloned++;
    if (rc == 0)
        rc = get_ready(r, refs, count, deadline_ns, ret_views, err);
    while (cloned > 0)
        mob_owner_drop(r->owner, refs[--cloned], NULL);
    return rc;
}

int mob_get(struct mob_ref *ref, int64_t timeout_ms, struct mob_view *ret_view, struct mob_error *err)
{
    return mob_get_many(&ref, 1, timeout_ms, ret_view, err);
}

int mob_get_many(struct mob_ref *const *refs, size_t count, int64_t timeout_ms, struct mob_view *ret_views, struct mob_error *err)
{
    struct mob_runtime *r;
    uint64_t one, *numbers;
    int rc;

    if ((refs == NULL || ret_views == NULL) && count > 0)
        return mob_error_set(err, MOB_ERR_INVALID, "get of %zu refs: the %s are at NULL", count, refs == NULL ? "refs" : "views");
    if ((r = mob_enter(err)) == NULL)
        return -1;
    numbers = count == 1 ? &one : mob_alloc((count + 1) * sizeof *numbers);
    for (size_t i = 0; i < count; i++)
        numbers[i] = mob_ref_number(refs[i]);
    rc = get_locked(r, numbers, count, timeout_ms, ret_views, err);
    mob_leave(r);
    if (numbers != &one)
        free(numbers);
    return rc;
}

/* A value that is there and small: no clone, no pin. 1: it was; 0: take the long way. */
static int copy_inline(struct mob_runtime *r, uint64_t ref, void *ret_value, size_t size, struct mob_error *err)
{
    struct mob_object_info info;

    if (look_ready(r, ref, &info, err) < 0)
        return -1;
    if (info.state != MOB_OBJECT_INLINE)
        return 0;
    if (info.size != size)
        return mob_error_set(err, MOB_ERR_INVALID, "the value has %zu bytes, not %zu", (size_t)info.size, size);
    if (size > 0)
        memcpy(ret_value, info.data, size);
    return 1;
}

/* A stored value, or one that is not there yet. */
static int get_copy_slowly(struct mob_runtime *r, uint64_t ref, int64_t timeout_ms, void *ret_value, size_t size,
                           struct mob_error *err)
{
    struct mob_view view;
    int rc;

    if (get_locked(r, &ref, 1, timeout_ms, &view, err) < 0)
        return -1;
    mob_runtime_unlock(r);              /* a large copy, and the release takes the lock itself */
    rc = view.size == size ? 0 : mob_error_set(err, MOB_ERR_INVALID, "the value has %zu bytes, not %zu", view.size, size);
    if (rc == 0 && size > 0)
        memcpy(ret_value, view.data, size);
    mob_view_release(&view);
    pthread_mutex_lock(&r->lock);
    return rc;
}

int mob_get_copy(struct mob_ref *ref, int64_t timeout_ms, void *ret_value, size_t size, struct mob_error *err)
{
    struct mob_runtime *r = mob_enter(err);
    int rc;

    if (r == NULL)
        return -1;
    rc = copy_inline(r, mob_ref_number(ref), ret_value, size, err);
    if (rc == 0) {
        rc = get_copy_slowly(r, mob_ref_number(ref), timeout_ms, ret_value, size, err);
        mob_leave(r);
    } else {
        mob_leave_lazily(r);
    }
    return rc < 0 ? -1 : 0;
}

static int peek(struct mob_runtime *r, uint64_t ref, const void **ret_data, size_t *ret_size, struct mob_error *err)
{
    struct mob_object_info info;

    if (mob_owner_look(r->owner, ref, &info, err) < 0)
        return -1;
    if (info.state == MOB_OBJECT_ERROR && err != NULL)
        *err = *info.error;
    if (info.state != MOB_OBJECT_INLINE)
        return info.state == MOB_OBJECT_ERROR ? -1 : 0;
    *ret_data = info.data;
    *ret_size = info.size;
    return 1;
}

int mob_peek(const struct mob_ref *ref, const void **ret_data, size_t *ret_size, struct mob_error *err)
{
    struct mob_runtime *r = mob_enter(err);
    int rc;

    if (r == NULL)
        return -1;
    rc = peek(r, mob_ref_number(ref), ret_data, ret_size, err);
    mob_leave_lazily(r);
    return rc;
}

/* -- wait -------------------------------------------------------------------------------------------------------------------- */

static int wait_locked(struct mob_runtime *r, const uint64_t *refs, size_t count, size_t wanted, int64_t timeout_ms,
                       unsigned char *ret_ready, struct mob_error *err)
{
    int64_t deadline_ns = mob_runtime_deadline(timeout_ms);
    struct mob_object_info info;
    size_t cloned = 0;
    int rc = 0, ready = 0;

    while (cloned < count && (rc = mob_owner_clone(r->owner, refs[cloned], err)) == 0)
        cloned++;
    if (rc == 0 && !mob_wait_refs(r, refs, count, wanted, deadline_ns) && (r->state != MOB_RUNTIME_UP || r->cancelled))
        rc = mob_wait_ended(r, "", err);
    for (size_t i = 0; rc == 0 && i < count; i++) {
        mob_owner_look(r->owner, refs[i], &info, NULL);
        ready += info.state != MOB_OBJECT_PENDING;
        if (ret_ready != NULL)
            ret_ready[i] = info.state != MOB_OBJECT_PENDING;
    }
    while (cloned > 0)
        mob_owner_drop(r->owner, refs[--cloned], NULL);
    return rc < 0 ? -1 : ready;
}

int mob_wait(struct mob_ref *const *refs, size_t count, size_t wanted, int64_t timeout_ms, unsigned char *ret_ready,
             struct mob_error *err)
{
    struct mob_runtime *r;
    uint64_t *numbers;
    int rc;

    if (wanted > count)
        return mob_error_set(err, MOB_ERR_INVALID, "mob_wait() for %zu of %zu refs", wanted, count);
    if (refs == NULL && count > 0)
        return mob_error_set(err, MOB_ERR_INVALID, "mob_wait() for %zu refs at NULL", count);
    if ((r = mob_enter(err)) == NULL)
        return -1;
    numbers = mob_alloc((count + 1) * sizeof *numbers);
    for (size_t i = 0; i < count; i++)
        numbers[i] = mob_ref_number(refs[i]);
    rc = wait_locked(r, numbers, count, wanted, timeout_ms, ret_ready, err);
    mob_leave(r);
    free(numbers);
    return rc;
}
