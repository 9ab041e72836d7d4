/* SPDX-License-Identifier: Apache-2.0 */
/* shuffle.c -- sorts records of 100 bytes with keys of 10 (like gensort's, by a generator of our own), in as many parts as the
 * size of the pieces allows:
 *
 *   generate --part--> cut --a piece for each range of keys--> merge (all pieces of a range) --sorted part--> check
 *
 * Every arrow is an object, and none lives longer than it must: the driver lets a ref go as soon as it has given it to the task
 * that needs it, and starts the next chain when one has ended. So beside the data itself, as pieces, there are never more than a
 * few parts. Checked are the order in each part and from part to part, and count and checksum of all records, as generated. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "records.h"
#include "tally.h"

#define PIECE (128 * 1024)              /* what is smaller would travel in messages, by way of the driver */
#define SERIAL_MIB_MAX 1024             /* the serial run has all records in memory, twice */

/* -- tasks ----------------------------------------------------------------------------------------------------------------- */

static int return_summary(struct mob_task *t, size_t i, struct summary *s, struct mob_error *err)
{
    tally_here(t, s->host);
    return mob_return(t, i, MOB_BYTES(s, sizeof *s), err);
}

static int generate(struct mob_task *t, struct mob_error *err)
{
    struct summary s = { 0 };
    struct mob_buffer *part;
    uint64_t from, to;

    if (mob_arg_copy(t, 0, &from, sizeof from, err) < 0 || mob_arg_copy(t, 1, &to, sizeof to, err) < 0
        || (part = mob_create((to - from) * RECORD, err)) == NULL)
        return -1;
    make_records(from, to - from, mob_buffer_data(part), &s);
    return mob_return_buffer(t, 0, part, err) < 0 ? -1 : return_summary(t, 1, &s, err);
}
MOB_TASK(generate)

/* A piece for each range of keys: the sorted part, cut where the ranges end. */
static int cut(struct mob_task *t, struct mob_error *err)
{
    struct mob_view part;
    struct summary s = { 0 };
    struct entry *order;
    uint32_t parts;
    int result = 0;

    if (mob_arg(t, 0, &part, err) < 0 || mob_arg_copy(t, 1, &parts, sizeof parts, err) < 0)
        return -1;
    s.count = part.size / RECORD;
    order = sort_keys(part.data, s.count);
    for (size_t r = 0, from = 0, end; result == 0 && r < parts; r++, from = end) {
        struct mob_buffer *piece;
        end = range_end(order, s.count, from, r, parts);
        if ((piece = mob_create((end - from) * RECORD, err)) == NULL) {
            result = -1;
        } else {
            gather(part.data, order + from, end - from, mob_buffer_data(piece));
            result = mob_return_buffer(t, r, piece, err);
        }
    }
    free(order);
    return result < 0 ? -1 : return_summary(t, parts, &s, err);
}
MOB_TASK(cut)

static int merge(struct mob_task *t, struct mob_error *err)
{
    size_t count = 0, bytes = 0;
    struct rest *heap = calloc(mob_arg_count(t), sizeof *heap);
    struct mob_buffer *part = NULL;
    struct summary s = { 0 };
    struct mob_view piece;
    int result = 0;

    if (heap == NULL)
        abort();
    for (size_t i = 0; result == 0 && i < mob_arg_count(t); i++) {
        if ((result = mob_arg(t, i, &piece, err)) == 0 && piece.size > 0) {
            heap[count++] = (struct rest){ piece.data, (const unsigned char *)piece.data + piece.size };
            bytes += piece.size;
        }
    }
    if (result == 0 && (part = mob_create(bytes, err)) != NULL)
        merge_pieces(heap, count, mob_buffer_data(part));
    free(heap);
    s.count = bytes / RECORD;
    return part == NULL || mob_return_buffer(t, 0, part, err) < 0 ? -1 : return_summary(t, 1, &s, err);
}
MOB_TASK(merge)

static int check(struct mob_task *t, struct mob_error *err)
{
    struct summary s = { 0 };
    struct mob_view part;
    size_t wrong;

    if (mob_arg(t, 0, &part, err) < 0 || mob_arg_copy(t, 1, &s.part, sizeof s.part, err) < 0)
        return -1;
    if ((wrong = sum_up(part.data, part.size / RECORD, &s)) < part.size / RECORD)
        return mob_fail(err, 1, "part %u: record %zu is smaller than the one before it", s.part, wrong);
    return return_summary(t, 0, &s, err);
}
MOB_TASK(check)

/* -- the driver ------------------------------------------------------------------------------------------------------------ */

struct shuffle {
    uint64_t records;
    uint32_t parts, chains;             /* parts; how many of them at once */
    struct mob_ref **pieces;            /* row by row: what a `cut` returned, its summary last */
    struct mob_waitset *running;        /* summaries to come; user: which of the following they are added to */
    struct summary generated, cut, merged, checked;
    struct summary *in_order;           /* of each sorted part */
    struct tally tally;
};

static struct mob_fn *function(const char *name, uint32_t returns)
{
    /* For ever: each task comes to the same bytes each time, and a long sort may meet more deaths than three. */
    struct mob_options options = { .size = sizeof options, .returns = returns, .max_retries = -1 };
    struct mob_error err;
    struct mob_fn *fn = mob_fn(name, &options, &err);

    if (fn == NULL)
        fail("shuffle", &err);
    return fn;
}

static void call(struct mob_fn *fn, const struct mob_value *args, size_t count, struct mob_ref **ret)
{
    struct mob_error err;

    if (mob_call(fn, args, count, ret, &err) < 0)
        fail("shuffle", &err);
}

static void await(struct shuffle *s, struct mob_ref *summary, struct summary *of)
{
    struct mob_error err;

    if (mob_waitset_add(s->running, summary, of, &err) < 0)
        fail("shuffle", &err);
    mob_ref_drop(summary);
}

/* Wait for tasks until one has ended that adds to `last`. */
static void one_ends(struct shuffle *s, const struct summary *last)
{
    struct mob_error err;
    struct mob_ref *ref;
    struct summary got;
    void *of = NULL;

    while (of != last) {
        if (mob_waitset_next(s->running, MOB_FOREVER, &ref, &of, &err) != 1
            || mob_get_copy(ref, MOB_FOREVER, &got, sizeof got, &err) < 0)
            fail("shuffle", &err);
        mob_ref_drop(ref);
        ((struct summary *)of)->count += got.count;
        ((struct summary *)of)->checksum += got.checksum;
        if (of == &s->checked)
            s->in_order[got.part] = got;
        tally_add(&s->tally, got.host);
    }
}

static void generate_and_cut(struct shuffle *s)
{
    struct mob_fn *make = function("generate", 2), *split = function("cut", s->parts + 1);

    for (uint32_t i = 0; i < s->parts; i++) {
        uint64_t from = s->records * i / s->parts, to = s->records * (i + 1) / s->parts;
        struct mob_ref *made[2], **pieces = s->pieces + (size_t)i * (s->parts + 1);

        if (i >= s->chains)
            one_ends(s, &s->cut);
        call(make, (struct mob_value[]){ MOB_BYTES(&from, sizeof from), MOB_BYTES(&to, sizeof to) }, 2, made);
        call(split, (struct mob_value[]){ MOB_REF(made[0]), MOB_BYTES(&s->parts, sizeof s->parts) }, 2, pieces);
        mob_ref_drop(made[0]);
        await(s, made[1], &s->generated);
        await(s, pieces[s->parts], &s->cut);
    }
    for (uint32_t i = 0; i < s->chains && i < s->parts; i++)
        one_ends(s, &s->cut);
    mob_fn_destroy(make);
    mob_fn_destroy(split);
}

static void merge_and_check(struct shuffle *s)
{
    struct mob_fn *join = function("merge", 2), *verify = function("check", 1);
    struct mob_value *args = calloc(s->parts, sizeof *args);
    struct mob_ref *part[2], *verdict;

    for (uint32_t r = 0; r < s->parts; r++) {
        if (r >= s->chains)
            one_ends(s, &s->checked);
        for (uint32_t i = 0; i < s->parts; i++)
            args[i] = MOB_REF(s->pieces[(size_t)i * (s->parts + 1) + r]);
        call(join, args, s->parts, part);
        for (uint32_t i = 0; i < s->parts; i++)
            mob_ref_drop(s->pieces[(size_t)i * (s->parts + 1) + r]);
        call(verify, (struct mob_value[]){ MOB_REF(part[0]), MOB_BYTES(&r, sizeof r) }, 2, &verdict);
        mob_ref_drop(part[0]);
        await(s, part[1], &s->merged);
        await(s, verdict, &s->checked);
    }
    for (uint32_t i = 0; i < s->chains && i < s->parts; i++)
        one_ends(s, &s->checked);
    free(args);
    mob_fn_destroy(join);
    mob_fn_destroy(verify);
}

/* What the checks of the parts cannot see. */
static int is_sorted(const struct shuffle *s)
{
    const struct summary *before = NULL;

    for (uint32_t r = 0; r < s->parts; r++) {
        if (s->in_order[r].count == 0)
            continue;
        if (before != NULL && memcmp(before->last, s->in_order[r].first, KEY) > 0)
            return 0;
        before = &s->in_order[r];
    }
    return s->generated.count == s->records && s->cut.count == s->records && s->merged.count == s->records
        && s->checked.count == s->records && s->checked.checksum == s->generated.checksum;
}

/* The same steps on one CPU, in memory. Returns its seconds. */
static double sort_serially(uint64_t records, uint32_t parts, struct summary *ret)
{
    double start = seconds_now();
    unsigned char *made = malloc(2 * records * RECORD), *cut_up = made + records * RECORD, *to = made;
    struct rest *pieces = calloc((size_t)(parts + 1) * parts, sizeof *pieces), *heap = pieces + (size_t)parts * parts;
    struct summary generated = { 0 };

    if (made == NULL || pieces == NULL)
        abort();
    for (uint32_t i = 0; i < parts; i++) {
        uint64_t first = records * i / parts, count = records * (i + 1) / parts - first;
        struct entry *order;
        make_records(first, count, made + first * RECORD, &generated);
        order = sort_keys(made + first * RECORD, count);
        gather(made + first * RECORD, order, count, cut_up + first * RECORD);
        for (size_t r = 0, from = 0, end; r < parts; r++, from = end) {
            end = range_end(order, count, from, r, parts);
            pieces[r * parts + i] = (struct rest){ cut_up + (first + from) * RECORD, cut_up + (first + end) * RECORD };
        }
        free(order);
    }
    for (size_t r = 0; r < parts; r++) {
        size_t count = 0;
        for (uint32_t i = 0; i < parts; i++)
            if (pieces[r * parts + i].at < pieces[r * parts + i].end)
                heap[count++] = pieces[r * parts + i];
        to = merge_pieces(heap, count, to);
    }
    if (sum_up(made, records, ret) < records || ret->checksum != generated.checksum) {
        fprintf(stderr, "shuffle: the serial run did not sort\n");
        exit(1);
    }
    free(pieces);
    free(made);
    return seconds_now() - start;
}

int main(int argc, char **argv)
{
    struct mob_error err;
    struct mob_init_options options;
    int mib = example_options(argc, argv, 256, 16, &options), cpus;
    struct shuffle s = { .records = ((uint64_t)mib << 20) / RECORD };
    struct summary serial = { 0 };
    double start, mb = (double)s.records * RECORD / 1e6, serial_s = 0, cut_s, distributed_s;

    if (mob_init(argc, argv, &options, &err) < 0 || (s.running = mob_waitset_create(&err)) == NULL)
        fail("shuffle", &err);
    cpus = cluster_cpus();
    while ((uint64_t)s.parts * s.parts * PIECE < (uint64_t)mib << 20)
        s.parts++;
    s.chains = (uint32_t)cpus + 2;      /* each has one task to run at any time; two for the time between tasks */
    s.pieces = calloc((size_t)s.parts * (s.parts + 1), sizeof *s.pieces);
    s.in_order = calloc(s.parts, sizeof *s.in_order);
    if (mib <= SERIAL_MIB_MAX)
        serial_s = sort_serially(s.records, s.parts, &serial);

    start = seconds_now();
    generate_and_cut(&s);
    cut_s = seconds_now() - start;
    merge_and_check(&s);
    distributed_s = seconds_now() - start;

    printf("shuffle: %d MiB, %u x %u pieces, %llu records; checksum %016llx of %llu generated, %016llx of %llu sorted\n"
           "  generated and cut %.0f MB/s   merged and checked %.0f MB/s   end to end %.0f MB/s\n", mib, s.parts, s.parts,
           (unsigned long long)s.records, (unsigned long long)s.generated.checksum, (unsigned long long)s.generated.count,
           (unsigned long long)s.checked.checksum, (unsigned long long)s.checked.count, mb / cut_s, mb / (distributed_s - cut_s),
           mb / distributed_s);
    tally_print(&s.tally, serial_s, distributed_s, cpus);
    mob_waitset_destroy(s.running);
    free(s.pieces);
    mob_shutdown();
    if (!is_sorted(&s) || (serial_s > 0 && serial.checksum != s.checked.checksum))
        return fprintf(stderr, "shuffle: the records are not sorted, or not the same\n"), 1;
    free(s.in_order);
    return 0;
}
