/* SPDX-License-Identifier: Apache-2.0 */
/* fuzz_raylet.c -- any messages from a driver, a worker lent to it, the head and another raylet: the raylet's core does not crash and
 * keeps its invariants, also when time passes and all of them are lost. */
#include "play.h"
#include "unit/raylet_fake.h"

#define MESSAGES_MAX 32

enum { DRIVER, WORKER, HEAD, PEER, LINKS };

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size);

static void hear(struct fake *f, uint64_t links[LINKS], int which, const uint8_t *bytes, size_t size)
{
    uint32_t hang_ups = f->hang_ups;

    if (links[which] == 0)
        return;
    mob_raylet_receive(f->raylet, links[which], bytes, size);
    mob_raylet_check(f->raylet);
    for (int i = 0; i < LINKS && f->hang_ups > hang_ups; i++)
        if (links[i] == f->hung_up)
            links[i] = 0;               /* nothing is heard on it any more */
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size)
{
    struct play play = { .bytes = bytes, .size = size };
    struct fake_grant grant;
    struct mob_exit exit = { .last_lines = "" };
    struct mob_error why;
    struct fake f;

    play_quietly();
    fake_open(&f, "CPU=4");
    uint32_t driver = fake_driver(&f);
    fake_want(&f, driver, (struct fake_ask){ .shape = 1, .count = 1 });
    fake_all_up(&f);
    bool granted = fake_grant(&f, f.process[driver].link, &grant);
    uint64_t links[LINKS] = { f.process[driver].link, granted ? f.process[grant.worker].link : 0, f.head, fake_peer(&f, 3) };
    uint64_t peer = links[PEER];

    for (int i = 0; i < MESSAGES_MAX && f.over.code == MOB_OK && play_next(&play, fake_at(3, 1), fake_at(FAKE_NODE, 0)); i++) {
        hear(&f, links, play.who % LINKS, play.envelope, play.envelope_size);
        if (play.who / LINKS % 8 == 7)
            fake_pass(&f, 200);
    }
    mob_error_set(&why, MOB_ERR_UNREACHABLE, "over");
    mob_raylet_link_lost(f.raylet, peer, &why);
    mob_raylet_process_exited(f.raylet, driver, &exit);
    mob_raylet_check(f.raylet);
    fake_fini(&f);
    return 0;
}
