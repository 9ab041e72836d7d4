/* SPDX-License-Identifier: Apache-2.0 */
/* transfer.c -- what moving objects between hosts costs, one figure a line: "name figure".
 *
 *     bench_transfer pull MIB NODE ROUNDS      an object made there, sealed; GB/s of a get here
 *     bench_transfer round MIB NODE ROUNDS     a task there makes it, it is read here: ms of the whole round
 *     bench_transfer broadcast MIB ROUNDS      put here, an argument of one task on each other node: GB/s in all; copies that left here
 *     bench_transfer give PORT                 the limit: waits for takers, and writes a mapping to each
 *     bench_transfer take IP PORT MIB ROUNDS   GB/s of a bare recv() into a mapping
 *
 * Cluster: $MOBULA_ADDRESS. */
#include <mobula.h>

#include <arpa/inet.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#define PIECE (1u << 20)
#define MIB(n) ((size_t)(n) << 20)
#define NODES_MAX 64

static double now_s(void)
{
    struct timespec t;

    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

static _Noreturn void fail(const char *what, const struct mob_error *err)
{
    fprintf(stderr, "bench_transfer: %s: %s\n", what, err->text);
    exit(1);
}

/* -- the limit --------------------------------------------------------------------------------------------------------------- */

static char *mapping(size_t size)
{
    int fd = memfd_create("bench", MFD_CLOEXEC);
    char *p = MAP_FAILED;

    if (fd >= 0 && ftruncate(fd, (off_t)size) == 0)
        p = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_POPULATE, fd, 0);
    if (p == MAP_FAILED) {
        perror("bench_transfer: mapping");
        exit(1);
    }
    memset(p, 7, size);
    return p;
}

static struct sockaddr_in address(const char *ip, const char *port)
{
    struct sockaddr_in a = { .sin_family = AF_INET, .sin_port = htons((uint16_t)atoi(port)) };

    inet_pton(AF_INET, ip, &a.sin_addr);
    return a;
}

static void write_all(int fd, const char *from, size_t size)
{
    while (size > 0) {
        ssize_t n = send(fd, from, size < PIECE ? size : PIECE, MSG_NOSIGNAL);

        if (n <= 0)
            return;
        from += n;
        size -= (size_t)n;
    }
}

static int give(const char *port)
{
    struct sockaddr_in here = address("0.0.0.0", port);
    int listening = socket(AF_INET, SOCK_STREAM, 0), on = 1, fd;
    uint64_t size;

    setsockopt(listening, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
    if (bind(listening, (struct sockaddr *)&here, sizeof here) < 0 || listen(listening, 8) < 0) {
        perror("bench_transfer: listen");
        return 1;
    }
    while ((fd = accept(listening, NULL, NULL)) >= 0) {
        char *from = NULL;

        while (recv(fd, &size, sizeof size, MSG_WAITALL) == sizeof size) {
            from = from != NULL ? from : mapping(size);
            write_all(fd, from, size);
        }
        if (from != NULL)
            munmap(from, size);
        close(fd);
    }
    return 0;
}

static int take(const char *ip, const char *port, size_t size, int rounds)
{
    struct sockaddr_in there = address(ip, port);
    int fd = socket(AF_INET, SOCK_STREAM, 0);
    char *into = mapping(size);

    for (int tries = 0; connect(fd, (struct sockaddr *)&there, sizeof there) < 0; tries++) {
        if (tries == 100) {
            perror("bench_transfer: connect");
            return 1;
        }
        usleep(50000);
    }
    for (int i = -1; i < rounds; i++) {         /* the first one warms */
        double start = now_s();

        write_all(fd, (char *)&(uint64_t){ size }, sizeof(uint64_t));
        for (size_t got = 0; got < size;) {
            ssize_t n = recv(fd, into + got, size - got < PIECE ? size - got : PIECE, 0);

            if (n <= 0)
                return 1;
            got += (size_t)n;
        }
        if (i >= 0)
            printf("bare_%zu %.3f\n", size >> 20, (double)size / (now_s() - start) / 1e9);
    }
    return 0;
}

/* -- objects ------------------------------------------------------------------------------------------------------------------- */

/* An object of so many MiB. */
static int make(struct mob_task *t, struct mob_error *err)
{
    struct mob_buffer *b;
    uint32_t mib;

    if (mob_arg_copy(t, 0, &mib, sizeof mib, err) < 0 || (b = mob_create(MIB(mib), err)) == NULL)
        return -1;
    memset(mob_buffer_data(b), (int)mib + 1, MIB(mib));
    return mob_return_buffer(t, 0, b, err);
}
MOB_TASK(make)

/* Its argument is here. */
static int touch(struct mob_task *t, struct mob_error *err)
{
    struct mob_view view;
    char last;

    if (mob_arg(t, 0, &view, err) < 0)
        return -1;
    last = ((const char *)view.data)[view.size - 1];
    return mob_return(t, 0, MOB_BYTES(&last, 1), err);
}
MOB_TASK(touch)

static struct mob_fn *function(const char *name, const char *node)
{
    char strategy[80];
    struct mob_options options = { .size = sizeof options, .strategy = strategy };
    struct mob_error err;
    struct mob_fn *fn;

    snprintf(strategy, sizeof strategy, "node=%s", node);
    if ((fn = mob_fn(name, &options, &err)) == NULL)
        fail(name, &err);
    return fn;
}

static struct mob_ref *call(struct mob_fn *fn, struct mob_value arg)
{
    struct mob_error err;
    struct mob_ref *ref;

    if (mob_call(fn, &arg, 1, &ref, &err) < 0)
        fail("call", &err);
    return ref;
}

static void await(struct mob_ref *ref)
{
    struct mob_error err;
    unsigned char ready;

    if (mob_wait(&ref, 1, 1, 60000, &ready, &err) != 1)
        fail("wait", &err);
}

static void read_it(struct mob_ref *ref, size_t size)
{
    struct mob_error err;
    struct mob_view view;

    if (mob_get(ref, 60000, &view, &err) < 0)
        fail("get", &err);
    if (view.size != size || ((const char *)view.data)[0] != ((const char *)view.data)[size - 1])
        exit(1);
    mob_view_release(&view);
}

static void pull(uint32_t mib, const char *node, int rounds, int whole_round)
{
    struct mob_fn *fn = function("make", node);

    for (int i = -2; i < rounds; i++) {
        double start = now_s(), seconds;
        struct mob_ref *ref = call(fn, MOB_BYTES(&mib, sizeof mib));

        if (!whole_round) {
            await(ref);
            start = now_s();
        }
        read_it(ref, MIB(mib));
        seconds = now_s() - start;
        mob_ref_drop(ref);
        if (i >= 0 && whole_round)
            printf("round_%u %.3f\n", mib, seconds * 1e3);
        else if (i >= 0)
            printf("pull_%u %.3f\n", mib, (double)MIB(mib) / seconds / 1e9);
    }
    mob_fn_destroy(fn);
}

/* Bytes that left this host. */
static double sent(void)
{
    FILE *f = fopen("/proc/net/dev", "r");
    char line[512], name[32];
    double in, out, sum = 0;

    while (f != NULL && fgets(line, sizeof line, f) != NULL)
        if (sscanf(line, " %31[^:]: %lf %*f %*f %*f %*f %*f %*f %*f %lf", name, &in, &out) == 3 && strcmp(name, "lo") != 0)
            sum += out;
    if (f != NULL)
        fclose(f);
    return sum;
}

static size_t others(struct mob_fn *fns[NODES_MAX])
{
    struct mob_node nodes[NODES_MAX];
    size_t count = NODES_MAX, n = 0;
    struct mob_error err;

    for (size_t i = 0; i < NODES_MAX; i++)
        nodes[i] = (struct mob_node){ .size = sizeof nodes[i] };
    if (mob_nodes(nodes, &count, &err) < 0)
        fail("nodes", &err);
    for (size_t i = 0; i < count && i < NODES_MAX; i++)
        if (strcmp(nodes[i].id, "1") != 0)
            fns[n++] = function("touch", nodes[i].id);
    return n;
}

static void broadcast(uint32_t mib, int rounds)
{
    struct mob_fn *fns[NODES_MAX];
    size_t count = others(fns), size = MIB(mib);
    struct mob_ref *done[NODES_MAX];
    char byte[2] = "x", *bytes = mapping(size);
    struct mob_error err;

    for (int i = -1; i < rounds; i++) {
        struct mob_ref *small = mob_put(byte, 1, &err), *big;
        double start, before, seconds;

        for (size_t n = 0; n < count; n++)      /* warm workers */
            done[n] = call(fns[n], MOB_REF(small));
        for (size_t n = 0; n < count; n++)
            read_it(done[n], 1), mob_ref_drop(done[n]);
        if ((big = mob_put(bytes, size, &err)) == NULL)
            fail("put", &err);
        before = sent();
        start = now_s();
        for (size_t n = 0; n < count; n++)
            done[n] = call(fns[n], MOB_REF(big));
        for (size_t n = 0; n < count; n++)
            read_it(done[n], 1), mob_ref_drop(done[n]);
        seconds = now_s() - start;
        if (i >= 0)
            printf("broadcast_%u %.3f\ncopies_%u %.3f\n", mib, (double)count * (double)size / seconds / 1e9, mib,
                   (sent() - before) / (double)size);
        mob_ref_drop(big);
        mob_ref_drop(small);
    }
}

int main(int argc, char **argv)
{
    struct mob_init_options options = { .size = sizeof options };
    struct mob_error err;

    if (argc == 3 && strcmp(argv[1], "give") == 0)
        return give(argv[2]);
    if (argc == 6 && strcmp(argv[1], "take") == 0)
        return take(argv[2], argv[3], MIB(atoi(argv[4])), atoi(argv[5]));
    if (mob_init(argc, argv, &options, &err) < 0)
        fail("init", &err);
    if (argc == 5 && (strcmp(argv[1], "pull") == 0 || strcmp(argv[1], "round") == 0))
        pull((uint32_t)atoi(argv[2]), argv[3], atoi(argv[4]), argv[1][0] == 'r');
    else if (argc == 4 && strcmp(argv[1], "broadcast") == 0)
        broadcast((uint32_t)atoi(argv[2]), atoi(argv[3]));
    else
        fprintf(stderr, "bench_transfer: pull MIB NODE ROUNDS | round MIB NODE ROUNDS | broadcast MIB ROUNDS | give PORT | take ...\n");
    mob_shutdown();
    return 0;
}
