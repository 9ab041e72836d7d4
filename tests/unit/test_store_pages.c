/* SPDX-License-Identifier: Apache-2.0 */
/* test_store_pages.c -- which pages an object gets, what is touched before it is needed, and what is given back. */
#include "store_fixture.h"

#define MIB (UINT64_C(1) << 20)
#define STORE (64 * MIB)
#define ME 5u
#define OTHER 6u
#define MINUTE INT64_C(61000000000)

static struct fixture *f;
static struct mob_disk_job *jobs[64];
static unsigned job_count;
static uint64_t touched, given_back;

static void take_job(void *arg, struct mob_disk_job *job)
{
    (void)arg;
    ck_assert_uint_lt(job_count, 64);
    jobs[job_count++] = job;
}

static void run_disk(void)
{
    while (job_count > 0) {
        struct mob_disk_job *job = jobs[--job_count];

        touched += job->verb == MOB_DISK_TOUCH ? job->length : 0;
        given_back += job->verb == MOB_DISK_GIVE_BACK ? job->length : 0;
        mob_store_check(f->store);
        mob_store_disk_done(f->store, job);
    }
}

static void open_store(void)
{
    f = mob_new(struct fixture);
    struct mob_store_config config = { .bytes = STORE, .node = HERE, .answer = fixture_answer, .pull = fixture_pull, .bad = fixture_bad,
                                       .disk = take_job, .restored = fixture_restored, .arg = f };
    f->store = mob_store_create(&config, false, NULL);
    ck_assert_ptr_nonnull(f->store);
    mob_store_client_close(fixture_client(f, ME));
    mob_store_client_close(fixture_client(f, OTHER));
    touched = given_back = 0;
}

static uint64_t offset_of_new(uint32_t process, uint64_t task, uint64_t size)
{
    send_create(f, process, object_of(HERE, process, task), size);
    ck_assert_int_eq(f->last.err.code, MOB_OK);
    send_seal(f, process, object_of(HERE, process, task), f->last.entry);
    return f->last.offset;
}

static void drop(uint32_t process, uint64_t task)
{
    send_free(f, process, object_of(HERE, process, task));
    mob_store_check(f->store);
}

START_TEST(test_own_pages_first)
{
    uint64_t mine, others;

    open_store();
    mine = offset_of_new(ME, 1, MIB);
    others = offset_of_new(OTHER, 1, MIB);
    drop(ME, 1);
    drop(OTHER, 1);                     /* the newest gap, but not ours */
    ck_assert_uint_eq(mob_store_usage(f->store).used, 0);
    ck_assert_uint_eq(offset_of_new(ME, 2, MIB), mine);
    drop(ME, 2);
    ck_assert_uint_eq(offset_of_new(ME, 3, MIB - 5000), mine);          /* nearly as large */
    ck_assert_uint_eq(offset_of_new(OTHER, 2, MIB), others);
    drop(ME, 3);
    drop(OTHER, 2);
    ck_assert_uint_eq(offset_of_new(ME, 4, STORE), 0);  /* what is kept is everybody's when it is needed */
    drop(ME, 4);
    mob_store_client_gone(f->store, ME);
    ck_assert_uint_eq(offset_of_new(OTHER, 3, STORE), 0);
    run_disk();
    fixture_destroy(f);
}
END_TEST

START_TEST(test_touched_ahead_after_the_first_big_one)
{
    open_store();
    for (uint64_t task = 1; task < 100; task++)
        offset_of_new(ME, task, 1000);
    ck_assert_uint_eq(job_count, 0);
    offset_of_new(ME, 200, 4 * MIB);
    ck_assert_uint_eq(job_count, 1);
    ck_assert_int_eq(jobs[0]->verb, MOB_DISK_TOUCH);
    ck_assert_uint_eq(jobs[0]->at, f->last.offset + 4 * MIB);
    ck_assert_uint_eq(jobs[0]->length, 8 * MIB);
    offset_of_new(ME, 201, 4 * MIB);    /* one job at a time */
    ck_assert_uint_eq(job_count, 1);
    run_disk();
    for (uint64_t task = 0; task < 100; task++) {       /* the same place again and again needs nothing new */
        offset_of_new(ME, 300 + task, 4 * MIB);
        drop(ME, 300 + task);
        run_disk();
    }
    ck_assert_uint_le(touched, 20 * MIB);
    fixture_destroy(f);
}
END_TEST

START_TEST(test_given_back_after_a_minute)
{
    open_store();
    offset_of_new(ME, 1, MIB);
    offset_of_new(ME, 2, 8 * MIB);
    drop(ME, 2);
    run_disk();
    ck_assert(mob_store_idles(f->store));
    mob_store_tick(f->store, 1);
    offset_of_new(ME, 3, 2 * MIB);
    drop(ME, 3);
    run_disk();
    mob_store_tick(f->store, MINUTE);   /* something was made within it */
    run_disk();
    ck_assert_uint_eq(given_back, 0);
    ck_assert_int_gt(mob_store_tick(f->store, MINUTE + 1), MINUTE + 1);
    mob_store_tick(f->store, 2 * MINUTE);
    ck_assert_uint_eq(job_count, 1);
    ck_assert_uint_eq(mob_store_usage(f->store).used, MIB);
    offset_of_new(OTHER, 1, 8 * MIB);   /* what is being given back is not given out */
    ck_assert(f->last.offset >= jobs[0]->at + jobs[0]->length || f->last.offset + 8 * MIB <= jobs[0]->at);
    run_disk();                         /* and that is all: memory is in use again */
    ck_assert(mob_store_idles(f->store));
    mob_store_tick(f->store, 3 * MINUTE);
    mob_store_tick(f->store, 4 * MINUTE);
    given_back = 0;
    run_disk();
    ck_assert_uint_eq(given_back, STORE - 9 * MIB);
    ck_assert(!mob_store_idles(f->store));
    ck_assert_int_eq(mob_store_tick(f->store, 5 * MINUTE), INT64_MAX);
    ck_assert_uint_eq(job_count, 0);
    fixture_destroy(f);
}
END_TEST

UNIT_MAIN("store_pages", test_own_pages_first, test_touched_ahead_after_the_first_big_one, test_given_back_after_a_minute)
