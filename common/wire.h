/* SPDX-License-Identifier: Apache-2.0 */
/* wire.h -- envelopes (proto/raylet.proto) as bytes, and the small conversions between messages and plain structs.
 *
 * On a Unix socket an envelope is preceded by its size (uint32_t); on a gRPC stream it is one message. Unpacking allocates from an
 * arena that the caller keeps, so that a burst of messages costs no malloc each. */
#ifndef MOB_COMMON_WIRE_H
#define MOB_COMMON_WIRE_H

#include "common/error.h"
#include "common/id.h"
#include "common/resources.h"
#include "raylet.pb-c.h"

#define MOB_PROTOCOL 1u                         /* raised when a message changes its meaning */
#define MOB_ENVELOPE_MAX (4u << 20)             /* bytes; a larger one ends its connection */

struct mob_wire;                                /* scratch memory for packing and unpacking; one a thread */
struct mob_wire *mob_wire_create(void);
void mob_wire_destroy(struct mob_wire *wire);

/* Parse and check an envelope from another process: NULL and *err (MOB_ERR_PROTOCOL) if it is malformed, too large or has no body.
 * The result lives until the next unpack with this wire. Every sub-message that a handler may read without looking (Address,
 * Shape, ObjectId where they are not optional by meaning) is checked to be there. */
Mobula__Envelope *mob_wire_unpack(struct mob_wire *wire, const void *bytes, size_t size, struct mob_error *err);

/* Pack: the bytes live until the next pack with this wire. */
const void *mob_wire_pack(struct mob_wire *wire, const Mobula__Envelope *e, size_t *ret_size);

/* An envelope on the caller's stack, with its addresses: mob_envelope_init(&e, from, to, MOBULA__ENVELOPE__BODY_WANT); e.e.want = &m. */
struct mob_envelope {
    Mobula__Envelope e;
    Mobula__Address from, to;
};
void mob_envelope_init(struct mob_envelope *e, struct mob_address from, struct mob_address to, Mobula__Envelope__BodyCase body);

/* Which body a sound envelope has (Mobula__Envelope__BodyCase); 0: none. */
uint32_t mob_wire_body(const void *bytes, size_t size);

struct mob_address mob_wire_address(const Mobula__Address *a);          /* NULL: {0, 0} */
void mob_wire_put_address(Mobula__Address *ret, struct mob_address a);
struct mob_object_id mob_wire_object(const Mobula__ObjectId *o);
void mob_wire_put_object(Mobula__ObjectId *ret, const struct mob_object_id *o);
void mob_wire_error(const Mobula__Error *e, struct mob_error *ret);     /* cuts what is too long */
void mob_wire_put_error(Mobula__Error *ret, const struct mob_error *e); /* borrows e's text */

#define MOB_DEATHS_MAX 4u                       /* certificates that an error has: of the last attempts */
void mob_wire_death(const Mobula__Death *m, struct mob_death *ret);     /* cuts what is too long */
void mob_wire_put_death(Mobula__Death *ret, const struct mob_death *d); /* borrows d's text */

/* A shape as a plain value: sorted resources, checked. See resources.h. */
int mob_wire_shape(const Mobula__Shape *s, struct mob_shape *ret, struct mob_error *err);
/* Fills *ret, whose arrays stand in `room`, until room is reused. */
struct mob_shape_room {
    Mobula__Resource resources[MOB_RESOURCES_MAX], *resource_list[MOB_RESOURCES_MAX];
    Mobula__Label labels[MOB_LABELS_MAX], *label_list[MOB_LABELS_MAX];
    Mobula__Address job;
};
void mob_wire_put_shape(Mobula__Shape *ret, struct mob_shape_room *room, const struct mob_shape *s);

/* So many leases are wanted first at that node. */
#define MOB_NEAR_MAX 4
struct mob_near {
    uint32_t node, count;
};
struct mob_near_room {
    Mobula__Near of[MOB_NEAR_MAX], *list[MOB_NEAR_MAX];
};
/* What is too much of such a list, or says nothing, is left out. Both return how many are left. */
uint32_t mob_wire_near(struct mob_near ret[MOB_NEAR_MAX], Mobula__Near *const *list, size_t n);
size_t mob_wire_put_near(struct mob_near_room *room, const struct mob_near *near, uint32_t count);

/* Resource lists: ret must have room for MOB_RESOURCES_MAX. Negative, repeated or over-long names are MOB_ERR_PROTOCOL. */
int mob_wire_resources(Mobula__Resource *const *list, size_t n, struct mob_resources *ret, struct mob_error *err);
size_t mob_wire_put_resources(Mobula__Resource room[MOB_RESOURCES_MAX], Mobula__Resource *list[MOB_RESOURCES_MAX],
                              const struct mob_resources *r);

/* Lists of labels, in the same way. */
int mob_wire_labels(Mobula__Label *const *list, size_t n, struct mob_labels *ret, struct mob_error *err);
size_t mob_wire_put_labels(Mobula__Label room[MOB_LABELS_MAX], Mobula__Label *list[MOB_LABELS_MAX], const struct mob_labels *l);

#endif
