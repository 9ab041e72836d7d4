/* SPDX-License-Identifier: Apache-2.0 */
/* hello.c -- how a process of this node comes in.
 *
 *   accepted --> Hello is read --> (a driver: its program is hashed, in the thread pool) --> Welcome, or Refused and the end
 *
 * Nothing but one Hello is heard from a connection before its Welcome. Garbage ends that connection with one sentence in the log, and
 * nothing else. A worker shows the nonce it was started with; its program is the one we started. The core gives the number; what it
 * sends to the process while it does so goes out after the Welcome.
 */
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "common/log.h"
#include "raylet/bundle.h"
#include "raylet/fork.h"
#include "raylet/resident.h"

/* A driver whose program is being hashed. Outlives its connection, if need be. */
struct hello {
    struct mob_shell *shell;
    struct mob_stream *stream;          /* NULL: it hung up meanwhile */
    struct mob_resident *resident;
    int pidfd;
    char *program_path;
    struct mob_hello facts;
};

/* -- answers ------------------------------------------------------------------------------------------------------------------- */

static void refuse(struct mob_shell *s, struct mob_stream *c, const struct mob_error *why)
{
    Mobula__Refused refused = MOBULA__REFUSED__INIT;
    Mobula__Error error = MOBULA__ERROR__INIT;
    struct mob_envelope e;
    size_t size;

    mob_warn("a process of this node is refused: %s", why->text);
    mob_wire_put_error(&error, why);
    refused.error = &error;
    mob_envelope_init(&e, mob_raylet_self(s->core), (struct mob_address){ 0, 0 }, MOBULA__ENVELOPE__BODY_REFUSED);
    e.e.refused = &refused;
    const void *bytes = mob_wire_pack(s->wire, &e.e, &size);
    mob_stream_send_first(c, bytes, size, NULL, 0);
    mob_stream_end(c, why);
}

static int send_welcome(struct mob_resident *r, struct mob_stream *c, struct mob_address self, uint32_t depth, struct mob_error *err)
{
    struct mob_shell *s = r->shell;
    Mobula__Welcome w = MOBULA__WELCOME__INIT;
    Mobula__Address self_address, job_address;
    Mobula__Resource resources[MOB_RESOURCES_MAX], *list[MOB_RESOURCES_MAX];
    struct mob_envelope e;
    int fds[6] = { r->page_fd, r->bell.fd };
    char head[80];
    size_t size;

    snprintf(head, sizeof head, strchr(s->config.head_ip, ':') != NULL ? "[%s]:%u" : "%s:%u", s->config.head_ip, s->config.head_port);
    fds[5] = mob_store_overflow_fd(s->store);
    if (mob_store_client(s->store, r->number, &fds[2], &fds[3], &fds[4], err) < 0)
        return -1;
    mob_store_client_job(s->store, r->number, r->job);
    mob_wire_put_address(&self_address, self);
    mob_wire_put_address(&job_address, r->job);
    w.cluster = s->cluster;
    w.self = &self_address;
    w.job = &job_address;
    w.ip = s->config.ip;
    w.executable.data = r->program.bytes;
    w.executable.len = sizeof r->program.bytes;
    w.arena_size = mob_store_usage(s->store).size;
    w.overflow_size = mob_store_usage(s->store).overflow_size;
    w.n_node_resources = mob_wire_put_resources(resources, list, &s->config.resources);
    w.node_resources = list;
    w.depth = depth;
    w.head = head;
    mob_envelope_init(&e, (struct mob_address){ self.node, 0 }, self, MOBULA__ENVELOPE__BODY_WELCOME);
    e.e.welcome = &w;
    const void *bytes = mob_wire_pack(s->wire, &e.e, &size);
    mob_stream_send_first(c, bytes, size, fds, fds[5] >= 0 ? 6 : 5);
    close(fds[4]);                      /* the store has its own mapping of the pin page */
    mob_stream_flush(c);
    return 0;
}

/* The core takes it in. The resident is freed if it does not. */
static void come_in(struct mob_resident *r, struct mob_stream *c, const struct mob_hello *facts)
{
    struct mob_shell *s = r->shell;
    struct mob_address self;
    struct mob_error err;
    uint32_t depth;

    if (mob_resident_make_page(r, &err) < 0) {
        refuse(s, c, &err);
        return;
    }
    r->stream = c;
    mob_stream_tag(c)->process = r;
    mob_raylet_link_up(s->core, mob_stream_tag(c)->link, MOB_LINK_LOCAL);
    if (mob_raylet_process_up(s->core, mob_stream_tag(c)->link, facts, &self, &r->job, &depth, &err) < 0) {
        r->stream = NULL;
        mob_stream_tag(c)->process = NULL;
        refuse(s, c, &err);
        return;
    }
    if (r->driver)
        mob_resident_number(r, self.process);
    else
        mob_machine_goto(&r->machine, MOB_RESIDENT_UP);
    r->shown_pid = facts->pid;
    mob_raylet_page(s->core, self.process, r->bell.page);
    if (send_welcome(r, c, self, depth, &err) < 0) {
        mob_warn("process %u: %s", r->number, err.text);
        mob_stream_end(c, &err);        /* a worker is ended for it, a driver is over */
    }
    mob_shell_poke(s);
}

/* -- drivers ------------------------------------------------------------------------------------------------------------------- */

static void hello_free(struct hello *h)
{
    if (h->pidfd >= 0)
        close(h->pidfd);
    free(h->program_path);
    free(h);
}

static void on_hashed(void *arg, struct mob_bundle *program, const struct mob_error *err)
{
    struct hello *h = arg;
    struct mob_stream *c = h->stream;

    if (c == NULL) {
        mob_bundle_destroy(program);
        hello_free(h);
        return;
    }
    mob_stream_tag(c)->hello = NULL;
    if (err != NULL) {
        refuse(h->shell, c, err);
        hello_free(h);
        return;
    }
    struct mob_resident *r = mob_resident_create(h->shell, true);
    r->program = h->facts.executable = program->hash;
    mob_program_keep(h->shell->programs, program, h->program_path);     /* before the core may start workers of it */
    come_in(r, c, &h->facts);
    if (r->number == 0) {
        mob_resident_free(r);
    } else {
        mob_resident_watch(r, h->pidfd);
        h->pidfd = -1;
    }
    hello_free(h);
}

static void driver_says_hello(struct mob_shell *s, struct mob_stream *c, const Mobula__Hello *m)
{
    struct mob_error err;
    int program_fd = mob_stream_take_fd(c);

    if (program_fd < 0) {
        mob_error_set(&err, MOB_ERR_PROTOCOL, "Hello came without the descriptor of the program");
        refuse(s, c, &err);
        return;
    }
    struct hello *h = mob_new(struct hello);
    h->shell = s;
    h->stream = c;
    h->pidfd = mob_stream_take_fd(c);
    h->program_path = mob_strdup(m->program);
    h->facts = (struct mob_hello){ .driver = true, .pid = m->pid };
    mob_copy(h->facts.name, sizeof h->facts.name, m->name);
    mob_stream_tag(c)->hello = h;
    mob_program_hash(s->programs, program_fd, on_hashed, h);
}

/* -- workers ------------------------------------------------------------------------------------------------------------------- */

static void worker_says_hello(struct mob_shell *s, struct mob_stream *c, const Mobula__Hello *m)
{
    struct mob_resident *r = mob_resident_find(s, m->process);
    struct mob_hello facts = { .process = m->process };
    struct mob_error err;

    if (r != NULL && r->machine.now == MOB_RESIDENT_ASKED) {
        mob_forks_read(s->forks);       /* it was forked: that stands in another socket */
        r = mob_resident_find(s, m->process);           /* or its template has died, and with that all that was asked of it */
    }
    if (r == NULL || r->machine.now != MOB_RESIDENT_STARTED || r->page_fd >= 0 || r->nonce != m->nonce) {
        mob_error_set(&err, MOB_ERR_DENIED, "it says it is worker %u, which was not started or is here already", m->process);
        refuse(s, c, &err);
        return;
    }
    facts.executable = r->program;
    facts.pid = r->shown_pid;           /* what it says may be a pid of its namespace */
    come_in(r, c, &facts);
}

/* -- connections ----------------------------------------------------------------------------------------------------------------- */

static void first_frame(struct mob_shell *s, struct mob_stream *c, const void *frame, size_t size)
{
    struct mob_error err;
    Mobula__Envelope *e = mob_wire_unpack(s->wire, frame, size, &err);

    if (e == NULL || e->body_case != MOBULA__ENVELOPE__BODY_HELLO || mob_stream_tag(c)->hello != NULL) {
        mob_error_set(&err, MOB_ERR_PROTOCOL, "it sent something else than one Hello");
        mob_stream_end(c, &err);
        return;
    }
    if (e->hello->protocol != MOB_PROTOCOL) {
        mob_error_set(&err, MOB_ERR_VERSION, "the program speaks protocol %u of Mobula, this node %u; build it against this node's "
                      "libmobula (%s)", e->hello->protocol, MOB_PROTOCOL, MOB_VERSION);
        refuse(s, c, &err);
    } else if (e->hello->kind == MOBULA__HELLO__KIND__DRIVER) {
        driver_says_hello(s, c, e->hello);
    } else {
        worker_says_hello(s, c, e->hello);
    }
}

static void on_frame(void *arg, struct mob_stream *c, const void *frame, size_t size)
{
    struct mob_shell *s = arg;

    if (mob_stream_tag(c)->process == NULL) {
        first_frame(s, c, frame, size);
        return;
    }
    mob_raylet_receive(s->core, mob_stream_tag(c)->link, frame, size);
    mob_shell_poke(s);
}

static void on_lost(void *arg, struct mob_stream *c, const struct mob_error *why)
{
    struct mob_shell *s = arg;
    struct mob_resident *r = mob_stream_tag(c)->process;
    struct hello *h = mob_stream_tag(c)->hello;
    struct mob_exit exit = { .last_lines = "" };

    if (why->code == MOB_ERR_PROTOCOL && r != NULL)
        mob_warn("process %u (pid %u): its connection is ended: %s", r->number, r->shown_pid, why->text);
    else if (why->code == MOB_ERR_PROTOCOL)
        mob_warn("a process of this node is turned away: %s", why->text);
    if (h != NULL)
        h->stream = NULL;               /* on_hashed() finds nobody to welcome */
    if (r != NULL)
        r->stream = NULL;
    mob_raylet_link_lost(s->core, mob_stream_tag(c)->link, why);        /* of a worker alive: the core ends it */
    mob_shell_poke(s);
    if (r != NULL && r->driver)
        mob_resident_over(r, &exit);
}

const struct mob_stream_events mob_hello_events = { on_frame, on_lost };
