/* SPDX-License-Identifier: Apache-2.0 */
/* ring.c -- what a task costs in a bare channel between two processes, doorbell included: many in flight, and one at a time. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "common/channel.h"

#define BODY 24

static int64_t now_ns(void)
{
    struct timespec t;

    clock_gettime(CLOCK_MONOTONIC, &t);
    return t.tv_sec * INT64_C(1000000000) + t.tv_nsec;
}

/* Answer until task 0 comes. Rings once a batch, as a worker does. */
static void work(struct mob_channel *c)
{
    struct mob_task_frame task;
    const void *body;
    void *reply;

    for (task.task = 1; task.task != 0; mob_channel_ring(c, false)) {
        for (int batch = 0; batch < 64 && task.task != 0 && mob_channel_claim(c, 1, &task, &body); batch++) {
            struct mob_answer_frame *answer = mob_channel_reply(c, BODY, &reply);

            *answer = (struct mob_answer_frame){ .task = task.task };
            memcpy(reply, body, BODY);
            mob_channel_reply_commit(c);
        }
    }
}

static void push(struct mob_channel *c, uint64_t task)
{
    void *body;
    struct mob_task_frame *frame = mob_channel_reserve(c, BODY, &body);

    *frame = (struct mob_task_frame){ .task = task, .epoch = 1 };
    memset(body, 1, BODY);
    mob_channel_commit(c);
}

static uint64_t drain(struct mob_channel *c, uint64_t limit)
{
    struct mob_answer_frame answer;
    const void *body;
    uint64_t count = 0;

    while (count < limit && mob_channel_answer(c, &answer, &body)) {
        mob_channel_answer_done(c);
        count++;
    }
    return count;
}

static double measure(struct mob_channel *c, uint64_t tasks, uint64_t in_flight)
{
    uint64_t pushed = 0, answered = 0;
    int64_t began = now_ns();

    while (answered < tasks) {
        for (int batch = 0; batch < 64 && pushed < tasks && pushed - answered < in_flight && mob_channel_has_room(c, BODY); batch++)
            push(c, ++pushed);
        mob_channel_ring(c, false);
        answered += drain(c, 64);
    }
    return (double)(now_ns() - began) / (double)tasks;
}

int main(void)
{
    struct mob_page *pages = mmap(NULL, 2 * MOB_PAGE_SIZE, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    void *memory = mmap(NULL, mob_channel_memory_size(), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    struct mob_doorbell owner_bell = { pages, -1 }, worker_bell = { (struct mob_page *)((char *)pages + MOB_PAGE_SIZE), -1 };
    struct mob_channel *c;
    pid_t child;

    if (pages == MAP_FAILED || memory == MAP_FAILED || (child = fork()) < 0) {
        perror("ring");
        return 1;
    }
    if (child == 0) {
        work(mob_channel_on_memory(memory, &owner_bell, MOB_CHANNEL_WORKER, 1));
        _exit(0);
    }
    c = mob_channel_on_memory(memory, &worker_bell, MOB_CHANNEL_OWNER, 1);
    measure(c, 100000, 1000);
    printf("1000 in flight: %.1f ns a task\n", measure(c, 20000000, 1000));
    printf("one at a time: %.1f ns a task\n", measure(c, 2000000, 1));
    push(c, 0);
    waitpid(child, NULL, 0);
    mob_channel_close(c);
    return 0;
}
