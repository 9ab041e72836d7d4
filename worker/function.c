/* SPDX-License-Identifier: Apache-2.0 */
/* function.c -- what MOB_TASK() registers: in constructors, one after the other, before main(); after that the table is only read. */
#include "worker/function.h"

#include <dlfcn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/map.h"
#include "common/mem.h"

static struct mob_map functions;

/* "file.c:12"; if nobody told it "program(+0x1234)": addr2line turns it into a line. */
static void place_of(const struct mob_function *f, char *text, size_t size)
{
    Dl_info info;
    void *address;

    memcpy(&address, &f->run, sizeof address);
    if (f->file != NULL)
        snprintf(text, size, "%s:%d", f->file, f->line);
    else if (dladdr(address, &info) != 0 && info.dli_fname != NULL)
        snprintf(text, size, "%s(+0x%zx)", info.dli_fname, (size_t)((char *)address - (char *)info.dli_fbase));
    else
        snprintf(text, size, "%p", address);
}

static _Noreturn void refuse(const struct mob_function *old, const struct mob_function *other)
{
    char first[512], second[512];

    place_of(old, first, sizeof first);
    place_of(other, second, sizeof second);
    fprintf(stderr, "mobula: two task functions are named alike: \"%s\" at %s and \"%s\" at %s; rename one\n", old->name, first,
            other->name, second);
    exit(2);
}

void mob_register_at(const char *name, mob_task_fn *fn, const char *file, int line)
{
    struct mob_function is = { .name = name, .hash = mob_name_hash(name), .run = fn, .file = file, .line = line };
    struct mob_function *f = mob_map_get(&functions, is.hash);

    if (f != NULL && (f->run != fn || strcmp(f->name, name) != 0))
        refuse(f, &is);
    if (f != NULL)
        return;
    f = mob_new(struct mob_function);
    *f = is;
    f->name = mob_strdup(name);
    mob_map_set(&functions, f->hash, f);
}

void mob_register(const char *name, mob_task_fn *fn)
{
    mob_register_at(name, fn, NULL, 0);
}

const struct mob_function *mob_function_find(uint64_t hash)
{
    return mob_map_get(&functions, hash);
}

size_t mob_function_count(void)
{
    return functions.count;
}
