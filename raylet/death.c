/* SPDX-License-Identifier: Apache-2.0 */
/* death.c -- burials.
 *
 * A worker: its socket was read to the end and it was reaped before we hear of it. Then, in this order: unsealed space in
 * the store is freed; what it answered is sent on, if its owner is elsewhere; LeaseOver tells the owner, with the death
 * certificate; its own leases and wants end, as it was an owner, too; its number is forgotten.
 *
 * A driver: the same as an owner; and its job is over: the head is told, who tells the other nodes.
 *
 * A pair of nodes that lost its stream: each side tells its owners that their leases over there are over, and kills the
 * workers it lends to owners over there. A node that is dead: the same, and jobs whose driver was there are over.
 */
#include "raylet/death.h"

#include <stdio.h>
#include <stdlib.h>

#include "common/event.h"
#include "raylet/certificate.h"
#include "raylet/core.h"

/* -- a worker ------------------------------------------------------------------------------------------------------------ */

static void say_lease_over(struct mob_raylet *r, const struct lease *l, const struct mob_exit *exit)
{
    const struct process *p = l->worker->process;
    Mobula__LeaseOver m = MOBULA__LEASE_OVER__INIT;
    Mobula__Error error = MOBULA__ERROR__INIT;
    Mobula__Death death, *deaths = &death;
    Mobula__Address worker;
    struct mob_error cause = l->why;
    struct mob_death certificate;
    struct mob_envelope e;

    m.claimed = mob_process_runs(p, l->epoch, &m.task, &m.attempt);
    mob_certificate_write(r, l->worker, exit, mob_cancel_signalled(l->worker, m.task, m.attempt), &certificate);
    certificate.attempt = (int32_t)m.attempt;
    if (cause.code == MOB_OK)
        mob_certificate_say(&certificate, exit, &cause);
    cause.attempt = (int32_t)m.attempt;
    m.beyond_ask = l->beyond_ask;
    mob_wire_put_error(&error, &cause);
    mob_wire_put_death(&death, &certificate);
    error.n_deaths = 1;
    error.deaths = &deaths;
    mob_wire_put_address(&worker, p->address);
    m.lease = l->number;
    m.worker = &worker;
    m.cause = &error;
    mob_envelope_init(&e, r->self, mob_lease_owner(l), MOBULA__ENVELOPE__BODY_LEASE_OVER);
    e.e.lease_over = &m;
    mob_route_send(r, &e.e);
    mob_info("lease %llu is over: %s", (unsigned long long)l->number, cause.text);
}

/* What the worker has sealed since its owner's end, or since the link to that one broke, which then says what of it stays. (What it made in
 * vain for one that hears of its death, that one frees.) */
static void clear_store(struct mob_raylet *r, const struct lease *l)
{
    struct mob_address owner = mob_lease_owner(l);
    const struct peer *peer = mob_route_peer(r, owner.node);

    if (r->config.store == NULL)
        return;
    if (l->owner_gone || (peer != NULL && !peer->is.alive)
        || (owner.node == r->self.node && mob_process_find(r, owner.process) == NULL))
        mob_store_owner_gone(r->config.store, owner);
    else if (owner.node != r->self.node && l->machine.now == LEASE_ENDING && !l->tell_owner)
        mob_store_maker_lost(r->config.store, l->worker->process->address.process, owner);
}

static void bury_lease(struct mob_raylet *r, struct lease *l, const struct mob_exit *exit)
{
    if (l->proxy != NULL)
        mob_proxy_drain(r, l->proxy);
    if (l->machine.now != LEASE_ENDING || l->tell_owner)
        say_lease_over(r, l, exit);
    clear_store(r, l);
    mob_lease_worker_gone(r, l);
}

/* For those who want to know what became of its objects. */
static void certify(const struct mob_raylet *r, const struct worker *w, const struct mob_exit *exit, struct mob_death *ret)
{
    uint64_t task = 0;
    uint32_t attempt = 0;

    mob_process_runs(w->process, w->epoch, &task, &attempt);
    mob_certificate_write(r, w, exit, mob_cancel_signalled(w, task, attempt), ret);
    ret->attempt = (int32_t)attempt;
}

static void describe_end(const struct mob_exit *exit, char *ret_text, size_t size)
{
    if (exit->unfit)
        mob_copy(ret_text, size, exit->why);
    else
        mob_certificate_end(exit, ret_text, size);
}

static void bury_worker(struct mob_raylet *r, struct worker *w, const struct mob_exit *exit, const char *why)
{
    if (w->machine.now != WORKER_STARTING && w->lease != NULL)
        bury_lease(r, w->lease, exit);
    mob_pool_worker_gone(r, w, why, exit->unfit);
}

/* -- an owner ------------------------------------------------------------------------------------------------------------ */

/* How its tasks ended it did not live to say. Of a driver the end of its job says the same. */
static void record_end(struct mob_raylet *r, const struct process *p)
{
    struct mob_event record = { .kind = MOB_EVENT_OWNER_OVER, .owner_node = p->address.node, .owner_process = p->address.process };
    Mobula__Events m = MOBULA__EVENTS__INIT;
    struct mob_envelope e;

    m.records.data = (uint8_t *)&record;
    m.records.len = sizeof record;
    mob_envelope_init(&e, r->self, (struct mob_address){ 0, 0 }, MOBULA__ENVELOPE__BODY_EVENTS);
    e.e.events = &m;
    mob_outbox_send(r, &e.e);
}

/* What a process held and wanted, here and elsewhere. death: NULL, unless it was a worker. */
static void bury_owner(struct mob_raylet *r, struct process *p, const char *how, const struct mob_death *death)
{
    mob_stages_owner_gone(r, p->address);
    mob_leases_end_of(r, p->address);
    mob_wants_forget(r, p->address);
    mob_borrowed_owner_gone(r, p);
    mob_questions_gone(r, &p->questions, MOB_ERR_OWNER_DIED, how, death);
}

void mob_raylet_process_exited(struct mob_raylet *r, uint32_t process, const struct mob_exit *exit)
{
    struct process *p = mob_process_find(r, process);
    struct worker *w = p == NULL ? NULL : p->worker;
    char why[512], how[520] = "it has ended";
    struct mob_address job;
    struct mob_death death;

    if (p == NULL)
        return;
    r->now = r->world->now_ns(r->world);
    job = p->job;
    if (r->config.store != NULL)
        mob_store_client_gone(r->config.store, process);
    if (w != NULL) {
        certify(r, w, exit, &death);
        describe_end(exit, why, sizeof why);
        snprintf(how, sizeof how, "it %s", why);
        bury_worker(r, w, exit, why);
    }
    if (w != NULL && p->recorded)
        record_end(r, p);
    p->worker = NULL;
    bury_owner(r, p, how, w != NULL ? &death : NULL);
    mob_pressure_process_gone(r, process);
    p->page = NULL;
    mob_process_forget(r, p);
    if (w == NULL) {
        r->processes.drivers--;
        mob_membership_job_over(r, job);
        mob_death_of_job(r, job);
    }
    mob_pool_start_next(r);
    mob_wants_serve(r);
}

/* -- more ---------------------------------------------------------------------------------------------------------------- */

static bool is_of_node(const struct want *w, struct mob_address of)
{
    return w->wanter->address.node == of.node;
}

static bool is_of_job(const struct want *w, struct mob_address of)
{
    return mob_address_eq(w->shape.job, of);
}

/* Owners for which `gone` says yes (of any want of theirs: an owner has one job): as if they had died. */
static void bury_wanters(struct mob_raylet *r, bool (*gone)(const struct want *w, struct mob_address of), struct mob_address of)
{
    struct mob_address *owners = mob_alloc((r->wants.wanters.count + 1) * sizeof *owners);
    struct wanter *wanter;
    size_t count = 0;

    for (size_t at = 0; (wanter = mob_map_next(&r->wants.wanters, &at, NULL)) != NULL;) {
        size_t first = 0;

        if (gone(mob_map_next(&wanter->wants, &first, NULL), of))
            owners[count++] = wanter->address;
    }
    for (size_t i = 0; i < count; i++) {
        mob_leases_end_of(r, owners[i]);
        mob_wants_forget(r, owners[i]);
    }
    free(owners);
}

void mob_death_of_pair(struct mob_raylet *r, struct peer *peer, const char *why)
{
    char text[256];

    snprintf(text, sizeof text, peer->is.alive ? "the link to node %u broke: %s" : "node %u died: %s", peer->is.node, why);
    mob_borrowed_lender_lost(r, peer, text);
    mob_demand_node_lost(r, peer->is.node);
    mob_stages_owner_gone(r, (struct mob_address){ peer->is.node, 0 });
    bury_wanters(r, is_of_node, (struct mob_address){ peer->is.node, 0 });
    if (peer->is.alive && r->config.store != NULL)
        mob_store_link_lost(r->config.store, peer->is.node);
    mob_questions_gone(r, &peer->questions, peer->is.alive ? MOB_ERR_NODE_DIED : MOB_ERR_OWNER_DIED, text, NULL);
    mob_wants_serve(r);
}

void mob_death_of_node(struct mob_raylet *r, struct peer *peer, const char *why)
{
    struct kind *k;
    struct mob_address *jobs = mob_alloc((r->pool.kinds.count + 1) * sizeof *jobs);
    size_t count = 0;

    mob_warn("node %u is dead: %s", peer->is.node, why);
    for (size_t at = 0; (k = mob_map_next(&r->pool.kinds, &at, NULL)) != NULL;)
        if (k->job.node == peer->is.node)
            jobs[count++] = k->job;
    mob_route_node_down(r, peer, why);
    for (size_t i = 0; i < count; i++)
        mob_death_of_job(r, jobs[i]);
    free(jobs);
    if (r->config.job_over != NULL)
        r->config.job_over(r->config.arg, (struct mob_address){ peer->is.node, 0 });
    if (r->config.store != NULL)
        mob_store_node_died(r->config.store, peer->is.node);
}

void mob_death_of_job(struct mob_raylet *r, struct mob_address job)
{
    bury_wanters(r, is_of_job, job);
    mob_pool_end_job(r, job);
    if (r->config.job_over != NULL)
        r->config.job_over(r->config.arg, job);
    if (r->config.store != NULL)
        mob_store_job_over(r->config.store, job);
    mob_wants_serve(r);
}

void mob_death_tell_no_start(struct mob_raylet *r, const struct want *w, const char *why)
{
    Mobula__Unplaceable m = MOBULA__UNPLACEABLE__INIT;
    struct mob_envelope e;
    char text[640];

    snprintf(text, sizeof text, "node %u (%s): a worker %s; it will be tried again", r->self.node, r->config.ip, why);
    m.shape = w->number;
    m.text = text;
    mob_envelope_init(&e, r->self, w->wanter->address, MOBULA__ENVELOPE__BODY_UNPLACEABLE);
    e.e.unplaceable = &m;
    mob_route_send(r, &e.e);
}

void mob_death_tell_unfit(struct mob_raylet *r, const struct kind *k)
{
    Mobula__Unfit m = MOBULA__UNFIT__INIT;
    struct mob_envelope e;
    char text[640];

    snprintf(text, sizeof text, "node %u (%s): %s", r->self.node, r->config.ip, k->unfit);
    m.executable.data = (uint8_t *)k->executable.bytes;
    m.executable.len = sizeof k->executable.bytes;
    m.why = text;
    mob_envelope_init(&e, r->self, (struct mob_address){ 0, 0 }, MOBULA__ENVELOPE__BODY_UNFIT);
    e.e.unfit = &m;
    mob_route_send(r, &e.e);            /* the head away: said again when it places such a want here */
}
