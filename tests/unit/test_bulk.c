/* SPDX-License-Identifier: Apache-2.0 */
/* test_bulk.c -- bulk transfer over loopback, between nodes that keep to the protocol. */
#include <sys/mman.h>

#include "bulk_node.h"
#include "common/hash.h"
#include "unit.h"

START_TEST(test_objects)
{
    static const uint64_t sizes[] = { 1, 100000, BULK_CHUNK, BIG, BULK_CHUNK + 1 };
    struct node n;
    char *memory = malloc(BIG + 1);

    node_init(&n);
    for (size_t i = 0; i < MOB_COUNT(sizes); i++) {
        memset(memory, 'x', BIG + 1);
        get(&n, n.port, memory, sizes[i]);
        until(&n, &n.done, (int)i + 1);
        ck_assert_msg(n.failed == 0, "%s", n.why.text);
        ck_assert_int_eq(memcmp(memory, n.store, sizes[i]), 0);
        ck_assert_int_eq(memory[sizes[i]], 'x');
    }
    until(&n, &n.served, MOB_COUNT(sizes));
    ck_assert_int_eq(n.serves, n.served);
    node_fini(&n);
    free(memory);
}
END_TEST

/* Into a file that is mapped, all new, with its first or its second half there. */
START_TEST(test_into_new_pages)
{
    const size_t at = 4096 + 64, size = BIG - 3, whole_size = 2 * BIG;
    int fd = memfd_create("arena", MFD_CLOEXEC), rc = ftruncate(fd, (off_t)whole_size);
    char *arena = mmap(NULL, whole_size, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    struct getting *g;
    struct node n;

    ck_assert(rc == 0 && arena != MAP_FAILED);
    if (_i > 0)
        memset(arena + at + (_i == 1 ? 0 : size / 2), 'x', size / 2);
    node_init(&n);
    g = getting_create(&n, mob_bulk_incoming_create(n.client, arena + at, size, fd, at));
    mob_bulk_get(n.client, "127.0.0.1", n.port, &(struct mob_range){ .ask = whole(size, size).ask }, g->in, on_got, g);
    until(&n, &n.done, 1);
    ck_assert_msg(n.failed == 0, "%s", n.why.text);
    ck_assert_int_eq(memcmp(arena + at, n.store, size), 0);
    ck_assert(arena[at - 1] == 0 && arena[at + size] == 0);
    node_fini(&n);
    munmap(arena, whole_size);
    close(fd);
}
END_TEST

START_TEST(test_many_at_once)
{
    enum { MANY = 40, SIZE = 300000 };
    struct node n;
    char *memory = calloc(MANY, SIZE);

    node_init(&n);
    for (int i = 0; i < MANY; i++)
        get(&n, n.port, memory + i * SIZE, SIZE);
    until(&n, &n.done, MANY);
    ck_assert_int_eq(n.failed, 0);
    for (int i = 0; i < MANY; i++)
        ck_assert_int_eq(memcmp(memory + i * SIZE, n.store, SIZE), 0);
    until(&n, &n.served, MANY);
    node_fini(&n);
    free(memory);
}
END_TEST

static int memory_file(const void *bytes, size_t size)
{
    int fd = memfd_create("file", MFD_CLOEXEC);

    ck_assert_int_eq(write(fd, bytes, size), (ssize_t)size);
    return fd;
}

START_TEST(test_file)
{
    struct node n;
    struct mob_hash hash, there;
    int fd = memfd_create("copy", MFD_CLOEXEC);

    node_init(&n);
    n.file = memory_file(n.store, BIG - 3);
    hash = mob_hash_bytes(n.store, BIG - 3);
    mob_bulk_get_file(n.client, "127.0.0.1", n.port, &hash, fd, on_done, &n);
    until(&n, &n.done, 1);
    ck_assert_msg(n.failed == 0, "%s", n.why.text);
    ck_assert_int_eq(mob_hash_fd(fd, &there, NULL), 0);
    ck_assert_int_eq(memcmp(&hash, &there, sizeof hash), 0);
    hash.bytes[5] ^= 1;
    mob_bulk_get_file(n.client, "127.0.0.1", n.port, &hash, fd, on_done, &n);
    until(&n, &n.done, 2);
    ck_why(&n, MOB_ERR_PROTOCOL, "hash");
    node_fini(&n);
    close(fd);
}
END_TEST

START_TEST(test_not_here)
{
    struct node n;
    char memory[1000];

    node_init(&n);
    get(&n, n.port, memory, 404);
    until(&n, &n.done, 1);
    ck_why(&n, MOB_ERR_OBJECT_LOST, "object 404 is not here");
    get(&n, n.port, memory, 1000);
    until(&n, &n.done, 2);
    ck_assert_int_eq(n.failed, 1);
    node_fini(&n);
}
END_TEST

/* Only what was asked for comes, and only that is written. */
START_TEST(test_ranges)
{
    struct node n;
    char *memory = malloc(BIG);
    struct mob_range range = whole(BIG, BIG);

    node_init(&n);
    mob_bulk_set_node(n.client, 9);
    memset(memory, 'x', BIG);
    range.ask.offset = BULK_CHUNK;
    range.ask.length = 2 * BULK_CHUNK;
    range.ask.root = 5, range.ask.position = 6, range.ask.failed = 7, range.ask.direct = true;
    get_range(&n, n.port, memory, range);
    until(&n, &n.done, 1);
    ck_assert_msg(n.failed == 0, "%s", n.why.text);
    ck_assert_uint_eq(n.last.got, 2 * BULK_CHUNK);
    ck_assert_int_eq(memcmp(memory + BULK_CHUNK, n.store + BULK_CHUNK, 2 * BULK_CHUNK), 0);
    ck_assert(memory[BULK_CHUNK - 1] == 'x' && memory[3 * BULK_CHUNK] == 'x');
    ck_assert(n.asked.asker == 9 && n.asked.offset == BULK_CHUNK && n.asked.length == 2 * BULK_CHUNK && n.asked.size == BIG);
    ck_assert(n.asked.root == 5 && n.asked.position == 6 && n.asked.failed == 7 && n.asked.direct);
    node_fini(&n);
    free(memory);
}
END_TEST

START_TEST(test_answered_later)
{
    struct node n;
    char memory[100];

    node_init(&n);
    get_range(&n, n.port, memory, whole(405, 100));
    while (n.parked == NULL)
        mob_loop_run(n.loop);
    ck_assert_int_eq(n.done, 0);
    mob_bulk_found(n.parked, &(struct mob_bulk_found){ .data = n.store, .position = 12 });
    until(&n, &n.done, 1);
    ck_assert_int_eq(n.failed, 0);
    ck_assert_uint_eq(n.last.position, 12);
    ck_assert_int_eq(memcmp(memory, n.store, 100), 0);
    get_range(&n, n.port, memory, whole(405, 100));         /* and one that is never answered */
    for (n.parked = NULL; n.parked == NULL;)
        mob_loop_run(n.loop);
    node_fini(&n);
}
END_TEST

static struct mob_bulk_lookup *park(struct node *n)
{
    for (n->parked = NULL; n->parked == NULL;)
        mob_loop_run(n->loop);
    return n->parked;
}

/* Asks for object 405 and waits for its answer. */
static int ask_and_wait(struct node *n)
{
    struct words w = good_words();
    int fd = connect_to(n->port);

    w.ask.what.object.task = 405;
    ck_assert_int_eq(send(fd, &w, sizeof w, MSG_NOSIGNAL), sizeof w);
    return fd;
}

/* A node that takes its time is no dead one: a get waits for far longer than silence is borne. What another one hears meanwhile is the
 * clock. A third has gone before its answer: the object is let go all the same. */
START_TEST(test_answered_much_later)
{
    enum { SILENCES = 3 };
    struct node n;
    struct mob_bulk_lookup *of_get, *of_clock, *of_gone;
    struct bulk_answer answer;
    char memory[100];
    int clock, gone;

    node_init_with(&n, TOKEN, 1000, BULK_SERVINGS_MAX);
    get_range(&n, n.port, memory, whole(405, 100));
    of_get = park(&n);
    gone = ask_and_wait(&n);
    of_gone = park(&n);
    setsockopt(gone, SOL_SOCKET, SO_LINGER, &(struct linger){ 1, 0 }, sizeof(struct linger));
    close(gone);
    clock = ask_and_wait(&n);
    of_clock = park(&n);
    for (int i = 0; i < SILENCES * BULK_PATIENCE_PART; i++) {
        ck_assert_int_eq(recv(clock, &answer, sizeof answer, MSG_WAITALL), sizeof answer);
        ck_assert(answer.status == BULK_PATIENCE && answer.size == 0 && answer.text_size == 0);
    }
    mob_bulk_found(of_get, &(struct mob_bulk_found){ .data = n.store });
    until(&n, &n.done, 1);
    ck_assert_msg(n.failed == 0, "%s", n.why.text);
    ck_assert_int_eq(memcmp(memory, n.store, 100), 0);
    mob_bulk_found(of_gone, &(struct mob_bulk_found){ .data = n.store });
    mob_bulk_found(of_clock, &(struct mob_bulk_found){ .data = n.store });
    until(&n, &n.served, 3);
    close(clock);
    node_fini(&n);
}
END_TEST

START_TEST(test_referred)
{
    struct node n;
    char memory[100];

    node_init(&n);
    get_range(&n, n.port, memory, whole(407, 100));
    until(&n, &n.done, 1);
    ck_assert_int_eq(n.failed, 0);
    ck_assert(n.last.got == 0 && n.last.refer == 77 && n.last.position == 3);
    node_fini(&n);
}
END_TEST

/* The server gives on what it has not got itself: two chunks are here at once, two come later from a third node, then no more does. */
START_TEST(test_given_on)
{
    struct node n, origin;
    char *there = calloc(1, BIG), *memory = calloc(1, BIG);
    struct mob_range range = whole(BIG, BIG);
    struct getting *g;

    node_init(&origin);
    node_init_with(&n, TOKEN, 1000, BULK_SERVINGS_MAX);
    n.gives = mob_bulk_incoming_create(n.server, there, BIG, -1, 0);
    get_range(&n, n.port, memory, whole(406, BIG));
    until(&n, &n.serves, 1);
    for (int i = 0; i < 2; i++) {
        g = getting_create(&origin, mob_bulk_incoming_create(origin.client, NULL, 1, -1, 0));
        range.ask.offset = 2 * BULK_CHUNK * (uint64_t)i;
        range.ask.length = 2 * BULK_CHUNK;
        mob_bulk_get(n.server, "127.0.0.1", origin.port, &range, n.gives, on_got, g);
        while (origin.done <= i)
            uv_run(mob_loop_uv(n.loop), UV_RUN_NOWAIT), uv_run(mob_loop_uv(origin.loop), UV_RUN_NOWAIT);
    }
    until(&n, &n.done, _i);             /* 1: the fifth chunk does not come in time; 0: it is given up at once */
    if (n.done == 0)
        mob_bulk_incoming_end(n.gives);
    until(&n, &n.done, 1);
    ck_why(&n, MOB_ERR_TIMEOUT, _i == 0 ? "will not have all" : "that part");
    ck_assert(!n.last.final);
    ck_assert_uint_eq(n.last.got, 4 * BULK_CHUNK);
    ck_assert_int_eq(memcmp(memory, origin.store, 4 * BULK_CHUNK), 0);
    until(&n, &n.served, 1);
    node_fini(&n);
    node_fini(&origin);
    free(there);
    free(memory);
}
END_TEST

START_TEST(test_wrong_token)
{
    struct node n;
    char memory[10];

    node_init_with(&n, OTHER, BULK_SILENCE_MS, BULK_SERVINGS_MAX);
    for (int i = 1; i <= 3; i++) {
        get(&n, n.port, memory, 10);
        until(&n, &n.done, i);
        ck_why(&n, MOB_ERR_DENIED, "token");
    }
    ck_assert_int_eq(n.serves, 0);
    node_fini(&n);
}
END_TEST

START_TEST(test_destroy_in_full_flight)
{
    struct node n;
    char *memory = malloc(20 * (size_t)BIG);

    node_init(&n);
    for (int i = 0; i < 20; i++)
        get(&n, n.port, memory + (size_t)i * BIG, BIG);
    until(&n, &n.done, _i);
    node_fini(&n);
    ck_assert_int_le(n.done, 20);
    free(memory);
}
END_TEST

UNIT_CASE("bulk", tcase)
{
    tcase_set_timeout(tcase, 20);
    UNIT_TESTS(tcase, test_objects, test_many_at_once, test_file, test_not_here, test_ranges, test_answered_later,
               test_answered_much_later, test_referred, test_wrong_token);
    tcase_add_loop_test(tcase, test_into_new_pages, 0, 3);
    tcase_add_loop_test(tcase, test_given_on, 0, 2);
    tcase_add_loop_test(tcase, test_destroy_in_full_flight, 0, 4);
}
