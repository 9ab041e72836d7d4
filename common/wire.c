/* SPDX-License-Identifier: Apache-2.0 */
/* wire.c -- envelopes as bytes.
 *
 * protobuf-c does the body of an envelope. The envelope itself is done here, in the same bytes: in each of its passes protobuf-c looks at
 * every kind of body that there might be, which costs more than packing the one that there is.
 *
 * Unpacking hands protobuf-c a bump allocator over chunks that are kept or given up at the next unpack: a message costs no malloc
 * but for its first time. Its sum is bounded: a few bytes of wire can ask for a large struct, and 4 MiB of them shall not take the
 * node's memory.
 */
#include "common/wire.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "common/mem.h"
#include "common/wire_private.h"

#define CHUNK_SIZE (64u << 10)
#define UNPACKED_MAX (16u * MOB_ENVELOPE_MAX)
#define HEADS_MAX 48u                   /* of an envelope, without its body: two addresses of 12, a tag and a size of 10 at most */

struct chunk {
    struct chunk *next;
    size_t size, used;
    _Alignas(16) unsigned char bytes[];
};

struct mob_wire {
    ProtobufCAllocator allocator;
    struct chunk *chunks;               /* newest first; the last one has CHUNK_SIZE and stays */
    size_t total;
    unsigned char *packed;
    size_t packed_size;
};

static struct chunk *chunk_create(size_t size)
{
    struct chunk *c = malloc(sizeof(*c) + size);        /* its size is a peer's: may fail */

    if (c != NULL)
        *c = (struct chunk){ .size = size };
    return c;
}

static void *take(void *data, size_t size)
{
    struct mob_wire *wire = data;
    struct chunk *c = wire->chunks;
    void *result;

    size = (size + 15) & ~(size_t)15;
    if (size > c->size - c->used) {
        size_t wanted = size > CHUNK_SIZE ? size : CHUNK_SIZE;

        if (wire->total + wanted > UNPACKED_MAX || (c = chunk_create(wanted)) == NULL)
            return NULL;
        wire->total += wanted;
        c->next = wire->chunks;
        wire->chunks = c;
    }
    result = c->bytes + c->used;
    c->used += size;
    return result;
}

static void give(void *data, void *p)
{
    (void)data;
    (void)p;                            /* all at once, at the next unpack */
}

static void forget_unpacked(struct mob_wire *wire)
{
    struct chunk *c;

    while ((c = wire->chunks)->next != NULL) {
        wire->chunks = c->next;
        free(c);
    }
    c->used = 0;
    wire->total = CHUNK_SIZE;
}

struct mob_wire *mob_wire_create(void)
{
    struct mob_wire *wire = mob_new(struct mob_wire);

    wire->allocator = (ProtobufCAllocator){ .alloc = take, .free = give, .allocator_data = wire };
    wire->chunks = mob_realloc(NULL, sizeof(struct chunk) + CHUNK_SIZE);        /* not zeroed: most of it is never used */
    *wire->chunks = (struct chunk){ .size = CHUNK_SIZE };
    return wire;
}

void mob_wire_destroy(struct mob_wire *wire)
{
    if (wire == NULL)
        return;
    forget_unpacked(wire);
    free(wire->chunks);
    free(wire->packed);
    free(wire);
}

void mob_envelope_init(struct mob_envelope *e, struct mob_address from, struct mob_address to, Mobula__Envelope__BodyCase body)
{
    mobula__envelope__init(&e->e);
    mob_wire_put_address(&e->from, from);
    mob_wire_put_address(&e->to, to);
    e->e.from = &e->from;
    e->e.to = &e->to;
    e->e.body_case = body;
}

/* -- the three fields of an envelope -------------------------------------------------------------------------------------- */

enum { WIRE_VARINT = 0, WIRE_FIXED64 = 1, WIRE_BYTES = 2, WIRE_FIXED32 = 5 };

struct cursor {
    const unsigned char *at, *end;
};

struct field {
    uint32_t number, type;
    struct cursor bytes;                /* of its value */
};

/* Of at most so many bits: as protobuf-c, tags and sizes of 32, values of 64. */
static bool next_varint(struct cursor *c, unsigned bits, uint64_t *ret)
{
    uint64_t value = 0;

    for (unsigned shift = 0; shift < bits && c->at < c->end; shift += 7) {
        unsigned char byte = *c->at++;

        value |= (uint64_t)(byte & 0x7f) << shift;
        if (byte < 0x80) {
            *ret = value;
            return true;
        }
    }
    return false;
}

static bool next_field(struct cursor *c, struct field *ret)
{
    uint64_t tag, size = 0;

    if (!next_varint(c, 32, &tag) || tag >> 3 == 0 || tag >> 3 > UINT32_MAX)
        return false;
    ret->number = (uint32_t)(tag >> 3);
    ret->type = tag & 7;
    ret->bytes.at = c->at;
    switch (ret->type) {
    case WIRE_VARINT:
        if (!next_varint(c, 64, &size))
            return false;
        ret->bytes.end = c->at;
        return true;
    case WIRE_FIXED64:
        size = 8;
        break;
    case WIRE_FIXED32:
        size = 4;
        break;
    case WIRE_BYTES:
        if (!next_varint(c, 32, &size))
            return false;
        break;
    default:
        return false;
    }
    if (size > (uint64_t)(c->end - c->at))
        return false;
    ret->bytes.at = c->at;
    ret->bytes.end = c->at += size;
    return true;
}

/* A field that comes twice counts as it came last, as in protobuf-c. */
static bool read_address(struct cursor c, struct mob_address *ret)
{
    struct field f;

    *ret = (struct mob_address){ 0, 0 };
    while (c.at < c.end) {
        if (!next_field(&c, &f))
            return false;
        if (f.number > 2)
            continue;
        if (f.type != WIRE_FIXED32)
            return false;
        memcpy(f.number == 1 ? &ret->node : &ret->process, f.bytes.at, sizeof(uint32_t));
    }
    return true;
}

uint32_t mob_wire_body(const void *bytes, size_t size)
{
    struct cursor c = { bytes, (const unsigned char *)bytes + size };
    struct field f;
    uint32_t body = 0;

    while (c.at < c.end && next_field(&c, &f))
        if (f.number > 2)
            body = f.number;
    return body;
}

static Mobula__Address *unpack_address(struct mob_wire *wire, struct cursor c)
{
    Mobula__Address *result = take(wire, sizeof *result);
    struct mob_address a;

    if (result == NULL || !read_address(c, &a))
        return NULL;
    mob_wire_put_address(result, a);
    return result;
}

/* False: malformed, or too much. A field that is not known is passed over. */
static bool unpack_field(struct mob_wire *wire, const struct field *f, Mobula__Envelope *e)
{
    const ProtobufCFieldDescriptor *known = protobuf_c_message_descriptor_get_field(&mobula__envelope__descriptor, f->number);
    ProtobufCMessage *body;

    if (known == NULL)
        return true;
    if (f->type != WIRE_BYTES)
        return false;
    if (f->number <= 2)
        return (*(f->number == 1 ? &e->from : &e->to) = unpack_address(wire, f->bytes)) != NULL;
    body = protobuf_c_message_unpack(known->descriptor, &wire->allocator, (size_t)(f->bytes.end - f->bytes.at), f->bytes.at);
    e->hello = (Mobula__Hello *)body;   /* all bodies are pointers in one union */
    e->body_case = (Mobula__Envelope__BodyCase)f->number;
    return body != NULL;
}

Mobula__Envelope *mob_wire_unpack(struct mob_wire *wire, const void *bytes, size_t size, struct mob_error *err)
{
    struct cursor c = { bytes, (const unsigned char *)bytes + size };
    Mobula__Envelope *e;
    struct field f;

    forget_unpacked(wire);
    if (size > MOB_ENVELOPE_MAX) {
        mob_error_set(err, MOB_ERR_PROTOCOL, "an envelope of %zu bytes; the limit is %u", size, MOB_ENVELOPE_MAX);
        return NULL;
    }
    e = take(wire, sizeof *e);
    mobula__envelope__init(e);
    while (c.at < c.end) {
        if (!next_field(&c, &f) || !unpack_field(wire, &f, e)) {
            mob_error_set(err, MOB_ERR_PROTOCOL, "%zu bytes that are no envelope", size);
            return NULL;
        }
    }
    return mob_wire_check(e, err) == 0 ? e : NULL;
}

static unsigned char *put_varint(unsigned char *at, uint64_t value)
{
    for (; value >= 0x80; value >>= 7)
        *at++ = (unsigned char)(value | 0x80);
    *at++ = (unsigned char)value;
    return at;
}

static unsigned char *put_bytes_head(unsigned char *at, uint32_t number, size_t size)
{
    return put_varint(put_varint(at, number << 3 | WIRE_BYTES), size);
}

static unsigned char *put_fixed32(unsigned char *at, uint32_t number, uint32_t value)
{
    if (value == 0)
        return at;
    at = put_varint(at, number << 3 | WIRE_FIXED32);
    memcpy(at, &value, sizeof value);
    return at + sizeof value;
}

static unsigned char *put_address(unsigned char *at, uint32_t number, const Mobula__Address *a)
{
    if (a == NULL)
        return at;
    at = put_bytes_head(at, number, (size_t)5 * (a->node != 0) + (size_t)5 * (a->process != 0));
    return put_fixed32(put_fixed32(at, 1, a->node), 2, a->process);
}

const void *mob_wire_pack(struct mob_wire *wire, const Mobula__Envelope *e, size_t *ret_size)
{
    const ProtobufCMessage *body = e->body_case != MOBULA__ENVELOPE__BODY__NOT_SET ? &e->hello->base : NULL;
    size_t size = body != NULL ? protobuf_c_message_get_packed_size(body) : 0;
    unsigned char *at, *body_at;

    if (HEADS_MAX + size > wire->packed_size) {
        wire->packed_size = 2 * (HEADS_MAX + size);
        wire->packed = mob_realloc(wire->packed, wire->packed_size);
    }
    at = put_address(put_address(wire->packed, 1, e->from), 2, e->to);
    if (body != NULL) {
        body_at = put_bytes_head(at, (uint32_t)e->body_case, size);
        at = body_at + protobuf_c_message_pack(body, body_at);
        assert(at == body_at + size);
    }
    *ret_size = (size_t)(at - wire->packed);
    return wire->packed;
}
