/* SPDX-License-Identifier: Apache-2.0 */
/* view.c -- View: a value's bytes, read-only, as long as somebody looks at them; Part: some of them. An array that was unpickled from a
 * value is a look at shared memory, so the value's pin ends when the last such array does. */
#include "core.h"

struct view {
    PyObject_HEAD
    struct mob_view view;
    uint64_t era;
};

struct part {
    PyObject_HEAD
    PyObject *owner;
    const void *data;
    size_t size;
};

static PyTypeObject *view_type, *part_type;

static void *allocate(PyTypeObject *type)
{
    return ((allocfunc)PyType_GetSlot(type, Py_tp_alloc))(type, 0);
}

static void release(PyObject *self)
{
    PyTypeObject *type = Py_TYPE(self);

    ((freefunc)PyType_GetSlot(type, Py_tp_free))(self);
    Py_DECREF(type);
}

PyObject *core_view_new(const struct mob_view *view)
{
    struct view *v = allocate(view_type);
    struct mob_view gone = *view;

    if (v == NULL) {
        mob_view_release(&gone);
        return NULL;
    }
    v->view = *view;
    v->era = core_era;
    return (PyObject *)v;
}

PyObject *core_part_new(PyObject *owner, const void *data, size_t size)
{
    struct part *p = allocate(part_type);

    if (p == NULL)
        return NULL;
    p->owner = Py_NewRef(owner);
    p->data = data;
    p->size = size;
    return (PyObject *)p;
}

static void view_dealloc(PyObject *self)
{
    struct view *v = (struct view *)self;

    if (v->era == core_era)
        mob_view_release(&v->view);
    release(self);
}

static void part_dealloc(PyObject *self)
{
    Py_DECREF(((struct part *)self)->owner);
    release(self);
}

static int view_buffer(PyObject *self, Py_buffer *ret, int flags)
{
    const struct view *v = (const struct view *)self;

    if (v->era != core_era) {
        PyErr_SetString(PyExc_BufferError, "the bytes went with shutdown()");
        return -1;
    }
    return PyBuffer_FillInfo(ret, self, (void *)v->view.data, (Py_ssize_t)v->view.size, 1, flags);
}

static int part_buffer(PyObject *self, Py_buffer *ret, int flags)
{
    const struct part *p = (const struct part *)self;

    return PyBuffer_FillInfo(ret, self, (void *)p->data, (Py_ssize_t)p->size, 1, flags);
}

static PyType_Slot view_slots[] = { { Py_tp_dealloc, view_dealloc }, { Py_bf_getbuffer, view_buffer }, { 0, NULL } };
static PyType_Slot part_slots[] = { { Py_tp_dealloc, part_dealloc }, { Py_bf_getbuffer, part_buffer }, { 0, NULL } };

#define FLAGS (Py_TPFLAGS_DEFAULT | Py_TPFLAGS_DISALLOW_INSTANTIATION)

static PyType_Spec view_spec = { "mobula._core.View", sizeof(struct view), 0, FLAGS, view_slots };
static PyType_Spec part_spec = { "mobula._core.Part", sizeof(struct part), 0, FLAGS, part_slots };

int core_view_init(PyObject *module)
{
    (void)module;
    view_type = (PyTypeObject *)PyType_FromSpec(&view_spec);
    part_type = (PyTypeObject *)PyType_FromSpec(&part_spec);
    return view_type != NULL && part_type != NULL ? 0 : -1;
}
