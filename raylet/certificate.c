/* SPDX-License-Identifier: Apache-2.0 */
/* certificate.c -- how a worker ended.
 *
 * A status of waitpid() says that a signal came, not who sent it. Whoever is about to end a worker in this raylet writes its reason into
 * the worker before (mob_pool_doom()); it counts if the worker then died of the signal that we send. What died of a fault, or by its own
 * exit, before that signal came, has ended itself, whatever was meant to happen; and what somebody else kills closes its socket, for which
 * we would kill it: so the world looks whether it finds it ending already (mob_exit.late).
 */
#include "raylet/certificate.h"

#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/wait.h>

#include "raylet/core.h"

static bool is_fault(int signal)
{
    static const int faults[] = { SIGSEGV, SIGBUS, SIGFPE, SIGILL, SIGABRT, SIGTRAP, SIGSYS };
    bool found = false;

    for (size_t i = 0; i < MOB_COUNT(faults); i++)
        found |= signal == faults[i];
    return found;
}

static enum mob_killed_by killed_by(const struct worker *w, const struct mob_exit *exit, bool cancelled)
{
    if (exit->status == -1)
        return MOB_KILLED_BY_START;
    if (cancelled)                      /* what it does at our SIGTERM is its own choice */
        return MOB_KILLED_BY_CANCEL;
    if (WIFEXITED(exit->status))
        return MOB_KILLED_BY_EXIT;
    if (is_fault(WTERMSIG(exit->status)))
        return MOB_KILLED_BY_CRASH;
    if (WTERMSIG(exit->status) == SIGKILL && !exit->late && w->doom != MOB_KILLED_BY_UNKNOWN)
        return w->doom;
    return WTERMSIG(exit->status) == SIGKILL && exit->out_of_memory ? MOB_KILLED_BY_KERNEL_MEMORY : MOB_KILLED_BY_SIGNAL;
}

void mob_certificate_write(const struct mob_raylet *r, const struct worker *w, const struct mob_exit *exit, bool cancelled,
                           struct mob_death *ret)
{
    const struct process *p = w->process;

    memset(ret, 0, sizeof *ret);
    ret->size = sizeof *ret;
    ret->killed_by = killed_by(w, exit, cancelled);
    ret->pid = (int32_t)p->pid;
    ret->exit_code = exit->status != -1 && WIFEXITED(exit->status) ? WEXITSTATUS(exit->status) : -1;
    ret->signal = exit->status != -1 && WIFSIGNALED(exit->status) ? WTERMSIG(exit->status) : 0;
    snprintf(ret->worker, sizeof ret->worker, "%u.%u", p->address.node, p->address.process);
    snprintf(ret->node, sizeof ret->node, "%u", p->address.node);
    mob_copy(ret->ip, sizeof ret->ip, r->config.ip);
    mob_copy(ret->host, sizeof ret->host, r->config.host);
    ret->peak_memory = exit->peak_rss_bytes;
    ret->cpu_ns = exit->cpu_ns;
    ret->lived_ns = r->now - w->started_at;
    mob_copy(ret->core, sizeof ret->core, exit->core != NULL ? exit->core : "");
    mob_copy(ret->last_lines, sizeof ret->last_lines, exit->last_lines != NULL ? exit->last_lines : "");
}

void mob_certificate_of_lost(const struct peer *lender, struct mob_address worker, struct mob_death *ret)
{
    memset(ret, 0, sizeof *ret);
    ret->size = sizeof *ret;
    ret->killed_by = MOB_KILLED_BY_NODE;
    ret->exit_code = -1;
    snprintf(ret->worker, sizeof ret->worker, "%u.%u", worker.node, worker.process);
    snprintf(ret->node, sizeof ret->node, "%u", worker.node);
    mob_copy(ret->ip, sizeof ret->ip, lender->is.ip);
    mob_copy(ret->host, sizeof ret->host, lender->is.host);
}

/* -- in words ------------------------------------------------------------------------------------------------------------ */

void mob_certificate_end(const struct mob_exit *exit, char *ret_text, size_t size)
{
    const char *name;

    if (exit->status == -1)
        snprintf(ret_text, size, "could not be started: %s", exit->why != NULL ? exit->why : "no reason is known");
    else if (WIFSIGNALED(exit->status) && (name = sigabbrev_np(WTERMSIG(exit->status))) != NULL)
        snprintf(ret_text, size, "was ended by signal SIG%s", name);
    else if (WIFSIGNALED(exit->status))
        snprintf(ret_text, size, "was ended by signal %d", WTERMSIG(exit->status));
    else
        snprintf(ret_text, size, "exited with code %d in the middle of its work", WEXITSTATUS(exit->status));
}

/* Who, where the signal does not say it. */
static const char *by(int killed_by)
{
    switch (killed_by) {
    case MOB_KILLED_BY_MEMORY: return " by the memory monitor of its node";
    case MOB_KILLED_BY_KERNEL_MEMORY: return " by the kernel, for want of memory";
    case MOB_KILLED_BY_JOB: return " as its job, or who had submitted its task, is gone";
    case MOB_KILLED_BY_RAYLET: return " by its raylet, as its socket was closed";
    default: return "";
    }
}

#define OWNERS_ROOM 128u                /* its owner puts the task and the attempt before the text, and the end must stay */

/* The end of a text that fits into `room` bytes, from the start of a line if there is one. */
static const char *tail(const char *text, size_t room)
{
    size_t size = strlen(text);
    const char *cut, *line;

    if (size <= room)
        return text;
    cut = text + size - room;
    line = strchr(cut, '\n');
    return line != NULL && line[1] != '\0' ? line + 1 : cut;
}

void mob_certificate_say(const struct mob_death *d, const struct mob_exit *exit, struct mob_error *ret)
{
    char end[256];
    size_t used;

    mob_certificate_end(exit, end, sizeof end);
    mob_error_set(ret, d->killed_by == MOB_KILLED_BY_CANCEL ? MOB_ERR_CANCELLED : MOB_ERR_WORKER_CRASHED,
                  "worker %s (pid %d on %s, %s) %s%s; peak memory %.1f MiB, CPU time %.2f s%s%s%s%s", d->worker, d->pid, d->host, d->ip,
                  end, by(d->killed_by), (double)d->peak_memory / (1 << 20), (double)d->cpu_ns / 1e9,
                  d->core[0] != '\0' ? "; its core: " : "", d->core,
                  d->core[0] != '\0' && strchr("/|", d->core[0]) == NULL ? " in the folder where it worked" : "",
                  d->last_lines[0] != '\0' ? "; its last lines on stderr:\n" : "");
    used = strlen(ret->text) + OWNERS_ROOM;
    if (used < sizeof ret->text)
        strcat(ret->text, tail(d->last_lines, sizeof ret->text - 1 - used));
    mob_copy(ret->node, sizeof ret->node, d->ip);
    ret->pid = d->pid;
    if (d->exit_code >= 0)
        ret->user_code = d->exit_code;
}
