/* SPDX-License-Identifier: Apache-2.0 */
/* fuzz_wire.c -- any bytes as an envelope: no crash; and protobuf-c, which does bodies alone there, would take the whole, too, with the same
 * addresses, and pack it into the same bytes. */
#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "common/wire.h"

static void pack_as_protobuf_c(struct mob_wire *wire, const Mobula__Envelope *e)
{
    size_t size;
    const void *packed = mob_wire_pack(wire, e, &size);
    unsigned char *theirs = malloc(size);

    assert(mobula__envelope__get_packed_size(e) == size && mobula__envelope__pack(e, theirs) == size);
    assert(memcmp(packed, theirs, size) == 0);
    free(theirs);
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size);
int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size)
{
    struct mob_wire *wire = mob_wire_create();
    struct mob_shape shape;
    struct mob_error err;
    Mobula__Envelope *e = mob_wire_unpack(wire, bytes, size, &err);
    Mobula__Envelope *whole = mobula__envelope__unpack(NULL, size, bytes);

    if (e != NULL && e->body_case == MOBULA__ENVELOPE__BODY_WANT)
        mob_wire_shape(e->want->definition, &shape, &err);
    if (e != NULL) {
        assert(whole != NULL && mob_address_eq(mob_wire_address(e->from), mob_wire_address(whole->from)));
        assert(mob_address_eq(mob_wire_address(e->to), mob_wire_address(whole->to)));
    }
    if (whole != NULL)
        mobula__envelope__free_unpacked(whole, NULL);
    if (e != NULL)
        pack_as_protobuf_c(wire, e);
    mob_wire_destroy(wire);
    return 0;
}
