/* SPDX-License-Identifier: Apache-2.0 */
/* test_family.c -- the children of this process, its own and those it adopts; and of one that is process 1 of a namespace under the
 * same /proc. */
#include <sched.h>
#include <signal.h>
#include <stdbool.h>
#include <stdlib.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include "raylet/family.h"
#include "unit.h"

/* A child that waits for its end, and says its pid as it knows it. */
static pid_t start_one(void)
{
    pid_t pid = fork();

    if (pid == 0)
        for (;;)
            pause();
    return pid;
}

static bool is_among(pid_t pid, const pid_t *list, size_t count)
{
    for (size_t i = 0; i < count; i++)
        if (list[i] == pid)
            return true;
    return false;
}

/* True: the list is exactly two children, one of them of another's making. */
static bool sees_own_and_adopted(void)
{
    int said[2];
    pid_t own = start_one(), adopted = 0;
    size_t count;
    bool right;

    prctl(PR_SET_CHILD_SUBREAPER, 1);
    if (pipe(said) < 0)
        return false;
    pid_t middle = fork();
    if (middle == 0) {
        setsid();
        adopted = start_one();
        _exit(write(said[1], &adopted, sizeof adopted) != sizeof adopted);
    }
    if (read(said[0], &adopted, sizeof adopted) != sizeof adopted)
        return false;
    waitpid(middle, NULL, 0);
    pid_t *list = mob_family_children(1, &count);
    right = count == 2 && is_among(own, list, count) && is_among(adopted, list, count);
    free(list);
    free(mob_family_children(2, &count));
    right = right && count == 0;        /* no more than it knows */
    kill(own, SIGKILL);
    kill(adopted, SIGKILL);
    return waitpid(own, NULL, 0) == own && waitpid(adopted, NULL, 0) == adopted && right;
}

START_TEST(test_children)
{
    ck_assert(sees_own_and_adopted());
}
END_TEST

/* In a child, as process 1: true where that is not allowed. */
static bool sees_them_in_a_namespace(void)
{
    int status;

    if (unshare(CLONE_NEWPID) < 0)
        return true;
    pid_t first = fork();
    if (first == 0)
        _exit(getpid() == 1 && sees_own_and_adopted() ? 0 : 1);
    return waitpid(first, &status, 0) == first && status == 0;
}

START_TEST(test_children_in_a_namespace)
{
    int status;
    pid_t pid = fork();                 /* whose namespace ends may fork no more: not even for a leak checker */

    if (pid == 0)
        _exit(sees_them_in_a_namespace() ? 0 : 1);
    ck_assert_int_eq(waitpid(pid, &status, 0), pid);
    ck_assert_int_eq(status, 0);
}
END_TEST

/* From the moment that others can see it: its descriptors are closed. */
START_TEST(test_is_ending)
{
    int ends[2];
    char byte;

    ck_assert_int_eq(pipe(ends), 0);
    pid_t pid = fork();
    if (pid == 0)
        for (;;)
            pause();
    close(ends[1]);
    ck_assert(!mob_family_is_ending((uint32_t)pid));
    kill(pid, SIGKILL);
    ck_assert_int_eq(read(ends[0], &byte, 1), 0);
    ck_assert(mob_family_is_ending((uint32_t)pid));
    ck_assert_int_eq(waitpid(pid, NULL, 0), pid);
    ck_assert(mob_family_is_ending((uint32_t)pid));
    close(ends[0]);
}
END_TEST

UNIT_MAIN("family", test_is_ending, test_children, test_children_in_a_namespace)
