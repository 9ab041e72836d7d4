/* SPDX-License-Identifier: Apache-2.0 */
/* bad_peer.c HEAD-IP HEAD-PORT TOKEN RAYLET-IP RAYLET-PORT -- a node that speaks and lies. It joins as any, then says to the head, or to the
 * raylet of node 1, what is not so: for another, of what it never got, what is the other's to say. For each lie it joins anew; it says it
 * three times, and then asks a question there: prints "<lie>: answered" or "<lie>: ended: <why>". */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/frame.h"
#include "common/wire.h"
#include "rpc/rpc.h"

#define REPEATS 3

struct liar {
    struct mob_loop *loop;
    struct mob_rpc *rpc;
    struct mob_wire *wire;
    char **where;                       /* the words of main() */
    uint64_t joined, link;              /* to the head, as a new node for each lie; and where it is told, which may be the same */
    size_t at;                          /* the lie that is told */
    uint32_t node;                      /* our number */
    uint64_t cluster;
    uint8_t cluster_bytes[16];
    bool told;
};

struct message {
    struct mob_envelope env;
    union {
        Mobula__Register register_node;
        Mobula__Report report;
        Mobula__Demand demand;
        Mobula__JobOver job_over;
        Mobula__Placed placed;
        Mobula__NodeDown down;
        Mobula__Events events;
        Mobula__PeerHello hello;
        Mobula__Grant grant;
        Mobula__AnswerFrames answers;
        Mobula__LeaseOver over;
        Mobula__Free free;
        Mobula__Watched watched;
        Mobula__References references;
        Mobula__ReferencesDone done;
        Mobula__Mourned mourned;
        Mobula__Copies copies;
        Mobula__OwnerOver owner_over;
        Mobula__Declined declined;
        Mobula__Return return_lease;
        Mobula__Cancel cancel;
        Mobula__Taken taken;
    } m;
    Mobula__Address address;
    Mobula__ObjectId object, *objects[1];
    Mobula__References__Change change, *changes[1];
    Mobula__Error error;
    uint64_t numbers[1];
};

/* -- what a lie is made of --------------------------------------------------------------------------------------------------- */

static const struct mob_address head = { 0, 0 }, raylet = { 1, 0 }, driver = { 1, 1 };

static struct mob_address own(const struct liar *l, uint32_t process) { return (struct mob_address){ l->node, process }; }

/* A frame that says that task 1 of that owner has ended well, without a value. */
static void answer(struct message *x)
{
    static struct { uint32_t size[2]; struct mob_answer_frame f; } bytes;

    memset(&bytes, 0, sizeof bytes);
    bytes.f.task = 1;
    x->m.answers.count = 1;
    x->m.answers.frames.data = (uint8_t *)&bytes.f;
    x->m.answers.frames.len = sizeof bytes.f;
}

static void others_object(const struct liar *l, struct message *x)
{
    mobula__object_id__init(&x->object);
    x->object.cluster = l->cluster;
    x->object.node = driver.node;
    x->object.process = driver.process;
    x->object.task = 1;
    x->objects[0] = &x->object;
}

static void others_address(struct message *x, struct mob_address a)
{
    mobula__address__init(&x->address);
    mob_wire_put_address(&x->address, a);
}

/* -- to the head ------------------------------------------------------------------------------------------------------------- */

static void say_seen(struct liar *l, struct message *x)
{
    mob_envelope_init(&x->env, own(l, 0), head, MOBULA__ENVELOPE__BODY_REPORT);
    mobula__report__init(&x->m.report);
    x->env.e.report = &x->m.report;
    x->m.report.version = UINT64_MAX - (uint64_t)rand() % 3;     /* in no order */
    x->m.report.placed_seq = x->m.report.claim_over = UINT64_MAX;
    x->m.report.store_used = UINT64_MAX;
}

static void say_demand(struct liar *l, struct message *x)
{
    static Mobula__Shape shape;
    static Mobula__Address job;

    mob_envelope_init(&x->env, own(l, 0), head, MOBULA__ENVELOPE__BODY_DEMAND);
    mobula__demand__init(&x->m.demand);
    mobula__shape__init(&shape);
    mobula__address__init(&job);
    mob_wire_put_address(&job, driver);
    shape.job = &job;
    others_address(x, driver);
    x->env.e.demand = &x->m.demand;
    x->m.demand.owner = &x->address;
    x->m.demand.definition = &shape;
    x->m.demand.count = UINT32_MAX;
    x->m.demand.placed_seen = UINT64_MAX;
}

static void say_job_over(struct liar *l, struct message *x)
{
    mob_envelope_init(&x->env, own(l, 0), head, MOBULA__ENVELOPE__BODY_JOB_OVER);
    mobula__job_over__init(&x->m.job_over);
    others_address(x, driver);
    x->env.e.job_over = &x->m.job_over;
    x->m.job_over.job = &x->address;
}

static void say_events(struct liar *l, struct message *x)
{
    static uint8_t noise[1000];

    for (size_t i = 0; i < sizeof noise; i++)
        noise[i] = (uint8_t)rand();
    mob_envelope_init(&x->env, own(l, 7), head, MOBULA__ENVELOPE__BODY_EVENTS);
    mobula__events__init(&x->m.events);
    x->env.e.events = &x->m.events;
    x->m.events.records.data = noise;
    x->m.events.records.len = sizeof noise;
}

static void say_down(struct liar *l, struct message *x, struct mob_address to)
{
    mob_envelope_init(&x->env, own(l, 0), to, MOBULA__ENVELOPE__BODY_NODE_DOWN);
    mobula__node_down__init(&x->m.down);
    x->env.e.node_down = &x->m.down;
    x->m.down.node = 1;
    x->m.down.reason = (char *)"so it is";
}

static void say_down_to_head(struct liar *l, struct message *x) { say_down(l, x, head); }
static void say_down_to_raylet(struct liar *l, struct message *x) { say_down(l, x, raylet); }

static void put_register(struct message *x, uint32_t number, uint8_t incarnation)
{
    static uint8_t bytes[16];

    memset(bytes, incarnation, sizeof bytes);
    mob_envelope_init(&x->env, head, head, MOBULA__ENVELOPE__BODY_REGISTER_NODE);
    mobula__register__init(&x->m.register_node);
    x->env.e.register_node = &x->m.register_node;
    x->m.register_node.protocol = MOB_PROTOCOL;
    x->m.register_node.incarnation.data = bytes;
    x->m.register_node.incarnation.len = sizeof bytes;
    x->m.register_node.ip = (char *)"127.0.0.1";
    x->m.register_node.host = (char *)"liar";
    x->m.register_node.port = x->m.register_node.bulk_port = 9;
    x->m.register_node.driver_only = true;
    x->m.register_node.node = number;
}

/* It claims the number of node 1. */
static void say_other_number(struct liar *l, struct message *x)
{
    (void)l;
    put_register(x, 1, 99);
}

/* -- to a raylet ------------------------------------------------------------------------------------------------------------- */

static void say_grant(struct liar *l, struct message *x)
{
    mob_envelope_init(&x->env, own(l, 0), driver, MOBULA__ENVELOPE__BODY_GRANT);
    mobula__grant__init(&x->m.grant);
    others_address(x, own(l, 5));
    x->env.e.grant = &x->m.grant;
    x->m.grant.shape = 1;
    x->m.grant.lease = 77;
    x->m.grant.worker = &x->address;
    x->m.grant.epoch = 1;
    x->m.grant.window_tasks = x->m.grant.window_bytes = UINT32_MAX;
    x->m.grant.ip = (char *)"127.0.0.1";
}

static void say_answers(struct liar *l, struct message *x)
{
    mob_envelope_init(&x->env, own(l, 0), driver, MOBULA__ENVELOPE__BODY_ANSWER_FRAMES);
    mobula__answer_frames__init(&x->m.answers);
    x->env.e.answer_frames = &x->m.answers;
    x->m.answers.lease = 1;
    answer(x);
}

static void say_lease_over(struct liar *l, struct message *x)
{
    mob_envelope_init(&x->env, own(l, 0), driver, MOBULA__ENVELOPE__BODY_LEASE_OVER);
    mobula__lease_over__init(&x->m.over);
    mobula__error__init(&x->error);
    others_address(x, (struct mob_address){ 1, 2 });
    x->env.e.lease_over = &x->m.over;
    x->m.over.lease = 1;
    x->m.over.worker = &x->address;
    x->m.over.cause = &x->error;
    x->m.over.claimed = true;
    x->m.over.task = 1;
}

static void say_free(struct liar *l, struct message *x)
{
    mob_envelope_init(&x->env, own(l, 3), raylet, MOBULA__ENVELOPE__BODY_FREE);
    mobula__free__init(&x->m.free);
    others_object(l, x);
    x->env.e.free = &x->m.free;
    x->m.free.n_objects = 1;
    x->m.free.objects = x->objects;
}

static void say_watched(struct liar *l, struct message *x)
{
    mob_envelope_init(&x->env, own(l, 3), driver, MOBULA__ENVELOPE__BODY_WATCHED);
    mobula__watched__init(&x->m.watched);
    others_object(l, x);
    x->env.e.watched = &x->m.watched;
    x->m.watched.object = &x->object;
    x->m.watched.state_case = MOBULA__WATCHED__STATE_VALUE;
    x->m.watched.value.data = (uint8_t *)(uintptr_t)"wrong";
    x->m.watched.value.len = 5;
}

static void say_references(struct liar *l, struct message *x)
{
    mob_envelope_init(&x->env, own(l, 3), driver, MOBULA__ENVELOPE__BODY_REFERENCES);
    mobula__references__init(&x->m.references);
    mobula__references__change__init(&x->change);
    others_object(l, x);
    others_address(x, driver);
    x->changes[0] = &x->change;
    x->change.object = &x->object;
    x->change.issuer = x->change.holder = &x->address;
    x->change.ticket = UINT64_MAX;
    x->env.e.references = &x->m.references;
    x->m.references.seq = 1000 - (uint64_t)rand() % 10;
    x->m.references.n_changes = 1;
    x->m.references.changes = x->changes;
}

static void say_done(struct liar *l, struct message *x)
{
    mob_envelope_init(&x->env, own(l, 3), driver, MOBULA__ENVELOPE__BODY_REFERENCES_DONE);
    mobula__references_done__init(&x->m.done);
    x->env.e.references_done = &x->m.done;
    x->m.done.seq = UINT64_MAX;
}

static void say_mourned(struct liar *l, struct message *x)
{
    mob_envelope_init(&x->env, own(l, 0), driver, MOBULA__ENVELOPE__BODY_MOURNED);
    mobula__mourned__init(&x->m.mourned);
    others_address(x, (struct mob_address){ 1, 2 });
    x->env.e.mourned = &x->m.mourned;
    x->m.mourned.process = &x->address;
}

static void say_copies(struct liar *l, struct message *x)
{
    mob_envelope_init(&x->env, own(l, 0), driver, MOBULA__ENVELOPE__BODY_COPIES);
    mobula__copies__init(&x->m.copies);
    others_object(l, x);
    x->env.e.copies = &x->m.copies;
    x->m.copies.n_added = x->m.copies.n_last = 1;
    x->m.copies.added = x->m.copies.last = x->objects;
}

static void say_owner_over(struct liar *l, struct message *x)
{
    mob_envelope_init(&x->env, own(l, 0), raylet, MOBULA__ENVELOPE__BODY_OWNER_OVER);
    mobula__owner_over__init(&x->m.owner_over);
    x->env.e.owner_over = &x->m.owner_over;
    x->m.owner_over.process = driver.process;
}

static void say_declined(struct liar *l, struct message *x)
{
    mob_envelope_init(&x->env, own(l, 0), raylet, MOBULA__ENVELOPE__BODY_DECLINED);
    mobula__declined__init(&x->m.declined);
    others_address(x, driver);
    x->env.e.declined = &x->m.declined;
    x->m.declined.owner = &x->address;
    x->m.declined.shape = 1;
    x->m.declined.count = UINT32_MAX;
}

static void say_return(struct liar *l, struct message *x)
{
    mob_envelope_init(&x->env, own(l, 4), raylet, MOBULA__ENVELOPE__BODY_RETURN_LEASE);
    mobula__return__init(&x->m.return_lease);
    x->env.e.return_lease = &x->m.return_lease;
    x->m.return_lease.lease = 1;
}

static void say_cancel(struct liar *l, struct message *x)
{
    mob_envelope_init(&x->env, own(l, 4), raylet, MOBULA__ENVELOPE__BODY_CANCEL);
    mobula__cancel__init(&x->m.cancel);
    x->env.e.cancel = &x->m.cancel;
    x->m.cancel.lease = x->m.cancel.task = 1;
    x->m.cancel.force = true;
}

static void say_taken(struct liar *l, struct message *x)
{
    mob_envelope_init(&x->env, own(l, 0), driver, MOBULA__ENVELOPE__BODY_TAKEN);
    mobula__taken__init(&x->m.taken);
    x->numbers[0] = 1;
    x->env.e.taken = &x->m.taken;
    x->m.taken.lease = 1;
    x->m.taken.n_tasks = 1;
    x->m.taken.tasks = x->numbers;
}

static void say_placed(struct liar *l, struct message *x)
{
    mob_envelope_init(&x->env, own(l, 0), raylet, MOBULA__ENVELOPE__BODY_PLACED);
    mobula__placed__init(&x->m.placed);
    others_address(x, driver);
    x->env.e.placed = &x->m.placed;
    x->m.placed.owner = &x->address;
    x->m.placed.node = l->node;
    x->m.placed.count = 5;
}

/* Of another, in its own words: the raylet has a link to node 2. */
static void say_for_another(struct liar *l, struct message *x)
{
    say_done(l, x);
    mob_wire_put_address(&x->env.from, (struct mob_address){ 2, 1 });
}

static void put_peer_hello(struct liar *l, struct message *x, uint32_t node)
{
    mob_envelope_init(&x->env, (struct mob_address){ node, 0 }, head, MOBULA__ENVELOPE__BODY_PEER_HELLO);
    mobula__peer_hello__init(&x->m.hello);
    x->env.e.peer_hello = &x->m.hello;
    x->m.hello.protocol = MOB_PROTOCOL;
    x->m.hello.node = node;
    x->m.hello.known = true;
    x->m.hello.forgot_seq = UINT64_MAX;
    x->m.hello.cluster.data = l->cluster_bytes;
    x->m.hello.cluster.len = sizeof l->cluster_bytes;
}

static void say_hello_as_another(struct liar *l, struct message *x) { put_peer_hello(l, x, 2); }

static const struct {
    const char *name;
    bool to_head;
    void (*say)(struct liar *l, struct message *x);
} lies[] = {
    { "seen", true, say_seen }, { "demand of another", true, say_demand }, { "job of another over", true, say_job_over },
    { "events", true, say_events }, { "node down, to the head", true, say_down_to_head }, { "number of another", true, say_other_number },
    { "grant", false, say_grant }, { "answers", false, say_answers }, { "lease over", false, say_lease_over },
    { "free of another", false, say_free }, { "watched", false, say_watched }, { "references", false, say_references },
    { "references done", false, say_done }, { "mourned", false, say_mourned }, { "copies", false, say_copies },
    { "owner over", false, say_owner_over }, { "declined", false, say_declined }, { "return of another", false, say_return },
    { "cancel of another", false, say_cancel }, { "taken", false, say_taken }, { "placed", false, say_placed },
    { "node down", false, say_down_to_raylet }, { "for another", false, say_for_another },
    { "hello as another", false, say_hello_as_another },
};

/* -- telling them -------------------------------------------------------------------------------------------------------------- */

static void say_it(struct liar *l, const struct message *x)
{
    size_t size;
    const void *bytes = mob_wire_pack(l->wire, &x->env.e, &size);

    mob_rpc_send(l->rpc, l->link, bytes, size);
}

static void join(struct liar *l)
{
    l->told = false;
    l->node = 0;
    l->link = l->joined = mob_rpc_dial(l->rpc, l->where[1], (uint32_t)atoi(l->where[2]), 5000);
}

static void next(struct liar *l, const char *became)
{
    uint64_t links[] = { l->link, l->joined };

    printf("%s: %s\n", lies[l->at].name, became);
    fflush(stdout);
    l->link = l->joined = 0;            /* their ends are no news */
    mob_rpc_hang_up(l->rpc, links[0], NULL);
    mob_rpc_hang_up(l->rpc, links[1], NULL);
    if (++l->at == sizeof lies / sizeof *lies)
        mob_loop_stop(l->loop);
    else
        join(l);
}

/* And a question whose answer shows that all before it was heard. */
static void tell(struct liar *l)
{
    struct message x;
    Mobula__Query query = MOBULA__QUERY__INIT;
    Mobula__Mourn mourn = MOBULA__MOURN__INIT;

    if (l->told)
        return;
    l->told = true;
    for (int i = 0; i < REPEATS; i++) {
        lies[l->at].say(l, &x);
        say_it(l, &x);
    }
    if (lies[l->at].to_head) {
        mob_envelope_init(&x.env, own(l, 0), head, MOBULA__ENVELOPE__BODY_QUERY);
        query.verb = (char *)"health";
        x.env.e.query = &query;
    } else {
        mob_envelope_init(&x.env, own(l, 9), raylet, MOBULA__ENVELOPE__BODY_MOURN);
        mourn.process = 4000000;
        x.env.e.mourn = &mourn;
    }
    say_it(l, &x);
}

static void on_up(void *arg, uint64_t link, const char *peer, int accepted)
{
    struct liar *l = arg;
    struct message x;

    (void)peer, (void)accepted;
    if (link != l->link)
        return;
    if (link == l->joined)
        put_register(&x, 0, (uint8_t)(l->at + 1));
    else
        put_peer_hello(l, &x, l->node);
    say_it(l, &x);
    if (link != l->joined)
        tell(l);
}

static void on_receive(void *arg, uint64_t link, const void *frame, size_t size)
{
    struct liar *l = arg;
    struct mob_error err;
    Mobula__Envelope *e = mob_wire_unpack(l->wire, frame, size, &err);

    if (e == NULL || link != l->link)
        return;
    if (e->body_case == MOBULA__ENVELOPE__BODY_REGISTERED && l->node == 0) {
        l->node = e->registered->node;
        memcpy(l->cluster_bytes, e->registered->cluster.data, sizeof l->cluster_bytes);
        memcpy(&l->cluster, l->cluster_bytes, sizeof l->cluster);
        if (lies[l->at].to_head)
            tell(l);
        else
            l->link = mob_rpc_dial(l->rpc, l->where[4], (uint32_t)atoi(l->where[5]), 5000);
    } else if (e->body_case == MOBULA__ENVELOPE__BODY_REPLY || e->body_case == MOBULA__ENVELOPE__BODY_MOURNED) {
        next(l, "answered");
    } else if (e->body_case == MOBULA__ENVELOPE__BODY_NODE_DOWN) {
        next(l, "ended: told that it is dead");
    }
}

static void on_lost(void *arg, uint64_t link, const struct mob_error *why)
{
    struct liar *l = arg;
    char text[1024];

    if (link == 0 || (link != l->link && link != l->joined))
        return;
    snprintf(text, sizeof text, "ended: %s", why->text);
    next(l, text);
}

int main(int argc, char **argv)
{
    struct mob_rpc_callbacks callbacks = { on_up, on_receive, on_lost };
    struct liar l = { .loop = mob_loop_create(), .wire = mob_wire_create(), .where = argv };

    if (argc != 6)
        return 2;
    l.rpc = mob_rpc_create(l.loop, argv[3], &callbacks, &l);
    join(&l);
    mob_loop_run(l.loop);
    mob_rpc_destroy(l.rpc);
    mob_wire_destroy(l.wire);
    mob_loop_destroy(l.loop);
    return 0;
}
