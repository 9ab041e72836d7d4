/* SPDX-License-Identifier: Apache-2.0 */
/* task.c -- the worker's half: the library calls run(), on the main thread, for each task. It unpacks function and arguments, has Python
 * call the one with the others (mobula/_worker.py), and packs what comes back; an exception becomes a value that raises where it is read,
 * and the task fails with its text. */
#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "core.h"

#define COPY_FD_MIN 100                 /* no task means these by mistake */

static PyThreadState *thread;           /* of the main thread, while the library has it */
static PyObject *call_function;         /* (function, arguments or None, direct values, how many results) -> a list of them */
static PyObject *pack_error;            /* (exception, is it an argument's) -> what is pickled instead of it */
static PyObject *prepare;               /* () before the first of them; NULL: it was called */
static PyObject *functions;             /* hash -> (function, its name) */
static PyObject *function_name;         /* of what runs; NULL: it is not known yet */
static struct mob_task *current;
static int copies[3];                   /* of descriptors 0 to 2 */

/* A task may close what the next one prints to; and what the library opens then would get its number. */
static void restore_descriptors(void)
{
    struct pollfd fds[3] = { { .fd = 0 }, { .fd = 1 }, { .fd = 2 } };

    if (poll(fds, 3, 0) <= 0)
        return;
    for (int i = 0; i < 3; i++)
        if (fds[i].revents & POLLNVAL)
            dup2(copies[i], i);
}

/* Values of arguments 1 ...: their objects. An error's value is the task's own error: *ret_error. */
static PyObject *unpack_direct(struct mob_task *t, PyObject **ret_error)
{
    Py_ssize_t count = (Py_ssize_t)mob_arg_count(t) - 1;
    PyObject *list = PyList_New(count);
    struct mob_view view, taken;
    struct mob_error err;

    for (Py_ssize_t i = 0; list != NULL && i < count; i++) {
        enum value_kind kind = VALUE_OBJECT;
        PyObject *o;

        if (mob_arg(t, (size_t)i + 1, &view, &err) < 0)
            o = core_raise(&err);
        else if (view.ref_count > 0 || view.size <= 4096)
            o = core_unpack_as(&view, false, &kind, NULL);
        else
            o = mob_arg_take(t, (size_t)i + 1, &taken, &err) < 0 ? core_raise(&err) : core_unpack_as(&taken, true, &kind, NULL);
        if (o == NULL)
            Py_CLEAR(list);
        else if (kind == VALUE_ERROR && *ret_error == NULL)
            *ret_error = Py_NewRef(o);
        if (o != NULL)
            PyList_SetItem(list, i, o);
    }
    return list;
}

/* The function of a hash; the first time it is fetched by the reference that the call carries. */
static PyObject *function_of(const struct mob_view *call, const uint64_t hash[2])
{
    PyObject *key = PyBytes_FromStringAndSize((const char *)hash, 16), *function;
    struct mob_view pickle;
    struct mob_error err;
    struct mob_ref *ref;
    int rc;

    if (key == NULL)
        return NULL;
    function = PyDict_GetItemWithError(functions, key);
    if (function == NULL && !PyErr_Occurred()) {
        if ((ref = mob_view_ref(call, 0, &err)) == NULL) {
            Py_DECREF(key);
            return core_raise(&err);
        }
        Py_BEGIN_ALLOW_THREADS
        rc = mob_get(ref, MOB_FOREVER, &pickle, &err);
        Py_END_ALLOW_THREADS
        mob_ref_drop(ref);
        function = rc < 0 ? core_raise(&err) : core_unpack(&pickle, true);
        if (function != NULL && PyDict_SetItem(functions, key, function) < 0)
            Py_CLEAR(function);
    } else {
        Py_XINCREF(function);
    }
    Py_DECREF(key);
    return function;
}

static int return_packed(struct mob_task *t, size_t i, const struct packing *p, struct mob_error *err)
{
    struct mob_buffer *b;
    char small[1024];

    if (p->size <= sizeof small) {
        core_pack_write(p, small);
        return mob_return(t, i, MOB_BYTES_REFS(small, p->size, p->carried, p->carried_count), err);
    }
    if ((b = core_create(p)) == NULL)
        return -1;
    core_pack_write(p, mob_buffer_data(b));
    return mob_return_buffer(t, i, b, err);
}

/* The same as an item of a stream, which may wait until one was read. */
static int yield_packed(struct mob_task *t, const struct packing *p, struct mob_error *err)
{
    struct mob_buffer *b;
    char small[1024];
    int rc = 0;

    if (p->size <= sizeof small) {
        core_pack_write(p, small);
        Py_BEGIN_ALLOW_THREADS
        rc = mob_yield(t, MOB_BYTES_REFS(small, p->size, p->carried, p->carried_count), err);
        Py_END_ALLOW_THREADS
        return rc;
    }
    if ((b = core_create(p)) == NULL)
        return -1;
    core_pack_write(p, mob_buffer_data(b));
    Py_BEGIN_ALLOW_THREADS
    rc = mob_yield_buffer(t, b, err);
    Py_END_ALLOW_THREADS
    return rc;
}

/* -1: the exception is set; of a task that is cancelled the KeyboardInterrupt, if it is there. */
static int yield_object(struct mob_task *t, PyObject *object)
{
    struct mob_error err;
    struct packing p;
    int rc;

    if (core_pack(&p, VALUE_OBJECT, object, NULL) < 0)
        return -1;
    rc = yield_packed(t, &p, &err);
    core_pack_fini(&p);
    if (rc < 0 && !PyErr_Occurred() && PyErr_CheckSignals() == 0)
        core_raise(&err);
    return rc;
}

/* All that the generator yields; the end's value is None. */
static int yield_all(struct mob_task *t, PyObject *generator)
{
    PyObject *item;
    int rc = 0;

    while (rc == 0 && (item = PyIter_Next(generator)) != NULL) {
        rc = yield_object(t, item);
        Py_DECREF(item);
    }
    return rc < 0 || PyErr_Occurred() ? -1 : 0;
}

/* -1: the exception is set. */
static int return_object(struct mob_task *t, size_t i, enum value_kind kind, PyObject *object)
{
    struct mob_error err;
    struct packing p;
    int rc;

    if (core_pack(&p, kind, object, NULL) < 0)
        return -1;
    rc = return_packed(t, i, &p, &err);
    core_pack_fini(&p);
    if (rc < 0 && !PyErr_Occurred())
        core_raise(&err);
    return rc;
}

/* Every result is the error of an argument, or that which Python is handling. */
static int return_error(struct mob_task *t, PyObject *error, unsigned returns)
{
    PyObject *type = NULL, *value = Py_XNewRef(error), *trace = NULL, *packed;
    int rc = 0;

    if (value == NULL) {
        PyErr_Fetch(&type, &value, &trace);
        PyErr_NormalizeException(&type, &value, &trace);
        if (trace != NULL)
            PyException_SetTraceback(value, trace);
    }
    packed = PyObject_CallFunctionObjArgs(pack_error, value, error != NULL ? Py_True : Py_False, NULL);
    Py_XDECREF(type);
    Py_XDECREF(value);
    Py_XDECREF(trace);
    mob_raised(t);
    for (unsigned i = 0; rc == 0 && i < returns; i++)
        rc = packed == NULL ? -1 : return_object(t, i, VALUE_ERROR, packed);
    Py_XDECREF(packed);
    return rc;
}

/* The exception is that the store of this node had no room: no value then, but the library's own error, after which the task is tried
 * elsewhere. */
static bool found_no_room(struct mob_error *ret_err)
{
    PyObject *type, *value, *trace, *words = NULL, *text = NULL;

    PyErr_Fetch(&type, &value, &trace);
    PyErr_NormalizeException(&type, &value, &trace);
    if (value != NULL && PyObject_HasAttrString(value, "_no_room_here") && (words = PyObject_Str(value)) != NULL)
        text = PyUnicode_AsUTF8String(words);
    Py_XDECREF(words);
    PyErr_Restore(type, value, trace);
    if (text == NULL)
        return false;
    PyErr_Clear();
    mob_fail(ret_err, MOB_NO_SPACE_HERE, "%s", PyBytes_AsString(text));
    ret_err->code = MOB_ERR_NO_SPACE;
    Py_DECREF(text);
    return true;
}

static bool prepared(void)
{
    PyObject *done = prepare != NULL ? PyObject_CallNoArgs(prepare) : Py_NewRef(Py_None);

    if (done != NULL)
        Py_CLEAR(prepare);
    Py_XDECREF(done);
    return done != NULL;
}

/* -1: the exception is set. */
static int print_as(PyObject *name)
{
    PyObject *bytes = PyUnicode_AsUTF8String(name);

    if (bytes == NULL)
        return -1;
    if (current != NULL)
        mob_task_set_name(current, PyBytes_AsString(bytes));
    Py_DECREF(bytes);
    return 0;
}

/* function_named(name): the name; it is that of what runs. A function's pickle calls it first, so that an error of the rest has a name. */
PyObject *core_function_named(PyObject *self, PyObject *name)
{
    PyObject *before = function_name;

    (void)self;
    if (print_as(name) < 0)
        return NULL;
    function_name = Py_NewRef(name);
    Py_XDECREF(before);
    return Py_NewRef(name);
}

/* The function of a call and its name; what it prints, and an error of its arguments, are told under that. */
static PyObject *begin(struct mob_task *t, struct mob_view *call, struct call_head *ret_head)
{
    PyObject *function, *name = NULL;
    struct value_layout l;
    struct mob_error err;

    if (mob_arg(t, 0, call, &err) < 0)
        return core_raise(&err);
    if (!value_layout_read(&l, call->data, call->size) || l.head.kind != VALUE_CALL) {
        PyErr_SetString(PyExc_ValueError, "the call is none that a Python program made");
        return NULL;
    }
    *ret_head = (struct call_head){ l.head.returns, { l.head.function[0], l.head.function[1] } };
    function = prepared() ? function_of(call, ret_head->function) : NULL;
    if (function != NULL && (name = core_function_named(NULL, PyTuple_GetItem(function, 1))) == NULL)
        Py_CLEAR(function);
    Py_XDECREF(name);
    return function;
}

/* Call the function of the task: a list of its results, or the generator of a stream. NULL: the exception, or *ret_error of an argument. */
static PyObject *call(struct mob_task *t, struct call_head *ret_head, PyObject **ret_error)
{
    struct mob_view view = { 0 };
    PyObject *function = begin(t, &view, ret_head), *arguments = NULL, *direct = NULL, *results = NULL;
    enum value_kind kind;

    if (function != NULL && (arguments = core_unpack_as(&view, false, &kind, NULL)) != NULL)
        direct = unpack_direct(t, ret_error);
    if (direct != NULL && *ret_error == NULL)
        results = PyObject_CallFunction(call_function, "OOOI", function, arguments, direct, ret_head->returns);
    Py_XDECREF(arguments);
    Py_XDECREF(function);
    Py_XDECREF(direct);
    return results;
}

/* A result that cannot be pickled is an error as any other. -1: *err, or an exception that cannot be packed. */
static int run_in_python(struct mob_task *t, struct mob_error *err)
{
    struct call_head head = { 1, { 0, 0 } };
    PyObject *error = NULL, *results = call(t, &head, &error);
    unsigned count = head.returns > 0 && head.returns < RETURNS_DYNAMIC ? head.returns : 1;
    int rc = results == NULL ? -1 : 0;

    if (rc == 0 && head.returns == RETURNS_STREAM) {
        if ((rc = yield_all(t, results)) == 0)
            rc = return_object(t, 0, VALUE_OBJECT, Py_None);
        count = rc == 0 ? 0 : 1;
    }
    for (unsigned i = 0; rc == 0 && i < count; i++)
        rc = return_object(t, i, VALUE_OBJECT, PyList_GetItem(results, (Py_ssize_t)i));
    if (rc < 0 && (error != NULL || !found_no_room(err)))
        rc = return_error(t, error, count);
    Py_XDECREF(results);
    Py_XDECREF(error);
    return rc;
}

static int run(struct mob_task *t, struct mob_error *err)
{
    int rc;

    PyEval_RestoreThread(thread);
    current = t;
    Py_CLEAR(function_name);
    rc = run_in_python(t, err);
    current = NULL;
    restore_descriptors();
    if (rc < 0 && PyErr_Occurred()) {   /* not even the error could be packed */
        PyErr_Print();
        mob_fail(err, 1, "the task's exception could not be pickled; its worker's log has it");
    }
    thread = PyEval_SaveThread();
    return rc;
}

void core_task_init(void)
{
    mob_register("python", run);
}

/* work(call_function, pack_error, prepare): this process is a worker; never returns. */
PyObject *core_work(PyObject *self, PyObject *const *args, Py_ssize_t count)
{
    struct mob_init_options o = { .size = sizeof o, .interrupts = 1, .stop = core_stop };
    struct mob_error err;

    (void)self;
    (void)count;
    call_function = Py_NewRef(args[0]);
    pack_error = Py_NewRef(args[1]);
    prepare = Py_NewRef(args[2]);
    if ((functions = PyDict_New()) == NULL)
        return NULL;
    for (int i = 0; i < 3; i++)
        copies[i] = fcntl(i, F_DUPFD_CLOEXEC, COPY_FD_MIN);
    core_era = 1;
    core_in_worker = true;
    thread = PyEval_SaveThread();
    mob_init(0, NULL, &o, &err);      /* ends the process, if it fails in a worker */
    PyEval_RestoreThread(thread);
    return core_raise(&err);            /* this is no worker: nobody said so in the environment */
}

/* Was the running task cancelled? */
PyObject *core_cancelled(PyObject *self, PyObject *unused)
{
    (void)self;
    (void)unused;
    return PyBool_FromLong(current != NULL && mob_cancelled(current));
}

/* set_name(name): what the running task prints is told under it. */
PyObject *core_set_name(PyObject *self, PyObject *name)
{
    (void)self;
    if (print_as(name) < 0)
        return NULL;
    Py_RETURN_NONE;
}

/* function_name(): of what runs; None: no function does. */
PyObject *core_function_name(PyObject *self, PyObject *unused)
{
    (void)self;
    (void)unused;
    return Py_NewRef(function_name != NULL ? function_name : Py_None);
}

/* What the running task knows of itself, as a dict; None: no task runs. */
PyObject *core_task_self(PyObject *self, PyObject *unused)
{
    struct mob_task_self s = { .size = sizeof s };
    struct mob_error err;
    PyObject *gpus, *i;

    (void)self;
    (void)unused;
    if (current == NULL)
        Py_RETURN_NONE;
    if (mob_task_self(current, &s, &err) < 0)
        return core_raise(&err);
    gpus = PyList_New(0);
    for (unsigned k = 0; gpus != NULL && k < s.gpu_count; k++) {
        i = PyLong_FromUnsignedLong(s.gpus[k]);
        if (i == NULL || PyList_Append(gpus, i) < 0)
            Py_CLEAR(gpus);
        Py_XDECREF(i);
    }
    return gpus == NULL ? NULL : Py_BuildValue("{sssssssisNss}", "task_id", s.id, "node_id", s.node, "ip", s.ip, "attempt", s.attempt,
                                               "gpu_ids", gpus, "resources", s.resources);
}
