/* SPDX-License-Identifier: Apache-2.0 */
/* fold.c -- lines that several workers print, folded.
 *
 * The first of equal lines is printed at once. As soon as a second worker prints it, that one and all equal ones after it are held until
 * the window is over; then the last of them is printed, with their number. After a window without any the line is forgotten. What one
 * worker alone repeats is not folded. Words with digits (numbers, ids) are left out of the comparison: in them the lines of several
 * workers differ. */
#include "worker/fold.h"

#include <regex.h>
#include <stdlib.h>
#include <string.h>

#include "common/id.h"
#include "common/list.h"
#include "common/map.h"
#include "common/mem.h"

#define LINE_MAX_FOLDED 1024            /* longer ones are hardly said twice */

struct repeat {
    struct mob_link link;               /* in fold->all, the longest known first */
    uint64_t key, source;
    int64_t since_ns;
    bool several, error;                /* several: workers */
    unsigned count;                     /* held */
    char head[192];
    char *line;                         /* the last that is held */
    size_t size;
};

struct mob_fold {
    struct mob_fold_config config;
    regex_t keep, skip;
    bool keeps, skips;
    struct mob_link all;
    struct mob_map by_key;
};

static int compile(const char *pattern, regex_t *ret, struct mob_error *err)
{
    char why[200];
    int rc = regcomp(ret, pattern, REG_EXTENDED | REG_NOSUB);

    if (rc == 0)
        return 0;
    regerror(rc, ret, why, sizeof why);
    return mob_error_set(err, MOB_ERR_INVALID, "the regular expression \"%.200s\" for lines of tasks: %s", pattern, why);
}

struct mob_fold *mob_fold_create(const struct mob_fold_config *config, struct mob_error *err)
{
    struct mob_fold *f = mob_new(struct mob_fold);

    f->config = *config;
    mob_list_init(&f->all);
    f->keeps = config->keep != NULL && compile(config->keep, &f->keep, err) == 0;
    f->skips = config->skip != NULL && (config->keep == NULL || f->keeps) && compile(config->skip, &f->skip, err) == 0;
    if (f->keeps == (config->keep != NULL) && f->skips == (config->skip != NULL))
        return f;
    mob_fold_destroy(f);
    return NULL;
}

static void forget(struct mob_fold *f, struct repeat *r)
{
    mob_map_remove(&f->by_key, r->key);
    mob_list_remove(&r->link);
    free(r->line);
    free(r);
}

void mob_fold_destroy(struct mob_fold *f)
{
    if (f == NULL)
        return;
    while (!mob_list_empty(&f->all))
        forget(f, mob_list_first(&f->all, struct repeat, link));
    if (f->keeps)
        regfree(&f->keep);
    if (f->skips)
        regfree(&f->skip);
    mob_map_fini(&f->by_key);
    free(f);
}

static bool matches(const regex_t *pattern, const char *line, size_t size)
{
    regmatch_t all = { .rm_so = 0, .rm_eo = (regoff_t)size };

    return regexec(pattern, line, 1, &all, REG_STARTEND) == 0;
}

/* Of the words without digits. */
static uint64_t key_of(const char *line, size_t size)
{
    uint64_t key = MOB_FNV_START;

    for (size_t at = 0, end; at < size; at = end + 1) {
        bool digits = false;

        for (end = at; end < size && line[end] != ' ' && line[end] != '\t'; end++)
            digits |= line[end] >= '0' && line[end] <= '9';
        if (!digits && end > at)
            key = mob_fnv(mob_fnv(key, line + at, end - at), " ", 1);
    }
    return key;
}

/* The window is over. One line alone is no repetition: it is printed as it is. True: there may be more of them. */
static bool tell(struct mob_fold *f, struct repeat *r)
{
    bool repeated = r->count > 1;

    if (r->count > 0)
        f->config.print(f->config.arg, r->error, r->head, r->line, r->size, repeated ? r->count : 0);
    r->count = 0;
    return repeated;
}

static void hold(struct repeat *r, bool error, const char *head, const char *line, size_t size)
{
    r->count++;
    r->error = error;
    mob_copy(r->head, sizeof r->head, head);
    r->line = mob_realloc(r->line, size + 1);
    memcpy(r->line, line, size);
    r->size = size;
}

static void look_out(struct mob_fold *f, uint64_t key, uint64_t source, int64_t now_ns)
{
    struct repeat *r;

    if (f->by_key.count == MOB_FOLD_REPEATS_MAX) {
        r = mob_list_first(&f->all, struct repeat, link);
        tell(f, r);
        forget(f, r);
    }
    r = mob_new(struct repeat);
    *r = (struct repeat){ .key = key, .source = source, .since_ns = now_ns };
    mob_list_append(&f->all, &r->link);
    mob_map_set(&f->by_key, key, r);
}

void mob_fold_line(struct mob_fold *f, int64_t now_ns, uint64_t source, bool error, const char *head, const char *line, size_t size)
{
    struct repeat *r;
    uint64_t key;

    if (f->skips && matches(&f->skip, line, size))
        return;
    if (size == 0 || size > LINE_MAX_FOLDED || (f->keeps && matches(&f->keep, line, size))) {
        f->config.print(f->config.arg, error, head, line, size, 0);
        return;
    }
    key = key_of(line, size);
    r = mob_map_get(&f->by_key, key);
    if (r != NULL && source != r->source)
        r->several = true;
    if (r != NULL && r->several) {
        hold(r, error, head, line, size);
        return;
    }
    f->config.print(f->config.arg, error, head, line, size, 0);
    if (r == NULL)
        look_out(f, key, source, now_ns);
}

int64_t mob_fold_due_ns(const struct mob_fold *f)
{
    return mob_list_empty(&f->all) ? INT64_MAX : mob_list_first(&f->all, struct repeat, link)->since_ns + f->config.window_ns;
}

void mob_fold_turn(struct mob_fold *f, int64_t now_ns)
{
    while (!mob_list_empty(&f->all) && mob_fold_due_ns(f) <= now_ns) {
        struct repeat *r = mob_list_first(&f->all, struct repeat, link);

        if (!tell(f, r) || now_ns == INT64_MAX) {
            forget(f, r);
            continue;
        }
        r->since_ns = now_ns;
        mob_list_remove(&r->link);
        mob_list_append(&f->all, &r->link);
    }
}
