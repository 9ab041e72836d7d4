/* SPDX-License-Identifier: Apache-2.0 */
/* ref.c -- Ref: one count of a reference, given back with the Python object. Two of one object are equal. */
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

static void ref_dealloc(PyObject *self)
{
    struct ref *r = (struct ref *)self;
    PyTypeObject *type = Py_TYPE(self);

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

PyObject *core_item(PyObject *list, Py_ssize_t i)
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
        PyObject *o = core_item(list, i);

        if (!core_is_ref(o))
            PyErr_Format(error, words, (PyObject *)Py_TYPE(o));
        if (!core_is_ref(o) || (refs[i] = core_ref_of(o)) == NULL) {
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
    Py_ssize_t place = core_ref_of(self) != NULL ? core_pack_ref(self) : -1;
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
