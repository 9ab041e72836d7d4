/* SPDX-License-Identifier: Apache-2.0 */
/* store.c -- the store as a whole: its memory, its clients, its books.
 *
 *   arena     memfd, size sealed; clients map it to read and to write
 *   metadata  memfd, sealed against all writers to come: only the mapping made here can write
 *   pin page  memfd, one a client, which writes it; mapped here to read
 *
 * In memory (the simulator) the three are plain memory, and there are no descriptors.
 */
#include "objstore/store.h"

#include <assert.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>

#include "common/error.h"
#include "objstore/store_private.h"

#define IN_MEMORY_ENTRIES (1u << 16)
#ifndef F_SEAL_FUTURE_WRITE
#define F_SEAL_FUTURE_WRITE 0x0010
#endif

/* Memory behind a descriptor, mapped to read and write; then sealed. The mapping is not copied by fork(). */
static void *shared_memory(const char *name, uint64_t size, int more_seals, int *ret_fd, struct mob_error *err)
{
    int fd = memfd_create(name, MFD_CLOEXEC | MFD_ALLOW_SEALING);
    void *p = MAP_FAILED;

    if (fd >= 0 && ftruncate(fd, (off_t)size) == 0)
        p = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_NORESERVE, fd, 0);
    if (p == MAP_FAILED) {
        mob_error_errno(err, "making %llu bytes of shared memory for the object store", (unsigned long long)size);
        if (fd >= 0)
            close(fd);
        return NULL;
    }
    madvise(p, size, MADV_DONTFORK);
    if (fcntl(fd, F_ADD_SEALS, F_SEAL_GROW | F_SEAL_SHRINK | F_SEAL_SEAL | more_seals) < 0) {
        mob_error_errno(err, "sealing the object store's memory (Linux 5.1 or newer is needed)");
        munmap(p, size);
        close(fd);
        return NULL;
    }
    *ret_fd = fd;
    return p;
}

static void *plain_memory(uint64_t size, struct mob_error *err)
{
    void *p = calloc(1, size);

    if (p == NULL)
        mob_error_set(err, MOB_ERR_NO_SPACE, "no memory for an object store of %llu bytes", (unsigned long long)size);
    return p;
}

static void let_go(const struct mob_store *s, void *p, uint64_t size)
{
    if (p == NULL)
        return;
    if (s->in_memory)
        free(p);
    else
        munmap(p, size);
}

static int make_memory(struct mob_store *s, uint64_t size, struct mob_error *err)
{
    if (s->in_memory) {
        s->arena = plain_memory(size, err);
        s->meta = s->arena != NULL ? plain_memory(s->meta_size, err) : NULL;
    } else {
        s->arena = shared_memory("mobula-arena", size, 0, &s->arena_fd, err);
        s->meta = s->arena != NULL ? shared_memory("mobula-meta", s->meta_size, F_SEAL_FUTURE_WRITE, &s->meta_fd, err) : NULL;
    }
    if (s->meta == NULL)
        return -1;
    s->meta->magic = MOB_STORE_MAGIC;
    s->meta->version = MOB_STORE_VERSION;
    s->meta->arena_size = size;
    s->meta->entries = s->entries;
    return 0;
}

struct mob_store *mob_store_create(const struct mob_store_config *config, bool in_memory, struct mob_error *err)
{
    struct mob_store *s = mob_new(struct mob_store);
    uint64_t size;

    s->config = *config;
    s->in_memory = in_memory;
    s->arena_fd = s->meta_fd = -1;
    s->entries = in_memory ? IN_MEMORY_ENTRIES : MOB_STORE_ENTRIES;
    s->meta_size = sizeof(*s->meta) + (uint64_t)s->entries * sizeof(s->meta->entry[0]);
    s->objects = mob_alloc(s->entries * sizeof(s->objects[0]));
    s->free_entries = mob_alloc(s->entries * sizeof(s->free_entries[0]));
    s->alloc = mob_alloc_create(config->bytes);
    mob_list_init(&s->copies);
    mob_list_init(&s->doomed);
    mob_pulls_init(s);
    size = mob_alloc_size(s->alloc);
    if (size == 0)
        mob_error_set(err, MOB_ERR_INVALID, "an object store of %llu bytes is too small", (unsigned long long)config->bytes);
    if (size == 0 || make_memory(s, size, err) < 0) {
        mob_store_destroy(s);
        return NULL;
    }
    return s;
}

static void client_destroy(const struct mob_store *s, struct client *c)
{
    let_go(s, c->pins, sizeof(*c->pins));
    free(c);
}

static void object_destroy(struct object *o)
{
    while (!mob_list_empty(&o->waiters)) {
        struct waiter *w = mob_list_first(&o->waiters, struct waiter, link);

        mob_list_remove(&w->link);
        free(w);
    }
    mob_line_free(o);
    free(o);
}

void mob_store_destroy(struct mob_store *s)
{
    struct client *c;
    size_t at = 0;

    if (s == NULL)
        return;
    while ((c = mob_map_next(&s->clients, &at, NULL)) != NULL)
        client_destroy(s, c);
    for (uint32_t i = 0; i < s->entries_used; i++)
        if (s->objects[i] != NULL)
            object_destroy(s->objects[i]);
    mob_pulls_fini(s);
    free(s->news);
    let_go(s, s->arena, mob_alloc_size(s->alloc));
    let_go(s, s->meta, s->meta_size);
    if (s->arena_fd >= 0)
        close(s->arena_fd);
    if (s->meta_fd >= 0)
        close(s->meta_fd);
    mob_map_fini(&s->clients);
    mob_map_fini(&s->by_id);
    mob_alloc_destroy(s->alloc);
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
    pins = s->in_memory ? plain_memory(sizeof(*pins), err) : shared_memory("mobula-pins", sizeof(*pins), 0, &fd, err);
    if (pins == NULL)
        return -1;
    pins->magic = MOB_STORE_MAGIC;
    pins->version = MOB_STORE_VERSION;
    c = mob_new(struct client);
    c->process = process;
    c->pins = pins;
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

    assert(s->in_memory && c != NULL);
    return c->pins;
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

    for (uint32_t i = 0; i < s->entries_used; i++) {
        struct object *o = s->objects[i];

        if (o == NULL || o->maker != process || (o->m.now != OBJECT_CREATED && o->m.now != OBJECT_UNWANTED))
            continue;
        mob_error_set(&err, MOB_ERR_OBJECT_LOST, "the process that was making %s died", mob_object_id_name(&o->id, name));
        mob_fetch_answer_all(o, NULL, &err);
        mob_object_retire(o);
    }
}

void mob_store_client_gone(struct mob_store *s, uint32_t process)
{
    struct client *c = mob_map_remove(&s->clients, process);

    if (c == NULL)
        return;
    client_destroy(s, c);
    mob_fetch_forget(s, process);
    free_unsealed(s, process);
    mob_store_owner_gone(s, (struct mob_address){ s->config.node, process });
    mob_room_retry(s, UINT64_MAX);
    mob_pulls_settle(s);
}

static bool is_owned_by(const struct object *o, struct mob_address owner)
{
    return o->id.node == owner.node && o->id.process == owner.process;
}

static bool is_of_job(const struct object *o, struct mob_address job)
{
    return mob_address_eq(o->job, job);
}

static void free_all(struct mob_store *s, bool (*is_its)(const struct object *o, struct mob_address whose), struct mob_address whose)
{
    uint64_t freed = 0;

    for (uint32_t i = 0; i < s->entries_used; i++) {
        struct object *o = s->objects[i];

        if (o == NULL || !is_its(o, whose))
            continue;
        freed += o->m.now == OBJECT_SEALED;
        mob_object_free(o);
    }
    mob_room_retry(s, freed);
    mob_pulls_settle(s);
}

static bool pull_is_owned_by(const struct pull *p, struct mob_address owner)
{
    return p->id.node == owner.node && p->id.process == owner.process;
}

static bool pull_is_of_job(const struct pull *p, struct mob_address job)
{
    return mob_address_eq(p->job, job);
}

void mob_store_owner_gone(struct mob_store *s, struct mob_address owner)
{
    struct mob_error why;

    mob_error_set(&why, MOB_ERR_OWNER_DIED, "its owner is gone");
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

bool mob_store_waits(const struct mob_store *s)
{
    return s->count[OBJECT_DOOMED] > 0 || mob_pulls_wait(s);
}

bool mob_store_tick(struct mob_store *s, int64_t now_ns)
{
    mob_room_retry(s, UINT64_MAX);
    mob_pulls_tick(s, now_ns);
    return mob_store_waits(s);
}

/* -- books -------------------------------------------------------------------------------------------------------------- */

void *mob_store_arena(const struct mob_store *s)
{
    return s->arena;
}

struct mob_store_usage mob_store_usage(const struct mob_store *s)
{
    struct mob_store_usage usage = { .size = mob_alloc_size(s->alloc), .used = mob_alloc_used(s->alloc) };

    for (unsigned state = 0; state < OBJECT_GONE; state++)
        usage.objects += s->count[state];
    usage.pulls = s->pulls.count;
    usage.waiting = s->pulls.waiting_count;
    return usage;
}

static void check(bool holds, const char *what)
{
    if (holds)
        return;
    fprintf(stderr, "mobula: object store: %s\n", what);
    abort();
}

void mob_store_check(const struct mob_store *s)
{
    uint64_t bytes[OBJECT_STATES] = { 0 }, count[OBJECT_STATES] = { 0 }, used = 0;

    mob_alloc_check(s->alloc);
    for (uint32_t i = 0; i < s->entries_used; i++) {
        const struct object *o = s->objects[i];
        uint64_t word = s->meta->entry[i].word, want;

        if (o == NULL) {
            check((word & 0xff) == MOB_ENTRY_FREE, "an entry without an object is not free");
            continue;
        }
        want = o->m.now == OBJECT_SEALED || o->m.now == OBJECT_DOOMED ? MOB_ENTRY_SEALED : MOB_ENTRY_CREATED;
        check(word == mob_entry_word(o->generation, want), "an entry's word does not fit its object");
        check(o->extent == NULL || (o->extent->offset == s->meta->entry[i].offset && o->extent->size >= o->size),
              "an entry names other bytes than its object has");
        count[o->m.now]++;
        bytes[o->m.now] += o->extent != NULL ? o->extent->size : 0;
        used += o->extent != NULL ? o->extent->size : 0;
    }
    check(used == mob_alloc_used(s->alloc), "bytes in use are not those of the objects");
    for (unsigned state = 0; state < OBJECT_STATES; state++)
        check(bytes[state] == s->bytes[state] && count[state] == s->count[state], "the books of a state are wrong");
}
