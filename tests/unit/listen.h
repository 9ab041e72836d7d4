/* SPDX-License-Identifier: Apache-2.0 */
/* listen.h -- a port of this machine where nobody answers unless the test does. */
#ifndef MOB_TESTS_UNIT_LISTEN_H
#define MOB_TESTS_UNIT_LISTEN_H

#include <arpa/inet.h>
#include <check.h>
#include <stdint.h>
#include <sys/socket.h>

/* Returns the socket, which is the caller's to close. */
static inline int unit_listen(uint32_t *ret_port)
{
    struct sockaddr_in here = { .sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
    socklen_t size = sizeof here;
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

    ck_assert_int_eq(bind(fd, (struct sockaddr *)&here, sizeof here), 0);
    ck_assert_int_eq(listen(fd, 8), 0);
    ck_assert_int_eq(getsockname(fd, (struct sockaddr *)&here, &size), 0);
    *ret_port = ntohs(here.sin_port);
    return fd;
}

#endif
