/* SPDX-License-Identifier: Apache-2.0 */
/* error.c -- an error of the library as an exception: which class, decides Python (mobula/exceptions.py). */
#include <string.h>

#include "core.h"

static PyObject *raise(const struct mob_error *err, int code)
{
    /* What a worker printed last may stand in it: any bytes. */
    PyObject *text = PyUnicode_DecodeUTF8(err->text, (Py_ssize_t)strlen(err->text), "replace");
    PyObject *e = text == NULL ? NULL : PyObject_CallFunction(core_python.make_error, "iiiissN", code, (int)err->user_code,
                                                              (int)err->pid, (int)err->attempt, err->function, err->node, text);

    if (e != NULL)
        PyErr_SetObject((PyObject *)Py_TYPE(e), e);
    Py_XDECREF(e);
    return NULL;
}

PyObject *core_raise(const struct mob_error *err)
{
    return raise(err, (int)err->code);
}

PyObject *core_raise_late(const struct mob_error *err)
{
    return raise(err, err->code == MOB_ERR_TIMEOUT ? MOB_OK : (int)err->code);
}
