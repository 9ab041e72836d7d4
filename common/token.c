/* SPDX-License-Identifier: Apache-2.0 */
/* token.c -- the secret of a cluster. It is written beside and linked to its name, so that a reader never sees half of it, and a
 * second writer loses to the first. */
#include "common/token.h"

#include <assert.h>
#include <ctype.h>
#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <sys/stat.h>
#include <unistd.h>

#include "common/mem.h"

int mob_token_path(const char *option, char ret[MOB_PATH_SIZE], struct mob_error *err)
{
    const char *named = option != NULL ? option : getenv("MOBULA_TOKEN_FILE");
    char home[MOB_PATH_SIZE / 2];

    if (named != NULL && named[0] != '\0') {
        if (strlen(named) >= MOB_PATH_SIZE)
            return mob_error_set(err, MOB_ERR_INVALID, "the path of the token's file is too long: %.200s", named);
        mob_copy(ret, MOB_PATH_SIZE, named);
        return 0;
    }
    if (mob_paths_home(home, sizeof(home), err) < 0)
        return -1;
    snprintf(ret, MOB_PATH_SIZE, "%s/.mobula/token", home);
    return 0;
}

static int check_file(int fd, const char *path, struct mob_error *err)
{
    struct stat st;

    if (fstat(fd, &st) < 0)
        return mob_error_errno(err, "looking at %s", path);
    if (!S_ISREG(st.st_mode))
        return mob_error_set(err, MOB_ERR_DENIED, "%s is not a file", path);
    if (st.st_uid != geteuid())
        return mob_error_set(err, MOB_ERR_DENIED, "the token %s belongs to user %u; use a copy of your own", path,
                             (unsigned)st.st_uid);
    if ((st.st_mode & 077) != 0)
        return mob_error_set(err, MOB_ERR_DENIED, "others can read the token %s; run chmod 600 %s, and make a new one if it matters",
                             path, path);
    return 0;
}

/* 64 hex digits, and perhaps the end of a line. */
static bool is_token(const char *text, ssize_t size)
{
    for (ssize_t i = 0; i < size && i < MOB_TOKEN_SIZE - 1; i++)
        if (!isxdigit((unsigned char)text[i]))
            return false;
    return size == MOB_TOKEN_SIZE - 1 || (size == MOB_TOKEN_SIZE && text[size - 1] == '\n');
}

int mob_token_load(const char *path, char ret[MOB_TOKEN_SIZE], struct mob_error *err)
{
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
    char text[MOB_TOKEN_SIZE + 1];
    ssize_t got;

    if (fd < 0)
        return mob_error_set(err, MOB_ERR_DENIED, "the cluster's token cannot be read from %s (%s); copy it from the head's machine,"
                             " or name its file by MOBULA_TOKEN_FILE", path, strerror(errno));
    if (check_file(fd, path, err) < 0) {
        close(fd);
        return -1;
    }
    got = read(fd, text, sizeof(text));
    close(fd);
    if (got < 0 || !is_token(text, got))
        return mob_error_set(err, MOB_ERR_INVALID, "%s holds no token of 64 hex digits; copy it again from the head's machine", path);
    memcpy(ret, text, MOB_TOKEN_SIZE - 1);
    ret[MOB_TOKEN_SIZE - 1] = '\0';
    return 0;
}

static int make_folder_of(const char *path, struct mob_error *err)
{
    char *folder = mob_strdup(path), *slash = strrchr(folder, '/');
    int result = 0;

    if (slash != NULL && slash != folder) {
        *slash = '\0';
        if (mkdir(folder, 0700) < 0 && errno != EEXIST)
            result = mob_error_errno(err, "making the folder %s for the cluster's token", folder);
    }
    free(folder);
    return result;
}

static void draw(char text[MOB_TOKEN_SIZE])
{
    unsigned char bytes[(MOB_TOKEN_SIZE - 1) / 2];

    while (getrandom(bytes, sizeof(bytes), 0) != (ssize_t)sizeof(bytes))
        assert(errno == EINTR);
    for (size_t i = 0; i < sizeof(bytes); i++)
        snprintf(text + 2 * i, 3, "%02x", bytes[i]);
}

int mob_token_create(const char *path, char ret[MOB_TOKEN_SIZE], struct mob_error *err)
{
    char text[MOB_TOKEN_SIZE], *temporary;
    int fd, written = -1, linked;

    if (access(path, F_OK) == 0)
        return mob_token_load(path, ret, err);
    if (make_folder_of(path, err) < 0)
        return -1;
    temporary = mob_printf("%s.XXXXXX", path);
    draw(text);
    fd = mkostemp(temporary, O_CLOEXEC);        /* no pid in its name: other hosts may share the folder, and have it, too */
    if (fd >= 0) {
        written = dprintf(fd, "%s\n", text);
        close(fd);
    }
    linked = written == MOB_TOKEN_SIZE ? link(temporary, path) : -1;
    if (linked < 0 && errno != EEXIST)
        mob_error_errno(err, "writing the cluster's token to %s", path);
    else
        linked = mob_token_load(path, ret, err);        /* ours, or that of who was faster */
    unlink(temporary);
    free(temporary);
    return linked;
}

int mob_token_equal(const char *a, const char *b)
{
    size_t size = strlen(a);
    volatile unsigned char different = 0;       /* volatile: every byte is looked at, whatever the first ones said */

    if (strlen(b) != size)
        return 0;
    for (size_t i = 0; i < size; i++)
        different = (unsigned char)(different | (a[i] ^ b[i]));
    return different == 0;
}
