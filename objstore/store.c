/* SPDX-License-Identifier: Apache-2.0 */
/* store.c -- the store as a whole: its clients, and its books. */
#include "objstore/store.h"

#include <assert.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/error.h"
#include "objstore/store_private.h"

#ifndef IN_MEMORY_ENTRIES
#define IN_MEMORY_ENTRIES (1u << 16)
#endif
#define LOOK_NS INT64_C(100000000)      /* for pins that go without a message */

struct mob_store *mob_store_create(const struct mob_store_config *config, bool in_memory, struct mob_error *err)
{
    struct mob_store *s = mob_new(struct mob_store);
    uint64_t size;

    s->config = *config;
    s->in_memory = in_memory;
    s->arena_fd = s->meta_fd = s->overflow.fd = -1;
    s->entries = in_memory ? IN_MEMORY_ENTRIES : MOB_STORE_ENTRIES;
    s->meta_size = sizeof(*s->meta) + (uint64_t)s->entries * sizeof(s->meta->entry[0]);
    s->objects = mob_alloc(s->entries * sizeof(s->objects[0]));
    s->free_entries = mob_alloc(s->entries * sizeof(s->free_entries[0]));
    s->alloc = mob_alloc_create(0, config->bytes + config->behind);
    mob_list_init(&s->all);
    mob_list_init(&s->evictable);
    mob_list_init(&s->primaries);
    mob_list_init(&s->doomed);
    mob_list_init(&s->overflow.sealed);
    mob_list_init(&s->asks.list);
    mob_list_init(&s->spill.files);
    mob_list_init(&s->loans.borrowers);
    mob_pulls_init(s);
    size = mob_alloc_size(s->alloc);
    if (size == 0)
        mob_error_set(err, MOB_ERR_INVALID, "an object store of %llu bytes is too small", (unsigned long long)config->bytes);
    if (size == 0 || mob_memory_make(s, size, err) < 0) {
        mob_store_destroy(s);
        return NULL;
    }
    return s;
}

static void client_destroy(struct mob_store *s, struct client *c)
{
    mob_loans_forget(s, c);
    mob_memory_let_go(s, c->pins, sizeof(*c->pins));
    free(c);
}

static void object_destroy(struct object *o)
{
    while (!mob_list_empty(&o->waiters)) {
        struct waiter *w = mob_list_first(&o->waiters, struct waiter, link);

        mob_list_remove(&w->link);
        free(w);
    }
    free(o->ask);
    mob_line_free(o);
    free(o);
}

void mob_store_destroy(struct mob_store *s)
{
    struct client *c;
    struct object *o;
    struct ask *a;
    size_t at = 0;

    if (s == NULL)
        return;
    while ((c = mob_map_next(&s->clients, &at, NULL)) != NULL)
        client_destroy(s, c);
    mob_list_each(a, &s->asks.list, struct ask, link)
        if (a->object == NULL)
            free(a);
    mob_list_each(o, &s->all, struct object, all)
        object_destroy(o);
    mob_spill_fini(s);
    mob_pulls_fini(s);
    free(s->news);
    mob_memory_end(s);
    mob_map_fini(&s->clients);
    mob_map_fini(&s->by_id);
    mob_alloc_destroy(s->alloc);
    mob_alloc_destroy(s->overflow.alloc);
    free(s->objects);
    free(s->free_entries);
    free(s);
}

void mob_store_set_node(struct mob_store *s, uint32_t node)
{
    s->config.node = node;
}

/* -- clients ------------------------------------------------------------------------------------------------------------ */

int mob_store_client(struct mob_store *s, uint32_t process, int *ret_arena, int *ret_meta, int *ret_pins, struct mob_error *err)
{
    struct mob_pin_page *pins;
    struct client *c;
    int fd = -1;

    assert(process != 0);
    if (mob_map_get(&s->clients, process) != NULL)
        return mob_error_set(err, MOB_ERR_INVALID, "process %u is a client of the store already", process);
    pins = s->in_memory ? mob_memory_plain(sizeof(*pins), err) : mob_memory_shared("mobula-pins", sizeof(*pins), 0, &fd, err);
    if (pins == NULL)
        return -1;
    pins->magic = MOB_STORE_MAGIC;
    pins->version = MOB_STORE_VERSION;
    c = mob_new(struct client);
    c->process = process;
    c->pins = pins;
    mob_list_init(&c->loans);
    mob_list_init(&c->borrower);
    mob_map_set(&s->clients, process, c);
    *ret_arena = s->arena_fd;
    *ret_meta = s->meta_fd;
    *ret_pins = fd;
    return 0;
}

const struct mob_store_meta *mob_store_metadata(const struct mob_store *s)
{
    return s->meta;
}

struct mob_pin_page *mob_store_pins(const struct mob_store *s, uint32_t process)
{
    const struct client *c = mob_map_get(&s->clients, process);

    return c != NULL ? c->pins : NULL;
}

void mob_store_client_job(struct mob_store *s, uint32_t process, struct mob_address job)
{
    struct client *c = mob_map_get(&s->clients, process);

    assert(c != NULL);
    c->job = job;
}

/* What it was writing is half written for ever. */
static void free_unsealed(struct mob_store *s, uint32_t process)
{
    char name[MOB_OBJECT_NAME_SIZE];
    struct mob_error err;
    struct object *o;

    mob_list_each(o, &s->all, struct object, all) {
        if (o->maker != process || (o->m.now != OBJECT_CREATED && o->m.now != OBJECT_UNWANTED))
            continue;
        mob_error_set(&err, MOB_ERR_OBJECT_LOST, "the process that was making %s died", mob_object_id_name(&o->id, name));
        mob_fetch_answer_all(o, NULL, &err);
        mob_object_retire(o);
    }
}

void mob_store_client_gone(struct mob_store *s, uint32_t process)
{
    struct client *c = mob_map_remove(&s->clients, process);

    if (c != NULL) {
        mob_pages_release(s, c);
        client_destroy(s, c);
        mob_wait_forget(s, process);
        mob_fetch_forget(s, process);
        free_unsealed(s, process);
    }
    mob_store_owner_gone(s, (struct mob_address){ s->config.node, process });
    mob_room_retry(s, UINT64_MAX);
    mob_store_settle(s);
}

static bool is_owned_by(const struct object *o, struct mob_address owner)
{
    return mob_id_is_of(&o->id, owner);
}

static bool is_of_job(const struct object *o, struct mob_address job)
{
    return mob_address_eq(o->job, job);
}

static void free_all(struct mob_store *s, bool (*is_its)(const struct object *o, struct mob_address whose), struct mob_address whose)
{
    struct object *o;
    uint64_t freed = 0;

    mob_list_each(o, &s->all, struct object, all) {
        if (!is_its(o, whose))
            continue;
        freed += o->m.now == OBJECT_SEALED;
        mob_object_free(o);
    }
    mob_room_retry(s, freed);
    mob_store_settle(s);
}

static bool pull_is_owned_by(const struct pull *p, struct mob_address owner)
{
    return mob_id_is_of(&p->id, owner);
}

static bool pull_is_of_job(const struct pull *p, struct mob_address job)
{
    return mob_address_eq(p->job, job);
}

void mob_store_owner_gone(struct mob_store *s, struct mob_address owner)
{
    struct mob_error why;

    mob_error_set(&why, MOB_ERR_OWNER_DIED, "its owner, process %u of node %u, is gone", owner.process, owner.node);
    mob_pulls_end(s, pull_is_owned_by, owner, &why);
    free_all(s, is_owned_by, owner);
}

void mob_store_job_over(struct mob_store *s, struct mob_address job)
{
    struct mob_error why;

    mob_error_set(&why, MOB_ERR_CANCELLED, "the job is over");
    mob_pulls_end(s, pull_is_of_job, job, &why);
    free_all(s, is_of_job, job);
}

bool mob_store_idles(const struct mob_store *s)
{
    return s->pages.warm;
}

bool mob_store_waits(const struct mob_store *s)
{
    return s->count[OBJECT_DOOMED] > 0 || s->asks.count > 0 || s->loans.count > 0 || s->spill.fruitless || s->spill.stopped
        || s->overflow.refused > 0 || s->full.needs > 0 || mob_pulls_wait(s);
}

bool mob_store_full(const struct mob_store *s)
{
    return s->full.needs > 0;
}

int64_t mob_store_tick(struct mob_store *s, int64_t now_ns)
{
    int64_t again;

    mob_loans_tick(s, now_ns);
    mob_room_retry(s, UINT64_MAX);
    mob_pulls_tick(s, now_ns);
    mob_spill_tick(s, now_ns);
    mob_wait_tick(s, now_ns);
    again = mob_pages_tick(s, now_ns);
    mob_store_settle(s);
    mob_overflow_tick(s, now_ns);       /* now that the disk has been told what it can do for who waits */
    mob_store_settle(s);
    return mob_store_waits(s) ? now_ns + LOOK_NS : again;
}

/* -- books -------------------------------------------------------------------------------------------------------------- */

void *mob_store_arena(const struct mob_store *s)
{
    return s->arena;
}

int mob_store_file(const struct mob_store *s, uint64_t offset, uint64_t *ret_at)
{
    uint64_t size = mob_alloc_size(s->alloc);

    *ret_at = offset < size ? offset : offset - mob_overflow_at(size);
    return offset >= size ? s->overflow.fd : s->huge ? -1 : s->arena_fd;
}

struct mob_store_usage mob_store_usage(const struct mob_store *s)
{
    struct mob_store_usage usage = { .size = s->config.bytes, .used = mob_alloc_used(s->alloc) - s->pages.kept };

    if (s->pages.held != NULL)
        usage.used -= s->pages.held->size;
    if (usage.used > usage.size)
        usage.used = usage.size;
    for (unsigned state = 0; state < OBJECT_GONE; state++)
        usage.objects += s->count[state];
    usage.spilled = s->spill.bytes;
    usage.spilled_objects = s->count[OBJECT_SPILLED];
    usage.asks = s->asks.count;
    usage.pulled = s->pulled;
    usage.warm = mob_memory_warm(s);
    usage.pages = s->page_text;
    usage.trouble = s->spill.trouble.code != MOB_OK ? s->spill.trouble.text : s->overflow.trouble.text;
    if (s->overflow.alloc != NULL) {
        usage.overflow = mob_alloc_used(s->overflow.alloc);
        usage.overflow_size = mob_alloc_size(s->overflow.alloc);
    }
    usage.pulls = s->pulls.count;
    usage.waiting = s->pulls.waiting_count;
    return usage;
}

static struct mob_store_row row_of(const struct object *o)
{
    return (struct mob_store_row){
        .id = o->id, .size = o->size, .state = mob_object_state(o), .maker = o->maker,
        .reader = mob_room_seen_pinned(o) ? o->pin_process : 0,
        .making = o->m.now == OBJECT_CREATED || o->m.now == OBJECT_UNWANTED,
        .copy = o->copy,
        .overflow = mob_overflow_has(o->store, o->extent),
        .freed = o->m.now == OBJECT_DOOMED || o->m.now == OBJECT_UNWANTED || o->m.now == OBJECT_DISCARDED || o->m.now == OBJECT_DROPPED,
    };
}

size_t mob_store_largest(struct mob_store *s, struct mob_store_row *ret_rows, size_t max)
{
    struct object *o;
    size_t count = 0, at;

    mob_room_look(s);
    mob_list_each(o, &s->all, struct object, all) {
        if (max == 0 || (count == max && o->size <= ret_rows[max - 1].size))
            continue;
        for (at = count < max ? count++ : max - 1; at > 0 && ret_rows[at - 1].size < o->size; at--)
            ret_rows[at] = ret_rows[at - 1];
        ret_rows[at] = row_of(o);
    }
    return count;
}

static void check(bool holds, const char *what)
{
    if (holds)
        return;
    fprintf(stderr, "mobula: object store: %s\n", what);
    abort();
}

static void check_object(const struct mob_store *s, const struct object *o)
{
    const struct mob_store_entry *e;
    uint64_t want;

    check(o->m.now != OBJECT_GONE, "an object that is gone is in the table");
    if (o->entry == ENTRY_NONE) {
        check(o->m.now == OBJECT_SPILLED && o->extent == NULL, "an object without an entry is not spilled");
        return;
    }
    e = &s->meta->entry[o->entry];
    want = o->m.now == OBJECT_SEALED || o->m.now == OBJECT_DOOMED ? MOB_ENTRY_SEALED : MOB_ENTRY_CREATED;
    check(s->objects[o->entry] == o && e->word == mob_entry_word(o->generation, want), "an entry's word does not fit its object");
    check(o->extent == NULL || (o->extent->offset == e->offset && o->extent->size >= o->size),
          "an entry names other bytes than its object has");
}

static void check_files(const struct mob_store *s)
{
    const struct spill_file *f;
    const struct object *o;
    uint64_t live = 0, with_record = 0;

    mob_list_each(f, &s->spill.files, const struct spill_file, link) {
        check(f->live > 0 || f->busy, "an empty spill file is kept");
        live += f->live;
    }
    mob_list_each(o, &s->all, const struct object, all)
        with_record += o->file != NULL;
    check(live == with_record, "records on the disk are miscounted");
}

void mob_store_check(const struct mob_store *s)
{
    uint64_t bytes[OBJECT_STATES] = { 0 }, count[OBJECT_STATES] = { 0 }, used[2] = { 0 }, with_entry = 0, evictable = 0;
    uint64_t primary = 0, lent = 0;
    const struct object *o;

    mob_alloc_check(s->alloc);
    if (s->overflow.alloc != NULL)
        mob_alloc_check(s->overflow.alloc);
    mob_list_each(o, &s->all, const struct object, all) {
        uint64_t size = o->extent != NULL ? o->extent->size : 0;

        check_object(s, o);
        count[o->m.now]++;
        bytes[o->m.now] += size;
        used[mob_overflow_has(s, o->extent)] += size;
        with_entry += o->entry != ENTRY_NONE;
        evictable += o->listed == &s->evictable ? size : 0;
        primary += o->listed == &s->primaries ? size : 0;
        lent += o->lent;
    }
    for (uint32_t i = 0; i < s->entries_used; i++) {
        check(s->objects[i] != NULL || (s->meta->entry[i].word & 0xff) == MOB_ENTRY_FREE, "an entry without an object is not free");
        with_entry -= s->objects[i] != NULL;
    }
    check(with_entry == 0, "an entry is of an object that is not in the table");
    used[0] += s->pages.kept + (s->pages.held != NULL ? s->pages.held->size : 0);
    check(used[0] == mob_alloc_used(s->alloc), "bytes in use are not those of the objects");
    used[1] += s->overflow.moving;
    check(used[1] == (s->overflow.alloc != NULL ? mob_alloc_used(s->overflow.alloc) : 0),
          "bytes in use of the overflow are not those of the objects there");
    check(evictable == s->evictable_bytes && primary == s->primary_bytes, "the books of what may go are wrong");
    check(lent == s->loans.count, "loans are miscounted");
    for (unsigned state = 0; state < OBJECT_STATES; state++)
        check(bytes[state] == s->bytes[state] && count[state] == s->count[state], "the books of a state are wrong");
    check_files(s);
}
