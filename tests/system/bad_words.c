/* SPDX-License-Identifier: Apache-2.0 */
/* bad_words.c -- calls with wrong words, at wrong times, on wrong refs: each is refused at once with a sentence that says why, and good
 * calls work as before. */
#include <stdint.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>

#include "bad.h"

#define PATIENCE_MS 20000
#define LARGE (300u << 10)           /* in the store */
#define ENDED "the buffer was sealed, returned or abandoned before"

static struct mob_error err;

static int twice(struct mob_task *t, struct mob_error *e)
{
    int n;

    if (mob_arg_copy(t, 0, &n, sizeof n, e) < 0)
        return -1;
    n *= 2;
    return mob_return(t, 0, MOB_BYTES(&n, sizeof n), e);
}
MOB_TASK(twice)

/* Wants an argument it was not given, then a result it has not. */
static int greedy(struct mob_task *t, struct mob_error *e)
{
    struct mob_view view;
    int n = 1;

    if (mob_arg_count(t) == 1 && mob_arg(t, 1, &view, e) < 0)
        return -1;
    if (mob_return(t, 0, MOB_BYTES(&n, sizeof n), e) < 0)
        return -1;
    return mob_return(t, mob_arg_count(t) == 2 ? 0 : 1, MOB_BYTES(&n, sizeof n), e);
}
MOB_TASK(greedy)

/* The same buffer for two results. */
static int generous(struct mob_task *t, struct mob_error *e)
{
    struct mob_buffer *b = mob_create(LARGE, e);

    return b == NULL || mob_return_buffer(t, 0, b, e) < 0 || mob_return_buffer(t, 1, b, e) < 0 ? -1 : 0;
}
MOB_TASK(generous)

/* A result of more bytes than there can be; with references, too. */
static int boundless(struct mob_task *t, struct mob_error *e)
{
    struct mob_ref *carried = mob_put("x", 1, e);
    int n = 6;

    if (carried == NULL || mob_return(t, 0, MOB_BYTES("x", SIZE_MAX), e) == 0
        || mob_return(t, 0, MOB_BYTES_REFS("x", SIZE_MAX, &carried, 1), e) == 0)
        return mob_fail(e, 1, "a result of %zu bytes was taken", SIZE_MAX);
    return e->code == MOB_ERR_NO_SPACE ? mob_return(t, 0, MOB_BYTES(&n, sizeof n), e) : -1;
}
MOB_TASK(boundless)

static int silent(struct mob_task *t, struct mob_error *e)
{
    int n = 5;

    return mob_return(t, 0, MOB_BYTES(&n, sizeof n), e);
}
MOB_TASK(silent)

static int wordless(struct mob_task *t, struct mob_error *e)
{
    (void)t, (void)e;
    return -1;
}
MOB_TASK(wordless)

/* A good call: still works. */
static void good_call(void)
{
    struct mob_fn *fn = mob_fn("twice", NULL, &err);
    struct mob_ref *ref = NULL;
    int n = 21;

    WORKS(mob_call(fn, &MOB_BYTES(&n, sizeof n), 1, &ref, &err));
    WORKS(mob_get_copy(ref, PATIENCE_MS, &n, sizeof n, &err));
    bad_works(__LINE__, "twice(21) == 42", n == 42, &err);
    mob_ref_drop(ref);
    mob_fn_destroy(fn);
}

static struct mob_fn *fn_with(const char *resources)
{
    struct mob_options o = { .size = sizeof o, .resources = resources };

    return mob_fn("twice", &o, &err);
}

static void resources(void)
{
    REFUSED_NULL(fn_with("CPU=-1"), MOB_ERR_INVALID, "CPU=-1 is negative");
    REFUSED_NULL(fn_with("CPU=nan"), MOB_ERR_INVALID, "not a finite number");
    REFUSED_NULL(fn_with("CPU=inf"), MOB_ERR_INVALID, "not a finite number");
    REFUSED_NULL(fn_with("CPU=0.00001"), MOB_ERR_INVALID, "finer than 0.0001");
    REFUSED_NULL(fn_with("licence=1000000000000000"), MOB_ERR_INVALID, "is over 1e14");
    REFUSED_NULL(fn_with("CPU=1,CPU=2"), MOB_ERR_INVALID, "CPU is named twice");
    REFUSED_NULL(fn_with("GPU=1.5"), MOB_ERR_INVALID, "a number of GPUs is whole");
    REFUSED_NULL(fn_with("CPU"), MOB_ERR_INVALID, "write name=value");
    REFUSED_NULL(fn_with("=1"), MOB_ERR_INVALID, "write name=value");
    REFUSED_NULL(fn_with("CPU=2x"), MOB_ERR_INVALID, "unknown suffix");
}

static void options(void)
{
    struct mob_options none = { 0 }, strategy = { .size = sizeof strategy, .strategy = "nearby" };
    struct mob_options node = { .size = sizeof node, .strategy = "node=here" };
    struct mob_options labels = { .size = sizeof labels, .labels = "disk" };
    struct mob_options returns = { .size = sizeof returns, .returns = 8193 };
    struct mob_options retries = { .size = sizeof retries, .max_retries = -2 };
    struct { struct mob_options o; char more[8]; } newer = { .o.size = sizeof newer, .more = "x" };

    REFUSED_NULL(mob_fn("nowhere", NULL, &err), MOB_ERR_INVALID, "declare it with MOB_TASK(nowhere)");
    REFUSED_NULL(mob_fn(NULL, NULL, &err), MOB_ERR_INVALID, "no task function");
    REFUSED_NULL(mob_fn("twice", &none, &err), MOB_ERR_INVALID, "set .size");
    REFUSED_NULL(mob_fn("twice", &newer.o, &err), MOB_ERR_INVALID, "of a newer libmobula");
    REFUSED_NULL(mob_fn("twice", &strategy, &err), MOB_ERR_INVALID, "\"nearby\" is none of");
    REFUSED_NULL(mob_fn("twice", &node, &err), MOB_ERR_INVALID, "`mobula list nodes` show them");
    REFUSED_NULL(mob_fn("twice", &labels, &err), MOB_ERR_INVALID, "'disk' has no '='");
    REFUSED_NULL(mob_fn("twice", &returns, &err), MOB_ERR_INVALID, "8193 returns; at most 8192");
    REFUSED_NULL(mob_fn("twice", &retries, &err), MOB_ERR_INVALID, "MOB_NO_RETRY");
}

static void arguments(void)
{
    struct mob_fn *fn = mob_fn("twice", NULL, &err);
    struct mob_ref *ref = NULL;
    long wide = 1;

    REFUSED(mob_call(NULL, NULL, 0, &ref, &err), MOB_ERR_INVALID, "NULL");
    REFUSED(mob_call(fn, NULL, 3, &ref, &err), MOB_ERR_INVALID, "3 arguments at NULL");
    REFUSED(mob_call(fn, &MOB_BYTES(NULL, 10), 1, &ref, &err), MOB_ERR_INVALID, "10 bytes is at NULL");
    REFUSED(mob_call(fn, &MOB_BYTES_REFS("x", 1, NULL, 2), 1, &ref, &err), MOB_ERR_INVALID, "2 refs at NULL");
    WORKS(mob_call(fn, &MOB_BYTES(&wide, sizeof wide), 1, &ref, &err));
    REFUSED(mob_get_copy(ref, PATIENCE_MS, &wide, 4, &err), MOB_ERR_INVALID, "argument 0 of twice has 8 bytes, not 4");
    mob_ref_drop(ref);
    WORKS(mob_call(fn, NULL, 0, &ref, &err));
    REFUSED(mob_get_copy(ref, PATIENCE_MS, &wide, 4, &err), MOB_ERR_INVALID, "argument 0 of twice: it was called with 0");
    mob_ref_drop(ref);
    mob_fn_destroy(fn);
}

static void greedy_says(size_t args, const char *words)
{
    struct mob_fn *fn = mob_fn("greedy", NULL, &err);
    struct mob_value three[3] = { MOB_BYTES("a", 1), MOB_BYTES("b", 1), MOB_BYTES("c", 1) };
    struct mob_ref *ref = NULL;
    int n;

    WORKS(mob_call(fn, three, args, &ref, &err));
    REFUSED(mob_get_copy(ref, PATIENCE_MS, &n, sizeof n, &err), MOB_ERR_INVALID, words);
    bad_works(__LINE__, "the error names function and node", strcmp(err.function, "greedy") == 0 && err.node[0] != '\0', &err);
    mob_ref_drop(ref);
    mob_fn_destroy(fn);
}

/* A result that was not set is empty: who expects more is told the sizes. */
static void results(void)
{
    struct mob_options o = { .size = sizeof o, .returns = 2 };
    struct mob_fn *fn = mob_fn("silent", &o, &err);
    struct mob_ref *refs[2] = { NULL };
    int n = 0;

    greedy_says(1, "argument 1 of greedy: it was called with 1");
    greedy_says(2, "result 0 of greedy is set already");
    greedy_says(3, "result 1 of greedy: it was called with returns = 1");
    WORKS(mob_call(fn, NULL, 0, refs, &err));
    WORKS(mob_get_copy(refs[0], PATIENCE_MS, &n, sizeof n, &err));
    REFUSED(mob_get_copy(refs[1], PATIENCE_MS, &n, sizeof n, &err), MOB_ERR_INVALID, "the value has 0 bytes, not 4");
    mob_ref_drop(refs[0]);
    mob_ref_drop(refs[1]);
    mob_fn_destroy(fn);
    fn = mob_fn("wordless", NULL, &err);
    WORKS(mob_call(fn, NULL, 0, refs, &err));
    REFUSED(mob_get_copy(refs[0], PATIENCE_MS, &n, sizeof n, &err), MOB_ERR_TASK, "fill it with mob_fail()");
    mob_ref_drop(refs[0]);
    mob_fn_destroy(fn);
}

/* Waits, as another node may come; the cluster says so meanwhile (the script looks for it); a cancel ends it. */
static void more_than_there_is(void)
{
    struct mob_fn *fn = fn_with("CPU=1000");
    struct mob_ref *ref = NULL;
    int n = 1;

    WORKS(mob_call(fn, &MOB_BYTES(&n, sizeof n), 1, &ref, &err));
    REFUSED(mob_get_copy(ref, 1500, &n, sizeof n, &err), MOB_ERR_TIMEOUT, "not ready in time");
    WORKS(mob_cancel(ref, 0, &err));
    REFUSED(mob_get_copy(ref, PATIENCE_MS, &n, sizeof n, &err), MOB_ERR_CANCELLED, "cancelled");
    mob_ref_drop(ref);
    mob_fn_destroy(fn);
}

static void bad_ref(struct mob_ref *ref, const char *words)
{
    struct mob_fn *fn = mob_fn("twice", NULL, &err);
    struct mob_waitset *set = mob_waitset_create(&err);
    struct mob_ref *result;
    struct mob_view view;
    unsigned char ready;

    REFUSED(mob_get(ref, 100, &view, &err), MOB_ERR_INVALID, words);
    REFUSED(mob_get_many(&ref, 1, 100, &view, &err), MOB_ERR_INVALID, words);
    REFUSED(mob_wait(&ref, 1, 1, 100, &ready, &err), MOB_ERR_INVALID, words);
    REFUSED(mob_cancel(ref, 0, &err), MOB_ERR_INVALID, words);
    REFUSED(mob_waitset_add(set, ref, NULL, &err), MOB_ERR_INVALID, words);
    if (ref != NULL)                    /* a NULL reference as argument is an empty value */
        REFUSED(mob_call(fn, &MOB_REF(ref), 1, &result, &err), MOB_ERR_INVALID, words);
    mob_ref_drop(ref);                  /* no harm */
    mob_ref_drop(mob_ref_clone(ref));
    mob_waitset_destroy(set);
    mob_fn_destroy(fn);
}

static void refs(void)
{
    struct mob_ref *dropped = mob_put("x", 1, &err);
    struct mob_view view;
    size_t room = 1;
    int on_stack = 0;

    REFUSED(mob_get(dropped, 0, NULL, &err), MOB_ERR_INVALID, "the views are at NULL");
    REFUSED(mob_get_many(NULL, 2, 0, &view, &err), MOB_ERR_INVALID, "the refs are at NULL");
    REFUSED(mob_waitset_add(NULL, dropped, NULL, &err), MOB_ERR_INVALID, "the waitset is NULL");
    REFUSED(mob_waitset_next(NULL, 0, &dropped, NULL, &err), MOB_ERR_INVALID, "the waitset is NULL");
    REFUSED(mob_nodes(NULL, &room, &err), MOB_ERR_INVALID, "room for nodes at NULL");
    REFUSED(mob_nodes(NULL, NULL, &err), MOB_ERR_INVALID, "count is NULL");
    REFUSED(mob_wait(NULL, 2, 1, 0, NULL, &err), MOB_ERR_INVALID, "2 refs at NULL");
    REFUSED_NULL(mob_put_refs("x", 1, NULL, 2, &err), MOB_ERR_INVALID, "2 refs at NULL");
    mob_ref_drop(dropped);
    bad_ref(dropped, "was dropped before, or never given out");
    bad_ref(NULL, "was dropped before, or never given out");
    bad_ref((struct mob_ref *)(uintptr_t)&on_stack, "never given out");
    bad_ref((struct mob_ref *)UINTPTR_MAX, "never given out");
    REFUSED_NULL(mob_put(NULL, 10, &err), MOB_ERR_INVALID, "10 bytes at NULL");
    REFUSED_NULL(mob_seal(NULL, &err), MOB_ERR_INVALID, "NULL");
    REFUSED_NULL(mob_create(SIZE_MAX / 2, &err), MOB_ERR_NO_SPACE, "bytes");
}

/* Sizes to which nothing can be added: what stands behind a value in the store, and the references that it carries. */
static void boundless_sizes(void)
{
    static const char words[] = "larger than any store";
    struct mob_fn *fn = mob_fn("boundless", NULL, &err);
    struct mob_ref *carried = mob_put("x", 1, &err), *ref = NULL;
    int n = 0;

    for (size_t less = 0; less < 16; less += 5) {
        size_t size = SIZE_MAX - less;

        REFUSED_NULL(mob_put("x", size, &err), MOB_ERR_NO_SPACE, words);
        REFUSED_NULL(mob_put_refs("x", size, &carried, 1, &err), MOB_ERR_NO_SPACE, words);
        REFUSED_NULL(mob_create(size, &err), MOB_ERR_NO_SPACE, words);
        REFUSED(mob_call(fn, &MOB_BYTES("x", size), 1, &ref, &err), MOB_ERR_NO_SPACE, words);
        REFUSED(mob_call(fn, &MOB_BYTES_REFS("x", size, &carried, 1), 1, &ref, &err), MOB_ERR_NO_SPACE, words);
    }
    WORKS(mob_call(fn, NULL, 0, &ref, &err));
    WORKS(mob_get_copy(ref, PATIENCE_MS, &n, sizeof n, &err));
    bad_works(__LINE__, "a task's results of such sizes are refused", n == 6, &err);
    mob_ref_drop(ref);
    mob_ref_drop(carried);
    mob_fn_destroy(fn);
}

static void sealed_twice(size_t size)
{
    struct mob_buffer *b = mob_create(size, &err), *other = mob_create(size, &err);
    struct mob_ref *ref;
    struct mob_view view;

    memset(mob_buffer_data(b), 'b', size);
    WORKS((ref = mob_seal(b, &err)) != NULL ? 0 : -1);
    REFUSED_NULL(mob_seal(b, &err), MOB_ERR_INVALID, ENDED);
    bad_works(__LINE__, "a buffer that has ended has no bytes", mob_buffer_data(b) == NULL, &err);
    mob_abandon(b);                     /* no harm */
    mob_abandon(other);
    REFUSED_NULL(mob_seal(other, &err), MOB_ERR_INVALID, ENDED);
    WORKS(mob_get(ref, PATIENCE_MS, &view, &err));
    bad_works(__LINE__, "the object is as it was sealed", view.size == size && ((const char *)view.data)[size - 1] == 'b', &err);
    mob_view_release(&view);
    mob_ref_drop(ref);
}

static void returned_twice(void)
{
    struct mob_options two = { .size = sizeof two, .returns = 2 };
    struct mob_fn *fn = mob_fn("generous", &two, &err);
    struct mob_ref *refs[2] = { NULL };
    struct mob_view view;

    WORKS(mob_call(fn, NULL, 0, refs, &err));
    REFUSED(mob_get(refs[0], PATIENCE_MS, &view, &err), MOB_ERR_INVALID, ENDED);
    mob_ref_drop(refs[0]);
    mob_ref_drop(refs[1]);
    mob_fn_destroy(fn);
}

static void forked(struct mob_ref *ref)
{
    struct mob_view view;
    int status;
    pid_t child = fork();

    if (child == 0) {
        bad_failures = 0;
        REFUSED(mob_init(0, NULL, NULL, &err), MOB_ERR_INVALID, "forked");
        REFUSED(mob_get(ref, 0, &view, &err), MOB_ERR_INVALID, "forked");
        REFUSED_NULL(mob_put("x", 1, &err), MOB_ERR_INVALID, "forked");
        REFUSED_NULL(fn_with(NULL), MOB_ERR_INVALID, "forked");
        mob_ref_drop(ref);
        mob_shutdown();
        _exit(bad_failures > 0);
    }
    waitpid(child, &status, 0);
    bad_works(__LINE__, "calls after fork()", status == 0, &err);
}

static void before_init(void)
{
    struct mob_view view;

    REFUSED_NULL(mob_put("x", 1, &err), MOB_ERR_INVALID, "call mob_init() first");
    REFUSED_NULL(fn_with(NULL), MOB_ERR_INVALID, "call mob_init() first");
    REFUSED(mob_get(NULL, 0, &view, &err), MOB_ERR_INVALID, "call mob_init() first");
    mob_ref_drop(NULL);
    mob_shutdown();
}

int main(int argc, char **argv)
{
    struct mob_ref *kept;
    struct mob_buffer *unsealed;
    struct mob_fn *fn;
    struct mob_view view;

    if (getenv("MOBULA_WORKER") == NULL)
        before_init();
    WORKS(mob_init(argc, argv, NULL, &err));
    REFUSED(mob_init(argc, argv, NULL, &err), MOB_ERR_INVALID, "call mob_shutdown() in between");
    kept = mob_put("kept", 4, &err);
    unsealed = mob_create(LARGE, &err);
    fn = mob_fn("twice", NULL, &err);
    resources();
    options();
    arguments();
    results();
    refs();
    boundless_sizes();
    sealed_twice(100);
    sealed_twice(LARGE);
    returned_twice();
    forked(kept);
    more_than_there_is();
    good_call();
    WORKS(mob_get(kept, 0, &view, &err));
    mob_view_release(&view);
    mob_shutdown();
    REFUSED(mob_get(kept, 0, &view, &err), MOB_ERR_INVALID, "call mob_init() first");
    mob_ref_drop(kept);
    mob_shutdown();

    WORKS(mob_init(argc, argv, NULL, &err));        /* again: neither refs nor functions of before are taken for new ones */
    REFUSED(mob_get(kept, 0, &view, &err), MOB_ERR_INVALID, "never given out");
    REFUSED(mob_call(fn, NULL, 0, &kept, &err), MOB_ERR_INVALID, "before mob_shutdown()");
    REFUSED_NULL(mob_seal(unsealed, &err), MOB_ERR_INVALID, "before mob_shutdown()");
    mob_fn_destroy(fn);
    good_call();
    mob_shutdown();
    return bad_failures > 0;
}
