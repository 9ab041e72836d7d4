/* SPDX-License-Identifier: Apache-2.0 */
/* bulk_peer.c -- gets that wait for a connection, by address.
 *
 * At most CALLERS_MAX connections go to one address; further gets wait for one of them, in order. When a connection cannot be made and
 * none stands, all who wait hear the reason at once: it is theirs, too. Nothing here calls itself: what a get's end makes possible is
 * done by the loop of the pump that is running.
 */
#include <stdlib.h>
#include <string.h>

#include "objstore/bulk_private.h"

#define CALLERS_MAX 4

static bool is_at(const struct bulk_peer *p, const char *ip, uint32_t port)
{
    return p->port == port && strcmp(p->ip, ip) == 0;
}

static struct bulk_peer *peer_of(struct mob_bulk *b, const char *ip, uint32_t port)
{
    struct bulk_peer *p;

    mob_list_each(p, &b->peers, struct bulk_peer, link)
        if (is_at(p, ip, port))
            return p;
    p = mob_new(struct bulk_peer);
    p->bulk = b;
    p->port = port;
    mob_copy(p->ip, sizeof p->ip, ip);
    mob_list_init(&p->callers);
    mob_list_init(&p->waiting);
    mob_list_init(&p->link);
    mob_list_append(&b->peers, &p->link);
    return p;
}

void bulk_fetch_over(struct bulk_fetch *f, const struct mob_error *why)
{
    f->failed = why != NULL;
    if (why != NULL)
        mob_error_set(&f->err, why->code, "%s from %s port %u: %s", f->ask.kind == BULK_OBJECT ? "an object" : "an executable", f->ip,
                      f->port, why->text);
    bulk_post_done(f);
}

void bulk_peer_fail(struct bulk_peer *p, const struct mob_error *why)
{
    struct bulk_fetch *f;

    mob_list_each(f, &p->waiting, struct bulk_fetch, link) {
        mob_list_remove(&f->link);
        bulk_fetch_over(f, why);
    }
}

void bulk_peer_pump(struct bulk_peer *p)
{
    struct mob_error err;

    if (p->pumping)
        return;
    p->pumping = true;
    while (!mob_list_empty(&p->waiting) && !p->bulk->stopping) {
        struct bulk_fetch *f;

        if (bulk_caller_take(p))
            continue;
        if (p->count == CALLERS_MAX)
            break;
        f = mob_list_first(&p->waiting, struct bulk_fetch, link);
        mob_list_remove(&f->link);
        if (bulk_caller_create(p, f, &err) < 0)
            bulk_fetch_over(f, &err);
    }
    p->pumping = false;
    if (p->count == 0 && mob_list_empty(&p->waiting)) {
        mob_list_remove(&p->link);
        free(p);
    }
}

void bulk_fetch_start(struct bulk_fetch *f)
{
    struct bulk_peer *p = peer_of(f->bulk, f->ip, f->port);

    mob_list_append(&p->waiting, &f->link);
    bulk_peer_pump(p);
}

void bulk_peers_end(struct mob_bulk *b, const char *ip, uint32_t port, const struct mob_error *why)
{
    struct bulk_peer *p;

    mob_list_each(p, &b->peers, struct bulk_peer, link) {
        if (ip != NULL && !is_at(p, ip, port))
            continue;
        bulk_peer_fail(p, why);
        p->pumping = true;              /* it stays until all of it has ended */
        bulk_callers_end(p, why);
        p->pumping = false;
        bulk_peer_pump(p);
    }
}
