/* SPDX-License-Identifier: Apache-2.0 */
/* waitset.c -- like epoll for refs: the core calls back once for each ref that became ready; what is ready stands in a list.
 *
 *   add --pending--> WAITING --ready()--> READY --next--> the caller's
 *    '---ready already-----------------------^
 *
 * The eventfd is readable exactly while the ready list is not empty. */
#include <errno.h>
#include <stdlib.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "worker/value.h"

struct entry {
    struct mob_waiter waiter;
    struct mob_link link;               /* in waiting or ready */
    struct mob_waitset *set;
    uint64_t ref;
    void *user;
};

struct mob_waitset {
    uint64_t era;
    struct mob_runtime *r;
    int fd;
    struct mob_link waiting, ready;
    struct mob_wait *next;              /* a thread in mob_waitset_next() */
};

static void entry_ready(struct entry *e)
{
    struct mob_waitset *w = e->set;
    const uint64_t one = 1;

    if (mob_list_empty(&w->ready))
        while (write(w->fd, &one, sizeof one) < 0 && errno == EINTR)
            ;
    mob_list_remove(&e->link);
    mob_list_append(&w->ready, &e->link);
    if (w->next != NULL)
        mob_wait_done(w->r, w->next);
}

static void on_ready(struct mob_waiter *waiter)
{
    entry_ready(MOB_CONTAINER(waiter, struct entry, waiter));
}

struct mob_waitset *mob_waitset_create(struct mob_error *err)
{
    struct mob_runtime *r = mob_enter(err);
    struct mob_waitset *w;
    int fd, high;

    if (r == NULL)
        return NULL;
    fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    if (fd < 0 || (high = mob_socket_high_fd(fd)) < 0) {
        mob_error_errno(err, "cannot make an eventfd for the waitset");
        if (fd >= 0)
            close(fd);
        mob_leave(r);
        return NULL;
    }
    w = mob_new(struct mob_waitset);
    w->r = r;
    w->era = r->era;
    w->fd = high;
    mob_list_init(&w->waiting);
    mob_list_init(&w->ready);
    mob_leave(r);
    return w;
}

static int check_era(const struct mob_runtime *r, const struct mob_waitset *w, struct mob_error *err)
{
    if (w == NULL)
        return mob_error_set(err, MOB_ERR_INVALID, "the waitset is NULL; mob_waitset_create() makes one, or says why it cannot");
    return w->era == r->era ? 0 : mob_error_set(err, MOB_ERR_INVALID, "the waitset is of before mob_shutdown()");
}

int mob_waitset_add(struct mob_waitset *w, struct mob_ref *ref, void *user, struct mob_error *err)
{
    struct mob_runtime *r = mob_enter(err);
    struct entry *e;
    int rc;

    if (r == NULL)
        return -1;
    rc = check_era(r, w, err);
    if (rc == 0 && (rc = mob_owner_clone(r->owner, mob_ref_number(ref), err)) == 0) {
        e = mob_new(struct entry);
        e->set = w;
        e->ref = mob_ref_number(ref);
        e->user = user;
        e->waiter.ready = on_ready;
        mob_list_init(&e->waiter.link);
        mob_list_append(&w->waiting, &e->link);
        if (!mob_owner_wait(r->owner, e->ref, &e->waiter))
            entry_ready(e);
    }
    mob_leave(r);
    return rc;
}

static void take_first(struct mob_waitset *w, struct mob_ref **ret_ref, void **ret_user)
{
    struct entry *e = mob_list_first(&w->ready, struct entry, link);
    uint64_t count;

    mob_list_remove(&e->link);
    if (mob_list_empty(&w->ready))
        while (read(w->fd, &count, sizeof count) < 0 && errno == EINTR)
            ;
    *ret_ref = mob_ref_of(e->ref);
    if (ret_user != NULL)
        *ret_user = e->user;
    free(e);
}

static int next_locked(struct mob_runtime *r, struct mob_waitset *w, int64_t timeout_ms, struct mob_ref **ret_ref,
                       void **ret_user, struct mob_error *err)
{
    int64_t deadline_ns = mob_runtime_deadline(timeout_ms);
    bool in_time = true;

    while (mob_list_empty(&w->ready)) {
        struct mob_wait wait;

        if (mob_list_empty(&w->waiting))
            return 0;
        if (w->next != NULL)
            return mob_error_set(err, MOB_ERR_INVALID, "another thread is in mob_waitset_next() of this set");
        if (!in_time)
            return mob_wait_ended(r, "no ref of the set became ready in time", err);
        mob_wait_init(&wait);
        wait.heeds = true;
        w->next = &wait;
        in_time = mob_wait_until(r, &wait, deadline_ns);
        w->next = NULL;
        if (r->state == MOB_RUNTIME_ENDING)
            return mob_error_set(err, MOB_ERR_INVALID, "mob_shutdown() was called meanwhile");
    }
    take_first(w, ret_ref, ret_user);
    return 1;
}

int mob_waitset_next(struct mob_waitset *w, int64_t timeout_ms, struct mob_ref **ret_ref, void **ret_user, struct mob_error *err)
{
    struct mob_runtime *r = mob_enter(err);
    int rc;

    if (r == NULL)
        return -1;
    rc = check_era(r, w, err);
    if (rc == 0)
        rc = next_locked(r, w, timeout_ms, ret_ref, ret_user, err);
    mob_leave(r);
    return rc;
}

int mob_waitset_fd(const struct mob_waitset *w)
{
    return w != NULL ? w->fd : -1;
}

static void free_entries(struct mob_runtime *r, struct mob_link *list, bool waiting)
{
    struct entry *e;

    mob_list_each(e, list, struct entry, link) {
        if (r != NULL && waiting)
            mob_owner_wait_cancel(r->owner, &e->waiter);
        if (r != NULL)
            mob_owner_drop(r->owner, e->ref, NULL);
        free(e);
    }
}

void mob_waitset_destroy(struct mob_waitset *w)
{
    struct mob_runtime *r;
    bool same;

    if (w == NULL)
        return;
    r = mob_enter_any();
    same = r != NULL && r->era == w->era;
    free_entries(same ? r : NULL, &w->waiting, true);
    free_entries(same ? r : NULL, &w->ready, false);
    if (r != NULL)
        mob_leave(r);
    close(w->fd);
    free(w);
}
