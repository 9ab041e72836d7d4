/* SPDX-License-Identifier: Apache-2.0 */
/* items.c -- Items: a stream's reader (mobula/_generators.py makes the iterator of it). Closed with the Python object. */
#include "core.h"

struct items {
    PyObject_HEAD
    struct mob_items *items;
    uint64_t era;
};

static PyTypeObject *items_type;

PyObject *core_items_new(struct mob_items *items)
{
    PyTypeObject *type = (PyTypeObject *)core_python.items_type;
    struct items *s = (struct items *)((allocfunc)PyType_GetSlot(type, Py_tp_alloc))(type, 0);

    if (s == NULL) {
        mob_items_close(items);
        return NULL;
    }
    s->items = items;
    s->era = core_era;
    return (PyObject *)s;
}

/* NULL: of an ended session; the exception is set. */
static struct mob_items *items_of(PyObject *self)
{
    struct items *s = (struct items *)self;

    if (s->era == core_era && s->items != NULL)
        return s->items;
    PyErr_SetString(PyExc_ValueError, "this generator is of a session that has ended by shutdown()");
    return NULL;
}

static void items_dealloc(PyObject *self)
{
    struct items *s = (struct items *)self;
    PyTypeObject *type = Py_TYPE(self);

    if (s->era == core_era)
        mob_items_close(s->items);
    ((freefunc)PyType_GetSlot(type, Py_tp_free))(self);
    Py_DECREF(type);
}

/* next(timeout in ms): the next item's reference; None: there is none any more. */
static PyObject *items_next(PyObject *self, PyObject *timeout)
{
    struct mob_items *items = items_of(self);
    int64_t left_ms = PyLong_AsLongLong(timeout), piece_ms;
    struct mob_ref *ref = NULL;
    struct mob_error err;
    int rc;

    if (items == NULL || PyErr_Occurred())
        return NULL;
    for (;;) {
        bool last = core_piece(&left_ms, &piece_ms);

        Py_BEGIN_ALLOW_THREADS
        rc = mob_items_next(items, piece_ms, &ref, &err);
        Py_END_ALLOW_THREADS
        if (rc > 0)
            return core_ref_new(ref);
        if (rc == 0)
            Py_RETURN_NONE;
        if (PyErr_CheckSignals() < 0)
            return NULL;
        if (last || err.code != MOB_ERR_TIMEOUT)
            return core_raise_late(&err);
    }
}

static PyObject *ref_by(PyObject *self, struct mob_ref *(*ask)(struct mob_items *items, struct mob_error *err))
{
    struct mob_items *items = items_of(self);
    struct mob_error err;
    struct mob_ref *ref;

    if (items == NULL)
        return NULL;
    ref = ask(items, &err);
    return ref != NULL ? core_ref_new(ref) : core_raise(&err);
}

static PyObject *items_peek(PyObject *self, PyObject *unused)
{
    (void)unused;
    return ref_by(self, mob_items_peek);
}

static PyObject *items_end(PyObject *self, PyObject *unused)
{
    (void)unused;
    return ref_by(self, mob_items_end);
}

static PyObject *items_is_over(PyObject *self, PyObject *unused)
{
    struct mob_items *items = items_of(self);
    struct mob_error err;
    int rc;

    (void)unused;
    if (items == NULL)
        return NULL;
    rc = mob_items_over(items, &err);
    return rc < 0 ? core_raise(&err) : PyBool_FromLong(rc);
}

static PyMethodDef items_methods[] = {
    { "_next", items_next, METH_O, "_next(timeout in ms): the next item's reference; None: there is none any more." },
    { "_peek", items_peek, METH_NOARGS, "A reference to the next item, or to the end, before it has come." },
    { "_end", items_end, METH_NOARGS, "A reference to the end: what the task returns, or its error." },
    { "_is_over", items_is_over, METH_NOARGS, "Will _next() be None?" },
    { NULL, NULL, 0, NULL },
};

static PyType_Slot items_slots[] = { { Py_tp_dealloc, items_dealloc }, { Py_tp_methods, items_methods },
    { Py_tp_doc, (void *)"The items of a task, read while it runs; made by the library alone." }, { 0, NULL } };
static PyType_Spec items_spec = {
    .name = "mobula._core.Items", .basicsize = sizeof(struct items), .slots = items_slots,
    .flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_BASETYPE | Py_TPFLAGS_DISALLOW_INSTANTIATION,
};

int core_items_init(PyObject *module)
{
    items_type = (PyTypeObject *)PyType_FromSpec(&items_spec);
    return items_type == NULL ? -1 : PyModule_AddObjectRef(module, "Items", (PyObject *)items_type);
}
