/* SPDX-License-Identifier: Apache-2.0 */
/* test_runtime_life.c -- libmobula in a process from before mob_init() to after mob_shutdown(): what is refused when, and by
 * which words. */
#include <pthread.h>
#include <sys/wait.h>
#include <unistd.h>

#include "runtime_fixture.h"

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
    played_raylet_destroy(raylet);
    raylet = played_raylet_create(folder);
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
    played_raylet_destroy(raylet);
    raylet = played_raylet_create(folder);
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

/* Which raylet, and what to do, said once. */
static void check_says_lost(const struct mob_error *err)
{
    const char *advice = "mob_shutdown(), then mob_init() again", *told = strstr(err->text, advice);

    ck_assert_int_eq(err->code, MOB_ERR_NODE_DIED);
    ck_assert_msg(strstr(err->text, "the raylet of this node (node ") == err->text && told != NULL
                  && strstr(told + 1, "mob_shutdown()") == NULL, "%s", err->text);
}

START_TEST(test_lost_raylet_fails_every_call)
{
    struct mob_fn *fn;
    struct mob_ref *ref;
    struct mob_error err;
    char *gate;

    set_up();
    gate = make_gate();
    fn = fn_of("task_gate", NULL);
    ck_assert_int_eq(mob_call(fn, NULL, 0, &ref, &err), 0);
    played_raylet_destroy(raylet);
    ck_assert_int_eq(mob_get_copy(ref, 20000, NULL, 0, &err), -1);
    check_says_lost(&err);
    ck_assert_ptr_null(mob_put("x", 1, &err));
    check_says_lost(&err);
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

/* -- shutdown ---------------------------------------------------------------------------------------------------------------- */

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
    gate = make_gate();
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

static void tests(TCase *tcase)
{
    UNIT_TESTS(tcase, test_calls_before_init_are_refused, test_wrong_addresses_are_named,
               test_resources_with_an_address_are_refused, test_second_init_is_refused_until_shutdown,
               test_refs_of_an_earlier_init_are_refused, test_forked_child_is_refused, test_lost_raylet_fails_every_call,
               test_wrong_words_are_named, test_dropped_ref_is_refused, test_shutdown_ends_those_who_wait);
}

int main(int argc, char **argv)
{
    return runtime_run("runtime_life", tests, argc, argv);
}
