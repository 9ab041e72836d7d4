/* SPDX-License-Identifier: Apache-2.0 */
/* test_interleave.c -- the channel's claim and take-back, and the doorbell, through every order of their atomic steps (interleave.c), with
 * a kill at each step: a task runs once or is taken back once, and no wake-up is lost.
 *
 * `sabotage` takes the strength from one operation: the tests that do so show that the search finds the bug that this makes.
 * Found so:
 *   fence F1 of ring (publish / look at dirty):            lost wake-up        test_without_fence_in_ring
 *   fence F2 of try_sleep (asleep / look at dirty):        lost wake-up        test_without_fence_in_try_sleep
 *   set-dirty of ring no longer a fence (dirty / asleep):  lost wake-up        test_without_fence_after_dirty
 *   claim no longer atomic:                                ran and taken back  test_with_claim_that_is_no_swap
 *   no word of a ringer's death:                           lost wake-up        test_without_death_notice
 * F3 (after taking dirty bits) costs nothing here, where an exchange is a full fence: it is for weaker machines.
 */
#include "channel_pair.h"
#include "common/channel_layout.h"
#include "interleave_scene.h"
#include "unit.h"

static void *channel_create(void)
{
    return pair_create_with(EVENT_FD, EVENT_FD);
}

static uint64_t channel_hash(uint64_t h, const void *shared)
{
    const struct pair *p = shared;

    h = hash(h, p->memory, mob_channel_memory_size() - 2 * MOB_CHANNEL_BYTES);          /* all but the bodies, which are empty */
    h = hash(h, p->pages, sizeof(p->pages));
    h = hash(h, &p->owner->owner, sizeof(p->owner->owner));                             /* so an actor may forget how it came to this */
    h = hash(h, &(uint64_t[]){ p->owner->news, p->worker->news, p->owner->error != NULL, p->worker->error != NULL }, 32);
    return hash(h, &p->worker->worker, sizeof(p->worker->worker));
}

static void channel_destroy(void *shared)
{
    pair_destroy(shared);
}

static const struct ground channel_ground = { channel_create, channel_hash, channel_destroy };

/* -- claim and take-back --------------------------------------------------------------------------------------------------- */

static void push(struct pair *p, unsigned task)
{
    scene()->sequences[task] = pair_push(p, task, 1, 0);
}

static void take_back(struct pair *p, unsigned task)
{
    if (scene()->sequences[task] != 0 && mob_channel_take_back(p->owner, scene()->sequences[task]))
        scene()->taken[task]++;
}

static void read_answers(struct pair *p)
{
    uint64_t task;

    while ((task = pair_answer(p, NULL)) != 0)
        scene()->answered[task]++;
}

static void owner_takes_back(void *shared, unsigned self)
{
    struct pair *p = shared;

    (void)self;
    push(p, 1);
    push(p, 2);
    take_back(p, 2);
    push(p, 3);                         /* in the slot of 1, if that is over */
    take_back(p, 1);
    read_answers(p);
    push(p, 4);                         /* in the slot of 2 */
    take_back(p, 4);
}

static bool run_task(struct pair *p)
{
    uint64_t task = pair_claim(p, 1);

    if (task == 0)
        return false;
    scene()->runs[task]++;
    pair_reply(p, task, 0);
    return true;
}

static void worker_tries(void *shared, unsigned self)
{
    struct pair *p = shared;

    (void)self;
    for (uint64_t i = 0; i < 3; i++) {
        forget(i);
        run_task(p);
    }
}

/* Whoever lives finishes: then each task ran once, or was taken back once. */
static const char *each_task_once(void *shared)
{
    struct pair *p = shared;
    bool owner_died = actor_died(0), worker_died = actor_died(1);

    while (!worker_died && run_task(p))
        ;
    if (!owner_died) {
        read_answers(p);
        for (unsigned task = 1; task < 5; task++)
            take_back(p, task);
    }
    for (unsigned task = 1; task < 5; task++) {
        if (scene()->runs[task] + scene()->taken[task] > 1)
            return "a task ran twice, or ran and was taken back";
        if (scene()->sequences[task] != 0 && scene()->runs[task] + scene()->taken[task] == 0 && !owner_died)
            return "a task was lost";
        if (!owner_died && scene()->answered[task] + worker_died < scene()->runs[task])
            return "an answer was lost";
    }
    if (mob_channel_error(p->owner) != NULL || mob_channel_error(p->worker) != NULL)
        return "a sound channel was called broken";
    return NULL;
}

static actor_run *const claim_scene[] = { owner_takes_back, worker_tries };

START_TEST(test_task_runs_once_or_is_taken_back_once)
{
    ck_assert_ptr_null(search(&channel_ground, 2, claim_scene, 3, each_task_once, NOTHING, ""));
}
END_TEST

START_TEST(test_with_claim_that_is_no_swap)
{
    ck_assert_ptr_nonnull(search(&channel_ground, 2, claim_scene, 0, each_task_once, NO_SWAP, "mob_channel_claim"));
    ck_assert_ptr_nonnull(search(&channel_ground, 2, claim_scene, 0, each_task_once, NO_SWAP, "mob_channel_take_back"));
}
END_TEST

/* -- the doorbell ------------------------------------------------------------------------------------------------------------ */

static void ringer(void *shared, unsigned self)
{
    struct pair *p = shared;
    const struct mob_doorbell bell = { &p->pages[1], EVENT_FD };

    for (uint64_t n = 1; n <= 2 - self; n++) {
        forget(n);
        step_store(&scene()->news[self], sizeof(scene()->news[self]), n, __func__);
        mob_doorbell_ring(&bell, self, false);
    }
}

static bool sleep_ends(unsigned self)
{
    (void)self;
    return scene()->event != 0 || death_untold();
}

/* Sleep if nothing is dirty; true if a death was told. */
static bool sleep_on(struct mob_doorbell *bell)
{
    bool death;

    if (!mob_doorbell_try_sleep(bell, MOB_ASLEEP))
        return false;
    step_wait(sleep_ends);
    death = death_untold();
    saw(death);
    deaths_told();
    mob_doorbell_wake_up(bell);
    return death;
}

static void sleeper(void *shared, unsigned self)
{
    struct pair *p = shared;
    struct mob_doorbell bell = { &p->pages[1], EVENT_FD };
    uint64_t bits = 0;

    (void)self;
    for (;;) {
        forget(bits);
        bits |= mob_doorbell_take(&bell, 0);
        for (unsigned i = 0; i < 2; i++)
            if (bits >> i & 1)
                scene()->seen[i] = step_load(&scene()->news[i], sizeof(scene()->news[i]), __func__);
        bits = sleep_on(&bell) ? 3 : 0;
    }
}

/* Nobody can move: all ringers are done, and the sleeper sleeps for ever. It must have seen all. */
static const char *all_news_seen(void *shared)
{
    (void)shared;
    for (unsigned i = 0; i < 2; i++)
        if (scene()->seen[i] != scene()->news[i])
            return "lost wake-up";
    return NULL;
}

static actor_run *const bell_scene[] = { ringer, ringer, sleeper };

START_TEST(test_no_wake_up_is_lost)
{
    ck_assert_ptr_null(search(&channel_ground, 3, bell_scene, 3, all_news_seen, NOTHING, ""));
}
END_TEST

START_TEST(test_without_fence_in_ring)
{
    ck_assert_ptr_nonnull(search(&channel_ground, 3, bell_scene, 0, all_news_seen, NO_FENCE, "mob_doorbell_ring"));
}
END_TEST

START_TEST(test_without_fence_in_try_sleep)
{
    ck_assert_ptr_nonnull(search(&channel_ground, 3, bell_scene, 0, all_news_seen, NO_FENCE, "mob_doorbell_try_sleep"));
}
END_TEST

START_TEST(test_without_fence_after_dirty)
{
    ck_assert_ptr_nonnull(search(&channel_ground, 3, bell_scene, 0, all_news_seen, NO_FENCE_IN_CHANGE, "mob_doorbell_ring"));
}
END_TEST

START_TEST(test_without_death_notice)
{
    ck_assert_ptr_nonnull(search(&channel_ground, 3, bell_scene, 3, all_news_seen, NO_NOTICE, ""));
}
END_TEST

/* -- both together ----------------------------------------------------------------------------------------------------------- */

static void owner_pushes_and_rings(void *shared, unsigned self)
{
    struct pair *p = shared;

    (void)self;
    for (unsigned task = 1; task < 4; task++) {
        forget(task);
        push(p, task);
        mob_channel_ring(p->owner, false);
        if (task == 2)
            take_back(p, 1);
    }
    read_answers(p);
}

static void worker_sleeps(void *shared, unsigned self)
{
    struct pair *p = shared;
    struct mob_doorbell bell = { &p->pages[1], EVENT_FD };
    bool look_anyway = false;

    (void)self;
    for (;;) {
        forget(look_anyway);
        if (mob_doorbell_take(&bell, 0) != 0 || look_anyway)
            do
                forget(2);
            while (run_task(p));
        look_anyway = sleep_on(&bell);
    }
}

static const char *all_run(void *shared)
{
    struct pair *p = shared;
    if (!actor_died(1) && mob_channel_pending(p->worker, 1))
        return "the worker sleeps beside a task";
    return each_task_once(p);
}

static actor_run *const channel_scene[] = { owner_pushes_and_rings, worker_sleeps };

START_TEST(test_worker_never_sleeps_beside_a_task)
{
    ck_assert_ptr_null(search(&channel_ground, 2, channel_scene, 3, all_run, NOTHING, ""));
}
END_TEST

/* The owner takes back what stands behind the running task, and dozes: the answer of that task is then the last. */
static void owner_takes_back_and_dozes(void *shared, unsigned self)
{
    struct pair *p = shared;
    struct mob_doorbell bell = { &p->pages[0], EVENT_FD };

    (void)self;
    push(p, 1);
    push(p, 2);
    for (;;) {
        forget(0);
        mob_doorbell_take(&bell, 0);
        read_answers(p);
        take_back(p, 2);
        if (!mob_doorbell_try_sleep(&bell, MOB_DOZING))
            continue;
        step_wait(sleep_ends);
        saw(death_untold());
        deaths_told();
        mob_doorbell_wake_up(&bell);
    }
}

static void worker_answers(void *shared, unsigned self)
{
    struct pair *p = shared;

    (void)self;
    for (int i = 0; i < 2; i++)
        if (run_task(p))
            mob_channel_ring_answers(p->worker, 1, false);
}

static const char *all_answers_read(void *shared)
{
    struct pair *p = shared;

    if (pair_answer(p, NULL) != 0)
        return "the owner dozes beside the last answer";
    for (unsigned task = 1; task < 3; task++)
        if (scene()->answered[task] + actor_died(1) < scene()->runs[task])
            return "an answer was lost";
    return NULL;
}

static actor_run *const doze_scene[] = { owner_takes_back_and_dozes, worker_answers };

START_TEST(test_owner_never_dozes_beside_the_last_answer)
{
    ck_assert_ptr_null(search(&channel_ground, 2, doze_scene, 2, all_answers_read, NOTHING, ""));
}
END_TEST

UNIT_CASE("interleave", tcase)
{
    tcase_set_timeout(tcase, 110);
    UNIT_TESTS(tcase, test_task_runs_once_or_is_taken_back_once, test_with_claim_that_is_no_swap, test_no_wake_up_is_lost,
               test_without_fence_in_ring, test_without_fence_in_try_sleep, test_without_fence_after_dirty,
               test_without_death_notice, test_worker_never_sleeps_beside_a_task, test_owner_never_dozes_beside_the_last_answer);
}
