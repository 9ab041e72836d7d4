/* SPDX-License-Identifier: Apache-2.0 */
/* matmul.c -- C = A x B of doubles, cut into GRID x GRID blocks: one task makes one block of C out of a row of blocks of A and a
 * column of blocks of B. Each block is an object, written in place; a node fetches a block once, and all of its workers read that
 * copy. The numbers are small and whole, so every sum is exact in any order: serial and distributed must agree to the last bit,
 * with the loop below as with a BLAS (used on one thread where CMake found one). */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tally.h"

#ifdef MATMUL_CBLAS
#include <cblas.h>
#endif

#define GRID 8

struct matrix {
    struct mob_ref *refs[GRID * GRID];
    struct mob_view blocks[GRID * GRID];
};

/* c += a x b, of n x n each. */
#ifdef MATMUL_CBLAS
#define USUAL 5120
static const char kernel[] = MATMUL_CBLAS;

static void multiply_add(int n, const double *a, const double *b, double *c)
{
    cblas_dgemm(CblasRowMajor, CblasNoTrans, CblasNoTrans, n, n, n, 1, a, n, b, n, 1, c, n);
}
#else
#define USUAL 3072
static const char kernel[] = "own loop";

/* Four rows of b at a time: each row of c that is read and written takes four products. */
static void multiply_add(int n, const double *a, const double *b, double *c)
{
    for (int i = 0; i < n; i++) {
        double *restrict to = c + (size_t)i * n;
        for (int k = 0; k < n; k += 4) {
            const double *f = a + (size_t)i * n + k, *restrict r = b + (size_t)k * n;
            for (int j = 0; j < n; j++)
                to[j] += f[0] * r[j] + f[1] * r[n + j] + f[2] * r[2 * n + j] + f[3] * r[3 * n + j];
        }
    }
}
#endif

/* A block of C: the sum over a row of blocks of A times a column of blocks of B. */
static void make_block(int n, const struct mob_view *row, const struct mob_view *column, size_t stride, double *ret)
{
    memset(ret, 0, (size_t)n * n * sizeof *ret);
    for (size_t k = 0; k < GRID; k++)
        multiply_add(n, row[k].data, column[k * stride].data, ret);
}

/* Arguments: n, GRID blocks of A, GRID blocks of B. Results: the block of C, and where it was made. */
static int multiply(struct mob_task *t, struct mob_error *err)
{
    struct mob_view blocks[2 * GRID];
    struct mob_buffer *made;
    char host[64];
    int n;

    if (mob_arg_copy(t, 0, &n, sizeof n, err) < 0)
        return -1;
    for (size_t i = 0; i < 2 * GRID; i++)
        if (mob_arg(t, 1 + i, &blocks[i], err) < 0)
            return -1;
    if ((made = mob_create((size_t)n * n * sizeof(double), err)) == NULL)
        return -1;
    make_block(n, blocks, blocks + GRID, 1, mob_buffer_data(made));
    tally_here(t, host);
    return mob_return_buffer(t, 0, made, err) < 0 ? -1 : mob_return(t, 1, MOB_BYTES(host, sizeof host), err);
}
MOB_TASK(multiply)

/* -- the driver ------------------------------------------------------------------------------------------------------------ */

/* Whole numbers from -8 to 7, straight into the object store. */
static void matrix_make(struct matrix *m, int n, unsigned short seed)
{
    unsigned short s[3] = { seed, seed, seed };
    struct mob_error err;

    for (int i = 0; i < GRID * GRID; i++) {
        struct mob_buffer *b = mob_create((size_t)n * n * sizeof(double), &err);
        if (b == NULL)
            fail("matmul", &err);
        for (size_t j = 0; j < (size_t)n * n; j++)
            ((double *)mob_buffer_data(b))[j] = (double)(nrand48(s) >> 27) - 8;
        if ((m->refs[i] = mob_seal(b, &err)) == NULL || mob_get(m->refs[i], MOB_FOREVER, &m->blocks[i], &err) < 0)
            fail("matmul", &err);
    }
}

static void matrix_drop(struct matrix *m)
{
    for (int i = 0; i < GRID * GRID; i++) {
        mob_view_release(&m->blocks[i]);
        mob_ref_drop(m->refs[i]);
    }
}

static double *serial_product(int n, const struct matrix *a, const struct matrix *b)
{
    double *all = malloc((size_t)n * n * GRID * GRID * sizeof *all);

    if (all == NULL)
        abort();
    for (size_t i = 0; i < GRID * GRID; i++)
        make_block(n, a->blocks + i / GRID * GRID, b->blocks + i % GRID, GRID, all + i * (size_t)n * n);
    return all;
}

static void distributed_product(int n, const struct matrix *a, const struct matrix *b, struct matrix *c, struct tally *tally)
{
    struct mob_options options = { .size = sizeof options, .returns = 2 };
    struct mob_ref *results[GRID * GRID][2];
    struct mob_error err;
    struct mob_fn *fn = mob_fn("multiply", &options, &err);
    char host[64];

    if (fn == NULL)
        fail("matmul", &err);
    for (int i = 0; i < GRID * GRID; i++) {
        struct mob_value args[1 + 2 * GRID] = { MOB_BYTES(&n, sizeof n) };
        for (int k = 0; k < GRID; k++) {
            args[1 + k] = MOB_REF(a->refs[i / GRID * GRID + k]);
            args[1 + GRID + k] = MOB_REF(b->refs[k * GRID + i % GRID]);
        }
        if (mob_call(fn, args, 1 + 2 * GRID, results[i], &err) < 0)
            fail("matmul", &err);
    }
    for (int i = 0; i < GRID * GRID; i++) {
        c->refs[i] = results[i][0];
        if (mob_get(c->refs[i], MOB_FOREVER, &c->blocks[i], &err) < 0
            || mob_get_copy(results[i][1], MOB_FOREVER, host, sizeof host, &err) < 0)
            fail("matmul", &err);
        mob_ref_drop(results[i][1]);
        tally_add(tally, host);
    }
    mob_fn_destroy(fn);
}

/* y = m x */
static void apply(int n, const struct matrix *m, const double *x, double *ret)
{
    memset(ret, 0, (size_t)n * GRID * sizeof *ret);
    for (int i = 0; i < GRID * GRID; i++)
        for (int row = 0; row < n; row++)
            for (int j = 0; j < n; j++)
                ret[i / GRID * n + row] += ((const double *)m->blocks[i].data)[(size_t)row * n + j] * x[i % GRID * n + j];
}

/* Is C x = A (B x) for x = 1, 2, 3, 4, 5, 1 ...? It tells a wrong kernel, which serial and distributed have in common. */
static int is_product(int n, const struct matrix *a, const struct matrix *b, const struct matrix *c)
{
    size_t length = (size_t)n * GRID;
    double *x = malloc(4 * length * sizeof *x), *bx = x + length, *abx = bx + length, *cx = abx + length;
    int same;

    if (x == NULL)
        abort();
    for (size_t i = 0; i < length; i++)
        x[i] = (double)(i % 5) + 1;
    apply(n, b, x, bx);
    apply(n, a, bx, abx);
    apply(n, c, x, cx);
    same = memcmp(abx, cx, length * sizeof *x) == 0;
    free(x);
    return same;
}

int main(int argc, char **argv)
{
    struct mob_error err;
    struct mob_init_options options;
    int n = example_options(argc, argv, USUAL, 1024, &options), same = 1;
    struct matrix a, b, c;
    struct tally tally = { 0 };
    double start, serial_s, distributed_s, gflop, *serial;

#ifdef MATMUL_OPENBLAS
    openblas_set_num_threads(1);
#endif
    n = (n + 4 * GRID - 1) / (4 * GRID) * 4;    /* of a block */
    if (mob_init(argc, argv, &options, &err) < 0)
        fail("matmul", &err);
    matrix_make(&a, n, 1);
    matrix_make(&b, n, 2);
    cluster_warm(cluster_cpus());
    start = seconds_now();
    serial = serial_product(n, &a, &b);
    serial_s = seconds_now() - start;

    start = seconds_now();
    distributed_product(n, &a, &b, &c, &tally);
    distributed_s = seconds_now() - start;

    for (int i = 0; i < GRID * GRID; i++)
        same &= memcmp(c.blocks[i].data, serial + (size_t)i * n * n, (size_t)n * n * sizeof *serial) == 0;
    same &= is_product(n, &a, &b, &c);
    gflop = 2e-9 * n * GRID * n * GRID * n * GRID;
    printf("matmul: %d x %d, %d x %d blocks of %zu KiB, %s, %.1f GFLOP/s serial, %.1f distributed\n", n * GRID, n * GRID, GRID,
           GRID, (size_t)n * n * sizeof(double) / 1024, kernel, gflop / serial_s, gflop / distributed_s);
    tally_print(&tally, serial_s, distributed_s, cluster_cpus());
    matrix_drop(&a);
    matrix_drop(&b);
    matrix_drop(&c);
    free(serial);
    mob_shutdown();
    if (!same)
        return fprintf(stderr, "matmul: the results differ\n"), 1;
    return 0;
}
