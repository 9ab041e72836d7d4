/* SPDX-License-Identifier: Apache-2.0 */
/* get.c -- values of objects, new objects, and waiting. */
#include <stdio.h>

#include "core.h"

static const char not_refs[] = "Invalid type of object refs, %S, is given. 'object_refs' must either be an ObjectRef or a list of "
                               "ObjectRefs. ";
static const char not_waitable[] = "wait() expected a list of mobula.ObjectRef or mobula.ObjectRefGenerator, got a list with %S";

#define LOOKS 16
#define EXPLAIN_TEXT 16384
#define SIGNALS_MS 100

bool core_piece(int64_t *left_ms, int64_t *ret_ms)
{
    bool last = core_in_worker || (*left_ms >= 0 && *left_ms <= SIGNALS_MS);

    *ret_ms = last ? *left_ms : SIGNALS_MS;
    *left_ms -= last || *left_ms < 0 ? 0 : SIGNALS_MS;
    return last;
}

/* Wait for all of them, in a driver so that signals are handled. -1: the exception is set. */
static int wait_all(struct mob_ref **refs, Py_ssize_t count, Py_ssize_t wanted, int64_t timeout_ms, unsigned char *ret_ready)
{
    struct mob_error err;
    int64_t piece_ms;
    int ready;

    for (;;) {
        bool last = core_piece(&timeout_ms, &piece_ms);

        Py_BEGIN_ALLOW_THREADS
        ready = mob_wait(refs, (size_t)count, (size_t)wanted, piece_ms, ret_ready, &err);
        Py_END_ALLOW_THREADS
        if (PyErr_CheckSignals() < 0)
            return -1;
        if (ready < 0) {
            core_raise(&err);
            return -1;
        }
        if (last || ready >= wanted)
            return ready;
    }
}

/* The same, but where enough of the first ones are ready nobody looks at the others: who takes a thousand one by one does so. */
static int wait_first(struct mob_ref **refs, Py_ssize_t count, Py_ssize_t wanted, int64_t timeout_ms, unsigned char *ret_ready)
{
    Py_ssize_t first = wanted + LOOKS < count ? wanted + LOOKS : count;
    int ready = first < count ? wait_all(refs, first, wanted, 0, ret_ready) : 0;

    return ready < 0 || (first < count && ready >= wanted) ? ready : wait_all(refs, count, wanted, timeout_ms, ret_ready);
}

/* After how long a get of a driver says on its terminal what it waits for, in ms; 0: never. The library has it for mob_get(), which waits
 * in short pieces here and so never gets that far. */
static int64_t tell_after_ms(void)
{
    struct mob_self self = { .size = sizeof self };

    return core_in_worker || mob_self(&self, NULL) < 0 ? 0 : self.explain_ms;
}

static void tell_why(struct mob_ref **refs, Py_ssize_t count, int64_t waited_ms)
{
    char text[EXPLAIN_TEXT], id[80];
    struct mob_error err;

    for (Py_ssize_t i = 0; i < count; i++) {
        if (mob_wait(&refs[i], 1, 1, 0, NULL, &err) != 0)
            continue;                   /* it is ready */
        if (mob_ref_id(refs[i], id, sizeof id, &err) == 0)
            fprintf(stderr, "mobula: a get has waited for %lld s for %s, and goes on:\n%s\n", (long long)waited_ms / 1000, id,
                    mob_explain(refs[i], text, sizeof text, &err) == 0 ? text : err.text);
        return;
    }
}

static PyObject *unpack_all(struct mob_view *views, Py_ssize_t count)
{
    PyObject *list = PyList_New(count);

    for (Py_ssize_t i = 0; i < count; i++) {
        PyObject *o = list != NULL ? core_unpack(&views[i], true) : NULL;

        if (o == NULL)
            Py_CLEAR(list);             /* the other views still are to be released */
        else if (list != NULL)
            PyList_SetItem(list, i, o);
        mob_view_release(&views[i]);
    }
    return list;
}

/* get(refs, timeout in ms): the objects; an error's value raises. Ctrl-C is seen while it waits. */
PyObject *core_get(PyObject *self, PyObject *const *args, Py_ssize_t count)
{
    struct mob_view *views = NULL;
    PyObject *list = NULL;
    struct mob_error err;
    struct mob_ref **refs;
    int64_t left_ms = PyLong_AsLongLong(args[1]), piece_ms, waited_ms = 0, tell_ms = 0;
    Py_ssize_t n = 0;
    int rc;

    (void)self;
    (void)count;
    if (PyErr_Occurred() || (refs = core_refs_of(args[0], PyExc_ValueError, not_refs, &n)) == NULL)
        return NULL;
    views = PyMem_Calloc((size_t)n + 1, sizeof *views);
    while (views != NULL) {
        bool last = core_piece(&left_ms, &piece_ms);

        Py_BEGIN_ALLOW_THREADS
        rc = mob_get_many(refs, (size_t)n, piece_ms, views, &err);
        Py_END_ALLOW_THREADS
        if (rc == 0) {
            list = unpack_all(views, n);
            break;
        }
        if (PyErr_CheckSignals() < 0)
            break;
        if (last || err.code != MOB_ERR_TIMEOUT) {
            core_raise_of(&err, refs, n);
            break;
        }
        tell_ms = waited_ms == 0 ? tell_after_ms() : tell_ms;
        waited_ms += piece_ms;
        if (tell_ms > 0 && waited_ms >= tell_ms && waited_ms - piece_ms < tell_ms) {
            Py_BEGIN_ALLOW_THREADS
            tell_why(refs, n, waited_ms);
            Py_END_ALLOW_THREADS
        }
    }
    PyMem_Free(views);
    PyMem_Free(refs);
    return list;
}

static struct mob_ref *put_small(const struct packing *p, struct mob_error *err)
{
    char bytes[1024];

    core_pack_write(p, bytes);
    return mob_put_refs(bytes, p->size, p->carried, p->carried_count, err);
}

int core_stop(void)
{
    PyGILState_STATE gil;
    int stop;

    if (!Py_IsInitialized())
        return 0;
    gil = PyGILState_Ensure();
    stop = PyOS_InterruptOccurred();
    if (stop)
        PyErr_SetInterrupt();           /* to ask is to forget: core_create() handles it */
    PyGILState_Release(gil);
    return stop;
}

struct mob_buffer *core_create(const struct packing *p)
{
    struct mob_error err;
    struct mob_buffer *b;

    for (;;) {
        Py_BEGIN_ALLOW_THREADS
        b = mob_create_refs(p->size, p->carried, p->carried_count, &err);
        Py_END_ALLOW_THREADS
        if (b != NULL)
            return b;
        if (PyErr_CheckSignals() < 0)
            return NULL;
        if (err.code != MOB_ERR_TIMEOUT)
            return core_raise(&err), NULL;
    }
}

/* NULL: the exception is set, or there is *err. */
static struct mob_ref *put_large(const struct packing *p, struct mob_error *err)
{
    struct mob_buffer *b = core_create(p);
    struct mob_ref *ref;

    if (b == NULL)
        return NULL;
    core_pack_write(p, mob_buffer_data(b));
    Py_BEGIN_ALLOW_THREADS
    ref = mob_seal(b, err);
    Py_END_ALLOW_THREADS
    return ref;
}

PyObject *core_put(PyObject *self, PyObject *object)
{
    struct mob_ref *ref;
    struct mob_error err;
    struct packing p;

    (void)self;
    if (core_pack(&p, VALUE_OBJECT, object, NULL) < 0)
        return NULL;
    ref = p.size <= 1024 ? put_small(&p, &err) : put_large(&p, &err);
    core_pack_fini(&p);
    if (ref == NULL && !PyErr_Occurred())
        core_raise(&err);
    return ref != NULL ? core_ref_new(ref) : NULL;
}

/* Items from ... to - 1 of the one at the end of the other. */
static int extend(PyObject *to, PyObject *from, Py_ssize_t start, Py_ssize_t end)
{
    PyObject *slice = start < end ? PyList_GetSlice(from, start, end) : NULL;
    int rc = start >= end ? 0 : slice == NULL ? -1 : PyList_SetSlice(to, PY_SSIZE_T_MAX, PY_SSIZE_T_MAX, slice);

    Py_XDECREF(slice);
    return rc;
}

/* The first `wanted` of those that are ready, and all others. */
static PyObject *split(PyObject *list, const unsigned char *ready, Py_ssize_t count, Py_ssize_t wanted)
{
    PyObject *yes = PyList_New(0), *no = PyList_New(0), *both;
    int rc = yes == NULL || no == NULL ? -1 : 0;
    Py_ssize_t after = 0;

    for (Py_ssize_t i = 0; rc == 0 && i < count && wanted > 0; i++) {
        if (!ready[i])
            continue;
        rc = extend(no, list, after, i) < 0 ? -1 : PyList_Append(yes, PyList_GetItem(list, i));
        after = i + 1;
        wanted--;
    }
    both = rc < 0 || extend(no, list, after, count) < 0 ? NULL : PyTuple_Pack(2, yes, no);
    Py_XDECREF(yes);
    Py_XDECREF(no);
    return both;
}

/* Is each there once? By a table of at least twice as many places. */
static bool are_unique(struct mob_ref *const *refs, size_t count)
{
    size_t places = 16, at;
    struct mob_ref **table;
    bool unique = true;

    while (places < 2 * count)
        places *= 2;
    if ((table = PyMem_Calloc(places, sizeof *table)) == NULL)
        return PyErr_NoMemory(), false;
    for (size_t i = 0; unique && i < count; i++) {
        for (at = (uintptr_t)refs[i] * UINT64_C(0x9e3779b97f4a7c15) >> 32 & (places - 1); table[at] != NULL && table[at] != refs[i];)
            at = (at + 1) & (places - 1);
        unique = table[at] == NULL;
        table[at] = refs[i];
    }
    PyMem_Free(table);
    if (!unique)
        PyErr_SetString(PyExc_ValueError, "Wait requires a list of unique ray_waitables.");
    return unique;
}

/* wait(refs, wanted, timeout in ms): two lists, in order. */
PyObject *core_wait(PyObject *self, PyObject *const *args, Py_ssize_t count)
{
    Py_ssize_t n = 0, wanted = PyLong_AsSsize_t(args[1]);
    int64_t timeout_ms = PyLong_AsLongLong(args[2]);
    unsigned char *ready;
    PyObject *both = NULL;
    struct mob_ref **refs;

    (void)self;
    (void)count;
    if (PyErr_Occurred() || (refs = core_refs_of(args[0], PyExc_TypeError, not_waitable, &n)) == NULL)
        return NULL;
    ready = PyMem_Calloc((size_t)n + 1, 1);
    if (ready != NULL && are_unique(refs, (size_t)n) && wait_first(refs, n, wanted, timeout_ms, ready) >= 0)
        both = split(args[0], ready, n, wanted);
    PyMem_Free(ready);
    PyMem_Free(refs);
    return both;
}

/* cancel(ref, force, recursive) */
PyObject *core_cancel(PyObject *self, PyObject *const *args, Py_ssize_t count)
{
    struct mob_ref *ref;
    struct mob_error err;
    int how;

    (void)self;
    (void)count;
    if (!core_is_ref(args[0])) {
        PyErr_Format(PyExc_TypeError, "cancel() takes an ObjectRef, not a %S", (PyObject *)Py_TYPE(args[0]));
        return NULL;
    }
    if ((ref = core_ref_of(args[0])) == NULL)
        return NULL;
    how = (PyObject_IsTrue(args[1]) ? MOB_CANCEL_FORCE : 0) | (PyObject_IsTrue(args[2]) ? 0 : MOB_CANCEL_ALONE);
    if (mob_cancel(ref, how, &err) < 0)
        return core_raise(&err);
    Py_RETURN_NONE;
}
