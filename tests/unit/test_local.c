/* SPDX-License-Identifier: Apache-2.0 */
/* test_local.c -- the raylet's Unix socket: frames cut anywhere, descriptors, batches, garbage, a peer that does not read. */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "common/wire.h"
#include "raylet/local.h"
#include "unit.h"

#define FRAMES_MAX 64

struct fixture {
    struct mob_loop *loop;
    struct mob_local *local;
    char folder[32], path[400];
    int fd;                             /* the other end */
    uint64_t link;
    unsigned frames, lost;
    size_t sizes[FRAMES_MAX];
    uint8_t first[FRAMES_MAX], last[FRAMES_MAX];
    int got_fd;
    struct mob_error why;
};

static struct fixture f;

static void on_frame(void *arg, struct mob_stream *c, const void *frame, size_t size)
{
    const uint8_t *bytes = frame;

    (void)arg;
    ck_assert_uint_lt(f.frames, FRAMES_MAX);
    f.link = mob_stream_tag(c)->link;
    f.sizes[f.frames] = size;
    f.first[f.frames] = bytes[0];
    f.last[f.frames] = bytes[size - 1];
    f.frames++;
    if (f.got_fd < 0)
        f.got_fd = mob_stream_take_fd(c);
}

static void on_lost(void *arg, struct mob_stream *c, const struct mob_error *why)
{
    (void)arg, (void)c;
    f.lost++;
    f.why = *why;
}

static void turn(void)
{
    uv_run(mob_loop_uv(f.loop), UV_RUN_NOWAIT);
}

static void setup(void)
{
    static const struct mob_stream_events events = { on_frame, on_lost };
    struct sockaddr_un address = { .sun_family = AF_UNIX };
    char deep[128];

    memset(&f, 0, sizeof f);
    f.got_fd = -1;
    strcpy(f.folder, "/tmp/mobula-test-XXXXXX");
    ck_assert_ptr_nonnull(mkdtemp(f.folder));
    memset(deep, 'd', 120);             /* longer than sun_path */
    deep[120] = '\0';
    snprintf(f.path, sizeof f.path, "%s/%s", f.folder, deep);
    ck_assert_int_eq(mkdir(f.path, 0700), 0);
    strcat(f.path, "/raylet.sock");
    f.loop = mob_loop_create();
    f.local = mob_local_create(f.loop, &events, NULL);
    ck_assert_int_eq(mob_local_listen(f.local, f.path, NULL), 0);

    char *folder = strndup(f.path, strlen(f.path) - strlen("/raylet.sock"));
    int folder_fd = open(folder, O_PATH | O_DIRECTORY);
    snprintf(address.sun_path, sizeof address.sun_path, "/proc/self/fd/%d/raylet.sock", folder_fd);
    f.fd = socket(AF_UNIX, SOCK_STREAM, 0);
    ck_assert_int_eq(connect(f.fd, (struct sockaddr *)&address, sizeof address), 0);
    close(folder_fd);
    free(folder);
    turn();
}

static void teardown(void)
{
    close(f.fd);
    if (f.got_fd >= 0)
        close(f.got_fd);
    mob_local_destroy(f.local);
    mob_loop_destroy(f.loop);
    unlink(f.path);
    *strrchr(f.path, '/') = '\0';
    rmdir(f.path);
    ck_assert_int_eq(rmdir(f.folder), 0);
}

static void *frame_of(uint32_t size, char fill)
{
    char *bytes = malloc(sizeof size + size);

    memcpy(bytes, &size, sizeof size);
    memset(bytes + sizeof size, fill, size);
    return bytes;
}

static void put(const void *bytes, size_t size)
{
    while (size > 0) {
        ssize_t n = send(f.fd, bytes, size, MSG_DONTWAIT);

        if (n > 0) {
            bytes = (const char *)bytes + n;
            size -= (size_t)n;
        }
        turn();
    }
    turn();
}

START_TEST(test_frames_cut_anywhere)
{
    char bytes[3 * 5 + 2 * 3];
    uint32_t size = 3;

    for (int i = 0; i < 3; i++) {
        memcpy(bytes + i * 7, &size, 4);
        memset(bytes + i * 7 + 4, 'a' + i, 3);
    }
    for (size_t cut = 1; cut < sizeof bytes; cut++) {
        f.frames = 0;
        put(bytes, cut);
        put(bytes + cut, sizeof bytes - cut);
        ck_assert_uint_eq(f.frames, 3);
        for (int i = 0; i < 3; i++) {
            ck_assert_uint_eq(f.sizes[i], 3);
            ck_assert_int_eq(f.first[i], 'a' + i);
            ck_assert_int_eq(f.last[i], 'a' + i);
        }
    }
    f.frames = 0;
    for (size_t i = 0; i < sizeof bytes; i++)
        put(bytes + i, 1);
    ck_assert_uint_eq(f.frames, 3);
}
END_TEST

START_TEST(test_largest_frame)
{
    void *bytes = frame_of(MOB_ENVELOPE_MAX, 'x');

    put(bytes, 4 + MOB_ENVELOPE_MAX);
    ck_assert_uint_eq(f.frames, 1);
    ck_assert_uint_eq(f.sizes[0], MOB_ENVELOPE_MAX);
    ck_assert_int_eq(f.last[0], 'x');
    free(bytes);
}
END_TEST

START_TEST(test_impossible_sizes_end_the_connection)
{
    uint32_t sizes[] = { 0, MOB_ENVELOPE_MAX + 1, UINT32_MAX };

    put(&sizes[_i], 4);
    turn();
    ck_assert_uint_eq(f.lost, 1);
    ck_assert_int_eq(f.why.code, MOB_ERR_PROTOCOL);
    ck_assert_uint_eq(f.frames, 0);
    char byte;
    ck_assert_int_eq(recv(f.fd, &byte, 1, 0), 0);
}
END_TEST

START_TEST(test_descriptor_comes_with_its_frame)
{
    char *bytes = frame_of(1, 'h'), room[CMSG_SPACE(sizeof(int))] = { 0 };
    struct iovec v = { bytes, 5 };
    struct msghdr m = { .msg_iov = &v, .msg_iovlen = 1, .msg_control = room, .msg_controllen = sizeof room };
    struct cmsghdr *h = CMSG_FIRSTHDR(&m);
    struct stat sent, got;
    int fd = open("/dev/null", O_RDONLY);

    h->cmsg_level = SOL_SOCKET;
    h->cmsg_type = SCM_RIGHTS;
    h->cmsg_len = CMSG_LEN(sizeof fd);
    memcpy(CMSG_DATA(h), &fd, sizeof fd);
    ck_assert_int_eq(sendmsg(f.fd, &m, 0), 5);
    turn();
    ck_assert_uint_eq(f.frames, 1);
    ck_assert_int_ge(f.got_fd, 0);
    ck_assert_int_eq(fstat(fd, &sent), 0);
    ck_assert_int_eq(fstat(f.got_fd, &got), 0);
    ck_assert_uint_eq(sent.st_rdev, got.st_rdev);
    ck_assert_int_ne(fcntl(f.got_fd, F_GETFD) & FD_CLOEXEC, 0);
    close(fd);
    free(bytes);
}
END_TEST

/* One recvmsg of our end: how many bytes and descriptors came. */
static ssize_t receive(char *bytes, size_t size, int *ret_fds)
{
    char room[CMSG_SPACE(8 * sizeof(int))];
    struct iovec v = { bytes, size };
    struct msghdr m = { .msg_iov = &v, .msg_iovlen = 1, .msg_control = room, .msg_controllen = sizeof room };
    ssize_t n = recvmsg(f.fd, &m, MSG_DONTWAIT);

    *ret_fds = 0;
    for (struct cmsghdr *h = n < 0 ? NULL : CMSG_FIRSTHDR(&m); h != NULL; h = CMSG_NXTHDR(&m, h)) {
        *ret_fds = (int)((h->cmsg_len - CMSG_LEN(0)) / sizeof(int));
        for (int i = 0; i < *ret_fds; i++)
            close(((int *)CMSG_DATA(h))[i]);
    }
    return n;
}

START_TEST(test_batches_and_descriptors_in_order)
{
    void *hello = frame_of(1, '!');
    int null_fd = open("/dev/null", O_RDONLY), fds[] = { null_fd, null_fd, null_fd }, count;
    char bytes[256];

    put(hello, 5);
    for (int i = 0; i < 10; i++)
        mob_local_send(f.local, f.link, "ab", 2, NULL, 0);
    mob_local_send(f.local, f.link, "cd", 2, fds, 3);
    mob_local_send(f.local, f.link, "ef", 2, NULL, 0);
    mob_stream_send_first(mob_local_find(f.local, f.link), "W", 1, fds, 1);
    ck_assert_int_lt(receive(bytes, sizeof bytes, &count), 0);  /* nothing before the flush */
    mob_local_flush(f.local);

    ck_assert_int_eq(receive(bytes, sizeof bytes, &count), 5 + 60);     /* a read ends where the descriptors of the next begin */
    ck_assert_int_eq(count, 1);
    ck_assert_int_eq(bytes[4], 'W');
    ck_assert_int_eq(receive(bytes, sizeof bytes, &count), 12);
    ck_assert_int_eq(count, 3);
    ck_assert_int_eq(memcmp(bytes + 4, "cd", 2), 0);
    ck_assert_int_eq(memcmp(bytes + 10, "ef", 2), 0);
    close(null_fd);
    free(hello);
}
END_TEST

START_TEST(test_slow_reader_is_served_when_it_reads)
{
    void *hello = frame_of(1, '!');
    char *big = calloc(1, 1 << 20), *room = malloc(1 << 20);
    size_t got = 0, want = 8u * ((1u << 20) + 4);
    int count;

    put(hello, 5);
    for (int i = 0; i < 8; i++)
        mob_local_send(f.local, f.link, big, 1 << 20, NULL, 0);
    mob_local_flush(f.local);
    ck_assert_uint_gt(mob_stream_queued(mob_local_find(f.local, f.link)), 0);
    while (got < want) {
        ssize_t n = receive(room, 1 << 20, &count);

        got += n > 0 ? (size_t)n : 0;
        turn();
    }
    ck_assert_uint_eq(mob_stream_queued(mob_local_find(f.local, f.link)), 0);
    ck_assert_uint_eq(f.lost, 0);
    free(hello);
    free(big);
    free(room);
}
END_TEST

START_TEST(test_who_does_not_read_is_ended)
{
    void *hello = frame_of(1, '!');
    char *big = calloc(1, MOB_ENVELOPE_MAX);

    put(hello, 5);
    for (int i = 0; i < 15; i++)
        mob_local_send(f.local, f.link, big, MOB_ENVELOPE_MAX, NULL, 0);
    ck_assert_ptr_nonnull(mob_local_find(f.local, f.link));
    for (int i = 0; i < 3; i++)
        mob_local_send(f.local, f.link, big, MOB_ENVELOPE_MAX, NULL, 0);
    ck_assert_ptr_null(mob_local_find(f.local, f.link));
    turn();
    ck_assert_uint_eq(f.lost, 1);
    free(hello);
    free(big);
}
END_TEST

START_TEST(test_last_words_are_heard)
{
    void *bytes = frame_of(2, 'l');

    put(bytes, 6);
    ck_assert_int_eq(send(f.fd, bytes, 6, 0), 6);
    close(f.fd);
    f.fd = socket(AF_UNIX, SOCK_STREAM, 0);
    mob_stream_drain(mob_local_find(f.local, f.link));
    ck_assert_uint_eq(f.frames, 2);
    ck_assert_uint_eq(f.lost, 0);       /* told from the loop */
    turn();
    ck_assert_uint_eq(f.lost, 1);
    free(bytes);
}
END_TEST

/* Its socket has an error then, and what it said before: all is heard, and that it has gone. */
START_TEST(test_who_leaves_without_reading)
{
    char *bytes = frame_of(50000, 'x');

    put(bytes, sizeof(uint32_t) + 50000);
    mob_local_send(f.local, f.link, "unread", 6, NULL, 0);
    mob_local_flush(f.local);
    for (int i = 0; i < 2; i++)
        ck_assert_int_eq(send(f.fd, bytes, sizeof(uint32_t) + 50000, MSG_DONTWAIT), (ssize_t)sizeof(uint32_t) + 50000);
    close(f.fd);
    f.fd = -1;
    for (int i = 0; i < 10; i++)
        turn();
    ck_assert_uint_eq(f.frames, 3);
    ck_assert_uint_eq(f.lost, 1);
    free(bytes);
}
END_TEST

UNIT_CASE("local", tcase)
{
    tcase_add_checked_fixture(tcase, setup, teardown);
    UNIT_TESTS(tcase, test_frames_cut_anywhere, test_largest_frame, test_descriptor_comes_with_its_frame,
               test_batches_and_descriptors_in_order, test_slow_reader_is_served_when_it_reads, test_who_does_not_read_is_ended,
               test_last_words_are_heard, test_who_leaves_without_reading);
    tcase_add_loop_test(tcase, test_impossible_sizes_end_the_connection, 0, 3);
}
