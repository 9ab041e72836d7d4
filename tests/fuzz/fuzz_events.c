/* SPDX-License-Identifier: Apache-2.0 */
/* fuzz_events.c -- any bytes as the records of owners, and as the argument of a question: what is answered is JSON as it is
 * documented, and no more rows than were asked for. An input: flags, the argument's size, the argument (or what makes a good
 * one), then the records: as they are, or what makes good ones. */
#include <assert.h>
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "common/mem.h"
#include "head/events.h"

#define BRIEF 16
#define RECORDS_MAX 256

struct asker {
    char *text;
    size_t size;
    bool answered, refused;
};

static struct mob_loop *loop;
static char folder[] = "/tmp/fuzz_events.XXXXXX";

int LLVMFuzzerInitialize(int *argc, char ***argv);
int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size);

static void remove_folder(void)
{
    rmdir(folder);
}

int LLVMFuzzerInitialize(int *argc, char ***argv)
{
    (void)argc, (void)argv;
    loop = mob_loop_create();
    assert(mkdtemp(folder) != NULL);
    atexit(remove_folder);
    return 0;
}

static void on_reply(void *arg, uint64_t link, uint64_t query, struct mob_address to, const char *text, size_t size, bool last,
                     const struct mob_error *err)
{
    struct asker *a = arg;

    (void)link, (void)query, (void)to;
    a->text = mob_realloc(a->text, a->size + size + 1);
    memcpy(a->text + a->size, text, size);
    a->size += size;
    a->answered = last;
    a->refused = err != NULL;
}

static size_t on_queued(void *arg, uint64_t link)
{
    (void)arg, (void)link;
    return 0;
}

static void ask(struct mob_events *e, struct asker *a, const char *verb, const char *argument)
{
    json_t *asked = json_loads(argument, 0, NULL), *answer, *limit = json_object_get(asked, "limit"), *rows;

    a->size = 0;
    a->answered = a->refused = false;
    mob_events_query(e, 1, 2, (struct mob_address){ 3, 4 }, verb, argument);
    while (!a->answered)
        uv_run(mob_loop_uv(loop), UV_RUN_ONCE);
    answer = json_loadb(a->text, a->size, 0, NULL);
    assert((answer != NULL) == !a->refused);
    if (answer != NULL && verb[1] == 'a') {
        rows = json_object_get(answer, "tasks");
        assert(json_is_array(rows) && json_is_integer(json_object_get(answer, "dropped")));
        assert(limit == NULL || (json_int_t)json_array_size(rows) <= json_integer_value(limit));
    } else if (answer != NULL) {
        assert(json_is_array(answer));
    }
    json_decref(answer);
    json_decref(asked);
}

/* A record of a kind that there is, of one of a few tasks, made of BRIEF bytes. */
static struct mob_event likely_record(const uint8_t *b)
{
    struct mob_event e = {
        .kind = b[0] % 10, .task = b[1] % 4, .status = b[2] % 30, .name = 1, .owner_node = 1, .node = b[3], .pid = b[4],
        .attempt = b[5],
        .submitted_ns = b[6] << 8, .pushed_ns = b[7] << 8, .started_ns = b[8] << 8, .ended_ns = b[9] << 8, .job_node = b[10] % 2,
        .waiting = b[11] % 2,
    };

    if (e.kind == MOB_EVENT_NAME || e.kind == MOB_EVENT_WHY)
        memcpy((char *)&e + MOB_EVENT_TEXT, b + 2, BRIEF - 2);
    return e;
}

static void add(struct mob_events *e, const uint8_t *bytes, size_t size, bool likely)
{
    struct mob_event batch[RECORDS_MAX];
    size_t count = 0;

    if (!likely) {
        mob_events_add(e, bytes, size, 0);
        return;
    }
    for (; size >= BRIEF && count < RECORDS_MAX; bytes += BRIEF, size -= BRIEF)
        batch[count++] = likely_record(bytes);
    mob_events_add(e, batch, count * sizeof batch[0], 1);
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size)
{
    struct asker a = { 0 };
    struct mob_events_config config = { .folder = folder, .bytes_max = 64 << 10, .reply = on_reply, .queued = on_queued, .arg = &a };
    struct mob_events *e = mob_events_create(loop, &config, NULL);
    char argument[256] = "";

    assert(e != NULL);
    if (size > 2) {
        size_t said = bytes[1] % 64u < size - 2 ? bytes[1] % 64u : size - 2;

        memcpy(argument, bytes + 2, said);
        if (bytes[0] & 16)
            snprintf(argument, sizeof argument, "{\"limit\":%d,\"filter\":{%s}}", bytes[1] % 8 - 1,
                     bytes[1] & 8 ? "\"state\":\"FINISHED\"" : "");
        add(e, bytes + 2 + said, size - 2 - said, bytes[0] & 8);
        if (bytes[0] & 2)
            mob_events_job_over(e, (struct mob_address){ 1, 0 }, 1);
        ask(e, &a, bytes[0] % 2 ? "timeline" : "tasks", argument);
    }
    ask(e, &a, "tasks", "");
    ask(e, &a, "timeline", "");
    mob_events_destroy(e);
    free(a.text);
    return 0;
}
