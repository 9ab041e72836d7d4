/* SPDX-License-Identifier: Apache-2.0 */
/* module.c -- mobula._core: setup, init and shutdown, questions to the head, and the list of functions. */
#include <stddef.h>
#include <stdlib.h>

#include "core.h"

uint64_t core_era;
bool core_in_worker;
struct core_python core_python;
static uint64_t sessions;

/* setup(ref_type, make_error, dumps, plain_dumps, loads, raise_value, items_type, unhandled): what C calls in Python. Once, when
 * mobula is imported. */
static PyObject *setup(PyObject *self, PyObject *const *args, Py_ssize_t count)
{
    (void)self;
    (void)count;
    core_python = (struct core_python){ Py_NewRef(args[0]), Py_NewRef(args[1]), Py_NewRef(args[2]), Py_NewRef(args[3]), Py_NewRef(args[4]),
                                        Py_NewRef(args[5]), Py_NewRef(args[6]), Py_NewRef(args[7]) };
    Py_RETURN_NONE;
}

/* init(address, token_file, resources, name, object_store_bytes, quiet, program, fold in ms, expressions not to fold, and to leave out) */
static PyObject *init(PyObject *self, PyObject *args)
{
    struct mob_init_options o = { .size = sizeof o, .stop = core_stop };
    struct mob_error err;
    Py_ssize_t size;
    long long bytes;
    int rc;

    (void)self;
    if (!PyArg_ParseTuple(args, "zzzzLpy#izz:init", &o.address, &o.token_file, &o.resources, &o.name, &bytes, &o.quiet, &o.program, &size,
                          &o.fold_ms, &o.fold_not, &o.fold_away))
        return NULL;
    o.object_store_bytes = bytes;
    o.program_size = (size_t)size;
    Py_BEGIN_ALLOW_THREADS
    rc = mob_init(0, NULL, &o, &err);
    Py_END_ALLOW_THREADS
    if (rc < 0)
        return core_raise(&err);
    core_era = ++sessions;
    Py_RETURN_NONE;
}

static PyObject *shut_down(PyObject *self, PyObject *unused)
{
    (void)self;
    (void)unused;
    core_era = 0;
    Py_BEGIN_ALLOW_THREADS
    mob_shutdown();
    Py_END_ALLOW_THREADS
    Py_RETURN_NONE;
}

/* ask(question, argument, timeout in ms): the head's answer, JSON. */
static PyObject *ask(PyObject *self, PyObject *args)
{
    const char *question, *argument;
    PyObject *answer = NULL;
    struct mob_error err;
    long long ms;
    char *text;

    (void)self;
    if (!PyArg_ParseTuple(args, "ssL:ask", &question, &argument, &ms))
        return NULL;
    Py_BEGIN_ALLOW_THREADS
    text = mob_ask(question, argument, ms, &err);
    Py_END_ALLOW_THREADS
    answer = text == NULL ? core_raise(&err) : PyUnicode_FromString(text);
    free(text);
    return answer;
}

/* process(): what this one is, as a dict. */
static PyObject *process(PyObject *self, PyObject *unused)
{
    struct mob_self s = { .size = sizeof s };
    struct mob_error err;

    (void)self;
    (void)unused;
    if (mob_self(&s, &err) < 0)
        return core_raise(&err);
    return Py_BuildValue("{ssssssssss}", "process", s.process, "node", s.node, "job", s.job, "ip", s.ip, "head", s.head);
}

/* wait_nodes(count, timeout in ms) */
static PyObject *wait_nodes(PyObject *self, PyObject *args)
{
    struct mob_error err;
    Py_ssize_t count;
    long long ms;
    int rc;

    (void)self;
    if (!PyArg_ParseTuple(args, "nL:wait_nodes", &count, &ms))
        return NULL;
    Py_BEGIN_ALLOW_THREADS
    rc = mob_wait_nodes((size_t)count, ms, &err);
    Py_END_ALLOW_THREADS
    if (rc < 0)
        return core_raise(&err);
    Py_RETURN_NONE;
}

#define FAST(f) ((PyCFunction)(void (*)(void))(f))

static PyMethodDef functions[] = {
    { "setup", FAST(setup), METH_FASTCALL, NULL },
    { "init", init, METH_VARARGS, NULL },
    { "shutdown", shut_down, METH_NOARGS, NULL },
    { "ship", FAST(core_ship), METH_FASTCALL, NULL },
    { "call", FAST(core_call), METH_FASTCALL, NULL },
    { "get", FAST(core_get), METH_FASTCALL, NULL },
    { "put", core_put, METH_O, NULL },
    { "wait", FAST(core_wait), METH_FASTCALL, NULL },
    { "cancel", FAST(core_cancel), METH_FASTCALL, NULL },
    { "work", FAST(core_work), METH_FASTCALL, NULL },
    { "cancelled", core_cancelled, METH_NOARGS, NULL },
    { "function_named", core_function_named, METH_O, NULL },
    { "function_name", core_function_name, METH_NOARGS, NULL },
    { "set_name", core_set_name, METH_O, NULL },
    { "task_self", core_task_self, METH_NOARGS, NULL },
    { "template_say", core_template_say, METH_VARARGS, NULL },
    { "template_serve", core_template_serve, METH_VARARGS, NULL },
    { "set_threads", core_set_threads, METH_VARARGS, NULL },
    { "ask", ask, METH_VARARGS, NULL },
    { "process", process, METH_NOARGS, NULL },
    { "wait_nodes", wait_nodes, METH_VARARGS, NULL },
    { "_carried", core_carried, METH_O, NULL },
    { NULL, NULL, 0, NULL },
};

static struct PyModuleDef definition = {
    PyModuleDef_HEAD_INIT, .m_name = "mobula._core", .m_doc = "libmobula for Python; use mobula.", .m_size = -1, .m_methods = functions,
};

PyMODINIT_FUNC PyInit__core(void)
{
    PyObject *module = PyModule_Create(&definition);

    if (module == NULL || core_ref_init(module) < 0 || core_view_init(module) < 0 || core_fn_init(module) < 0
        || core_waitset_init(module) < 0 || core_items_init(module) < 0
        || PyModule_AddStringConstant(module, "version", mob_version()) < 0
        || PyModule_AddIntConstant(module, "STREAM", RETURNS_STREAM) < 0
        || PyModule_AddIntConstant(module, "DYNAMIC", RETURNS_DYNAMIC) < 0) {
        Py_XDECREF(module);
        return NULL;
    }
    core_task_init();
    return module;
}
