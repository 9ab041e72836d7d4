/* SPDX-License-Identifier: Apache-2.0 */
/* process.c -- who lives on this node. A driver is numbered when it says Hello, a worker before it is started. The process itself
 * owns no lease or want: those are found by its address, and end with it (death.c). */
#include "raylet/process.h"

#include <stdlib.h>

#include "raylet/core.h"

void mob_processes_fini(struct mob_raylet *r)
{
    struct process *p;

    for (size_t at = 0; (p = mob_map_next(&r->processes.by_number, &at, NULL)) != NULL;) {
        mob_map_fini(&p->lenders);
        free(p);
    }
    mob_map_fini(&r->processes.by_number);
}

struct process *mob_process_add(struct mob_raylet *r, struct mob_address job, const struct mob_hash *executable)
{
    struct process *p = mob_new(struct process);

    p->address = (struct mob_address){ r->self.node, ++r->processes.next };
    p->job = job.node == 0 ? p->address : job;
    p->executable = *executable;
    mob_list_init(&p->borrowed);
    mob_list_init(&p->questions);
    mob_map_set(&r->processes.by_number, p->address.process, p);
    return p;
}

struct process *mob_process_find(const struct mob_raylet *r, uint32_t number)
{
    return mob_map_get(&r->processes.by_number, number);
}

void mob_process_forget(struct mob_raylet *r, struct process *p)
{
    assert(mob_list_empty(&p->borrowed) && mob_list_empty(&p->questions));
    if (p->connection != NULL) {
        struct connection *c = p->connection;

        p->connection = NULL;
        c->process = NULL;
        mob_route_hang_up(r, c);
    }
    mob_map_remove(&r->processes.by_number, p->address.process);
    mob_map_fini(&p->lenders);
    free(p);
}

void mob_process_disconnected(struct mob_raylet *r, struct process *p)
{
    p->connection = NULL;
    if (p->worker != NULL)
        mob_pool_broken(r, p->worker);
}

bool mob_process_runs(const struct process *p, uint32_t epoch, uint64_t *ret_task, uint32_t *ret_attempt)
{
    if (p->page == NULL || atomic_load(&p->page->claimed_ns) == 0 || atomic_load(&p->page->epoch) != epoch)
        return false;
    *ret_task = atomic_load(&p->page->task);
    *ret_attempt = atomic_load(&p->page->attempt);
    return true;
}

/* -- facts --------------------------------------------------------------------------------------------------------------- */

static struct process *driver_up(struct mob_raylet *r, const struct mob_hello *hello)
{
    struct process *p = mob_process_add(r, (struct mob_address){ 0, 0 }, &hello->executable);

    mob_copy(p->name, sizeof p->name, hello->name);
    r->processes.drivers++;
    return p;
}

/* A worker we started and wait for, or NULL. */
static struct process *expected_worker(struct mob_raylet *r, const struct mob_hello *hello, struct mob_error *err)
{
    struct process *p = mob_process_find(r, hello->process);

    if (p == NULL || p->worker == NULL || p->connection != NULL || p->worker->machine.now != WORKER_STARTING) {
        mob_error_set(err, MOB_ERR_DENIED, "worker %u is not expected here", hello->process);
        return NULL;
    }
    if (memcmp(&p->executable, &hello->executable, sizeof p->executable) != 0) {
        mob_error_set(err, MOB_ERR_DENIED, "worker %u runs another program than its job's", hello->process);
        return NULL;
    }
    return p;
}

int mob_raylet_process_up(struct mob_raylet *r, uint64_t link, const struct mob_hello *hello, struct mob_address *ret_self,
                          struct mob_address *ret_job, uint32_t *ret_depth, struct mob_error *err)
{
    struct connection *c = mob_route_connection(r, link);
    struct process *p;

    r->now = r->world->now_ns(r->world);
    if (r->over || r->self.node == 0)
        return mob_error_set(err, MOB_ERR_UNREACHABLE, "this node has not joined its cluster yet");
    if (c == NULL || c->kind != MOB_LINK_LOCAL || c->process != NULL)
        return mob_error_set(err, MOB_ERR_PROTOCOL, "a second Hello on one connection");
    if (hello->driver && r->drain.on)
        return mob_error_set(err, MOB_ERR_UNREACHABLE, "node %u (%s) is draining: it leaves the cluster, and takes no new driver; start it "
                             "on another machine, or with another address", r->self.node, r->config.ip);
    p = hello->driver ? driver_up(r, hello) : expected_worker(r, hello, err);
    if (p == NULL)
        return -1;
    p->pid = hello->pid;
    p->connection = c;
    c->process = p;
    *ret_self = p->address;
    *ret_job = p->job;
    *ret_depth = 0;
    if (!hello->driver) {
        mob_pool_worker_up(r, p->worker);
        return 0;
    }
    mob_membership_job_started(r, p);
    mob_pool_prestart(r, mob_pool_kind(r, p->job, &p->executable, r->self.node), mob_node_resources_cpus(&r->resources));
    return 0;
}

void mob_raylet_page(struct mob_raylet *r, uint32_t process, struct mob_page *page)
{
    struct process *p = mob_process_find(r, process);

    if (p != NULL)
        p->page = page;
}
