/* SPDX-License-Identifier: Apache-2.0 */
/* test_basics.c -- errors, ids, hashes, text. */
#include "unit.h"

#include <errno.h>
#include <fcntl.h>
#include <unistd.h>

#include "common/error.h"
#include "common/hash.h"

START_TEST(test_errors)
{
    struct mob_error err = { .pid = 3, .node = "old" };
    char *text = mob_alloc(2000);

    ck_assert_int_eq(mob_error_set(&err, MOB_ERR_TIMEOUT, "after %d ms", 5), -1);
    ck_assert_str_eq(err.text, "after 5 ms");
    ck_assert_int_eq(err.pid, 0);
    ck_assert_str_eq(err.node, "");
    errno = ENOENT;
    ck_assert_int_eq(mob_error_errno(&err, "opening %s", "x"), -1);
    ck_assert_str_eq(err.text, "opening x: No such file or directory");
    ck_assert_int_eq(err.code, MOB_ERR_SYSTEM);
    memset(text, 'y', 1999);
    mob_error_errno(&err, "%s", text);
    ck_assert_uint_eq(strlen(err.text), sizeof(err.text) - 1);
    ck_assert_int_eq(mob_error_set(NULL, MOB_ERR_TASK, "nobody listens"), -1);
    ck_assert_str_eq(mob_code_name(MOB_ERR_SYSTEM), "MOB_ERR_SYSTEM");
    ck_assert_str_eq(mob_code_name(-1), "unknown code");
    ck_assert_str_eq(mob_code_name(1000), "unknown code");
    free(text);
}
END_TEST

START_TEST(test_ids)
{
    struct mob_object_id a = { .cluster = 1, .node = 2, .process = 5, .task = 117 }, b = a;
    char text[MOB_OBJECT_NAME_SIZE];

    ck_assert_str_eq(mob_object_id_name(&a, text), "o-2.5-117.0");
    ck_assert_uint_eq(mob_object_id_hash(&a), mob_object_id_hash(&b));
    b.index = 1;
    ck_assert_uint_ne(mob_object_id_hash(&a), mob_object_id_hash(&b));
    ck_assert(mob_name_hash("square") != mob_name_hash("squarf"));
    ck_assert(mob_name_hash("") == UINT64_C(0xcbf29ce484222325));
    ck_assert(mob_name_hash("a") == UINT64_C(0xaf63dc4c8601ec8c));      /* of the definition of FNV-1a */
}
END_TEST

START_TEST(test_hashes)
{
    struct mob_hash hash = mob_hash_bytes("abc", 3), back;
    char text[MOB_HASH_TEXT_SIZE];
    int fd = open("/tmp", O_TMPFILE | O_RDWR | O_CLOEXEC, 0600);

    ck_assert_str_eq(mob_hash_text(&hash, text), "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
    ck_assert(mob_hash_from_text(text, &back));
    ck_assert_mem_eq(&hash, &back, sizeof(hash));
    text[5] = 'g';
    ck_assert(!mob_hash_from_text(text, &back));
    ck_assert(!mob_hash_from_text("ab", &back));
    ck_assert_int_eq(write(fd, "abc", 3), 3);
    ck_assert_int_eq(mob_hash_fd(fd, &back, NULL), 0);
    ck_assert_mem_eq(&hash, &back, sizeof(hash));
    close(fd);
    ck_assert_int_eq(mob_hash_fd(fd, &back, NULL), -1);
}
END_TEST

START_TEST(test_copy_cuts)
{
    char small[4];

    mob_copy(small, sizeof(small), "abcdef");
    ck_assert_str_eq(small, "abc");
    mob_copy(small, sizeof(small), "");
    ck_assert_str_eq(small, "");
}
END_TEST

UNIT_MAIN("basics", test_errors, test_ids, test_hashes, test_copy_cuts)
