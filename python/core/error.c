/* SPDX-License-Identifier: Apache-2.0 */
/* error.c -- an error of the library as an exception: which class, decides Python (mobula/exceptions.py). */
#include <string.h>

#include "core.h"

/* What a task has printed may be anything. */
static PyObject *words(const char *text)
{
    return PyUnicode_DecodeUTF8(text, (Py_ssize_t)strlen(text), "replace");
}

/* Steals deaths. */
static PyObject *raise(const struct mob_error *err, int code, PyObject *deaths)
{
    PyObject *e = deaths == NULL ? NULL
        : PyObject_CallFunction(core_python.make_error, "iiiiNNNN", code, (int)err->user_code, (int)err->pid, (int)err->attempt,
                                words(err->function), words(err->node), words(err->text), deaths);

    if (e != NULL)
        PyErr_SetObject((PyObject *)Py_TYPE(e), e);
    Py_XDECREF(e);
    return NULL;
}

PyObject *core_raise(const struct mob_error *err)
{
    return raise(err, (int)err->code, PyList_New(0));
}

PyObject *core_raise_late(const struct mob_error *err)
{
    return raise(err, err->code == MOB_ERR_TIMEOUT ? MOB_OK : (int)err->code, PyList_New(0));
}

/* In the order of the fields of exceptions.Death. */
static PyObject *death_new(const struct mob_death *d)
{
    return Py_BuildValue("(NiNNNNiiiLddNN)", words(mob_killed_by_name(d->killed_by)), (int)d->attempt, words(d->node), words(d->ip),
                         words(d->host), words(d->worker), (int)d->pid, (int)d->signal, (int)d->exit_code, (long long)d->peak_memory,
                         (double)d->cpu_ns / 1e9, (double)d->lived_ns / 1e9, words(d->core), words(d->last_lines));
}

/* Those of ref's error, the last one last. */
static PyObject *deaths_of(const struct mob_ref *ref)
{
    struct mob_death d = { .size = sizeof d };
    PyObject *list = PyList_New(0);

    for (size_t back = 0; list != NULL && mob_death(ref, back, &d, NULL) == 1; back++) {
        PyObject *one = death_new(&d);

        if (one == NULL || PyList_Insert(list, 0, one) < 0)
            Py_CLEAR(list);
        Py_XDECREF(one);
    }
    return list;
}

PyObject *core_raise_of(const struct mob_error *err, struct mob_ref *const *refs, Py_ssize_t count)
{
    struct mob_death d = { .size = sizeof d };

    for (Py_ssize_t i = 0; err->code != MOB_ERR_TIMEOUT && i < count; i++)
        if (mob_death(refs[i], 0, &d, NULL) == 1 && d.attempt == err->attempt && d.pid == err->pid)
            return raise(err, (int)err->code, deaths_of(refs[i]));
    return core_raise_late(err);
}
