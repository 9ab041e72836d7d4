/* SPDX-License-Identifier: Apache-2.0 */
/* call.c -- Fn: a function's options, checked once; and a call of a remote function.
 *
 * All Python tasks are one task function of the library, "python". Its first argument says which function is meant (the hash of its
 * pickle, with a reference to that) and holds the pickled arguments; references among the arguments themselves follow, each as an argument
 * whose value the task is to see. */
#include <string.h>

#include "core.h"

#define ARGS_FEW 16

struct fn {
    PyObject_HEAD
    struct mob_fn *fn;
    uint32_t returns;
};

static PyTypeObject *fn_type;

static PyObject *fn_new(PyTypeObject *type, PyObject *args, PyObject *named)
{
    struct mob_options o = { .size = sizeof o };
    struct mob_error err;
    unsigned returns, unread_max;
    int max_retries, retry_delay_ms;
    struct fn *f;

    (void)named;
    if (!PyArg_ParseTuple(args, "zzzzIiIzi:Fn", &o.resources, &o.strategy, &o.labels, &o.name, &returns, &max_retries, &unread_max,
                          &o.infeasible, &retry_delay_ms))
        return NULL;
    o.returns = returns == RETURNS_STREAM || returns == RETURNS_DYNAMIC ? 1 : returns;
    o.unread_max = unread_max;
    o.max_retries = max_retries;
    o.retry_delay_ms = retry_delay_ms;
    f = (struct fn *)((allocfunc)PyType_GetSlot(type, Py_tp_alloc))(type, 0);
    if (f == NULL)
        return NULL;
    f->returns = returns;
    if ((f->fn = mob_fn("python", &o, &err)) == NULL) {
        Py_DECREF(f);
        return core_raise(&err);
    }
    return (PyObject *)f;
}

static void fn_dealloc(PyObject *self)
{
    PyTypeObject *type = Py_TYPE(self);

    mob_fn_destroy(((struct fn *)self)->fn);
    ((freefunc)PyType_GetSlot(type, Py_tp_free))(self);
    Py_DECREF(type);
}

static PyType_Slot fn_slots[] = { { Py_tp_new, fn_new }, { Py_tp_dealloc, fn_dealloc },
    { Py_tp_doc, (void *)"Fn(resources, strategy, labels, name, returns, max_retries, unread_max, infeasible, retry_delay_ms): the "
                                                                 "options of calls, checked." },
    { 0, NULL } };
static PyType_Spec fn_spec = { "mobula._core.Fn", sizeof(struct fn), 0, Py_TPFLAGS_DEFAULT, fn_slots };

int core_fn_init(PyObject *module)
{
    fn_type = (PyTypeObject *)PyType_FromSpec(&fn_spec);
    return fn_type == NULL ? -1 : PyModule_AddObjectRef(module, "Fn", (PyObject *)fn_type);
}

static PyObject *result_new(struct mob_ref *ref)
{
    PyObject *o = core_ref_new(ref);

    if (o != NULL)
        ((struct ref *)o)->unseen = !core_in_worker;
    return o;
}

static PyObject *take_results(const struct fn *f, struct mob_ref **refs, uint32_t count)
{
    PyObject *list;

    if (f->returns == 1 || f->returns == RETURNS_DYNAMIC)
        return result_new(refs[0]);
    list = PyList_New((Py_ssize_t)count);
    for (uint32_t i = 0; i < count; i++) {
        PyObject *o = result_new(refs[i]);

        if (list != NULL && o != NULL)
            PyList_SetItem(list, (Py_ssize_t)i, o);
        else {
            Py_XDECREF(o);
            Py_CLEAR(list);             /* those that follow are dropped one by one */
        }
    }
    return list;
}

static PyObject *submit(struct fn *f, const struct mob_value *values, size_t count)
{
    struct mob_ref *few[ARGS_FEW], **refs = few;
    uint32_t returns = f->returns > 0 && f->returns < RETURNS_DYNAMIC ? f->returns : 1;
    struct mob_items *items;
    struct mob_error err;
    PyObject *result;
    int rc;

    if (f->returns == RETURNS_STREAM) {
        items = mob_call_items(f->fn, values, count, &err);
        return items != NULL ? core_items_new(items) : core_raise(&err);
    }
    if (returns > ARGS_FEW && (refs = PyMem_Malloc(returns * sizeof *refs)) == NULL)
        return PyErr_NoMemory();
    rc = mob_call(f->fn, values, count, refs, &err);
    result = rc < 0 ? core_raise(&err) : take_results(f, refs, returns);
    if (refs != few)
        PyMem_Free(refs);
    return result;
}

/* The first value is the packed call, the others are references: `direct`, a list. */
static PyObject *submit_packed(struct fn *f, const struct packing *p, PyObject *direct)
{
    Py_ssize_t count = direct != Py_None ? PyList_Size(direct) : 0;
    struct mob_value few[ARGS_FEW], *values = few;
    char small[1024], *bytes = p->size <= sizeof small ? small : PyMem_Malloc(p->size);
    PyObject *result = NULL;

    if (count + 1 > ARGS_FEW)
        values = PyMem_Malloc(((size_t)count + 1) * sizeof *values);
    if (bytes == NULL || values == NULL) {
        PyErr_NoMemory();
    } else {
        struct mob_ref *ref = NULL;
        Py_ssize_t i = 0;

        core_pack_write(p, bytes);
        values[0] = MOB_BYTES_REFS(bytes, p->size, p->carried, p->carried_count);
        for (; i < count && (ref = core_ref_seen(PyList_GetItem(direct, i))) != NULL; i++)
            values[i + 1] = MOB_REF(ref);
        if (i == count)
            result = submit(f, values, (size_t)count + 1);
    }
    if (values != few)
        PyMem_Free(values);
    if (bytes != small)
        PyMem_Free(bytes);
    return result;
}

/* ship(object, digest): (digest(its value's bytes, the references inside), a reference to it). */
PyObject *core_ship(PyObject *self, PyObject *const *args, Py_ssize_t count)
{
    PyObject *bytes = NULL, *refs = NULL, *hash = NULL;
    struct mob_ref *ref = NULL;
    struct mob_error err;
    struct packing p;

    (void)self;
    (void)count;
    if (core_pack(&p, VALUE_OBJECT, args[0], NULL) < 0)
        return NULL;
    bytes = PyBytes_FromStringAndSize(NULL, (Py_ssize_t)p.size);
    refs = p.refs != NULL ? Py_NewRef(p.refs) : PyList_New(0);
    if (bytes != NULL && refs != NULL) {
        core_pack_write(&p, PyBytes_AsString(bytes));
        hash = PyObject_CallFunctionObjArgs(args[1], bytes, refs, NULL);
    }
    if (hash != NULL) {
        Py_BEGIN_ALLOW_THREADS
        ref = mob_put_refs(PyBytes_AsString(bytes), p.size, p.carried, p.carried_count, &err);
        Py_END_ALLOW_THREADS
        if (ref == NULL)
            core_raise(&err);
    }
    core_pack_fini(&p);
    Py_XDECREF(bytes);
    Py_XDECREF(refs);
    if (ref != NULL)
        return Py_BuildValue("NN", hash, core_ref_new(ref));
    Py_XDECREF(hash);
    return NULL;
}

/* call(fn, function's hash (16 bytes), reference to its pickle, arguments or None, direct references or None): the results. */
PyObject *core_call(PyObject *self, PyObject *const *args, Py_ssize_t count)
{
    struct mob_ref *pickle = core_ref_of(args[2]);
    struct packing p;
    PyObject *result;

    (void)self;
    (void)count;
    if (pickle == NULL || core_pack(&p, VALUE_CALL, args[3], pickle) < 0)
        return NULL;
    memcpy(p.call.function, PyBytes_AsString(args[1]), sizeof p.call.function);
    p.call.returns = ((const struct fn *)args[0])->returns;
    result = submit_packed((struct fn *)args[0], &p, args[4]);
    core_pack_fini(&p);
    return result;
}
