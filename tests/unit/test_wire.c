/* SPDX-License-Identifier: Apache-2.0 */
/* test_wire.c -- envelopes there and back, and what is refused of them. */
#include "unit.h"

#include "common/wire.h"

static const struct mob_address from = { 2, 5 }, to = { 3, 0 };

static struct mob_shape some_shape(void)
{
    struct mob_shape s = { .strategy = MOB_NODE_SOFT, .node = 9, .job = { 2, 5 }, .executable_node = 2 };

    mob_resources_parse("CPU=1,licence=2", &s.resources, NULL);
    mob_conditions_parse("disk=ssd,zone=!in(a,b)", &s.labels, NULL);
    s.executable.bytes[0] = 0xab;
    return s;
}

START_TEST(test_want_there_and_back)
{
    struct mob_wire *wire = mob_wire_create(), *other = mob_wire_create();
    struct mob_shape shape = some_shape(), back;
    struct mob_shape_room room;
    Mobula__Shape definition;
    Mobula__Want want = MOBULA__WANT__INIT;
    struct mob_envelope e;
    Mobula__Envelope *got;
    struct mob_error err;
    const void *bytes;
    size_t size;

    mob_wire_put_shape(&definition, &room, &shape);
    want.definition = &definition;
    want.count = 8;
    mob_envelope_init(&e, from, to, MOBULA__ENVELOPE__BODY_WANT);
    e.e.want = &want;
    bytes = mob_wire_pack(wire, &e.e, &size);

    got = mob_wire_unpack(other, bytes, size, &err);
    ck_assert_ptr_nonnull(got);
    ck_assert(mob_address_eq(mob_wire_address(got->from), from) && mob_address_eq(mob_wire_address(got->to), to));
    ck_assert_uint_eq(got->want->count, 8);
    ck_assert_int_eq(mob_wire_shape(got->want->definition, &back, &err), 0);
    ck_assert(mob_shape_eq(&shape, &back));

    for (size_t cut = 0; cut < size; cut++)             /* no half of it is taken for something else, or crashes */
        if ((got = mob_wire_unpack(other, bytes, cut, &err)) != NULL)
            ck_assert_ptr_nonnull(got->want->definition);
    mob_wire_destroy(wire);
    mob_wire_destroy(other);
}
END_TEST

static Mobula__Envelope *pass(struct mob_wire *wire, Mobula__Envelope *e, struct mob_error *err)
{
    size_t size;
    const void *bytes = mob_wire_pack(wire, e, &size);

    return mob_wire_unpack(wire, bytes, size, err);
}

START_TEST(test_what_lacks_a_part_is_refused)
{
    struct mob_wire *wire = mob_wire_create();
    Mobula__Want want = MOBULA__WANT__INIT;
    Mobula__Watched watched;
    Mobula__ObjectId object = MOBULA__OBJECT_ID__INIT;
    Mobula__Blocked blocked = MOBULA__BLOCKED__INIT;
    struct mob_envelope e;
    struct mob_error err;

    mob_envelope_init(&e, from, to, MOBULA__ENVELOPE__BODY_WANT);
    e.e.want = &want;
    ck_assert_ptr_null(pass(wire, &e.e, &err));
    ck_assert_int_eq(err.code, MOB_ERR_PROTOCOL);
    ck_assert_ptr_nonnull(strstr(err.text, "Want"));

    mobula__watched__init(&watched);
    mob_envelope_init(&e, from, to, MOBULA__ENVELOPE__BODY_WATCHED);
    e.e.watched = &watched;
    watched.object = &object;
    ck_assert_ptr_null(pass(wire, &e.e, &err));

    mob_envelope_init(&e, from, to, MOBULA__ENVELOPE__BODY__NOT_SET);
    ck_assert_ptr_null(pass(wire, &e.e, &err));

    mob_envelope_init(&e, from, to, MOBULA__ENVELOPE__BODY_BLOCKED);
    e.e.blocked = &blocked;
    ck_assert_ptr_nonnull(pass(wire, &e.e, &err));
    mob_wire_destroy(wire);
}
END_TEST

START_TEST(test_garbage_and_size)
{
    struct mob_wire *wire = mob_wire_create();
    unsigned char *big = mob_alloc(MOB_ENVELOPE_MAX + 1);
    struct mob_error err;
    uint64_t state = 3;

    ck_assert_ptr_null(mob_wire_unpack(wire, big, MOB_ENVELOPE_MAX + 1, &err));
    ck_assert_ptr_nonnull(strstr(err.text, "limit"));
    for (int i = 0; i < 20000; i++) {
        size_t size = unit_random(&state) % 64;

        for (size_t j = 0; j < size; j++)
            big[j] = (unsigned char)unit_random(&state);
        mob_wire_unpack(wire, big, size, &err);
    }
    /* Free{objects: 2 million empty ones}: 4 MiB on the wire, 160 MiB unpacked; the bound refuses it */
    for (size_t i = 0; i < MOB_ENVELOPE_MAX; i += 2)
        memcpy(big + i, "\x0a\x00", 2);
    memcpy(big, "\xf2\x02\xf8\xff\xff\x01", 6);         /* field 46, 4 MiB - 8 */
    ck_assert_ptr_null(mob_wire_unpack(wire, big, MOB_ENVELOPE_MAX - 2, &err));
    free(big);
    mob_wire_destroy(wire);
}
END_TEST

START_TEST(test_resource_lists_are_checked)
{
    Mobula__Resource a = MOBULA__RESOURCE__INIT, b = MOBULA__RESOURCE__INIT, *list[] = { &a, &b };
    struct mob_resources r;
    struct mob_error err;

    a.name = "zebra";
    a.units = 1;
    b.name = "ape";
    b.units = 2;
    ck_assert_int_eq(mob_wire_resources(list, 2, &r, &err), 0);
    ck_assert_str_eq(r.of[0].name, "ape");
    b.name = "zebra";
    ck_assert_int_eq(mob_wire_resources(list, 2, &r, &err), -1);
    b.name = "";
    ck_assert_int_eq(mob_wire_resources(list, 2, &r, &err), -1);
    b.name = "ape";
    b.units = -1;
    ck_assert_int_eq(mob_wire_resources(list, 2, &r, &err), -1);
    ck_assert_int_eq(err.code, MOB_ERR_PROTOCOL);
}
END_TEST

START_TEST(test_errors_survive_the_wire)
{
    struct mob_error err = { .code = MOB_ERR_TASK, .user_code = 3, .pid = 7, .attempt = 1, .function = "f", .text = "broke" }, back;
    Mobula__Error e;
    char *text = mob_alloc(5000);

    mob_wire_put_error(&e, &err);
    mob_wire_error(&e, &back);
    ck_assert_mem_eq(&err, &back, sizeof(err));
    memset(text, 'x', 4999);
    e.text = text;
    mob_wire_error(&e, &back);
    ck_assert_uint_eq(strlen(back.text), sizeof(back.text) - 1);
    free(text);
}
END_TEST

START_TEST(test_deaths_survive_the_wire)
{
    struct mob_death death = { .size = sizeof death, .killed_by = MOB_KILLED_BY_CRASH, .attempt = 2, .pid = 7, .signal = 11,
                               .exit_code = -1, .worker = "2.5", .node = "2", .ip = "10.0.0.2", .host = "h", .peak_memory = 1 << 20,
                               .cpu_ns = 5, .lived_ns = 6, .core = "|/bin/program %p", .last_lines = "a\nb" }, back;
    Mobula__Death m, *read;
    uint8_t bytes[1024];
    char *text = mob_alloc(5000);

    mob_wire_put_death(&m, &death);
    read = mobula__death__unpack(NULL, mobula__death__pack(&m, bytes), bytes);
    ck_assert_ptr_nonnull(read);
    mob_wire_death(read, &back);
    ck_assert_mem_eq(&death, &back, sizeof(death));
    mobula__death__free_unpacked(read, NULL);
    memset(text, 'x', 4999);
    text[4999] = '\0';
    m.last_lines = m.core = m.worker = m.node = m.ip = m.host = text;
    mob_wire_death(&m, &back);
    ck_assert_uint_eq(strlen(back.last_lines), sizeof(back.last_lines) - 1);
    ck_assert_uint_eq(strlen(back.host), sizeof(back.host) - 1);
    ck_assert_uint_eq(strlen(back.core), sizeof(back.core) - 1);
    free(text);
}
END_TEST

/* Twice in one envelope, a field stands as it came last, as protobuf-c reads it. */
START_TEST(test_addresses_that_come_twice)
{
    static const struct { const char *bytes; size_t size; } twice[] = {
#define TWICE(text) { text, sizeof text - 1 }
        TWICE("\x0a\x05\x0d\x01\0\0\0\x0a\x05\x15\x02\0\0\0\x12\0\x92\x01\0"),       /* from: node 1; process 2 */
        TWICE("\x0a\x05\x0d\x01\0\0\0\x0a\0\x12\0\x92\x01\0"),                         /* from: node 1; nothing */
        TWICE("\x0a\0\x12\x05\x15\x02\0\0\0\x12\x05\x0d\x01\0\0\0\x92\x01\0"),       /* to: process 2; node 1 */
        TWICE("\x0a\x0a\x0d\x01\0\0\0\x0d\x03\0\0\0\x12\0\x92\x01\0"),               /* from: node 1, node 3 */
        TWICE("\x8a\0\x05\x0d\x01\0\0\0\x12\0\x92\x01\0"),                               /* a tag that is longer than it need be */
#undef TWICE
    };
    struct mob_wire *wire = mob_wire_create();

    for (size_t i = 0; i < MOB_COUNT(twice); i++) {
        const Mobula__Envelope *e = mob_wire_unpack(wire, twice[i].bytes, twice[i].size, NULL);
        Mobula__Envelope *theirs = mobula__envelope__unpack(NULL, twice[i].size, (const uint8_t *)twice[i].bytes);

        ck_assert(e != NULL && theirs != NULL);
        ck_assert(mob_address_eq(mob_wire_address(e->from), mob_wire_address(theirs->from)));
        ck_assert(mob_address_eq(mob_wire_address(e->to), mob_wire_address(theirs->to)));
        mobula__envelope__free_unpacked(theirs, NULL);
    }
    mob_wire_destroy(wire);
}
END_TEST

/* Tags and sizes have 32 bits, and are at most five bytes long. */
START_TEST(test_numbers_that_are_too_long)
{
    static const struct { const char *bytes; size_t size; bool good; } each[] = {
#define BYTES(text, good) { text, sizeof text - 1, good }
        BYTES("\x8a\x80\x80\x80\0\0\x12\0\x92\x01\0", true),
        BYTES("\x8a\x80\x80\x80\x80\0\0\x12\0\x92\x01\0", false),
        BYTES("\x0a\x80\x80\x80\x80\0\x12\0\x92\x01\0", true),
        BYTES("\x0a\x80\x80\x80\x80\x80\0\x12\0\x92\x01\0", false),
#undef BYTES
    };
    struct mob_wire *wire = mob_wire_create();

    for (size_t i = 0; i < MOB_COUNT(each); i++) {
        Mobula__Envelope *theirs = mobula__envelope__unpack(NULL, each[i].size, (const uint8_t *)each[i].bytes);

        ck_assert_int_eq(mob_wire_unpack(wire, each[i].bytes, each[i].size, NULL) != NULL, each[i].good);
        ck_assert_int_eq(theirs != NULL, each[i].good);
        if (theirs != NULL)
            mobula__envelope__free_unpacked(theirs, NULL);
    }
    mob_wire_destroy(wire);
}
END_TEST

UNIT_MAIN("wire", test_addresses_that_come_twice, test_numbers_that_are_too_long, test_want_there_and_back,
          test_what_lacks_a_part_is_refused, test_garbage_and_size, test_resource_lists_are_checked, test_errors_survive_the_wire,
          test_deaths_survive_the_wire)
