/* SPDX-License-Identifier: Apache-2.0 */
/* scenes_transfer.c -- big values between nodes: read from a copy when the first node is gone, brought when there is room again, sent to
 * many about once, and freed everywhere. */
#include <stdio.h>
#include <string.h>

#include "tasks.h"

#define SIZE UINT64_C(24000000)
#define NODES_MAX 16

static struct mob_ref *call_on(const char *ip, const char *function, struct mob_value arg)
{
    char node[40], strategy[64];
    struct mob_options options = { .size = sizeof options, .strategy = strategy };

    node_at(ip, node, sizeof node);
    snprintf(strategy, sizeof strategy, "node=%s", node);
    return call_with(function, &options, &arg, 1);
}

static void await(struct mob_ref *ref)
{
    struct mob_error err;
    unsigned char ready;

    CHECK(mob_wait(&ref, 1, 1, 20000, &ready, &err) == 1);
}

/* survives FOLDER IP COPY: a value made on IP has been read on COPY; after "dead" it is read here all the same. */
static int survives(char **words)
{
    uint64_t size = SIZE, sum;
    struct mob_ref *ref = call_on(words[1], "blob_buffer", MOB_BYTES(&size, sizeof size));
    struct mob_view view;
    struct mob_error err;

    sum = take_u64(call_on(words[2], "checksum", MOB_REF(ref)));
    make_file(words[0], "ready", "");
    await_file(words[0], "dead", "");
    CHECK_OK(mob_get(ref, 20000, &view, &err), &err);
    CHECK(view.size == size && checksum_of(view.data, view.size) == sum);
    mob_view_release(&view);
    mob_ref_drop(ref);
    return 0;
}

/* outlasts FOLDER IP: values that only IP has, more than its memory takes; after "gone" all are read here, and the large ones again there
 * where they are by then. */
static int outlasts(char **words)
{
    enum { COUNT = 19, LARGE = 3 };
    uint64_t size, sum[COUNT];
    struct mob_ref *ref[COUNT];
    struct mob_view view;
    struct mob_error err;

    for (int i = 0; i < COUNT; i++) {
        size = i < LARGE ? SIZE + (uint64_t)i : 200000 + (uint64_t)i * 1000;
        ref[i] = call_on(words[1], "blob_buffer", MOB_BYTES(&size, sizeof size));
        sum[i] = take_u64(call_on(words[1], "checksum", MOB_REF(ref[i])));
    }
    make_file(words[0], "ready", "");
    await_file(words[0], "gone", "");
    for (int i = 0; i < LARGE; i++)
        CHECK(take_u64(call("checksum", (struct mob_value[]){ MOB_REF(ref[i]) }, 1)) == sum[i]);
    for (int i = 0; i < COUNT; i++) {
        CHECK_OK(mob_get(ref[i], 20000, &view, &err), &err);
        CHECK(checksum_of(view.data, view.size) == sum[i]);
        mob_view_release(&view);
        mob_ref_drop(ref[i]);
    }
    return 0;
}

/* owned FOLDER IP: a value that a worker of IP owns; after "look" it is read, and dropped. */
static int owned(char **words)
{
    uint64_t size = 300000;
    struct mob_ref *ref = call_on(words[1], "blob_sealed", MOB_BYTES(&size, sizeof size));
    struct mob_view view;
    struct mob_error err;

    await(ref);
    make_file(words[0], "ready", "");
    await_file(words[0], "look", "");
    CHECK_OK(mob_get(ref, 20000, &view, &err), &err);
    CHECK(view.size == size);
    mob_view_release(&view);
    mob_ref_drop(ref);
    return 0;
}

/* fits IP: this node's store has room for one value and a half. One from IP goes to the overflow while another is read. */
static int fits(char **words)
{
    uint64_t size = SIZE, sum;
    struct mob_ref *far = call_on(words[0], "blob_buffer", MOB_BYTES(&size, sizeof size)), *near;
    struct mob_buffer *b;
    struct mob_view view, other;
    struct mob_error err;

    CHECK((b = mob_create(size, &err)) != NULL);
    memset(mob_buffer_data(b), 1, size);
    CHECK((near = mob_seal(b, &err)) != NULL);
    CHECK_OK(mob_get(near, 20000, &view, &err), &err);
    sum = take_u64(call_on(words[0], "checksum", MOB_REF(far)));
    CHECK_OK(mob_get(far, 20000, &other, &err), &err);
    CHECK(other.size == size && checksum_of(other.data, other.size) == sum);
    CHECK(*(const char *)view.data == 1 && ((const char *)view.data)[size - 1] == 1);
    mob_view_release(&view);
    mob_view_release(&other);
    mob_ref_drop(near);
    mob_ref_drop(far);
    return 0;
}

/* Bytes that left this host. */
static double sent(void)
{
    FILE *f = fopen("/proc/net/dev", "r");
    char line[512], name[32];
    double out, sum = 0;

    CHECK(f != NULL);
    while (fgets(line, sizeof line, f) != NULL)
        if (sscanf(line, " %31[^:]: %*f %*f %*f %*f %*f %*f %*f %*f %lf", name, &out) == 2 && strcmp(name, "lo") != 0)
            sum += out;
    fclose(f);
    return sum;
}

/* shares FOLDER IP...: one value is read on all of them at once, and leaves here about once. Then it is dropped: "dropped", until "end". */
static int shares(char **words)
{
    struct mob_ref *done[NODES_MAX], *ref;
    struct mob_buffer *b;
    struct mob_error err;
    double before;
    uint64_t sum;
    int count = 0;

    CHECK((b = mob_create(SIZE, &err)) != NULL);
    fill_pattern(mob_buffer_data(b), SIZE, 5);
    sum = checksum_of(mob_buffer_data(b), SIZE);
    CHECK((ref = mob_seal(b, &err)) != NULL);
    for (int i = 1; words[i] != NULL; i++)      /* their programs are there */
        CHECK(take_u64(call_on(words[i], "echo", MOB_BYTES(&sum, sizeof sum))) == sum);
    before = sent();
    for (; words[count + 1] != NULL; count++)
        done[count] = call_on(words[count + 1], "checksum", MOB_REF(ref));
    for (int i = 0; i < count; i++)
        CHECK(take_u64(done[i]) == sum);
    printf("copies %.2f\n", (sent() - before) / (double)SIZE);
    fflush(stdout);
    mob_ref_drop(ref);
    make_file(words[0], "dropped", "");
    await_file(words[0], "end", "");
    return 0;
}

/* Two calls of `function` for each of two values on each of two hosts, in turns; no strategy says where. */
static void call_near(const char *function, struct mob_ref *values[4], struct mob_ref *ret[4])
{
    uint64_t ms = 200;

    for (int i = 0; i < 4; i++) {
        struct mob_value args[2] = { MOB_BYTES(&ms, sizeof ms), MOB_REF(values[i]) };
        bool hold = strcmp(function, "hold") == 0;

        ret[i] = call_with(function, NULL, hold ? args : args + 1, hold ? 2 : 1);
    }
}

/* near FOLDER IP IP: each host makes two values: "made". When all is "free", tasks run where their value is: "ran"; or, "far", the
 * head was too late, and all ends with status 3. While the first host is full they run elsewhere, and see the same. */
static int near(char **words)
{
    uint64_t size = SIZE / 4, sums[4];
    struct mob_ref *values[4], *calls[4], *gates[2];
    bool far = false;
    struct witness w;

    for (int i = 0; i < 4; i++)
        values[i] = call_on(words[1 + i % 2], "blob_buffer", MOB_BYTES(&size, sizeof size));
    for (int i = 0; i < 4; i++)
        await(values[i]);
    make_file(words[0], "made", "");
    await_file(words[0], "free", "");
    call_near("hold", values, calls);
    for (int i = 0; i < 4; i++) {
        take_witness(calls[i], &w);
        far |= strcmp(w.ip, words[1 + i % 2]) != 0;
    }
    if (far) {
        make_file(words[0], "far", "");
        return 3;
    }
    call_near("checksum", values, calls);
    for (int i = 0; i < 4; i++)
        sums[i] = take_u64(calls[i]);
    make_file(words[0], "ran", "");
    await_file(words[0], "looked", "");
    for (int i = 0; i < 2; i++) {
        char node[40], strategy[64], name[16];
        struct mob_options options = { .size = sizeof options, .strategy = strategy };

        node_at(words[1], node, sizeof node);
        snprintf(strategy, sizeof strategy, "node=%s", node);
        snprintf(name, sizeof name, "gate%d", i);
        gates[i] = call_gate("gate", &options, words[0], name);
        await_file(words[0], name, ".started");
    }
    call_near("hold", values, calls);
    for (int i = 0; i < 4; i++) {
        take_witness(calls[i], &w);
        CHECK(strcmp(w.ip, words[1]) != 0);
    }
    call_near("checksum", values, calls);
    for (int i = 0; i < 4; i++) {
        CHECK(take_u64(calls[i]) == sums[i]);
        mob_ref_drop(values[i]);
    }
    make_file(words[0], "open", "");
    for (int i = 0; i < 2; i++)
        CHECK(take_u64(gates[i]) == 1);
    return 0;
}

const struct scene scenes_transfer[] = {
    { "survives", "FOLDER IP COPY", survives },
    { "outlasts", "FOLDER IP", outlasts },
    { "owned", "FOLDER IP", owned },
    { "fits", "IP", fits },
    { "shares", "FOLDER IP...", shares },
    { "near", "FOLDER IP IP", near },
    { 0 },
};
