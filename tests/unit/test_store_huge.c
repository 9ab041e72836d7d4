/* SPDX-License-Identifier: Apache-2.0 */
/* test_store_huge.c -- which pages the arena has. Who may (root) reserves some huge ones for it, and gives them back: this test runs alone.
 * Elsewhere the arena that lies in them is not tested. */
#include "store_fixture.h"

#include "common/sysinfo.h"

#define STORE (32 * MOB_HUGE_PAGE)
#define ME 5u
#define RESERVE "/proc/sys/vm/nr_hugepages"
#define MINUTE INT64_C(61000000000)

static struct fixture *f;
static struct mob_disk_job *jobs[8];
static unsigned job_count, given_back;
static bool reserved;                   /* so many that the arena fits */

/* -- huge pages of the system ---------------------------------------------------------------------------------------------------- */

static uint64_t number_in(const char *path)
{
    unsigned long long number = 0;
    FILE *file = fopen(path, "re");

    if (file != NULL && fscanf(file, "%llu", &number) != 1)
        number = 0;
    if (file != NULL)
        fclose(file);
    return number;
}

static void set_reserved(uint64_t pages)
{
    FILE *file = fopen(RESERVE, "we");

    if (file != NULL) {
        fprintf(file, "%llu", (unsigned long long)pages);
        fclose(file);
    }
}

static uint64_t free_huge(void)
{
    struct mob_sysinfo info;

    mob_sysinfo_read("", &info);
    return info.huge;
}

/* -- a store ------------------------------------------------------------------------------------------------------------------ */

static void take_job(void *arg, struct mob_disk_job *job)
{
    (void)arg;
    ck_assert_uint_lt(job_count, MOB_COUNT(jobs));
    jobs[job_count++] = job;
}

static void run_disk(void)
{
    while (job_count > 0) {
        struct mob_disk_job *job = jobs[--job_count];

        given_back += job->verb == MOB_DISK_GIVE_BACK;
        mob_store_disk_done(f->store, job);
    }
}

static struct mob_store_client *open_store(uint64_t size, uint64_t huge)
{
    f = mob_new(struct fixture);
    struct mob_store_config config = { .bytes = size, .huge = huge, .node = HERE, .answer = fixture_answer, .pull = fixture_pull,
                                       .bad = fixture_bad, .disk = take_job, .restored = fixture_restored, .arg = f };
    struct mob_error err;

    ck_assert_msg((f->store = mob_store_create(&config, false, &err)) != NULL, "%s", err.text);
    given_back = 0;
    return fixture_client(f, ME);
}

/* An object that fills it is written by the client, and read by this end; then it goes, and a minute passes. */
static void use(struct mob_store_client *me, uint64_t size)
{
    struct answer made = make(f, me, ME, object_of(HERE, ME, 1), size, 'h');
    const char *bytes = (const char *)mob_store_arena(f->store) + made.offset;

    ck_assert(bytes[0] == 'h' && bytes[size / 2] == 'h' && bytes[size - 1] == 'h');
    ck_assert_uint_ge(mob_store_usage(f->store).warm, size);
    send_free(f, ME, object_of(HERE, ME, 1));
    for (int64_t minute = 0; minute < 4; minute++) {
        mob_store_tick(f->store, 1 + minute * MINUTE);
        run_disk();
    }
    ck_assert_uint_eq(mob_store_usage(f->store).used, 0);
}

static void close_store(struct mob_store_client *me)
{
    mob_store_client_close(me);
    fixture_destroy(f);
}

static bool says(const char *words)
{
    return strstr(mob_store_usage(f->store).pages, words) != NULL;
}

/* -- tests -------------------------------------------------------------------------------------------------------------------- */

/* They are ours from the start to the end, whatever is in them. */
START_TEST(test_in_reserved_pages)
{
    uint64_t before = free_huge(), at;
    struct mob_store_client *me;

    if (!reserved)
        return;
    me = open_store(STORE, before);
    ck_assert_msg(says("32 huge pages of 2 MiB"), "%s", mob_store_usage(f->store).pages);
    ck_assert_uint_eq(free_huge(), before - STORE);
    ck_assert_int_eq(mob_store_file(f->store, 0, &at), -1);
    use(me, STORE);
    ck_assert_uint_eq(given_back, 0);
    ck_assert(!mob_store_idles(f->store));
    ck_assert_uint_eq(free_huge(), before - STORE);
    close_store(me);
    me = open_store(STORE - 4096, before);              /* the last of them is not used to its end */
    ck_assert_msg(says("32 huge pages of 2 MiB"), "%s", mob_store_usage(f->store).pages);
    use(me, STORE - 4096);
    close_store(me);
    ck_assert_uint_eq(free_huge(), before);
}
END_TEST

/* Not enough are free, for a whole number of them, or a byte more; more were promised than there are. */
START_TEST(test_in_other_pages)
{
    static const struct { uint64_t size, huge; const char *words; } cases[] = {
        { STORE, STORE - 1, "of vm.nr_hugepages 31 are free, and it takes 32" },
        { STORE + 64, STORE, "of vm.nr_hugepages 32 are free, and it takes 33" },
        { UINT64_C(64) << 30, UINT64_C(64) << 30, "it takes 32768" },
    };
    uint64_t before = free_huge(), at;

    for (unsigned i = 0; i < MOB_COUNT(cases); i++) {
        struct mob_store_client *me = open_store(cases[i].size, cases[i].huge);

        ck_assert_uint_eq(free_huge(), before);
        ck_assert_int_ge(mob_store_file(f->store, 0, &at), 0);
        ck_assert_msg(says("shmem_enabled says") && (says("huge pages where") || says(cases[i].words)), "%s",
                      mob_store_usage(f->store).pages);
        use(me, STORE);
        ck_assert_uint_gt(given_back, 0);
        close_store(me);
    }
}
END_TEST

/* Where shared memory has huge pages on advice, every mapping of the arena has asked for them: whoever touches memory first. */
START_TEST(test_advice)
{
    char line[512];
    unsigned mappings = 0, asked = 0;
    bool ours = false;
    FILE *maps;

    if (access("/sys/kernel/mm/transparent_hugepage", F_OK) < 0)
        return;
    struct mob_store_client *me = open_store(STORE, 0);
    ck_assert_ptr_nonnull(maps = fopen("/proc/self/smaps", "re"));
    while (fgets(line, sizeof line, maps) != NULL) {
        if (strchr(line, '-') != NULL && strchr(line, '-') < strchr(line, ' '))
            mappings += ours = strstr(line, "mobula-arena") != NULL;
        else if (ours && strncmp(line, "VmFlags:", 8) == 0)
            asked += strstr(line, " hg") != NULL;
    }
    fclose(maps);
    ck_assert_uint_eq(mappings, 3);
    ck_assert_uint_eq(asked, 3);
    close_store(me);
}
END_TEST

static void tests(TCase *tcase)
{
    UNIT_TESTS(tcase, test_in_reserved_pages, test_in_other_pages, test_advice);
}

int main(void)
{
    uint64_t before = number_in(RESERVE);
    int status;

    set_reserved(before + STORE / MOB_HUGE_PAGE);
    reserved = free_huge() >= STORE;
    if (!reserved)
        printf("no huge pages can be reserved here: the arena that lies in them is not tested\n");
    status = unit_run("store_huge", tests);
    set_reserved(before);
    return status;
}
