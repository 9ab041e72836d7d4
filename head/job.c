/* SPDX-License-Identifier: Apache-2.0 */
/* job.c -- jobs start and end by their driver's raylet's word, or with its node. An ended job's demands are dropped and all
 * raylets are told, so that no worker of it is left anywhere; the last ended ones are kept to be shown, and to tell a node that was
 * cut off when they ended. Repeats are ignored.
 *
 * What a raylet says of a job can be lost with a broken link. So after each Register it names all its jobs again before its first
 * Report: those that it does not name are over.
 */
#include "head/job.h"

#include <stdlib.h>

#include "common/log.h"
#include "head/core.h"

#define OVER_KEPT 1000
#define TELL_NS INT64_C(60000000000)     /* a broken link is noticed long before, and what was under way on it is lost */

static struct job *job_create(struct mob_head *h, struct mob_address driver, const char *name, uint32_t pid)
{
    struct job *j = mob_new(struct job);

    j->driver = driver;
    mob_copy(j->name, sizeof j->name, name);
    j->pid = pid;
    j->started_ns = h->now_ns;
    mob_map_set(&h->jobs.by_driver, mob_address_key(driver), j);
    return j;
}

static void job_destroy(struct mob_head *h, struct job *j)
{
    mob_map_remove(&h->jobs.by_driver, mob_address_key(j->driver));
    mob_list_remove(&j->in_list);
    free(j);
}

static void put_over(struct mob_envelope *env, uint32_t to, Mobula__JobOver *m, Mobula__Address *address, const struct job *j)
{
    mobula__job_over__init(m);
    mobula__address__init(address);
    mob_wire_put_address(address, j->driver);
    m->job = address;
    mob_envelope_init(env, (struct mob_address){ 0, 0 }, (struct mob_address){ to, 0 }, MOBULA__ENVELOPE__BODY_JOB_OVER);
    env->e.job_over = m;
}

static void tell_over(struct mob_head *h, const struct job *j)
{
    struct mob_envelope env;
    Mobula__JobOver m;
    Mobula__Address address;

    put_over(&env, 0, &m, &address, j);
    mob_head_broadcast(h, &env.e, NULL);
}

void mob_head_job_init(struct mob_head *h)
{
    mob_list_init(&h->jobs.running);
    mob_list_init(&h->jobs.over);
}

void mob_head_job_fini(struct mob_head *h)
{
    struct job *j;

    mob_list_each(j, &h->jobs.running, struct job, in_list)
        job_destroy(h, j);
    mob_list_each(j, &h->jobs.over, struct job, in_list)
        job_destroy(h, j);
    mob_map_fini(&h->jobs.by_driver);
}

void mob_head_job_started(struct node *n, struct mob_address driver, const char *name, uint32_t pid)
{
    struct mob_head *h = n->head;
    struct job *j = mob_map_get(&h->jobs.by_driver, mob_address_key(driver));

    if (j != NULL) {
        j->link = n->link;
        mob_copy(j->name, sizeof j->name, name);
        j->pid = pid;
        return;
    }
    j = job_create(h, driver, name, pid);
    j->link = n->link;
    mob_list_append(&h->jobs.running, &j->in_list);
    h->jobs.running_count++;
    mob_head_state_changed(h, MOB_HEAD_JOB, mob_address_key(driver));
    mob_info("job %u.%u (%s) starts", driver.node, driver.process, j->name);
}

/* A head before this one may have known of its start or end, and not kept that. Its driver's node knows: it is over unless that names it,
 * or has named it. */
void mob_head_job_served(struct mob_head *h, struct mob_address driver)
{
    const struct node *n = mob_head_node_find(h, driver.node);
    struct job *j = mob_map_get(&h->jobs.by_driver, mob_address_key(driver));

    if (j != NULL && j->over_ns != 0) {
        tell_over(h, j);
        return;
    }
    if (j == NULL) {
        j = job_create(h, driver, "", 0);
        mob_list_append(&h->jobs.running, &j->in_list);
        h->jobs.running_count++;
    }
    if (n == NULL || node_is_gone(n) || (n->link != 0 && n->named_link == n->link && j->link != n->link))
        mob_head_job_over(h, driver);
}

/* One that is over, or was ended with its node, counts as just ended: some nodes may not have heard it. */
int mob_head_job_load(struct mob_head *h, const Mobula__JobRow *row)
{
    struct mob_address driver = mob_wire_address(row->started->job);
    const struct node *n = mob_head_node_find(h, driver.node);
    bool over = row->over || n == NULL || node_is_gone(n);
    struct job *j;

    if (driver.node == 0 || driver.process == 0 || mob_map_get(&h->jobs.by_driver, mob_address_key(driver)) != NULL)
        return -1;
    j = job_create(h, driver, row->started->name, row->started->pid);
    j->over_ns = over ? h->now_ns : 0;
    mob_list_append(over ? &h->jobs.over : &h->jobs.running, &j->in_list);
    h->jobs.over_count += over;
    h->jobs.running_count += !over;
    return 0;
}

void mob_head_job_over(struct mob_head *h, struct mob_address driver)
{
    struct job *j = mob_map_get(&h->jobs.by_driver, mob_address_key(driver));

    if (j == NULL || j->over_ns != 0)
        return;
    j->over_ns = h->now_ns;
    mob_list_remove(&j->in_list);
    mob_list_append(&h->jobs.over, &j->in_list);
    h->jobs.running_count--;
    h->jobs.over_count++;
    mob_head_state_changed(h, MOB_HEAD_JOB, mob_address_key(driver));
    mob_info("job %u.%u (%s) is over", driver.node, driver.process, j->name);
    if (h->config.record_job_over != NULL)
        h->config.record_job_over(h->config.arg, driver);
    mob_head_demand_drop_job(h, driver);
    tell_over(h, j);
    if (h->jobs.over_count > OVER_KEPT) {
        driver = mob_list_first(&h->jobs.over, struct job, in_list)->driver;
        job_destroy(h, mob_map_get(&h->jobs.by_driver, mob_address_key(driver)));
        h->jobs.over_count--;
        mob_head_state_changed(h, MOB_HEAD_JOB, mob_address_key(driver));
    }
}

void mob_head_job_node_dead(struct node *n)
{
    struct job *j;

    mob_list_each(j, &n->head->jobs.running, struct job, in_list) {
        if (j->driver.node == n->place.number)
            mob_head_job_over(n->head, j->driver);
    }
}

bool mob_head_job_is_over(const struct mob_head *h, struct mob_address driver)
{
    const struct job *j = mob_map_get(&h->jobs.by_driver, mob_address_key(driver));
    const struct node *n = mob_head_node_find(h, driver.node);

    return j != NULL ? j->over_ns != 0 : n == NULL || node_is_gone(n);
}

void mob_head_job_all_named(struct node *n)
{
    struct job *j;

    mob_list_each(j, &n->head->jobs.running, struct job, in_list) {
        if (j->driver.node == n->place.number && j->link != n->link)
            mob_head_job_over(n->head, j->driver);
    }
}

void mob_head_job_tell(struct node *n)
{
    struct job *j;

    mob_list_each(j, &n->head->jobs.over, struct job, in_list) {
        struct mob_envelope env;
        Mobula__JobOver m;
        Mobula__Address address;

        if (j->over_ns < n->head->now_ns - TELL_NS)
            continue;
        put_over(&env, n->place.number, &m, &address, j);
        mob_head_send(n->head, n->link, &env.e);
    }
}
