/* SPDX-License-Identifier: Apache-2.0 */
/* store.c -- the driver of the system tests of the object store:
 *
 *   mobula-store works COUNT BYTES       a data set of COUNT blocks goes through tasks twice; prints "sum S", which depends on all bytes
 *   mobula-store sizes STORE_BYTES       objects that cannot be, and what is said of them; the largest one, here, on the disk and "there"
 *   mobula-store writes                  a task writes through a view that it was given
 *   mobula-store fills FOLDER COUNT BYTES     blocks that stay; makes FOLDER/full, waits for FOLDER/go, reads all: prints each error
 *   mobula-store elsewhere FOLDER PUTS COUNT BYTES     PUTS of COUNT blocks leave little room on node 1, the driver's; tasks make the others;
 *                                        FOLDER/full, FOLDER/go; a task that may run on node 1 alone; the sums of all
 *   mobula-store kinds FOLDER            objects of 1 to 7 MiB, each kept by something else; makes FOLDER/full, waits for FOLDER/go
 *   mobula-store neighbours BYTES        blocks of more than half of the store, all in use, so that all but one overflow, side by side; one
 *                                        goes after the other, and another comes in its place: the others are as they were
 *
 * Exit status 0: all was as it should be.
 */
#include <inttypes.h>
#include <mobula.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static struct mob_error err;

static void must(int good, const char *what)
{
    if (good)
        return;
    fprintf(stderr, "mobula-store: %s: %s\n", what, err.text);
    exit(1);
}

static void expect(int good, const char *what)
{
    if (good)
        return;
    fprintf(stderr, "mobula-store: not so: %s (%s)\n", what, err.text);
    exit(1);
}

/* -- blocks of words ----------------------------------------------------------------------------------------------------------- */

static void fill(uint64_t *words, size_t count, uint64_t seed)
{
    for (size_t i = 0; i < count; i++)
        words[i] = seed = seed * UINT64_C(6364136223846793005) + 1442695040888963407u;
}

static uint64_t sum_of(const uint64_t *words, size_t count)
{
    uint64_t sum = 0;

    for (size_t i = 0; i < count; i++)
        sum = sum * 31 + words[i];
    return sum;
}

/* A block of the same size, each word turned a little. */
static int turn(struct mob_task *t, struct mob_error *e)
{
    struct mob_view in;
    struct mob_buffer *b;
    uint64_t *out;

    if (mob_arg(t, 0, &in, e) < 0 || (b = mob_create(in.size, e)) == NULL)
        return -1;
    out = mob_buffer_data(b);
    for (size_t i = 0; i < in.size / 8; i++)
        out[i] = ((const uint64_t *)in.data)[i] ^ i;
    return mob_return_buffer(t, 0, b, e);
}
MOB_TASK(turn)

static int sum(struct mob_task *t, struct mob_error *e)
{
    struct mob_view in;
    uint64_t result;

    if (mob_arg(t, 0, &in, e) < 0)
        return -1;
    result = sum_of(in.data, in.size / 8);
    return mob_return(t, 0, MOB_BYTES(&result, sizeof result), e);
}
MOB_TASK(sum)

static struct mob_ref *block(uint64_t number, size_t size)
{
    struct mob_buffer *b = mob_create(size, &err);
    struct mob_ref *ref;

    must(b != NULL, "mob_create");
    fill(mob_buffer_data(b), size / 8, number);
    must((ref = mob_seal(b, &err)) != NULL, "mob_seal");
    return ref;
}

static int works(size_t count, size_t size)
{
    struct mob_ref **blocks = calloc(count, sizeof *blocks), **turned = calloc(count, sizeof *turned), **sums = calloc(count, sizeof *sums);
    struct mob_fn *turn_fn = mob_fn("turn", NULL, &err), *sum_fn = mob_fn("sum", NULL, &err);
    uint64_t *words = malloc(size), total = 0, one;

    must(turn_fn != NULL && sum_fn != NULL, "mob_fn");
    for (size_t i = 0; i < count; i++) {
        blocks[i] = block(i + 1, size);
        must(mob_call(turn_fn, &MOB_REF(blocks[i]), 1, &turned[i], &err) == 0, "mob_call");
        must(mob_call(sum_fn, &MOB_REF(turned[i]), 1, &sums[i], &err) == 0, "mob_call");
    }
    for (size_t i = 0; i < count; i++) {
        must(mob_get_copy(sums[i], -1, &one, sizeof one, &err) == 0, "mob_get_copy of a sum");
        fill(words, size / 8, i + 1);
        for (size_t w = 0; w < size / 8; w++)
            words[w] ^= w;
        expect(one == sum_of(words, size / 8), "the sum is that of the block");
        total += one;
    }
    for (size_t i = 0; i < count; i++) {
        struct mob_view view;

        must(mob_get(blocks[i], -1, &view, &err) == 0, "mob_get of a block");
        fill(words, size / 8, i + 1);
        expect(view.size == size && memcmp(view.data, words, size) == 0, "the block is what was put");
        mob_view_release(&view);
        mob_ref_drop(blocks[i]);
        mob_ref_drop(turned[i]);
        mob_ref_drop(sums[i]);
    }
    mob_fn_destroy(turn_fn);
    mob_fn_destroy(sum_fn);
    printf("sum %" PRIx64 "\n", total);
    return 0;
}

static struct mob_ref *call(const char *function, const char *resources, const struct mob_value *args, size_t count)
{
    struct mob_options options = { .size = sizeof options, .resources = resources };
    struct mob_fn *fn = mob_fn(function, &options, &err);
    struct mob_ref *ref;

    must(fn != NULL && mob_call(fn, args, count, &ref, &err) == 0, function);
    return ref;
}

/* -- sizes --------------------------------------------------------------------------------------------------------------------- */

static void refused(size_t size, const char *words)
{
    memset(&err, 0, sizeof err);
    expect(mob_create(size, &err) == NULL, "an object that cannot be was refused");
    expect(err.code == MOB_ERR_NO_SPACE, "for want of space");
    expect(strstr(err.text, words) != NULL, words);
}

/* Two of them: each is read while the other is on the disk; and one is sent to another node. */
static void largest(size_t size)
{
    struct mob_ref *blocks[] = { block(7, size), block(8, size) }, *sum_there;
    uint64_t *words = malloc(size), there;
    struct mob_view view;

    for (unsigned i = 0; i < 4; i++) {
        must(mob_get(blocks[i % 2], 60000, &view, &err) == 0, "mob_get of the whole store");
        fill(words, size / 8, 7 + i % 2);
        expect(view.size == size && memcmp(view.data, words, size) == 0, "it is what was put");
        mob_view_release(&view);
    }
    sum_there = call("sum", "there=1", &MOB_REF(blocks[0]), 1);
    must(mob_get_copy(sum_there, 60000, &there, sizeof there, &err) == 0, "the sum of it on another node");
    fill(words, size / 8, 7);
    expect(there == sum_of(words, size / 8), "it is the same there");
    mob_ref_drop(sum_there);
    mob_ref_drop(blocks[0]);
    mob_ref_drop(blocks[1]);
    free(words);
}

static int sizes(size_t store)
{
    struct mob_ref *nothing;
    struct mob_view view;
    char words[80];

    refused((size_t)1 << 63, "9223372036854775808");
    refused(SIZE_MAX, "larger than any store");
    snprintf(words, sizeof words, "has %zu bytes, the whole store of node 1 %zu;", store + 1, store);
    refused(store + 1, words);
    must((nothing = block(1, 0)) != NULL, "an empty object");
    must(mob_get(nothing, -1, &view, &err) == 0 && view.size == 0, "mob_get of an empty object");
    mob_view_release(&view);
    mob_ref_drop(nothing);
    largest(store);
    return 0;
}

/* -- writing where one may only read ------------------------------------------------------------------------------------------- */

static int scribble(struct mob_task *t, struct mob_error *e)
{
    struct mob_view in;

    if (mob_arg(t, 0, &in, e) < 0)
        return -1;
    *(volatile char *)(uintptr_t)in.data = 'x';
    return mob_return(t, 0, MOB_BYTES("lived", 6), e);
}
MOB_TASK(scribble)

static int writes(void)
{
    const struct mob_options once = { .size = sizeof once, .max_retries = MOB_NO_RETRY };
    struct mob_fn *scribble_fn = mob_fn("scribble", &once, &err), *sum_fn = mob_fn("sum", NULL, &err);
    struct mob_ref *b = block(5, 1 << 20), *bad, *good;
    uint64_t result, *words = malloc(1 << 20);
    struct mob_view view;

    must(scribble_fn != NULL && sum_fn != NULL, "mob_fn");
    must(mob_call(scribble_fn, &MOB_REF(b), 1, &bad, &err) == 0, "mob_call");
    expect(mob_get(bad, -1, &view, &err) < 0 && err.code == MOB_ERR_WORKER_CRASHED, "the offender crashed");
    expect(strstr(err.text, "SIGSEGV") != NULL, "by SIGSEGV");
    expect(strcmp(err.function, "scribble") == 0, "and its task is named");
    must(mob_call(sum_fn, &MOB_REF(b), 1, &good, &err) == 0, "mob_call");
    must(mob_get_copy(good, -1, &result, sizeof result, &err) == 0, "the task after it");
    fill(words, (1 << 20) / 8, 5);
    expect(result == sum_of(words, (1 << 20) / 8), "the object is as it was");
    return 0;
}

/* -- full ---------------------------------------------------------------------------------------------------------------------- */

static void meet(const char *folder)
{
    char path[512];

    snprintf(path, sizeof path, "%s/full", folder);
    fclose(fopen(path, "w"));
    snprintf(path, sizeof path, "%s/go", folder);
    while (access(path, F_OK) < 0)
        usleep(20000);
}

static int fills(const char *folder, size_t count, size_t size)
{
    struct mob_ref **blocks = calloc(count, sizeof *blocks);
    uint64_t *words = malloc(size);
    size_t lost = 0, refused_at = count;

    for (size_t i = 0; i < count; i++) {
        struct mob_buffer *b = mob_create(size, &err);

        if (b == NULL) {
            printf("refused %d %s\n", err.code, err.text);
            refused_at = i;
            break;
        }
        fill(mob_buffer_data(b), size / 8, i + 1);
        must((blocks[i] = mob_seal(b, &err)) != NULL, "mob_seal");
    }
    fflush(stdout);
    meet(folder);
    for (size_t i = 0; i < refused_at; i++) {
        struct mob_view view;

        if (mob_get(blocks[i], 60000, &view, &err) < 0) {
            printf("lost %zu %d %s\n", i, err.code, err.text);
            lost++;
            continue;
        }
        fill(words, size / 8, i + 1);
        expect(view.size == size && memcmp(view.data, words, size) == 0, "the block is what was put");
        mob_view_release(&view);
    }
    printf("kept %zu lost %zu\n", refused_at - lost, lost);
    return 0;
}

/* -- side by side ----------------------------------------------------------------------------------------------------------------- */

static int neighbours(size_t size)
{
    uint64_t *words = malloc(size);
    struct mob_view views[4];
    struct mob_ref *refs[4];

    for (unsigned i = 0; i < 4; i++) {
        refs[i] = block(i + 1, size);
        must(mob_get(refs[i], 60000, &views[i], &err) == 0, "mob_get");
    }
    for (unsigned gone = 1; gone < 4; gone++) {
        mob_view_release(&views[gone]);
        mob_ref_drop(refs[gone]);
        mob_ref_drop(block(9, size));   /* its room is asked for after that of the other was given back */
        for (unsigned i = 0; i < 4; i++) {
            fill(words, size / 8, i + 1);
            expect((i > 0 && i <= gone) || memcmp(views[i].data, words, size) == 0, "a block is what was put when its neighbour has gone");
        }
    }
    return 0;
}

/* -- elsewhere ----------------------------------------------------------------------------------------------------------------- */

/* A block, by its number and size. */
static int make(struct mob_task *t, struct mob_error *e)
{
    struct mob_buffer *b;
    uint64_t what[2];

    if (mob_arg_copy(t, 0, what, sizeof what, e) < 0 || (b = mob_create(what[1], e)) == NULL)
        return -1;
    fill(mob_buffer_data(b), what[1] / 8, what[0]);
    return mob_return_buffer(t, 0, b, e);
}
MOB_TASK(make)

static int elsewhere(const char *folder, size_t puts, size_t count, size_t size)
{
    const struct mob_options alone = { .size = sizeof alone, .strategy = "node=1" };
    struct mob_ref **blocks = calloc(count, sizeof *blocks), *last;
    struct mob_fn *there = mob_fn("make", &alone, &err);
    unsigned char *ready = malloc(count);
    uint64_t *words = malloc(size), one;
    struct mob_view view;

    must(there != NULL, "mob_fn");
    for (uint64_t i = 0; i < puts; i++)
        blocks[i] = block(i + 1, size);
    for (uint64_t i = puts; i < count; i++)
        blocks[i] = call("make", NULL, &MOB_BYTES(((uint64_t[]){ i + 1, size }), 16), 1);
    must(mob_wait(blocks, count, count, 90000, ready, &err) == (int)count, "mob_wait");
    meet(folder);
    must(mob_call(there, &MOB_BYTES(((uint64_t[]){ 1, size }), 16), 1, &last, &err) == 0, "mob_call");
    expect(mob_get(last, 60000, &view, &err) < 0 && err.code == MOB_ERR_NO_SPACE, "there is no room on node 1");
    printf("refused %s\n", err.text);
    for (size_t i = 0; i < count; i++) {
        struct mob_ref *of = call("sum", NULL, &MOB_REF(blocks[i]), 1);

        must(mob_get_copy(of, 60000, &one, sizeof one, &err) == 0, "the sum of a block");
        fill(words, size / 8, i + 1);
        expect(one == sum_of(words, size / 8), "it is right");
        mob_ref_drop(of);
    }
    return 0;
}

/* -- what keeps objects ---------------------------------------------------------------------------------------------------------- */

/* Until the folder's driver may go on, and meanwhile it has an object of its own. */
static int takes(struct mob_task *t, struct mob_error *e)
{
    struct mob_ref *seven = block(7, 7 << 20);
    char path[512];

    if (mob_arg_copy(t, 1, path, sizeof path, e) < 0)
        return -1;
    while (access(path, F_OK) < 0)
        usleep(20000);
    mob_ref_drop(seven);
    return mob_return(t, 0, MOB_BYTES("", 0), e);
}
MOB_TASK(takes)

static int keeps(struct mob_task *t, struct mob_error *e)
{
    static struct mob_ref *kept;
    struct mob_view in;

    if (mob_arg(t, 0, &in, e) < 0 || (kept = mob_view_ref(&in, 0, e)) == NULL)
        return -1;
    return mob_return(t, 0, MOB_BYTES("", 0), e);
}
MOB_TASK(keeps)

static void wait_for(struct mob_ref *ref)
{
    unsigned char ready;

    must(mob_wait(&ref, 1, 1, 60000, &ready, &err) == 1, "mob_wait");
}

static int kinds(const char *folder)
{
    const size_t mib = 1 << 20;
    struct mob_ref *one = block(1, mib), *two = block(2, 2 * mib), *three = block(3, 3 * mib), *four, *five = block(5, 5 * mib);
    struct mob_ref *six = block(6, 6 * mib), *turned, *held;
    struct mob_buffer *b = mob_create_refs(4 * mib, &three, 1, &err);
    struct mob_view view;
    char path[512] = "";

    must(b != NULL && (four = mob_seal(b, &err)) != NULL, "an object that carries another");
    mob_ref_drop(three);
    must(mob_ref_clone(one) == one && mob_get(one, -1, &view, &err) == 0, "a view");
    held = call("keeps", NULL, &MOB_BYTES_REFS("", 0, &five, 1), 1);
    wait_for(held);
    mob_ref_drop(five);
    turned = call("turn", "there=1", &MOB_REF(six), 1);
    wait_for(turned);
    mob_ref_drop(six);
    snprintf(path, sizeof path, "%s/go", folder);
    call("takes", NULL, (const struct mob_value[]){ MOB_REF(two), MOB_BYTES(path, sizeof path) }, 2);
    mob_ref_drop(two);
    meet(folder);
    mob_view_release(&view);
    return 0;
}

int main(int argc, char **argv)
{
    const char *verb = argc > 1 ? argv[1] : "";
    int status = 2;

    must(mob_init(argc, argv, NULL, &err) == 0, "mob_init");
    if (strcmp(verb, "works") == 0 && argc == 4)
        status = works(strtoull(argv[2], NULL, 10), strtoull(argv[3], NULL, 10));
    else if (strcmp(verb, "sizes") == 0 && argc == 3)
        status = sizes(strtoull(argv[2], NULL, 10));
    else if (strcmp(verb, "writes") == 0)
        status = writes();
    else if (strcmp(verb, "fills") == 0 && argc == 5)
        status = fills(argv[2], strtoull(argv[3], NULL, 10), strtoull(argv[4], NULL, 10));
    else if (strcmp(verb, "neighbours") == 0 && argc == 3)
        status = neighbours(strtoull(argv[2], NULL, 10));
    else if (strcmp(verb, "elsewhere") == 0 && argc == 6)
        status = elsewhere(argv[2], strtoull(argv[3], NULL, 10), strtoull(argv[4], NULL, 10), strtoull(argv[5], NULL, 10));
    else if (strcmp(verb, "kinds") == 0 && argc == 3)
        status = kinds(argv[2]);
    mob_shutdown();
    return status;
}
