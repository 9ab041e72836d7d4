/* SPDX-License-Identifier: Apache-2.0 */
/* test_events.c -- the event record: its file, what is asked of it, and a disk that is full. */
#include "unit.h"

#include <fcntl.h>
#include <jansson.h>
#include <signal.h>
#include <stddef.h>
#include <sys/resource.h>
#include <unistd.h>

#include "head/event_file.h"
#include "head/events.h"

struct answers {
    struct mob_loop *loop;
    struct mob_events *events;
    char *folder, *text;
    size_t size, parts, queued;
    unsigned waiting;
    int code;
    bool odd, running;
};

static void on_reply(void *arg, uint64_t link, uint64_t query, struct mob_address to, const char *text, size_t size, bool last,
                     const struct mob_error *err)
{
    struct answers *a = arg;

    a->odd |= link != 7 || query != 8 || to.process != 3;       /* no assert here: they write to a file, see test_full_disk */
    a->text = mob_realloc(a->text, a->size + size + 1);
    memcpy(a->text + a->size, text, size);
    a->size += size;
    a->text[a->size] = '\0';
    a->parts++;
    a->code = err != NULL ? err->code : MOB_OK;
    if (last && --a->waiting == 0 && a->running)
        mob_loop_stop(a->loop);
}

/* A reader that takes nothing for a while. */
static size_t on_queued(void *arg, uint64_t link)
{
    struct answers *a = arg;

    (void)link;
    return a->queued > 0 ? (a->queued--, SIZE_MAX) : 0;
}

static void setup(struct answers *a, uint64_t bytes_max)
{
    struct mob_events_config config = { .bytes_max = bytes_max, .reply = on_reply, .queued = on_queued, .arg = a };
    struct mob_error err;

    *a = (struct answers){ .folder = unit_folder(), .loop = mob_loop_create() };
    config.folder = a->folder;
    a->events = mob_events_create(a->loop, &config, &err);
    ck_assert_ptr_nonnull(a->events);
}

static void teardown(struct answers *a)
{
    ck_assert(!a->odd);
    mob_events_destroy(a->events);
    mob_loop_destroy(a->loop);
    ck_assert_int_eq(rmdir(a->folder), 0);      /* it left nothing */
    free(a->folder);
    free(a->text);
}

static json_t *ask(struct answers *a, const char *verb, const char *argument)
{
    a->size = a->parts = 0;
    a->waiting = 1;
    mob_events_query(a->events, 7, 8, (struct mob_address){ 2, 3 }, verb, argument);
    a->running = true;
    if (a->waiting > 0)
        mob_loop_run(a->loop);
    a->running = false;
    return json_loads(a->text, 0, NULL);
}

static struct mob_event event(uint32_t kind, uint64_t task, int status)
{
    return (struct mob_event){
        .kind = kind, .status = status, .task = task, .name = 42, .owner_node = 1, .owner_process = 2,
        .node = kind == MOB_EVENT_SUBMITTED ? 0 : 3, .pid = 100, .attempt = 0, .submitted_ns = 1000000,
        .pushed_ns = 2000000, .started_ns = kind == MOB_EVENT_SUBMITTED ? 0 : 3000000,
        .ended_ns = kind >= MOB_EVENT_ENDED ? 8000000 : 0,
    };
}

static void add(struct answers *a, uint32_t kind, uint64_t task, int status)
{
    struct mob_event e = event(kind, task, status);

    mob_events_add(a->events, &e, sizeof e, 0);
}

static void add_name(struct answers *a, uint64_t hash, const char *text)
{
    struct mob_event e = { .kind = MOB_EVENT_NAME, .task = hash };

    mob_copy((char *)&e + MOB_EVENT_TEXT, MOB_EVENT_TEXT_SIZE, text);
    mob_events_add(a->events, &e, sizeof e, 0);
}

/* An end and, in the same batch, its words. */
static void add_failure(struct answers *a, uint32_t kind, uint64_t task, int status, const char *text)
{
    struct mob_event e[2] = { event(kind, task, status), { .kind = MOB_EVENT_WHY, .task = task, .owner_node = 1, .owner_process = 2 } };

    e[0].killed_by = status == MOB_ERR_WORKER_CRASHED ? MOB_KILLED_BY_CRASH : 0;
    mob_copy((char *)&e[1] + MOB_EVENT_TEXT, MOB_EVENT_TEXT_SIZE, text);
    mob_events_add(a->events, e, sizeof e, 0);
}

static const char *text_of(json_t *row, const char *column)
{
    return json_string_value(json_object_get(row, column));
}

START_TEST(test_tasks_by_their_newest_word)
{
    struct answers a;
    json_t *json, *rows;

    setup(&a, 1 << 20);
    add_name(&a, 42, "sum\"me\"");
    for (uint64_t task = 1; task <= 4; task++)
        add(&a, MOB_EVENT_SUBMITTED, task, MOB_OK);
    add(&a, MOB_EVENT_ENDED, 1, MOB_OK);
    add(&a, MOB_EVENT_FAILED_ATTEMPT, 2, MOB_ERR_WORKER_CRASHED);
    add(&a, MOB_EVENT_RUNNING, 3, MOB_OK);
    add(&a, MOB_EVENT_ENDED, 2, MOB_ERR_NODE_DIED);
    add(&a, 99, 5, MOB_OK);             /* of no kind we know */
    mob_events_add(a.events, "short", 5, 3);
    json = ask(&a, "tasks", "{\"limit\":10}");
    rows = json_object_get(json, "tasks");
    ck_assert_uint_eq(json_array_size(rows), 4);
    ck_assert_str_eq(text_of(json_array_get(rows, 0), "task"), "t-1.2-2");
    ck_assert_str_eq(text_of(json_array_get(rows, 0), "state"), "FAILED");
    ck_assert_str_eq(text_of(json_array_get(rows, 0), "error"), "MOB_ERR_NODE_DIED");
    ck_assert_str_eq(text_of(json_array_get(rows, 1), "state"), "RUNNING");
    ck_assert_str_eq(text_of(json_array_get(rows, 2), "state"), "FINISHED");
    ck_assert_str_eq(text_of(json_array_get(rows, 2), "name"), "sum\"me\"");
    ck_assert_double_eq(json_number_value(json_object_get(json_array_get(rows, 2), "run_ms")), 5);
    ck_assert_double_eq(json_number_value(json_object_get(json_array_get(rows, 2), "wait_ms")), 2);
    ck_assert_str_eq(text_of(json_array_get(rows, 3), "state"), "PENDING_NODE_ASSIGNMENT");
    ck_assert_int_eq(json_integer_value(json_object_get(json_object_get(json, "counts"), "submitted")), 4);
    ck_assert_int_eq(json_integer_value(json_object_get(json_object_get(json, "counts"), "retried")), 1);
    ck_assert_int_eq(json_integer_value(json_object_get(json, "dropped")), 3);
    ck_assert_int_eq(json_integer_value(json_object_get(json_object_get(json, "dropped_why"), "rate")), 3);
    json_decref(json);
    json = ask(&a, "tasks", "{\"filter\":{\"state\":\"FINISHED\",\"node\":3}}");
    ck_assert_uint_eq(json_array_size(json_object_get(json, "tasks")), 1);
    json_decref(json);
    json = ask(&a, "tasks", "{\"limit\":1}");
    ck_assert_uint_eq(json_array_size(json_object_get(json, "tasks")), 1);
    json_decref(json);
    ck_assert_ptr_null(ask(&a, "tasks", "{\"limit\":-1}"));
    ck_assert_int_eq(a.code, MOB_ERR_INVALID);
    teardown(&a);
}
END_TEST

START_TEST(test_timeline_is_streamed)
{
    struct answers a;
    json_t *json, *row;

    setup(&a, 8 << 20);
    add_name(&a, 42, "f");
    for (uint64_t task = 0; task < 10000; task++)
        add(&a, task % 2 ? MOB_EVENT_ENDED : MOB_EVENT_SUBMITTED, task, MOB_OK);
    a.queued = 3;
    json = ask(&a, "timeline", "");
    ck_assert_uint_eq(json_array_size(json), 5001);
    ck_assert_uint_gt(a.parts, 3);
    row = json_array_get(json, 7);
    ck_assert_str_eq(text_of(row, "ph"), "X");
    ck_assert_str_eq(text_of(row, "name"), "f");
    ck_assert_double_eq(json_number_value(json_object_get(row, "dur")), 5000);
    ck_assert_int_eq(json_integer_value(json_object_get(row, "pid")), 3);
    ck_assert_str_eq(text_of(json_array_get(json, 5000), "ph"), "M");
    json_decref(json);
    teardown(&a);
}
END_TEST

/* The file stays below its limit; the newest half of it is there, and names outlive their half. */
START_TEST(test_rotation)
{
    struct answers a;
    json_t *json, *rows;
    size_t count;

    setup(&a, 2 * 96 * 200);
    add_name(&a, 42, "f");
    for (uint64_t task = 0; task < 2000; task++) {
        add(&a, MOB_EVENT_ENDED, task, MOB_OK);
        if (task % 50 == 49)
            json_decref(ask(&a, "tasks", "{\"limit\":1}"));     /* forces a write */
    }
    json = ask(&a, "tasks", "{\"limit\":100000}");
    rows = json_object_get(json, "tasks");
    count = json_array_size(rows);
    ck_assert_uint_ge(count, 150);
    ck_assert_uint_le(count, 400);
    ck_assert_str_eq(text_of(json_array_get(rows, 0), "task"), "t-1.2-1999");
    ck_assert_str_eq(text_of(json_array_get(rows, count - 1), "name"), "f");
    ck_assert_int_eq(json_integer_value(json_object_get(json_object_get(json, "counts"), "finished")), 2000);
    json_decref(json);
    teardown(&a);
}
END_TEST

START_TEST(test_reader_outlives_rotation_and_refuses_a_bad_header)
{
    char *folder = unit_folder(), *path = mob_printf("%s/events.0", folder);
    struct event_file *f = mob_event_file_create(folder, 2 * 96 * 10, NULL);
    struct mob_event e = event(MOB_EVENT_ENDED, 1, MOB_OK), got[20];
    struct event_reader old, bad;
    struct mob_error err;
    int fd;

    ck_assert_ptr_nonnull(f);
    for (int i = 0; i < 9; i++) {
        ck_assert(!mob_event_file_is_full(f, 1));
        ck_assert_int_eq(mob_event_file_append(f, &e, 1, false, NULL), 0);
    }
    ck_assert(mob_event_file_is_full(f, 1));
    ck_assert_int_eq(mob_event_reader_open(&old, f, NULL), 0);
    for (int i = 0; i < 3; i++)         /* both halves are begun anew */
        ck_assert_int_eq(mob_event_file_append(f, &e, 1, true, NULL), 0);
    ck_assert_uint_eq(mob_event_reader_count(&old), 9);
    ck_assert_uint_eq(mob_event_reader_get(&old, 0, got, 20), 9);
    ck_assert_uint_eq(got[8].task, 1);
    mob_event_reader_close(&old);
    ck_assert_int_eq(mob_event_reader_open(&bad, f, NULL), 0);
    ck_assert_uint_eq(mob_event_reader_count(&bad), 2);
    mob_event_reader_close(&bad);
    fd = open(path, O_WRONLY);
    ck_assert_int_eq(pwrite(fd, "garbage", 7, 0), 7);
    close(fd);
    ck_assert_int_eq(mob_event_reader_open(&bad, f, &err), -1);         /* not half of it, as if it were all */
    ck_assert_ptr_nonnull(strstr(err.text, "events.0 cannot be read"));
    mob_event_file_destroy(f);
    free(path);
    unit_folder_remove(folder);
}
END_TEST

/* A limit on the size of files fails as a full disk does: what does not fit is counted, what was there stays, and later it goes on. */
START_TEST(test_full_disk)
{
    struct answers a;
    struct rlimit before, small;
    json_t *json;

    setup(&a, 1 << 20);
    signal(SIGXFSZ, SIG_IGN);
    add(&a, MOB_EVENT_ENDED, 1, MOB_OK);
    json_decref(ask(&a, "tasks", ""));
    getrlimit(RLIMIT_FSIZE, &before);
    small = (struct rlimit){ .rlim_cur = 96 * 3, .rlim_max = before.rlim_max };
    setrlimit(RLIMIT_FSIZE, &small);
    for (uint64_t task = 2; task < 12; task++)
        add(&a, MOB_EVENT_ENDED, task, MOB_OK);
    json = ask(&a, "tasks", "");
    setrlimit(RLIMIT_FSIZE, &before);
    ck_assert_uint_eq(json_array_size(json_object_get(json, "tasks")), 1);
    ck_assert_int_eq(json_integer_value(json_object_get(json, "dropped")), 10);
    ck_assert_int_eq(json_integer_value(json_object_get(json_object_get(json, "dropped_why"), "disk")), 10);
    ck_assert_int_eq(json_integer_value(json_object_get(json_object_get(json, "dropped_why"), "rate")), 0);
    ck_assert_ptr_nonnull(strstr(text_of(json_object_get(json, "dropped_why"), "disk_error"), "File too large"));
    json_decref(json);
    add(&a, MOB_EVENT_ENDED, 20, MOB_OK);
    json = ask(&a, "tasks", "");
    ck_assert_uint_eq(json_array_size(json_object_get(json, "tasks")), 2);
    json_decref(json);
    teardown(&a);
}
END_TEST

/* Each state by its last record, and what its row says of the attempt. */
START_TEST(test_states)
{
    static const struct {
        uint32_t kind;
        int status;
        const char *state;
    } cases[] = {
        { MOB_EVENT_SUBMITTED, MOB_OK, "PENDING_NODE_ASSIGNMENT" }, { MOB_EVENT_QUEUED, MOB_OK, "PENDING_NODE_ASSIGNMENT" },
        { MOB_EVENT_PUSHED, MOB_OK, "SUBMITTED_TO_WORKER" },        { MOB_EVENT_RUNNING, MOB_OK, "RUNNING" },
        { MOB_EVENT_ENDED, MOB_OK, "FINISHED" },                    { MOB_EVENT_ENDED, MOB_ERR_TASK, "FAILED" },
        { MOB_EVENT_ENDED, MOB_ERR_CANCELLED, "CANCELLED" },
    };
    struct mob_event waits = event(MOB_EVENT_SUBMITTED, 99, MOB_OK);
    struct answers a;
    json_t *json, *rows, *row;

    setup(&a, 1 << 20);
    for (size_t i = 0; i < MOB_COUNT(cases); i++)
        add(&a, cases[i].kind, i, cases[i].status);
    waits.waiting = 2;
    mob_events_add(a.events, &waits, sizeof waits, 0);
    add_failure(&a, MOB_EVENT_FAILED_ATTEMPT, 100, MOB_ERR_WORKER_CRASHED, "killed by \xc3\xa4");
    add_failure(&a, MOB_EVENT_ENDED, 101, MOB_ERR_TASK, "no such thing: \xc3");         /* a character was cut */
    add_failure(&a, MOB_EVENT_ENDED, 102, MOB_ERR_TASK, "\xff\xff\xff\xff");            /* no text at all */
    json = ask(&a, "tasks", "");
    rows = json_object_get(json, "tasks");
    ck_assert(json_is_null(json_object_get(json_array_get(rows, 0), "error_text")));
    ck_assert_str_eq(text_of(json_array_get(rows, 1), "error_text"), "no such thing: ");
    row = json_array_get(rows, 2);
    ck_assert_str_eq(text_of(row, "state"), "PENDING_NODE_ASSIGNMENT");
    ck_assert_str_eq(text_of(row, "error"), "MOB_ERR_WORKER_CRASHED");
    ck_assert_str_eq(text_of(row, "error_text"), "killed by \xc3\xa4");
    ck_assert_str_eq(text_of(row, "killed_by"), "crash");
    ck_assert_str_eq(text_of(json_array_get(rows, 1), "killed_by"), "");
    ck_assert_int_eq(json_integer_value(json_object_get(row, "attempt")), 1);
    ck_assert_int_eq(json_integer_value(json_object_get(row, "pid")), 0);
    ck_assert_int_eq(json_integer_value(json_object_get(row, "started_ns")), 0);
    ck_assert_str_eq(text_of(json_array_get(rows, 3), "state"), "PENDING_ARGS_AVAIL");
    for (size_t i = 0; i < MOB_COUNT(cases); i++) {
        row = json_array_get(rows, 3 + MOB_COUNT(cases) - i);
        ck_assert_str_eq(text_of(row, "state"), cases[i].state);
        ck_assert_str_eq(text_of(row, "error_text"), "");       /* nobody else's words */
    }
    row = json_object_get(json, "counts");
    ck_assert_int_eq(json_integer_value(json_object_get(row, "cancelled")), 1);
    ck_assert_int_eq(json_integer_value(json_object_get(row, "failed")), 3);
    json_decref(json);
    teardown(&a);
}
END_TEST

/* What the owner did not live to say: its tasks ended with their job, those that had ended before as they said. */
START_TEST(test_tasks_of_a_job_that_is_over)
{
    struct mob_event e = event(MOB_EVENT_RUNNING, 1, MOB_OK), other = e;
    struct answers a;
    json_t *json, *rows, *row;

    setup(&a, 1 << 20);
    e.job_node = 1;
    e.job_process = 7;
    mob_events_add(a.events, &e, sizeof e, 0);
    other.job_node = 1;
    other.job_process = 8;
    other.task = 2;
    mob_events_add(a.events, &other, sizeof other, 0);
    e.task = 3;
    e.kind = MOB_EVENT_ENDED;
    mob_events_add(a.events, &e, sizeof e, 0);
    mob_events_job_over(a.events, (struct mob_address){ 1, 7 }, 9000000);
    e.task = 4;                                         /* was under way when the job ended */
    e.kind = MOB_EVENT_SUBMITTED;
    e.started_ns = 0;
    e.submitted_ns = 9500000;
    mob_events_add(a.events, &e, sizeof e, 0);
    json = ask(&a, "tasks", "");
    rows = json_object_get(json, "tasks");
    row = json_array_get(rows, 0);
    ck_assert_str_eq(text_of(row, "state"), "FAILED");
    ck_assert_int_eq(json_integer_value(json_object_get(row, "ended_ns")), 9500000);
    ck_assert_str_eq(text_of(json_array_get(rows, 1), "state"), "FINISHED");
    ck_assert_str_eq(text_of(json_array_get(rows, 2), "state"), "RUNNING");
    row = json_array_get(rows, 3);
    ck_assert_str_eq(text_of(row, "state"), "FAILED");
    ck_assert_str_eq(text_of(row, "error"), "MOB_ERR_OWNER_DIED");
    ck_assert_str_eq(text_of(row, "error_text"), "its job has ended");
    ck_assert_int_eq(json_integer_value(json_object_get(row, "ended_ns")), 9000000);
    ck_assert_double_eq(json_number_value(json_object_get(row, "run_ms")), 6);
    json_decref(json);
    teardown(&a);
}
END_TEST

/* From the start: a refusal that leaves no file. */
START_TEST(test_full_disk_from_the_start)
{
    struct rlimit before, full = { 0, 0 };
    char *folder = unit_folder();
    struct mob_error err;
    struct event_file *f;

    signal(SIGXFSZ, SIG_IGN);
    getrlimit(RLIMIT_FSIZE, &before);
    full.rlim_max = before.rlim_max;
    setrlimit(RLIMIT_FSIZE, &full);
    f = mob_event_file_create(folder, 1 << 20, &err);
    setrlimit(RLIMIT_FSIZE, &before);
    ck_assert_ptr_null(f);
    ck_assert_int_eq(err.code, MOB_ERR_SYSTEM);
    ck_assert_int_eq(rmdir(folder), 0);
    free(folder);
}
END_TEST

/* A record that cannot be opened is an error, not an answer. */
START_TEST(test_no_descriptor_is_an_error)
{
    struct answers a;
    struct rlimit before, few;

    setup(&a, 1 << 20);
    add(&a, MOB_EVENT_ENDED, 1, MOB_OK);
    json_decref(ask(&a, "tasks", ""));
    ck_assert_int_eq(a.code, MOB_OK);
    getrlimit(RLIMIT_NOFILE, &before);
    few = (struct rlimit){ .rlim_cur = 3, .rlim_max = before.rlim_max };
    setrlimit(RLIMIT_NOFILE, &few);
    json_decref(ask(&a, "tasks", ""));
    setrlimit(RLIMIT_NOFILE, &before);
    ck_assert_int_eq(a.code, MOB_ERR_SYSTEM);
    teardown(&a);
}
END_TEST

/* Records come without end: a question is answered when those before it are written. */
START_TEST(test_answer_under_load)
{
    struct answers a;
    uint64_t task = 0;

    setup(&a, 1 << 20);
    add(&a, MOB_EVENT_ENDED, ++task, MOB_OK);
    a.waiting = 1;
    mob_events_query(a.events, 7, 8, (struct mob_address){ 2, 3 }, "tasks", "");
    for (int turns = 0; a.waiting > 0 && turns < 1000; turns++) {
        add(&a, MOB_EVENT_ENDED, ++task, MOB_OK);
        uv_run(mob_loop_uv(a.loop), UV_RUN_ONCE);
    }
    ck_assert_uint_eq(a.waiting, 0);
    json_t *json = json_loads(a.text, 0, NULL);
    ck_assert_uint_ge(json_array_size(json_object_get(json, "tasks")), 1);
    json_decref(json);
    teardown(&a);
}
END_TEST

/* A link that goes away while its answer is made; and the end of everything meanwhile. */
START_TEST(test_asker_goes)
{
    struct answers a;

    setup(&a, 8 << 20);
    for (uint64_t task = 0; task < 20000; task++)
        add(&a, MOB_EVENT_ENDED, task, MOB_OK);
    mob_events_query(a.events, 7, 8, (struct mob_address){ 2, 3 }, "timeline", "");
    mob_events_link_lost(a.events, 7);
    mob_events_query(a.events, 7, 8, (struct mob_address){ 2, 3 }, "timeline", "");
    teardown(&a);
    ck_assert_uint_eq(a.parts, 0);
}
END_TEST

/* A worker, or its node, ends while its job goes on. */
START_TEST(test_tasks_of_an_owner_that_is_over)
{
    static const struct { uint32_t node, process; const char *text; } owners[] = {
        { 1, 2, "its owner has ended" }, { 1, 3, NULL }, { 4, 5, "the node of its owner died" },
    };
    struct mob_event e = event(MOB_EVENT_RUNNING, 1, MOB_OK);
    struct answers a;
    json_t *json, *row;

    setup(&a, 1 << 20);
    for (size_t i = 0; i < MOB_COUNT(owners); i++) {
        e.owner_node = owners[i].node;
        e.owner_process = owners[i].process;
        mob_events_add(a.events, &e, sizeof e, 0);
    }
    e = (struct mob_event){ .kind = MOB_EVENT_OWNER_OVER, .owner_node = 1, .owner_process = 2 };
    mob_events_add(a.events, &e, sizeof e, 0);
    e = (struct mob_event){ .kind = MOB_EVENT_OWNER_OVER, .owner_node = 4 };
    mob_events_add(a.events, &e, sizeof e, 0);
    json = ask(&a, "tasks", "");
    ck_assert_uint_eq(json_array_size(json_object_get(json, "tasks")), MOB_COUNT(owners));
    for (size_t i = 0; i < MOB_COUNT(owners); i++) {
        row = json_array_get(json_object_get(json, "tasks"), MOB_COUNT(owners) - 1 - i);
        ck_assert_str_eq(text_of(row, "state"), owners[i].text != NULL ? "FAILED" : "RUNNING");
        ck_assert_str_eq(text_of(row, "error_text"), owners[i].text != NULL ? owners[i].text : "");
        ck_assert(owners[i].text == NULL || json_integer_value(json_object_get(row, "ended_ns")) > 0);
    }
    json_decref(json);
    teardown(&a);
}
END_TEST

UNIT_MAIN("events", test_tasks_by_their_newest_word, test_states, test_tasks_of_a_job_that_is_over,
          test_tasks_of_an_owner_that_is_over, test_timeline_is_streamed, test_rotation,
          test_reader_outlives_rotation_and_refuses_a_bad_header, test_full_disk, test_full_disk_from_the_start,
          test_no_descriptor_is_an_error, test_answer_under_load, test_asker_goes)
