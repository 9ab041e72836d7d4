/* SPDX-License-Identifier: Apache-2.0 */
/* hash.c -- SHA-256 by libcrypto. Its calls fail only for want of memory, which ends the process as everywhere (mem.h). */
#include "common/hash.h"

#include <assert.h>
#include <ctype.h>
#include <errno.h>
#include <openssl/evp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "common/mem.h"

#define READ_SIZE (256u << 10)

struct mob_hasher {
    EVP_MD_CTX *context;
};

struct mob_hasher *mob_hasher_create(void)
{
    struct mob_hasher *h = mob_new(struct mob_hasher);
    int started;

    h->context = EVP_MD_CTX_new();
    assert(h->context != NULL);
    started = EVP_DigestInit_ex(h->context, EVP_sha256(), NULL);
    assert(started == 1);
    (void)started;
    return h;
}

void mob_hasher_add(struct mob_hasher *h, const void *bytes, size_t size)
{
    int added = EVP_DigestUpdate(h->context, bytes, size);

    assert(added == 1);
    (void)added;
}

struct mob_hash mob_hasher_finish(struct mob_hasher *h)
{
    struct mob_hash hash;
    unsigned size = 0;
    int done = EVP_DigestFinal_ex(h->context, hash.bytes, &size);

    assert(done == 1 && size == MOB_HASH_SIZE);
    (void)done;
    EVP_MD_CTX_free(h->context);
    free(h);
    return hash;
}

struct mob_hash mob_hash_bytes(const void *bytes, size_t size)
{
    struct mob_hasher *h = mob_hasher_create();

    mob_hasher_add(h, bytes, size);
    return mob_hasher_finish(h);
}

int mob_hash_fd(int fd, struct mob_hash *ret, struct mob_error *err)
{
    struct mob_hasher *h = mob_hasher_create();
    unsigned char *buffer = mob_alloc(READ_SIZE);
    struct mob_hash hash;
    off_t offset = 0;
    ssize_t got;

    while ((got = pread(fd, buffer, READ_SIZE, offset)) != 0) {
        if (got < 0 && errno == EINTR)
            continue;
        if (got < 0)
            break;
        mob_hasher_add(h, buffer, (size_t)got);
        offset += got;
    }
    free(buffer);
    hash = mob_hasher_finish(h);
    if (got < 0)
        return mob_error_errno(err, "reading a file to hash it");
    *ret = hash;
    return 0;
}

const char *mob_hash_text(const struct mob_hash *hash, char text[MOB_HASH_TEXT_SIZE])
{
    for (size_t i = 0; i < MOB_HASH_SIZE; i++)
        snprintf(text + 2 * i, 3, "%02x", hash->bytes[i]);
    return text;
}

bool mob_hash_from_text(const char *text, struct mob_hash *ret)
{
    struct mob_hash hash;

    if (strlen(text) != 2 * MOB_HASH_SIZE)
        return false;
    for (size_t i = 0; i < MOB_HASH_SIZE; i++) {
        char pair[3] = { text[2 * i], text[2 * i + 1], '\0' };

        if (!isxdigit((unsigned char)pair[0]) || !isxdigit((unsigned char)pair[1]))
            return false;
        hash.bytes[i] = (uint8_t)strtoul(pair, NULL, 16);
    }
    *ret = hash;
    return true;
}
