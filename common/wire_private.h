/* SPDX-License-Identifier: Apache-2.0 */
/* wire_private.h -- between wire.c and wire_check.c. */
#ifndef MOB_COMMON_WIRE_PRIVATE_H
#define MOB_COMMON_WIRE_PRIVATE_H

#include "common/wire.h"

/* Has a parsed envelope a known body, and that all it must have? -1: *err, MOB_ERR_PROTOCOL. */
int mob_wire_check(const Mobula__Envelope *e, struct mob_error *err);

#endif
