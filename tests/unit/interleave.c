/* SPDX-License-Identifier: Apache-2.0 */
/* interleave.c -- runs 2 or 3 actors through every order of their atomic steps, on a machine with store buffers.
 *
 * The machine: each actor has a FIFO store buffer (as x86 has). A store goes into it, a load looks there first, and it reaches memory
 * at any later moment: by itself, at a fence, or at a read-modify-write, which acts on memory. At each moment any actor may make its
 * next step, any buffer may write its oldest store, and (once a run) an actor may be killed.
 *
 * The search: depth first; a run is a list of choices, repeated from the start to come back to where it branched. An actor's state is
 * the list of the values it has seen, or, where it says so (forget()), seen since then; so (memory, buffers, those lists) is the whole
 * state; one that was seen before is not gone into again. The dead remember nothing. A run ends when nobody can move; then the scene's
 * `over` checks it, and says what is wrong.
 */
#include <assert.h>
#include <setjmp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <ucontext.h>

#include "interleave_scene.h"

#define BUFFER 16
#define DEPTH 512
#define STACK (64 * 1024)
#define SEEN (1u << 22)                 /* hashes of states; a power of two */

struct store { volatile void *p; size_t size; uint64_t value; };

struct actor {
    actor_run *run;
    bool over, dead, mortal;
    bool (*ready)(unsigned self);       /* not NULL: waits for this */
    uint64_t history;                   /* hash of what it saw */
    struct store buffer[BUFFER];
    unsigned stores;
    struct store late;                  /* p not NULL: LATE */
    jmp_buf here;                       /* ten times faster than swapcontext(), which enters the kernel */
};

static jmp_buf born[ACTORS];            /* where an actor begins each run, on a stack of its own */

static struct {                         /* the machine; one at a time in this process */
    struct actor actors[ACTORS];
    unsigned count;
    int now;                            /* who runs; -1: the scene itself, whose operations are plain */
    jmp_buf home;
    const struct ground *ground;
    void *shared;
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

void saw(uint64_t value)
{
    struct actor *a = &m.actors[m.now];

    a->history = (a->history + 1 + value) * 0x9e3779b97f4a7c15u;
    a->history ^= a->history >> 29;
}

void forget(uint64_t value)
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

static void late_store(struct actor *a)
{
    struct store late = a->late;

    if (late.p == NULL)
        return;
    a->late.p = NULL;
    step();
    buffer_write_all();
    memory_write(late.p, late.size, late.value);
}

uint64_t step_load(const volatile void *p, size_t size, const char *where)
{
    uint64_t value;

    step();
    value = look(p, size);
    if (sabotaged(LOW_BYTE, where))
        value &= 0xff;
    if (m.now < 0)
        return value;
    saw(value);
    late_store(&m.actors[m.now]);
    return value;
}

void step_publish(volatile void *p, size_t size, uint64_t value, const char *where)
{
    if (m.now >= 0 && sabotaged(LATE, where)) {
        m.actors[m.now].late = (struct store){ p, size, value };
        return;
    }
    step();
    if (sabotaged(NO_FENCE, where)) {
        put(p, size, value);
        return;
    }
    buffer_write_all();
    memory_write(p, size, value);
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

void step_wait(bool (*ready)(unsigned self))
{
    m.actors[m.now].ready = ready;
    step();
    m.actors[m.now].ready = NULL;
    saw(3);
}

/* -- the search ---------------------------------------------------------------------------------------------------------- */

static void actor_main(int self)
{
    if (_setjmp(born[self]) == 0)
        _longjmp(m.home, 1);
    m.actors[self].run(m.shared, (unsigned)self);
    m.actors[self].over = true;
    _longjmp(m.home, 1);
}

static void actor_bear(int i)
{
    static char stacks[ACTORS][STACK];
    static ucontext_t start;

    getcontext(&start);
    start.uc_stack.ss_sp = stacks[i];
    start.uc_stack.ss_size = STACK;
    makecontext(&start, (void (*)(void))actor_main, 1, i);
    if (_setjmp(m.home) == 0)
        setcontext(&start);
}

uint64_t hash(uint64_t h, const void *data, size_t size)
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

    h = m.ground->hash(h, m.shared);
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
        m.actors[i].history = 0;        /* nobody asks what a dead one saw: its memory and its buffer are all that is left of it */
    } else {
        m.now = (int)i;
        if (_setjmp(m.home) == 0)
            _longjmp(m.actors[i].here, 1);
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

static void scene_begin(actor_run *const runs[], unsigned mortal)
{
    memset(&m.scene, 0, sizeof(m.scene));
    m.now = -1;
    m.shared = m.ground->create();
    for (unsigned i = 0; i < m.count; i++) {
        m.actors[i] = (struct actor){ .run = runs[i], .mortal = mortal >> i & 1 };
        memcpy(m.actors[i].here, born[i], sizeof(jmp_buf));
    }
}

const char *search(const struct ground *ground, unsigned count, actor_run *const runs[], unsigned mortal,
                   const char *(*over)(void *shared), enum sabotage sabotage, const char *where)
{
    unsigned repeat = 0;

    m.ground = ground;
    m.count = count;
    m.sabotage = sabotage;
    m.where = where;
    m.visited = calloc(SEEN, sizeof(*m.visited));
    m.states = m.runs = 0;
    m.wrong = NULL;
    for (unsigned i = 0; i < count; i++)
        actor_bear((int)i);
    for (;;) {
        scene_begin(runs, mortal);
        m.runs++;
        if (run_once(repeat))
            m.wrong = over(m.shared);
        ground->destroy(m.shared);
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

/* -- for scenes ------------------------------------------------------------------------------------------------------------ */

struct scene *scene(void)
{
    return &m.scene;
}

bool actor_died(unsigned i)
{
    return m.actors[i].dead;
}

static bool death_known(unsigned i)
{
    return m.actors[i].dead && m.actors[i].stores == 0 && m.sabotage != NO_NOTICE;
}

bool death_untold(void)
{
    for (unsigned i = 0; i < m.count; i++)
        if (death_known(i) && !m.scene.noticed[i])
            return true;
    return false;
}

void deaths_told(void)
{
    for (unsigned i = 0; i < m.count; i++)
        m.scene.noticed[i] |= death_known(i);
}
