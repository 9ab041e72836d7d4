/* SPDX-License-Identifier: Apache-2.0 */
/* bundle.c -- which libraries go with a program to other nodes: those that it finds by $ORIGIN, in its own folder or below.
 *
 *   driver's node   program -> DT_NEEDED, by DT_RPATH and DT_RUNPATH -> libraries -> what these need ...
 *                   manifest: "mobula program 1", then a line "<sha256> <name>" for each file, the program first
 *   another node    manifest -> its files, each by its hash -> one folder with the same names: $ORIGIN works there
 *
 * The manifest's hash names the program of the job: another library is another program, and gets another folder. A library that is found
 * elsewhere (/usr/lib, ../lib) is expected to be installed on each node. libmobula.so is never shipped: it must speak with the node's own
 * raylet.
 */
#include "raylet/bundle.h"

#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "common/hash.h"
#include "common/mem.h"
#include "raylet/elf.h"

static const char first_line[] = "mobula program 1\n";

/* -- names --------------------------------------------------------------------------------------------------------------------- */

/* One that cannot leave its folder, nor break a line. */
static bool name_is_fine(const char *name)
{
    size_t length = strlen(name);

    if (length == 0 || length > MOB_BUNDLE_NAME_MAX)
        return false;
    for (const char *c = name; *c != '\0'; c++)
        if ((unsigned char)*c < ' ' || *c == 0x7f)
            return false;
    for (const char *part = name;; part++) {
        size_t n = strcspn(part, "/");

        if (n == 0 || (n == 1 && part[0] == '.') || (n == 2 && part[0] == '.' && part[1] == '.'))
            return false;
        part += n;
        if (*part == '\0')
            return true;
    }
}

static const char *base_of(const char *name)
{
    const char *slash = strrchr(name, '/');

    return slash != NULL ? slash + 1 : name;
}

/* "a/./b/../c" -> "a/c". NULL: it leads out of the folder. */
static char *straighten(const char *path)
{
    char *out = mob_alloc(strlen(path) + 1);
    size_t used = 0;

    while (*path != '\0') {
        size_t n = strcspn(path, "/");
        bool up = n == 2 && path[0] == '.' && path[1] == '.';

        if (up && used == 0) {
            free(out);
            return NULL;
        }
        if (up) {
            while (used > 0 && out[--used] != '/')
                ;
        } else if (n > 0 && !(n == 1 && path[0] == '.')) {
            if (used > 0)
                out[used++] = '/';
            memcpy(out + used, path, n);
            used += n;
        }
        path += n + (path[n] == '/');
    }
    out[used] = '\0';
    return out;
}

/* -- finding ------------------------------------------------------------------------------------------------------------------- */

struct search {
    struct mob_bundle *bundle;
    char folder[PATH_MAX];              /* the program's */
    char *program_rpath;                /* serves the libraries' needs, too; NULL: none */
};

static void add_file(struct mob_bundle *b, const char *name, int fd)
{
    b->of = mob_realloc(b->of, (b->count + 1) * sizeof *b->of);
    b->of[b->count++] = (struct mob_bundle_file){ .name = mob_strdup(name), .fd = fd };
}

/* After "$ORIGIN" or "${ORIGIN}" at the start of a search path's entry; NULL: it begins otherwise. */
static const char *after_origin(const char *entry)
{
    static const char *const words[] = { "$ORIGIN", "${ORIGIN}" };

    for (size_t i = 0; i < MOB_COUNT(words); i++) {
        size_t n = strlen(words[i]);

        if (strncmp(entry, words[i], n) == 0 && (entry[n] == '\0' || entry[n] == '/'))
            return entry + n;
    }
    return NULL;
}

/* Look into one entry of the search path of the file `of`. True: the loader looks no further. */
static bool look_at(struct search *s, const char *of, const char *entry, const char *name)
{
    const char *rest = after_origin(entry);
    struct stat file;

    if (rest == NULL && (entry[0] != '/' || strchr(entry, '$') != NULL))
        return false;
    char *below = mob_printf("%.*s%s/%s", (int)(base_of(of) - of), of, rest != NULL ? rest : "", name);
    char *straight = rest != NULL ? straighten(below) : NULL;
    char *path = rest == NULL ? mob_printf("%s/%s", entry, name) : mob_printf("%s/%s", s->folder, straight != NULL ? straight : below);
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
    bool found = fd >= 0 && fstat(fd, &file) == 0 && S_ISREG(file.st_mode);

    if (found && straight != NULL && name_is_fine(straight)) {
        add_file(s->bundle, straight, fd);
        fd = -1;
    }
    if (fd >= 0)
        close(fd);
    free(below);
    free(straight);
    free(path);
    return found;
}

/* Does the loader find `name` by these paths? If so beside the program, it is in the bundle then. */
static bool look_for(struct search *s, const char *of, const char *paths, const char *name)
{
    bool found = false;

    for (const char *at = paths; at != NULL && !found;) {
        size_t n = strcspn(at, ":");
        char *entry = mob_printf("%.*s", (int)n, at);

        found = n > 0 && look_at(s, of, entry, name);
        free(entry);
        at = at[n] == ':' ? at + n + 1 : NULL;
    }
    return found;
}

static bool is_there(const struct mob_bundle *b, const char *name)
{
    for (size_t i = 1; i < b->count; i++)
        if (strcmp(base_of(b->of[i].name), name) == 0)
            return true;
    return false;
}

/* As the loader does: DT_RUNPATH of the file that needs it; without one DT_RPATH of that file, then of the program. */
static int find_needs(struct search *s, size_t i, struct mob_error *err)
{
    char *of = mob_strdup(s->bundle->of[i].name);
    struct mob_elf_needs needs;
    struct mob_error why;

    if (mob_elf_needs(s->bundle->of[i].fd, &needs, &why) < 0) {
        mob_error_set(err, why.code, "%s: %s", of, why.text);
        free(of);
        return -1;
    }
    if (i == 0 && needs.runpath == NULL && needs.rpath != NULL)
        s->program_rpath = mob_strdup(needs.rpath);
    for (size_t n = 0; n < needs.count && s->bundle->count <= MOB_BUNDLE_FILES_MAX; n++) {
        const char *name = needs.of[n];

        if (strchr(name, '/') != NULL || strncmp(name, "libmobula.so", 12) == 0 || is_there(s->bundle, name))
            continue;
        if (needs.runpath != NULL)
            look_for(s, of, needs.runpath, name);
        else if (!look_for(s, of, needs.rpath, name))
            look_for(s, s->bundle->of[0].name, s->program_rpath, name);
    }
    mob_elf_needs_free(&needs);
    free(of);
    if (s->bundle->count > MOB_BUNDLE_FILES_MAX)
        return mob_error_set(err, MOB_ERR_INVALID, "more than %d libraries lie beside the program; install them on each node instead",
                             MOB_BUNDLE_FILES_MAX - 1);
    return 0;
}

/* The folder of an open file, and its name there; false: that name is not its any more. */
static bool place_of(int fd, char folder[PATH_MAX], char name[PATH_MAX])
{
    char self[64];
    struct stat file, named;

    snprintf(self, sizeof self, "/proc/self/fd/%d", fd);
    ssize_t n = readlink(self, folder, PATH_MAX - 1);
    if (n <= 0 || folder[0] != '/')
        return false;
    folder[n] = '\0';
    if (fstat(fd, &file) < 0 || stat(folder, &named) < 0 || file.st_dev != named.st_dev || file.st_ino != named.st_ino)
        return false;
    char *slash = strrchr(folder, '/');
    mob_copy(name, PATH_MAX, slash + 1);
    *slash = '\0';
    return true;
}

struct mob_bundle *mob_bundle_find(int fd, struct mob_error *err)
{
    struct search s = { .bundle = mob_new(struct mob_bundle) };
    char name[PATH_MAX];
    bool named = place_of(fd, s.folder, name);
    int result = 0;

    add_file(s.bundle, named && name_is_fine(name) ? name : "program", fd);
    for (size_t i = 0; named && i < s.bundle->count && result == 0; i++)
        result = find_needs(&s, i, err);
    free(s.program_rpath);
    if (result == 0)
        return s.bundle;
    mob_bundle_destroy(s.bundle);
    return NULL;
}

int mob_bundle_close_up(struct mob_bundle *b, struct mob_error *err)
{
    if (b->count == 1) {
        b->hash = b->of[0].hash;
        return 0;
    }
    char *text = mob_bundle_print(b);
    size_t size = strlen(text);

    b->hash = mob_hash_bytes(text, size);
    free(text);
    return size <= MOB_BUNDLE_TEXT_MAX ? 0 : mob_error_set(err, MOB_ERR_INVALID, "the libraries beside the program have too long names");
}

void mob_bundle_destroy(struct mob_bundle *b)
{
    if (b == NULL)
        return;
    for (size_t i = 0; i < b->count; i++) {
        if (b->of[i].fd >= 0)
            close(b->of[i].fd);
        free(b->of[i].name);
    }
    free(b->of);
    free(b);
}

/* -- manifests ----------------------------------------------------------------------------------------------------------------- */

char *mob_bundle_print(const struct mob_bundle *b)
{
    char *text = mob_strdup(first_line), hash[MOB_HASH_TEXT_SIZE];

    for (size_t i = 0; i < b->count; i++) {
        char *more = mob_printf("%s%s %s\n", text, mob_hash_text(&b->of[i].hash, hash), b->of[i].name);

        free(text);
        text = more;
    }
    return text;
}

bool mob_bundle_is_manifest(const char *text, size_t size)
{
    return size >= sizeof first_line - 1 && memcmp(text, first_line, sizeof first_line - 1) == 0;
}

/* Is `name` a file of the bundle, or a folder of one, or in a file? */
static bool collides(const struct mob_bundle *b, const char *name)
{
    for (size_t i = 0; i < b->count; i++) {
        const char *other = b->of[i].name;
        size_t n = strlen(name), m = strlen(other), least = n < m ? n : m;

        if (memcmp(name, other, least) == 0 && (n == m || (n < m ? other : name)[least] == '/'))
            return true;
    }
    return false;
}

static int parse_line(struct mob_bundle *b, const char *line, size_t size, struct mob_error *err)
{
    char hash[MOB_HASH_TEXT_SIZE], *name;
    struct mob_hash of;
    int result = 0;

    if (size < MOB_HASH_TEXT_SIZE || line[MOB_HASH_TEXT_SIZE - 1] != ' ' || memchr(line, '\0', size) != NULL)
        return mob_error_set(err, MOB_ERR_PROTOCOL, "line %zu of the program's manifest is no hash and name", b->count + 2);
    memcpy(hash, line, sizeof hash);
    hash[sizeof hash - 1] = '\0';
    name = mob_printf("%.*s", (int)(size - MOB_HASH_TEXT_SIZE), line + MOB_HASH_TEXT_SIZE);
    if (!mob_hash_from_text(hash, &of) || !name_is_fine(name) || collides(b, name)) {
        result = mob_error_set(err, MOB_ERR_PROTOCOL, "line %zu of the program's manifest names a bad file: %.300s", b->count + 2, name);
    } else {
        add_file(b, name, -1);
        b->of[b->count - 1].hash = of;
    }
    free(name);
    return result;
}

struct mob_bundle *mob_bundle_parse(const char *text, size_t size, struct mob_error *err)
{
    struct mob_bundle *b = mob_new(struct mob_bundle);
    const char *at = text + sizeof first_line - 1, *end = text + size;
    int result = 0;

    if (size > MOB_BUNDLE_TEXT_MAX || !mob_bundle_is_manifest(text, size))
        result = mob_error_set(err, MOB_ERR_PROTOCOL, "%zu bytes are no manifest of a program", size);
    while (result == 0 && at < end) {
        const char *line_end = memchr(at, '\n', (size_t)(end - at));

        if (line_end == NULL || b->count == MOB_BUNDLE_FILES_MAX) {
            result = mob_error_set(err, MOB_ERR_PROTOCOL, line_end == NULL ? "the program's manifest is cut off"
                                                                           : "the program's manifest names too many files");
            break;
        }
        result = parse_line(b, at, (size_t)(line_end - at), err);
        at = line_end + 1;
    }
    if (result == 0 && b->count < 2)
        result = mob_error_set(err, MOB_ERR_PROTOCOL, "the program's manifest names %zu files", b->count);
    if (result == 0)
        return b;
    mob_bundle_destroy(b);
    return NULL;
}
