/* SPDX-License-Identifier: Apache-2.0 */
/* fuzz_wire.c -- any bytes as an envelope: no crash; what is taken can be packed again, and is routed as it is unpacked. */
#include <assert.h>
#include <stdlib.h>

#include "common/wire.h"

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size);
int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size)
{
    struct mob_wire *wire = mob_wire_create();
    struct mob_address from, to;
    struct mob_shape shape;
    struct mob_error err;
    Mobula__Envelope *e = mob_wire_unpack(wire, bytes, size, &err);
    size_t packed;

    if (mob_wire_route(bytes, size, &from, &to) && e != NULL)
        assert(mob_address_eq(from, mob_wire_address(e->from)) && mob_address_eq(to, mob_wire_address(e->to)));
    if (e != NULL && e->body_case == MOBULA__ENVELOPE__BODY_WANT)
        mob_wire_shape(e->want->definition, &shape, &err);
    if (e != NULL)
        mob_wire_pack(wire, e, &packed);
    mob_wire_destroy(wire);
    return 0;
}
