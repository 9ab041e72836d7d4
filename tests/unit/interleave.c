/* SPDX-License-Identifier: Apache-2.0 */
/* interleave.c -- runs 2 or 3 actors through every order of their atomic steps, on a machine with store buffers.
 *
 * The machine: each actor has a FIFO store buffer (as x86 has). A store goes into it, a load looks there first, and it reaches memory
 * at any later moment: by itself, at a fence, or at a read-modify-write, which acts on memory. At each moment any actor may make its
 * next step, any buffer may write its oldest store, and (once a run) an actor may be killed.
 *
 * The search: depth first; a run is a list of choices, repeated from the start to come back to where it branched. An actor's state is
 * the list of the values it has seen, so (memory, buffers, those lists) is the whole state; one that was seen before is not gone into
 * again. A run ends when nobody can move; then the scene's `over` checks it, and says what is wrong.
 *
 * `sabotage` names an operation by its function and kind and takes its strength away: each test below shows that the search finds the bug
 * that this makes. Found so:
 *   fence F1 of ring (publish / look at dirty):            lost wake-up        test_without_fence_in_ring
 *   fence F2 of try_sleep (asleep / look at dirty):        lost wake-up        test_without_fence_in_try_sleep
 *   set-dirty of ring no longer a fence (dirty / asleep):  lost wake-up        test_without_fence_after_dirty
 *   claim no longer atomic:                                ran and taken back  test_with_claim_that_is_no_swap
 *   no word of a ringer's death:                           lost wake-up        test_without_death_notice
 * F3 (after taking dirty bits) costs nothing here, where an exchange is a full fence: it is for weaker machines.
 */
#include <check.h>
#include <setjmp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <ucontext.h>

#include "channel_pair.h"

#define ACTORS 3
#define BUFFER 16
#define DEPTH 512
#define STACK (64 * 1024)
#define EVENT_FD 1000                   /* stands for it */
#define SEEN (1u << 22)                 /* hashes of states; a power of two */

struct store { volatile void *p; size_t size; uint64_t value; };
enum sabotage { NOTHING, NO_FENCE, NO_FENCE_IN_CHANGE, NO_SWAP, NO_NOTICE };

struct actor {
    void (*run)(struct pair *p, unsigned self);
    bool over, dead, mortal;
    bool (*ready)(unsigned self);       /* not NULL: waits for this */
    uint64_t history;                   /* hash of what it saw */
    struct store buffer[BUFFER];
    unsigned stores;
    ucontext_t start;
    jmp_buf here;                       /* once it started: ten times faster than swapcontext(), which enters the kernel */
    bool started;
    char *stack;
};

/* What the actors of a scene share besides the pair; part of the hashed state. */
struct scene {
    uint64_t news[2], seen[2];          /* published by ringers; found by the sleeper */
    uint32_t event;                     /* the eventfd of the worker's page */
    bool noticed[ACTORS];               /* the sleeper's socket told it of that death */
    unsigned runs[8], taken[8], answered[8];
    uint64_t sequences[8];
    bool killed;
};

static struct {                         /* the machine; one at a time in this process */
    struct actor actors[ACTORS];
    unsigned count;
    int now;                            /* who runs; -1: the scene itself, whose operations are plain */
    jmp_buf home;
    struct pair *pair;
    struct scene scene;
    enum sabotage sabotage;
    const char *where;
    unsigned choices[DEPTH], options[DEPTH], depth;
    uint64_t *visited, states, runs;
    const char *wrong;
} m;

/* -- the machine ------------------------------------------------------------------------------------------------------ */

static uint64_t memory_read(const volatile void *p, size_t size)
{
    return size == 8 ? *(const volatile uint64_t *)p : *(const volatile uint32_t *)p;
}

static void memory_write(volatile void *p, size_t size, uint64_t value)
{
    if (size == 8)
        *(volatile uint64_t *)p = value;
    else
        *(volatile uint32_t *)p = (uint32_t)value;
}

static void saw(uint64_t value)
{
    struct actor *a = &m.actors[m.now];

    a->history = (a->history + 1 + value) * 0x9e3779b97f4a7c15u;
    a->history ^= a->history >> 29;
}

/* All that an actor will still use of what it saw is `value`: states that differ only in the past are one. */
static void forget(uint64_t value)
{
    m.actors[m.now].history = 0;
    saw(value);
}

/* Before each operation: let the search choose who goes on. */
static void step(void)
{
    if (m.now >= 0) {
        saw(0);
        if (_setjmp(m.actors[m.now].here) == 0)
            _longjmp(m.home, 1);
    }
}

static bool sabotaged(enum sabotage how, const char *where)
{
    return m.sabotage == how && strcmp(m.where, where) == 0;
}

static void buffer_write_one(struct actor *a)
{
    memory_write(a->buffer[0].p, a->buffer[0].size, a->buffer[0].value);
    memmove(a->buffer, a->buffer + 1, --a->stores * sizeof(a->buffer[0]));
}

static void buffer_write_all(void)
{
    while (m.now >= 0 && m.actors[m.now].stores > 0)
        buffer_write_one(&m.actors[m.now]);
}

static uint64_t look(const volatile void *p, size_t size)
{
    if (m.now >= 0)
        for (unsigned i = m.actors[m.now].stores; i-- > 0;)
            if (m.actors[m.now].buffer[i].p == p)
                return m.actors[m.now].buffer[i].value;
    return memory_read(p, size);
}

static void put(volatile void *p, size_t size, uint64_t value)
{
    struct actor *a = &m.actors[m.now];

    if (m.now < 0) {
        memory_write(p, size, value);
        return;
    }
    assert(a->stores < BUFFER);
    a->buffer[a->stores++] = (struct store){ p, size, value };
    saw(1);
}

uint64_t step_load(const volatile void *p, size_t size)
{
    uint64_t value;

    step();
    value = look(p, size);
    if (m.now >= 0)
        saw(value);
    return value;
}

void step_store(volatile void *p, size_t size, uint64_t value, const char *where)
{
    (void)where;
    step();
    put(p, size, value);
}

uint64_t step_change(volatile void *p, size_t size, enum step_change how, uint64_t value, const char *where)
{
    bool weak = how == STEP_OR && sabotaged(NO_FENCE_IN_CHANGE, where);
    uint64_t old;

    step();
    if (!weak)
        buffer_write_all();
    old = look(p, size);
    value = how == STEP_EXCHANGE ? value : how == STEP_OR ? old | value : old + value;
    if (weak)
        put(p, size, value);
    else
        memory_write(p, size, value);
    if (m.now >= 0)
        saw(old);
    return old;
}

bool step_compare_exchange(volatile void *p, size_t size, uint64_t *expected, uint64_t value, const char *where)
{
    uint64_t old;

    step();
    buffer_write_all();
    old = look(p, size);
    if (m.now >= 0)
        saw(old);
    if (old != *expected) {
        *expected = old;
        return false;
    }
    if (sabotaged(NO_SWAP, where))
        step();
    memory_write(p, size, value);
    return true;
}

void step_fence(const char *where)
{
    if (sabotaged(NO_FENCE, where))
        return;
    step();
    buffer_write_all();
    if (m.now >= 0)
        saw(2);
}

ssize_t step_event_write(int fd, const void *p, size_t size)
{
    (void)p;
    assert(fd == EVENT_FD);
    step_change(&m.scene.event, sizeof(m.scene.event), STEP_EXCHANGE, 1, __func__);
    return (ssize_t)size;
}

ssize_t step_event_read(int fd, void *p, size_t size)
{
    (void)p;
    assert(fd == EVENT_FD);
    step_change(&m.scene.event, sizeof(m.scene.event), STEP_EXCHANGE, 0, __func__);
    return (ssize_t)size;
}

static void step_wait(bool (*ready)(unsigned self))
{
    m.actors[m.now].ready = ready;
    step();
    m.actors[m.now].ready = NULL;
    saw(3);
}

/* -- the search ---------------------------------------------------------------------------------------------------------- */

static void actor_main(int self)
{
    m.actors[self].run(m.pair, (unsigned)self);
    m.actors[self].over = true;
    _longjmp(m.home, 1);
}

static uint64_t hash(uint64_t h, const void *data, size_t size)
{
    const unsigned char *bytes = data;
    uint64_t word;

    for (size_t i = 0; i < size; i += 8) {
        memcpy(&word, bytes + i, size - i < 8 ? size - i : 8);
        h = (h ^ word) * 0xff51afd7ed558ccdu;
        h ^= h >> 32;
        word = 0;
    }
    return h;
}

/* True if this state is new. */
static bool visit(void)
{
    uint64_t h = hash(0, &m.scene, sizeof(m.scene));

    h = hash(h, m.pair->memory, mob_channel_memory_size() - 2 * MOB_CHANNEL_BYTES);     /* all but the bodies, which are empty */
    h = hash(h, m.pair->pages, sizeof(m.pair->pages));
    for (unsigned i = 0; i < m.count; i++) {
        const struct actor *a = &m.actors[i];

        h = hash(h, &(uint64_t[]){ a->history, a->over * 4u + a->dead * 2u + (a->ready != NULL), a->stores }, 24);
        for (unsigned j = 0; j < a->stores; j++)
            h = hash(h, &(uint64_t[]){ (uint64_t)a->buffer[j].p, a->buffer[j].value }, 16);
    }
    h |= h == 0;
    for (uint64_t at = h;; at++) {
        if (m.visited[at % SEEN] == h)
            return false;
        if (m.visited[at % SEEN] == 0) {
            m.states++;
            assert(m.states < SEEN / 2);
            m.visited[at % SEEN] = h;
            return true;
        }
    }
}

enum move { MOVE_STEP, MOVE_WRITE, MOVE_KILL };

static bool move_allowed(enum move move, unsigned i)
{
    const struct actor *a = &m.actors[i];

    if (move == MOVE_WRITE)
        return a->stores > 0;
    if (a->over || a->dead)
        return false;
    return move == MOVE_STEP ? a->ready == NULL || a->ready(i) : a->mortal && !m.scene.killed;
}

static void move_make(enum move move, unsigned i)
{
    if (move == MOVE_WRITE) {
        buffer_write_one(&m.actors[i]);
    } else if (move == MOVE_KILL) {
        m.actors[i].dead = m.scene.killed = true;
    } else {
        m.now = (int)i;
        if (_setjmp(m.home) == 0) {
            if (m.actors[i].started)
                _longjmp(m.actors[i].here, 1);
            m.actors[i].started = true;
            setcontext(&m.actors[i].start);
        }
        m.now = -1;
    }
}

/* One run: repeat choices[0..depth), then always the first option, until nobody moves (true) or the state was seen (false). */
static bool run_once(unsigned repeat)
{
    for (m.depth = 0;; m.depth++) {
        unsigned moves[3 * ACTORS], count = 0, chosen;

        for (unsigned move = 0; move < 3; move++)
            for (unsigned i = 0; i < m.count; i++)
                if (move_allowed(move, i))
                    moves[count++] = move * ACTORS + i;
        if (m.depth >= repeat && !visit())
            return false;
        if (count == 0)
            return true;
        assert(m.depth < DEPTH);
        if (m.depth >= repeat)
            m.choices[m.depth] = 0;
        m.options[m.depth] = count;
        chosen = moves[m.choices[m.depth]];
        move_make(chosen / ACTORS, chosen % ACTORS);
    }
}

static void scene_begin(void (*const runs[])(struct pair *, unsigned), unsigned mortal)
{
    memset(&m.scene, 0, sizeof(m.scene));
    m.now = -1;
    m.pair = pair_create_with(-1, EVENT_FD);
    for (unsigned i = 0; i < m.count; i++) {
        struct actor *a = &m.actors[i];
        char *stack = a->stack != NULL ? a->stack : malloc(STACK);

        *a = (struct actor){ .run = runs[i], .mortal = mortal >> i & 1, .stack = stack };
        getcontext(&a->start);
        a->start.uc_stack.ss_sp = stack;
        a->start.uc_stack.ss_size = STACK;
        makecontext(&a->start, (void (*)(void))actor_main, 1, (int)i);
    }
}

/* All runs of these actors: NULL, or the first thing that went wrong. `mortal`: bits of actors of which one may be killed, or none. */
static const char *search(unsigned count, void (*const runs[])(struct pair *, unsigned), unsigned mortal,
                          const char *(*over)(struct pair *), enum sabotage sabotage, const char *where)
{
    unsigned repeat = 0;

    m.count = count;
    m.sabotage = sabotage;
    m.where = where;
    m.visited = calloc(SEEN, sizeof(*m.visited));
    m.states = m.runs = 0;
    m.wrong = NULL;
    for (;;) {
        scene_begin(runs, mortal);
        m.runs++;
        if (run_once(repeat))
            m.wrong = over(m.pair);
        pair_destroy(m.pair);
        if (m.wrong != NULL)
            break;
        while (m.depth > 0 && m.choices[m.depth - 1] + 1 == m.options[m.depth - 1])
            m.depth--;
        if (m.depth == 0)
            break;
        m.choices[m.depth - 1]++;
        repeat = m.depth;
    }
    printf("%llu states in %llu runs: %s\n", (unsigned long long)m.states, (unsigned long long)m.runs, m.wrong ? m.wrong : "all good");
    free(m.visited);
    return m.wrong;
}

/* -- claim and take-back --------------------------------------------------------------------------------------------------- */

static void push(struct pair *p, unsigned task)
{
    m.scene.sequences[task] = pair_push(p, task, 1, 0);
}

static void take_back(struct pair *p, unsigned task)
{
    if (m.scene.sequences[task] != 0 && mob_channel_take_back(p->owner, m.scene.sequences[task]))
        m.scene.taken[task]++;
}

static void read_answers(struct pair *p)
{
    uint64_t task;

    while ((task = pair_answer(p, NULL)) != 0)
        m.scene.answered[task]++;
}

static void owner_takes_back(struct pair *p, unsigned self)
{
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
    m.scene.runs[task]++;
    pair_reply(p, task, 0);
    return true;
}

static void worker_tries(struct pair *p, unsigned self)
{
    (void)self;
    for (int i = 0; i < 3; i++)
        run_task(p);
}

/* Whoever lives finishes: then each task ran once, or was taken back once. */
static const char *each_task_once(struct pair *p)
{
    bool owner_died = m.actors[0].dead, worker_died = m.actors[1].dead;

    while (!worker_died && run_task(p))
        ;
    if (!owner_died) {
        read_answers(p);
        for (unsigned task = 1; task < 5; task++)
            take_back(p, task);
    }
    for (unsigned task = 1; task < 5; task++) {
        if (m.scene.runs[task] + m.scene.taken[task] > 1)
            return "a task ran twice, or ran and was taken back";
        if (m.scene.sequences[task] != 0 && m.scene.runs[task] + m.scene.taken[task] == 0 && !owner_died)
            return "a task was lost";
        if (!owner_died && m.scene.answered[task] + worker_died < m.scene.runs[task])
            return "an answer was lost";
    }
    if (mob_channel_error(p->owner) != NULL || mob_channel_error(p->worker) != NULL)
        return "a sound channel was called broken";
    return NULL;
}

static void (*const claim_scene[])(struct pair *, unsigned) = { owner_takes_back, worker_tries };

START_TEST(test_task_runs_once_or_is_taken_back_once)
{
    ck_assert_ptr_null(search(2, claim_scene, 3, each_task_once, NOTHING, ""));
}
END_TEST

START_TEST(test_with_claim_that_is_no_swap)
{
    ck_assert_ptr_nonnull(search(2, claim_scene, 0, each_task_once, NO_SWAP, "mob_channel_claim"));
    ck_assert_ptr_nonnull(search(2, claim_scene, 0, each_task_once, NO_SWAP, "mob_channel_take_back"));
}
END_TEST

/* -- the doorbell ------------------------------------------------------------------------------------------------------------ */

static void ringer(struct pair *p, unsigned self)
{
    const struct mob_doorbell bell = { &p->pages[1], EVENT_FD };

    for (uint64_t n = 1; n <= 2 - self; n++) {
        forget(n);
        step_store(&m.scene.news[self], sizeof(m.scene.news[self]), n, __func__);
        mob_doorbell_ring(&bell, self, false);
    }
}

static bool death_to_tell(void)
{
    for (unsigned i = 0; i < m.count && m.sabotage != NO_NOTICE; i++)
        if (m.actors[i].dead && m.actors[i].stores == 0 && !m.scene.noticed[i])
            return true;
    return false;
}

static bool sleep_ends(unsigned self)
{
    (void)self;
    return m.scene.event != 0 || death_to_tell();
}

/* Sleep if nothing is dirty; true if a death was told. */
static bool sleep_on(struct mob_doorbell *bell)
{
    bool death;

    if (!mob_doorbell_try_sleep(bell, MOB_ASLEEP))
        return false;
    step_wait(sleep_ends);
    death = death_to_tell();
    saw(death);
    for (unsigned i = 0; i < m.count; i++)
        m.scene.noticed[i] |= m.actors[i].dead && m.actors[i].stores == 0;
    mob_doorbell_wake_up(bell);
    return death;
}

static void sleeper(struct pair *p, unsigned self)
{
    struct mob_doorbell bell = { &p->pages[1], EVENT_FD };
    uint64_t bits = 0;

    (void)self;
    for (;;) {
        forget(bits);
        bits |= mob_doorbell_take(&bell, 0);
        for (unsigned i = 0; i < 2; i++)
            if (bits >> i & 1)
                m.scene.seen[i] = step_load(&m.scene.news[i], sizeof(m.scene.news[i]));
        bits = sleep_on(&bell) ? 3 : 0;
    }
}

/* Nobody can move: all ringers are done, and the sleeper sleeps for ever. It must have seen all. */
static const char *all_news_seen(struct pair *p)
{
    (void)p;
    for (unsigned i = 0; i < 2; i++)
        if (m.scene.seen[i] != m.scene.news[i])
            return "lost wake-up";
    return NULL;
}

static void (*const bell_scene[])(struct pair *, unsigned) = { ringer, ringer, sleeper };

START_TEST(test_no_wake_up_is_lost)
{
    ck_assert_ptr_null(search(3, bell_scene, 3, all_news_seen, NOTHING, ""));
}
END_TEST

START_TEST(test_without_fence_in_ring)
{
    ck_assert_ptr_nonnull(search(3, bell_scene, 0, all_news_seen, NO_FENCE, "mob_doorbell_ring"));
}
END_TEST

START_TEST(test_without_fence_in_try_sleep)
{
    ck_assert_ptr_nonnull(search(3, bell_scene, 0, all_news_seen, NO_FENCE, "mob_doorbell_try_sleep"));
}
END_TEST

START_TEST(test_without_fence_after_dirty)
{
    ck_assert_ptr_nonnull(search(3, bell_scene, 0, all_news_seen, NO_FENCE_IN_CHANGE, "mob_doorbell_ring"));
}
END_TEST

START_TEST(test_without_death_notice)
{
    ck_assert_ptr_nonnull(search(3, bell_scene, 3, all_news_seen, NO_NOTICE, ""));
}
END_TEST

/* -- both together ----------------------------------------------------------------------------------------------------------- */

static void owner_pushes_and_rings(struct pair *p, unsigned self)
{
    (void)self;
    for (unsigned task = 1; task < 4; task++) {
        push(p, task);
        mob_channel_ring(p->owner, false);
        if (task == 2)
            take_back(p, 1);
    }
    read_answers(p);
}

static void worker_sleeps(struct pair *p, unsigned self)
{
    struct mob_doorbell bell = { &p->pages[1], EVENT_FD };
    bool look_anyway = false;

    (void)self;
    for (;;) {
        if (mob_doorbell_take(&bell, 0) != 0 || look_anyway)
            while (run_task(p))
                ;
        look_anyway = sleep_on(&bell);
    }
}

static const char *all_run(struct pair *p)
{
    if (!m.actors[1].dead && mob_channel_pending(p->worker, 1))
        return "the worker sleeps beside a task";
    return each_task_once(p);
}

static void (*const channel_scene[])(struct pair *, unsigned) = { owner_pushes_and_rings, worker_sleeps };

START_TEST(test_worker_never_sleeps_beside_a_task)
{
    ck_assert_ptr_null(search(2, channel_scene, 3, all_run, NOTHING, ""));
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("interleave");
    TCase *c = tcase_create("interleave");
    SRunner *runner;
    int failed;

    tcase_set_timeout(c, 110);
    tcase_add_test(c, test_task_runs_once_or_is_taken_back_once);
    tcase_add_test(c, test_with_claim_that_is_no_swap);
    tcase_add_test(c, test_no_wake_up_is_lost);
    tcase_add_test(c, test_without_fence_in_ring);
    tcase_add_test(c, test_without_fence_in_try_sleep);
    tcase_add_test(c, test_without_fence_after_dirty);
    tcase_add_test(c, test_without_death_notice);
    tcase_add_test(c, test_worker_never_sleeps_beside_a_task);
    suite_add_tcase(suite, c);
    runner = srunner_create(suite);
    srunner_run_all(runner, CK_NORMAL);
    failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed != 0;
}
