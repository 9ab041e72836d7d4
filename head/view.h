/* SPDX-License-Identifier: Apache-2.0 */
/* view.h -- the resource view: what each node has free, as it reported, less what was placed there since. */
#ifndef MOB_HEAD_VIEW_H
#define MOB_HEAD_VIEW_H

#include "common/wire.h"
#include "head/placement.h"

struct mob_head;
struct node;
struct demand;

struct view {
    struct placement_node **open;       /* nodes that work may be placed at: linked, alive, serving */
    size_t open_count, open_room;
    struct node **changed;              /* may have more free than when placement last looked */
    size_t changed_count, changed_room;
};

/* A definition, shared by its demand and the places made from it. */
struct shape {
    unsigned refs;
    struct mob_shape of;
};
void mob_head_shape_unref(struct shape *s);

void mob_head_view_fini(struct mob_head *h);
/* Its link is up: places it may have missed are sent again; work may be placed there (not on a driver's own). */
void mob_head_view_open(struct node *n);
void mob_head_view_close(struct node *n);
/* It is dead: what was placed there is forgotten. */
void mob_head_view_forget(struct node *n);
int mob_head_view_report(struct node *n, const Mobula__Report *m, struct mob_error *err);
/* `count` leases of `d`, whose resources were taken from n's free already, go to n: tell it, and remember until it reports so. */
void mob_head_view_place(struct node *n, const struct demand *d, uint32_t count);
/* How many of those that are open may get work: the draining ones do not. */
size_t mob_head_view_serving(const struct mob_head *h);
/* Placement has looked at all that changed. */
void mob_head_view_looked(struct mob_head *h);
void mob_head_view_check(const struct node *n);

#endif
