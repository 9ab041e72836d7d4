/* SPDX-License-Identifier: Apache-2.0 */
/* value.c -- a Python object as the bytes of a value.
 *
 *   [ head | size of each buffer, uint64_t each | pickle | buffers, each from a multiple of 64 bytes on ]
 *
 * The buffers are those of pickle's protocol 5 that stand out of band: a numpy array's bytes are copied once, into the value, and are
 * looked at where they stand by whoever unpickles it. The pickle comes in pieces, among them the program's own large bytes objects: they,
 * too, are copied once, and once more by who unpickles them. References inside are carried beside the bytes (mob_put_refs()), pickled as
 * their place among them. An object of plain built-in types is pickled by C alone; cloudpickle sees all others. */
#include <string.h>

#include "core.h"

#define PLAIN_DEPTH 4
#define COPY_MAX 4096                   /* bytes of a pickle that are copied rather than pinned */
#define BYTES_PLAIN (64 << 10)          /* pickle.dumps() copies larger bytes objects, and a pickler that writes pieces does not */

/* References of what is being pickled on this thread. */
static _Thread_local PyObject *packing_refs;
static _Thread_local bool packing;
/* The value that is being unpickled on this thread. */
static _Thread_local struct mob_view *unpacking;
static _Thread_local size_t unpacking_first;

/* -- to bytes ---------------------------------------------------------------------------------------------------------------- */

static bool is_plain(PyObject *o, int depth)
{
    PyTypeObject *type = Py_TYPE(o);
    PyObject *key, *value;
    Py_ssize_t at = 0;

    if (o == Py_None || type == &PyLong_Type || type == &PyUnicode_Type || type == &PyFloat_Type || type == &PyBool_Type)
        return true;
    if (type == &PyBytes_Type)
        return PyBytes_Size(o) < BYTES_PLAIN;
    if (depth == PLAIN_DEPTH)
        return false;
    if (type == &PyTuple_Type) {
        for (Py_ssize_t i = 0, n = PyTuple_Size(o); i < n; i++)
            if (!is_plain(PyTuple_GetItem(o, i), depth + 1))
                return false;
        return true;
    }
    if (type == &PyList_Type) {
        for (Py_ssize_t i = 0; i < PyList_Size(o); i++)
            if (!is_plain(PyList_GetItem(o, i), depth + 1))
                return false;
        return true;
    }
    if (type != &PyDict_Type)
        return false;
    while (PyDict_Next(o, &at, &key, &value))
        if (!is_plain(key, depth + 1) || !is_plain(value, depth + 1))
            return false;
    return true;
}

Py_ssize_t core_pack_ref(PyObject *ref)
{
    if (!packing) {
        PyErr_SetString(PyExc_TypeError, "an ObjectRef can be pickled only by mobula itself: pass it to a task, return it from one, or "
                        "put() an object that holds it");
        return -1;
    }
    if (packing_refs == NULL && (packing_refs = PyList_New(0)) == NULL)
        return -1;
    return PyList_Append(packing_refs, ref) < 0 ? -1 : PyList_Size(packing_refs) - 1;
}

static int take_parts(struct packing *p, PyObject *list)
{
    for (Py_ssize_t i = 0, n = PyList_Size(list); i < n; i++, p->part_count++)
        if (PyObject_GetBuffer(PyList_GetItem(list, i), &p->parts[p->part_count], PyBUF_STRIDES) < 0)
            return -1;
    return 0;
}

/* dumps() of Python: lists of the pickle's pieces, and of the buffers. */
static int pickle_any(struct packing *p, PyObject *object)
{
    PyObject *of_call = p->kind == VALUE_CALL ? Py_True : Py_False;
    PyObject *said = PyObject_CallFunctionObjArgs(core_python.dumps, object, of_call, NULL), *pieces, *buffers;
    int rc = -1;

    if (said == NULL)
        return -1;
    pieces = PyTuple_GetItem(said, 0);
    buffers = PyTuple_GetItem(said, 1);
    p->parts = PyMem_Calloc((size_t)(PyList_Size(pieces) + PyList_Size(buffers)), sizeof *p->parts);
    if (p->parts == NULL)
        PyErr_NoMemory();
    else if (take_parts(p, pieces) == 0) {
        p->pieces = p->part_count;
        rc = take_parts(p, buffers);
    }
    Py_DECREF(said);
    return rc;
}

static int pickle_plain(struct packing *p, PyObject *object)
{
    PyObject *bytes = PyObject_CallFunction(core_python.plain_dumps, "Oi", object, 5);
    int rc = bytes != NULL ? PyObject_GetBuffer(bytes, &p->one, PyBUF_SIMPLE) : -1;

    Py_XDECREF(bytes);
    if (rc < 0)
        return -1;
    p->parts = &p->one;
    p->part_count = p->pieces = 1;
    return 0;
}

static int pickle(struct packing *p, PyObject *object)
{
    PyObject *outer_refs = packing_refs;
    bool outer = packing;
    int rc;

    if (object == Py_None)
        return 0;
    packing = true;
    packing_refs = NULL;
    rc = is_plain(object, 0) ? pickle_plain(p, object) : pickle_any(p, object);
    p->refs = packing_refs;
    packing_refs = outer_refs;
    packing = outer;
    return rc;
}

static int carry(struct packing *p, struct mob_ref *first)
{
    Py_ssize_t count = p->refs != NULL ? PyList_Size(p->refs) : 0;

    p->carried_count = (size_t)count + (first != NULL);
    if (p->carried_count == 0)
        return 0;
    p->carried = PyMem_Malloc(p->carried_count * sizeof *p->carried);
    if (p->carried == NULL)
        return PyErr_NoMemory(), -1;
    p->carried[0] = first;
    for (Py_ssize_t i = 0; i < count; i++)
        if ((p->carried[i + (first != NULL)] = core_ref_of(PyList_GetItem(p->refs, i))) == NULL)
            return -1;
    return 0;
}

int core_pack(struct packing *p, enum value_kind kind, PyObject *object, struct mob_ref *first)
{
    *p = (struct packing){ .kind = kind };
    if (pickle(p, object) < 0 || carry(p, first) < 0) {
        core_pack_fini(p);
        return -1;
    }
    for (Py_ssize_t i = 0; i < p->pieces; i++)
        p->pickle_size += (size_t)p->parts[i].len;
    p->size = sizeof(struct value_head) + (size_t)(p->part_count - p->pieces) * sizeof(uint64_t) + p->pickle_size;
    for (Py_ssize_t i = p->pieces; i < p->part_count; i++)
        p->size = value_aligned(p->size) + (size_t)p->parts[i].len;
    return 0;
}

/* Runs of `size` bytes, which begin `step` bytes one after the other. */
static char *copy_runs(char *to, const char *from, Py_ssize_t count, Py_ssize_t step, size_t size)
{
#define EACH(size_of_each) \
    for (; count > 0; count--, from += step, to += (size_of_each)) \
        memcpy(to, from, (size_of_each))
    switch (size) {
    case 1: EACH(1); break;
    case 2: EACH(2); break;
    case 4: EACH(4); break;
    case 8: EACH(8); break;
    default: EACH(size);
    }
#undef EACH
    return to;
}

/* Dimensions `dim` to `last` of a part whose elements do not lie one after the other, but for those of the dimensions behind: runs. */
static char *copy_strided(char *to, const char *from, const Py_buffer *part, int dim, int last, size_t run)
{
    if (dim == last)
        return copy_runs(to, from, part->shape[dim], part->strides[dim], run);
    for (Py_ssize_t i = 0; i < part->shape[dim]; i++)
        to = copy_strided(to, from + i * part->strides[dim], part, dim + 1, last, run);
    return to;
}

/* Its bytes, in the order of its elements if they do not lie one after the other. */
static char *write_part(char *at, const Py_buffer *part)
{
    size_t run = (size_t)part->itemsize;
    int last = part->ndim - 1;

    if (PyBuffer_IsContiguous(part, 'A')) {
        memcpy(at, part->buf, (size_t)part->len);
        return at + part->len;
    }
    while (last > 0 && part->strides[last] == (Py_ssize_t)run)
        run *= (size_t)part->shape[last--];
    return copy_strided(at, part->buf, part, 0, last, run);
}

void core_pack_write(const struct packing *p, void *to)
{
    struct value_head head = { .kind = (uint8_t)p->kind, .returns = (uint16_t)p->call.returns,
                         .buffers = (uint32_t)(p->part_count - p->pieces), .pickle_size = p->pickle_size,
                         .function = { p->call.function[0], p->call.function[1] } };
    uint64_t size;
    char *start = to, *at = memcpy(to, &head, sizeof head);

    at += sizeof head;
    for (Py_ssize_t i = p->pieces; i < p->part_count; i++, at += sizeof size) {
        size = (uint64_t)p->parts[i].len;
        memcpy(at, &size, sizeof size);
    }
    for (Py_ssize_t i = 0; i < p->pieces; i++)
        at = write_part(at, &p->parts[i]);
    for (Py_ssize_t i = p->pieces; i < p->part_count; i++) {
        char *from = at;

        at = start + value_aligned((size_t)(at - start));
        memset(from, 0, (size_t)(at - from));
        at = write_part(at, &p->parts[i]);
    }
}

void core_pack_fini(struct packing *p)
{
    for (Py_ssize_t i = 0; i < p->part_count; i++)
        PyBuffer_Release(&p->parts[i]);
    if (p->parts != &p->one)
        PyMem_Free(p->parts);
    PyMem_Free(p->carried);
    Py_CLEAR(p->refs);
}

/* -- from bytes -------------------------------------------------------------------------------------------------------------- */

PyObject *core_carried(PyObject *self, PyObject *index)
{
    Py_ssize_t i = PyLong_AsSsize_t(index);
    struct mob_error err;
    struct mob_ref *ref;

    (void)self;
    if (i < 0 || unpacking == NULL) {
        if (!PyErr_Occurred())
            PyErr_SetString(PyExc_TypeError, "this pickle holds an ObjectRef, and is none of mobula's own values");
        return NULL;
    }
    ref = mob_view_ref(unpacking, (size_t)i + unpacking_first, &err);
    return ref != NULL ? core_ref_new(ref) : core_raise(&err);
}

static PyObject *malformed(void)
{
    PyErr_SetString(PyExc_ValueError, "the value is none that a Python program made");
    return NULL;
}

/* The buffers of a value as a list of parts of `owner`, whose bytes are at `data`. NULL: the value is malformed, or no memory. */
static PyObject *parts_of(PyObject *owner, const char *data, struct value_layout *l)
{
    PyObject *list = PyList_New(0), *part;
    size_t at, size;

    for (uint32_t i = 0; list != NULL && i < l->head.buffers; i++) {
        part = value_layout_next(l, data, &at, &size) ? core_part_new(owner, data + at, size) : malformed();
        if (part == NULL || PyList_Append(list, part) < 0)
            Py_CLEAR(list);
        Py_XDECREF(part);
    }
    return list;
}

static PyObject *loads_parts(PyObject *owner, const char *data, struct value_layout *l)
{
    PyObject *pickle = core_part_new(owner, data + value_layout_pickle(l), l->head.pickle_size);
    PyObject *parts = NULL, *args = NULL, *named = NULL, *object = NULL;

    if (pickle != NULL && (parts = parts_of(owner, data, l)) != NULL && (args = PyTuple_Pack(1, pickle)) != NULL
        && (named = Py_BuildValue("{sO}", "buffers", parts)) != NULL)
        object = PyObject_Call(core_python.loads, args, named);
    Py_XDECREF(pickle);
    Py_XDECREF(parts);
    Py_XDECREF(args);
    Py_XDECREF(named);
    return object;
}

/* A value with no buffers and a short pickle keeps nothing. */
static PyObject *loads_copy(const char *pickle, size_t size)
{
    PyObject *bytes = PyBytes_FromStringAndSize(pickle, (Py_ssize_t)size);
    PyObject *object = bytes != NULL ? PyObject_CallFunctionObjArgs(core_python.loads, bytes, NULL) : NULL;

    Py_XDECREF(bytes);
    return object;
}

/* What keeps the bytes of an object with buffers: the view itself, or a copy. */
static PyObject *owner_of(struct mob_view *view, bool owned, const char **ret_data)
{
    PyObject *owner;

    if (owned) {
        *ret_data = view->data;
        owner = core_view_new(view);
        *view = (struct mob_view){ 0 };
        return owner;
    }
    owner = PyBytes_FromStringAndSize(view->data, (Py_ssize_t)view->size);
    *ret_data = owner != NULL ? PyBytes_AsString(owner) : NULL;
    return owner;
}

static PyObject *unpickle(struct mob_view *view, bool owned, struct value_layout *l)
{
    const char *data = view->data;
    PyObject *owner, *object;

    if (l->head.pickle_size == 0)
        Py_RETURN_NONE;
    if (l->head.buffers == 0 && l->head.pickle_size <= COPY_MAX)
        return loads_copy(data + value_layout_pickle(l), l->head.pickle_size);
    if ((owner = owner_of(view, owned, &data)) == NULL)
        return NULL;
    object = loads_parts(owner, data, l);
    Py_DECREF(owner);
    return object;
}

PyObject *core_unpack_as(struct mob_view *view, bool owned, enum value_kind *ret_kind, struct call_head *ret_call)
{
    struct mob_view *outer = unpacking, carrier = *view;        /* a copy: the pin serves both, and outlives unpickling */
    size_t outer_first = unpacking_first;
    PyObject *object = NULL;
    struct value_layout l;

    if (!value_layout_read(&l, view->data, view->size)) {
        if (owned)
            mob_view_release(view);
        return malformed();
    }
    *ret_kind = (enum value_kind)l.head.kind;
    if (ret_call != NULL)
        *ret_call = (struct call_head){ l.head.returns, { l.head.function[0], l.head.function[1] } };
    unpacking = &carrier;
    unpacking_first = l.head.kind == VALUE_CALL;
    object = unpickle(view, owned, &l);
    unpacking = outer;
    unpacking_first = outer_first;
    if (owned)
        mob_view_release(view);
    return object;
}

PyObject *core_unpack(struct mob_view *view, bool owned)
{
    enum value_kind kind = VALUE_OBJECT;
    PyObject *object = core_unpack_as(view, owned, &kind, NULL), *e;

    if (object == NULL || kind != VALUE_ERROR)
        return object;
    e = PyObject_CallFunctionObjArgs(core_python.raise_value, object, NULL);
    Py_DECREF(object);
    if (e != NULL)
        PyErr_SetObject((PyObject *)Py_TYPE(e), e);
    Py_XDECREF(e);
    return NULL;
}
