/* SPDX-License-Identifier: Apache-2.0 */
/* report.c -- a Report is due after a beat of silence, and PACE_NS after the last one when something changed since: free
 * resources, the queue, the Places seen, or the Claim. */
#include "raylet/report.h"

#include "raylet/core.h"

#define PACE_NS (10 * MS)

void mob_report_again(struct mob_raylet *r)
{
    r->reporter.again = true;
}

/* What is set aside for one that waits is not free. Workers that came back from a wait may have overdrawn CPU: then none is. */
static struct mob_resources free_of(const struct mob_raylet *r)
{
    struct mob_resources free_now = r->resources.free;

    mob_resources_subtract(&free_now, &r->wants.aside);
    for (uint32_t i = 0; i < free_now.count; i++)
        if (free_now.of[i].units < 0)
            free_now.of[i].units = 0;
    return free_now;
}

static void put_store(const struct mob_store *s, Mobula__Report *ret)
{
    struct mob_store_usage usage = mob_store_usage(s);

    ret->store_used = usage.used;
    ret->store_size = usage.size;
    ret->store_spilled = usage.spilled;
    ret->store_pulled = usage.pulled;
    ret->store_warm = usage.warm;
    ret->store_overflow = usage.overflow;
    ret->store_asks = (uint32_t)usage.asks;
    ret->store_trouble = (char *)usage.trouble;
    ret->store_pages = (char *)usage.pages;
}

static void say_report(struct mob_raylet *r)
{
    struct reporter *reporter = &r->reporter;
    struct mob_resources free_now = free_of(r);
    Mobula__Report m = MOBULA__REPORT__INIT;
    Mobula__Draining draining;
    Mobula__Resource room[MOB_RESOURCES_MAX], *list[MOB_RESOURCES_MAX];
    struct mob_envelope e;

    if (reporter->said_version != r->resources.version || reporter->said_queued != r->wants.queued || reporter->version == 0)
        reporter->version++;
    m.version = reporter->version;
    m.n_free = mob_wire_put_resources(room, list, &free_now);
    m.free = list;
    m.placed_seq = reporter->placed_seq;
    m.workers = r->pool.alive;
    m.blocked = r->pool.blocked;
    if (r->config.store != NULL)
        put_store(r->config.store, &m);
    m.store_full = r->full.on;
    if (r->drain.on) {
        mob_drain_put(r, &draining);
        m.draining = &draining;
    }
    m.queued = r->wants.queued;
    m.claim_over = r->claim.over;
    m.uptime_ms = (uint64_t)((r->now - r->started) / MS);
    mob_envelope_init(&e, r->self, (struct mob_address){ 0, 0 }, MOBULA__ENVELOPE__BODY_REPORT);
    e.e.report = &m;
    mob_route_send(r, &e.e);
    reporter->said_at = r->now;
    reporter->said_version = r->resources.version;
    reporter->said_queued = r->wants.queued;
    reporter->said_placed_seq = reporter->placed_seq;
    reporter->said_claim_over = r->claim.over;
    reporter->again = false;
}

int64_t mob_report_tick(struct mob_raylet *r)
{
    struct reporter *reporter = &r->reporter;
    bool changed = reporter->said_version != r->resources.version || reporter->said_queued != r->wants.queued
        || reporter->said_placed_seq != reporter->placed_seq || reporter->said_claim_over != r->claim.over;
    int64_t due = reporter->again ? r->now : reporter->said_at + (changed ? PACE_NS : r->membership.beat_ns);

    if (!mob_membership_joined(r))
        return INT64_MAX;
    if (r->now < due)
        return due;
    say_report(r);
    return r->now + r->membership.beat_ns;
}
