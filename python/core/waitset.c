/* SPDX-License-Identifier: Apache-2.0 */
/* waitset.c -- WaitSet: references that one thread waits for, each with a number of its owner's (mobula/_futures.py). */
#include "core.h"

struct set {
    PyObject_HEAD
    struct mob_waitset *set;
    uint64_t era;
};

static PyTypeObject *set_type;

static PyObject *set_new(PyTypeObject *type, PyObject *args, PyObject *named)
{
    struct set *s = (struct set *)((allocfunc)PyType_GetSlot(type, Py_tp_alloc))(type, 0);
    struct mob_error err;

    (void)args;
    (void)named;
    if (s == NULL)
        return NULL;
    s->era = core_era;
    if ((s->set = mob_waitset_create(&err)) == NULL) {
        Py_DECREF(s);
        return core_raise(&err);
    }
    return (PyObject *)s;
}

static void set_dealloc(PyObject *self)
{
    struct set *s = (struct set *)self;
    PyTypeObject *type = Py_TYPE(self);

    if (s->set != NULL)
        mob_waitset_destroy(s->set);
    ((freefunc)PyType_GetSlot(type, Py_tp_free))(self);
    Py_DECREF(type);
}

static PyObject *set_add(PyObject *self, PyObject *args)
{
    struct set *s = (struct set *)self;
    struct mob_ref *ref;
    struct mob_error err;
    Py_ssize_t number;
    PyObject *o;

    if (!PyArg_ParseTuple(args, "O!n:add", core_ref_type, &o, &number) || (ref = core_ref_seen(o)) == NULL)
        return NULL;
    if (mob_waitset_add(s->set, ref, (void *)number, &err) < 0)
        return core_raise(&err);
    Py_RETURN_NONE;
}

/* next(timeout in ms): the number of one that is ready; None: the set is empty. */
static PyObject *set_next(PyObject *self, PyObject *timeout)
{
    struct set *s = (struct set *)self;
    int64_t timeout_ms = PyLong_AsLongLong(timeout);
    struct mob_ref *ref = NULL;
    struct mob_error err;
    void *number = NULL;
    int rc;

    if (PyErr_Occurred())
        return NULL;
    Py_BEGIN_ALLOW_THREADS
    rc = mob_waitset_next(s->set, timeout_ms, &ref, &number, &err);
    Py_END_ALLOW_THREADS
    if (rc < 0)
        return core_raise_late(&err);
    if (rc == 0)
        Py_RETURN_NONE;
    mob_ref_drop(ref);
    return PyLong_FromSsize_t((Py_ssize_t)number);
}

static PyMethodDef set_methods[] = {
    { "add", set_add, METH_VARARGS, "add(ref, number)" },
    { "next", set_next, METH_O, "next(timeout in ms): the number of one that is ready, which leaves; None: the set is empty." },
    { NULL, NULL, 0, NULL },
};

static PyType_Slot set_slots[] = { { Py_tp_new, set_new }, { Py_tp_dealloc, set_dealloc }, { Py_tp_methods, set_methods },
    { Py_tp_doc, (void *)"References that one thread waits for." }, { 0, NULL } };
static PyType_Spec set_spec = { "mobula._core.WaitSet", sizeof(struct set), 0, Py_TPFLAGS_DEFAULT, set_slots };

int core_waitset_init(PyObject *module)
{
    set_type = (PyTypeObject *)PyType_FromSpec(&set_spec);
    return set_type == NULL ? -1 : PyModule_AddObjectRef(module, "WaitSet", (PyObject *)set_type);
}
