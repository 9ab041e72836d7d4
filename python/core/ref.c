/* SPDX-License-Identifier: Apache-2.0 */
/* ref.c -- Ref: one count of a reference, given back with the Python object. Two of one object are equal.
 *
 * A driver tells the error of a task whose result goes without anybody having waited for it, or having it as well: only what a call has
 * returned is looked at for that, as it goes, and only while it is unseen. */
#include <string.h>

#include "core.h"

PyTypeObject *core_ref_type;

PyObject *core_ref_new(struct mob_ref *ref)
{
    PyTypeObject *type = (PyTypeObject *)core_python.ref_type;
    struct ref *r = (struct ref *)((allocfunc)PyType_GetSlot(type, Py_tp_alloc))(type, 0);

    if (r == NULL) {
        mob_ref_drop(ref);
        return NULL;
    }
    r->ref = ref;
    r->era = core_era;
    return (PyObject *)r;
}

/* Is there an error, which is not that it was cancelled? */
static bool has_failed(const struct mob_ref *ref, struct mob_error *ret_err)
{
    struct value_layout l;
    const void *data;
    size_t size;
    int there;

    ret_err->code = MOB_OK;
    there = mob_peek(ref, &data, &size, ret_err);
    if (there <= 0)
        return there < 0 && ret_err->code != MOB_ERR_CANCELLED;
    return value_layout_read(&l, data, size) && l.head.kind == VALUE_ERROR;
}

static void tell_unseen(struct mob_ref *ref)
{
    PyObject *before[3], *type, *error, *trace, *done;
    struct mob_error err;
    struct mob_view view;

    if (!has_failed(ref, &err))
        return;
    PyErr_Fetch(&before[0], &before[1], &before[2]);
    if (err.code == MOB_OK && mob_get(ref, 0, &view, &err) == 0)
        Py_XDECREF(core_unpack(&view, true));           /* raises it */
    else
        core_raise_of(&err, &ref, 1);
    PyErr_Fetch(&type, &error, &trace);
    PyErr_NormalizeException(&type, &error, &trace);
    done = error != NULL ? PyObject_CallFunctionObjArgs(core_python.unhandled, error, NULL) : NULL;
    Py_XDECREF(done);
    Py_XDECREF(type);
    Py_XDECREF(error);
    Py_XDECREF(trace);
    PyErr_Restore(before[0], before[1], before[2]);
}

static void ref_dealloc(PyObject *self)
{
    struct ref *r = (struct ref *)self;
    PyTypeObject *type = Py_TYPE(self);

    if (r->era == core_era && r->unseen)
        tell_unseen(r->ref);
    if (r->era == core_era)
        mob_ref_drop(r->ref);
    ((freefunc)PyType_GetSlot(type, Py_tp_free))(self);
    Py_DECREF(type);
}

bool core_is_ref(PyObject *o)
{
    return Py_TYPE(o) == (PyTypeObject *)core_python.ref_type || PyObject_TypeCheck(o, core_ref_type);
}

struct mob_ref *core_ref_of(PyObject *o)
{
    struct ref *r = (struct ref *)o;

    if (r->era == core_era && r->ref != NULL)
        return r->ref;
    PyErr_SetString(PyExc_ValueError, "this ObjectRef is of a session that has ended by shutdown()");
    return NULL;
}

struct mob_ref *core_ref_seen(PyObject *o)
{
    ((struct ref *)o)->unseen = false;
    return core_ref_of(o);
}

/* Borrowed, of a list or tuple. */
static PyObject *item(PyObject *list, Py_ssize_t i)
{
    return PyList_Check(list) ? PyList_GetItem(list, i) : PyTuple_GetItem(list, i);
}

struct mob_ref **core_refs_of(PyObject *list, PyObject *error, const char *words, Py_ssize_t *ret_count)
{
    Py_ssize_t count = PyList_Check(list) ? PyList_Size(list) : PyTuple_Size(list);
    struct mob_ref **refs = count < 0 ? NULL : PyMem_Malloc(((size_t)count + 1) * sizeof *refs);

    if (refs == NULL)
        return count < 0 ? NULL : (struct mob_ref **)PyErr_NoMemory();
    for (Py_ssize_t i = 0; i < count; i++) {
        PyObject *o = item(list, i);

        if (!core_is_ref(o))
            PyErr_Format(error, words, (PyObject *)Py_TYPE(o));
        if (!core_is_ref(o) || (refs[i] = core_ref_seen(o)) == NULL) {
            PyMem_Free(refs);
            return NULL;
        }
    }
    *ret_count = count;
    return refs;
}

static Py_hash_t ref_hash(PyObject *self)
{
    return (Py_hash_t)((uintptr_t)((struct ref *)self)->ref % 2305843009213693951u);
}

static PyObject *ref_compare(PyObject *a, PyObject *b, int how)
{
    const struct ref *x = (const struct ref *)a, *y = (const struct ref *)b;
    bool same;

    if ((how != Py_EQ && how != Py_NE) || !core_is_ref(b))
        Py_RETURN_NOTIMPLEMENTED;
    same = x->ref == y->ref && x->era == y->era;
    return PyBool_FromLong(same == (how == Py_EQ));
}

static PyObject *ref_id(PyObject *self, PyObject *unused)
{
    struct mob_ref *ref = core_ref_of(self);
    struct mob_error err;
    char id[80];

    (void)unused;
    if (ref == NULL)
        return NULL;
    return mob_ref_id(ref, id, sizeof id, &err) < 0 ? core_raise(&err) : PyUnicode_FromString(id);
}

static PyObject *ref_explain(PyObject *self, PyObject *unused)
{
    struct mob_ref *ref = core_ref_of(self);
    char text[65536];
    struct mob_error err;
    int rc;

    (void)unused;
    if (ref == NULL)
        return NULL;
    Py_BEGIN_ALLOW_THREADS
    rc = mob_explain(ref, text, sizeof text, &err);
    Py_END_ALLOW_THREADS
    return rc < 0 ? core_raise(&err) : PyUnicode_DecodeUTF8(text, (Py_ssize_t)strlen(text), "replace");
}

static PyObject *ref_reduce(PyObject *self, PyObject *unused)
{
    Py_ssize_t place = core_ref_seen(self) != NULL ? core_pack_ref(self) : -1;
    PyObject *module, *carried;

    (void)unused;
    if (place < 0)
        return NULL;
    module = PyImport_ImportModule("mobula._core");
    carried = module != NULL ? PyObject_GetAttrString(module, "_carried") : NULL;
    Py_XDECREF(module);
    return carried != NULL ? Py_BuildValue("N(n)", carried, place) : NULL;
}

static PyMethodDef ref_methods[] = {
    { "id", ref_id, METH_NOARGS, "The object's name in the cluster, \"o-NODE.PROCESS-TASK.INDEX\"." },
    { "explain", ref_explain, METH_NOARGS, "Why its value is not there, in words for a terminal: its task's state, what that waits for, "
                                           "who has it." },
    { "__reduce__", ref_reduce, METH_NOARGS, NULL },
    { NULL, NULL, 0, NULL },
};

static PyType_Slot ref_slots[] = {
    { Py_tp_dealloc, ref_dealloc },
    { Py_tp_hash, ref_hash },
    { Py_tp_richcompare, ref_compare },
    { Py_tp_methods, ref_methods },
    { Py_tp_doc, (void *)"A counted reference to an object; made by the library alone." },
    { 0, NULL },
};

static PyType_Spec ref_spec = {
    .name = "mobula._core.Ref", .basicsize = sizeof(struct ref), .slots = ref_slots,
    .flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_BASETYPE | Py_TPFLAGS_DISALLOW_INSTANTIATION,
};

int core_ref_init(PyObject *module)
{
    core_ref_type = (PyTypeObject *)PyType_FromSpec(&ref_spec);
    return core_ref_type == NULL ? -1 : PyModule_AddObjectRef(module, "Ref", (PyObject *)core_ref_type);
}
