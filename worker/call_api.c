/* SPDX-License-Identifier: Apache-2.0 */
/* call_api.c -- functions with options (checked once), submit, cancel.
 *
 * mob_fn() turns words into a shape that the owner core has interned; mob_call() then only passes numbers and bytes. An
 * argument of more than MOB_INLINE_MAX bytes, and whatever no longer fits MOB_ARGS_INLINE_MAX, is put in the store first and
 * passed as a ref. */
#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "worker/function.h"
#include "worker/value.h"

#define RETRIES_DEFAULT 3
#define RETRY_DELAY_MAX 60000            /* ms */
#define FITS_NS INT64_C(1000000000)
#define FEW 16                          /* args or refs that need no memory of their own */

struct mob_fn {
    uint64_t era;
    uint32_t shape, returns, unread_max;
    int32_t max_retries;
    uint16_t retry;
    uint64_t function;
    char *name;
    char *fits;                         /* what the head is asked: could any node serve it? NULL: it is not */
    int64_t fits_until_ns;              /* it said that one can, and is not asked again before this */
};

/* -- options ----------------------------------------------------------------------------------------------------------------- */

static int parse_node(const char *text, uint32_t *ret, struct mob_error *err)
{
    unsigned long n;
    char *end;

    errno = 0;
    n = strtoul(text, &end, 10);
    if (text[0] < '0' || text[0] > '9' || *end != '\0' || errno != 0 || n == 0 || n > UINT32_MAX)
        return mob_error_set(err, MOB_ERR_INVALID,
                             "\"%s\" is not the id of a node; mob_nodes() and `mobula list nodes` show them", text);
    *ret = (uint32_t)n;
    return 0;
}

static int parse_strategy(const char *text, struct mob_shape *shape, struct mob_error *err)
{
    shape->strategy = MOB_HYBRID;
    if (text == NULL || text[0] == '\0')
        return 0;
    if (strcmp(text, "spread") == 0) {
        shape->strategy = MOB_SPREAD;
        return 0;
    }
    if (strncmp(text, "node=", 5) == 0) {
        shape->strategy = MOB_NODE;
        return parse_node(text + 5, &shape->node, err);
    }
    if (strncmp(text, "node~=", 6) == 0) {
        shape->strategy = MOB_NODE_SOFT;
        return parse_node(text + 6, &shape->node, err);
    }
    return mob_error_set(err, MOB_ERR_INVALID, "strategy \"%s\" is none of \"spread\", \"node=ID\", \"node~=ID\"", text);
}

/* Options of an older program may be shorter than ours, of a newer one longer: what we do not know must be 0. */
static int read_options(const struct mob_options *opt, struct mob_options *ret, struct mob_error *err)
{
    *ret = (struct mob_options){ .size = sizeof *ret };
    if (opt == NULL)
        return 0;
    if (opt->size < sizeof opt->size)
        return mob_error_set(err, MOB_ERR_INVALID, "struct mob_options: set .size = sizeof(struct mob_options)");
    for (size_t i = sizeof *ret; i < opt->size; i++)
        if (((const char *)opt)[i] != 0)
            return mob_error_set(err, MOB_ERR_INVALID, "struct mob_options is of a newer libmobula than this one, " MOB_VERSION);
    memcpy(ret, opt, opt->size < sizeof *ret ? opt->size : sizeof *ret);
    return 0;
}

static int parse_shape(const struct mob_options *o, struct mob_shape *ret, struct mob_error *err)
{
    memset(ret, 0, sizeof *ret);
    if (mob_resources_parse(o->resources != NULL ? o->resources : "CPU=1", &ret->resources, err) < 0)
        return -1;
    if (o->labels != NULL && mob_conditions_parse(o->labels, &ret->labels, err) < 0)
        return -1;
    if (o->returns > MOB_RETURNS_MAX)
        return mob_error_set(err, MOB_ERR_INVALID, "%u returns; at most %d: put several values in one", o->returns, MOB_RETURNS_MAX);
    if (o->max_retries < -1 && o->max_retries != MOB_NO_RETRY)
        return mob_error_set(err, MOB_ERR_INVALID, "max_retries %d: give a number of retries, 0 for the default (%d), -1 for no "
                             "limit, or MOB_NO_RETRY", o->max_retries, RETRIES_DEFAULT);
    if (o->retry_delay_ms < 0 || o->retry_delay_ms > RETRY_DELAY_MAX)
        return mob_error_set(err, MOB_ERR_INVALID, "retry_delay_ms %" PRId64 ": give 0 to %d", o->retry_delay_ms, RETRY_DELAY_MAX);
    if (o->infeasible != NULL && strcmp(o->infeasible, "wait") != 0 && strcmp(o->infeasible, "fail") != 0)
        return mob_error_set(err, MOB_ERR_INVALID, "infeasible \"%s\" is neither \"wait\" nor \"fail\"", o->infeasible);
    return parse_strategy(o->strategy, ret, err);
}

static const struct mob_function *find_function(const char *name, struct mob_error *err)
{
    const struct mob_function *f = name != NULL ? mob_function_find(mob_name_hash(name)) : NULL;

    if (f == NULL)
        mob_error_set(err, MOB_ERR_INVALID,
                      "no task function \"%s\" in this program (%zu others are); declare it with MOB_TASK(%s)",
                      name != NULL ? name : "(null)", mob_function_count(), name != NULL ? name : "name");
    return f;
}

static int keep_retry(struct mob_runtime *r, const struct mob_options *o, uint16_t *ret, struct mob_error *err)
{
    struct mob_retry retry = { .delay_ns = o->retry_delay_ms * 1000000, .codes = o->retry_codes, .code_count = o->retry_code_count };

    *ret = 0;
    return retry.delay_ns > 0 || retry.code_count > 0 ? mob_owner_retry(r->owner, &retry, ret, err) : 0;
}

struct mob_fn *mob_fn(const char *name, const struct mob_options *opt, struct mob_error *err)
{
    const struct mob_function *f;
    struct mob_options o;
    struct mob_shape shape;
    struct mob_runtime *r;
    struct mob_fn *fn;
    uint16_t retry;

    if ((f = find_function(name, err)) == NULL || read_options(opt, &o, err) < 0 || parse_shape(&o, &shape, err) < 0)
        return NULL;
    if ((r = mob_enter(err)) == NULL)
        return NULL;
    if (keep_retry(r, &o, &retry, err) < 0) {
        mob_leave(r);
        return NULL;
    }
    fn = mob_new(struct mob_fn);
    fn->retry = retry;
    fn->era = r->era;
    fn->function = f->hash;
    fn->name = mob_strdup(o.name != NULL ? o.name : name);
    fn->returns = o.returns == 0 ? 1 : o.returns;
    fn->max_retries = o.max_retries == 0 ? RETRIES_DEFAULT : o.max_retries == MOB_NO_RETRY ? 0 : o.max_retries;
    fn->unread_max = o.unread_max;
    if (o.infeasible != NULL && strcmp(o.infeasible, "fail") == 0) {
        fn->shape = mob_owner_shape_failing(r->owner, &shape);
        fn->fits = mob_fits_question(&shape);
    } else {
        fn->shape = mob_owner_shape(r->owner, &shape);
    }
    mob_leave(r);
    return fn;
}

void mob_fn_destroy(struct mob_fn *fn)
{
    if (fn == NULL)
        return;
    free(fn->name);
    free(fn->fits);
    free(fn);
}

/* -- submit ------------------------------------------------------------------------------------------------------------------ */

/* An argument on its way into the core, and what must be let go when it is there. */
struct made_arg {
    bool put;                           /* its ref is ours to drop */
    struct mob_carried carried;
    void *packed;
};

static int put_arg(struct mob_runtime *r, const struct mob_value *value, struct mob_arg *ret, struct made_arg *made,
                   struct mob_error *err)
{
    *ret = (struct mob_arg){ .ref = mob_put_stored(r, value->data, value->size, &made->carried, err) };
    made->put = ret->ref != 0;
    return made->put ? 0 : -1;
}

static int one_arg(struct mob_runtime *r, const struct mob_value *value, size_t *inlined, struct mob_arg *ret,
                   struct made_arg *made, struct mob_error *err)
{
    size_t size = value->ref_count > 0 ? mob_packed_size(value->size, value->ref_count) : value->size;

    *made = (struct made_arg){ 0 };
    *ret = (struct mob_arg){ .data = value->data, .size = value->size, .ref = mob_ref_number(value->ref) };
    if (ret->ref != 0)
        return 0;
    if (value->data == NULL && value->size > 0)
        return mob_error_set(err, MOB_ERR_INVALID, "an argument of %zu bytes is at NULL", value->size);
    if (mob_size_check(value->size, err) < 0 || mob_carried_init(r, &made->carried, value->refs, value->ref_count, err) < 0)
        return -1;
    if (size > MOB_INLINE_MAX || *inlined + size > MOB_ARGS_INLINE_MAX)
        return put_arg(r, value, ret, made, err);
    *inlined += size;
    if (value->ref_count > 0) {
        made->packed = mob_carried_pack(&made->carried, value->data, value->size, &ret->size);
        ret->data = made->packed;
        ret->carried = made->carried.numbers;
        ret->carried_count = made->carried.count;
    }
    return 0;
}

static void arg_done(struct mob_runtime *r, const struct mob_arg *arg, struct made_arg *made)
{
    if (made->put)
        mob_owner_drop(r->owner, arg->ref, NULL);
    mob_carried_fini(&made->carried);
    free(made->packed);
}

static int submit(struct mob_runtime *r, const struct mob_fn *fn, bool streams, const struct mob_arg *args, size_t count,
                  uint64_t *ret_refs, struct mob_error *err)
{
    struct mob_submit s = {
        .shape = fn->shape, .depth = r->depth, .run = r->run, .function = fn->function, .name = fn->name, .returns = fn->returns,
        .max_retries = fn->max_retries, .retry = fn->retry, .streams = streams, .unread_max = fn->unread_max, .args = args,
        .arg_count = count,
    };

    return mob_owner_submit(r->owner, &s, ret_refs, err);
}

/* Arguments, submit, and drop the refs that were made for arguments: the task holds them now. */
static int call_with(struct mob_runtime *r, const struct mob_fn *fn, bool streams, const struct mob_value *values, size_t count,
                     uint64_t *ret_refs, struct mob_error *err)
{
    struct mob_arg few[FEW], *args = count <= FEW ? few : mob_alloc(count * sizeof *args);
    struct made_arg few_made[FEW], *made = count <= FEW ? few_made : mob_alloc(count * sizeof *made);
    size_t n = 0, inlined = 0;
    int rc = 0;

    while (n < count && rc == 0) {
        rc = one_arg(r, &values[n], &inlined, &args[n], &made[n], err);
        n++;
    }
    if (rc == 0)
        rc = submit(r, fn, streams, args, count, ret_refs, err);
    while (n-- > 0)
        arg_done(r, &args[n], &made[n]);
    if (args != few) {
        free(args);
        free(made);
    }
    return rc;
}

/* Of one that shall fail where no node could serve it. What changes while the answer is good, its owner is told. */
static int check_fits(struct mob_runtime *r, struct mob_fn *fn, struct mob_error *err)
{
    int64_t now_ns = mob_runtime_now();

    if (now_ns < fn->fits_until_ns)
        return 0;
    if (mob_fits(r, fn->fits, err) < 0)
        return -1;
    fn->fits_until_ns = now_ns + FITS_NS;
    return r->state == MOB_RUNTIME_UP && fn->era == r->era ? 0 : mob_error_set(err, MOB_ERR_INVALID, "mob_shutdown() was called meanwhile");
}

static int check_call(struct mob_runtime *r, struct mob_fn *fn, const struct mob_value *args, size_t count, struct mob_error *err)
{
    if (args == NULL && count > 0)
        return mob_error_set(err, MOB_ERR_INVALID, "a call with %zu arguments at NULL", count);
    if (fn == NULL)
        return mob_error_set(err, MOB_ERR_INVALID, "a call of NULL");
    if (fn->era != r->era)
        return mob_error_set(err, MOB_ERR_INVALID, "the function is of before mob_shutdown(); make it again with mob_fn()");
    if (r->worker && mob_service_start(r, err) < 0)
        return -1;
    return fn->fits != NULL ? check_fits(r, fn, err) : 0;
}

int mob_call(struct mob_fn *fn, const struct mob_value *args, size_t count, struct mob_ref **ret_refs, struct mob_error *err)
{
    struct mob_runtime *r = mob_enter(err);
    uint64_t few[FEW], *refs = few;
    int rc;

    if (r == NULL)
        return -1;
    if ((rc = check_call(r, fn, args, count, err)) == 0) {
        if (fn->returns > FEW)
            refs = mob_alloc(fn->returns * sizeof *refs);
        rc = call_with(r, fn, false, args, count, refs, err);
        for (uint32_t i = 0; rc == 0 && i < fn->returns; i++)
            ret_refs[i] = mob_ref_of(refs[i]);
    }
    mob_leave(r);
    if (refs != few)
        free(refs);
    return rc;
}

struct mob_items *mob_call_items(struct mob_fn *fn, const struct mob_value *args, size_t count, struct mob_error *err)
{
    struct mob_runtime *r = mob_enter(err);
    uint64_t end = 0;

    if (r == NULL)
        return NULL;
    if (check_call(r, fn, args, count, err) < 0 || call_with(r, fn, true, args, count, &end, err) < 0)
        end = 0;
    mob_leave(r);
    return (struct mob_items *)(uintptr_t)end;
}

int mob_cancel(struct mob_ref *ref, int how, struct mob_error *err)
{
    struct mob_runtime *r = mob_enter(err);
    int rc;

    if (r == NULL)
        return -1;
    if ((how & ~(MOB_CANCEL_FORCE | MOB_CANCEL_ALONE)) == 0)
        rc = mob_owner_cancel(r->owner, mob_ref_number(ref), how, err);
    else
        rc = mob_error_set(err, MOB_ERR_INVALID, "mob_cancel() takes 0, MOB_CANCEL_FORCE, MOB_CANCEL_ALONE or their sum, not %d", how);
    mob_leave(r);
    return rc;
}
