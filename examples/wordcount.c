/* SPDX-License-Identifier: Apache-2.0 */
/* wordcount.c -- counts the words of 256 MiB of text (every text under /usr/share/doc and /usr/include, again and again) by a tree of
 * nested tasks. The text stands in the object store, in pieces, and never travels as a path: the driver gives each tree task references
 * to some of them; that has a leaf task of its own count each, and adds up. A piece is moved to where its leaf runs, and nowhere else. */
#include <ftw.h>
#include <malloc.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "tally.h"
#include "words.h"

#define MIB ((size_t)1 << 20)
#define PIECE (8 * MIB)                 /* of text: what one leaf counts */
#define FAN 4                           /* pieces a tree task is given */
#define PIECES_MAX 64

/* Cut after `wanted` bytes, but not inside a word. */
static size_t cut(const char *text, size_t size, size_t wanted)
{
    size_t at = wanted < size ? wanted : size;

    while (at < size && text[at] != '\n' && text[at] != ' ')
        at++;
    return at;
}

/* Results of a counting task: its words, and who ran it and its children. */
static int return_counted(struct mob_task *t, const struct words *w, const struct tally *y, struct mob_error *err)
{
    size_t size;
    char *packed = words_pack(w, &size);
    int rc = mob_return(t, 0, MOB_BYTES(packed, size), err);

    free(packed);
    return rc < 0 ? -1 : mob_return(t, 1, MOB_BYTES(y, sizeof *y), err);
}

static int add_up(struct mob_ref *const results[2], struct words *w, struct tally *y, struct mob_error *err)
{
    struct tally theirs;
    struct mob_view view;

    if (mob_get(results[0], MOB_FOREVER, &view, err) < 0)
        return -1;
    words_add_packed(w, view.data, view.size);
    mob_view_release(&view);
    if (mob_get_copy(results[1], MOB_FOREVER, &theirs, sizeof theirs, err) < 0)
        return -1;
    tally_merge(y, &theirs);
    return 0;
}

/* Add up what n tasks say; their refs are dropped. */
static int add_up_all(struct mob_ref *results[][2], int n, struct words *w, struct tally *y, struct mob_error *err)
{
    int rc = 0;

    for (int i = 0; i < n; i++) {
        if (rc == 0)
            rc = add_up(results[i], w, y, err);
        mob_ref_drop(results[i][0]);
        mob_ref_drop(results[i][1]);
    }
    return rc;
}

/* Argument: a piece, as its value. */
static int leaf(struct mob_task *t, struct mob_error *err)
{
    struct tally tally = { 0 };
    struct mob_view piece;
    struct words *w;
    char host[64];
    int rc;

    if (mob_arg(t, 0, &piece, err) < 0)
        return -1;
    tally_here(t, host);
    tally_add(&tally, host);
    w = words_create();
    words_count_text(w, piece.data, piece.size);
    rc = return_counted(t, w, &tally, err);
    words_destroy(w);
    return rc;
}
MOB_TASK(leaf)

/* Have a leaf count each piece that `box` refers to. */
static int count_by_leaves(const struct mob_view *box, int n, struct words *w, struct tally *y, struct mob_error *err)
{
    struct mob_options options = { .size = sizeof options, .returns = 2 };
    struct mob_fn *fn = mob_fn("leaf", &options, err);
    struct mob_ref *results[FAN][2], *piece;
    int called = 0, rc = fn == NULL ? -1 : 0;

    for (; rc == 0 && called < n; called += rc == 0) {
        if ((piece = mob_view_ref(box, (size_t)called, err)) == NULL)
            rc = -1;
        else
            rc = mob_call(fn, &MOB_REF(piece), 1, results[called], err);
        mob_ref_drop(piece);
    }
    mob_fn_destroy(fn);
    return add_up_all(results, called, w, y, err) < 0 ? -1 : rc;
}

/* Argument: how many pieces, and references to them. */
static int tree(struct mob_task *t, struct mob_error *err)
{
    struct tally tally = { 0 };
    struct mob_view box;
    struct words *w;
    char host[64];
    int n, rc;

    if (mob_arg(t, 0, &box, err) < 0 || mob_arg_copy(t, 0, &n, sizeof n, err) < 0)
        return -1;
    tally_here(t, host);
    tally_add(&tally, host);
    w = words_create();
    rc = count_by_leaves(&box, n, w, &tally, err);
    if (rc == 0)
        rc = return_counted(t, w, &tally, err);
    words_destroy(w);
    return rc;
}
MOB_TASK(tree)

/* -- the text -------------------------------------------------------------------------------------------------------- */

static struct {
    char *bytes;
    size_t size, room;
} text;                                 /* nftw() has no argument for it */

/* Compressed files and pictures are no text: they have a zero soon. */
static int is_text(const char *bytes, size_t size)
{
    return memchr(bytes, '\0', size < 4096 ? size : 4096) == NULL;
}

static int read_file(const char *path, const struct stat *st, int type, struct FTW *ftw)
{
    size_t size;
    FILE *f;

    (void)ftw;
    if (type != FTW_F || st->st_size == 0 || text.size == text.room || (f = fopen(path, "re")) == NULL)
        return 0;
    size = fread(text.bytes + text.size, 1, text.room - text.size, f);
    if (is_text(text.bytes + text.size, size))
        text.size += size;
    fclose(f);
    return 0;
}

static void read_text(size_t size)
{
    size_t once;

    text.room = size;
    text.bytes = malloc(size);
    if (text.bytes == NULL)
        abort();
    nftw("/usr/include", read_file, 16, FTW_PHYS);
    nftw("/usr/share/doc", read_file, 16, FTW_PHYS);
    for (once = text.size; once > 0 && text.size < size;) {
        size_t more = once < size - text.size ? once : size - text.size;
        memcpy(text.bytes + text.size, text.bytes, more);
        text.size += more;
    }
}

/* Move the text into the object store: refs to its pieces. */
static int store_text(struct mob_ref *ret_pieces[PIECES_MAX], struct mob_error *err)
{
    int n = 0;

    for (size_t at = 0, size; at < text.size; at += size, n++) {
        size = n == PIECES_MAX - 1 ? text.size - at : cut(text.bytes + at, text.size - at, PIECE);
        if ((ret_pieces[n] = mob_put(text.bytes + at, size, err)) == NULL)
            fail("wordcount", err);
    }
    free(text.bytes);
    return n;
}

static void count_serially(struct mob_ref *const *pieces, int n, struct words *w)
{
    struct mob_error err;
    struct mob_view view;

    for (int i = 0; i < n; i++) {
        if (mob_get(pieces[i], MOB_FOREVER, &view, &err) < 0)
            fail("wordcount", &err);
        words_count_text(w, view.data, view.size);
        mob_view_release(&view);
    }
}

static void count_by_trees(struct mob_ref **pieces, int n, struct words *w, struct tally *y)
{
    struct mob_options options = { .size = sizeof options, .returns = 2 };
    struct mob_ref *results[PIECES_MAX][2];
    struct mob_error err;
    struct mob_fn *fn = mob_fn("tree", &options, &err);
    int trees = 0;

    for (int at = 0, count; at < n; at += count, trees++) {
        count = n - at < FAN ? n - at : FAN;
        if (fn == NULL || mob_call(fn, &MOB_BYTES_REFS(&count, sizeof count, pieces + at, count), 1, results[trees], &err) < 0)
            fail("wordcount", &err);
    }
    mob_fn_destroy(fn);
    if (add_up_all(results, trees, w, y, &err) < 0)
        fail("wordcount", &err);
}

int main(int argc, char **argv)
{
    struct mob_error err;
    struct mob_init_options options;
    size_t mib = (size_t)example_options(argc, argv, 256, 48, &options);
    struct words *serial = words_create(), *distributed = words_create();
    struct mob_ref *pieces[PIECES_MAX];
    struct tally tally = { 0 };
    double start, serial_s, distributed_s;
    int n;

    mallopt(M_MMAP_THRESHOLD, 32 << 20);        /* a worker makes large tables again and again: it keeps their memory */
    mallopt(M_TRIM_THRESHOLD, 1 << 30);
    if (mob_init(argc, argv, &options, &err) < 0)
        fail("wordcount", &err);
    cluster_warm(cluster_cpus());
    read_text(mib * MIB);
    n = store_text(pieces, &err);
    start = seconds_now();
    count_serially(pieces, n, serial);
    serial_s = seconds_now() - start;

    start = seconds_now();
    count_by_trees(pieces, n, distributed, &tally);
    distributed_s = seconds_now() - start;

    printf("wordcount: %zu MiB, %llu words, %zu different\n", mib, (unsigned long long)words_total(distributed),
           words_different(distributed));
    tally_print(&tally, serial_s, distributed_s, cluster_cpus());
    if (!words_equal(serial, distributed))
        return fprintf(stderr, "wordcount: the results differ\n"), 1;
    for (int i = 0; i < n; i++)
        mob_ref_drop(pieces[i]);
    words_destroy(serial);
    words_destroy(distributed);
    mob_shutdown();
    return 0;
}
