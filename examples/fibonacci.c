/* SPDX-License-Identifier: Apache-2.0 */
/* fibonacci.c -- the first 100,000 Fibonacci numbers as whole numbers (GMP), one task for each CPU of the cluster.
 * Each task makes the terms of one range: its first pair by fast doubling, the others by addition. It returns a check over all of its
 * terms (their SHA-256s, xored), and of the last one the count of its digits and their SHA-256: F(99,999) has 20,899 digits. */
#include <gmp.h>
#include <math.h>
#include <openssl/sha.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tally.h"

#define TERMS 100000

struct range {
    uint32_t from, to;                  /* terms F(from) ... F(to - 1) */
};

struct made {
    uint64_t bits;                      /* of all terms of the range */
    unsigned char check[SHA256_DIGEST_LENGTH];
    uint32_t digits;                    /* of its last term */
    unsigned char sha256[SHA256_DIGEST_LENGTH];
    char host[64];
};

static void add_check(unsigned char check[SHA256_DIGEST_LENGTH], const unsigned char more[SHA256_DIGEST_LENGTH])
{
    for (int i = 0; i < SHA256_DIGEST_LENGTH; i++)
        check[i] ^= more[i];
}

static void add_term(struct made *m, const mpz_t term)
{
    unsigned char sha256[SHA256_DIGEST_LENGTH];

    SHA256((const unsigned char *)mpz_limbs_read(term), mpz_size(term) * sizeof(mp_limb_t), sha256);
    add_check(m->check, sha256);
    m->bits += mpz_sizeinbase(term, 2);
}

static void make_range(struct range range, struct made *ret)
{
    mpz_t term, before;
    char *digits;

    mpz_inits(term, before, NULL);
    mpz_fib2_ui(term, before, range.from);
    for (uint32_t i = range.from;; i++) {
        add_term(ret, term);
        if (i + 1 == range.to)
            break;
        mpz_add(before, before, term);
        mpz_swap(before, term);
    }
    digits = mpz_get_str(NULL, 10, term);
    ret->digits = (uint32_t)strlen(digits);
    SHA256((unsigned char *)digits, ret->digits, ret->sha256);
    free(digits);
    mpz_clears(term, before, NULL);
}

static int fibonacci(struct mob_task *t, struct mob_error *err)
{
    struct range range;
    struct made made = { 0 };

    if (mob_arg_copy(t, 0, &range, sizeof range, err) < 0)
        return -1;
    make_range(range, &made);
    tally_here(t, made.host);
    return mob_return(t, 0, MOB_BYTES(&made, sizeof made), err);
}
MOB_TASK(fibonacci)

/* Range i of n. A term's cost grows with its length, so equal work ends at square roots. */
static struct range range_of(uint32_t terms, int i, int n)
{
    struct range range = { (uint32_t)(terms * sqrt((double)i / n)), (uint32_t)(terms * sqrt((double)(i + 1) / n)) };

    if (i + 1 == n)
        range.to = terms;
    return range;
}

/* Have one task a CPU make its range; the sums of all, and the last term. */
static struct made distributed(struct mob_fn *fn, uint32_t terms, int cpus, struct tally *tally)
{
    struct mob_ref **refs = calloc((size_t)cpus, sizeof *refs);
    struct made all = { 0 }, part;
    struct mob_error err;

    for (int i = 0; i < cpus; i++) {
        struct range range = range_of(terms, i, cpus);
        if (mob_call(fn, &MOB_BYTES(&range, sizeof range), 1, &refs[i], &err) < 0)
            fail("fibonacci", &err);
    }
    for (int i = 0; i < cpus; i++) {
        if (mob_get_copy(refs[i], MOB_FOREVER, &part, sizeof part, &err) < 0)
            fail("fibonacci", &err);
        part.bits += all.bits;
        add_check(part.check, all.check);
        all = part;
        tally_add(tally, part.host);
        mob_ref_drop(refs[i]);
    }
    free(refs);
    return all;
}

static int same(const struct made *a, const struct made *b)
{
    return a->bits == b->bits && a->digits == b->digits && memcmp(a->check, b->check, sizeof a->check) == 0
        && memcmp(a->sha256, b->sha256, sizeof a->sha256) == 0;
}

int main(int argc, char **argv)
{
    struct mob_error err;
    struct mob_init_options options;
    uint32_t terms = (uint32_t)example_options(argc, argv, TERMS, TERMS / 10, &options);
    struct mob_fn *fn;
    struct tally tally = { 0 };
    struct made serial = { 0 }, got;
    double start, serial_s, distributed_s;
    int cpus;

    if (mob_init(argc, argv, &options, &err) < 0 || (fn = mob_fn("fibonacci", NULL, &err)) == NULL)
        fail("fibonacci", &err);
    cpus = cluster_cpus();
    cluster_warm(cpus);
    start = seconds_now();
    make_range((struct range){ 0, terms }, &serial);
    serial_s = seconds_now() - start;

    start = seconds_now();
    got = distributed(fn, terms, cpus, &tally);
    distributed_s = seconds_now() - start;

    printf("fibonacci: %u terms, %llu bits; F(%u) has %u digits, SHA-256 ", terms, (unsigned long long)got.bits, terms - 1, got.digits);
    for (int i = 0; i < SHA256_DIGEST_LENGTH; i++)
        printf("%02x", got.sha256[i]);
    printf("\n");
    tally_print(&tally, serial_s, distributed_s, cpus);
    mob_fn_destroy(fn);
    mob_shutdown();
    if (!same(&got, &serial) || (terms == TERMS && got.digits != 20899))
        return fprintf(stderr, "fibonacci: the results differ\n"), 1;
    return 0;
}
