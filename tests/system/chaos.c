/* SPDX-License-Identifier: Apache-2.0 */
/* chaos.c FOLDER SEED PATIENCE -- the driver of the chaos run (chaos.sh): trees of nested tasks, some in flight at any time, each of a value
 * that is known beforehand, while somebody kills, freezes and cuts off what computes them. It goes on until FOLDER/stop is there, then ends
 * what it has begun. Any other value, any error that has no right to be, a tree that takes longer than PATIENCE seconds: status 1, and a
 * word on what it waits for.
 *
 * A tree is a task `grow` whose children are other trees, numbers, large values from the store of whichever node made them, larger ones that
 * several nodes read at once and that do not fit all at once, values put by the task itself, streams, references that travel within values,
 * tasks that fail at first, tasks that want more memory than their node may have, and tasks that are cancelled, with what they called. What a
 * child is follows from its seed (chaos_seed.c).
 *
 * Who may fail? Tasks are tried again for ever, and large values that are lost are made again by theirs. A value that was put dies with the
 * process that put it, as a cancel by force of a later task there ends it: so what a child put may be lost, and whoever reads it asks for it
 * anew, and counts it. All else must be a value. */
#include "chaos.h"

#include <inttypes.h>
#include <poll.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#define TREES 6
#define DEPTH 3
#define NESTED 3
#define GREED (100 << 20)
#define AGAIN_MAX 100
#define FLAKY_CODE 9

/* -- the tasks --------------------------------------------------------------------------------------------------------------- */

static int order_of(struct mob_task *t, struct order *ret, struct mob_error *err)
{
    return mob_arg_copy(t, 0, ret, sizeof *ret, err);
}

static void nap(uint64_t seed)
{
    poll(NULL, 0, (int)(mix(seed, 6) % 30));
}

static int leaf(struct mob_task *t, struct mob_error *err)
{
    struct order o;

    if (order_of(t, &o, err) < 0)
        return -1;
    nap(o.seed);
    return mob_return(t, 0, MOB_BYTES(&(uint64_t){ mix(o.seed, 5) }, sizeof(uint64_t)), err);
}
MOB_TASK(leaf)

/* Fails the first times, some of which chance takes from it. */
static int flaky(struct mob_task *t, struct mob_error *err)
{
    struct mob_task_self self = { .size = sizeof self };
    struct order o;

    if (order_of(t, &o, err) < 0 || mob_task_self(t, &self, err) < 0)
        return -1;
    if (self.attempt < (int)(mix(o.seed, 9) % 3))
        return mob_fail(err, FLAKY_CODE, "not at attempt %d", self.attempt);
    return leaf(t, err);
}
MOB_TASK(flaky)

static int greedy(struct mob_task *t, struct mob_error *err)
{
    volatile char *bytes = malloc(GREED);       /* volatile: or the compiler would do without */

    if (bytes == NULL)
        return mob_fail(err, 3, "no memory");
    for (size_t i = 0; i < GREED; i += 4096)
        bytes[i] = 1;
    poll(NULL, 0, 300);                 /* so long that its node may look at it */
    free((void *)bytes);
    return leaf(t, err);
}
MOB_TASK(greedy)

static int make(struct mob_task *t, size_t size, uint64_t seed, struct mob_error *err)
{
    struct mob_buffer *b = mob_create(size, err);

    if (b == NULL)
        return -1;
    fill(mob_buffer_data(b), size, seed);
    nap(seed);
    return mob_return_buffer(t, 0, b, err);
}

static int large(struct mob_task *t, struct mob_error *err)
{
    struct order o;

    return order_of(t, &o, err) < 0 ? -1 : make(t, large_size(o.seed), o.seed, err);
}
MOB_TASK(large)

static int huge(struct mob_task *t, struct mob_error *err)
{
    struct order o;

    return order_of(t, &o, err) < 0 ? -1 : make(t, huge_size(o.seed), o.seed, err);
}
MOB_TASK(huge)

static struct mob_ref *put_large(uint64_t seed, struct mob_error *err)
{
    struct mob_buffer *b = mob_create(large_size(seed), err);

    if (b == NULL)
        return NULL;
    fill(mob_buffer_data(b), large_size(seed), seed);
    return mob_seal(b, err);
}

/* Its result is small and carries a reference to a large value, which this worker owns. */
static int carry(struct mob_task *t, struct mob_error *err)
{
    struct mob_ref *ref;
    struct order o;
    int rc;

    if (order_of(t, &o, err) < 0 || (ref = put_large(o.seed, err)) == NULL)
        return -1;
    rc = mob_return(t, 0, MOB_BYTES_REFS("carried", 7, &ref, 1), err);
    mob_ref_drop(ref);
    return rc;
}
MOB_TASK(carry)

static int digest(struct mob_task *t, struct mob_error *err)
{
    struct mob_view view;
    uint64_t hash;

    if (mob_arg(t, 0, &view, err) < 0)
        return -1;
    hash = digest_of(view.data, view.size);
    return mob_return(t, 0, MOB_BYTES(&hash, sizeof hash), err);
}
MOB_TASK(digest)

static int count(struct mob_task *t, struct mob_error *err)
{
    struct order o;

    if (order_of(t, &o, err) < 0)
        return -1;
    for (uint64_t n = 0; n < item_count(o.seed); n++) {
        nap(mix(o.seed, n) & 7);
        if (mob_yield(t, MOB_BYTES(&(uint64_t){ mix(o.seed, n) }, sizeof(uint64_t)), err) < 0)
            return -1;
    }
    return mob_return(t, 0, MOB_BYTES(NULL, 0), err);
}
MOB_TASK(count)

static int idle(struct mob_task *t, struct mob_error *err)
{
    while (!mob_cancelled(t))
        poll(NULL, 0, 5);
    return mob_fail(err, 1, "told to stop");
}
MOB_TASK(idle)

/* -- a task's children ------------------------------------------------------------------------------------------------------- */

static struct mob_fn *function(const char *name, bool here, const char *resources, struct mob_error *err)
{
    struct mob_options o = { .size = sizeof o, .max_retries = -1, .resources = resources, .strategy = here ? NULL : "spread",
        .retry_codes = &(int32_t){ FLAKY_CODE }, .retry_code_count = 1, .retry_delay_ms = 20 };

    return mob_fn(name, &o, err);
}

static struct mob_ref *call(const char *name, const struct order *o, struct mob_value arg, struct mob_error *err)
{
    struct mob_fn *fn = function(name, strcmp(name, "greedy") == 0 || mix(o->seed, 7) % 3 == 0, strcmp(name, "idle") == 0 || strcmp(name, "nest") == 0 ? "" : NULL, err);
    struct mob_ref *ref = NULL;

    if (fn != NULL)
        mob_call(fn, &arg, 1, &ref, err);
    mob_fn_destroy(fn);
    return ref;
}

/* The digest of a large value, by a task that has it as its argument; consumes `value`. */
static struct mob_ref *digested(struct mob_ref *value, const struct order *o, struct mob_error *err)
{
    struct mob_ref *ref = value != NULL ? call("digest", o, MOB_REF(value), err) : NULL;

    mob_ref_drop(value);
    return ref;
}

/* Calls idle ones, and waits for them: who cancels it cancels them, too. */
static int nest(struct mob_task *t, struct mob_error *err)
{
    struct mob_ref *refs[NESTED] = { 0 };
    struct order o;
    int rc = order_of(t, &o, err);

    for (uint64_t i = 0; i < NESTED && rc == 0; i++) {
        struct order below = { mix(o.seed, 30 + i), o.depth > 0 ? o.depth - 1 : 0 };
        refs[i] = call(i == 0 && o.depth > 0 ? "nest" : "idle", &below, MOB_BYTES(&below, sizeof below), err);
        rc = refs[i] != NULL ? 0 : -1;
    }
    if (rc == 0)
        rc = mob_wait(refs, NESTED, NESTED, MOB_FOREVER, NULL, err) < 0 ? -1 : mob_fail(err, 4, "idle tasks have ended");
    for (int i = 0; i < NESTED; i++)
        mob_ref_drop(refs[i]);
    return rc;
}
MOB_TASK(nest)

/* Several tasks of one name, with the same argument or one each. */
static int start_some(struct child *c, const char *name, int count, const struct mob_ref *arg, struct mob_error *err)
{
    for (int i = 0; i < count; i++) {
        struct order o = { mix(c->order.seed, 20 + (uint64_t)i), 0 };
        if ((c->some[i] = call(name, &o, arg != NULL ? MOB_REF(arg) : MOB_BYTES(&o, sizeof o), err)) == NULL)
            return -1;
    }
    return 0;
}

static int start_shared(struct child *c, struct mob_error *err)
{
    struct mob_ref *value = call("huge", &c->order, MOB_BYTES(&c->order, sizeof c->order), err);
    int rc = value != NULL ? start_some(c, "digest", READERS, value, err) : -1;

    mob_ref_drop(value);
    return rc;
}

static int start(struct child *c, struct mob_error *err)
{
    static const char *const names[KINDS] = { "grow", "leaf", "large", NULL, "count", "carry", "idle", "flaky", NULL, NULL, "nest" };
    const struct order *o = &c->order;
    struct mob_value arg = MOB_BYTES(o, sizeof *o);

    if (c->kind == STREAM) {
        struct mob_fn *fn = function("count", false, NULL, err);
        c->items = fn != NULL ? mob_call_items(fn, &arg, 1, err) : NULL;
        mob_fn_destroy(fn);
        return c->items != NULL ? 0 : -1;
    }
    if (c->kind == SHARED)
        return start_shared(c, err);
    if (c->kind == GREEDY)
        return start_some(c, "greedy", GREEDY_ONES, NULL, err);
    if (c->kind == PUT)
        c->ref = digested(put_large(o->seed, err), o, err);
    else if (c->kind == LARGE)
        c->ref = digested(call("large", o, arg, err), o, err);
    else
        c->ref = call(names[c->kind], o, arg, err);
    return c->ref != NULL ? 0 : -1;
}

static int finish_stream(struct child *c, uint64_t *ret_value, struct mob_error *err)
{
    struct mob_ref *ref;
    uint64_t sum = 0, one;
    int rc;

    while ((rc = mob_items_next(c->items, MOB_FOREVER, &ref, err)) == 1) {
        rc = mob_get_copy(ref, MOB_FOREVER, &one, sizeof one, err);
        mob_ref_drop(ref);
        if (rc < 0)
            break;
        sum += one;
    }
    mob_items_close(c->items);
    c->items = NULL;
    if (rc == 0)
        *ret_value = sum;
    return rc;
}

/* What a child put is read here, where its maker may be gone. */
static int finish_carried(struct child *c, uint64_t *ret_value, struct mob_error *err)
{
    struct mob_view outer, inner;
    struct mob_ref *ref;
    int rc;

    if (mob_get(c->ref, MOB_FOREVER, &outer, err) < 0)
        return -1;
    ref = mob_view_ref(&outer, 0, err);
    mob_view_release(&outer);
    if (ref == NULL)
        return -1;
    if ((rc = mob_get(ref, MOB_FOREVER, &inner, err)) == 0) {
        *ret_value = digest_of(inner.data, inner.size);
        mob_view_release(&inner);
    }
    mob_ref_drop(ref);
    return rc;
}

/* The sum of what several tasks return. */
static int finish_some(struct child *c, int count, uint64_t *ret_value, struct mob_error *err)
{
    uint64_t sum = 0, one = 0;
    int rc = 0;

    for (int i = 0; i < count; i++) {
        if (rc == 0)
            rc = mob_get_copy(c->some[i], MOB_FOREVER, &one, sizeof one, err);
        mob_ref_drop(c->some[i]);
        sum += one;
    }
    *ret_value = sum;
    return rc;
}

static int finish_idle(struct child *c, uint64_t *ret_value, struct mob_error *err)
{
    struct mob_view view;

    if (mob_cancel(c->ref, mix(c->order.seed, 8) % 2 == 0 ? MOB_CANCEL_FORCE : 0, err) < 0)
        return -1;
    if (mob_get(c->ref, MOB_FOREVER, &view, err) == 0)
        return mob_fail(err, 1, "a task that was cancelled has a value");
    *ret_value = 0;
    return err->code == MOB_ERR_CANCELLED ? 0 : -1;
}

static int finish_once(struct child *c, struct crop *ret, struct mob_error *err)
{
    *ret = (struct crop){ .tasks = 1 };
    switch (c->kind) {
    case GROW: return mob_get_copy(c->ref, MOB_FOREVER, ret, sizeof *ret, err);
    case STREAM: return finish_stream(c, &ret->value, err);
    case CARRIED: return finish_carried(c, &ret->value, err);
    case SHARED: return finish_some(c, READERS, &ret->value, err);
    case GREEDY: return finish_some(c, GREEDY_ONES, &ret->value, err);
    case IDLE:
    case NEST: return finish_idle(c, &ret->value, err);
    default: return mob_get_copy(c->ref, MOB_FOREVER, &ret->value, sizeof ret->value, err);
    }
}

/* May this child fail so? What its maker put is gone with its maker, or out of reach as long as its node is. */
static bool may_fail(const struct child *c, const struct mob_error *err)
{
    bool lost = err->code == MOB_ERR_OBJECT_LOST || err->code == MOB_ERR_NODE_DIED || err->code == MOB_ERR_UNREACHABLE
        || err->code == MOB_ERR_OWNER_DIED;

    return c->kind == CARRIED && lost;
}

static int finish(struct child *c, struct crop *ret, struct mob_error *err)
{
    int rc;

    while ((rc = finish_once(c, ret, err)) < 0 && may_fail(c, err) && c->again++ < AGAIN_MAX) {
        mob_ref_drop(c->ref);
        if (start(c, err) < 0)
            return -1;
    }
    mob_ref_drop(c->ref);
    c->ref = NULL;
    ret->again += c->again;
    return rc;
}

static int grow(struct mob_task *t, struct mob_error *err)
{
    struct child children[CHILDREN + 1];
    struct mob_error why = { 0 };
    struct crop crop = { .tasks = 1 };
    struct order o;

    if (order_of(t, &o, err) < 0)
        return -1;
    crop.value = o.seed;
    for (unsigned i = 0; i < child_count(&o); i++) {
        plan(&o, i, &children[i]);
        if (start(&children[i], &why) < 0)
            return mob_fail(err, 1, "cannot call a child of kind %d: %s", (int)children[i].kind, why.text);
    }
    for (unsigned i = 0; i < child_count(&o); i++) {
        struct crop got;
        if (finish(&children[i], &got, &why) < 0)
            return mob_fail(err, 2, "a child of kind %d ended with code %d: %s", (int)children[i].kind, (int)why.code, why.text);
        crop.value = mix(crop.value, got.value);
        crop.tasks += got.tasks;
        crop.again += got.again;
    }
    return mob_return(t, 0, MOB_BYTES(&crop, sizeof crop), err);
}
MOB_TASK(grow)

/* -- the driver -------------------------------------------------------------------------------------------------------------- */

struct tree {
    struct order order;
    struct mob_ref *ref;
    time_t since;
};

static time_t now(void)
{
    struct timespec t;

    clock_gettime(CLOCK_MONOTONIC, &t);
    return t.tv_sec;
}

static _Noreturn void give_up(const struct tree *t, const char *what, const struct mob_error *err)
{
    char why[4096] = "";

    fprintf(stderr, "chaos: tree %" PRIx64 ", %lld s old: %s: code %d: %s\n", t->order.seed, (long long)(now() - t->since), what,
            err != NULL ? (int)err->code : 0, err != NULL ? err->text : "");
    if (err == NULL && mob_explain(t->ref, why, sizeof why, NULL) == 0)
        fprintf(stderr, "%s\n", why);
    exit(1);
}

static void plant(struct tree *t, uint64_t seed, struct mob_waitset *set)
{
    struct mob_error err = { 0 };

    *t = (struct tree){ .order = { seed, DEPTH }, .since = now() };
    t->ref = call("grow", &t->order, MOB_BYTES(&t->order, sizeof t->order), &err);
    if (t->ref == NULL || mob_waitset_add(set, t->ref, t, &err) < 0)
        give_up(t, "cannot call it", &err);
}

static void harvest(struct tree *t, struct crop *total)
{
    struct crop got, wanted = expected(&t->order);
    struct mob_error err = { 0 };

    if (mob_get_copy(t->ref, 0, &got, sizeof got, &err) < 0)
        give_up(t, "it failed", &err);
    if (got.value != wanted.value || got.tasks != wanted.tasks)
        give_up(t, "another value", &err);
    total->tasks += got.tasks;
    total->again += got.again;
    total->value++;
    mob_ref_drop(t->ref);
    t->ref = NULL;
}

/* The trees that are to come end when `stop` is there. Its file says how many there have been, for whoever looks. */
static void run(const char *folder, uint64_t seed, time_t patience, struct crop *total)
{
    struct mob_error err = { 0 };
    struct mob_waitset *set = mob_waitset_create(&err);
    struct tree trees[TREES], *t;
    uint64_t planted = 0;
    char stop[4096];
    struct mob_ref *ref;
    void *user;
    int rc;

    snprintf(stop, sizeof stop, "%s/stop", folder);
    for (; planted < TREES; planted++)
        plant(&trees[planted], mix(seed, planted), set);
    while ((rc = mob_waitset_next(set, 1000, &ref, &user, &err)) != 0) {
        for (unsigned i = 0; i < TREES; i++)
            if (trees[i].ref != NULL && now() - trees[i].since > patience)
                give_up(&trees[i], "it does not end", NULL);
        if (rc < 0)
            continue;
        mob_ref_drop(ref);
        harvest(t = user, total);
        if (access(stop, F_OK) != 0)
            plant(t, mix(seed, planted++), set);
    }
    mob_waitset_destroy(set);
}

int main(int argc, char **argv)
{
    struct mob_init_options options = { .size = sizeof options, .name = "chaos", .quiet = 1 };
    struct mob_error err = { 0 };
    struct crop total = { 0 };

    if (mob_init(argc, argv, &options, &err) < 0 || argc != 4) {
        fprintf(stderr, "chaos: cannot start: %s\n", err.text);
        return 2;
    }
    run(argv[1], strtoull(argv[2], NULL, 10), atoi(argv[3]), &total);
    mob_shutdown();
    printf("chaos: %" PRIu64 " trees of %u tasks have the right values; %u were lost with who put them, and asked for anew\n",
           total.value, total.tasks, total.again);
    return 0;
}
