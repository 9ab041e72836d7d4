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

/* fits IP: this node's store has room for one value and a half. One from IP waits until the view of another is released. */
static int fits(char **words)
{
    uint64_t size = SIZE;
    struct mob_ref *far = call_on(words[0], "blob_buffer", MOB_BYTES(&size, sizeof size)), *near;
    struct mob_buffer *b;
    struct mob_view view, other;
    struct mob_error err;

    CHECK((b = mob_create(size, &err)) != NULL);
    memset(mob_buffer_data(b), 1, size);
    CHECK((near = mob_seal(b, &err)) != NULL);
    CHECK_OK(mob_get(near, 20000, &view, &err), &err);
    await(far);
    CHECK(mob_get(far, 300, &other, &err) < 0);
    CHECK(err.code == MOB_ERR_TIMEOUT);
    mob_ref_drop(near);
    mob_view_release(&view);
    CHECK_OK(mob_get(far, 20000, &other, &err), &err);
    CHECK(other.size == size);
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

const struct scene scenes_transfer[] = {
    { "survives", "FOLDER IP COPY", survives },
    { "fits", "IP", fits },
    { "shares", "FOLDER IP...", shares },
    { 0 },
};
