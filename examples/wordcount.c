/* SPDX-License-Identifier: Apache-2.0 */
/* wordcount.c -- counts the words of 256 MiB of text (every text under /usr/share/doc and /usr/include, again and again) by a tree of
 * nested tasks: a task that is given more text than LEAF cuts it, puts the pieces into the object store, has tasks of its own count
 * them, and adds up. The text travels as objects, never as a path. */
#include <ftw.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "tally.h"
#include "words.h"

#define MIB ((size_t)1 << 20)
#define TRUNK (32 * MIB)                /* what the driver gives one task */
#define LEAF (8 * MIB)                  /* what one task counts by itself */
#define PIECES_MAX 64

/* Cut after `wanted` bytes, but not inside a word. */
static size_t cut(const char *text, size_t size, size_t wanted)
{
    size_t at = wanted < size ? wanted : size;

    while (at < size && text[at] != '\n' && text[at] != ' ')
        at++;
    return at;
}

/* Add up what one task says: its words, and who ran it and its children. */
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

/* Have tasks count `text` in pieces. Used by the driver and by the inner tasks. */
static int count_by_tasks(const char *text, size_t size, size_t piece, struct words *w, struct tally *y, struct mob_error *err)
{
    struct mob_options options = { .size = sizeof options, .returns = 2 };
    struct mob_fn *fn = mob_fn("count", &options, err);
    struct mob_ref *results[PIECES_MAX][2];
    int n = 0, result = fn == NULL ? -1 : 0;

    for (size_t at = 0, length; result == 0 && at < size && n < PIECES_MAX; at += length) {
        struct mob_ref *part;
        length = n == PIECES_MAX - 1 ? size - at : cut(text + at, size - at, piece);
        if ((part = mob_put(text + at, length, err)) == NULL || mob_call(fn, &MOB_REF(part), 1, results[n], err) < 0)
            result = -1;
        else
            n++;
        mob_ref_drop(part);             /* the task holds it */
    }
    for (int i = 0; i < n; i++) {
        if (result == 0)
            result = add_up(results[i], w, y, err);
        mob_ref_drop(results[i][0]);
        mob_ref_drop(results[i][1]);
    }
    mob_fn_destroy(fn);
    return result;
}

static int count(struct mob_task *t, struct mob_error *err)
{
    struct mob_view text;
    struct tally tally = { 0 };
    struct words *w;
    char *packed, host[64];
    size_t size;
    int result = 0;

    if (mob_arg(t, 0, &text, err) < 0)
        return -1;
    tally_here(t, host);
    tally_add(&tally, host);
    w = words_create();
    if (text.size > LEAF * 3 / 2)
        result = count_by_tasks(text.data, text.size, LEAF, w, &tally, err);
    else
        words_count_text(w, text.data, text.size);
    if (result == 0) {
        packed = words_pack(w, &size);
        result = mob_return(t, 0, MOB_BYTES(packed, size), err);
        free(packed);
    }
    if (result == 0)
        result = mob_return(t, 1, MOB_BYTES(&tally, sizeof tally), err);
    words_destroy(w);
    return result;
}
MOB_TASK(count)

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

int main(int argc, char **argv)
{
    struct mob_error err;
    struct mob_init_options options;
    size_t mib = (size_t)example_options(argc, argv, 256, 24, &options);
    struct words *serial = words_create(), *distributed = words_create();
    struct tally tally = { 0 };
    double start, serial_s, distributed_s;

    if (mob_init(argc, argv, &options, &err) < 0)
        fail("wordcount", &err);
    read_text(mib * MIB);
    start = seconds_now();
    words_count_text(serial, text.bytes, text.size);
    serial_s = seconds_now() - start;

    start = seconds_now();
    if (count_by_tasks(text.bytes, text.size, mib >= 256 ? TRUNK : LEAF * 2, distributed, &tally, &err) < 0)
        fail("wordcount", &err);
    distributed_s = seconds_now() - start;

    printf("wordcount: %zu MiB, %llu words, %zu different\n", mib, (unsigned long long)words_total(distributed),
           words_different(distributed));
    tally_print(&tally, serial_s, distributed_s, cluster_cpus());
    if (!words_equal(serial, distributed))
        return fprintf(stderr, "wordcount: the results differ\n"), 1;
    words_destroy(serial);
    words_destroy(distributed);
    free(text.bytes);
    mob_shutdown();
    return 0;
}
