/* SPDX-License-Identifier: Apache-2.0 */
/* test_runtime_api.c -- calls of libmobula: values, errors, sets and threads. When they are refused: test_runtime_life.c. */
#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <sched.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "runtime_fixture.h"

START_TEST(test_call_and_get)
{
    struct mob_fn *fn;

    set_up();
    fn = fn_of("task_add", NULL);
    for (int64_t i = 0; i < 2000; i++)
        ck_assert_int_eq(value_of(add(fn, i, 1)), i + 1);
    mob_fn_destroy(fn);
    no_leaks_in_worker();
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
    no_leaks_in_worker();
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
    no_leaks_in_worker();
    tear_down();
}
END_TEST

START_TEST(test_error_of_a_task)
{
    const void *data = NULL;
    struct mob_error err;
    size_t size = 0;
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
    memset(&err, 0, sizeof err);
    ck_assert_int_eq(mob_peek(ref, &data, &size, &err), -1);
    ck_assert_int_eq(err.user_code, 7);
    mob_ref_drop(ref);
    ref = mob_put("abc", 3, &err);
    ck_assert_int_eq(mob_peek(ref, &data, &size, &err), 1);
    ck_assert_uint_eq(size, 3);
    ck_assert_mem_eq(data, "abc", 3);
    mob_ref_drop(ref);
    mob_fn_destroy(fn);
    no_leaks_in_worker();
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
    no_leaks_in_worker();
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
    gate = make_gate();
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
    ck_assert_int_eq(mob_wait(refs, 2, 1, MOB_FOREVER, NULL, &err), 1);
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

/* How many of two objects found no room. */
static int task_full(struct mob_task *t, struct mob_error *err)
{
    int64_t refused = 0;

    for (int i = 0; i < 2; i++)
        refused += mob_create(1 << 20, err) == NULL && err->code == MOB_ERR_NO_SPACE;
    return mob_return(t, 0, MOB_BYTES(&refused, sizeof refused), err);
}
MOB_TASK(task_full)

/* The first wait was over before the second Create was sent: the raylet has heard of it. */
START_TEST(test_a_wait_for_room_keeps_its_cpu)
{
    struct mob_fn *fn;
    struct mob_error err;
    struct mob_ref *ref;

    set_up();
    fn = fn_of("task_full", NULL);
    ck_assert_int_eq(mob_call(fn, NULL, 0, &ref, &err), 0);
    ck_assert_int_eq(value_of(ref), 2);
    ck_assert_int_eq(played_raylet_blocked(raylet), 0);
    mob_fn_destroy(fn);
    tear_down();
}
END_TEST

/* The value of the reference that its argument carries. */
static int task_look(struct mob_task *t, struct mob_error *err)
{
    struct mob_view view;
    struct mob_ref *ref;
    int64_t n;

    if (mob_arg(t, 0, &view, err) < 0 || (ref = mob_view_ref(&view, 0, err)) == NULL)
        return -1;
    if (mob_get_copy(ref, MOB_FOREVER, &n, sizeof n, err) < 0)
        return -1;
    mob_ref_drop(ref);
    return mob_return(t, 0, MOB_BYTES(&n, sizeof n), err);
}
MOB_TASK(task_look)

static struct mob_ref *look_at(struct mob_fn *fn, struct mob_ref *inner)
{
    struct mob_error err;
    struct mob_ref *ref;

    ck_assert_msg(mob_call(fn, (struct mob_value[]){ MOB_BYTES_REFS("", 0, &inner, 1) }, 1, &ref, &err) == 0, "%s", err.text);
    return ref;
}

/* What its owner tells at once is no reason to lend the CPU; a machine that is busy may be late for some. */
START_TEST(test_a_short_wait_keeps_its_cpu)
{
    int64_t n = 42;
    struct mob_fn *fn;
    int rounds = 40;

    set_up();
    fn = fn_of("task_look", NULL);
    for (int i = 0; i < rounds; i++) {
        struct mob_ref *inner = mob_put(&n, sizeof n, NULL);

        ck_assert_int_eq(value_of(look_at(fn, inner)), n);
        mob_ref_drop(inner);
    }
    ck_assert_int_lt(played_raylet_blocked(raylet), rounds / 4);
    mob_fn_destroy(fn);
    tear_down();
}
END_TEST

/* What its owner still waits for is one. */
START_TEST(test_a_long_wait_lends_its_cpu)
{
    struct mob_fn *gate_fn, *fn;
    struct mob_ref *inner, *ref;
    struct mob_error err;
    struct mob_view view;
    char *gate;
    FILE *open_gate;

    set_up();
    gate = make_gate();
    gate_fn = fn_of("task_gate", NULL);
    fn = fn_of("task_look", NULL);
    ck_assert_int_eq(mob_call(gate_fn, NULL, 0, &inner, &err), 0);
    ref = look_at(fn, inner);
    while (played_raylet_blocked(raylet) == 0)
        sched_yield();
    open_gate = fopen(gate, "we");
    ck_assert_ptr_nonnull(open_gate);
    fclose(open_gate);
    ck_assert_int_eq(mob_get(ref, 20000, &view, &err), -1);     /* the gate has no value of 8 bytes */
    ck_assert_int_eq(err.code, MOB_ERR_INVALID);
    mob_ref_drop(ref);
    mob_ref_drop(inner);
    mob_fn_destroy(gate_fn);
    mob_fn_destroy(fn);
    free(gate);
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
    ck_assert_int_gt(played_raylet_blocked(raylet), 0);
    while (played_raylet_unblocked(raylet) < played_raylet_blocked(raylet))
        sched_yield();                  /* it goes by the socket, the answer by the ring */
    mob_fn_destroy(fn);
    no_leaks_in_worker();
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
    gate = make_gate();
    fn = fn_of("task_gate", NULL);
    ck_assert_int_eq(mob_call(fn, NULL, 0, &gated, &err), 0);
    mob_fn_destroy(fn);
    while ((gate_fd = open(gate, O_WRONLY | O_NONBLOCK | O_CLOEXEC)) < 0)
        sched_yield();                          /* until it runs: its worker has nothing more to say */
    played_raylet_freeze(raylet);
    for (int i = 0; i < NAMES; i++) {           /* each name is an event, at once */
        snprintf(name, sizeof name, "name %d", i);
        options.name = name;
        fn = fn_of("task_add", &options);
        ck_assert_int_eq(mob_call(fn, &MOB_REF(gated), 1, &ref, &err), 0);
        mob_fn_destroy(fn);
    }
    nanosleep(&(struct timespec){ .tv_nsec = 700000000 }, NULL);        /* whatever else was due is over */
    played_raylet_thaw(raylet);
    while (played_raylet_events(raylet) < NAMES)
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
    char *said = mob_ask("nodes", "", 1000, &err);
    ck_assert_ptr_nonnull(said);
    ck_assert_ptr_nonnull(strstr(said, "\"available\": {\"CPU\": 3.5}}"));
    free(said);
    ck_assert_ptr_null(mob_ask(NULL, "", 1000, &err));
    ck_assert_int_eq(err.code, MOB_ERR_INVALID);
    tear_down();
}
END_TEST

START_TEST(test_self)
{
    struct mob_self self = { .size = sizeof self };
    struct mob_error err;

    set_up();
    ck_assert_msg(mob_self(&self, &err) == 0, "%s", err.text);
    ck_assert_str_eq(self.ip, "127.0.0.1");
    ck_assert_str_eq(self.head, "127.0.0.1:7");
    ck_assert_str_eq(self.job, self.process);
    ck_assert_int_eq(strncmp(self.process, self.node, strlen(self.node)), 0);
    self.size = offsetof(struct mob_self, ip);
    self.ip[0] = 'x';
    ck_assert_int_eq(mob_self(&self, &err), 0);
    ck_assert_str_eq(self.ip, "x27.0.0.1");
    self.size = 0;
    ck_assert_int_eq(mob_self(&self, &err), -1);
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

struct sleeper {
    struct mob_ref *ref;
    _Atomic pid_t tid;
};

static void *sleeper(void *arg)
{
    struct sleeper *s = arg;
    struct mob_error err;

    s->tid = gettid();
    ck_assert_int_eq(mob_get_copy(s->ref, MOB_FOREVER, NULL, 0, &err), 0);
    return NULL;
}

static bool sleeps_in_epoll(const struct sleeper *s)
{
    char *path = mob_printf("/proc/self/task/%d/syscall", s->tid);
    FILE *file = fopen(path, "re");
    long number = -1;

    if (file != NULL) {                         /* "running" has no number */
        (void)!fscanf(file, "%ld", &number);
        fclose(file);
    }
    free(path);
#ifdef SYS_epoll_wait
    if (number == SYS_epoll_wait)
        return true;
#endif
    return number == SYS_epoll_pwait;
}

/* Who waits while another thread turns the core has its question sent, though that one sleeps on. */
START_TEST(test_a_thread_asks_while_another_sleeps)
{
    struct sleeper s = { .tid = 0 };
    char *gate, *large = calloc(1, 200000);
    struct mob_error err;
    struct mob_fn *fn;
    pthread_t thread;

    set_up();
    gate = make_gate();
    fn = fn_of("task_gate", NULL);
    ck_assert_int_eq(mob_call(fn, NULL, 0, &s.ref, &err), 0);
    ck_assert_int_eq(pthread_create(&thread, NULL, sleeper, &s), 0);
    for (int i = 0; i < 10; i++) {
        nanosleep(&(struct timespec){ .tv_nsec = 80000000 }, NULL);     /* whatever else was due is over: nothing wakes it by chance */
        while (s.tid == 0 || !sleeps_in_epoll(&s))
            sched_yield();
        ck_assert_ptr_null(mob_put(large, 200000, &err));
        ck_assert_int_eq(err.code, MOB_ERR_NO_SPACE);
    }
    fclose(fopen(gate, "we"));
    pthread_join(thread, NULL);
    mob_fn_destroy(fn);
    free(large);
    free(gate);
    tear_down();
}
END_TEST

static void tests(TCase *tcase)
{
    UNIT_TESTS(tcase, test_call_and_get, test_many_in_flight, test_refs_as_arguments, test_error_of_a_task,
               test_many_returns_and_wrong_sizes, test_full_store_is_an_error, test_timeouts, test_waitset,
               test_a_wait_for_room_keeps_its_cpu, test_a_short_wait_keeps_its_cpu, test_a_long_wait_lends_its_cpu,
               test_nested_tasks_say_blocked, test_full_socket_is_written_later, test_nodes, test_self, test_threads,
               test_a_thread_asks_while_another_sleeps);
}

int main(int argc, char **argv)
{
    return runtime_run("runtime_api", tests, argc, argv);
}
