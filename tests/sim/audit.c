/* SPDX-License-Identifier: Apache-2.0 */
/* audit.c -- looks into a raylet's books, for check.c to compare them with what really runs. */
#include "audit.h"

#include "raylet/core.h"

bool audit_lent(const struct mob_raylet *r, uint32_t process, struct audit_lent *ret)
{
    const struct process *p = mob_process_find(r, process);

    if (p == NULL || p->worker == NULL || p->worker->machine.now == WORKER_ENDING)
        return false;
    *ret = (struct audit_lent){ 0 };
    if (p->worker->lease != NULL) {
        ret->lease = p->worker->lease->number;
        ret->cpu = mob_resources_get(&p->worker->lease->share.held, "CPU");
    }
    return true;
}

bool audit_job_gone(const struct mob_raylet *r, struct mob_address job)
{
    const struct process *p;
    struct want *w;

    for (size_t at = 0; (p = mob_map_next(&r->processes.by_number, &at, NULL)) != NULL;)
        if (mob_address_eq(p->job, job))
            return false;
    mob_list_each(w, &r->wants.all, struct want, all)   /* leases are of wants */
        if (mob_address_eq(w->shape.job, job))
            return false;
    return true;
}
