/* SPDX-License-Identifier: Apache-2.0 */
/* bad_box.c COMMAND... -- run COMMAND in the box of tests/box.h: no pidfds, no new namespaces. */
#include <stdio.h>
#include <string.h>

#include "tests/box.h"

int main(int argc, char **argv)
{
    if (argc < 2) {
        fprintf(stderr, "usage: bad_box COMMAND...\n");
        return 2;
    }
    if (mob_box_close() < 0) {
        fprintf(stderr, "bad_box: no seccomp filters here: %s\n", strerror(errno));
        return 1;
    }
    execvp(argv[1], argv + 1);
    fprintf(stderr, "bad_box: %s: %s\n", argv[1], strerror(errno));
    return 127;
}
