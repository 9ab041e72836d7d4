/* SPDX-License-Identifier: Apache-2.0 */
/* main.c -- mobula-head: builds its organs in reading order, says one line to who started it, serves, and destroys them in reverse.
 *
 * It ends by SIGTERM or SIGINT, by the question "stop", or when --private-fd becomes readable (a pidfd of the driver whose private
 * cluster this is, or the end of a pipe; with --in-front it is that of a `mobula start --block`, and the cluster is nobody's own).
 * Raylets notice the loss of their links; nothing is told. An end like that is the cluster's: its state goes, too. A head that is killed
 * leaves it, and one that is started on it goes on.
 */
#include <errno.h>
#include <getopt.h>
#include <jansson.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "common/log.h"
#include "common/token.h"
#include "head/shell.h"

#define LOOK_NS INT64_C(1000000000)

static int read_number(const char *text, long max, long *ret)
{
    char *end;
    long n = strtol(text, &end, 10);

    if (*text == '\0' || *end != '\0' || n < 0 || n > max)
        return -1;
    *ret = n;
    return 0;
}

static int read_options(struct shell_options *ret, int argc, char **argv)
{
    static const struct option known[] = {
        { "ip", required_argument, NULL, 'i' }, { "port", required_argument, NULL, 'p' },
        { "token-file", required_argument, NULL, 't' }, { "ready-fd", required_argument, NULL, 'r' },
        { "private-fd", required_argument, NULL, 'v' },
        { "state", required_argument, NULL, 's' }, { "in-front", no_argument, NULL, 'f' }, { 0 },
    };
    struct shell_options o = { .ip = "127.0.0.1", .ready_fd = -1, .private_fd = -1 };
    long n = 0;
    int c;

    while ((c = getopt_long(argc, argv, "", known, NULL)) != -1) {
        if (c == '?' || (strchr("prv", c) != NULL && read_number(optarg, c == 'p' ? 65535 : 1 << 20, &n) < 0))
            return -1;
        if (c == 'i')
            o.ip = optarg;
        else if (c == 't')
            o.token_file = optarg;
        else if (c == 's')
            o.state = optarg;
        else if (c == 'p')
            o.port = (uint32_t)n;
        else if (c == 'r')
            o.ready_fd = (int)n;
        else if (c == 'f')
            o.in_front = true;
        else
            o.private_fd = (int)n;
    }
    *ret = o;
    return optind == argc ? 0 : -1;
}

/* The one line that whoever started us waits for. */
static void say(int fd, json_t *line)
{
    char *text = json_dumps(line, JSON_COMPACT);
    char *with_end = mob_printf("%s\n", text != NULL ? text : "{\"ok\":false}");

    if (fd >= 0) {
        if (write(fd, with_end, strlen(with_end)) < 0)
            mob_warn("who started this head does not listen any more");
        close(fd);
    }
    free(with_end);
    free(text);
    json_decref(line);
}

static int enter_session(struct shell *s, struct mob_error *err)
{
    char run[MOB_PATH_SIZE], session[MOB_PATH_SIZE];
    int lock;

    if (mob_paths_run(run, err) < 0 || mob_paths_session(run, s->record.cluster, s->record.ip, session, err) < 0
        || mob_paths_enter(session, &lock, err) < 0)
        return -1;
    s->session_lock = lock;
    mob_copy(s->session, sizeof s->session, session);
    return 0;
}

static int make_session(struct shell *s, const uint8_t cluster[16], struct mob_error *err)
{
    struct mob_daemon_record *r = &s->record;

    mob_copy(r->role, sizeof r->role, "head");
    mob_copy(r->ip, sizeof r->ip, s->options.ip);
    snprintf(r->head, sizeof r->head, strchr(r->ip, ':') != NULL ? "[%s]:%u" : "%s:%u", r->ip, r->port);
    for (int i = 0; i < 16; i++)
        snprintf(r->cluster + 2 * i, 3, "%02x", cluster[i]);
    r->is_private = s->options.private_fd >= 0 && !s->options.in_front;
    return mob_identity_of(getpid(), &r->process, err) < 0 ? -1 : enter_session(s, err);
}

static char *record_path(const struct shell *s)
{
    return mob_printf("%s/head.json", s->session);
}

static void remove_session(struct shell *s)
{
    char *record = record_path(s);

    unlink(record);
    free(record);
    mob_paths_leave(s->session, s->session_lock);
}

static int write_record(struct shell *s, struct mob_error *err)
{
    char *path = record_path(s);
    int written = mob_record_write(path, &s->record, err);

    free(path);
    return written;
}

/* Without its record nobody on this machine finds the head, to ask it or to stop it: if somebody removed it, it is made again. */
static int64_t look_for_record(void *arg)
{
    struct shell *s = arg;
    char *path = record_path(s);
    struct mob_error err;
    int lock = s->session_lock;

    if (access(path, F_OK) < 0 && errno == ENOENT) {
        mob_warn("somebody has removed %s: it is written again", path);
        if (enter_session(s, &err) < 0 || write_record(s, &err) < 0)
            mob_error_log("%s", err.text);
        if (s->session_lock != lock)
            close(lock);
    }
    free(path);
    return mob_now_ns() + LOOK_NS;
}

static int64_t tick(void *arg)
{
    return mob_head_tick(((struct shell *)arg)->head);
}

static int start(struct shell *s, struct mob_error *err)
{
    struct mob_events_config events = { .folder = s->session, .reply = shell_reply, .queued = shell_queued, .arg = s };
    struct mob_head_config head;
    char token_path[MOB_PATH_SIZE], token[MOB_TOKEN_SIZE];

    shell_world_init(s);
    if (mob_token_path(s->options.token_file, token_path, err) < 0 || mob_token_load(token_path, token, err) < 0)
        return -1;
    s->loop = mob_loop_create();
    s->rpc = mob_rpc_create(s->loop, token, &shell_links, s);
    if (mob_rpc_listen(s->rpc, s->options.ip, s->options.port, &s->record.port, err) < 0
        || (s->options.state != NULL && (s->state = mob_state_file_open(s->options.state, err)) == NULL))
        return -1;
    shell_head_config(s, &head);
    if (make_session(s, head.cluster, err) < 0)
        return -1;
    if ((s->events = mob_events_create(s->loop, &events, err)) == NULL)
        return -1;
    s->head = mob_head_create(&s->world, &head);
    if (s->state != NULL && mob_state_file_load(s->state, s->head, err) < 0)
        return -1;
    s->ticker = mob_ticker_create(s->loop, tick, s);
    s->looker = mob_ticker_create(s->loop, look_for_record, s);
    return write_record(s, err);
}

static void finish(struct shell *s)
{
    mob_ticker_destroy(s->ticker);
    mob_ticker_destroy(s->looker);
    mob_rpc_destroy(s->rpc);            /* before what its callbacks use */
    s->rpc = NULL;
    mob_events_destroy(s->events);
    mob_head_destroy(s->head);
    if (s->state != NULL && (s->served || mob_state_file_generation(s->state) == 1))
        mob_state_file_remove(s->state);
    else
        mob_state_file_close(s->state);
    mob_map_fini(&s->dialing);
    if (s->session[0] != '\0')
        remove_session(s);
    mob_loop_destroy(s->loop);
}

/* -- reasons to end ---------------------------------------------------------------------------------------------------------- */

static void on_signal(uv_signal_t *handle, int number)
{
    mob_info("ends: %s", strsignal(number));
    mob_loop_stop(handle->data);
}

static void on_private(uv_poll_t *handle, int status, int events)
{
    (void)status;
    (void)events;
    mob_info("ends: the process that it was started for is gone");
    mob_loop_stop(handle->data);
}

static void serve(struct shell *s)
{
    uv_loop_t *uv = mob_loop_uv(s->loop);
    uv_signal_t terminated, interrupted;
    uv_poll_t private_end;
    bool watched = s->options.private_fd >= 0 && uv_poll_init(uv, &private_end, s->options.private_fd) == 0;

    uv_signal_init(uv, &terminated);
    uv_signal_init(uv, &interrupted);
    terminated.data = interrupted.data = s->loop;
    uv_signal_start(&terminated, on_signal, SIGTERM);
    uv_signal_start(&interrupted, on_signal, SIGINT);
    if (watched) {
        private_end.data = s->loop;
        uv_poll_start(&private_end, UV_READABLE | UV_DISCONNECT, on_private);
    }
    mob_loop_run(s->loop);
    uv_close((uv_handle_t *)&terminated, NULL);
    uv_close((uv_handle_t *)&interrupted, NULL);
    if (watched)
        uv_close((uv_handle_t *)&private_end, NULL);
    finish(s);                          /* runs the loop until all are closed: they live on this stack */
}

int main(int argc, char **argv)
{
    struct shell s = { 0 };
    struct mob_error err;

    mob_log_init("head");
    signal(SIGPIPE, SIG_IGN);
    if (read_options(&s.options, argc, argv) < 0) {
        fprintf(stderr, "usage: mobula-head [--ip A] [--port P] [--token-file F] [--ready-fd N] [--private-fd N] [--in-front]"
                        " [--state F]\n");
        return 2;
    }
    if (start(&s, &err) < 0) {
        mob_error_log("cannot start: %s", err.text);
        finish(&s);                     /* first: who hears the word may end us at once */
        say(s.options.ready_fd, json_pack("{s:b, s:s, s:i}", "ok", 0, "error", err.text, "code", (int)err.code));
        return 1;
    }
    mob_info("serves cluster %s at %s", s.record.cluster, s.record.head);
    say(s.options.ready_fd, json_pack("{s:b, s:s, s:i, s:s}", "ok", 1, "ip", s.record.ip, "port", (int)s.record.port, "cluster",
                                      s.record.cluster));
    s.served = true;
    serve(&s);
    return 0;
}
