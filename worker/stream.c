/* SPDX-License-Identifier: Apache-2.0 */
/* stream.c -- the items of a task of ours that yields them, from the submit to the last one that is read.
 *
 *   OPEN --> ENDED --> OVER
 *     '----> LEFT ------^
 *
 *   OPEN      the task is under way. Items come in turn, and wait to be read; a retry goes on after those that came. For ever: its task
 *             always ends.
 *   ENDED     the answer came, so no item does; those that came may be read. If the end is an error, it is the last one that is read
 *   LEFT      nobody reads (the stream was closed): the items were dropped, and the worker is told to send none. Its task runs on
 *   OVER      both
 *
 * An item that lay in a store and is lost is pending again, as any result (lineage.c), and its task's once more: it is made by the next
 * attempt, which is told to leave out the items before the first such one; of what comes after it only those are taken that are
 * missing. When the last one has come, it may leave out the rest, unless the stream is OPEN. In a stream that is not under way that is a
 * new run; in one that is, and has passed the item, the running attempt is stopped where it yields and the next one begins: it may wait for
 * a reader who waits for that item. So a run for what was lost never waits for who reads, and the end stays what it was.
 *
 * Whoever wants to wait for the next item gets a ref to it before it comes (peek): an object like any other, which becomes that item, or an
 * error if there is none.
 *
 * What a worker may send ahead is bounded. It is told how many items it may have sent in all: AHEAD more than have come, and, if the reader
 * gave a bound, that many more than were read. Without one, nothing more is allowed while UNREAD_BYTES wait to be read; unless somebody
 * waits for the end, who might be the reader. In a ring the number stands beside the claimed task (common/channel.h), to another node it
 * goes as Allow. It rises in steps, so that the ring's line does not travel for each item.
 */
#include "worker/stream.h"

#include <assert.h>
#include <stdlib.h>

#include "mobula.h"
#include "worker/core.h"

#define UNREAD_BYTES (UINT64_C(64) << 20)
#define ITEM_BYTES 256u                 /* of an unread one, besides its value */
#define STEPS 8u

enum stream_state { STREAM_OPEN, STREAM_ENDED, STREAM_LEFT, STREAM_OVER, STREAM_STATES };

static const uint32_t moves[STREAM_STATES] = {
    [STREAM_OPEN] = MOB_TO(STREAM_ENDED) | MOB_TO(STREAM_LEFT),
    [STREAM_ENDED] = MOB_TO(STREAM_OVER),
    [STREAM_LEFT] = MOB_TO(STREAM_OVER),
    [STREAM_OVER] = 0,
};

struct stream {
    uint8_t state;                      /* enum stream_state */
    bool failed;                        /* ENDED: the end is an error, and was not read yet */
    bool raised, eager, stopped;        /* facts: the end's value is one; somebody waits for the end; the task is cancelled */
    bool restarts;                      /* the running attempt is ended for what was lost */
    bool skips;                         /* ... was told that nobody reads: where it is, is not known */
    uint32_t came, read;                /* so many items did */
    uint32_t at;                        /* the running attempt has sent, or left out, so many */
    uint32_t lost_last;                 /* the last of the items that are lost is of this index, at most */
    uint32_t allowed;                   /* the running attempt may have sent so many in all */
    uint32_t unread_max;                /* 0: UNREAD_BYTES */
    uint64_t unread_bytes;
    struct object *next;                /* the one that comes next, if somebody waits for it: pending, pinned */
    struct mob_map items;               /* return -> object that lives */
};

static void stream_goto(struct stream *s, enum stream_state to)
{
    assert((moves[s->state] & MOB_TO(to)) != 0);
    s->state = (uint8_t)to;
}

void mob_owner_stream_create(struct object *end, uint32_t unread_max)
{
    struct stream *s = mob_new(struct stream);

    s->unread_max = unread_max;
    end->streams = true;
    end->stream = s;                    /* its one ref is the reader's, until close */
}

void mob_owner_stream_free(struct stream *s)
{
    mob_map_fini(&s->items);
    free(s);
}

struct object *mob_owner_stream_item(const struct object *end, uint32_t index)
{
    return mob_map_get(&end->stream->items, index);
}

uint32_t mob_owner_stream_unread(const struct object *end)
{
    return end->stream->came - end->stream->read;
}

void mob_owner_stream_forget(struct object *end, uint32_t index)
{
    mob_map_remove(&end->stream->items, index);
}

static struct object *item_create(struct mob_owner *o, struct object *end, uint32_t index)
{
    struct object *b = mob_owner_object_create(o, NULL);

    b->index = index;
    b->task = end->task;
    b->made = true;
    end->pins++;                        /* it has our name */
    mob_map_set(&end->stream->items, index, b);
    return b;
}

static void unref(struct mob_owner *o, struct object *b)
{
    b->refs--;
    mob_owner_object_release(o, b);
}

/* -- how many may come ------------------------------------------------------------------------------------------------------- */

static uint32_t earlier(uint64_t a, uint64_t b)
{
    uint64_t n = a < b ? a : b;

    return n < MOB_STREAM_ITEMS_MAX ? (uint32_t)n : MOB_STREAM_ITEMS_MAX;
}

static uint32_t allow(const struct stream *s)
{
    uint64_t ahead = (uint64_t)s->at + MOB_STREAM_AHEAD, unread = (uint64_t)s->read + s->unread_max;

    if (s->stopped || s->restarts)
        return MOB_STREAM_STOP;
    if (s->state != STREAM_OPEN)
        return s->lost_last > s->at ? earlier(ahead, s->lost_last) : MOB_STREAM_UNREAD;
    if (s->unread_max > 0)              /* a later attempt may find more unread than that: none was lost */
        return earlier(ahead, unread < s->came ? s->came : unread);
    return earlier(ahead, s->unread_bytes < UNREAD_BYTES || s->eager ? MOB_STREAM_ITEMS_MAX : s->came);
}

/* Is it worth saying? What is made again comes to an end at any number: then its last ones are. */
static bool is_step(const struct stream *s, uint32_t now)
{
    uint32_t step = (s->unread_max > 0 && s->unread_max < MOB_STREAM_AHEAD ? s->unread_max : MOB_STREAM_AHEAD) / STEPS;
    bool again = s->state != STREAM_OPEN || s->at < s->came;

    if (s->allowed == MOB_STREAM_STOP || now == MOB_STREAM_STOP)
        return s->allowed != now && s->allowed != MOB_STREAM_STOP;
    return now > s->allowed && (now - s->allowed >= step || (again && s->allowed - s->at < step));
}

static void allow_more(struct mob_owner *o, struct task *t, struct stream *s)
{
    uint32_t now = allow(s);

    if (t == NULL || t->state != TASK_PUSHED || !is_step(s, now))
        return;
    s->allowed = now;
    s->skips |= now == MOB_STREAM_UNREAD;
    if (t->lease->channel != NULL)
        mob_owner_channel_allow(o, t->lease->channel, t->sequence, now);
    else
        mob_owner_remote_allow(o, t->lease, t, now);
}

/* The first that is lost, or else what has not come; *ret_last: the last that is lost. */
static uint32_t first_due(const struct object *end, uint32_t *ret_last)
{
    const struct stream *s = end->stream;
    uint32_t first = s->came + 1;
    const struct object *b;
    uint64_t index;

    *ret_last = 0;
    for (size_t at = 0; (b = mob_map_next(&s->items, &at, &index)) != NULL;) {
        if (index > s->came || !object_is_unmade(b))
            continue;
        first = index < first ? (uint32_t)index : first;
        *ret_last = index > *ret_last ? (uint32_t)index : *ret_last;
    }
    return first;
}

void mob_owner_stream_push(const struct mob_owner *o, const struct task *t, uint32_t *ret_had, uint32_t *ret_first)
{
    const struct object *end = mob_owner_task_return(o, t, 0);
    struct stream *s = end->stream;
    uint32_t now;

    s->at = *ret_had = first_due(end, &s->lost_last) - 1;
    s->raised = s->restarts = s->skips = false;
    now = allow(s);
    *ret_first = now <= MOB_STREAM_ITEMS_MAX ? now - s->at : 0;
    s->allowed = s->at + *ret_first;
}

void mob_owner_stream_pushed(struct mob_owner *o, struct task *t)
{
    allow_more(o, t, mob_owner_task_return(o, t, 0)->stream);
}

void mob_owner_stream_stop(struct mob_owner *o, struct task *t)
{
    struct stream *s = mob_owner_task_return(o, t, 0)->stream;

    s->stopped = true;
    allow_more(o, t, s);
}

void mob_owner_stream_want_end(struct mob_owner *o, struct object *end)
{
    end->stream->eager = true;
    allow_more(o, end->maker, end->stream);
}

/* -- items come -------------------------------------------------------------------------------------------------------------- */

/* The object that item `s->at` is to be; NULL: none. */
static struct object *next_of(struct mob_owner *o, struct object *end)
{
    struct stream *s = end->stream;
    struct object *b = mob_map_get(&s->items, s->at + 1);

    if (s->state == STREAM_OPEN && s->at == s->came) {
        s->came++;
        s->unread_bytes += ITEM_BYTES;
        s->next = NULL;
        return b != NULL ? b : item_create(o, end, s->came);
    }
    return b != NULL && object_is_unmade(b) ? b : NULL;
}

bool mob_owner_stream_come(struct mob_owner *o, struct task *t, uint32_t item, struct object **ret)
{
    struct object *end = mob_owner_task_return(o, t, 0), *b;
    struct stream *s = end->stream;

    if (item < s->at || (item > s->at && !s->skips) || item >= MOB_STREAM_ITEMS_MAX)
        return false;
    s->at = item;
    *ret = b = next_of(o, end);
    s->at++;
    if (b != NULL) {
        b->pins += b->maker == NULL;    /* as one that was waited for is */
        b->maker = NULL;
    }
    return true;
}

static uint64_t weight(const struct object *item)
{
    return ITEM_BYTES + (item->state == MOB_OBJECT_INLINE && !item->borrowed ? item->size : 0);
}

void mob_owner_stream_came(struct mob_owner *o, struct task *t, struct object *item)
{
    struct stream *s = mob_owner_task_return(o, t, 0)->stream;

    if (item->index > s->read)
        s->unread_bytes += weight(item) - ITEM_BYTES;
    allow_more(o, t, s);
    object_unpin(o, item);
}

bool mob_owner_stream_may_come(const struct object *end, uint32_t index)
{
    return end->stream->state == STREAM_OPEN && index > end->stream->came;
}

uint32_t mob_owner_stream_untold(const struct mob_owner *o, const struct task *t, uint32_t *ret_first)
{
    const struct stream *s = mob_owner_task_return(o, t, 0)->stream;
    uint32_t sent = s->allowed <= MOB_STREAM_ITEMS_MAX ? s->allowed : s->at + MOB_STREAM_AHEAD;

    *ret_first = s->at + 1;
    return sent > s->at ? sent - s->at : 1;
}

/* -- what was lost ----------------------------------------------------------------------------------------------------------- */

bool mob_owner_stream_passed(const struct mob_owner *o, const struct object *item)
{
    const struct object *end = item->index > 0 ? mob_owner_object_at(o, item->task) : NULL;
    const struct stream *s = end != NULL && end->streams ? end->stream : NULL;

    return s != NULL && item->index <= s->came && end->maker != NULL && end->maker->state == TASK_PUSHED
        && (item->index <= s->at || s->skips || s->restarts || s->stopped);
}

void mob_owner_stream_lose(struct mob_owner *o, struct task *t, struct object *item)
{
    struct stream *s = mob_owner_task_return(o, t, 0)->stream;

    if (item->index > s->lost_last)
        s->lost_last = item->index;
    item->maker = t;
    item->pins++;
}

/* After it was unset. */
void mob_owner_stream_lost(struct mob_owner *o, struct task *t)
{
    allow_more(o, t, mob_owner_task_return(o, t, 0)->stream);
}

void mob_owner_stream_restart(struct mob_owner *o, struct task *t)
{
    struct stream *s = mob_owner_task_return(o, t, 0)->stream;

    s->restarts = true;
    allow_more(o, t, s);
}

bool mob_owner_stream_restarts(const struct mob_owner *o, const struct task *t)
{
    return mob_owner_task_return(o, t, 0)->stream->restarts;
}

void mob_owner_stream_each(const struct mob_owner *o, const struct task *t, mob_owner_note *note, void *arg)
{
    const struct stream *s = mob_owner_task_return(o, t, 0)->stream;
    uint64_t *numbers = mob_alloc((s->items.count + 1) * sizeof *numbers), index;
    size_t count = 0;
    const struct object *b;

    for (size_t at = 0; (b = mob_map_next(&s->items, &at, &index)) != NULL;)
        if (index <= s->came)
            numbers[count++] = object_number(b);
    for (size_t i = 0; i < count; i++)
        if (mob_owner_object_at(o, numbers[i]) != NULL)
            note(arg, numbers[i]);
    free(numbers);
}

static void unpin_unmade(void *owner, uint64_t number)
{
    struct mob_owner *o = owner;
    struct object *b = mob_owner_object_at(o, number);

    if (object_is_unmade(b))
        object_unpin(o, b);
}

void mob_owner_stream_unpin(struct mob_owner *o, const struct task *t)
{
    mob_owner_stream_each(o, t, unpin_unmade, o);
}

struct failing {
    struct mob_owner *o;
    struct fault *f;
    uint32_t after;
};

static void fail_item(void *failing, uint64_t number)
{
    struct failing *w = failing;
    struct object *b = mob_owner_object_at(w->o, number);

    if (!object_is_unmade(b) || b->index <= w->after)
        return;
    b->maker = NULL;
    mob_owner_object_set_fault(w->o, b, w->f);
    object_unpin(w->o, b);
}

void mob_owner_stream_fail(struct mob_owner *o, const struct task *t, struct fault *f)
{
    struct failing w = { o, f, 0 };

    mob_owner_stream_each(o, t, fail_item, &w);
}

/* The run did not come to what it was to make again. */
static void not_yielded(struct mob_owner *o, const struct task *t, const struct stream *s)
{
    struct failing w = { .o = o, .after = s->at };
    struct mob_error e = { 0 };

    if (s->lost_last <= s->at || s->skips)
        return;
    mob_error_set(&e, MOB_ERR_OBJECT_LOST, "an item that '%s' had yielded is lost, and cannot be made again: when it ran again, it "
                  "yielded %u", t->kind->text, s->at);
    e.user_code = MOB_LOST_STREAM;
    w.f = mob_owner_fault(o, &e);
    mob_owner_stream_each(o, t, fail_item, &w);
    mob_owner_fault_drop(w.f);
}

/* -- the end ----------------------------------------------------------------------------------------------------------------- */

/* Who waits for the next item waits in vain. */
static void no_next(struct mob_owner *o, struct stream *s, const struct object *end, const char *why)
{
    struct object *b = s->next;
    struct mob_error e = { 0 };
    struct fault *f;

    if (b == NULL)
        return;
    s->next = NULL;
    if (end->state == MOB_OBJECT_ERROR) {
        f = end->fault;
        f->uses++;
    } else {
        mob_error_set(&e, MOB_ERR_INVALID, "%s; %u items came, and this is the one after", why, s->came);
        f = mob_owner_fault(o, &e);
    }
    b->maker = NULL;
    mob_owner_object_set_fault(o, b, f);
    mob_owner_fault_drop(f);
    b->pins--;
    unref(o, b);
}

void mob_owner_stream_raised(struct mob_owner *o, struct task *t)
{
    mob_owner_task_return(o, t, 0)->stream->raised = true;
}

void mob_owner_stream_end(struct mob_owner *o, struct task *t, struct object *end)
{
    struct stream *s = end->stream;

    not_yielded(o, t, s);
    if (s->state == STREAM_LEFT)
        stream_goto(s, STREAM_OVER);
    if (s->state != STREAM_OPEN)
        return;                         /* it ran for what was lost: the end stays what it was */
    s->failed = s->raised || end->state == MOB_OBJECT_ERROR;
    stream_goto(s, STREAM_ENDED);
    no_next(o, s, end, "the stream has ended");
}

/* -- the reader -------------------------------------------------------------------------------------------------------------- */

static struct object *end_of(struct mob_owner *o, uint64_t stream, struct mob_error *err)
{
    struct object *end = mob_owner_object_at(o, stream);

    if (end != NULL && end->streams && end->refs > 0 && (end->stream->state == STREAM_OPEN || end->stream->state == STREAM_ENDED))
        return end;
    mob_error_set(err, MOB_ERR_INVALID, "stream %u.%u was closed before, or never given out by this process", (uint32_t)stream,
                  (uint32_t)(stream >> 32));
    return NULL;
}

static uint64_t ref_of(struct object *b)
{
    b->refs++;
    return object_number(b);
}

uint64_t mob_owner_stream_end_ref(struct mob_owner *o, uint64_t stream, struct mob_error *err)
{
    struct object *end = end_of(o, stream, err);

    return end != NULL ? ref_of(end) : 0;
}

uint64_t mob_owner_stream_peek(struct mob_owner *o, uint64_t stream, struct mob_error *err)
{
    struct object *end = end_of(o, stream, err);
    struct stream *s;

    if (end == NULL)
        return 0;
    s = end->stream;
    if (s->read < s->came)
        return ref_of(mob_map_get(&s->items, s->read + 1));
    if (s->state == STREAM_ENDED)
        return ref_of(end);
    if (s->next == NULL) {
        s->next = item_create(o, end, s->came + 1);
        s->next->maker = end->maker;
        s->next->pins++;
    }
    return ref_of(s->next);
}

int mob_owner_stream_take(struct mob_owner *o, uint64_t stream, uint64_t *ret_ref, struct mob_error *err)
{
    struct object *end = end_of(o, stream, err), *b;
    struct stream *s;

    if (end == NULL)
        return -1;
    s = end->stream;
    *ret_ref = 0;
    if (s->read < s->came) {
        b = mob_map_get(&s->items, s->read + 1);
        if (b->state == MOB_OBJECT_PENDING)
            return 1;                   /* another object's value: it comes */
        s->read++;
        s->unread_bytes = s->read == s->came || weight(b) > s->unread_bytes ? 0 : s->unread_bytes - weight(b);
        allow_more(o, end->maker, s);
        *ret_ref = object_number(b);    /* our ref is the reader's now */
        return 1;
    }
    if (s->state == STREAM_OPEN)
        return 1;
    if (!s->failed)
        return 0;
    s->failed = false;
    *ret_ref = ref_of(end);
    return 1;
}

int mob_owner_stream_is_over(struct mob_owner *o, uint64_t stream, struct mob_error *err)
{
    const struct object *end = end_of(o, stream, err);

    if (end == NULL)
        return -1;
    return end->stream->state == STREAM_ENDED && end->stream->read == end->stream->came && !end->stream->failed;
}

int mob_owner_stream_close(struct mob_owner *o, uint64_t stream, struct mob_error *err)
{
    struct object *end = end_of(o, stream, err);
    struct stream *s;

    if (end == NULL)
        return -1;
    s = end->stream;
    stream_goto(s, s->state == STREAM_OPEN ? STREAM_LEFT : STREAM_OVER);
    no_next(o, s, end, "the stream was closed");
    s->failed = false;
    s->unread_bytes = 0;
    while (s->read < s->came)
        unref(o, mob_map_get(&s->items, ++s->read));
    allow_more(o, end->maker, s);
    unref(o, end);
    mob_owner_objects_tell(o);
    return 0;
}

void mob_owner_stream_check(const struct object *end)
{
    const struct stream *s = end->stream;
    bool open = s->state == STREAM_OPEN || s->state == STREAM_ENDED, running = s->state == STREAM_OPEN || s->state == STREAM_LEFT;
    const struct task *t = end->maker;
    const struct object *b;
    uint64_t index;

    assert(s->read <= s->came);
    assert(!running || (t != NULL && t->state != TASK_KEPT));
    for (size_t at = 0; (b = mob_map_next(&s->items, &at, &index)) != NULL;)
        assert(b->maker == NULL || (b->maker == t && (t->state == TASK_KEPT || (object_is_unmade(b) && b->pins > 0))));
    assert(open ? end->refs > 0 : s->read == s->came && s->unread_bytes == 0);
    assert(s->next == NULL || (s->state == STREAM_OPEN && s->read == s->came && s->next->state == MOB_OBJECT_PENDING
                               && s->next->pins > 0 && s->next->index == s->came + 1));
    for (uint32_t i = s->read + 1; i <= s->came && i < s->read + 100; i++)
        assert(mob_map_get(&s->items, i) != NULL);
}
