/* SPDX-License-Identifier: Apache-2.0 */
/* state_file.c -- the head's state as a SQLite file in WAL mode.
 *
 *   meta(name, value)             format, cluster, generation, sum
 *   rows(kind, key, bytes)
 *
 * A row is safe against the end of the process, however it ends, when its commit has returned; against a loss of power after the next
 * checkpoint (synchronous=NORMAL). A commit that was torn by the end of its head was answered to nobody, and SQLite drops it. What it does
 * not see is a file that was altered: so `sum` is the XOR of an XXH3 hash of each row, changed in the same commit.
 *
 * The rows are few and small, and are kept in memory, too: if the file is gone, because somebody removed it, it is written anew.
 *
 * The file is locked for as long as it is open, and so needs no memory shared between processes: it may lie on a network's file system.
 */
#include "head/state_file.h"

#include <inttypes.h>
#include <sqlite3.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <uuid/uuid.h>
#include <xxhash.h>

#include "common/log.h"
#include "common/map.h"
#include "common/mem.h"

#define FORMAT 1
#define KINDS 3                         /* of enum mob_head_row */

struct row {
    size_t size;
    uint8_t bytes[];
};

struct state_file {
    char *path;
    sqlite3 *db;
    sqlite3_stmt *put, *drop, *set;
    uint8_t cluster[16];
    uint64_t generation, sum;
    struct mob_map rows[KINDS];         /* key -> struct row */
};

static uint64_t hash_of(int kind, uint64_t key, const void *bytes, size_t size)
{
    return XXH3_64bits_withSeed(bytes, size, key * UINT64_C(0x9e3779b97f4a7c15) + (uint64_t)kind);
}

/* -- SQLite ---------------------------------------------------------------------------------------------------------------- */

static int refused(struct state_file *f, struct mob_error *err)
{
    int why = sqlite3_errcode(f->db);

    if (why == SQLITE_BUSY || why == SQLITE_LOCKED)
        return mob_error_set(err, MOB_ERR_DENIED, "another head uses the state in %s", f->path);
    if (why == SQLITE_FULL)
        return mob_error_set(err, MOB_ERR_NO_SPACE, "there is no room on the disk for the head's state in %s", f->path);
    if (why == SQLITE_CORRUPT || why == SQLITE_NOTADB)
        return mob_error_set(err, MOB_ERR_INVALID, "the head's state in %s is damaged (%s): put back a good copy, or move it away to "
                             "start a new cluster", f->path, sqlite3_errmsg(f->db));
    return mob_error_set(err, MOB_ERR_SYSTEM, "the head's state in %s: %s", f->path, sqlite3_errmsg(f->db));
}

static int altered(const struct state_file *f, const char *what, struct mob_error *err)
{
    return mob_error_set(err, MOB_ERR_INVALID, "the head's state in %s was altered (%s): put back a good copy, or move it away to start a "
                         "new cluster", f->path, what);
}

static int run(struct state_file *f, const char *sql, struct mob_error *err)
{
    return sqlite3_exec(f->db, sql, NULL, NULL, NULL) == SQLITE_OK ? 0 : refused(f, err);
}

/* Run a statement that was bound, and make it ready for the next time. */
static int step(struct state_file *f, sqlite3_stmt *s, struct mob_error *err)
{
    int done = sqlite3_step(s), result = done == SQLITE_DONE ? 0 : refused(f, err);

    sqlite3_reset(s);
    sqlite3_clear_bindings(s);
    return result;
}

static int set(struct state_file *f, const char *name, const void *value, size_t size, struct mob_error *err)
{
    sqlite3_bind_text(f->set, 1, name, -1, SQLITE_STATIC);
    sqlite3_bind_blob(f->set, 2, value, (int)size, SQLITE_STATIC);
    return step(f, f->set, err);
}

/* Exactly `size` bytes. False: it is not there. */
static bool get(struct state_file *f, const char *name, void *ret, size_t size)
{
    sqlite3_stmt *s = NULL;
    bool found = sqlite3_prepare_v2(f->db, "SELECT value FROM meta WHERE name = ?", -1, &s, NULL) == SQLITE_OK
        && sqlite3_bind_text(s, 1, name, -1, SQLITE_STATIC) == SQLITE_OK && sqlite3_step(s) == SQLITE_ROW
        && (size_t)sqlite3_column_bytes(s, 0) == size;

    if (found)
        memcpy(ret, sqlite3_column_blob(s, 0), size);
    sqlite3_finalize(s);
    return found;
}

static int put_row(struct state_file *f, int kind, uint64_t key, const void *bytes, size_t size, struct mob_error *err)
{
    sqlite3_stmt *s = bytes != NULL ? f->put : f->drop;

    sqlite3_bind_int(s, 1, kind);
    sqlite3_bind_int64(s, 2, (sqlite3_int64)key);
    if (bytes != NULL)
        sqlite3_bind_blob(s, 3, bytes, (int)size, SQLITE_STATIC);
    return step(f, s, err);
}

/* -- its log --------------------------------------------------------------------------------------------------------------- */

#define WAL_HEADER 32
#define WAL_FRAME 24                    /* before each page */

static uint32_t big_endian(const uint8_t *at)
{
    return (uint32_t)at[0] << 24 | (uint32_t)at[1] << 16 | (uint32_t)at[2] << 8 | at[3];
}

/* The checksum of the log's format, which goes on from one frame to the next. Words are in the byte order that the header's magic says. */
static void add_to_checksum(uint32_t sum[2], const uint8_t *at, size_t size, bool big)
{
    for (; size >= 8; at += 8, size -= 8) {
        uint32_t x[2];

        memcpy(x, at, sizeof x);
        if (big != (__BYTE_ORDER__ == __ORDER_BIG_ENDIAN__)) {
            x[0] = __builtin_bswap32(x[0]);
            x[1] = __builtin_bswap32(x[1]);
        }
        sum[0] += x[0] + sum[1];
        sum[1] += x[1] + sum[0];
    }
}

/* SQLite reads its log up to the first frame that is not as it was written: one that was torn by the end of its writer. If whole commits
 * stand behind such a one, it was altered, and what they say would be lost. Source: https://sqlite.org/fileformat2.html#walformat */
static bool log_has_a_hole(const uint8_t *log, size_t size)
{
    size_t page = size >= WAL_HEADER ? big_endian(log + 8) : 0;
    uint32_t sum[2] = { 0, 0 };
    bool big = size >= WAL_HEADER && (big_endian(log) & 1) != 0, bad = false;

    if (page < 512 || page > 65536)
        return false;
    add_to_checksum(sum, log, 24, big);
    for (const uint8_t *f = log + WAL_HEADER; (size_t)(log + size - f) >= WAL_FRAME + page; f += WAL_FRAME + page) {
        if (memcmp(f + 8, log + 16, 8) != 0)
            break;                      /* of an earlier round of the log */
        if (bad && big_endian(f + 4) != 0)
            return true;
        add_to_checksum(sum, f, 8, big);
        add_to_checksum(sum, f + WAL_FRAME, page, big);
        bad |= sum[0] != big_endian(f + 16) || sum[1] != big_endian(f + 20);
    }
    return false;
}

static int check_log(const struct state_file *f, struct mob_error *err)
{
    char *path = mob_printf("%s-wal", f->path);
    FILE *file = fopen(path, "re");
    uint8_t *log = NULL;
    size_t size = 0, n;
    bool hole;

    for (n = 1; file != NULL && n > 0; size += n) {
        log = mob_realloc(log, size + 65536);
        n = fread(log + size, 1, 65536, file);
    }
    if (file != NULL)
        fclose(file);
    hole = log_has_a_hole(log, size);
    free(log);
    free(path);
    return hole ? altered(f, "its log", err) : 0;
}

/* -- opening ----------------------------------------------------------------------------------------------------------------- */

static void disconnect(struct state_file *f)
{
    sqlite3_finalize(f->put);
    sqlite3_finalize(f->drop);
    sqlite3_finalize(f->set);
    sqlite3_close(f->db);
    f->put = f->drop = f->set = NULL;
    f->db = NULL;
}

static int prepare(struct state_file *f, struct mob_error *err)
{
    if (sqlite3_prepare_v2(f->db, "INSERT OR REPLACE INTO rows VALUES (?, ?, ?)", -1, &f->put, NULL) != SQLITE_OK
        || sqlite3_prepare_v2(f->db, "DELETE FROM rows WHERE kind = ? AND key = ?", -1, &f->drop, NULL) != SQLITE_OK
        || sqlite3_prepare_v2(f->db, "INSERT OR REPLACE INTO meta VALUES (?, ?)", -1, &f->set, NULL) != SQLITE_OK)
        return refused(f, err);
    return 0;
}

static int connect(struct state_file *f, struct mob_error *err)
{
    static const char meta[] = "CREATE TABLE IF NOT EXISTS meta (name TEXT PRIMARY KEY, value BLOB) WITHOUT ROWID";
    static const char rows[] = "CREATE TABLE IF NOT EXISTS rows (kind INTEGER, key INTEGER, bytes BLOB, PRIMARY KEY (kind, key)) "
                               "WITHOUT ROWID";

    if (sqlite3_open_v2(f->path, &f->db, SQLITE_OPEN_READWRITE | SQLITE_OPEN_CREATE | SQLITE_OPEN_NOMUTEX, NULL) != SQLITE_OK
        || sqlite3_extended_result_codes(f->db, 0) != SQLITE_OK)
        return refused(f, err);
    if (run(f, "PRAGMA locking_mode = EXCLUSIVE", err) < 0 || run(f, "PRAGMA journal_mode = WAL", err) < 0
        || run(f, "PRAGMA synchronous = NORMAL", err) < 0
        || run(f, meta, err) < 0 || run(f, rows, err) < 0)
        return -1;
    return prepare(f, err);
}

static void hold_row(struct state_file *f, int kind, uint64_t key, const void *bytes, size_t size)
{
    struct row *old = mob_map_remove(&f->rows[kind], key), *r;

    if (old != NULL)
        f->sum ^= hash_of(kind, key, old->bytes, old->size);
    free(old);
    if (bytes == NULL)
        return;
    r = mob_alloc(sizeof *r + size);
    r->size = size;
    memcpy(r->bytes, bytes, size);
    f->sum ^= hash_of(kind, key, bytes, size);
    mob_map_set(&f->rows[kind], key, r);
}

static int read_rows(struct state_file *f, struct mob_error *err)
{
    sqlite3_stmt *s = NULL;
    int next = SQLITE_ERROR;

    if (sqlite3_prepare_v2(f->db, "SELECT kind, key, bytes FROM rows", -1, &s, NULL) != SQLITE_OK)
        return refused(f, err);
    while ((next = sqlite3_step(s)) == SQLITE_ROW && (unsigned)sqlite3_column_int(s, 0) < KINDS)
        hold_row(f, sqlite3_column_int(s, 0), (uint64_t)sqlite3_column_int64(s, 1),
                 sqlite3_column_blob(s, 2) != NULL ? sqlite3_column_blob(s, 2) : "", (size_t)sqlite3_column_bytes(s, 2));
    sqlite3_finalize(s);
    if (next == SQLITE_ROW)
        return altered(f, "a row of no known kind", err);
    return next == SQLITE_DONE ? 0 : refused(f, err);
}

/* Of a file that was there: all of it must be as it was left. */
static int read_all(struct state_file *f, uint32_t format, struct mob_error *err)
{
    uint64_t sum = 0;

    if (format != FORMAT)
        return mob_error_set(err, MOB_ERR_INVALID, "the head's state in %s is of format %" PRIu32 ", this head reads %d: start the version "
                             "that wrote it, or move it away to start a new cluster", f->path, format, FORMAT);
    if (run(f, "PRAGMA quick_check", err) < 0 || read_rows(f, err) < 0)
        return -1;
    if (!get(f, "cluster", f->cluster, sizeof f->cluster) || !get(f, "generation", &f->generation, sizeof f->generation)
        || !get(f, "sum", &sum, sizeof sum))
        return altered(f, "it lacks what each has", err);
    return sum == f->sum ? 0 : altered(f, "a row is not as it was written", err);
}

/* The head of this start: its generation, and all that is held, as far as the file has not got it. */
static int note_start(struct state_file *f, bool all, struct mob_error *err)
{
    const uint32_t format = FORMAT;
    struct row *r;
    uint64_t key;

    if (run(f, "BEGIN IMMEDIATE", err) < 0)
        return -1;
    for (int kind = 0; all && kind < KINDS; kind++)
        for (size_t at = 0; (r = mob_map_next(&f->rows[kind], &at, &key)) != NULL;)
            if (put_row(f, kind, key, r->bytes, r->size, err) < 0)
                return -1;
    if (set(f, "format", &format, sizeof format, err) < 0 || set(f, "cluster", f->cluster, sizeof f->cluster, err) < 0
        || set(f, "generation", &f->generation, sizeof f->generation, err) < 0 || set(f, "sum", &f->sum, sizeof f->sum, err) < 0)
        return -1;
    return run(f, "COMMIT", err);
}

struct state_file *mob_state_file_open(const char *path, struct mob_error *err)
{
    struct state_file *f = mob_new(struct state_file);
    uint32_t format = 0;
    bool known, was_there = access(path, F_OK) == 0;

    f->path = mob_strdup(path);
    if (check_log(f, err) < 0 || connect(f, err) < 0)
        goto fail;
    known = get(f, "format", &format, sizeof format);
    if (known && read_all(f, format, err) < 0)
        goto fail;
    if (!known)
        uuid_generate_random(f->cluster);
    if (!known && was_there)            /* its head was ended as it began, or its log is gone */
        mob_warn("the head's state in %s holds nothing that was committed: a new cluster begins", f->path);
    f->generation++;
    if (note_start(f, false, err) < 0)
        goto fail;
    return f;
fail:
    mob_state_file_close(f);
    return NULL;
}

/* -- use --------------------------------------------------------------------------------------------------------------------- */

const uint8_t *mob_state_file_cluster(const struct state_file *f)
{
    return f->cluster;
}

uint64_t mob_state_file_generation(const struct state_file *f)
{
    return f->generation;
}

int mob_state_file_load(const struct state_file *f, struct mob_head *h, struct mob_error *err)
{
    struct row *r;

    for (int kind = 0; kind < KINDS; kind++)
        for (size_t at = 0; (r = mob_map_next(&f->rows[kind], &at, NULL)) != NULL;)
            if (mob_head_load(h, (enum mob_head_row)kind, r->bytes, r->size, err) < 0)
                return -1;
    return 0;
}

static int commit(struct state_file *f, int kind, uint64_t key, const void *bytes, size_t size, uint64_t sum, struct mob_error *err)
{
    if (run(f, "BEGIN IMMEDIATE", err) < 0)
        return -1;
    if (put_row(f, kind, key, bytes, size, err) == 0 && set(f, "sum", &sum, sizeof sum, err) == 0 && run(f, "COMMIT", err) == 0)
        return 0;
    sqlite3_exec(f->db, "ROLLBACK", NULL, NULL, NULL);
    return -1;
}

/* Somebody has removed it, or its folder: what is written there now nobody would find. */
static int begin_anew(struct state_file *f, struct mob_error *err)
{
    int length = (int)(strrchr(f->path, '/') != NULL ? strrchr(f->path, '/') - f->path : 0);
    char *folder = mob_printf("%.*s", length, f->path);
    bool there = length == 0 || access(folder, F_OK) == 0;

    disconnect(f);
    if (!there)                         /* a disk that was unmounted? then a new one in its place would be a state without a past */
        mob_error_set(err, MOB_ERR_SYSTEM, "the folder of the head's state is gone: mount it, or make it again: mkdir -m 700 %s", folder);
    free(folder);
    if (!there)
        return -1;
    mob_warn("%s is gone: the head's state is written anew", f->path);
    return connect(f, err) < 0 ? -1 : note_start(f, true, err);
}

int mob_state_file_keep(struct state_file *f, enum mob_head_row kind, uint64_t key, const void *bytes, size_t size, struct mob_error *err)
{
    struct row *old = mob_map_get(&f->rows[kind], key);
    uint64_t sum = f->sum ^ (old != NULL ? hash_of(kind, key, old->bytes, old->size) : 0)
        ^ (bytes != NULL ? hash_of(kind, key, bytes, size) : 0);

    if ((f->db == NULL || access(f->path, F_OK) < 0) && begin_anew(f, err) < 0) {
        disconnect(f);
        return -1;
    }
    if (commit(f, kind, key, bytes, size, sum, err) < 0)
        return -1;
    hold_row(f, kind, key, bytes, size);
    return 0;
}

void mob_state_file_close(struct state_file *f)
{
    struct row *r;

    if (f == NULL)
        return;
    disconnect(f);
    for (int kind = 0; kind < KINDS; kind++) {
        for (size_t at = 0; (r = mob_map_next(&f->rows[kind], &at, NULL)) != NULL;)
            free(r);
        mob_map_fini(&f->rows[kind]);
    }
    free(f->path);
    free(f);
}

void mob_state_file_remove(struct state_file *f)
{
    char *log = mob_printf("%s-wal", f->path);

    disconnect(f);
    unlink(f->path);
    unlink(log);
    free(log);
    mob_state_file_close(f);
}
