/* SPDX-License-Identifier: Apache-2.0 */
/* fuzz_head.c -- any messages from a node that has joined, and from who has not said who it is: the head's core does not crash and
 * keeps its invariants, also when time passes and the links are lost. */
#include "play.h"
#include "unit/head_fake.h"

#define MESSAGES_MAX 16                 /* the fake counts what is hung up and dialed, up to 64 */

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size);
int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size)
{
    struct play play = { .bytes = bytes, .size = size };
    struct fake_node node = { 0 };
    uint64_t stranger;
    struct fake f;

    play_quietly();
    fake_init(&f);
    fake_join(&f, &node, "CPU=4,GPU=2");
    stranger = fake_link(&f);
    for (int i = 0; i < MESSAGES_MAX && play_next(&play, (struct mob_address){ 1, 1 }, (struct mob_address){ 0, 0 }); i++) {
        uint64_t link = play.who % 4 == 0 ? stranger : node.link;

        if (!fake_was_hung_up(&f, link))
            mob_head_receive(f.head, link, play.envelope, play.envelope_size);
        mob_head_check(f.head);
        if (play.who % 16 == 15)
            fake_pass(&f, 200);
    }
    fake_tick(&f);
    mob_head_link_lost(f.head, stranger, false);
    mob_head_link_lost(f.head, node.link, true);
    fake_pass(&f, 300);
    fake_fini(&f);
    return 0;
}
