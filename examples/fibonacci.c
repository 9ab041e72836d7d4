/* SPDX-License-Identifier: Apache-2.0 */
/* fibonacci.c -- the first 100,000 Fibonacci numbers as whole numbers (GMP), once on each CPU of the cluster.
 * Each task adds its way from F(0) to F(99,999), which has 20,899 digits, and returns their count and SHA-256. */
#include <gmp.h>
#include <openssl/sha.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tally.h"

#define TERMS 100000

struct last {
    uint32_t digits;
    unsigned char sha256[SHA256_DIGEST_LENGTH];
    char host[64];
};

static void sequence(uint32_t terms, struct last *ret)
{
    mpz_t a, b;
    char *digits;

    mpz_init_set_ui(a, 0);
    mpz_init_set_ui(b, 1);
    for (uint32_t i = 1; i < terms; i++) {      /* a = F(i - 1), b = F(i) */
        mpz_add(a, a, b);
        mpz_swap(a, b);
    }
    digits = mpz_get_str(NULL, 10, a);          /* F(terms - 1) */
    ret->digits = (uint32_t)strlen(digits);
    SHA256((unsigned char *)digits, ret->digits, ret->sha256);
    free(digits);
    mpz_clears(a, b, NULL);
}

static int fibonacci(struct mob_task *t, struct mob_error *err)
{
    uint32_t terms;
    struct last last = { 0 };

    if (mob_arg_copy(t, 0, &terms, sizeof terms, err) < 0)
        return -1;
    sequence(terms, &last);
    tally_here(t, last.host);
    return mob_return(t, 0, MOB_BYTES(&last, sizeof last), err);
}
MOB_TASK(fibonacci)

static int same(const struct last *a, const struct last *b)
{
    return a->digits == b->digits && memcmp(a->sha256, b->sha256, sizeof a->sha256) == 0;
}

int main(int argc, char **argv)
{
    struct mob_error err;
    struct mob_init_options options;
    uint32_t terms = (uint32_t)example_options(argc, argv, TERMS, TERMS / 10, &options);
    struct mob_fn *fn;
    struct tally tally = { 0 };
    struct last serial = { 0 }, got;
    double start, serial_s, distributed_s;
    int cpus, equal = 1;

    if (mob_init(argc, argv, &options, &err) < 0 || (fn = mob_fn("fibonacci", NULL, &err)) == NULL)
        fail("fibonacci", &err);
    cpus = cluster_cpus();
    struct mob_ref **refs = calloc((size_t)cpus, sizeof *refs);

    start = seconds_now();
    for (int i = 0; i < cpus; i++)
        sequence(terms, &serial);
    serial_s = seconds_now() - start;

    start = seconds_now();
    for (int i = 0; i < cpus; i++)
        if (mob_call(fn, (struct mob_value[]){ MOB_BYTES(&terms, sizeof terms) }, 1, &refs[i], &err) < 0)
            fail("fibonacci", &err);
    for (int i = 0; i < cpus; i++) {
        if (mob_get_copy(refs[i], MOB_FOREVER, &got, sizeof got, &err) < 0)
            fail("fibonacci", &err);
        equal &= same(&got, &serial);
        tally_add(&tally, got.host);
        mob_ref_drop(refs[i]);
    }
    distributed_s = seconds_now() - start;

    printf("fibonacci: %d sequences of %u terms; F(%u) has %u digits, SHA-256 ", cpus, terms, terms - 1, got.digits);
    for (int i = 0; i < SHA256_DIGEST_LENGTH; i++)
        printf("%02x", got.sha256[i]);
    printf("\n");
    tally_print(&tally, serial_s, distributed_s, cpus);
    mob_fn_destroy(fn);
    free(refs);
    mob_shutdown();
    if (!equal || (terms == TERMS && serial.digits != 20899))
        return fprintf(stderr, "fibonacci: the results differ\n"), 1;
    return 0;
}
