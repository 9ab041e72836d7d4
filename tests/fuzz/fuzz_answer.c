/* SPDX-License-Identifier: Apache-2.0 */
/* fuzz_answer.c -- any bytes as what others send to an owner with tasks under way: AnswerFrames of a worker elsewhere, one
 * answer in a ring, Watched, or a whole envelope. No crash, no broken invariant, and every task ends once its leases are over. */
#include "tests/unit/owner_fake.h"

#define ELSEWHERE 6u
#define TASKS 4

static void send_answer_frames(struct fake *f, const uint8_t *bytes, size_t size)
{
    Mobula__AnswerFrames m = MOBULA__ANSWER_FRAMES__INIT;

    m.lease = 1;
    m.count = size > 0 ? bytes[0] % 8u : 0;
    m.frames = (ProtobufCBinaryData){ .len = size, .data = (uint8_t *)bytes };
    fake_tell(f, ELSEWHERE, MOBULA__ENVELOPE__BODY_ANSWER_FRAMES, &m);
}

/* A good frame around the bytes, so that values, items and errors are reached at once. */
static void send_one_answer(struct fake *f, uint64_t task, int status, const uint8_t *bytes, size_t size)
{
    struct mob_answer_frame frame = { .task = task, .returns = status == MOB_ANSWER_ITEM ? 1 : 2, .status = status };
    size_t body = size & ~(size_t)7;
    uint8_t *frames = malloc(sizeof frame + body);

    frame.body_size = (uint32_t)body;
    memcpy(frames, &frame, sizeof frame);
    if (body > 0)
        memcpy(frames + sizeof frame, bytes, body);
    Mobula__AnswerFrames m = MOBULA__ANSWER_FRAMES__INIT;

    m.lease = 1;
    m.count = 1;
    m.frames = (ProtobufCBinaryData){ .len = sizeof frame + body, .data = frames };
    fake_tell(f, ELSEWHERE, MOBULA__ENVELOPE__BODY_ANSWER_FRAMES, &m);
    free(frames);
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size);
int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size)
{
    struct mob_error why = { .code = MOB_ERR_NODE_DIED, .text = "over" };
    uint64_t refs[2 * TASKS], stream, item;
    struct fake f;

    if (size == 0)
        return 0;
    fake_init(&f);
    struct mob_submit s = { .shape = fake_shape(&f), .name = "f", .returns = 2 };

    fake_grant_on(&f, s.shape, 1, 0, ELSEWHERE);
    for (int i = 0; i < TASKS; i++)
        mob_owner_submit(f.o, &s, &refs[2 * i], NULL);
    s.streams = true;
    s.returns = 1;
    mob_owner_submit(f.o, &s, &stream, NULL);
    mob_owner_flush(f.o);
    switch (bytes[0] % 4) {
    case 0:
        send_answer_frames(&f, bytes + 1, size - 1);
        break;
    case 1:
        send_one_answer(&f, refs[0], size % 2 ? MOB_OK : MOB_ERR_TASK, bytes + 1, size - 1);
        break;
    case 2:
        item = mob_owner_stream_peek(f.o, stream, NULL);
        send_one_answer(&f, stream, MOB_ANSWER_ITEM, bytes + 1, size - 1);
        mob_owner_drop(f.o, item, NULL);
        break;
    default:
        mob_owner_receive(f.o, bytes + 1, size - 1);
        break;
    }
    mob_owner_check(f.o);
    mob_owner_flush(f.o);
    mob_owner_raylet_lost(f.o, &why);
    mob_owner_check(f.o);
    for (int i = 0; i < 2 * TASKS; i++)
        mob_owner_drop(f.o, refs[i], NULL);
    mob_owner_stream_close(f.o, stream, NULL);
    assert(mob_owner_counts(f.o).pushed == 0 && mob_owner_counts(f.o).done == TASKS + 1);
    fake_fini(&f);
    return 0;
}
