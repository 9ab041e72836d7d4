/* SPDX-License-Identifier: Apache-2.0 */
/* tasks.h -- what the scenes of the system tests' driver share: helpers that end the program with a line when something is not as it
 * must be. */
#ifndef TESTS_SYSTEM_TASKS_H
#define TESTS_SYSTEM_TASKS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <mobula.h>

/* What a task says of where and with what it ran. */
struct witness {
    char id[64], node[40], ip[64], name[64], resources[256], gpus[64], visible[64], program[256];
    int pid, attempt;
    double from, to;                    /* seconds of the wall clock, of a task that held something */
};

/* A meeting point of driver and tasks: a folder, and the task's name in it. The task adds a line to the file NAME at each start, makes
 * "NAME.started" and, when it is told to stop, "NAME.cancelled"; it ends when the file "open" is there. */
struct gate {
    char folder[128], name[32];
};

struct scene {
    const char *name, *words;
    int (*run)(char **words);           /* returns 0; ends the program with fail_at() */
};
extern const struct scene scenes_calls[], scenes_failures[], scenes_places[], scenes_cancel[], scenes_deaths[], scenes_refs[];
extern const struct scene scenes_taken[], scenes_transfer[], scenes_streams[], scenes_memory[];

_Noreturn void fail_at(const char *file, int line, const char *what, const struct mob_error *err);
#define CHECK(condition) \
    do { \
        if (!(condition)) \
            fail_at(__FILE__, __LINE__, #condition, NULL); \
    } while (0)
#define CHECK_OK(call, err) \
    do { \
        if ((call) < 0) \
            fail_at(__FILE__, __LINE__, #call, (err)); \
    } while (0)

struct mob_ref *call_with(const char *function, const struct mob_options *options, const struct mob_value *args, size_t count);
struct mob_ref *call(const char *function, const struct mob_value *args, size_t count);
struct mob_ref *call_u64(const char *function, uint64_t word);
uint64_t take_u64(struct mob_ref *ref);                         /* get, and drop it */
void take_witness(struct mob_ref *ref, struct witness *ret);
void refused(struct mob_ref *ref, struct mob_error *ret_err);   /* its get must fail; the ref stays */
struct mob_ref *call_gate(const char *function, const struct mob_options *options, const char *folder, const char *name);

void node_at(const char *ip, char *ret_node, size_t size);      /* the number of the node that serves there */

bool file_there(const char *folder, const char *name, const char *suffix);
void make_file(const char *folder, const char *name, const char *suffix);
void append_line(const char *folder, const char *name, const char *line);
int count_lines(const char *folder, const char *name);
void await_file(const char *folder, const char *name, const char *suffix);    /* polls; fails after 20 s */
void pause_ms(unsigned ms);
double wall_now(void);
uint64_t checksum_of(const void *data, size_t size);
void fill_pattern(void *data, size_t size, uint64_t seed);

#endif
