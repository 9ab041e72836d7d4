/* SPDX-License-Identifier: Apache-2.0 */
/* program.c -- the worker programs of this node, by content.
 *
 *   KEPT      a driver of this node has it open, and what lies beside it (bundle.c); gone when the last such driver is
 *   FETCHING  its bytes come from `node`: waits for bulk, which fails by itself when the peer is silent. A manifest comes first, then
 *             each file that it names
 *   CHECKING  a thread of the pool flushes, names and examines the file (raylet/elf.c, script.c): bounded to some seconds
 *   HERE      a file <session>/raylet-<node>.d/<sha>; with a manifest <session>/raylet-<node>.d/<sha>.d/<its name>
 *   LACKING   the same, but a library is missing: the next ask looks for it again
 *   UNFIT     no file: it is not for this machine, and is not fetched again
 *
 * HERE, LACKING and UNFIT stay until FETCHED_MAX newer ones were used, and while a job or its template is here that may need more of its
 * files: a script's modules are loaded when they are imported. However many workers wait for a program, it is fetched once. A
 * fetch that fails tells all waiters and forgets the program, so that the next ask tries again.
 *
 * A driver's program is started by its path while that still names the same file (so that it shows under its name), else by the open
 * descriptor: a program that was deleted or built anew during the run goes on as it was. A script has no file of a driver's: it is written
 * to one here, as its interpreter opens it by name.
 */
#include "raylet/program.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "common/hash.h"
#include "common/log.h"
#include "common/mem.h"
#include "raylet/bundle.h"
#include "raylet/elf.h"
#include "raylet/fork.h"
#include "raylet/script.h"
#include "raylet/shell.h"

#define FETCHED_MAX 32
#define SEEN_MAX 64

enum program_state { PROGRAM_KEPT, PROGRAM_FETCHING, PROGRAM_CHECKING, PROGRAM_HERE, PROGRAM_LACKING, PROGRAM_UNFIT };

struct program {
    struct mob_link link;               /* in programs->all, latest used last */
    struct mob_programs *programs;
    enum program_state state;
    struct mob_hash hash;
    struct mob_bundle *bundle;          /* KEPT: its open files; else what its manifest names, or NULL */
    unsigned kept;                      /* KEPT: by so many drivers */
    char *path;                         /* the program's */
    bool written;                       /* KEPT: a script, which was written to `path`; the file is ours to remove */
    int fd;                             /* FETCHING, CHECKING: of the new file; else -1 */
    char *fetched_path;                 /* ... and its name */
    char *folder;                       /* of what a manifest names; NULL: no manifest */
    size_t next;                        /* FETCHING: the file of the manifest that comes */
    int part_fd;                        /* ... a library; else -1 */
    uint32_t node;
    char from[64];                      /* FETCHING: the ip of the node it comes from */
    char *loader;                       /* LACKING: what is asked for its libraries */
    bool script;                        /* fetched: is asked itself */
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
    if (g->part_fd >= 0)
        close(g->part_fd);
    if (g->written)
        mob_script_remove(g->path);
    mob_bundle_destroy(g->bundle);
    free(g->path);
    free(g->fetched_path);
    free(g->folder);
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

static struct program *program_create(struct mob_programs *p, const struct mob_hash *hash, enum program_state state)
{
    struct program *g = mob_new(struct program);

    g->programs = p;
    g->hash = *hash;
    g->state = state;
    g->fd = g->part_fd = -1;
    mob_list_init(&g->waiters);
    mob_list_append(&p->all, &g->link);
    return g;
}

/* -- hashing ------------------------------------------------------------------------------------------------------------------- */

struct hashing {
    struct mob_programs *programs;
    uv_work_t work;
    int fd;                             /* -1: it is the bundle's */
    struct seen seen[SEEN_MAX];         /* what was known at the start, then also what is new */
    unsigned seen_next, fresh;
    struct mob_bundle *bundle;          /* NULL: it failed */
    struct mob_error error;
    void (*done)(void *arg, struct mob_bundle *bundle, const struct mob_error *err);
    void *arg;
};

static bool same_file(const struct stat *a, const struct stat *b)
{
    return a->st_dev == b->st_dev && a->st_ino == b->st_ino && a->st_size == b->st_size
        && a->st_mtim.tv_sec == b->st_mtim.tv_sec && a->st_mtim.tv_nsec == b->st_mtim.tv_nsec
        && a->st_ctim.tv_sec == b->st_ctim.tv_sec && a->st_ctim.tv_nsec == b->st_ctim.tv_nsec;
}

static void note_seen(struct seen *table, unsigned *next, const struct seen *file)
{
    table[*next] = *file;
    *next = (*next + 1) % SEEN_MAX;
}

static int hash_file(struct hashing *h, struct mob_bundle_file *f)
{
    struct seen now;

    if (fstat(f->fd, &now.file) < 0 || !S_ISREG(now.file.st_mode))
        return mob_error_set(&h->error, MOB_ERR_INVALID, "the descriptor with Hello is not a program");
    for (int i = 0; i < SEEN_MAX; i++) {
        if (h->seen[i].file.st_ino != 0 && same_file(&h->seen[i].file, &now.file)) {
            f->hash = h->seen[i].hash;
            return 0;
        }
    }
    if (mob_hash_fd(f->fd, &f->hash, &h->error) < 0)
        return -1;
    now.hash = f->hash;
    note_seen(h->seen, &h->seen_next, &now);
    h->fresh++;
    return 0;
}

static void hash_in_thread(uv_work_t *work)
{
    struct hashing *h = MOB_CONTAINER(work, struct hashing, work);
    int result = 0;

    if ((h->bundle = mob_bundle_find(h->fd, &h->error)) == NULL)
        return;
    for (size_t i = 0; i < h->bundle->count && result == 0; i++)
        result = hash_file(h, &h->bundle->of[i]);
    if (result == 0 && mob_bundle_close_up(h->bundle, &h->error) == 0)
        return;
    mob_bundle_destroy(h->bundle);
    h->bundle = NULL;
}

static void hash_done(uv_work_t *work, int status)
{
    struct hashing *h = MOB_CONTAINER(work, struct hashing, work);
    struct mob_programs *p = h->programs;

    (void)status;
    for (unsigned i = h->fresh < SEEN_MAX ? h->fresh : SEEN_MAX; i > 0; i--)
        note_seen(p->seen, &p->seen_next, &h->seen[(h->seen_next + SEEN_MAX - i) % SEEN_MAX]);
    h->done(h->arg, h->bundle, h->bundle != NULL ? NULL : &h->error);
    free(h);
}

void mob_program_hash(struct mob_programs *p, int fd, void (*done)(void *arg, struct mob_bundle *bundle, const struct mob_error *err),
                      void *arg)
{
    struct hashing *h = mob_new(struct hashing);

    h->programs = p;
    h->fd = fd;
    h->done = done;
    h->arg = arg;
    memcpy(h->seen, p->seen, sizeof h->seen);
    h->seen_next = p->seen_next;
    uv_queue_work(mob_loop_uv(p->shell->loop), &h->work, hash_in_thread, hash_done);
}

/* -- drivers' programs ---------------------------------------------------------------------------------------------------------- */

static int copy_to(int from, int to)
{
    char bytes[64 << 10];
    ssize_t n;

    for (off_t at = 0; (n = pread(from, bytes, sizeof bytes, at)) > 0; at += n)
        if (write(to, bytes, (size_t)n) != n)
            return -1;
    return n < 0 ? -1 : 0;
}

/* A script into a file. It fails like the start of a worker does, and then the worker's says why: there is no such file. */
static void write_script(struct program *g)
{
    char name[MOB_HASH_TEXT_SIZE];

    free(g->path);
    g->path = mob_printf("%s/%s.kept", g->programs->shell->notes->scratch, mob_hash_text(&g->hash, name));
    int fd = open(g->path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0500);
    g->written = fd >= 0;
    if (fd < 0 || copy_to(g->bundle->of[0].fd, fd) < 0)
        mob_warn("cannot write the script of a job to %s: %s", g->path, strerror(errno));
    if (fd >= 0)
        close(fd);
}

void mob_program_keep(struct mob_programs *p, struct mob_bundle *bundle, const char *path)
{
    struct program *g = program_find(p, &bundle->hash);

    if (g != NULL && g->state == PROGRAM_KEPT) {
        g->kept++;
        mob_bundle_destroy(bundle);
        return;
    }
    g = program_create(p, &bundle->hash, PROGRAM_KEPT);
    g->bundle = bundle;
    g->kept = 1;
    g->path = mob_strdup(path);
    if (mob_script_is(bundle->of[0].fd))
        write_script(g);
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

static void remove_files(struct program *g)
{
    unlink(g->fetched_path);
    if (g->folder != NULL)
        mob_paths_remove(g->folder, NULL);
    else
        mob_script_remove(g->path);
}

static void program_failed(struct program *g, const struct mob_error *err)
{
    mob_warn("cannot have the program of a job here: %s", err->text);
    remove_files(g);
    mob_list_remove(&g->link);          /* a waiter that asks again starts anew */
    tell_waiters(g, NULL, err);
    program_free(g);
}

/* Keep the newest FETCHED_MAX, and those in use. */
static void drop_oldest(struct mob_programs *p)
{
    struct program *g;

    mob_list_each(g, &p->all, struct program, link) {
        if (p->fetched <= FETCHED_MAX)
            return;
        if (g->state >= PROGRAM_HERE && !mob_raylet_uses(p->shell->core, &g->hash) && !mob_forks_use(p->shell->forks, g->path)) {
            remove_files(g);
            p->fetched--;
            program_free(g);
        }
    }
}

/* The new file is a program for this machine, and gets its name; one of a manifest has it already. */
static int take_file(struct program *g)
{
    char loader[PATH_MAX] = "";

    g->script = mob_script_is(g->fd);
    if (!g->script && mob_elf_check(g->fd, g->programs->shell->config.host, loader, sizeof loader, &g->check_error) < 0)
        return -1;
    /* Closed before it is executed: a file open for writing is "text file busy". */
    int failed = fsync(g->fd) < 0 || fchmod(g->fd, 0500) < 0;
    close(g->fd);
    g->fd = -1;
    if (failed || (g->folder == NULL && rename(g->fetched_path, g->path) < 0))
        return mob_error_errno(&g->check_error, "cannot keep the program as %s", g->path);
    g->loader = mob_strdup(loader);
    return 0;
}

static void check_in_thread(uv_work_t *work)
{
    struct program *g = MOB_CONTAINER(work, struct program, check);
    struct mob_shell *shell = g->programs->shell;

    g->check_result = g->loader == NULL ? take_file(g) : 0;
    if (g->check_result == 0 && g->script)
        g->check_result = mob_script_check(g->path, shell->library_path, shell->config.host, &g->check_error);
    else if (g->check_result == 0)
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
            remove_files(g);
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

static void part_done(void *arg, const struct mob_error *err);

/* The folders between `folder`, which is there, and the file `path` in it. */
static int make_folders(const char *folder, char *path, struct mob_error *err)
{
    for (char *slash = path + strlen(folder) + 1; (slash = strchr(slash, '/')) != NULL; slash++) {
        *slash = '\0';
        int made = mkdir(path, 0700);
        if (made < 0 && errno != EEXIST)
            return mob_error_errno(err, "cannot make the folder %s", path);
        *slash = '/';
    }
    return 0;
}

/* The next file of the manifest, or the check of the program if it has them all. */
static void fetch_next(struct program *g)
{
    const struct mob_bundle_file *f = &g->bundle->of[g->next];
    const struct mob_peer *peer = mob_raylet_peer(g->programs->shell->core, g->node);
    struct mob_error err;

    if (g->next == g->bundle->count) {
        mob_info("the program %s came from %s, with %zu libraries", g->path, g->from, g->bundle->count - 1);
        start_check(g);
        return;
    }
    char *path = mob_printf("%s/%s", g->folder, f->name);
    int fd = -1, made = make_folders(g->folder, path, &err);
    if (made == 0 && (fd = open(path, O_RDWR | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600)) < 0)
        made = mob_error_errno(&err, "cannot make %s for the program of the job", path);
    if (made == 0 && (peer == NULL || !peer->alive))
        made = mob_error_set(&err, MOB_ERR_NODE_DIED, "the program of the job is gone: its node %u has left", g->node);
    free(path);
    if (g->next == 0)
        g->fd = fd;                     /* examined when all are there */
    else
        g->part_fd = fd;
    if (made < 0)
        program_failed(g, &err);
    else
        mob_bulk_get_file(g->programs->shell->bulk, peer->ip, peer->bulk_port, &f->hash, fd, part_done, g);
}

static void part_done(void *arg, const struct mob_error *err)
{
    struct program *g = arg;

    assert(g->state == PROGRAM_FETCHING);
    if (g->part_fd >= 0)
        close(g->part_fd);
    g->part_fd = -1;
    if (err != NULL) {
        program_failed(g, err);
        return;
    }
    g->next++;
    fetch_next(g);
}

/* What came is no program, but says of what it is made. */
static int take_manifest(struct program *g, struct mob_error *err)
{
    char *text = mob_alloc(MOB_BUNDLE_TEXT_MAX + 1);
    ssize_t n = pread(g->fd, text, MOB_BUNDLE_TEXT_MAX + 1, 0);

    g->bundle = mob_bundle_parse(text, n > 0 ? (size_t)n : 0, err);
    free(text);
    if (g->bundle == NULL)
        return -1;
    close(g->fd);
    g->fd = -1;
    unlink(g->fetched_path);
    g->folder = mob_printf("%s.d", g->path);
    free(g->path);
    g->path = mob_printf("%s/%s", g->folder, g->bundle->of[0].name);
    return mob_paths_private(g->folder, err);
}

static void fetch_done(void *arg, const struct mob_error *err)
{
    struct program *g = arg;
    char start[64];
    struct mob_error why;

    assert(g->state == PROGRAM_FETCHING);
    if (err != NULL) {
        program_failed(g, err);
        return;
    }
    ssize_t n = pread(g->fd, start, sizeof start, 0);
    if (!mob_bundle_is_manifest(start, n > 0 ? (size_t)n : 0)) {
        mob_info("the program %s came from %s", g->path, g->from);
        start_check(g);
    } else if (take_manifest(g, &why) < 0) {
        program_failed(g, &why);
    } else {
        fetch_next(g);
    }
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
    struct program *g = program_create(p, hash, PROGRAM_FETCHING);
    g->fd = fd;
    g->node = node;
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
        int fd = g->bundle->of[0].fd;
        bool there = g->written || (fstat(fd, &file) == 0 && stat(g->path, &named) == 0 && same_file(&file, &named));

        w->ready(w, &(struct mob_program_file){ there ? g->path : NULL, fd, g->path }, NULL);
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

/* The manifest of a bundle, as a file. */
static int open_manifest(const struct mob_bundle *b, struct mob_error *err)
{
    char *text = mob_bundle_print(b);
    size_t size = strlen(text);
    int fd = memfd_create("manifest", MFD_CLOEXEC);

    if (fd < 0 || write(fd, text, size) != (ssize_t)size) {
        mob_error_errno(err, "cannot write the manifest of a program");
        if (fd >= 0)
            close(fd);
        fd = -1;
    }
    free(text);
    return fd;
}

int mob_program_open(struct mob_programs *p, const struct mob_hash *hash, struct mob_error *err)
{
    char name[MOB_HASH_TEXT_SIZE];
    struct program *g;
    size_t i;

    mob_list_each(g, &p->all, struct program, link) {
        if (g->state != PROGRAM_KEPT)
            continue;
        if (g->bundle->count > 1 && memcmp(&g->hash, hash, sizeof *hash) == 0)
            return open_manifest(g->bundle, err);
        for (i = 0; i < g->bundle->count && memcmp(&g->bundle->of[i].hash, hash, sizeof *hash) != 0; i++)
            ;
        if (i == g->bundle->count)
            continue;
        snprintf(name, sizeof name, "/proc/self/fd/%d", g->bundle->of[i].fd);
        int fd = open(name, O_RDONLY | O_CLOEXEC);      /* an offset of its own */
        return fd >= 0 ? fd : mob_error_errno(err, "cannot open the program");
    }
    return mob_error_set(err, MOB_ERR_INVALID, "this node does not have the program %s", mob_hash_text(hash, name));
}
