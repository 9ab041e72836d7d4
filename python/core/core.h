/* SPDX-License-Identifier: Apache-2.0 */
/* core.h -- the extension mobula._core: libmobula for Python, in the limited API of 3.11, so that one build serves later versions.
 *
 *   module.c    init and shutdown, the list of functions     ref.c    ObjectRef's base: a counted reference
 *   value.c     how an object stands in a value's bytes      view.c   bytes of a value, as a buffer that keeps them alive
 *   layout.c    where in them what is, without Python
 *   call.c      options of a function, submitting            get.c    get, put, wait, cancel
 *   task.c      the worker's half: run a task                error.c  a C error as an exception
 *   waitset.c   references that one thread waits for        template.c   fork workers
 *   threads.c   of libraries that were loaded before         items.c  a stream's reader
 *
 * Calls that wait release the GIL. What Python objects hold of the library counts for one `era`, from init to shutdown; later it is
 * dropped without a call. */
#ifndef MOBULA_PYTHON_CORE_H
#define MOBULA_PYTHON_CORE_H

#define Py_LIMITED_API 0x030B0000
#define PY_SSIZE_T_CLEAN
#include <Python.h>

#include <stdbool.h>

#include "layout.h"
#include "mobula.h"

#define DLL_LOCAL __attribute__((visibility("hidden")))

/* From init to shutdown; 0: not yet. */
extern DLL_LOCAL uint64_t core_era;
extern DLL_LOCAL bool core_in_worker;
/* What Python gave to setup(): the classes and functions that C calls. */
struct core_python {
    PyObject *ref_type;                 /* ObjectRef, a subclass of Ref */
    PyObject *make_error;               /* (code, user_code, pid, attempt, function, node, text, deaths) -> exception */
    PyObject *dumps;                    /* (object, is it the arguments of a call) -> ([pickle's pieces], [buffers]) of what is not plain */
    PyObject *plain_dumps, *loads;      /* of pickle */
    PyObject *raise_value;              /* of a value that is an error: (object) -> exception to raise */
    PyObject *items_type;               /* ObjectRefGenerator, a subclass of Items */
    PyObject *unhandled;                /* (exception) of a task, which nobody has seen */
};
extern DLL_LOCAL struct core_python core_python;

/* -- error.c: each sets the exception and returns NULL ----------------------------------------------------------------------- */

DLL_LOCAL PyObject *core_raise(const struct mob_error *err);
/* That of a get of these, with the death certificates that it has. That its time is over is no other's, and no other's is its own. */
DLL_LOCAL PyObject *core_raise_of(const struct mob_error *err, struct mob_ref *const *refs, Py_ssize_t count);
/* The same without any. */
DLL_LOCAL PyObject *core_raise_late(const struct mob_error *err);

/* -- ref.c ------------------------------------------------------------------------------------------------------------------- */

struct ref {
    PyObject_HEAD
    struct mob_ref *ref;
    uint64_t era;
    bool unseen;                        /* a driver's task's result, for which nobody has waited yet, and which nobody else has */
};
extern DLL_LOCAL PyTypeObject *core_ref_type;
DLL_LOCAL int core_ref_init(PyObject *module);
/* Takes over the reference. */
DLL_LOCAL PyObject *core_ref_new(struct mob_ref *ref);
DLL_LOCAL bool core_is_ref(PyObject *o);
/* NULL: of an ended session; the exception is set. */
DLL_LOCAL struct mob_ref *core_ref_of(PyObject *o);
/* The same for who will see an error of its, or gives it to somebody who will. */
DLL_LOCAL struct mob_ref *core_ref_seen(PyObject *o);
/* refs[i] of each of a list or tuple, in memory of the caller's to PyMem_Free. NULL and the exception: one is no reference, but of a type
 * that stands for %S in `words`. */
DLL_LOCAL struct mob_ref **core_refs_of(PyObject *list, PyObject *error, const char *words, Py_ssize_t *ret_count);

/* -- view.c ------------------------------------------------------------------------------------------------------------------ */

/* A buffer of a value's bytes; released with the last object that uses it. */
DLL_LOCAL int core_view_init(PyObject *module);
/* Takes over the view. */
DLL_LOCAL PyObject *core_view_new(const struct mob_view *view);
/* A part of the bytes of `owner`, any object that keeps them. */
DLL_LOCAL PyObject *core_part_new(PyObject *owner, const void *data, size_t size);

/* -- value.c ----------------------------------------------------------------------------------------------------------------- */

#define RETURNS_STREAM 65535u           /* in the place of how many: what it yields is read while it runs */
#define RETURNS_DYNAMIC 65534u          /* references to what it yields are in one result */

struct call_head {
    unsigned returns;
    uint64_t function[2];               /* which: the hash of its pickle */
};

/* A Python object, pickled: what its value will hold. */
struct packing {
    enum value_kind kind;
    struct call_head call;              /* of a VALUE_CALL; the caller's to fill in before it is written */
    PyObject *refs;                     /* a list of the references inside; may be NULL */
    Py_buffer *parts, one;              /* the pickle's pieces, none for None, and behind them the buffers; `one` if there is just one */
    Py_ssize_t part_count, pieces;
    size_t pickle_size;
    struct mob_ref **carried;           /* of refs, and before them `first` */
    size_t carried_count;
    size_t size;                        /* of the value */
};
/* `first`: a reference that is carried before the others; NULL: none. -1: the exception is set. */
DLL_LOCAL int core_pack(struct packing *p, enum value_kind kind, PyObject *object, struct mob_ref *first);
DLL_LOCAL void core_pack_write(const struct packing *p, void *to);
DLL_LOCAL void core_pack_fini(struct packing *p);
/* The object of a value. `view` is consumed if `owned`, and else copied from, but not kept: an argument's. An error's value raises. */
DLL_LOCAL PyObject *core_unpack(struct mob_view *view, bool owned);
/* The same, for an error's value the exception as an object; ret_kind says which. */
DLL_LOCAL PyObject *core_unpack_as(struct mob_view *view, bool owned, enum value_kind *ret_kind, struct call_head *ret_call);
/* reduce() of a Ref while it is pickled: its place. -1: nothing is being packed, and the exception. */
DLL_LOCAL Py_ssize_t core_pack_ref(PyObject *ref);
DLL_LOCAL PyObject *core_carried(PyObject *self, PyObject *index);

/* -- the functions ----------------------------------------------------------------------------------------------------------- */

DLL_LOCAL int core_fn_init(PyObject *module);
DLL_LOCAL int core_waitset_init(PyObject *module);
DLL_LOCAL int core_items_init(PyObject *module);
/* Takes over the stream. */
DLL_LOCAL PyObject *core_items_new(struct mob_items *items);
DLL_LOCAL void core_task_init(void);
DLL_LOCAL PyObject *core_ship(PyObject *self, PyObject *const *args, Py_ssize_t count);
DLL_LOCAL PyObject *core_call(PyObject *self, PyObject *const *args, Py_ssize_t count);
/* A driver waits in pieces, and looks for Ctrl-C between them: the next one of *left_ms (negative: for ever), which it is taken from.
 * True: it is the last. */
DLL_LOCAL bool core_piece(int64_t *left_ms, int64_t *ret_ms);
DLL_LOCAL PyObject *core_get(PyObject *self, PyObject *const *args, Py_ssize_t count);
DLL_LOCAL PyObject *core_put(PyObject *self, PyObject *object);
/* Room in the store for what is packed; Ctrl-C, or the cancel of the task, is seen while it waits. NULL: the exception is set. */
DLL_LOCAL struct mob_buffer *core_create(const struct packing *p);
/* For struct mob_init_options: has SIGINT come, and nobody handled it yet? */
DLL_LOCAL int core_stop(void);
DLL_LOCAL PyObject *core_wait(PyObject *self, PyObject *const *args, Py_ssize_t count);
DLL_LOCAL PyObject *core_cancel(PyObject *self, PyObject *const *args, Py_ssize_t count);
DLL_LOCAL PyObject *core_work(PyObject *self, PyObject *const *args, Py_ssize_t count);
DLL_LOCAL PyObject *core_cancelled(PyObject *self, PyObject *unused);
DLL_LOCAL PyObject *core_function_named(PyObject *self, PyObject *name);
DLL_LOCAL PyObject *core_function_name(PyObject *self, PyObject *unused);
DLL_LOCAL PyObject *core_set_name(PyObject *self, PyObject *name);
DLL_LOCAL PyObject *core_task_self(PyObject *self, PyObject *unused);
DLL_LOCAL PyObject *core_template_say(PyObject *self, PyObject *args);
DLL_LOCAL PyObject *core_template_serve(PyObject *self, PyObject *args);
DLL_LOCAL PyObject *core_set_threads(PyObject *self, PyObject *args);

#endif
