/* SPDX-License-Identifier: Apache-2.0 */
/* fuzz_executor.c -- any bytes as Assign from the raylet, and as arguments of tasks in a worker's ring: no crash, no read beyond the
 * frame, and each frame gets one answer. */
#include "unit/channel_pair.h"

#include "common/wire.h"
#include "worker/executor.h"

#define CHECK(condition) do { if (!(condition)) abort(); } while (0)

static const struct mob_address self = { 2, 7 }, owner = { 2, 5 }, raylet = { 2, 0 };

static int64_t world_now(struct mob_world *w)
{
    (void)w;
    return 1000;
}

static void world_send(struct mob_world *w, uint64_t link, const void *frame, size_t size)
{
    (void)w, (void)link, (void)frame, (void)size;
}

static void assign(struct mob_executor *e, uint32_t epoch)
{
    Mobula__Assign m = MOBULA__ASSIGN__INIT;
    Mobula__Address address;
    struct mob_wire *wire = mob_wire_create();
    struct mob_envelope out;
    size_t size;

    mob_wire_put_address(&address, owner);
    m.epoch = epoch;
    m.lease = 1;
    m.owner = &address;
    mob_envelope_init(&out, raylet, self, MOBULA__ENVELOPE__BODY_ASSIGN);
    out.e.assign = &m;
    const void *bytes = mob_wire_pack(wire, &out.e, &size);
    mob_executor_receive(e, bytes, size);
    mob_wire_destroy(wire);
}

static void push(struct mob_channel *c, uint64_t task, uint32_t args, const uint8_t *bytes, size_t size)
{
    void *to;
    struct mob_task_frame *f = mob_channel_reserve(c, size, &to);

    CHECK(f != NULL);
    memset(f, 0, sizeof *f);
    f->task = task;
    f->epoch = 1;
    f->args = args;
    f->body_size = (uint32_t)size;
    f->returns = 1;
    memcpy(to, bytes, size);
    mob_channel_commit(c);
}

/* Run all that can be claimed. Arguments are within the `size` bytes of the frame, and can be read to their ends. */
static void run_all(struct mob_executor *e, size_t size)
{
    struct mob_result result = { .kind = MOB_VALUE_INLINE };
    struct mob_run run;

    while (mob_executor_claim(e, &run)) {
        size_t left = size;

        for (size_t i = 0; i < run.arg_count; i++) {
            const struct mob_run_arg *a = &run.args[i];

            CHECK(a->size <= left);
            left -= a->size;
            if (a->size > 0)
                (void)((const volatile unsigned char *)a->data)[a->size - 1];
        }
        CHECK(mob_executor_finish(e, &run, &result));
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size)
{
    struct pair *p = pair_create();
    struct mob_world world = { .now_ns = world_now, .send = world_send };
    struct mob_executor_config config = { .cluster = 9, .self = self, .raylet = 1, .page = &p->pages[1] };
    struct mob_executor *e = mob_executor_create(&world, &config);
    struct mob_answer_frame answer;
    const void *body;
    unsigned answers = 0;

    mob_executor_channel(e, owner, p->worker);
    p->worker = NULL;                   /* the executor's */
    assign(e, 1);
    if (size > 1 && bytes[0] % 2 == 0) {
        mob_executor_receive(e, bytes + 1, size - 1);
    } else if (size > 2) {
        push(p->owner, 1, bytes[1], bytes + 2, size - 2);
        push(p->owner, 2, 0, bytes, 0);
        run_all(e, size - 2);
        while (mob_channel_answer(p->owner, &answer, &body)) {
            answers++;
            mob_channel_answer_done(p->owner);
        }
        CHECK(answers == 2);
    }
    mob_executor_destroy(e);
    pair_destroy(p);
    return 0;
}
