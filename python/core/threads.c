/* SPDX-License-Identifier: Apache-2.0 */
/* threads.c -- how many threads libraries of linear algebra may start: they look at the environment when they are loaded, which in a worker
 * that was forked from a template was before anybody knew its first task. */
#include <dlfcn.h>
#include <link.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "core.h"

#define LIBRARIES_MAX 16

/* `functions`: (how many). `which`: of set_threads()'s numbers. */
static const struct {
    const char *library, *functions[4];
    unsigned which;
} pools[] = {
    { "openblas", { "openblas_set_num_threads", "openblas_set_num_threads64_", "scipy_openblas_set_num_threads",
                    "scipy_openblas_set_num_threads64_" }, 1 },
    { "libmkl_rt", { "MKL_Set_Num_Threads" }, 2 },
    { "libgomp", { "omp_set_num_threads" }, 0 },
    { "libomp", { "omp_set_num_threads" }, 0 },
    { "libiomp", { "omp_set_num_threads" }, 0 },
};

struct found {
    unsigned count;
    struct { char *path; unsigned pool; } of[LIBRARIES_MAX];
};

static int note_library(struct dl_phdr_info *info, size_t size, void *arg)
{
    const char *name = strrchr(info->dlpi_name, '/');
    struct found *found = arg;

    (void)size;
    for (unsigned i = 0; name != NULL && i < sizeof pools / sizeof *pools; i++)
        if (found->count < LIBRARIES_MAX && strstr(name, pools[i].library) != NULL) {
            found->of[found->count].path = strdup(info->dlpi_name);
            found->of[found->count++].pool = i;
        }
    return 0;
}

static void tell(const char *path, unsigned pool, int count)
{
    void *library = path != NULL ? dlopen(path, RTLD_LAZY | RTLD_NOLOAD) : NULL;

    if (library == NULL)
        return;
    for (size_t i = 0; i < 4 && pools[pool].functions[i] != NULL; i++) {
        void (*set)(int) = (void (*)(int))(uintptr_t)dlsym(library, pools[pool].functions[i]);

        if (set != NULL)
            set(count);
    }
    dlclose(library);
}

/* set_threads(openmp, openblas, mkl): of what is loaded. */
PyObject *core_set_threads(PyObject *self, PyObject *args)
{
    struct found found = { 0 };
    int numbers[3];

    (void)self;
    if (!PyArg_ParseTuple(args, "iii:set_threads", &numbers[0], &numbers[1], &numbers[2]))
        return NULL;
    dl_iterate_phdr(note_library, &found);
    for (unsigned i = 0; i < found.count; i++) {
        tell(found.of[i].path, found.of[i].pool, numbers[pools[found.of[i].pool].which]);
        free(found.of[i].path);
    }
    Py_RETURN_NONE;
}
