/* SPDX-License-Identifier: Apache-2.0 */
/* registration.h -- Register as plain values. */
#ifndef MOB_HEAD_REGISTRATION_H
#define MOB_HEAD_REGISTRATION_H

#include "common/wire.h"
#include "head/node.h"

struct registration {
    struct node_facts facts;
    char ip[64];
    struct mob_resources resources;
    struct mob_labels labels;
    uint32_t node;                      /* the number that it has; 0: none */
};

int mob_head_registration_unpack(struct registration *ret, const Mobula__Register *m, struct mob_error *err);

#endif
