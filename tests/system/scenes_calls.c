/* SPDX-License-Identifier: Apache-2.0 */
/* scenes_calls.c -- what goes in comes out: arguments, results, waits, nested tasks, big values, many threads. */
#include <poll.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "tasks.h"

#define MANY_ARGS 10000
#define BUFFERS 300

/* -- results ----------------------------------------------------------------------------------------------------------------- */

static int results(char **words)
{
    struct mob_options three = { .size = sizeof three, .returns = 3 };
    struct mob_error err;
    struct mob_view view;
    struct mob_ref *refs[3], *put, *none;
    struct mob_fn *fn;
    uint64_t count = 3, seven = 7;

    (void)words;
    put = mob_put(&seven, sizeof seven, &err);
    CHECK(put != NULL);
    CHECK(take_u64(call("echo", &MOB_REF(put), 1)) == 7);
    CHECK(take_u64(call("sum", (struct mob_value[]){ MOB_REF(put), MOB_BYTES(&seven, 8), MOB_REF(put) }, 3)) == 21);
    CHECK(take_u64(call("sum", NULL, 0)) == 0);
    none = call("echo", &MOB_BYTES("", 0), 1);
    CHECK_OK(mob_get(none, MOB_FOREVER, &view, &err), &err);
    CHECK(view.size == 0);
    mob_view_release(&view);
    mob_ref_drop(none);

    fn = mob_fn("squares", &three, &err);
    CHECK(fn != NULL);
    CHECK_OK(mob_call(fn, &MOB_BYTES(&count, sizeof count), 1, refs, &err), &err);
    for (uint64_t i = 3; i-- > 0;)
        CHECK(take_u64(refs[i]) == i * i);
    count = 2;                                  /* the third result is not set: it is empty */
    CHECK_OK(mob_call(fn, &MOB_BYTES(&count, sizeof count), 1, refs, &err), &err);
    CHECK_OK(mob_get(refs[2], MOB_FOREVER, &view, &err), &err);
    CHECK(view.size == 0);
    mob_view_release(&view);
    for (int i = 0; i < 3; i++)
        mob_ref_drop(refs[i]);
    mob_fn_destroy(fn);
    mob_ref_drop(put);
    return 0;
}

static int arguments(char **words)
{
    struct mob_value *args = calloc(MANY_ARGS, sizeof *args);
    uint64_t *numbers = calloc(MANY_ARGS, sizeof *numbers), wanted = 0;
    struct mob_ref **refs = calloc(MANY_ARGS, sizeof *refs);
    static char blob[90000];
    struct mob_error err;

    (void)words;
    CHECK(args != NULL && numbers != NULL && refs != NULL);
    for (uint64_t i = 0; i < MANY_ARGS; i++) {
        numbers[i] = i * 3 + 1;
        wanted += numbers[i];
        args[i] = MOB_BYTES(&numbers[i], sizeof numbers[i]);
    }
    CHECK(take_u64(call("sum", args, MANY_ARGS)) == wanted);
    for (size_t i = 0; i < MANY_ARGS; i++) {
        refs[i] = i % 10 == 0 ? call("echo", &args[i], 1) : mob_put(&numbers[i], sizeof numbers[i], &err);
        CHECK(refs[i] != NULL);
        args[i] = MOB_REF(refs[i]);
    }
    CHECK(take_u64(call("sum", args, MANY_ARGS)) == wanted);
    for (size_t i = 0; i < MANY_ARGS; i++)
        mob_ref_drop(refs[i]);
    for (size_t i = 0; i < 6; i++) {            /* more than a frame may hold: the worker asks the owner for some */
        refs[i] = call_u64("blob_bytes", sizeof blob);
        args[i] = MOB_REF(refs[i]);
    }
    fill_pattern(blob, sizeof blob, sizeof blob);
    CHECK(take_u64(call("checksums", args, 6)) == 6 * checksum_of(blob, sizeof blob));
    for (size_t i = 0; i < 6; i++)
        mob_ref_drop(refs[i]);
    free(refs);
    free(numbers);
    free(args);
    return 0;
}

/* -- waits ------------------------------------------------------------------------------------------------------------------- */

static void get_many(void)
{
    struct mob_ref *refs[200];
    struct mob_view views[200];
    struct mob_error err;

    for (uint64_t i = 0; i < 200; i++)
        refs[i] = call_u64("echo", i);
    CHECK_OK(mob_get_many(refs, 200, MOB_FOREVER, views, &err), &err);
    for (uint64_t i = 0; i < 200; i++) {
        CHECK(views[i].size == sizeof i && memcmp(views[i].data, &i, sizeof i) == 0);
        mob_view_release(&views[i]);
        mob_ref_drop(refs[i]);
    }
}

/* One task stands at the gate, the others pass. */
static void wait_some(const char *folder)
{
    struct mob_ref *refs[5] = { call_gate("gate", NULL, folder, "wait") }, *ref;
    struct mob_error err;
    struct mob_waitset *set = mob_waitset_create(&err);
    struct mob_view view;
    unsigned char ready[5];
    void *user;

    for (uint64_t i = 1; i < 5; i++)
        refs[i] = call_u64("echo", i);
    CHECK(mob_wait(refs, 5, 4, MOB_FOREVER, ready, &err) == 4);
    CHECK(ready[0] == 0 && ready[1] == 1 && ready[2] == 1 && ready[3] == 1 && ready[4] == 1);
    CHECK(mob_wait(refs, 5, 5, 50, ready, &err) == 4);
    CHECK(mob_get(refs[0], 50, &view, &err) < 0 && err.code == MOB_ERR_TIMEOUT);
    CHECK(mob_get(refs[0], 0, &view, &err) < 0 && err.code == MOB_ERR_TIMEOUT);
    CHECK_OK(mob_waitset_add(set, refs[0], NULL, &err), &err);
    CHECK(mob_waitset_next(set, 1, &ref, &user, &err) < 0 && err.code == MOB_ERR_TIMEOUT);
    mob_waitset_destroy(set);
    make_file(folder, "open", "");
    CHECK(mob_wait(refs, 5, 5, MOB_FOREVER, ready, &err) == 5);
    for (int i = 0; i < 5; i++)
        mob_ref_drop(refs[i]);
}

static void waitset(void)
{
    struct mob_error err;
    struct mob_waitset *set = mob_waitset_create(&err);
    struct mob_ref *ref;
    uint64_t seen = 0, values[50];
    void *user;

    CHECK(set != NULL);
    CHECK(mob_waitset_next(set, 0, &ref, &user, &err) == 0);
    for (uint64_t i = 0; i < 50; i++) {
        values[i] = i;
        ref = call_u64("echo", i);
        CHECK_OK(mob_waitset_add(set, ref, &values[i], &err), &err);
        mob_ref_drop(ref);
    }
    for (int left = 50; left > 0; left--) {
        struct pollfd fd = { .fd = mob_waitset_fd(set), .events = POLLIN };
        CHECK(poll(&fd, 1, 20000) == 1);
        CHECK(mob_waitset_next(set, 0, &ref, &user, &err) == 1);
        CHECK(take_u64(ref) == *(uint64_t *)user);
        seen |= UINT64_C(1) << *(uint64_t *)user;
    }
    CHECK(seen == (UINT64_C(1) << 50) - 1);
    CHECK(mob_waitset_next(set, MOB_FOREVER, &ref, &user, &err) == 0);
    mob_waitset_destroy(set);
}

static int waits(char **words)
{
    get_many();
    wait_some(words[0]);
    waitset();
    return 0;
}

/* -- nested, big, threads ---------------------------------------------------------------------------------------------------- */

static int nested(char **words)
{
    (void)words;
    CHECK(take_u64(call_u64("chain", 20)) == 20);
    CHECK(take_u64(call_u64("fibonacci", 9)) == 34);
    CHECK(take_u64(call_u64("leave_behind", 20)) == 77);        /* on one CPU its worker is lent to itself */
    return 0;
}

/* Buffers get their names when they are returned: whoever hears of one finds it, however fast the news. */
static int buffers_at_once(void)
{
    struct mob_ref *refs[BUFFERS];
    struct mob_error err;
    struct mob_view view;

    for (int i = 0; i < BUFFERS; i++)
        refs[i] = call_u64("blob_buffer", 102401);
    for (int i = 0; i < BUFFERS; i++) {
        CHECK_OK(mob_get(refs[i], MOB_FOREVER, &view, &err), &err);
        CHECK(view.size == 102401);
        mob_view_release(&view);
        mob_ref_drop(refs[i]);
    }
    return 0;
}

/* Out of a task and into another, by each way to make a big value. */
static int big(char **words)
{
    static const char *const makers[] = { "blob_bytes", "blob_buffer", "blob_sealed" };
    struct mob_options apart = { .size = sizeof apart, .strategy = "spread" };
    const size_t sizes[] = { 102400, 102401, 5000000 };
    unsigned char *wanted = malloc(5000000);
    struct mob_error err;

    (void)words;
    CHECK(wanted != NULL);
    for (size_t i = 0; i < 9; i++) {
        uint64_t size = sizes[i / 3];
        struct mob_ref *ref = call_with(makers[i % 3], &apart, &MOB_BYTES(&size, sizeof size), 1), *put;
        struct mob_view view;
        fill_pattern(wanted, size, size);
        for (int k = 0; k < 4; k++)
            CHECK(take_u64(call_with("checksum", &apart, &MOB_REF(ref), 1)) == checksum_of(wanted, size));
        CHECK_OK(mob_get(ref, MOB_FOREVER, &view, &err), &err);
        CHECK(view.size == size && memcmp(view.data, wanted, size) == 0);
        mob_view_release(&view);
        mob_ref_drop(ref);
        put = mob_put(wanted, size, &err);
        CHECK(put != NULL);
        CHECK_OK(mob_get(put, 0, &view, &err), &err);       /* it is here: there is nothing to wait for */
        mob_view_release(&view);
        CHECK(take_u64(call_with("checksum", &apart, &MOB_REF(put), 1)) == checksum_of(wanted, size));
        mob_ref_drop(put);
        CHECK(take_u64(call_with("checksum", &apart, &MOB_BYTES(wanted, size), 1)) == checksum_of(wanted, size));
    }
    free(wanted);
    return buffers_at_once();
}

/* As many results as may be, of so many bytes, in front of many short tasks on the same worker. */
static void many_of(uint64_t size)
{
    enum { N = 8192, BEHIND = 900 };
    struct mob_options many = { .size = sizeof many, .returns = N };
    struct mob_ref **refs = calloc(N, sizeof *refs), *behind[BEHIND];
    uint64_t count = N, number;
    struct mob_error err;
    struct mob_view view;
    struct mob_fn *fn = mob_fn("spread", &many, &err);

    CHECK(fn != NULL);
    CHECK_OK(mob_call(fn, (struct mob_value[]){ MOB_BYTES(&count, 8), MOB_BYTES(&size, 8) }, 2, refs, &err), &err);
    for (uint64_t i = 0; i < BEHIND; i++)
        behind[i] = call_u64("echo", i);
    for (uint64_t i = 0; i < N; i++) {
        CHECK_OK(mob_get(refs[i], MOB_FOREVER, &view, &err), &err);
        CHECK(view.size == size);
        memcpy(&number, size >= 8 ? view.data : &i, sizeof number);
        CHECK(number == i);
        mob_view_release(&view);
        mob_ref_drop(refs[i]);
    }
    for (uint64_t i = 0; i < BEHIND; i++)
        CHECK(take_u64(behind[i]) == i);
    mob_fn_destroy(fn);
    free(refs);
}

static void too_many_names(void)
{
    struct mob_options two = { .size = sizeof two, .returns = 2, .max_retries = MOB_NO_RETRY };
    struct mob_error err;
    struct mob_fn *fn = mob_fn("overflow", &two, &err);
    struct mob_ref *refs[2];

    CHECK(fn != NULL);
    CHECK_OK(mob_call(fn, NULL, 0, refs, &err), &err);
    for (int i = 0; i < 2; i++) {
        refused(refs[i], &err);
        CHECK(err.code == MOB_ERR_INVALID && strstr(err.text, "carry too many references") != NULL);
        mob_ref_drop(refs[i]);
    }
    mob_fn_destroy(fn);
}

static int returns(char **words)
{
    struct mob_options too_many = { .size = sizeof too_many, .returns = 20000 };
    struct mob_error err;

    (void)words;
    CHECK(mob_fn("spread", &too_many, &err) == NULL && err.code == MOB_ERR_INVALID);
    CHECK(strstr(err.text, "20000 returns; at most 8192: put several values in one") != NULL);
    for (uint64_t i = 0; i < 20; i++)
        CHECK(take_u64(call_u64("echo", i)) == i);              /* they are known to be short */
    many_of(0);
    many_of(8);
    many_of(48);
    many_of(200);
    too_many_names();
    return 0;
}

static void *submit_and_get(void *arg)
{
    uint64_t base = (uint64_t)(uintptr_t)arg, total = 0;
    struct mob_ref *refs[50];

    for (int round = 0; round < 10; round++) {
        for (uint64_t i = 0; i < 50; i++)
            refs[i] = call_u64("echo", base + i);
        for (uint64_t i = 0; i < 50; i++)
            total += take_u64(refs[i]) == base + i;
    }
    return (void *)(uintptr_t)total;
}

static int threads(char **words)
{
    pthread_t all[16];

    (void)words;
    for (uintptr_t i = 0; i < 16; i++)
        CHECK(pthread_create(&all[i], NULL, submit_and_get, (void *)(i * 1000)) == 0);
    for (int i = 0; i < 16; i++) {
        void *right;
        CHECK(pthread_join(all[i], &right) == 0);
        CHECK((uintptr_t)right == 500);
    }
    return 0;
}

/* A forked child of a driver, and of a task, is told what it may not do; the parent goes on. */
static int forks(char **words)
{
    struct mob_ref *ref = call_u64("echo", 5);
    int status;
    pid_t child = fork();

    (void)words;
    if (child == 0) {
        struct mob_error err;
        struct mob_view view;
        bool told = mob_get(ref, MOB_FOREVER, &view, &err) < 0 && err.code == MOB_ERR_INVALID && strstr(err.text, "fork") != NULL;
        mob_shutdown();
        _exit(told ? 0 : 1);
    }
    CHECK(child > 0 && waitpid(child, &status, 0) == child && status == 0);
    CHECK(take_u64(ref) == 5);
    CHECK(take_u64(call("forked", NULL, 0)) == 0);
    return 0;
}

/* A clone outlives the ref it was made from, of a value and of a task that has not ended; the last drop is the end. */
static int clones(char **words)
{
    uint64_t seven = 7, value = 0;
    struct mob_error err;
    struct mob_ref *put = mob_put(&seven, sizeof seven, &err), *clone = mob_ref_clone(put);
    struct mob_ref *slow = call_u64("sleep_ms", 50), *of_slow = mob_ref_clone(slow);

    (void)words;
    CHECK(put != NULL && clone != NULL && of_slow != NULL);
    mob_ref_drop(put);
    mob_ref_drop(slow);
    CHECK_OK(mob_get_copy(clone, MOB_FOREVER, &value, sizeof value, &err), &err);
    CHECK(value == 7);
    CHECK(take_u64(call("echo", &MOB_REF(clone), 1)) == 7);
    take_u64(of_slow);
    mob_ref_drop(clone);
    CHECK(mob_get_copy(clone, MOB_FOREVER, &value, sizeof value, &err) < 0 && err.code == MOB_ERR_INVALID);
    CHECK(mob_ref_clone(clone) == NULL);
    return 0;
}

const struct scene scenes_calls[] = {
    { "results", "", results },     { "arguments", "", arguments }, { "waits", "FOLDER", waits }, { "nested", "", nested },
    { "big", "", big },             { "threads", "", threads },     { "forks", "", forks },       { "clones", "", clones },
    { "returns", "", returns },
    { 0 },
};
