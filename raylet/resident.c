/* SPDX-License-Identifier: Apache-2.0 */
/* resident.c -- a process of this node, from its number to its burial.
 *
 *       .----------------------v
 *   PREPARING <--> ASKED --> STARTED --> UP --> OVER
 *       '------------'----------'---------------^
 *
 *   PREPARING  a worker waits for its program (program.c), which comes or fails; it is STARTED then, or ASKED, if its job has a template
 *   ASKED      a worker waits until its job's template has forked it (fork.c), or has failed: it is started anew then
 *   STARTED    a worker waits for Hello (hello.c) or for its death (reap.c)
 *   UP         waits for death: a worker's is SIGCHLD, a driver's is its pidfd or the end of its socket
 *
 * Burial, in this order: its socket is read to the end, so that what it said last is known; its unsealed space and pins in the store are
 * let go; the core is told, which tells the owners.
 */
#include "raylet/resident.h"

#include <assert.h>
#include <fcntl.h>
#include <signal.h>
#include <stdlib.h>
#include <unistd.h>

#include "raylet/family.h"

static const struct mob_state resident_states[] = {
    [MOB_RESIDENT_PREPARING] = { "preparing", NULL, MOB_TO(MOB_RESIDENT_ASKED) | MOB_TO(MOB_RESIDENT_STARTED) | MOB_TO(MOB_RESIDENT_OVER) },
    [MOB_RESIDENT_ASKED]     = { "asked",     NULL,
                                 MOB_TO(MOB_RESIDENT_PREPARING) | MOB_TO(MOB_RESIDENT_STARTED) | MOB_TO(MOB_RESIDENT_OVER) },
    [MOB_RESIDENT_STARTED]   = { "started",   NULL, MOB_TO(MOB_RESIDENT_UP)      | MOB_TO(MOB_RESIDENT_OVER) },
    [MOB_RESIDENT_UP]        = { "up",        NULL, MOB_TO(MOB_RESIDENT_OVER) },
    [MOB_RESIDENT_OVER]      = { "over",      NULL, 0 },
};

static bool resident_holds(const struct mob_machine *m)
{
    const struct mob_resident *r = MOB_CONTAINER(m, const struct mob_resident, machine);

    if (m->now == MOB_RESIDENT_UP)
        return r->stream != NULL && r->bell.page != NULL;
    return m->now != MOB_RESIDENT_STARTED || r->pid > 0;
}

struct mob_resident *mob_resident_create(struct mob_shell *s, bool driver)
{
    struct mob_resident *r = mob_new(struct mob_resident);

    r->shell = s;
    r->driver = driver;
    r->page_fd = r->bell.fd = r->pidfd = r->out_fd = r->err_fd = -1;
    mob_list_init(&r->asked);
    mob_list_init(&r->program_wait.link);
    mob_list_init(&r->failing.link);
    mob_machine_init(&r->machine, driver ? "driver" : "worker", 0, resident_states, driver ? MOB_RESIDENT_UP : MOB_RESIDENT_PREPARING,
                     resident_holds);
    return r;
}

void mob_resident_number(struct mob_resident *r, uint32_t number)
{
    assert(r->number == 0 && mob_resident_find(r->shell, number) == NULL);
    r->number = number;
    r->machine.id = number;
    mob_map_set(&r->shell->residents, number, r);
}

struct mob_resident *mob_resident_find(struct mob_shell *s, uint32_t number)
{
    return mob_map_get(&s->residents, number);
}

int mob_resident_make_page(struct mob_resident *r, struct mob_error *err)
{
    int page_fd, event_fd;

    assert(r->page_fd < 0);
    if (mob_doorbell_create(&page_fd, &event_fd, err) < 0)
        return -1;
    int own_fd = fcntl(page_fd, F_DUPFD_CLOEXEC, 3);
    if (own_fd < 0 || mob_doorbell_open(&r->bell, own_fd, event_fd, err) < 0) {
        if (own_fd < 0) {
            mob_error_errno(err, "cannot open the page of a process");
            close(event_fd);
        }
        close(page_fd);
        return -1;
    }
    r->page_fd = page_fd;
    return 0;
}

static void on_pidfd(uv_poll_t *poll, int status, int events)
{
    struct mob_resident *r = MOB_CONTAINER(poll, struct mob_resident, pidfd_poll);
    struct mob_exit exit = { .last_lines = "" };

    (void)status, (void)events;
    mob_resident_over(r, &exit);
}

void mob_resident_watch(struct mob_resident *r, int pidfd)
{
    assert(r->driver);
    if (pidfd >= 0 && uv_poll_init(mob_loop_uv(r->shell->loop), &r->pidfd_poll, pidfd) < 0) {
        close(pidfd);
        pidfd = -1;
    }
    r->pidfd = pidfd;
    if (pidfd >= 0)
        uv_poll_start(&r->pidfd_poll, UV_READABLE, on_pidfd);
}

void mob_resident_kill(struct mob_resident *r, int signal)
{
    struct mob_error why;

    assert(!r->driver);
    if (r->machine.now == MOB_RESIDENT_PREPARING || r->machine.now == MOB_RESIDENT_ASKED) {
        mob_error_set(&why, MOB_ERR_CANCELLED, "it was ended before it started");
        mob_spawn_give_up(r, &why);
    } else if (r->pid != 0) {           /* 0: it is being buried, and its last frames made the core say so */
        if (signal == SIGKILL && !r->killed) {
            r->killed = true;
            r->late = mob_family_is_ending(r->shown_pid);
        }
        /* A signal with a meaning is the worker's own; the end is for all that it started. */
        kill(signal == SIGKILL ? -r->pid : r->pid, signal);
    }
}

void mob_resident_over(struct mob_resident *r, const struct mob_exit *exit)
{
    struct mob_shell *s = r->shell;
    struct mob_error why;

    if (r->stream != NULL) {
        mob_stream_drain(r->stream);    /* its frames go to the core, as ever */
        mob_error_set(&why, MOB_ERR_UNREACHABLE, "the process has ended");
        mob_stream_tag(r->stream)->process = NULL;
        mob_stream_end(r->stream, &why);
    }
    mob_machine_goto(&r->machine, MOB_RESIDENT_OVER);
    mob_store_client_gone(s->store, r->number);
    mob_map_remove(&s->residents, r->number);
    mob_raylet_process_exited(s->core, r->number, exit);
    mob_shell_poke(s);
    mob_resident_free(r);
}

static void on_poll_closed(uv_handle_t *handle)
{
    free(MOB_CONTAINER((uv_poll_t *)handle, struct mob_resident, pidfd_poll));
}

void mob_resident_free(struct mob_resident *r)
{
    if (mob_map_get(&r->shell->residents, r->number) == r)
        mob_map_remove(&r->shell->residents, r->number);
    mob_program_cancel(&r->program_wait);
    mob_spawn_close_output(r);
    mob_output_destroy(r->output);
    if (r->page_fd >= 0) {
        close(r->page_fd);
        mob_doorbell_close(&r->bell);
    }
    if (r->driver)
        mob_program_forget(r->shell->programs, &r->program);
    if (r->pidfd < 0) {
        free(r);
        return;
    }
    uv_close((uv_handle_t *)&r->pidfd_poll, on_poll_closed);
    close(r->pidfd);
}
