/* SPDX-License-Identifier: Apache-2.0 */
/* start.c -- mobula start: a head and its raylet, or a raylet that joins. Returns when the node serves. */
#include <fcntl.h>
#include <inttypes.h>
#include <limits.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "cli/ask.h"
#include "cli/verbs.h"
#include "common/daemon_log.h"
#include "common/here.h"
#include "common/launch.h"
#include "common/mem.h"
#include "common/resources.h"
#include "common/token.h"

#define START_PORT 6200
#define START_MS 30000
#define HEAD_MS 10000
#define END_MS 10000                    /* a guard kills a raylet that hangs long before */

static const struct option options[] = {
    { "head", NULL, "start the cluster's head, and a raylet beside it" },
    { "address", "HOST:PORT", "join the cluster with this head" },
    { "node-ip-address", "IP", "the address others reach this node at; else that of the route to the head" },
    { "port", "N", "of the head (6200) or, when joining, of the raylet (any free one); 0: any free one" },
    { "num-cpus", "N", "else found by affinity and cgroup" },
    { "num-gpus", "N", "else found by device files" },
    { "resources", "JSON", "custom ones: {\"licence\": 3}" },
    { "memory", "BYTES", "to lend to tasks, like 8GiB; else 70 % of the machine's, or of its cgroup's limit" },
    { "memory-limit", "BYTES", "of all workers and what they start: beyond it tasks are ended, and tried again; else none" },
    { "memory-reserve", "BYTES", "of the machine: tasks are ended to keep so much free; else 5 %, at most 2GiB; 0: never" },
    { "strict-memory", NULL, "end a task that has more than its memory=, even if there is enough" },
    { "object-store-memory", "BYTES", "size of the object store, like 2GiB; else 30 % of the same" },
    { "object-spilling-directory", "DIR", "for objects that the store has no room for; else a temporary one on a disk" },
    { "labels", "K=V,K=V", "for placement by label" },
    { "state", "FILE", "where the head keeps what one after it goes on with if it is killed; else ~/.mobula/heads/IP-PORT.db" },
    { "token-file", "FILE", "the cluster's token; else $MOBULA_TOKEN_FILE, else ~/.mobula/token" },
    { "block", NULL, "stay in front; the node ends with this process, however it ends" },
    { 0 },
};

struct plan {
    const struct args *a;
    bool head;
    int front_fd;                       /* --block: the daemons end when its other end is closed; else -1 */
    char spill[PATH_MAX];
    char state[PATH_MAX];               /* of the head; "": it keeps none */
    char ip[64], head_ip[64], head_address[80], token_file[MOB_PATH_SIZE], resources[1024], port[16], head_port[16];
    char store[24], limit[24], reserve[24];     /* bytes; "": nothing was said */
};

/* --num-cpus, --num-gpus, --memory and --resources as one text for the raylet; it finds out what is not named. */
static int plan_resources(struct plan *p, struct mob_error *err)
{
    struct mob_resources r = { 0 };
    int64_t cpus = -1, gpus = -1, memory = -1, store = 0, limit = -1, reserve = -1;
    const char *json = args_text(p->a, "resources");
    size_t at = 0;

    if (args_number(p->a, "num-cpus", 0, 1000000, &cpus, err) < 0 || args_number(p->a, "num-gpus", 0, 64, &gpus, err) < 0
        || args_bytes(p->a, "memory", 1, INT64_C(1) << 50, &memory, err) < 0
        || args_bytes(p->a, "object-store-memory", 1 << 20, INT64_C(1) << 50, &store, err) < 0
        || args_bytes(p->a, "memory-limit", 0, INT64_C(1) << 50, &limit, err) < 0
        || args_bytes(p->a, "memory-reserve", 0, INT64_C(1) << 50, &reserve, err) < 0
        || (json != NULL && mob_resources_parse_json(json, &r, err) < 0))
        return -1;
    mob_resources_print(&r, p->resources, sizeof p->resources);
    at = strlen(p->resources);
    if (cpus >= 0)
        at += (size_t)snprintf(p->resources + at, sizeof p->resources - at, "%sCPU=%" PRId64, at > 0 ? "," : "", cpus);
    if (gpus >= 0)
        at += (size_t)snprintf(p->resources + at, sizeof p->resources - at, "%sGPU=%" PRId64, at > 0 ? "," : "", gpus);
    if (memory >= 0)
        at += (size_t)snprintf(p->resources + at, sizeof p->resources - at, "%smemory=%" PRId64, at > 0 ? "," : "", memory);
    if (at >= sizeof p->resources)
        return mob_error_set(err, MOB_ERR_INVALID, "too many resources");
    if (store > 0)
        snprintf(p->store, sizeof p->store, "%" PRId64, store);
    if (limit >= 0)
        snprintf(p->limit, sizeof p->limit, "%" PRId64, limit);
    if (reserve >= 0)
        snprintf(p->reserve, sizeof p->reserve, "%" PRId64, reserve);
    return 0;
}

static int plan_make(struct plan *p, const struct args *a, struct mob_error *err)
{
    const char *told = args_text(a, "node-ip-address"), *join = args_text(a, "address");
    const char *spill = args_text(a, "object-spilling-directory");
    struct mob_labels labels;
    uint32_t head_port = 0;
    int64_t port;

    memset(p, 0, sizeof *p);
    p->a = a;
    p->front_fd = -1;
    p->head = args_flag(a, "head");
    if (p->head == (join != NULL))
        return mob_error_set(err, MOB_ERR_INVALID, p->head ? "--head and --address exclude each other"
                                                          : "say --head to start a cluster, or --address=HOST:PORT to join one");
    port = p->head ? START_PORT : 0;
    if (args_number(a, "port", 0, 65535, &port, err) < 0 || plan_resources(p, err) < 0
        || (join != NULL && ask_resolve(join, p->head_ip, &head_port, err) < 0)
        || (args_text(a, "labels") != NULL && mob_labels_parse(args_text(a, "labels"), &labels, err) < 0)
        || mob_token_path(args_text(a, "token-file"), p->token_file, err) < 0)
        return -1;
    if (spill != NULL && realpath(spill, p->spill) == NULL)
        return mob_error_errno(err, "--object-spilling-directory=%s", spill);
    if (told != NULL && !mob_here_is_ours(told))
        return mob_error_set(err, MOB_ERR_INVALID, "--node-ip-address=%s is no address of this machine that others can reach it by",
                             told);
    if (told != NULL)
        snprintf(p->ip, sizeof p->ip, "%s", told);
    else
        mob_here_address(p->head ? NULL : p->head_ip, p->ip);
    snprintf(p->port, sizeof p->port, "%" PRId64, p->head ? 0 : port);
    snprintf(p->head_port, sizeof p->head_port, "%" PRId64, port);
    mob_launch_address(p->head_address, sizeof p->head_address, p->head_ip, head_port);
    return 0;
}

/* Start a daemon with its log, and move that to its place. */
static int launch(const struct plan *p, const char *daemon, const char *const *words, struct mob_launched *ret, struct mob_error *err)
{
    char log[MOB_PATH_SIZE];
    struct mob_launch l = { .options = words, .log_file = log, .private_fd = p->front_fd, .timeout_ms = START_MS };

    if (mob_daemon_log_begin(daemon, log, err) < 0)
        return -1;
    if (mob_launch(daemon, &l, ret, err) < 0) {
        mob_daemon_log_drop(log, err);
        return -1;
    }
    mob_daemon_log_keep(log, daemon, ret->cluster, ret->ip);
    return 0;
}

/* The folders of the state's file, two below the user's home. */
static int make_folders(char *path, struct mob_error *err)
{
    char *last = strrchr(path, '/'), *before;
    int made;

    *last = '\0';
    before = strrchr(path, '/');
    *before = '\0';
    made = mob_paths_private(path, err);
    *before = '/';
    made = made < 0 ? -1 : mob_paths_private(path, err);
    *last = '/';
    return made;
}

/* Where a head that is started by the same words finds it. One at a port that is found anew each time keeps none unless a file is named. */
static int plan_state(struct plan *p, struct mob_error *err)
{
    const char *named = args_text(p->a, "state");
    char path[MOB_PATH_SIZE], folder[PATH_MAX];
    unsigned port = (unsigned)strtoul(p->head_port, NULL, 10);

    if (named != NULL && !p->head)
        return mob_error_set(err, MOB_ERR_INVALID, "--state is of a head: say --head, too");
    if (named != NULL && named[0] == '/') {
        mob_copy(p->state, sizeof p->state, named);
    } else if (named != NULL) {
        if (getcwd(folder, sizeof folder) == NULL)
            return mob_error_errno(err, "the folder that we are in");
        if ((size_t)snprintf(p->state, sizeof p->state, "%s/%s", folder, named) >= sizeof p->state)
            return mob_error_set(err, MOB_ERR_INVALID, "the path of the state's file is too long: %.200s", named);
    } else if (p->head && port != 0 && mob_paths_state(p->ip, port, path, err) == 0 && make_folders(path, err) == 0) {
        mob_copy(p->state, sizeof p->state, path);
    } else if (p->head && port != 0) {
        fprintf(stderr, "mobula: a head that is killed cannot be started again with what it knew: %s\n", err->text);
    }
    return 0;
}

static int start_head(struct plan *p, struct mob_launched *ret, struct mob_error *err)
{
    char token[MOB_TOKEN_SIZE];
    const char *list[16];
    size_t n = 0;

    list[n++] = "--ip", list[n++] = p->ip;
    list[n++] = "--port", list[n++] = p->head_port;
    list[n++] = "--token-file", list[n++] = p->token_file;
    if (p->state[0] != '\0')
        list[n++] = "--state", list[n++] = p->state;
    if (p->front_fd >= 0)
        list[n++] = "--in-front";
    list[n] = NULL;
    if (mob_token_create(p->token_file, token, err) < 0 || launch(p, "mobula-head", list, ret, err) < 0)
        return -1;
    mob_launch_address(p->head_address, sizeof p->head_address, ret->ip, ret->port);
    return 0;
}

/* After a head that was killed its machine's raylet goes on, and comes back to the one at its address: another one is not wanted. Where the
 * head's state was lost, it joins the new cluster as a new node. NULL: there is none. */
static const struct mob_daemon_record *find_raylet(const struct plan *p)
{
    static struct mob_here_daemon all[MOB_HERE_DAEMONS_MAX];
    size_t count = 0;

    if (mob_here_list(all, &count, NULL) < 0)
        return NULL;
    for (size_t i = 0; i < count; i++)
        if (strcmp(all[i].record.role, "raylet") == 0 && !all[i].record.is_private && strcmp(all[i].record.head, p->head_address) == 0)
            return &all[i].record;
    return NULL;
}

/* "<session>/raylet-3.sock" is node 3's. */
static uint32_t node_of(const char *socket)
{
    const char *dash = strrchr(socket, '-');

    return dash != NULL ? (uint32_t)strtoul(dash + 1, NULL, 10) : 0;
}

static int start_raylet(struct plan *p, struct mob_launched *ret, struct mob_error *err)
{
    const char *list[32];
    size_t n = 0;

    list[n++] = "--head", list[n++] = p->head_address;
    list[n++] = "--ip", list[n++] = p->ip;
    list[n++] = "--port", list[n++] = p->port;
    list[n++] = "--token-file", list[n++] = p->token_file;
    list[n++] = "--resources", list[n++] = p->resources;
    if (args_text(p->a, "labels") != NULL)
        list[n++] = "--labels", list[n++] = args_text(p->a, "labels");
    if (p->spill[0] != '\0')
        list[n++] = "--object-spilling-directory", list[n++] = p->spill;
    if (p->store[0] != '\0')
        list[n++] = "--store-bytes", list[n++] = p->store;
    if (p->limit[0] != '\0')
        list[n++] = "--memory-limit", list[n++] = p->limit;
    if (p->reserve[0] != '\0')
        list[n++] = "--memory-reserve", list[n++] = p->reserve;
    if (args_flag(p->a, "strict-memory"))
        list[n++] = "--strict-memory";
    if (p->front_fd >= 0)
        list[n++] = "--in-front";
    list[n] = NULL;
    return launch(p, "mobula-raylet", list, ret, err);
}

/* The head of a node whose raylet could not start must not stay behind. */
static void undo(const struct plan *p)
{
    static struct mob_here_daemon all[MOB_HERE_DAEMONS_MAX];
    size_t count = 0;

    if (!p->head || mob_here_list(all, &count, NULL) < 0)
        return;
    for (size_t i = 0; i < count; i++)
        if (strcmp(all[i].record.role, "head") == 0 && strcmp(all[i].record.head, p->head_address) == 0)
            mob_identity_signal(&all[i].record.process, SIGTERM, NULL);
}

static void tell(const struct plan *p, const struct mob_launched *raylet)
{
    printf("Node %u of cluster %.8s serves at %s.\n", raylet->node, raylet->cluster, raylet->ip);
    if (!p->head)
        return;
    printf("\nJoin from another machine (copy %s there once, mode 0600):\n    mobula start --address=%s\n", p->token_file,
           p->head_address);
    printf("Use it:     MOBULA_ADDRESS=%s ./driver\nLook:       mobula status\nEnd it:     mobula stop\n", p->head_address);
}

/* The daemons that were just started: the raylet, and the head if that is ours, too. */
static size_t started(const struct plan *p, const struct mob_launched *raylet, struct mob_identity ret[2])
{
    static struct mob_here_daemon all[MOB_HERE_DAEMONS_MAX];
    size_t count = 0, n = 0;

    if (mob_here_list(all, &count, NULL) < 0)
        return 0;
    for (size_t i = 0; i < count && n < 2; i++) {
        const struct mob_daemon_record *r = &all[i].record;

        if (strcmp(r->socket, raylet->socket) == 0
            || (p->head && strcmp(r->role, "head") == 0 && strcmp(r->cluster, raylet->cluster) == 0))
            ret[n++] = r->process;      /* in a session a raylet comes before the head */
    }
    return n;
}

/* Our raylet has ended: by `mobula drain`? */
static bool was_drained(const struct plan *p, const struct mob_launched *raylet)
{
    struct mob_error err;
    char argument[32];
    json_t *row;
    bool drained;

    snprintf(argument, sizeof argument, "{\"node\":%u}", raylet->node);
    if (ask_json(p->a, "draining", argument, HEAD_MS, &row, &err) < 0)
        return false;
    drained = strcmp(json_string_value(json_object_get(row, "state")) ?: "", "drained") == 0;
    json_decref(row);
    if (drained)
        fprintf(stderr, "mobula: node %u has left the cluster: it was drained%s\n", raylet->node, p->head ? "; the head stays" : "");
    return drained;
}

/* Until a signal comes (true), or not all of them live any more. */
static bool stay_with(const struct mob_identity *daemons, size_t count, const sigset_t *ends)
{
    const struct timespec look = { .tv_nsec = 200000000 };
    size_t alive = count;

    fflush(stdout);
    while (alive == count) {
        if (sigtimedwait(ends, NULL, &look) > 0)
            return true;
        for (size_t i = alive = 0; i < count; i++)
            alive += mob_identity_alive(&daemons[i]);
    }
    return false;
}

/* Stay until a signal comes, or one of the daemons ends; the others must not stay then. But a node that was drained leaves its head. */
static int block(const struct plan *p, const struct mob_launched *raylet)
{
    const struct timespec round = { .tv_nsec = 5000000 };
    struct mob_identity daemons[2];
    size_t count = started(p, raylet, daemons), wanted = p->head ? 2 : 1;
    bool told = false;
    sigset_t ends;

    sigemptyset(&ends);
    sigaddset(&ends, SIGINT);
    sigaddset(&ends, SIGTERM);
    sigaddset(&ends, SIGHUP);
    sigprocmask(SIG_BLOCK, &ends, NULL);
    if (count == wanted)
        told = stay_with(daemons, count, &ends);
    if (!told && count == wanted && !mob_identity_alive(&daemons[0]) && was_drained(p, raylet))
        told = !p->head || stay_with(daemons + 1, 1, &ends);
    if (!told)
        fprintf(stderr, "mobula: the node's %s has ended, so the node ends\n",
                count > 0 && mob_identity_alive(&daemons[0]) ? "head" : "raylet");
    for (size_t i = 0; i < count; i++)
        mob_identity_signal(&daemons[i], SIGTERM, NULL);
    for (size_t i = 0; i < count; i++) {
        for (int waited = 0; mob_identity_alive(&daemons[i]) && waited < END_MS; waited += 5)
            nanosleep(&round, NULL);
        mob_identity_signal(&daemons[i], SIGKILL, NULL);
    }
    if (told)
        started(p, raylet, daemons);    /* sweeps the session; after a failure its logs stay until somebody looks */
    return told ? 0 : 1;
}

/* A raylet dials its head for a while before it gives up; who mistyped an address or has another token wants to know now. */
static int check_head(const struct args *a, struct mob_error *err)
{
    json_t *answer;

    if (ask_json(a, "health", "", HEAD_MS, &answer, err) < 0)
        return -1;
    json_decref(answer);
    return 0;
}

/* The daemons end with this process, even if it is killed: then the last end of a pipe is closed. */
static int stay_in_front(struct plan *p, struct mob_error *err)
{
    int ends[2];

    if (pipe2(ends, O_CLOEXEC) < 0)
        return mob_error_errno(err, "cannot make a pipe for the daemons");
    p->front_fd = ends[0];              /* ends[1] is closed by our end, and by nothing else */
    return 0;
}

static int run(const struct args *a)
{
    struct plan p;
    struct mob_error err;
    struct mob_launched head, raylet;
    const struct mob_daemon_record *there;

    if (plan_make(&p, a, &err) < 0 || plan_state(&p, &err) < 0)
        return args_failed(&err);
    if ((!p.head && check_head(a, &err) < 0) || (args_flag(a, "block") && stay_in_front(&p, &err) < 0))
        return args_failed(&err);
    if (p.head && start_head(&p, &head, &err) < 0)
        return args_failed(&err);
    if (p.head && (there = find_raylet(&p)) != NULL) {
        raylet = head;                  /* its cluster; and what block() finds the daemon by */
        mob_copy(raylet.socket, sizeof raylet.socket, there->socket);
        raylet.node = node_of(there->socket);
        if (strcmp(there->cluster, head.cluster) == 0)
            printf("The head of cluster %.8s serves again at %s; the node of this machine went on without it.\n", head.cluster,
                   p.head_address);
        else
            printf("The head of a new cluster, %.8s, serves at %s, as nothing was left of what the one before knew; the nodes of cluster "
                   "%.8s, this machine's too, join it as new ones.\n", head.cluster, p.head_address, there->cluster);
        return args_flag(a, "block") ? block(&p, &raylet) : 0;
    }
    if (start_raylet(&p, &raylet, &err) < 0) {
        undo(&p);
        return args_failed(&err);
    }
    tell(&p, &raylet);
    return args_flag(a, "block") ? block(&p, &raylet) : 0;
}

const struct verb verb_start = { "start", NULL, "start a head, or join a cluster", options, run };
