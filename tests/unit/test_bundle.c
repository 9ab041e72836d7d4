/* SPDX-License-Identifier: Apache-2.0 */
/* test_bundle.c -- which libraries go with a program, and what a manifest of another node may say. */
#include "unit.h"

#include <elf.h>
#include <fcntl.h>
#include <link.h>
#include <sys/stat.h>
#include <unistd.h>

#include "common/hash.h"
#include "common/mem.h"
#include "common/paths.h"
#include "raylet/bundle.h"
#include "raylet/elf.h"

/* -- finding ------------------------------------------------------------------------------------------------------------------- */

#define NEEDED(name) { DT_NEEDED, name }
#define RUNPATH(paths) { DT_RUNPATH, paths }
#define RPATH(paths) { DT_RPATH, paths }

struct entry {
    int64_t tag;
    const char *text;
};

static char folder[] = "/tmp/mobula-bundle-XXXXXX";

/* An ELF file of this machine whose dynamic section says `entries` (up to one without text). */
struct image {
    ElfW(Ehdr) header;
    ElfW(Phdr) segments[2];
    ElfW(Dyn) dynamic[600];
    char strings[4096];
};

static void fill_image(struct image *i, const struct entry *entries)
{
    int self = open("/proc/self/exe", O_RDONLY | O_CLOEXEC);
    size_t n = 0, used = 1;

    memset(i, 0, sizeof *i);
    ck_assert_int_eq(pread(self, &i->header, sizeof i->header, 0), sizeof i->header);
    close(self);
    i->header.e_phoff = offsetof(struct image, segments);
    i->header.e_phnum = 2;
    i->segments[0] = (ElfW(Phdr)){ .p_type = PT_LOAD, .p_vaddr = 0x10000, .p_filesz = sizeof *i };
    i->segments[1] = (ElfW(Phdr)){ .p_type = PT_DYNAMIC, .p_offset = offsetof(struct image, dynamic), .p_filesz = sizeof i->dynamic };
    i->dynamic[n++] = (ElfW(Dyn)){ .d_tag = DT_STRTAB, .d_un.d_ptr = 0x10000 + offsetof(struct image, strings) };
    i->dynamic[n++] = (ElfW(Dyn)){ .d_tag = DT_STRSZ, .d_un.d_val = sizeof i->strings };
    for (; entries->text != NULL; entries++) {
        i->dynamic[n++] = (ElfW(Dyn)){ .d_tag = entries->tag, .d_un.d_val = used };
        strcpy(i->strings + used, entries->text);
        used += strlen(entries->text) + 1;
    }
}

static void write_file(const char *name, const void *bytes, size_t size)
{
    char *path = mob_printf("%s/%s", folder, name);
    int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0700);

    ck_assert_int_ge(fd, 0);
    ck_assert_int_eq(write(fd, bytes, size), (ssize_t)size);
    close(fd);
    free(path);
}

#define ELF(name, ...) write_elf(name, (const struct entry[]){ __VA_ARGS__, { 0, NULL } })
static void write_elf(const char *name, const struct entry *entries)
{
    static struct image image;

    fill_image(&image, entries);
    write_file(name, &image, sizeof image);
}

static void make_folder(const char *name)
{
    char *path = mob_printf("%s/%s", folder, name);

    ck_assert_int_eq(mkdir(path, 0700), 0);
    free(path);
}

static void setup(void)
{
    strcpy(folder + strlen(folder) - 6, "XXXXXX");
    ck_assert_ptr_nonnull(mkdtemp(folder));
    make_folder("app");
    make_folder("app/lib");
    make_folder("app/lib/deep");
    make_folder("else");
}

static void teardown(void)
{
    mob_paths_remove(folder, NULL);
}

static struct mob_bundle *find(struct mob_error *err)
{
    char *path = mob_printf("%s/app/program", folder);
    int fd = open(path, O_RDONLY | O_CLOEXEC);

    ck_assert_int_ge(fd, 0);
    free(path);
    return mob_bundle_find(fd, err);
}

/* "program lib/libx.so": what was found, in order. */
static const char *found(void)
{
    static char text[4096];
    struct mob_error err;
    struct mob_bundle *b = find(&err);

    text[0] = '\0';
    ck_assert_msg(b != NULL, "%s", err.text);
    for (size_t i = 0; i < b->count; i++) {
        ck_assert_int_ge(b->of[i].fd, 0);
        strcat(strcat(text, i > 0 ? " " : ""), b->of[i].name);
    }
    mob_bundle_destroy(b);
    return text;
}

START_TEST(test_libraries_by_origin_and_what_they_need)
{
    ELF("app/program", RUNPATH("$ORIGIN/lib:${ORIGIN}"), NEEDED("liba.so"), NEEDED("libc.so.6"), NEEDED("libb.so"));
    ELF("app/lib/liba.so", RUNPATH("$ORIGIN/deep/./x/.."), NEEDED("libdeep.so"), NEEDED("libb.so"));
    ELF("app/lib/deep/libdeep.so", RUNPATH("$ORIGIN/../.."), NEEDED("libb.so"), NEEDED("liba.so"), NEEDED("libup.so"));
    ELF("app/libb.so", NEEDED("libup.so"));
    ELF("app/libup.so", NEEDED("libc.so.6"));
    ck_assert_str_eq(found(), "program lib/liba.so libb.so lib/deep/libdeep.so libup.so");
}
END_TEST

START_TEST(test_rpath_of_the_program_serves_its_libraries)
{
    ELF("app/program", RPATH("$ORIGIN/lib"), NEEDED("liba.so"));
    ELF("app/lib/liba.so", NEEDED("libb.so"));
    ELF("app/lib/libb.so", NEEDED("libc.so.6"));
    ck_assert_str_eq(found(), "program lib/liba.so lib/libb.so");
    ELF("app/program", RUNPATH("$ORIGIN/lib"), NEEDED("liba.so"));      /* a RUNPATH does not */
    ck_assert_str_eq(found(), "program lib/liba.so");
}
END_TEST

START_TEST(test_what_is_not_beside_is_not_shipped)
{
    char *elsewhere = mob_printf("%s/else:$ORIGIN/lib", folder);

    ELF("app/lib/liba.so", NEEDED("libc.so.6"));
    ELF("else/liba.so", NEEDED("libc.so.6"));
    ELF("app/program", { DT_RUNPATH, elsewhere }, NEEDED("liba.so"));
    ck_assert_str_eq(found(), "program");       /* found elsewhere first */
    ELF("app/program", RUNPATH("$ORIGIN/../else:$ORIGIN/lib"), NEEDED("liba.so"));
    ck_assert_str_eq(found(), "program");
    ELF("app/program", RUNPATH("lib:$LIB:$ORIGINAL/lib::$ORIGIN/none"), NEEDED("liba.so"), NEEDED("../else/liba.so"));
    ck_assert_str_eq(found(), "program");
    ELF("app/lib/libmobula.so.1", NEEDED("libc.so.6"));
    ELF("app/program", RUNPATH("$ORIGIN/lib"), NEEDED("libmobula.so.1"));
    ck_assert_str_eq(found(), "program");
    write_file("app/program", "#!/bin/sh\n", 10);
    ck_assert_str_eq(found(), "program");
    free(elsewhere);
}
END_TEST

START_TEST(test_broken_and_too_many_libraries_are_refused)
{
    static struct entry many[MOB_BUNDLE_FILES_MAX + 2];
    static char names[MOB_BUNDLE_FILES_MAX][12];
    static struct image image;
    struct mob_error err;

    fill_image(&image, (const struct entry[]){ NEEDED("liba.so"), { 0, NULL } });
    image.dynamic[1].d_un.d_val = 1;    /* DT_STRSZ */
    write_file("app/program", &image, sizeof image);
    ck_assert_ptr_null(find(&err));
    ck_assert_str_eq(err.text, "program: a name in its dynamic section is broken");
    write_file("app/program", &image, offsetof(struct image, strings) - 1);
    ck_assert_ptr_null(find(&err));
    ck_assert_ptr_nonnull(strstr(err.text, "its dynamic section is broken"));

    many[0] = (struct entry)RUNPATH("$ORIGIN/lib");
    for (int i = 0; i < MOB_BUNDLE_FILES_MAX; i++) {
        char path[32];

        snprintf(names[i], sizeof names[i], "l%d.so", i);
        snprintf(path, sizeof path, "app/lib/%s", names[i]);
        write_file(path, "x", 1);
        many[i + 1] = (struct entry)NEEDED(names[i]);
    }
    write_elf("app/program", many);
    ck_assert_ptr_null(find(&err));
    ck_assert_ptr_nonnull(strstr(err.text, "more than 255 libraries"));
    many[MOB_BUNDLE_FILES_MAX].text = NULL;
    write_elf("app/program", many);
    struct mob_bundle *b = find(&err);
    ck_assert_ptr_nonnull(b);
    ck_assert_uint_eq(b->count, MOB_BUNDLE_FILES_MAX);
    mob_bundle_destroy(b);
}
END_TEST

/* -- manifests ----------------------------------------------------------------------------------------------------------------- */

#define HASH "00112233445566778899aabbccddeeff00112233445566778899aabbccddeeff"

static bool parses(const char *text, const char *words)
{
    struct mob_error err = { .text = "" };
    struct mob_bundle *b = mob_bundle_parse(text, strlen(text), &err);
    bool good = b != NULL;

    mob_bundle_destroy(b);
    ck_assert_msg(strstr(err.text, words) != NULL, "'%s', not '%s'", err.text, words);
    return good;
}

START_TEST(test_manifest_there_and_back)
{
    struct mob_bundle_file files[] = { { (char *)"my program", { { 1 } }, -1 }, { (char *)"lib/x y.so", { { 2 } }, -1 } };
    struct mob_bundle b = { .of = files, .count = 2 };
    struct mob_error err;

    ck_assert_int_eq(mob_bundle_close_up(&b, &err), 0);
    char *text = mob_bundle_print(&b);
    struct mob_hash whole = mob_hash_bytes(text, strlen(text));
    ck_assert_mem_eq(&b.hash, &whole, sizeof whole);
    ck_assert(mob_bundle_is_manifest(text, strlen(text)));
    ck_assert(!mob_bundle_is_manifest(text, 5) && !mob_bundle_is_manifest("\177ELF", 4));
    struct mob_bundle *back = mob_bundle_parse(text, strlen(text), &err);
    ck_assert_ptr_nonnull(back);
    ck_assert_uint_eq(back->count, 2);
    for (size_t i = 0; i < 2; i++) {
        ck_assert_str_eq(back->of[i].name, files[i].name);
        ck_assert_mem_eq(&back->of[i].hash, &files[i].hash, sizeof files[i].hash);
    }
    mob_bundle_destroy(back);
    free(text);
    files[1].hash.bytes[0] = 3;         /* another library is another program */
    ck_assert_int_eq(mob_bundle_close_up(&b, &err), 0);
    ck_assert_mem_ne(&b.hash, &whole, sizeof whole);
    b.count = 1;
    ck_assert_int_eq(mob_bundle_close_up(&b, &err), 0);
    ck_assert_mem_eq(&b.hash, &files[0].hash, sizeof whole);
}
END_TEST

START_TEST(test_bad_names_are_refused)
{
    static const char *const bad[] = { "../x", "lib/../../x", "/etc/x", "lib//x", "./x", "x/", ".", "..", "", "a\tb", "program", "program/x",
                                       "lib/x.so/y", "lib" };

    for (size_t i = 0; i < MOB_COUNT(bad); i++) {
        char *text = mob_printf("mobula program 1\n" HASH " program\n" HASH " lib/x.so\n" HASH " %s\n", bad[i]);
        ck_assert_msg(!parses(text, "line 4 of the program's manifest"), "%s", bad[i]);
        free(text);
    }
    char name[MOB_BUNDLE_NAME_MAX + 2];
    memset(name, 'n', sizeof name);
    name[sizeof name - 1] = '\0';
    char *text = mob_printf("mobula program 1\n" HASH " program\n" HASH " %s\n", name);
    ck_assert(!parses(text, "line 3"));
    free(text);
    ck_assert(parses("mobula program 1\n" HASH " program\n" HASH " lib/..x/...\n", ""));
}
END_TEST

START_TEST(test_broken_manifests_are_refused)
{
    ck_assert(!parses("", "are no manifest"));
    ck_assert(!parses("mobula program 2\n" HASH " program\n" HASH " x\n", "are no manifest"));
    ck_assert(!parses("mobula program 1\n", "names 0 files"));
    ck_assert(!parses("mobula program 1\n" HASH " program\n", "names 1 files"));
    ck_assert(!parses("mobula program 1\n" HASH " program\n" HASH " x", "cut off"));
    ck_assert(!parses("mobula program 1\n" HASH "-program\n" HASH " x\n", "line 2"));
    ck_assert(!parses("mobula program 1\n0" HASH "\n", "line 2"));
    ck_assert(!parses("mobula program 1\nX" HASH "\n" HASH " x\n", "line 2"));
    ck_assert(!parses("mobula program 1\n\n", "line 2"));

    char *text = mob_strdup("mobula program 1\n");
    for (int i = 0; i <= MOB_BUNDLE_FILES_MAX; i++) {
        char *more = mob_printf("%s" HASH " f%d\n", text, i);
        free(text);
        text = more;
        if (i > 0 && i < MOB_BUNDLE_FILES_MAX)
            continue;
        ck_assert(!parses(text, i == 0 ? "names 1 files" : "too many files"));
    }
    size_t start = strlen("mobula program 1\n");
    text = mob_realloc(text, start + MOB_BUNDLE_TEXT_MAX + 1);
    memset(text + start, '\n', MOB_BUNDLE_TEXT_MAX);
    text[start + MOB_BUNDLE_TEXT_MAX] = '\0';
    ck_assert(!parses(text, "are no manifest"));
    free(text);
}
END_TEST

UNIT_CASE("bundle", tcase)
{
    tcase_add_checked_fixture(tcase, setup, teardown);
    UNIT_TESTS(tcase, test_libraries_by_origin_and_what_they_need, test_rpath_of_the_program_serves_its_libraries,
               test_what_is_not_beside_is_not_shipped, test_broken_and_too_many_libraries_are_refused, test_manifest_there_and_back,
               test_bad_names_are_refused, test_broken_manifests_are_refused);
}
