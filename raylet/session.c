/* SPDX-License-Identifier: Apache-2.0 */
/* session.c -- what the node shows of itself once the head has numbered it: its socket, its record, and one line to who started it.
 *
 *     <session>/raylet-<node>.sock, raylet-<node>.json
 *               raylet-<node>.d/     programs of other nodes
 *               logs/                what workers print; of a private raylet it is raylet-<node>.d/, which ends with it
 *
 * Several raylets may share a session: a driver's own beside the node's, or those of several drivers. A number is never used twice, so
 * none touches the files of another. The lock on the folder is held from before the first file until this process is gone
 * (common/paths.h).
 *
 * Somebody may remove the folder all the same. Then no process could say Hello any more, and nobody would find the raylet to stop it: it
 * looks each second, and ends, to join again as a new node with a new folder.
 */
#include <errno.h>
#include <inttypes.h>
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "common/log.h"
#include "common/record.h"
#include "raylet/shell.h"

#define LOOK_NS INT64_C(1000000000)

static void say_ready(int fd, json_t *line)
{
    char *text = line != NULL && fd >= 0 ? json_dumps(line, JSON_COMPACT) : NULL;

    json_decref(line);
    if (text != NULL && (dprintf(fd, "%s\n", text) < 0 || close(fd) < 0))
        mob_warn("nobody reads on the ready descriptor: %s", strerror(errno));
    free(text);
}

void mob_session_say_error(int ready_fd, const struct mob_error *why)
{
    say_ready(ready_fd, json_pack("{s:b, s:s, s:i}", "ok", 0, "error", why->text, "code", (int)why->code));
}

void mob_session_refused(struct mob_shell *s, const struct mob_error *why)
{
    if (s->session[0] == '\0')
        mob_session_say_error(s->options->ready_fd, why);
}

static void put_path(char ret[MOB_PATH_SIZE], const char *session, const char *name, const char *suffix)
{
    char *path = mob_printf("%s/%s%s", session, name, suffix);

    mob_copy(ret, MOB_PATH_SIZE, path);
    free(path);
}

static void put_names(struct mob_guard_notes *notes, const char *session, uint32_t node)
{
    char name[32];

    snprintf(name, sizeof name, "raylet-%" PRIu32, node);
    put_path(notes->record, session, name, ".json");
    put_path(notes->socket, session, name, ".sock");
    put_path(notes->scratch, session, name, ".d");
    mob_copy(notes->session, sizeof notes->session, session);   /* last: from here on the guard clears away */
}

static int write_record(struct mob_shell *s, const char *cluster, struct mob_error *err)
{
    struct mob_daemon_record record = { .role = "raylet", .port = s->config.port, .is_private = s->options->is_private };

    /* The guard: a signal to it ends the raylet, and when it is gone, so is all of this. */
    if (mob_identity_of(s->notes->guard_pid, &record.process, err) < 0)
        return -1;
    mob_copy(record.cluster, sizeof record.cluster, cluster);
    mob_copy(record.ip, sizeof record.ip, s->config.ip);
    snprintf(record.head, sizeof record.head, strchr(s->config.head_ip, ':') != NULL ? "[%s]:%" PRIu32 : "%s:%" PRIu32,
             s->config.head_ip, s->config.head_port);
    mob_copy(record.socket, sizeof record.socket, s->socket_path);
    s->notes->said = record;
    if (mob_record_write(s->notes->record, &record, err) < 0)
        return -1;
    if (s->notes->before[0] != '\0' && strcmp(s->notes->before, s->notes->record) != 0)
        unlink(s->notes->before);
    return 0;
}

static int64_t look_for_socket(void *shell)
{
    struct mob_shell *s = shell;

    if (!s->ending && access(s->socket_path, F_OK) < 0 && errno == ENOENT) {
        mob_error_log("somebody has removed %s: this node ends", s->socket_path);
        mob_shell_end(s, MOB_GUARD_AGAIN);
    }
    return mob_now_ns() + LOOK_NS;
}

static int open_session(struct mob_shell *s, const char *cluster, uint32_t node, struct mob_error *err)
{
    char run[MOB_PATH_SIZE], session[MOB_PATH_SIZE], logs[MOB_PATH_SIZE];
    int lock;                           /* never closed: it ends with us */

    if (mob_paths_run(run, err) < 0 || mob_paths_session(run, cluster, s->config.ip, session, err) < 0
        || mob_paths_enter(session, &lock, err) < 0)
        return -1;
    put_names(s->notes, session, node);
    if (mob_paths_private(s->notes->scratch, err) < 0)
        return -1;
    put_path(logs, s->options->is_private ? s->notes->scratch : session, s->options->is_private ? "" : "logs", "");
    s->logs = mob_logs_create(s->loop, logs, MOB_LOGS_BYTES_MAX, MOB_LOGS_COUNT_MAX);
    mob_copy(s->socket_path, sizeof s->socket_path, s->notes->socket);
    if (mob_local_listen(s->local, s->socket_path, err) < 0 || write_record(s, cluster, err) < 0)
        return -1;
    mob_ticker_create(s->loop, look_for_socket, s);
    mob_copy(s->session, sizeof s->session, session);   /* the ready line is due: no more refusals on it */
    return 0;
}

void mob_session_registered(void *shell, uint32_t node, const uint8_t cluster[16])
{
    struct mob_shell *s = shell;
    char hex[33], who[32];
    struct mob_error err;

    for (int i = 0; i < 16; i++)
        snprintf(hex + 2 * i, 3, "%02x", cluster[i]);
    memcpy(&s->cluster, cluster, sizeof s->cluster);
    snprintf(who, sizeof who, "raylet %" PRIu32, node);
    mob_log_init(who);
    mob_store_set_node(s->store, node);
    mob_bulk_set_node(s->bulk, node);
    if (open_session(s, hex, node, &err) < 0) {
        mob_error_log("%s", err.text);
        mob_session_refused(s, &err);
        mob_shell_end(s, 1);
        return;
    }
    mob_info("serves as node %" PRIu32 " of cluster %.8s at %s:%" PRIu32, node, hex, s->config.ip, s->config.port);
    say_ready(s->options->ready_fd, json_pack("{s:b, s:s, s:i, s:s, s:i, s:s}", "ok", 1, "ip", s->config.ip, "port", (int)s->config.port,
                                              "cluster", hex, "node", (int)node, "socket", s->socket_path));
}
