/* SPDX-License-Identifier: Apache-2.0 */
/* descriptors.h -- how many descriptors are open: after an input there are as many as before it. */
#ifndef MOB_TESTS_DESCRIPTORS_H
#define MOB_TESTS_DESCRIPTORS_H

#include <fcntl.h>

static inline int open_descriptors(void)
{
    int count = 0;

    for (int fd = 0; fd < 128; fd++)
        count += fcntl(fd, F_GETFD) >= 0;
    return count;
}

#endif
