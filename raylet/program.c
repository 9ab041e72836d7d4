/* SPDX-License-Identifier: Apache-2.0 */
/* program.c -- the worker programs of this node, by content.
 *
 *   KEPT      a driver of this node has it open; gone when the last such driver is
 *   FETCHING  its bytes come from `node`: waits for bulk, which fails by itself when the peer is silent
 *   CHECKING  a thread of the pool flushes, names and examines the file (raylet/elf.c): bounded to some seconds
 *   HERE      a file <session>/raylet-<node>.d/<sha>
 *   LACKING   the same, but a library is missing: the next ask looks for it again
 *   UNFIT     no file: it is not for this machine, and is not fetched again
 *
 * HERE, LACKING and UNFIT stay until FETCHED_MAX newer ones were used. However many workers wait for a program, it is fetched once. A
 * fetch that fails tells all waiters and forgets the program, so that the next ask tries again.
 *
 * A driver's program is started by its path while that still names the same file (so that it shows under its name), else by the open
 * descriptor: a program that was deleted or built anew during the run goes on as it was.
 */
#include "raylet/program.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "common/hash.h"
#include "common/log.h"
#include "common/mem.h"
#include "raylet/elf.h"
#include "raylet/shell.h"

#define FETCHED_MAX 32
#define SEEN_MAX 16

enum program_state { PROGRAM_KEPT, PROGRAM_FETCHING, PROGRAM_CHECKING, PROGRAM_HERE, PROGRAM_LACKING, PROGRAM_UNFIT };

struct program {
    struct mob_link link;               /* in programs->all, latest used last */
    struct mob_programs *programs;
    enum program_state state;
    struct mob_hash hash;
    int fd;                             /* KEPT: the driver's; FETCHING, CHECKING: of the new file */
    unsigned kept;                      /* KEPT: by so many drivers */
    char *path, *fetched_path;
    char from[64];                      /* FETCHING: the ip of the node it comes from */
    char *loader;                       /* LACKING: what is asked for its libraries */
    struct mob_link waiters;
    uv_work_t check;
    struct mob_error check_error;       /* LACKING, UNFIT: why */
    int check_result;
};

/* A file whose hash is known. */
struct seen {
    struct stat file;
    struct mob_hash hash;
};

struct mob_programs {
    struct mob_shell *shell;
    struct mob_link all;
    unsigned fetched, checking;
    struct seen seen[SEEN_MAX];
    unsigned seen_next;
};

struct mob_programs *mob_programs_create(struct mob_shell *shell)
{
    struct mob_programs *p = mob_new(struct mob_programs);

    p->shell = shell;
    mob_list_init(&p->all);
    return p;
}

static void program_free(struct program *g)
{
    assert(mob_list_empty(&g->waiters));
    mob_list_remove(&g->link);
    if (g->fd >= 0)
        close(g->fd);
    free(g->path);
    free(g->fetched_path);
    free(g->loader);
    free(g);
}

/* There may be two of one hash: a driver's own, and one that was fetched for a job of another node. A driver's comes first. */
static struct program *program_find(struct mob_programs *p, const struct mob_hash *hash)
{
    struct program *g, *found = NULL;

    mob_list_each(g, &p->all, struct program, link)
        if (memcmp(&g->hash, hash, sizeof *hash) == 0 && (found == NULL || g->state == PROGRAM_KEPT))
            found = g;
    return found;
}

static struct program *program_create(struct mob_programs *p, const struct mob_hash *hash, enum program_state state, int fd)
{
    struct program *g = mob_new(struct program);

    g->programs = p;
    g->hash = *hash;
    g->state = state;
    g->fd = fd;
    mob_list_init(&g->waiters);
    mob_list_append(&p->all, &g->link);
    return g;
}

/* -- hashing ------------------------------------------------------------------------------------------------------------------- */

struct hashing {
    struct mob_programs *programs;
    uv_work_t work;
    int fd;
    struct stat file;
    struct mob_hash hash;
    struct mob_error error;
    int result;
    void (*done)(void *arg, const struct mob_hash *hash, const struct mob_error *err);
    void *arg;
};

static bool same_file(const struct stat *a, const struct stat *b)
{
    return a->st_dev == b->st_dev && a->st_ino == b->st_ino && a->st_size == b->st_size
        && a->st_mtim.tv_sec == b->st_mtim.tv_sec && a->st_mtim.tv_nsec == b->st_mtim.tv_nsec
        && a->st_ctim.tv_sec == b->st_ctim.tv_sec && a->st_ctim.tv_nsec == b->st_ctim.tv_nsec;
}

static void hash_in_thread(uv_work_t *work)
{
    struct hashing *h = MOB_CONTAINER(work, struct hashing, work);

    h->result = mob_hash_fd(h->fd, &h->hash, &h->error);
}

static void hash_done(uv_work_t *work, int status)
{
    struct hashing *h = MOB_CONTAINER(work, struct hashing, work);
    struct mob_programs *p = h->programs;

    (void)status;
    if (h->result == 0) {
        p->seen[p->seen_next].file = h->file;
        p->seen[p->seen_next].hash = h->hash;
        p->seen_next = (p->seen_next + 1) % SEEN_MAX;
    }
    h->done(h->arg, &h->hash, h->result == 0 ? NULL : &h->error);
    free(h);
}

static void nothing_in_thread(uv_work_t *work)
{
    (void)work;
}

void mob_program_hash(struct mob_programs *p, int fd, void (*done)(void *arg, const struct mob_hash *hash, const struct mob_error *err),
                      void *arg)
{
    struct hashing *h = mob_new(struct hashing);
    bool known = false;

    h->programs = p;
    h->fd = fd;
    h->done = done;
    h->arg = arg;
    if (fstat(fd, &h->file) < 0 || !S_ISREG(h->file.st_mode)) {
        h->result = mob_error_set(&h->error, MOB_ERR_INVALID, "the descriptor with Hello is not a program");
        known = true;
    }
    for (int i = 0; i < SEEN_MAX && !known; i++) {
        if (p->seen[i].file.st_ino != 0 && same_file(&p->seen[i].file, &h->file)) {
            h->hash = p->seen[i].hash;
            known = true;
        }
    }
    uv_queue_work(mob_loop_uv(p->shell->loop), &h->work, known ? nothing_in_thread : hash_in_thread, hash_done);
}

/* -- drivers' programs ---------------------------------------------------------------------------------------------------------- */

void mob_program_keep(struct mob_programs *p, const struct mob_hash *hash, int fd, const char *path)
{
    struct program *g = program_find(p, hash);

    if (g != NULL && g->state == PROGRAM_KEPT) {
        g->kept++;
        close(fd);
        return;
    }
    g = program_create(p, hash, PROGRAM_KEPT, fd);
    g->kept = 1;
    g->path = mob_strdup(path);
}

void mob_program_forget(struct mob_programs *p, const struct mob_hash *hash)
{
    struct program *g = program_find(p, hash);

    if (g != NULL && g->state == PROGRAM_KEPT && --g->kept == 0)
        program_free(g);
}

/* -- fetching ------------------------------------------------------------------------------------------------------------------- */

static void tell_waiters(struct program *g, const struct mob_program_file *file, const struct mob_error *err)
{
    while (!mob_list_empty(&g->waiters)) {
        struct mob_program_waiter *w = mob_list_first(&g->waiters, struct mob_program_waiter, link);

        mob_list_remove(&w->link);
        w->ready(w, file, err);
    }
}

static void program_failed(struct program *g, const struct mob_error *err)
{
    mob_warn("cannot have the program of a job here: %s", err->text);
    unlink(g->fetched_path);
    mob_list_remove(&g->link);          /* a waiter that asks again starts anew */
    tell_waiters(g, NULL, err);
    program_free(g);
}

/* Keep the newest FETCHED_MAX. A file in use can be unlinked: its workers keep it. */
static void drop_oldest(struct mob_programs *p)
{
    struct program *g;

    mob_list_each(g, &p->all, struct program, link) {
        if (p->fetched <= FETCHED_MAX)
            return;
        if (g->state >= PROGRAM_HERE) {
            unlink(g->path);
            p->fetched--;
            program_free(g);
        }
    }
}

/* The new file is a program for this machine, and gets its name. */
static int take_file(struct program *g)
{
    char loader[PATH_MAX];

    if (mob_elf_check(g->fd, g->programs->shell->config.host, loader, sizeof loader, &g->check_error) < 0)
        return -1;
    /* Closed before it is executed: a file open for writing is "text file busy". */
    int failed = fsync(g->fd) < 0 || fchmod(g->fd, 0500) < 0;
    close(g->fd);
    g->fd = -1;
    if (failed || rename(g->fetched_path, g->path) < 0)
        return mob_error_errno(&g->check_error, "cannot keep the program as %s", g->path);
    g->loader = mob_strdup(loader);
    return 0;
}

static void check_in_thread(uv_work_t *work)
{
    struct program *g = MOB_CONTAINER(work, struct program, check);
    struct mob_shell *shell = g->programs->shell;

    g->check_result = g->loader == NULL ? take_file(g) : 0;
    if (g->check_result == 0)
        g->check_result = mob_elf_check_libraries(g->path, g->loader, shell->library_path, shell->config.host, &g->check_error);
}

static void check_done(uv_work_t *work, int status)
{
    struct program *g = MOB_CONTAINER(work, struct program, check);
    struct mob_programs *p = g->programs;

    (void)status;
    assert(g->state == PROGRAM_CHECKING && p->checking > 0);
    p->checking--;
    mob_reap_strangers(p->shell);
    if (g->check_result < 0 && g->loader == NULL && g->check_error.code != MOB_ERR_INFEASIBLE) {
        program_failed(g, &g->check_error);
        return;
    }
    p->fetched++;
    if (g->check_result == 0) {
        g->state = PROGRAM_HERE;
        tell_waiters(g, &(struct mob_program_file){ g->path, -1, g->path }, NULL);
    } else {
        g->state = g->loader != NULL ? PROGRAM_LACKING : PROGRAM_UNFIT;
        if (g->state == PROGRAM_UNFIT) {
            close(g->fd);
            g->fd = -1;
            unlink(g->fetched_path);
        }
        tell_waiters(g, NULL, &g->check_error);
    }
    drop_oldest(p);
}

static void start_check(struct program *g)
{
    g->state = PROGRAM_CHECKING;
    g->programs->checking++;
    uv_queue_work(mob_loop_uv(g->programs->shell->loop), &g->check, check_in_thread, check_done);
}

unsigned mob_programs_checking(const struct mob_programs *p)
{
    return p->checking;
}

static void fetch_done(void *arg, const struct mob_error *err)
{
    struct program *g = arg;

    assert(g->state == PROGRAM_FETCHING);
    if (err != NULL) {
        program_failed(g, err);
        return;
    }
    mob_info("the program %s came from %s", g->path, g->from);
    start_check(g);
}

/* Start to bring it from `node`. NULL: it cannot be started, and *err. */
static struct program *program_fetch(struct mob_programs *p, const struct mob_hash *hash, uint32_t node, struct mob_error *err)
{
    const struct mob_peer *peer = mob_raylet_peer(p->shell->core, node);
    char name[MOB_HASH_TEXT_SIZE];

    if (node == mob_raylet_self(p->shell->core).node || peer == NULL || !peer->alive) {
        mob_error_set(err, MOB_ERR_NODE_DIED, "the program of the job is gone: its node %u has left", node);
        return NULL;
    }
    char *path = mob_printf("%s/%s", p->shell->notes->scratch, mob_hash_text(hash, name));
    char *fetched_path = mob_printf("%s.part", path);
    int fd = open(fetched_path, O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
    if (fd < 0) {
        mob_error_errno(err, "cannot make %s for the program of the job", fetched_path);
        free(path);
        free(fetched_path);
        return NULL;
    }
    struct program *g = program_create(p, hash, PROGRAM_FETCHING, fd);
    g->path = path;
    g->fetched_path = fetched_path;
    mob_copy(g->from, sizeof g->from, peer->ip);
    mob_bulk_get_file(p->shell->bulk, peer->ip, peer->bulk_port, hash, fd, fetch_done, g);
    return g;
}

void mob_program_need(struct mob_programs *p, const struct mob_hash *hash, uint32_t node, struct mob_program_waiter *w)
{
    struct program *g = program_find(p, hash);
    struct mob_error err;
    struct stat file, named;

    mob_list_init(&w->link);
    if (g == NULL && (g = program_fetch(p, hash, node, &err)) == NULL) {
        w->ready(w, NULL, &err);
        return;
    }
    mob_list_remove(&g->link);
    mob_list_append(&p->all, &g->link); /* the latest used */
    if (g->state == PROGRAM_HERE) {
        w->ready(w, &(struct mob_program_file){ g->path, -1, g->path }, NULL);
    } else if (g->state == PROGRAM_KEPT) {
        bool there = fstat(g->fd, &file) == 0 && stat(g->path, &named) == 0 && same_file(&file, &named);

        w->ready(w, &(struct mob_program_file){ there ? g->path : NULL, g->fd, g->path }, NULL);
    } else if (g->state == PROGRAM_UNFIT) {
        w->ready(w, NULL, &g->check_error);
    } else {
        if (g->state == PROGRAM_LACKING) {
            p->fetched--;
            start_check(g);
        }
        mob_list_append(&g->waiters, &w->link);
    }
}

void mob_program_cancel(struct mob_program_waiter *w)
{
    mob_list_remove(&w->link);
}

int mob_program_open(struct mob_programs *p, const struct mob_hash *hash, struct mob_error *err)
{
    struct program *g = program_find(p, hash);
    char name[MOB_HASH_TEXT_SIZE];
    int fd = -1;

    if (g == NULL || (g->state != PROGRAM_KEPT && g->state != PROGRAM_HERE))
        return mob_error_set(err, MOB_ERR_INVALID, "this node does not have the program %s", mob_hash_text(hash, name));
    if (g->state == PROGRAM_HERE) {
        fd = open(g->path, O_RDONLY | O_CLOEXEC);
    } else {
        snprintf(name, sizeof name, "/proc/self/fd/%d", g->fd);
        fd = open(name, O_RDONLY | O_CLOEXEC);          /* an offset of its own */
    }
    return fd >= 0 ? fd : mob_error_errno(err, "cannot open the program");
}
