/* SPDX-License-Identifier: Apache-2.0 */
/* channels.c -- channels are made by the raylet and passed to both ends; the raylet keeps no descriptor of them.
 *
 * ChannelOpen carries [the channel, the peer's page, the peer's doorbell]. It is queued before any Assign or Grant that needs it, on the
 * same connections. For a channel of its own (owner 0) the raylet maps its end, and gives it to the core from the loop.
 *
 * Our doorbell: `asleep` is set again as soon as the rings were drained, not just before the loop waits. A worker that rings while the
 * loop is busy with something else makes one needless system call for it, and no wake-up can be lost between loop and page. A worker that
 * sets bits without end gets a few looks a turn.
 */
#include "raylet/channels.h"

#include <assert.h>
#include <fcntl.h>
#include <stdlib.h>
#include <unistd.h>

#include "common/channel.h"
#include "common/log.h"
#include "raylet/resident.h"

/* A channel of our own, on its way to the core. */
struct opened {
    struct mob_posted posted;
    struct mob_shell *shell;
    uint32_t worker;
    struct mob_channel *channel;
};

static int duplicate(int fd)
{
    return fcntl(fd, F_DUPFD_CLOEXEC, 3);
}

static void look(void *shell, const uint64_t dirty[MOB_DIRTY_BITS / 64])
{
    (void)dirty;
    mob_raylet_drain(((struct mob_shell *)shell)->core);
}

static void on_doorbell(uv_poll_t *poll, int status, int events)
{
    struct mob_shell *s = MOB_CONTAINER(poll, struct mob_shell, channels.poll);

    (void)status, (void)events;
    mob_doorbell_drain(&s->channels.bell, look, s);
    mob_shell_poke(s);
}

int mob_channels_init(struct mob_shell *s, struct mob_error *err)
{
    struct mob_channels *c = &s->channels;
    int page_fd, event_fd;

    if (mob_doorbell_create(&page_fd, &event_fd, err) < 0)
        return -1;
    if (mob_doorbell_open(&c->bell, duplicate(page_fd), event_fd, err) < 0) {
        close(page_fd);
        return -1;
    }
    c->page_fd = page_fd;
    int failed = uv_poll_init(mob_loop_uv(s->loop), &c->poll, c->bell.fd);
    assert(failed == 0);
    uv_poll_start(&c->poll, UV_READABLE, on_doorbell);
    bool asleep = mob_doorbell_try_sleep(&c->bell, MOB_ASLEEP);
    assert(asleep);                     /* nobody has the page yet */
    return 0;
}

/* -- connecting ---------------------------------------------------------------------------------------------------------------- */

static void say_channel_open(struct mob_shell *s, struct mob_resident *to, uint32_t owner, uint32_t worker, const int fds[3])
{
    Mobula__ChannelOpen m = MOBULA__CHANNEL_OPEN__INIT;
    Mobula__Address owner_address, worker_address;
    struct mob_address self = mob_raylet_self(s->core);
    struct mob_envelope e;
    size_t size;

    mob_wire_put_address(&owner_address, (struct mob_address){ self.node, owner });
    mob_wire_put_address(&worker_address, (struct mob_address){ self.node, worker });
    m.owner = &owner_address;
    m.worker = &worker_address;
    mob_envelope_init(&e, self, (struct mob_address){ self.node, to->number }, MOBULA__ENVELOPE__BODY_CHANNEL_OPEN);
    e.e.channel_open = &m;
    const void *bytes = mob_wire_pack(s->wire, &e.e, &size);
    mob_local_send(s->local, mob_stream_tag(to->stream)->link, bytes, size, fds, 3);
}

static void give_to_core(struct mob_posted *posted)
{
    struct opened *o = MOB_CONTAINER(posted, struct opened, posted);

    if (mob_resident_find(o->shell, o->worker) != NULL)
        mob_raylet_channel(o->shell->core, o->worker, o->channel);
    else
        mob_channel_close(o->channel);
    mob_shell_poke(o->shell);
    free(o);
}

static void open_own_end(struct mob_shell *s, struct mob_resident *worker, int channel_fd)
{
    struct mob_error err;
    /* Bits may be shared by several channels: a drain then looks at each of them. */
    struct mob_channel *channel = mob_channel_open(duplicate(channel_fd), duplicate(worker->page_fd), duplicate(worker->bell.fd),
                                                   MOB_CHANNEL_OWNER, worker->number % (MOB_DIRTY_BITS - 1), &err);

    if (channel == NULL) {
        mob_warn("cannot open a channel to worker %u, it is ended: %s", worker->number, err.text);
        mob_stream_end(worker->stream, &err);
        return;
    }
    struct opened *o = mob_new(struct opened);
    o->shell = s;
    o->worker = worker->number;
    o->channel = channel;
    o->posted.run = give_to_core;
    mob_list_init(&o->posted.link);
    mob_loop_post(s->loop, &o->posted);
}

void mob_channels_connect(struct mob_shell *s, uint32_t owner, uint32_t worker)
{
    struct mob_resident *from = owner == 0 ? NULL : mob_resident_find(s, owner), *to = mob_resident_find(s, worker);
    int from_page = from != NULL ? from->page_fd : s->channels.page_fd, from_bell = from != NULL ? from->bell.fd : s->channels.bell.fd;
    struct mob_error err;
    int fd;

    if (to == NULL || to->stream == NULL || (owner != 0 && (from == NULL || from->stream == NULL)))
        return;
    if (mob_channel_create(&fd, &err) < 0) {
        mob_warn("cannot make a channel from process %u to worker %u, which is ended: %s", owner, worker, err.text);
        mob_stream_end(to->stream, &err);
        return;
    }
    say_channel_open(s, to, owner, worker, (int[]){ fd, from_page, from_bell });
    if (from != NULL)
        say_channel_open(s, from, owner, worker, (int[]){ fd, to->page_fd, to->bell.fd });
    else
        open_own_end(s, to, fd);
    close(fd);
}
