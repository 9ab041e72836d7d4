/* SPDX-License-Identifier: Apache-2.0 */
#include "tally.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

double seconds_now(void)
{
    struct timespec t;

    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

int example_options(int argc, char **argv, int usual, int quick, struct mob_init_options *ret)
{
    int size = usual;

    *ret = (struct mob_init_options){ .size = sizeof *ret };
    for (int i = 1; i < argc; i++) {
        if (strcmp(argv[i], "--quick") == 0) {
            size = quick;
        } else if (strncmp(argv[i], "--size=", 7) == 0 && atoi(argv[i] + 7) > 0) {
            size = atoi(argv[i] + 7);
        } else if (strncmp(argv[i], "--address=", 10) == 0) {
            ret->address = argv[i] + 10;
        } else {
            fprintf(stderr, "usage: %s [--quick | --size=N] [--address=HOST:PORT]\n", argv[0]);
            exit(2);
        }
    }
    return size;
}

void tally_here(const struct mob_task *t, char host[64])
{
    struct mob_task_self self = { .size = sizeof self };

    if (mob_task_self(t, &self, NULL) == 0)
        snprintf(host, 64, "%s", self.ip);
    else
        snprintf(host, 64, "?");
}

static void add(struct tally *y, const char *host, int tasks)
{
    int i = 0;

    while (i < y->count && strcmp(y->hosts[i], host) != 0)
        i++;
    if (i == 64)
        return;
    if (i == y->count)
        snprintf(y->hosts[y->count++], sizeof y->hosts[0], "%.63s", host);
    y->tasks[i] += tasks;
}

void tally_add(struct tally *y, const char *host)
{
    add(y, host, 1);
}

void tally_merge(struct tally *y, const struct tally *more)
{
    for (int i = 0; i < more->count; i++)
        add(y, more->hosts[i], more->tasks[i]);
}

int cluster_cpus(void)
{
    char total[1024];
    const char *cpu;

    if (mob_resources(total, NULL, sizeof total, NULL) < 0 || (cpu = strstr(total, "CPU=")) == NULL || atoi(cpu + 4) < 1)
        return 1;
    return atoi(cpu + 4);
}

void tally_print_hosts(const struct tally *y)
{
    printf("  tasks by host:");
    for (int i = 0; i < y->count; i++)
        printf("  %s %d", y->hosts[i], y->tasks[i]);
    printf("\n");
}

static int warm(struct mob_task *t, struct mob_error *err)
{
    (void)t, (void)err;
    nanosleep(&(struct timespec){ .tv_nsec = 50000000 }, NULL);
    return 0;
}
MOB_TASK(warm)

void cluster_warm(int cpus)
{
    struct mob_ref **refs = calloc((size_t)cpus, sizeof *refs);
    unsigned char *ready = calloc((size_t)cpus, 1);
    double start = seconds_now();
    struct mob_error err;
    struct mob_fn *fn = mob_fn("warm", NULL, &err);

    if (refs == NULL || ready == NULL || fn == NULL)
        fail("warm", &err);
    for (int i = 0; i < cpus; i++)
        if (mob_call(fn, NULL, 0, &refs[i], &err) < 0)
            fail("warm", &err);
    if (mob_wait(refs, (size_t)cpus, (size_t)cpus, MOB_FOREVER, ready, &err) < 0)
        fail("warm", &err);
    for (int i = 0; i < cpus; i++)
        mob_ref_drop(refs[i]);
    mob_fn_destroy(fn);
    free(refs);
    free(ready);
    printf("%d workers were up after %.2f s\n", cpus, seconds_now() - start);
}

void tally_print(const struct tally *y, double serial, double distributed, int cpus)
{
    long cores = sysconf(_SC_NPROCESSORS_ONLN);
    double possible = cpus < cores ? (double)cpus : (double)cores;

    if (serial > 0)
        printf("  serial %.2f s   distributed %.2f s   %.2f times of %.0f possible (%d CPUs in the cluster, %ld real cores)\n",
               serial, distributed, serial / distributed, possible, cpus, cores);
    else
        printf("  distributed %.2f s (%d CPUs in the cluster, %ld real cores)\n", distributed, cpus, cores);
    tally_print_hosts(y);
}

void fail(const char *who, const struct mob_error *err)
{
    fprintf(stderr, "%s: %s\n", who, err->text);
    exit(1);
}
