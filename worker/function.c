/* SPDX-License-Identifier: Apache-2.0 */
/* function.c -- mob_register(): runs in constructors, one after the other, before main(); after that the table is only read. */
#include "worker/function.h"

#include <dlfcn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/map.h"
#include "common/mem.h"

static struct mob_map functions;

/* "program(+0x1234)": addr2line turns it into a line. */
static void place_of(mob_task_fn *fn, char *text, size_t size)
{
    Dl_info info;
    void *address;

    memcpy(&address, &fn, sizeof address);
    if (dladdr(address, &info) != 0 && info.dli_fname != NULL)
        snprintf(text, size, "%s(+0x%zx)", info.dli_fname, (size_t)((char *)address - (char *)info.dli_fbase));
    else
        snprintf(text, size, "%p", address);
}

static _Noreturn void refuse(const struct mob_function *old, const char *name, mob_task_fn *fn)
{
    char first[512], second[512];

    place_of(old->run, first, sizeof first);
    place_of(fn, second, sizeof second);
    fprintf(stderr, "mobula: two task functions are named alike: \"%s\" at %s and \"%s\" at %s; rename one\n", old->name, first,
            name, second);
    exit(2);
}

void mob_register(const char *name, mob_task_fn *fn)
{
    uint64_t hash = mob_name_hash(name);
    struct mob_function *f = mob_map_get(&functions, hash);

    if (f != NULL && (f->run != fn || strcmp(f->name, name) != 0))
        refuse(f, name, fn);
    if (f != NULL)
        return;
    f = mob_new(struct mob_function);
    *f = (struct mob_function){ .name = mob_strdup(name), .hash = hash, .run = fn };
    mob_map_set(&functions, hash, f);
}

const struct mob_function *mob_function_find(uint64_t hash)
{
    return mob_map_get(&functions, hash);
}

size_t mob_function_count(void)
{
    return functions.count;
}
