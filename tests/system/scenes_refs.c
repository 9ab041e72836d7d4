/* SPDX-License-Identifier: Apache-2.0 */
/* scenes_refs.c -- references that travel: in arguments, in results, inside other objects, kept by a worker, handed on by borrowers. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tasks.h"

#define BIG 300000u                     /* in the store */

static struct mob_ref *put_pattern(size_t size, uint64_t seed, struct mob_error *err)
{
    struct mob_buffer *b = mob_create(size, err);

    if (b == NULL)
        return NULL;
    fill_pattern(mob_buffer_data(b), size, seed);
    return mob_seal(b, err);
}

/* The checksum of the value behind reference i of a view. */
static int sum_behind(const struct mob_view *view, size_t i, uint64_t *ret_sum, struct mob_error *err)
{
    struct mob_ref *ref = mob_view_ref(view, i, err);
    struct mob_view value;
    int rc;

    if (ref == NULL)
        return -1;
    if ((rc = mob_get(ref, MOB_FOREVER, &value, err)) == 0) {
        *ret_sum += checksum_of(value.data, value.size);
        mob_view_release(&value);
    }
    mob_ref_drop(ref);
    return rc;
}

static uint64_t pattern_sum(size_t size, uint64_t seed)
{
    void *bytes = malloc(size);
    uint64_t sum;

    CHECK(bytes != NULL);
    fill_pattern(bytes, size, seed);
    sum = checksum_of(bytes, size);
    free(bytes);
    return sum;
}

/* -- tasks ------------------------------------------------------------------------------------------------------------------- */

/* The sum over all that the arguments carry. */
static int open_all(struct mob_task *t, struct mob_error *err)
{
    uint64_t sum = 0;

    for (size_t i = 0; i < mob_arg_count(t); i++) {
        struct mob_view view;
        if (mob_arg(t, i, &view, err) < 0)
            return -1;
        for (size_t j = 0; j < view.ref_count; j++)
            if (sum_behind(&view, j, &sum, err) < 0)
                return -1;
    }
    return mob_return(t, 0, MOB_BYTES(&sum, sizeof sum), err);
}
MOB_TASK(open_all)

static struct mob_ref *kept;

/* Keep what the argument carries; 0 references: let it go. */
static int keep(struct mob_task *t, struct mob_error *err)
{
    struct mob_view view;

    if (mob_arg(t, 0, &view, err) < 0)
        return -1;
    mob_ref_drop(kept);
    kept = view.ref_count > 0 ? mob_view_ref(&view, 0, err) : NULL;
    return view.ref_count > 0 && kept == NULL ? -1 : 0;
}
MOB_TASK(keep)

static int kept_sum(struct mob_task *t, struct mob_error *err)
{
    struct mob_view value;
    uint64_t sum;

    if (kept == NULL)
        return mob_fail(err, 1, "nothing is kept here");
    if (mob_get(kept, MOB_FOREVER, &value, err) < 0)
        return -1;
    sum = checksum_of(value.data, value.size);
    mob_view_release(&value);
    return mob_return(t, 0, MOB_BYTES(&sum, sizeof sum), err);
}
MOB_TASK(kept_sum)

/* Results: 0: bytes that carry what the argument carries, a small put, a big one, and a nested task's result. 1: the first reference
 * of the argument, as it is. */
static int wrap(struct mob_task *t, struct mob_error *err)
{
    static const char words[] = "what was asked for";
    struct mob_ref *refs[4] = { NULL };
    struct mob_view view;
    int rc = -1;

    if (mob_arg(t, 0, &view, err) == 0 && (refs[0] = mob_view_ref(&view, 0, err)) != NULL
        && (refs[1] = mob_put("small", 5, err)) != NULL && (refs[2] = put_pattern(BIG, 2, err)) != NULL
        && (refs[3] = call_u64("blob_bytes", BIG)) != NULL
        && mob_return(t, 0, MOB_BYTES_REFS(words, sizeof words, refs, 4), err) == 0)
        rc = mob_return(t, 1, MOB_REF(refs[0]), err);
    for (int i = 0; i < 4; i++)
        mob_ref_drop(refs[i]);
    return rc;
}
MOB_TASK(wrap)

/* A big buffer that carries a reference of its own to a new object. */
static int wrap_big(struct mob_task *t, struct mob_error *err)
{
    struct mob_ref *ref = put_pattern(BIG, 5, err);
    struct mob_buffer *b = ref != NULL ? mob_create_refs(BIG, &ref, 1, err) : NULL;

    mob_ref_drop(ref);
    if (b == NULL)
        return -1;
    fill_pattern(mob_buffer_data(b), BIG, 6);
    return mob_return_buffer(t, 0, b, err);
}
MOB_TASK(wrap_big)

/* Hand the reference on, as often as the first argument says, through a chain of tasks; the last one opens it. */
static int relay(struct mob_task *t, struct mob_error *err)
{
    struct mob_view view;
    struct mob_ref *ref, *next;
    uint64_t left, sum;
    int rc;

    if (mob_arg_copy(t, 0, &left, sizeof left, err) < 0 || mob_arg(t, 1, &view, err) < 0
        || (ref = mob_view_ref(&view, 0, err)) == NULL)
        return -1;
    left--;
    next = left > 0 ? call("relay", (struct mob_value[]){ MOB_BYTES(&left, 8), MOB_BYTES_REFS("", 0, &ref, 1) }, 2)
                    : call("open_all", &MOB_BYTES_REFS("", 0, &ref, 1), 1);
    mob_ref_drop(ref);
    rc = mob_get_copy(next, MOB_FOREVER, &sum, sizeof sum, err);
    mob_ref_drop(next);
    return rc < 0 ? -1 : mob_return(t, 0, MOB_BYTES(&sum, sizeof sum), err);
}
MOB_TASK(relay)

/* -- scenes ------------------------------------------------------------------------------------------------------------------ */

static void carried_in_arguments(void)
{
    struct mob_error err;
    struct mob_ref *refs[2] = { mob_put("hello", 5, &err), put_pattern(BIG, 1, &err) }, *box, *result;
    uint64_t sum = checksum_of("hello", 5) + pattern_sum(BIG, 1), hops = 4;

    CHECK(refs[0] != NULL && refs[1] != NULL);
    CHECK(take_u64(call("open_all", &MOB_BYTES_REFS("x", 1, refs, 2), 1)) == sum);
    box = mob_put_refs("a box", 5, refs, 2, &err);
    CHECK(box != NULL);
    CHECK(take_u64(call("open_all", (struct mob_value[]){ MOB_REF(box), MOB_BYTES_REFS(NULL, 0, refs, 2) }, 2)) == 2 * sum);
    result = call("relay", (struct mob_value[]){ MOB_BYTES(&hops, 8), MOB_BYTES_REFS("", 0, &refs[1], 1) }, 2);
    mob_ref_drop(refs[0]);
    mob_ref_drop(refs[1]);                      /* the box and the tasks have them */
    CHECK(take_u64(result) == pattern_sum(BIG, 1));
    CHECK(take_u64(call("open_all", &MOB_REF(box), 1)) == sum);
    mob_ref_drop(box);
}

static void carried_in_results(void)
{
    struct mob_options two = { .size = sizeof two, .returns = 2 };
    struct mob_error err;
    struct mob_ref *mine = put_pattern(BIG, 9, &err), *results[2];
    struct mob_view view, inner;
    uint64_t sum = 0;

    CHECK(mine != NULL);
    for (int i = 0; i < 3; i++) {
        struct mob_fn *fn = mob_fn("wrap", &two, &err);

        CHECK(fn != NULL);
        CHECK_OK(mob_call(fn, &MOB_BYTES_REFS("", 0, &mine, 1), 1, results, &err), &err);
        mob_fn_destroy(fn);
        CHECK_OK(mob_get(results[0], MOB_FOREVER, &view, &err), &err);
        CHECK(view.ref_count == 4 && strcmp(view.data, "what was asked for") == 0);
        mob_ref_drop(results[0]);               /* the view has it */
        sum = 0;
        for (size_t j = 0; j < 4; j++)
            CHECK_OK(sum_behind(&view, j, &sum, &err), &err);
        CHECK(sum == pattern_sum(BIG, 9) + checksum_of("small", 5) + pattern_sum(BIG, 2) + pattern_sum(BIG, BIG));
        mob_view_release(&view);
        CHECK_OK(mob_get(results[1], MOB_FOREVER, &inner, &err), &err);
        CHECK(checksum_of(inner.data, inner.size) == pattern_sum(BIG, 9));
        mob_view_release(&inner);
        mob_ref_drop(results[1]);
    }
    mob_ref_drop(mine);
    results[0] = call("wrap_big", NULL, 0);
    CHECK_OK(mob_get(results[0], MOB_FOREVER, &view, &err), &err);
    CHECK(view.size == BIG && view.ref_count == 1 && checksum_of(view.data, view.size) == pattern_sum(BIG, 6));
    sum = 0;
    CHECK_OK(sum_behind(&view, 0, &sum, &err), &err);
    CHECK(sum == pattern_sum(BIG, 5));
    mob_view_release(&view);
    mob_ref_drop(results[0]);
}

static void many_in_one(void)
{
    enum { MANY = 10000 };
    struct mob_ref **refs = calloc(MANY, sizeof(struct mob_ref *)), *box;
    struct mob_error err;
    struct mob_view view;
    uint64_t sum = 0, one;

    CHECK(refs != NULL);
    for (uint64_t i = 0; i < MANY; i++)
        CHECK((refs[i] = mob_put(&i, sizeof i, &err)) != NULL);
    box = mob_put_refs("", 0, refs, MANY, &err);
    CHECK(box != NULL);
    for (size_t i = 0; i < MANY; i++)
        mob_ref_drop(refs[i]);
    CHECK_OK(mob_get(box, MOB_FOREVER, &view, &err), &err);
    CHECK(view.ref_count == MANY);
    for (size_t i = 0; i < MANY; i++) {
        struct mob_ref *ref = mob_view_ref(&view, i, &err);
        CHECK(ref != NULL);
        CHECK_OK(mob_get_copy(ref, MOB_FOREVER, &one, sizeof one, &err), &err);
        sum += one;
        mob_ref_drop(ref);
    }
    CHECK(sum == (uint64_t)MANY * (MANY - 1) / 2);
    mob_view_release(&view);
    CHECK(mob_view_ref(&view, 0, &err) == NULL && err.code == MOB_ERR_INVALID);
    CHECK(mob_put_refs("", 0, refs, MANY * 2, &err) == NULL && err.code == MOB_ERR_INVALID);
    mob_ref_drop(box);
    free(refs);
}

static int references(char **words)
{
    (void)words;
    carried_in_arguments();
    carried_in_results();
    many_in_one();
    return 0;
}

/* Wait for a task without a result. */
static void ends(struct mob_ref *ref)
{
    struct mob_error err;
    struct mob_view view;

    CHECK_OK(mob_get(ref, MOB_FOREVER, &view, &err), &err);
    mob_view_release(&view);
    mob_ref_drop(ref);
}

/* Words: folder, node of the keeper. What a worker keeps outlives the driver's own ref, and goes when the worker lets it go: the script
 * looks at the stores when the files "kept" and "gone" are there. */
static int retains(char **words)
{
    char strategy[80];
    struct mob_options there = { .size = sizeof there, .strategy = strategy };
    struct mob_error err;
    struct mob_ref *big = put_pattern(BIG, 3, &err);

    CHECK(big != NULL);
    snprintf(strategy, sizeof strategy, "node=%s", words[1]);
    ends(call_with("keep", &there, &MOB_BYTES_REFS("", 0, &big, 1), 1));
    mob_ref_drop(big);
    for (int i = 0; i < 3; i++)
        CHECK(take_u64(call_with("kept_sum", &there, NULL, 0)) == pattern_sum(BIG, 3));
    make_file(words[0], "kept", "");
    await_file(words[0], "open", "");
    ends(call_with("keep", &there, &MOB_BYTES("", 0), 1));
    make_file(words[0], "gone", "");
    await_file(words[0], "end", "");
    return 0;
}

const struct scene scenes_refs[] = {
    { "references", "", references },
    { "retains", "FOLDER NODE", retains },
    { NULL, NULL, NULL },
};
