/* SPDX-License-Identifier: Apache-2.0 */
/* fuzz_record.c -- any bytes as a daemon's record and as a token's file: no crash; what is taken is within its bounds, and a record
 * reads the same when it is written again. */
#include <assert.h>
#include <ctype.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "common/record.h"
#include "common/token.h"

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size);

static char folder[] = "/tmp/fuzz_record.XXXXXX";
static char path[sizeof folder + sizeof "/file"];

static void remove_folder(void)
{
    unlink(path);
    rmdir(folder);
}

static void make_folder(void)
{
    assert(mkdtemp(folder) != NULL);
    snprintf(path, sizeof path, "%s/file", folder);
    atexit(remove_folder);
}

static void write_file(const uint8_t *bytes, size_t size)
{
    int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);

    assert(fd >= 0 && write(fd, bytes, size) == (ssize_t)size);
    close(fd);
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size)
{
    struct mob_daemon_record record, again;
    char token[MOB_TOKEN_SIZE];
    struct mob_error err;

    if (path[0] == '\0')
        make_folder();
    write_file(bytes, size);
    if (mob_token_load(path, token, &err) == 0) {
        assert(strlen(token) == MOB_TOKEN_SIZE - 1);
        for (size_t i = 0; i < MOB_TOKEN_SIZE - 1; i++)
            assert(isxdigit((unsigned char)token[i]));
    }
    if (mob_record_read(path, &record, &err) < 0)
        return 0;
    assert(record.process.pid > 0 && record.port <= 65535);
    assert(mob_record_write(path, &record, &err) == 0 && mob_record_read(path, &again, &err) == 0);
    assert(strcmp(record.role, again.role) == 0 && strcmp(record.socket, again.socket) == 0 && record.port == again.port
           && record.process.start_ticks == again.process.start_ticks);
    return 0;
}
