/* SPDX-License-Identifier: Apache-2.0 */
/* head_fake.c -- the world of a head's core in memory, and what raylets say to it. */
#include "head_fake.h"

#include <check.h>
#include <stdlib.h>
#include <string.h>

#include "common/event.h"
#include "common/mem.h"

static struct fake *fake_of(struct mob_world *w)
{
    return MOB_CONTAINER(w, struct fake, world);
}

static int64_t world_now(struct mob_world *w)
{
    return fake_of(w)->now_ns;
}

static uint64_t world_random(struct mob_world *w)
{
    struct fake *f = fake_of(w);

    return f->random = f->random * UINT64_C(6364136223846793005) + 1442695040888963407;
}

static void world_send(struct mob_world *w, uint64_t link, const void *frame, size_t size)
{
    struct fake *f = fake_of(w);

    f->sent = mob_realloc(f->sent, (f->sent_count + 1) * sizeof *f->sent);
    f->sent[f->sent_count++] = (struct fake_sent){ .link = link, .bytes = mob_memdup(frame, size), .size = size };
}

static void world_hang_up(struct mob_world *w, uint64_t link)
{
    struct fake *f = fake_of(w);

    ck_assert_uint_lt(f->hung_up_count, MOB_COUNT(f->hung_up));
    f->hung_up[f->hung_up_count++] = link;
}

static uint64_t world_dial(struct mob_world *w, const char *ip, uint32_t port)
{
    struct fake *f = fake_of(w);

    (void)ip;
    (void)port;
    ck_assert_uint_lt(f->dialed_count, MOB_COUNT(f->dialed));
    return f->dialed[f->dialed_count++] = ++f->next_link;
}

static void on_record(void *arg, const void *events, size_t n, uint64_t dropped)
{
    (void)events;
    (void)dropped;
    ((struct fake *)arg)->recorded += n;
}

static void on_stop(void *arg)
{
    ((struct fake *)arg)->stopped++;
}

static int on_keep(void *arg, enum mob_head_row kind, uint64_t key, const void *bytes, size_t size, struct mob_error *err)
{
    struct fake *f = arg;
    struct fake_row *row;

    f->kept_after = f->sent_count;
    if (f->full)
        return mob_error_set(err, MOB_ERR_NO_SPACE, "the disk is full");
    free(mob_map_remove(&f->kept[kind], key));
    if (bytes == NULL)
        return 0;
    row = mob_alloc(sizeof *row + size);
    row->size = size;
    memcpy(row->bytes, bytes, size);
    mob_map_set(&f->kept[kind], key, row);
    return 0;
}

static void start_head(struct fake *f)
{
    struct mob_head_config config = {
        .cluster = "0123456789abcde", .beat_ms = 500, .dead_ms = 2500, .record = on_record, .stop = on_stop, .keep = on_keep,
        .generation = f->generation++, .arg = f,
    };
    struct fake_row *row;

    f->head = mob_head_create(&f->world, &config);
    for (int kind = 0; kind < 3; kind++)
        for (size_t at = 0; (row = mob_map_next(&f->kept[kind], &at, NULL)) != NULL;)
            ck_assert_int_eq(mob_head_load(f->head, (enum mob_head_row)kind, row->bytes, row->size, NULL), 0);
    mob_head_check(f->head);
}

void fake_restart(struct fake *f)
{
    mob_head_check(f->head);
    mob_head_destroy(f->head);
    start_head(f);
}

static void copy_rows(struct mob_map to[3], const struct mob_map from[3])
{
    struct fake_row *row;
    uint64_t key;

    for (int kind = 0; kind < 3; kind++) {
        for (size_t at = 0; (row = mob_map_next(&to[kind], &at, NULL)) != NULL;)
            free(row);
        mob_map_fini(&to[kind]);
        for (size_t at = 0; (row = mob_map_next(&from[kind], &at, &key)) != NULL;)
            mob_map_set(&to[kind], key, mob_memdup(row, sizeof *row + row->size));
    }
}

void fake_save(struct fake *f)
{
    copy_rows(f->saved, f->kept);
    f->saved_generation = f->generation;
}

void fake_restart_on_saved(struct fake *f)
{
    copy_rows(f->kept, f->saved);
    f->generation = f->saved_generation;
    fake_restart(f);
}

void fake_init(struct fake *f)
{
    *f = (struct fake){
        .world = { .now_ns = world_now, .random = world_random, .send = world_send, .hang_up = world_hang_up, .dial = world_dial },
        .now_ns = 1000 * FAKE_MS,
        .random = 1,
    };
    f->wire = mob_wire_create();
    start_head(f);
}

void fake_fini(struct fake *f)
{
    mob_head_check(f->head);
    mob_head_destroy(f->head);
    mob_wire_destroy(f->wire);
    for (size_t i = 0; i < f->sent_count; i++)
        free(f->sent[i].bytes);
    free(f->sent);
    copy_rows(f->kept, (struct mob_map[3]){ 0 });
    copy_rows(f->saved, (struct mob_map[3]){ 0 });
}

void fake_tick(struct fake *f)
{
    mob_head_tick(f->head);
    mob_head_check(f->head);
}

void fake_pass(struct fake *f, int64_t ms)
{
    for (; ms > 0; ms -= 100) {
        f->now_ns += (ms < 100 ? ms : 100) * FAKE_MS;
        fake_tick(f);
    }
}

uint64_t fake_link(struct fake *f)
{
    uint64_t link = ++f->next_link;

    mob_head_link_up(f->head, link);
    return link;
}

void fake_receive(struct fake *f, uint64_t link, const Mobula__Envelope *e)
{
    size_t size;
    const void *bytes = mob_wire_pack(f->wire, e, &size);

    mob_head_receive(f->head, link, bytes, size);
    mob_head_check(f->head);
}

static struct mob_resources resources_of(const char *text)
{
    struct mob_resources r;

    ck_assert_int_eq(mob_resources_parse(text, &r, NULL), 0);
    return r;
}

void fake_register(struct fake *f, struct fake_node *n, uint64_t link)
{
    Mobula__Register m = MOBULA__REGISTER__INIT;
    Mobula__Resource room[MOB_RESOURCES_MAX], *list[MOB_RESOURCES_MAX];
    Mobula__Label label_room[MOB_LABELS_MAX], *label_list[MOB_LABELS_MAX];
    struct mob_resources resources = resources_of(n->resources);
    struct mob_labels labels = { 0 };
    struct mob_envelope env;
    const Mobula__Envelope *answer;

    if (n->labels != NULL)
        ck_assert_int_eq(mob_labels_parse(n->labels, &labels, NULL), 0);
    m.n_labels = mob_wire_put_labels(label_room, label_list, &labels);
    m.labels = label_list;
    m.protocol = MOB_PROTOCOL;
    m.incarnation = (ProtobufCBinaryData){ .len = 16, .data = n->incarnation };
    m.ip = n->ip != NULL ? (char *)n->ip : "10.0.0.1";
    m.port = 1000;
    m.bulk_port = 1001;
    m.host = "test";
    m.session_dir = "";
    m.driver_only = n->driver_only;
    m.node = n->number;
    m.cluster.len = n->number != 0 ? 16 : 0;
    m.cluster.data = (uint8_t *)(n->stranger ? "another cluster" : "0123456789abcde");
    m.generation = n->generation;
    m.highest_node = n->highest > n->number ? n->highest : n->number;
    m.n_resources = mob_wire_put_resources(room, list, &resources);
    m.resources = list;
    n->link = link;
    mob_envelope_init(&env, (struct mob_address){ n->number, 0 }, (struct mob_address){ 0, 0 },
                      MOBULA__ENVELOPE__BODY_REGISTER_NODE);
    env.e.register_node = &m;
    fake_receive(f, link, &env.e);
    if ((answer = fake_take(f, link, MOBULA__ENVELOPE__BODY_REGISTERED)) != NULL) {
        n->number = answer->registered->node;
        ck_assert_uint_ge(answer->registered->last, n->number);
        n->generation = answer->registered->generation;
        n->events_heard = answer->registered->events_heard;
    }
}

void fake_join(struct fake *f, struct fake_node *n, const char *resources)
{
    uint64_t half;

    n->resources = resources;
    half = world_random(&f->world);
    memcpy(n->incarnation, &half, sizeof half);
    fake_register(f, n, fake_link(f));
    ck_assert_uint_ne(n->number, 0);
    fake_tick(f);
}

static void report(struct fake *f, const struct fake_node *n, uint64_t version, const char *free_now, uint64_t placed_seq,
                   uint64_t claim_over)
{
    Mobula__Report m = MOBULA__REPORT__INIT;
    Mobula__Resource room[MOB_RESOURCES_MAX], *list[MOB_RESOURCES_MAX];
    struct mob_resources resources = resources_of(free_now);
    struct mob_envelope env;

    m.version = version;
    m.placed_seq = placed_seq;
    m.claim_over = claim_over;
    m.n_free = mob_wire_put_resources(room, list, &resources);
    m.free = list;
    mob_envelope_init(&env, (struct mob_address){ n->number, 0 }, (struct mob_address){ 0, 0 }, MOBULA__ENVELOPE__BODY_REPORT);
    m.store_full = n->store_full;
    env.e.report = &m;
    fake_receive(f, n->link, &env.e);
    fake_tick(f);
}

void fake_report(struct fake *f, const struct fake_node *n, uint64_t version, const char *free_now, uint64_t placed_seq)
{
    report(f, n, version, free_now, placed_seq, 0);
}

void fake_report_claim(struct fake *f, const struct fake_node *n, uint64_t version, const char *free_now, uint64_t claim_over)
{
    report(f, n, version, free_now, 0, claim_over);
}

void fake_demand(struct fake *f, const struct fake_node *n, const struct fake_demand *d)
{
    Mobula__Demand m = MOBULA__DEMAND__INIT;
    Mobula__Shape definition = MOBULA__SHAPE__INIT;
    Mobula__Address owner = MOBULA__ADDRESS__INIT;
    struct mob_shape shape = { .strategy = d->strategy, .node = d->node, .job = { n->number, d->process } };
    struct mob_shape_room room;
    struct mob_near_room near;
    struct mob_envelope env;

    if (d->job_node != 0)
        shape.job.node = d->job_node;
    if (d->resources != NULL)
        ck_assert_int_eq(mob_resources_parse(d->resources, &shape.resources, NULL), 0);
    mob_wire_put_shape(&definition, &room, &shape);
    mob_wire_put_address(&owner, (struct mob_address){ n->number, d->process });
    m.owner = &owner;
    m.shape = d->shape;
    m.definition = &definition;
    m.count = d->count;
    m.placed_seen = d->placed_seen;
    m.age_ms = d->age_ms;
    m.depth = d->depth;
    m.n_near = mob_wire_put_near(&near, d->near, MOB_COUNT(d->near));
    m.near = near.list;
    mob_envelope_init(&env, (struct mob_address){ n->number, 0 }, (struct mob_address){ 0, 0 }, MOBULA__ENVELOPE__BODY_DEMAND);
    env.e.demand = &m;
    fake_receive(f, n->link, &env.e);
}

void fake_job(struct fake *f, const struct fake_node *n, Mobula__Envelope__BodyCase body, uint32_t node, uint32_t process)
{
    Mobula__JobStarted started = MOBULA__JOB_STARTED__INIT;
    Mobula__JobOver over = MOBULA__JOB_OVER__INIT;
    Mobula__Address job;
    struct mob_envelope e;

    mob_wire_put_address(&job, (struct mob_address){ node, process });
    started.job = over.job = &job;
    mob_envelope_init(&e, (struct mob_address){ n->number, 0 }, (struct mob_address){ 0, 0 }, body);
    if (body == MOBULA__ENVELOPE__BODY_JOB_OVER)
        e.e.job_over = &over;
    else
        e.e.job_started = &started;
    fake_receive(f, n->link, &e.e);
}

void fake_node_down(struct fake *f, const struct fake_node *n, uint32_t node)
{
    Mobula__NodeDown m = MOBULA__NODE_DOWN__INIT;
    struct mob_envelope e;

    m.node = node;
    mob_envelope_init(&e, (struct mob_address){ n->number, 0 }, (struct mob_address){ 0, 0 }, MOBULA__ENVELOPE__BODY_NODE_DOWN);
    e.e.node_down = &m;
    fake_receive(f, n->link, &e.e);
}

void fake_events(struct fake *f, const struct fake_node *n, uint32_t process)
{
    struct mob_event record = { .kind = MOB_EVENT_SUBMITTED };
    Mobula__Events m = MOBULA__EVENTS__INIT;
    struct mob_envelope e;

    m.records = (ProtobufCBinaryData){ sizeof record, (uint8_t *)&record };
    mob_envelope_init(&e, (struct mob_address){ n->number, process }, (struct mob_address){ 0, 0 }, MOBULA__ENVELOPE__BODY_EVENTS);
    e.e.events = &m;
    fake_receive(f, n->link, &e.e);
}

void fake_reply(struct fake *f, const struct fake_node *n, uint64_t id, const char *text, bool last)
{
    Mobula__Reply m = MOBULA__REPLY__INIT;
    struct mob_envelope e;

    m.id = id;
    m.text = (ProtobufCBinaryData){ strlen(text), (uint8_t *)text };
    m.last = last;
    mob_envelope_init(&e, (struct mob_address){ n->number, 0 }, (struct mob_address){ 0, 0 }, MOBULA__ENVELOPE__BODY_REPLY);
    e.e.reply = &m;
    fake_receive(f, n->link, &e.e);
}

void fake_query(struct fake *f, uint64_t link, uint64_t id, const char *verb, const char *argument)
{
    Mobula__Query m = MOBULA__QUERY__INIT;
    struct mob_envelope env;

    m.id = id;
    m.verb = (char *)verb;
    m.argument = (char *)argument;
    mob_envelope_init(&env, (struct mob_address){ 0, 0 }, (struct mob_address){ 0, 0 }, MOBULA__ENVELOPE__BODY_QUERY);
    env.e.query = &m;
    fake_receive(f, link, &env.e);
}

const Mobula__Envelope *fake_take(struct fake *f, uint64_t link, Mobula__Envelope__BodyCase body)
{
    struct mob_error err;

    for (size_t i = 0; i < f->sent_count; i++) {
        const Mobula__Envelope *e;
        if (f->sent[i].taken || f->sent[i].link != link)
            continue;
        e = mob_wire_unpack(f->wire, f->sent[i].bytes, f->sent[i].size, &err);
        ck_assert_ptr_nonnull(e);
        if (e->body_case != body)
            continue;
        f->sent[i].taken = true;
        return e;
    }
    return NULL;
}

bool fake_was_hung_up(const struct fake *f, uint64_t link)
{
    for (size_t i = 0; i < f->hung_up_count; i++) {
        if (f->hung_up[i] == link)
            return true;
    }
    return false;
}
