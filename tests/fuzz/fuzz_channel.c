/* SPDX-License-Identifier: Apache-2.0 */
/* fuzz_channel.c -- the input is a play: calls of both ends of a small channel, and bytes written anywhere into its memory. Neither
 * end may crash, read outside of its memory, or loop; without written bytes no channel may be called broken. */
#include "unit/channel_pair.h"

#define CHECK(condition) do { if (!(condition)) abort(); } while (0)

/* The ends are the only users of each body: the last byte is read, for AddressSanitizer. */
static void body_read(const void *body, size_t size)
{
    if (size > 0)
        (void)((const volatile unsigned char *)body)[size - 1];
}

static void worker_turn(struct pair *p, unsigned size, bool sound)
{
    struct mob_task_frame frame;
    const void *body;
    size_t room;

    if (!mob_channel_claim(p->worker, 1, &frame, &body))
        return;
    body_read(body, frame.body_size);
    if (size % 3 == 0 && mob_channel_item_fits(p->worker, size) && !pair_item(p, 1, size))
        CHECK(mob_channel_error(p->worker) != NULL || !sound);
    mob_channel_allowed(p->worker);
    room = mob_channel_reply_room(p->worker);
    CHECK(room >= MOB_CHANNEL_REPLY_MIN && room <= MOB_CHANNEL_BYTES);
    if (!pair_reply(p, 1, sound && size > room ? room : size) && !pair_reply(p, 1, 10))
        CHECK(mob_channel_error(p->worker) != NULL);
}

static void owner_turn(struct pair *p)
{
    struct mob_answer_frame frame;
    const void *body;

    if (mob_channel_answer(p->owner, &frame, &body)) {
        body_read(body, frame.body_size);
        mob_channel_answer_done(p->owner);
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct pair *p = pair_create();
    unsigned char *memory = p->memory;
    bool sound = true;

    for (; size >= 4; data += 4, size -= 4) {
        unsigned value = data[1] | data[2] << 8;

        switch (data[0] % 8) {
        case 0:
        case 1: pair_push(p, value, 1 + (data[3] == 0), value % (MOB_CHANNEL_BYTES + 2)); break;
        case 2:
            mob_channel_allow(p->owner, value % 256, data[3]);
            mob_channel_take_back(p->owner, value % 256);
            break;
        case 3:
        case 4: worker_turn(p, value % (MOB_CHANNEL_BYTES + 2), sound); break;
        case 5: owner_turn(p); break;
        case 6:
            mob_channel_ring(p->owner, true);
            mob_channel_ring(p->worker, data[3] & 1);
            mob_channel_half_full(p->worker);
            mob_channel_pending(p->worker, data[3] % 3);
            break;
        case 7:
            memory[value % (mob_channel_memory_size() - 2 * MOB_CHANNEL_BYTES)] = data[3];
            sound = false;
            break;
        }
        if (sound)
            CHECK(mob_channel_error(p->owner) == NULL && mob_channel_error(p->worker) == NULL);
    }
    pair_destroy(p);
    return 0;
}
