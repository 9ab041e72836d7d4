/* SPDX-License-Identifier: Apache-2.0 */
/* libmobula against a pretended raylet: this program is driver and, started again by it, worker. */
#include "unit.h"

#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <sched.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "fake_raylet.h"
#include "mobula.h"

static char *folder;
static struct fake_raylet *raylet;

/* -- tasks ------------------------------------------------------------------------------------------------------------------- */

static int task_add(struct mob_task *t, struct mob_error *err)
{
    int64_t a, b;

    if (mob_arg_copy(t, 0, &a, sizeof a, err) < 0 || mob_arg_copy(t, 1, &b, sizeof b, err) < 0)
        return -1;
    a += b;
    return mob_return(t, 0, MOB_BYTES(&a, sizeof a), err);
}
MOB_TASK(task_add)

static int task_fail(struct mob_task *t, struct mob_error *err)
{
    (void)t;
    return mob_fail(err, 7, "no luck with %s", "this");
}
MOB_TASK(task_fail)

static int task_echo(struct mob_task *t, struct mob_error *err)
{
    struct mob_view view;

    for (size_t i = 0; i < mob_arg_count(t); i++)
        if (mob_arg(t, i, &view, err) < 0 || mob_return(t, i, MOB_BYTES(view.data, view.size), err) < 0)
            return -1;
    return 0;
}
MOB_TASK(task_echo)

/* A pipe's read end is inherited by workers: they sleep until the test closes its end. */
static int task_gate(struct mob_task *t, struct mob_error *err)
{
    const char *path = getenv("TEST_GATE");
    FILE *gate = fopen(path, "re");

    (void)t;
    (void)err;
    fgetc(gate);
    fclose(gate);
    return 0;
}
MOB_TASK(task_gate)

static int task_nest(struct mob_task *t, struct mob_error *err)
{
    struct mob_fn *fn = mob_fn("task_add", NULL, err);
    int64_t n, one = 1;
    struct mob_ref *ref;

    if (fn == NULL || mob_arg_copy(t, 0, &n, sizeof n, err) < 0)
        return -1;
    if (mob_call(fn, (struct mob_value[]){ MOB_BYTES(&n, sizeof n), MOB_BYTES(&one, sizeof one) }, 2, &ref, err) < 0)
        return -1;
    if (mob_get_copy(ref, 10000, &n, sizeof n, err) < 0)
        return -1;
    mob_ref_drop(ref);
    mob_fn_destroy(fn);
    return mob_return(t, 0, MOB_BYTES(&n, sizeof n), err);
}
MOB_TASK(task_nest)

/* -- around each test -------------------------------------------------------------------------------------------------------- */

static void set_up(void)
{
    struct mob_error err;

    folder = unit_folder();
    raylet = fake_raylet_create(folder);
    ck_assert_msg(mob_init(0, NULL, NULL, &err) == 0, "%s", err.text);
}

static void tear_down(void)
{
    mob_shutdown();
    fake_raylet_destroy(raylet);
    unit_folder_remove(folder);
}

static struct mob_fn *fn_of(const char *name, const struct mob_options *options)
{
    struct mob_error err;
    struct mob_fn *fn = mob_fn(name, options, &err);

    ck_assert_msg(fn != NULL, "%s", err.text);
    return fn;
}

static struct mob_ref *add(struct mob_fn *fn, int64_t a, int64_t b)
{
    struct mob_value args[2] = { MOB_BYTES(&a, sizeof a), MOB_BYTES(&b, sizeof b) };
    struct mob_error err;
    struct mob_ref *ref;

    ck_assert_msg(mob_call(fn, args, 2, &ref, &err) == 0, "%s", err.text);
    return ref;
}

static int64_t value_of(struct mob_ref *ref)
{
    struct mob_error err;
    int64_t n = 0;

    ck_assert_msg(mob_get_copy(ref, 20000, &n, sizeof n, &err) == 0, "%s", err.text);
    mob_ref_drop(ref);
    return n;
}

/* -- life -------------------------------------------------------------------------------------------------------------------- */

START_TEST(test_calls_before_init_are_refused)
{
    struct mob_error err;

    ck_assert_ptr_null(mob_put("x", 1, &err));
    ck_assert_int_eq(err.code, MOB_ERR_INVALID);
    ck_assert_ptr_nonnull(strstr(err.text, "mob_init"));
    mob_shutdown();
    mob_ref_drop((struct mob_ref *)0x1234);
}
END_TEST

START_TEST(test_wrong_addresses_are_named)
{
    static const struct { const char *address; int code; } wrong[] = {
        { "foo", MOB_ERR_INVALID }, { "127.0.0.1:0", MOB_ERR_INVALID }, { "127.0.0.1:70000", MOB_ERR_INVALID },
        { "auto", MOB_ERR_UNREACHABLE }, { "127.0.0.1:1", MOB_ERR_UNREACHABLE },
    };
    struct mob_init_options options = { .size = sizeof options };
    struct mob_error err;

    folder = unit_folder();
    setenv("XDG_RUNTIME_DIR", folder, 1);       /* nothing runs here */
    for (size_t i = 0; i < MOB_COUNT(wrong); i++) {
        options.address = wrong[i].address;
        ck_assert_int_eq(mob_init(0, NULL, &options, &err), -1);
        ck_assert_msg(err.code == wrong[i].code, "%s: %s", wrong[i].address, err.text);
    }
    unit_folder_remove(folder);
}
END_TEST

/* What a cluster has is not for those who join it to say; wherever the address comes from, and before anybody is asked. */
START_TEST(test_resources_with_an_address_are_refused)
{
    static const struct mob_init_options wrong[] = {
        { .size = sizeof wrong[0], .address = "127.0.0.1:1", .resources = "CPU=1" },
        { .size = sizeof wrong[0], .address = "auto", .object_store_bytes = 1 << 20 },
        { .size = sizeof wrong[0], .resources = "CPU=1" },
        { .size = sizeof wrong[0], .object_store_bytes = 1 << 20 },
    };
    struct mob_error err;

    folder = unit_folder();
    setenv("XDG_RUNTIME_DIR", folder, 1);       /* nothing runs here */
    setenv("MOBULA_ADDRESS", "127.0.0.1:2", 1);
    for (size_t i = 0; i < MOB_COUNT(wrong); i++) {
        ck_assert_int_eq(mob_init(0, NULL, &wrong[i], &err), -1);
        ck_assert_int_eq(err.code, MOB_ERR_INVALID);
        ck_assert_msg(strstr(err.text, "leave them out") != NULL, "%s", err.text);
        ck_assert_msg((strstr(err.text, "127.0.0.1:2\" has its own: leave them out, or unset MOBULA_ADDRESS") != NULL) == (i >= 2), "%s",
                      err.text);
    }
    unit_folder_remove(folder);
}
END_TEST

START_TEST(test_second_init_is_refused_until_shutdown)
{
    struct mob_error err;

    set_up();
    ck_assert_int_eq(mob_init(0, NULL, NULL, &err), -1);
    ck_assert_int_eq(err.code, MOB_ERR_INVALID);
    mob_shutdown();
    fake_raylet_destroy(raylet);
    raylet = fake_raylet_create(folder);
    ck_assert_int_eq(mob_init(0, NULL, NULL, &err), 0);
    tear_down();
}
END_TEST

/* Refs of before mob_shutdown() are refused by name, though the new ones stand in the same slots. */
START_TEST(test_refs_of_an_earlier_init_are_refused)
{
    struct mob_ref *old[3], *now[3];
    struct mob_error err;
    struct mob_view view;

    set_up();
    mob_ref_drop(mob_put("w", 1, &err));
    for (int i = 0; i < 3; i++)
        ck_assert_ptr_nonnull(old[i] = mob_put("x", 1, &err));
    mob_shutdown();
    fake_raylet_destroy(raylet);
    raylet = fake_raylet_create(folder);
    ck_assert_int_eq(mob_init(0, NULL, NULL, &err), 0);
    for (int i = 0; i < 3; i++)
        ck_assert_ptr_nonnull(now[i] = mob_put("y", 1, &err));
    for (int i = 0; i < 3; i++) {
        ck_assert_int_eq(mob_get(old[i], 0, &view, &err), -1);
        ck_assert_int_eq(err.code, MOB_ERR_INVALID);
        ck_assert_ptr_nonnull(strstr(err.text, "never given out by this process"));
        ck_assert_int_eq(mob_get(now[i], 0, &view, &err), 0);
        mob_view_release(&view);
    }
    tear_down();
}
END_TEST

START_TEST(test_forked_child_is_refused)
{
    struct mob_error err;
    int status;
    pid_t pid;

    set_up();
    if ((pid = fork()) == 0) {
        bool refused = mob_put("x", 1, &err) == NULL && err.code == MOB_ERR_INVALID && strstr(err.text, "fork") != NULL
            && mob_init(0, NULL, NULL, &err) < 0;

        mob_shutdown();
        _exit(refused ? 0 : 1);
    }
    ck_assert_int_eq(waitpid(pid, &status, 0), pid);
    ck_assert_int_eq(status, 0);
    mob_ref_drop(mob_put("x", 1, NULL));
    tear_down();
}
END_TEST

START_TEST(test_lost_raylet_fails_every_call)
{
    struct mob_fn *fn;
    struct mob_ref *ref;
    struct mob_error err;
    char *gate;

    set_up();
    gate = mob_printf("%s/gate", folder);
    ck_assert_int_eq(mkfifo(gate, 0600), 0);
    setenv("TEST_GATE", gate, 1);
    fn = fn_of("task_gate", NULL);
    ck_assert_int_eq(mob_call(fn, NULL, 0, &ref, &err), 0);
    fake_raylet_destroy(raylet);
    ck_assert_int_eq(mob_get_copy(ref, 20000, NULL, 0, &err), -1);
    ck_assert_int_eq(err.code, MOB_ERR_NODE_DIED);
    ck_assert_ptr_null(mob_put("x", 1, &err));
    ck_assert_int_eq(err.code, MOB_ERR_NODE_DIED);
    mob_ref_drop(ref);
    mob_fn_destroy(fn);
    mob_shutdown();
    free(gate);
    unit_folder_remove(folder);
}
END_TEST

/* -- words that are wrong ---------------------------------------------------------------------------------------------------- */

START_TEST(test_wrong_words_are_named)
{
    static const struct { const char *function; struct mob_options options; const char *word; } wrong[] = {
        { "nobody", { .size = sizeof(struct mob_options) }, "nobody" },
        { "task_add", { .size = 2 }, ".size" },
        { "task_add", { .size = sizeof(struct mob_options), .resources = "CPU=-1" }, "CPU" },
        { "task_add", { .size = sizeof(struct mob_options), .strategy = "random" }, "random" },
        { "task_add", { .size = sizeof(struct mob_options), .strategy = "node=x" }, "x" },
        { "task_add", { .size = sizeof(struct mob_options), .returns = 70000 }, "70000" },
        { "task_add", { .size = sizeof(struct mob_options), .max_retries = -5 }, "-5" },
    };
    struct mob_error err;

    set_up();
    for (size_t i = 0; i < MOB_COUNT(wrong); i++) {
        ck_assert_ptr_null(mob_fn(wrong[i].function, &wrong[i].options, &err));
        ck_assert_int_eq(err.code, MOB_ERR_INVALID);
        ck_assert_msg(strstr(err.text, wrong[i].word) != NULL, "%zu: %s", i, err.text);
    }
    ck_assert_int_eq(mob_call(NULL, NULL, 0, NULL, &err), -1);
    ck_assert_int_eq(mob_wait(NULL, 0, 1, 0, NULL, &err), -1);
    tear_down();
}
END_TEST

START_TEST(test_dropped_ref_is_refused)
{
    struct mob_error err;
    struct mob_ref *ref;
    struct mob_view view;

    set_up();
    ref = mob_put("abc", 3, &err);
    ck_assert_ptr_nonnull(mob_ref_clone(ref));
    mob_ref_drop(ref);
    ck_assert_int_eq(mob_get(ref, 0, &view, &err), 0);
    mob_ref_drop(ref);
    ck_assert_int_eq(view.size, 3);             /* a view outlives the ref */
    ck_assert_mem_eq(view.data, "abc", 3);
    mob_view_release(&view);
    mob_view_release(&view);
    ck_assert_int_eq(mob_get(ref, 0, &view, &err), -1);
    ck_assert_int_eq(err.code, MOB_ERR_INVALID);
    ck_assert_int_eq(mob_get((struct mob_ref *)0x7fff12345678, 0, &view, &err), -1);
    ck_assert_int_eq(err.code, MOB_ERR_INVALID);
    ck_assert_ptr_null(mob_ref_clone(ref));
    mob_ref_drop(ref);
    tear_down();
}
END_TEST

/* -- tasks ------------------------------------------------------------------------------------------------------------------- */

START_TEST(test_call_and_get)
{
    struct mob_fn *fn;

    set_up();
    fn = fn_of("task_add", NULL);
    for (int64_t i = 0; i < 2000; i++)
        ck_assert_int_eq(value_of(add(fn, i, 1)), i + 1);
    mob_fn_destroy(fn);
    tear_down();
}
END_TEST

START_TEST(test_many_in_flight)
{
    enum { MANY = 5000 };
    static struct mob_ref *refs[MANY];
    struct mob_fn *fn;

    set_up();
    fn = fn_of("task_add", NULL);
    for (int64_t i = 0; i < MANY; i++)
        refs[i] = add(fn, i, i);
    for (int64_t i = 0; i < MANY; i++)
        ck_assert_int_eq(value_of(refs[i]), 2 * i);
    mob_fn_destroy(fn);
    tear_down();
}
END_TEST

START_TEST(test_refs_as_arguments)
{
    int64_t one = 1;
    struct mob_fn *fn;
    struct mob_ref *a, *b;

    set_up();
    fn = fn_of("task_add", NULL);
    a = mob_put(&one, sizeof one, NULL);
    for (int i = 0; i < 20; i++) {
        ck_assert_int_eq(mob_call(fn, (struct mob_value[]){ MOB_REF(a), MOB_BYTES(&one, sizeof one) }, 2, &b, NULL), 0);
        mob_ref_drop(a);
        a = b;
    }
    ck_assert_int_eq(value_of(a), 21);
    mob_fn_destroy(fn);
    tear_down();
}
END_TEST

START_TEST(test_error_of_a_task)
{
    struct mob_error err;
    struct mob_ref *ref;
    struct mob_fn *fn;

    set_up();
    fn = fn_of("task_fail", NULL);
    ck_assert_int_eq(mob_call(fn, NULL, 0, &ref, &err), 0);
    for (int i = 0; i < 2; i++) {               /* at every get */
        memset(&err, 0, sizeof err);
        ck_assert_int_eq(mob_get_copy(ref, 20000, NULL, 0, &err), -1);
        ck_assert_int_eq(err.code, MOB_ERR_TASK);
        ck_assert_int_eq(err.user_code, 7);
        ck_assert_str_eq(err.text, "no luck with this");
        ck_assert_str_eq(err.function, "task_fail");
        ck_assert_int_gt(err.pid, 0);
        ck_assert_int_ne(err.pid, getpid());
    }
    mob_ref_drop(ref);
    mob_fn_destroy(fn);
    tear_down();
}
END_TEST

START_TEST(test_many_returns_and_wrong_sizes)
{
    struct mob_options options = { .size = sizeof options, .returns = 3 };
    struct mob_ref *refs[3];
    struct mob_view views[3];
    struct mob_error err;
    struct mob_fn *fn, *sum;
    char byte;

    set_up();
    fn = fn_of("task_echo", &options);
    ck_assert_int_eq(mob_call(fn, (struct mob_value[]){ MOB_BYTES("a", 1), MOB_BYTES("", 0), MOB_BYTES("ccc", 3) }, 3, refs,
                              &err), 0);
    ck_assert_msg(mob_get_many(refs, 3, 20000, views, &err) == 0, "%s", err.text);
    ck_assert_uint_eq(views[1].size, 0);
    ck_assert_mem_eq(views[2].data, "ccc", 3);
    ck_assert_int_eq(mob_get_copy(refs[2], 0, &byte, 1, &err), -1);
    ck_assert_int_eq(err.code, MOB_ERR_INVALID);
    for (int i = 0; i < 3; i++) {
        mob_view_release(&views[i]);
        mob_ref_drop(refs[i]);
    }
    sum = fn_of("task_add", NULL);
    ck_assert_int_eq(mob_call(sum, (struct mob_value[]){ MOB_BYTES("x", 1), MOB_BYTES("y", 1) }, 2, refs, &err), 0);
    ck_assert_int_eq(mob_get_copy(refs[0], 20000, &byte, 1, &err), -1);
    ck_assert_int_eq(err.code, MOB_ERR_INVALID);
    ck_assert_ptr_nonnull(strstr(err.text, "argument 0"));
    mob_ref_drop(refs[0]);
    mob_fn_destroy(sum);
    mob_fn_destroy(fn);
    tear_down();
}
END_TEST

START_TEST(test_full_store_is_an_error)
{
    struct mob_error err;
    char *large = calloc(1, 200000);

    set_up();
    ck_assert_ptr_null(mob_put(large, 200000, &err));
    ck_assert_int_eq(err.code, MOB_ERR_NO_SPACE);
    ck_assert_ptr_null(mob_create(200000, &err));
    ck_assert_int_eq(err.code, MOB_ERR_NO_SPACE);
    mob_abandon(mob_create(10, &err));
    free(large);
    tear_down();
}
END_TEST

START_TEST(test_timeouts)
{
    struct mob_waitset *set;
    unsigned char ready[2];
    struct mob_error err;
    struct mob_ref *refs[2];
    struct mob_fn *fn;
    char *gate;
    FILE *open_gate;

    set_up();
    gate = mob_printf("%s/gate", folder);
    ck_assert_int_eq(mkfifo(gate, 0600), 0);
    setenv("TEST_GATE", gate, 1);
    fn = fn_of("task_gate", NULL);
    ck_assert_int_eq(mob_call(fn, NULL, 0, &refs[0], &err), 0);
    refs[1] = mob_put("x", 1, &err);
    ck_assert_int_eq(mob_get_copy(refs[0], 0, NULL, 0, &err), -1);
    ck_assert_int_eq(err.code, MOB_ERR_TIMEOUT);
    ck_assert_int_eq(mob_get_copy(refs[0], 20, NULL, 0, &err), -1);
    ck_assert_int_eq(err.code, MOB_ERR_TIMEOUT);
    ck_assert_int_eq(mob_wait(refs, 2, 2, 20, ready, &err), 1);
    ck_assert(ready[0] == 0 && ready[1] == 1);
    ck_assert_int_eq(mob_wait(refs, 2, 1, MOB_FOREVER, ready, &err), 1);
    set = mob_waitset_create(&err);
    ck_assert_int_eq(mob_waitset_add(set, refs[0], NULL, &err), 0);
    ck_assert_int_eq(mob_waitset_next(set, 20, &refs[1], NULL, &err), -1);
    ck_assert_int_eq(err.code, MOB_ERR_TIMEOUT);
    open_gate = fopen(gate, "we");
    fclose(open_gate);
    ck_assert_int_eq(mob_get_copy(refs[0], 20000, NULL, 0, &err), 0);
    mob_waitset_destroy(set);
    mob_fn_destroy(fn);
    free(gate);
    tear_down();
}
END_TEST

START_TEST(test_waitset)
{
    struct mob_waitset *set;
    struct pollfd p = { .events = POLLIN };
    struct mob_error err;
    struct mob_ref *ref;
    struct mob_fn *fn;
    int64_t sum = 0;
    void *user;

    set_up();
    fn = fn_of("task_add", NULL);
    set = mob_waitset_create(&err);
    for (intptr_t i = 0; i < 100; i++) {
        ref = add(fn, i, 0);
        ck_assert_int_eq(mob_waitset_add(set, ref, (void *)i, &err), 0);
        mob_ref_drop(ref);
    }
    p.fd = mob_waitset_fd(set);
    ck_assert_int_eq(poll(&p, 1, 20000), 1);    /* nobody pumps: the service thread must */
    while (mob_waitset_next(set, 20000, &ref, &user, &err) == 1) {
        int64_t n = value_of(ref);

        ck_assert_int_eq(n, (intptr_t)user);
        sum += n;
    }
    ck_assert_int_eq(sum, 99 * 50);
    ck_assert_int_eq(poll(&p, 1, 0), 0);
    mob_waitset_destroy(set);
    mob_fn_destroy(fn);
    tear_down();
}
END_TEST

START_TEST(test_nested_tasks_say_blocked)
{
    struct mob_fn *fn;
    struct mob_error err;
    struct mob_ref *ref;
    int64_t n = 41;

    set_up();
    fn = fn_of("task_nest", NULL);
    ck_assert_int_eq(mob_call(fn, (struct mob_value[]){ MOB_BYTES(&n, sizeof n) }, 1, &ref, &err), 0);
    ck_assert_int_eq(value_of(ref), 42);
    ck_assert_int_gt(fake_raylet_blocked(raylet), 0);
    while (fake_raylet_unblocked(raylet) < fake_raylet_blocked(raylet))
        sched_yield();                  /* it goes by the socket, the answer by the ring */
    mob_fn_destroy(fn);
    tear_down();
}
END_TEST

/* The socket is full when the last call returns, and no other call comes: the rest must leave by itself. */
START_TEST(test_full_socket_is_written_later)
{
    struct mob_options options = { .size = sizeof options };
    enum { NAMES = 4000 };
    struct mob_error err;
    struct mob_ref *gated, *ref;
    struct mob_fn *fn;
    char *gate, name[32];
    int gate_fd;

    set_up();
    gate = mob_printf("%s/gate", folder);
    ck_assert_int_eq(mkfifo(gate, 0600), 0);
    setenv("TEST_GATE", gate, 1);
    fn = fn_of("task_gate", NULL);
    ck_assert_int_eq(mob_call(fn, NULL, 0, &gated, &err), 0);
    mob_fn_destroy(fn);
    while ((gate_fd = open(gate, O_WRONLY | O_NONBLOCK | O_CLOEXEC)) < 0)
        sched_yield();                          /* until it runs: its worker has nothing more to say */
    fake_raylet_freeze(raylet);
    for (int i = 0; i < NAMES; i++) {           /* each name is an event, at once */
        snprintf(name, sizeof name, "name %d", i);
        options.name = name;
        fn = fn_of("task_add", &options);
        ck_assert_int_eq(mob_call(fn, &MOB_REF(gated), 1, &ref, &err), 0);
        mob_fn_destroy(fn);
    }
    nanosleep(&(struct timespec){ .tv_nsec = 700000000 }, NULL);        /* whatever else was due is over */
    fake_raylet_thaw(raylet);
    while (fake_raylet_events(raylet) < NAMES)
        sched_yield();
    close(gate_fd);
    free(gate);
    tear_down();
}
END_TEST

START_TEST(test_nodes)
{
    struct mob_node nodes[2] = { { .size = sizeof nodes[0] } };
    char total[64], available[64];
    size_t count = 2;
    struct mob_error err;

    set_up();
    ck_assert_msg(mob_nodes(nodes, &count, &err) == 0, "%s", err.text);
    ck_assert_uint_eq(count, 1);
    ck_assert_str_eq(nodes[0].id, "2");
    ck_assert_str_eq(nodes[0].address, "127.0.0.1:9");
    ck_assert_str_eq(nodes[0].available, "CPU=3.5");
    ck_assert_int_eq(mob_resources(total, available, sizeof total, &err), 0);
    ck_assert_str_eq(total, "CPU=4");
    ck_assert_int_eq(mob_wait_nodes(1, 1000, &err), 0);
    tear_down();
}
END_TEST

/* -- threads ----------------------------------------------------------------------------------------------------------------- */

static void *adder(void *arg)
{
    struct mob_fn *fn = arg;
    struct mob_ref *refs[50];

    for (int round = 0; round < 20; round++) {
        for (int64_t i = 0; i < 50; i++)
            refs[i] = add(fn, i, round);
        for (int64_t i = 0; i < 50; i++)
            ck_assert_int_eq(value_of(refs[i]), i + round);
    }
    return NULL;
}

START_TEST(test_threads)
{
    pthread_t threads[4];
    struct mob_fn *fn;

    set_up();
    fn = fn_of("task_add", NULL);
    for (int i = 0; i < 4; i++)
        ck_assert_int_eq(pthread_create(&threads[i], NULL, adder, fn), 0);
    for (int i = 0; i < 4; i++)
        pthread_join(threads[i], NULL);
    mob_fn_destroy(fn);
    tear_down();
}
END_TEST

static void *getter(void *arg)
{
    struct mob_error err;

    if (mob_get_copy(arg, MOB_FOREVER, NULL, 0, &err) == 0)
        return NULL;
    return err.code == MOB_ERR_INVALID ? arg : NULL;
}

START_TEST(test_shutdown_ends_those_who_wait)
{
    pthread_t thread;
    struct mob_error err;
    struct mob_ref *ref;
    struct mob_fn *fn;
    char *gate;
    void *answer;

    set_up();
    gate = mob_printf("%s/gate", folder);
    ck_assert_int_eq(mkfifo(gate, 0600), 0);
    setenv("TEST_GATE", gate, 1);
    fn = fn_of("task_gate", NULL);
    ck_assert_int_eq(mob_call(fn, NULL, 0, &ref, &err), 0);
    ck_assert_int_eq(pthread_create(&thread, NULL, getter, ref), 0);
    tear_down();
    pthread_join(thread, &answer);
    ck_assert_ptr_eq(answer, ref);              /* it was refused, whether it came before or after */
    mob_fn_destroy(fn);
    free(gate);
}
END_TEST

int main(int argc, char **argv)
{
    const TTest *const tests[] = {
        test_calls_before_init_are_refused, test_wrong_addresses_are_named, test_resources_with_an_address_are_refused,
        test_second_init_is_refused_until_shutdown, test_refs_of_an_earlier_init_are_refused, test_forked_child_is_refused,
        test_lost_raylet_fails_every_call, test_wrong_words_are_named, test_dropped_ref_is_refused, test_call_and_get,
        test_many_in_flight, test_refs_as_arguments, test_error_of_a_task, test_many_returns_and_wrong_sizes,
        test_full_store_is_an_error, test_timeouts, test_waitset, test_nested_tasks_say_blocked, test_full_socket_is_written_later, test_nodes, test_threads,
        test_shutdown_ends_those_who_wait,
    };

    if (getenv("MOBULA_WORKER") != NULL)
        mob_init(argc, argv, NULL, NULL);       /* does not return */
    return unit_run("runtime_api", tests, MOB_COUNT(tests));
}
