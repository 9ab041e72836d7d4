/* SPDX-License-Identifier: Apache-2.0 */
/* scenes_streams.c -- tasks whose items are read while they run; their tasks are here, too. */
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tasks.h"

#define LARGE 500000u
#define MANY 20000u

/* What the task yields, and what it does after the item `at`. */
struct order {
    enum { END, FAIL, CRASH_ONCE, AWAIT, ENDLESS } then;
    uint32_t count, size, at;
    bool buffers;
    char folder[128];
};

/* -- tasks ------------------------------------------------------------------------------------------------------------------- */

static int yield_one(struct mob_task *t, const struct order *o, uint32_t i, struct mob_error *err)
{
    static unsigned char bytes[LARGE];
    struct mob_buffer *b;

    if (!o->buffers) {
        fill_pattern(bytes, o->size, i);
        return mob_yield(t, MOB_BYTES(bytes, o->size), err);
    }
    if ((b = mob_create(o->size, err)) == NULL)
        return -1;
    fill_pattern(mob_buffer_data(b), o->size, i);
    return mob_yield_buffer(t, b, err);
}

static int produce(struct mob_task *t, struct mob_error *err)
{
    struct mob_task_self self = { .size = sizeof self };
    struct order o;

    if (mob_arg_copy(t, 0, &o, sizeof o, err) < 0 || mob_task_self(t, &self, err) < 0)
        return -1;
    for (uint32_t i = 0; i < o.count || o.then == ENDLESS; i++) {
        if (i == o.at && o.then == CRASH_ONCE && self.attempt == 0)
            raise(SIGKILL);
        if (i == o.at && o.then == FAIL)
            return mob_fail(err, 77, "after %u items", i);
        if (i == o.at && o.then == AWAIT)
            await_file(o.folder, "read", "");
        if (yield_one(t, &o, i, err) < 0)
            return -1;
        if (o.folder[0] != '\0')
            append_line(o.folder, "yielded", "");
    }
    if (o.folder[0] != '\0')
        make_file(o.folder, "ended", "");
    return mob_return(t, 0, MOB_BYTES(&o.count, sizeof o.count), err);
}
MOB_TASK(produce)

/* Three items: bytes that carry a reference, an object as it is, and what another task will make. */
static int produce_refs(struct mob_task *t, struct mob_error *err)
{
    uint64_t seven = 7;
    struct mob_ref *put = mob_put(&seven, sizeof seven, err), *later = call_u64("sum", 8);

    if (put == NULL || mob_yield(t, MOB_BYTES_REFS("x", 1, &put, 1), err) < 0 || mob_yield(t, MOB_REF(put), err) < 0
        || mob_yield(t, MOB_REF(later), err) < 0)
        return -1;
    mob_ref_drop(put);
    mob_ref_drop(later);
    return 0;
}
MOB_TASK(produce_refs)

static struct mob_items *start(const char *function, const struct order *o, uint32_t unread_max, int32_t retries)
{
    struct mob_options options = { .size = sizeof options, .unread_max = unread_max, .max_retries = retries };
    struct mob_error err;
    struct mob_fn *fn = mob_fn(function, &options, &err);
    struct mob_items *items = fn != NULL ? mob_call_items(fn, &MOB_BYTES(o, sizeof *o), 1, &err) : NULL;

    if (items == NULL)
        fail_at(__FILE__, __LINE__, function, &err);
    mob_fn_destroy(fn);
    return items;
}

static struct mob_ref *next(struct mob_items *items)
{
    struct mob_ref *ref = NULL;
    struct mob_error err;

    if (mob_items_next(items, MOB_FOREVER, &ref, &err) != 1)
        fail_at(__FILE__, __LINE__, "no item", &err);
    return ref;
}

static void no_more(struct mob_items *items)
{
    struct mob_ref *ref = NULL;
    struct mob_error err;

    CHECK(mob_items_next(items, MOB_FOREVER, &ref, &err) == 0 && ref == NULL);
    mob_items_close(items);
}

static void take(struct mob_items *items, uint32_t i, uint32_t size)
{
    static unsigned char wanted[LARGE];
    struct mob_ref *ref = next(items);
    struct mob_view view;
    struct mob_error err;

    CHECK_OK(mob_get(ref, MOB_FOREVER, &view, &err), &err);
    fill_pattern(wanted, size, i);
    CHECK(view.size == size && memcmp(view.data, wanted, size) == 0);
    mob_view_release(&view);
    mob_ref_drop(ref);
}

/* -- scenes ------------------------------------------------------------------------------------------------------------------ */

/* All of each size come, in turn; those read last, too, though their task is over. */
static void all_come(void)
{
    static const struct order orders[] = {
        { .count = 0, .size = 8 }, { .count = MANY, .size = 8 }, { .count = 300, .size = 90000 }, { .count = 30, .size = LARGE },
        { .count = 30, .size = LARGE, .buffers = true }, { .count = 300, .size = 5000, .buffers = true },
    };
    struct mob_error err;
    uint32_t count;

    for (size_t k = 0; k < sizeof orders / sizeof orders[0]; k++) {
        for (int wait_first = 0; wait_first < 2; wait_first++) {
            struct mob_items *items = start("produce", &orders[k], 0, 0);
            struct mob_ref *end = mob_items_end(items, &err);

            if (wait_first)
                CHECK_OK(mob_get_copy(end, MOB_FOREVER, &count, sizeof count, &err), &err);
            for (uint32_t i = 0; i < orders[k].count; i++)
                take(items, i, orders[k].size);
            no_more(items);
            CHECK_OK(mob_get_copy(end, MOB_FOREVER, &count, sizeof count, &err), &err);
            CHECK(count == orders[k].count);
            mob_ref_drop(end);
        }
    }
}

static void refs_come(void)
{
    const struct order none = { 0 };
    struct mob_items *items = start("produce_refs", &none, 0, 0);
    struct mob_ref *carrier = next(items), *inner;
    struct mob_view view;
    struct mob_error err;

    CHECK_OK(mob_get(carrier, MOB_FOREVER, &view, &err), &err);
    CHECK(view.ref_count == 1 && (inner = mob_view_ref(&view, 0, &err)) != NULL);
    mob_view_release(&view);
    mob_ref_drop(carrier);
    CHECK(take_u64(inner) == 7);
    CHECK(take_u64(next(items)) == 7);
    CHECK(take_u64(next(items)) == 8);
    no_more(items);
}

static void errors_come_last(void)
{
    const struct order fails = { .then = FAIL, .count = 9, .size = 8, .at = 3 };
    struct mob_items *items = start("produce", &fails, 0, 0);
    struct mob_ref *last;
    struct mob_error err;

    for (uint32_t i = 0; i < 3; i++)
        take(items, i, 8);
    last = next(items);
    refused(last, &err);
    CHECK(err.code == MOB_ERR_TASK && err.user_code == 77);
    mob_ref_drop(last);
    no_more(items);
    refused(last = call("produce", &MOB_BYTES(&fails, sizeof fails), 1), &err);        /* which is no stream then */
    CHECK(err.code == MOB_ERR_INVALID && strstr(err.text, "mob_call_items") != NULL);
    mob_ref_drop(last);
}

/* A dead worker's task goes on where its items ended. */
static void deaths_are_not_seen(void)
{
    for (uint32_t size = 8; size <= LARGE; size += LARGE - 8) {
        const struct order o = { .then = CRASH_ONCE, .count = 12, .size = size, .at = 7 };
        struct mob_items *items = start("produce", &o, 0, 3);

        for (uint32_t i = 0; i < o.count; i++)
            take(items, i, size);
        no_more(items);
    }
    const struct order o = { .then = CRASH_ONCE, .count = 12, .size = LARGE, .at = 7 };
    struct mob_items *items = start("produce", &o, 0, MOB_NO_RETRY);
    struct mob_ref *last;
    struct mob_error err;

    for (uint32_t i = 0; i < o.at; i++)
        take(items, i, LARGE);
    refused(last = next(items), &err);
    CHECK(err.code == MOB_ERR_WORKER_CRASHED);
    mob_ref_drop(last);
    no_more(items);
}

static int streams(char **words)
{
    (void)words;
    all_come();
    refs_come();
    errors_come_last();
    deaths_are_not_seen();
    return 0;
}

/* stream-live FOLDER: an item is read before the next is made; a bound holds the task until one is read; a cancel ends it as it waits for
 * that; a reader may leave. */
static int stream_live(char **words)
{
    struct order o = { .then = AWAIT, .count = 2, .size = 8, .at = 1 };
    struct mob_items *items;
    struct mob_ref *ahead, *end;
    struct mob_error err;
    unsigned char ready;

    snprintf(o.folder, sizeof o.folder, "%s", words[0]);
    items = start("produce", &o, 0, 0);
    take(items, 0, 8);
    ahead = mob_items_peek(items, &err);
    CHECK(mob_items_next(items, 0, &end, &err) < 0 && err.code == MOB_ERR_TIMEOUT);
    CHECK(mob_wait(&ahead, 1, 1, 0, &ready, &err) == 0);
    make_file(words[0], "read", "");
    CHECK(mob_wait(&ahead, 1, 1, MOB_FOREVER, &ready, &err) == 1 && ready);
    mob_ref_drop(ahead);
    take(items, 1, 8);
    no_more(items);
    await_file(words[0], "ended", "");

    o = (struct order){ .then = ENDLESS, .size = 8 };
    snprintf(o.folder, sizeof o.folder, "%s/bound", words[0]);
    items = start("produce", &o, 3, 0);
    take(items, 0, 8);
    take(items, 1, 8);
    end = mob_items_end(items, &err);
    while (count_lines(o.folder, "yielded") < 4)        /* the fifth is sent, and its yield waits for the third to be read */
        pause_ms(1);
    ahead = mob_items_peek(items, &err);
    CHECK(mob_wait(&end, 1, 1, 50, &ready, &err) == 0 && count_lines(o.folder, "yielded") == 4);
    mob_ref_drop(ahead);
    CHECK_OK(mob_cancel(end, 0, &err), &err);
    for (uint32_t i = 2; i < 5; i++)
        take(items, i, 8);
    refused(end, &err);
    CHECK(err.code == MOB_ERR_CANCELLED);
    mob_ref_drop(end);
    mob_items_close(items);                             /* with the error unread */

    o = (struct order){ .count = 3000, .size = 100000 };
    snprintf(o.folder, sizeof o.folder, "%s/left", words[0]);
    items = start("produce", &o, 0, 0);
    take(items, 0, 100000);
    mob_items_close(items);
    await_file(o.folder, "ended", "");
    return 0;
}

const struct scene scenes_streams[] = {
    { "streams", "", streams },
    { "stream-live", "FOLDER", stream_live },
    { 0 },
};
