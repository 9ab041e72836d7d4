/* SPDX-License-Identifier: Apache-2.0 */
/* helpers.c -- main() of the system tests' driver, and what its scenes are made of. */
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "tasks.h"

#define PATIENCE_MS 20000
#define NODES_MAX 16

void fail_at(const char *file, int line, const char *what, const struct mob_error *err)
{
    fprintf(stderr, "%s:%d: %s", file, line, what);
    if (err != NULL)
        fprintf(stderr, ": code %d, user code %d, function '%s', node '%s', pid %d, attempt %d: %s", err->code, err->user_code,
                err->function, err->node, err->pid, err->attempt, err->text);
    fprintf(stderr, "\n");
    exit(1);
}

/* -- calls ------------------------------------------------------------------------------------------------------------------- */

struct mob_ref *call_with(const char *function, const struct mob_options *options, const struct mob_value *args, size_t count)
{
    struct mob_error err;
    struct mob_ref *ref = NULL;
    struct mob_fn *fn = mob_fn(function, options, &err);

    if (fn == NULL || mob_call(fn, args, count, &ref, &err) < 0)
        fail_at(__FILE__, __LINE__, function, &err);
    mob_fn_destroy(fn);
    return ref;
}

struct mob_ref *call(const char *function, const struct mob_value *args, size_t count)
{
    return call_with(function, NULL, args, count);
}

struct mob_ref *call_u64(const char *function, uint64_t word)
{
    return call(function, &MOB_BYTES(&word, sizeof word), 1);
}

struct mob_ref *call_gate(const char *function, const struct mob_options *options, const char *folder, const char *name)
{
    struct gate gate = { 0 };

    snprintf(gate.folder, sizeof gate.folder, "%s", folder);
    snprintf(gate.name, sizeof gate.name, "%s", name);
    return call_with(function, options, &MOB_BYTES(&gate, sizeof gate), 1);
}

uint64_t take_u64(struct mob_ref *ref)
{
    struct mob_error err;
    uint64_t word = 0;

    CHECK_OK(mob_get_copy(ref, MOB_FOREVER, &word, sizeof word, &err), &err);
    mob_ref_drop(ref);
    return word;
}

void take_witness(struct mob_ref *ref, struct witness *ret)
{
    struct mob_error err;

    CHECK_OK(mob_get_copy(ref, MOB_FOREVER, ret, sizeof *ret, &err), &err);
    mob_ref_drop(ref);
}

void refused(struct mob_ref *ref, struct mob_error *ret_err)
{
    struct mob_view view;

    CHECK(mob_get(ref, MOB_FOREVER, &view, ret_err) < 0);
}

void node_at(const char *ip, char *ret_node, size_t size)
{
    struct mob_node nodes[NODES_MAX];
    size_t count = NODES_MAX, length = strlen(ip);
    struct mob_error err;

    for (size_t i = 0; i < NODES_MAX; i++)
        nodes[i].size = sizeof nodes[i];
    CHECK_OK(mob_nodes(nodes, &count, &err), &err);
    for (size_t i = 0; i < count && i < NODES_MAX; i++)
        if (nodes[i].alive && strncmp(nodes[i].address, ip, length) == 0 && strspn(nodes[i].address + length, "0123456789.") == 0) {
            snprintf(ret_node, size, "%s", nodes[i].id);
            return;
        }
    fail_at(__FILE__, __LINE__, ip, NULL);
}

/* -- files, time, bytes ------------------------------------------------------------------------------------------------------ */

static int open_file(const char *folder, const char *name, const char *suffix, int flags)
{
    char path[256];

    snprintf(path, sizeof path, "%s/%s%s", folder, name, suffix);
    return open(path, flags | O_CLOEXEC, 0666);
}

bool file_there(const char *folder, const char *name, const char *suffix)
{
    int fd = open_file(folder, name, suffix, O_PATH);

    if (fd >= 0)
        close(fd);
    return fd >= 0;
}

void make_file(const char *folder, const char *name, const char *suffix)
{
    int fd = open_file(folder, name, suffix, O_CREAT | O_WRONLY);

    CHECK(fd >= 0);
    close(fd);
}

void append_line(const char *folder, const char *name, const char *line)
{
    int fd = open_file(folder, name, "", O_CREAT | O_WRONLY | O_APPEND);

    CHECK(fd >= 0);
    CHECK(dprintf(fd, "%s\n", line) > 0);
    close(fd);
}

int count_lines(const char *folder, const char *name)
{
    int fd = open_file(folder, name, "", O_RDONLY), lines = 0;
    FILE *f = fd < 0 ? NULL : fdopen(fd, "r");
    int c;

    if (f == NULL)
        return 0;
    while ((c = getc(f)) != EOF)
        lines += c == '\n';
    fclose(f);
    return lines;
}

void await_file(const char *folder, const char *name, const char *suffix)
{
    for (int waited = 0; !file_there(folder, name, suffix); waited += 5) {
        if (waited > PATIENCE_MS) {
            fprintf(stderr, "%s/%s%s did not appear\n", folder, name, suffix);
            exit(1);
        }
        pause_ms(5);
    }
}

void pause_ms(unsigned ms)
{
    struct timespec pause = { .tv_sec = ms / 1000, .tv_nsec = (long)(ms % 1000) * 1000000 };

    while (nanosleep(&pause, &pause) < 0)
        ;
}

double wall_now(void)
{
    struct timespec t;

    clock_gettime(CLOCK_REALTIME, &t);
    return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

uint64_t checksum_of(const void *data, size_t size)
{
    const unsigned char *bytes = data;
    uint64_t hash = UINT64_C(14695981039346656037);

    for (size_t i = 0; i < size; i++)
        hash = (hash ^ bytes[i]) * UINT64_C(1099511628211);
    return hash;
}

void fill_pattern(void *data, size_t size, uint64_t seed)
{
    unsigned char *bytes = data;
    uint64_t x = seed * 2 + 1;

    for (size_t i = 0; i < size; i++) {
        x = x * UINT64_C(6364136223846793005) + UINT64_C(1442695040888963407);
        bytes[i] = (unsigned char)(x >> 56);
    }
}

/* -- main -------------------------------------------------------------------------------------------------------------------- */

int main(int argc, char **argv)
{
    const struct scene *tables[] = { scenes_calls, scenes_failures, scenes_places, scenes_cancel, scenes_deaths, scenes_refs, scenes_taken,
                                     scenes_transfer, scenes_streams, scenes_memory };
    const char *resources = getenv("MOBULA_ADDRESS") == NULL ? getenv("TASKS_PRIVATE") : NULL;
    struct mob_init_options options = { .size = sizeof options, .resources = resources, .name = "tasks" };
    struct mob_error err;

    CHECK_OK(mob_init(argc, argv, &options, &err), &err);
    for (size_t i = 0; i < sizeof tables / sizeof *tables; i++)
        for (const struct scene *s = tables[i]; s->name != NULL; s++)
            if (argc > 1 && strcmp(argv[1], s->name) == 0) {
                int status = s->run(argv + 2);
                mob_shutdown();
                printf("%s: ok\n", s->name);
                return status;
            }
    for (size_t i = 0; i < sizeof tables / sizeof *tables; i++)
        for (const struct scene *s = tables[i]; s->name != NULL; s++)
            fprintf(stderr, "usage: tasks %s %s\n", s->name, s->words);
    return 2;
}
