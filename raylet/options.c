/* SPDX-License-Identifier: Apache-2.0 */
/* options.c -- the flags of mobula-raylet. */
#include "raylet/options.h"

#include <arpa/inet.h>
#include <errno.h>
#include <getopt.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "common/mem.h"
#include "common/world.h"

#define MEMORY_PERCENT 70
#define STORE_PERCENT 30
#define STORE_MIN (UINT64_C(1) << 20)

static const struct option flags[] = {
    { "head", required_argument, NULL, 'h' },        { "ip", required_argument, NULL, 'i' },
    { "port", required_argument, NULL, 'p' },        { "token-file", required_argument, NULL, 't' },
    { "resources", required_argument, NULL, 'r' },   { "gpus", required_argument, NULL, 'g' },
    { "labels", required_argument, NULL, 'l' },      { "store-bytes", required_argument, NULL, 's' },
    { "object-spilling-directory", required_argument, NULL, 'o' },
    { "memory-limit", required_argument, NULL, 'm' }, { "memory-reserve", required_argument, NULL, 'e' },
    { "strict-memory", no_argument, NULL, 'S' },
    { "driver-only", no_argument, NULL, 'd' },       { "ready-fd", required_argument, NULL, 'R' },
    { "private-fd", required_argument, NULL, 'P' },  { "in-front", no_argument, NULL, 'f' },
    { NULL, 0, NULL, 0 },
};

/* -- words ---------------------------------------------------------------------------------------------------------------------- */

static int parse_number(const char *flag, const char *text, uint64_t max, uint64_t *ret, struct mob_error *err)
{
    char *end;

    errno = 0;
    unsigned long long n = strtoull(text, &end, 10);
    if (errno != 0 || end == text || *end != '\0' || text[0] == '-' || n > max)
        return mob_error_set(err, MOB_ERR_INVALID, "--%s %s: it takes a number from 0 to %" PRIu64, flag, text, max);
    *ret = n;
    return 0;
}

static int parse_bytes(const char *name, const char *text, uint64_t *ret, struct mob_error *err)
{
    int64_t bytes;

    if (mob_bytes_parse(name, text, 0, INT64_C(1) << 50, &bytes, err) < 0)
        return -1;
    *ret = (uint64_t)bytes;
    return 0;
}

/* What flags say is in the environment of whoever starts a private cluster. */
static void read_environment(struct mob_raylet_options *o, struct mob_error *err)
{
    const char *limit = getenv("MOBULA_MEMORY_LIMIT"), *reserve = getenv("MOBULA_MEMORY_RESERVE");
    const char *strict = getenv("MOBULA_STRICT_MEMORY");

    o->memory_strict = strict != NULL && strcmp(strict, "1") == 0;
    if (limit != NULL)
        parse_bytes("MOBULA_MEMORY_LIMIT", limit, &o->memory_limit, err);
    if (reserve != NULL)
        parse_bytes("MOBULA_MEMORY_RESERVE", reserve, &o->memory_reserve, err);
}

/* "10.0.0.1:6380", "[fe80::1]:6380" */
static int parse_head(const char *text, struct mob_raylet_options *o, struct mob_error *err)
{
    const char *colon = strrchr(text, ':');
    bool brackets = text[0] == '[' && colon != NULL && colon > text && colon[-1] == ']';
    size_t n = colon == NULL ? 0 : (size_t)(colon - text) - (brackets ? 2 : 0);
    uint64_t port;

    if (n == 0 || n >= sizeof o->head_ip)
        return mob_error_set(err, MOB_ERR_INVALID, "--head %s: it takes IP:PORT", text);
    if (parse_number("head", colon + 1, 65535, &port, err) < 0)
        return -1;
    memcpy(o->head_ip, text + (brackets ? 1 : 0), n);
    o->head_ip[n] = '\0';
    o->head_port = (uint32_t)port;
    return 0;
}

static int parse_gpus(const char *text, struct mob_raylet_options *o, struct mob_error *err)
{
    char *copy = mob_strdup(text), *rest = copy, *word;
    uint64_t index;
    int result = 0;

    o->gpus_given = true;
    o->gpu_count = 0;
    while (result == 0 && (word = strsep(&rest, ",")) != NULL && *text != '\0') {
        if (o->gpu_count == MOB_GPUS_MAX)
            result = mob_error_set(err, MOB_ERR_INVALID, "--gpus %s: at most %d", text, MOB_GPUS_MAX);
        else if ((result = parse_number("gpus", word, 4095, &index, err)) == 0)
            o->gpus[o->gpu_count++] = (uint32_t)index;
        for (size_t i = 0; result == 0 && i + 1 < o->gpu_count; i++)
            if (o->gpus[i] == index)
                result = mob_error_set(err, MOB_ERR_INVALID, "--gpus %s: %" PRIu64 " is there twice", text, index);
    }
    free(copy);
    return result;
}

static int parse_flag(int flag, const char *word, struct mob_raylet_options *o, struct mob_error *err)
{
    uint64_t n = 0;
    int result = 0;

    switch (flag) {
    case 'h': return parse_head(optarg, o, err);
    case 'i':
        if (strlen(optarg) >= sizeof o->ip)
            return mob_error_set(err, MOB_ERR_INVALID, "--ip %.80s is no address", optarg);
        mob_copy(o->ip, sizeof o->ip, optarg);
        return 0;
    case 'p':
        result = parse_number("port", optarg, 65535, &n, err);
        o->port = (uint32_t)n;
        return result;
    case 't': o->token_file = optarg; return 0;
    case 'r':
        o->resources_text = optarg;
        return mob_resources_parse(optarg, &o->resources, err);
    case 'g': return parse_gpus(optarg, o, err);
    case 'l': return mob_labels_parse(optarg, &o->labels, err);
    case 's': return parse_number("store-bytes", optarg, INT64_MAX / MOB_UNITS, &o->store_bytes, err);
    case 'o': o->spill_folder = optarg; return 0;
    case 'm': return parse_bytes("--memory-limit", optarg, &o->memory_limit, err);
    case 'e': return parse_bytes("--memory-reserve", optarg, &o->memory_reserve, err);
    case 'S': o->memory_strict = true; return 0;
    case 'd': o->driver_only = true; return 0;
    case 'f': o->in_front = true; return 0;
    case 'R':
    case 'P':
        result = parse_number(flag == 'R' ? "ready-fd" : "private-fd", optarg, 1 << 20, &n, err);
        *(flag == 'R' ? &o->ready_fd : &o->private_fd) = result == 0 ? (int)n : -1;
        return result;
    default:
        return mob_error_set(err, MOB_ERR_INVALID, "%s is no flag of mobula-raylet, or lacks its value; `mobula start` starts one, see "
                             "mobula start --help", word);
    }
}

int mob_options_parse(int argc, char **argv, struct mob_raylet_options *ret, struct mob_error *err)
{
    struct mob_error first = { 0 };
    int flag;

    *ret = (struct mob_raylet_options){ .ready_fd = -1, .private_fd = -1, .memory_reserve = MOB_MEMORY_RESERVE };
    read_environment(ret, &first);
    optind = 0;
    opterr = 0;
    while ((flag = getopt_long(argc, argv, "", flags, NULL)) != -1) {
        struct mob_error why;

        /* All flags are read, so that the error can be told on --ready-fd wherever it stands. */
        if (parse_flag(flag, argv[optind - 1], ret, &why) < 0 && first.code == MOB_OK)
            first = why;
    }
    ret->is_private = ret->private_fd >= 0 && !ret->in_front;
    if (first.code == MOB_OK && optind < argc)
        mob_error_set(&first, MOB_ERR_INVALID, "%s: mobula-raylet takes flags only", argv[optind]);
    if (first.code == MOB_OK && ret->head_port == 0)
        mob_error_set(&first, MOB_ERR_INVALID, "--head IP:PORT is missing: the address that `mobula start --head` printed");
    if (first.code == MOB_OK)
        return 0;
    return mob_error_set(err, first.code, "%s", first.text);
}

/* -- what was not said ------------------------------------------------------------------------------------------------------------ */

/* The address from which this machine reaches the head. Nothing is sent. */
static int find_ip(struct mob_raylet_options *o, struct mob_error *err)
{
    struct sockaddr_storage address = { 0 };
    struct sockaddr_in *v4 = (struct sockaddr_in *)&address;
    struct sockaddr_in6 *v6 = (struct sockaddr_in6 *)&address;
    socklen_t size = sizeof *v4;
    int found = -1;

    if (inet_pton(AF_INET, o->head_ip, &v4->sin_addr) == 1) {
        v4->sin_family = AF_INET;
        v4->sin_port = htons((uint16_t)o->head_port);
    } else if (inet_pton(AF_INET6, o->head_ip, &v6->sin6_addr) == 1) {
        v6->sin6_family = AF_INET6;
        v6->sin6_port = htons((uint16_t)o->head_port);
        size = sizeof *v6;
    } else {
        return mob_error_set(err, MOB_ERR_INVALID, "--head %s: give its IP address, or say our own with --ip", o->head_ip);
    }
    int fd = socket(address.ss_family, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    if (fd >= 0 && connect(fd, (struct sockaddr *)&address, size) == 0 && getsockname(fd, (struct sockaddr *)&address, &size) == 0)
        found = inet_ntop(address.ss_family, address.ss_family == AF_INET ? (void *)&v4->sin_addr : (void *)&v6->sin6_addr, o->ip,
                          sizeof o->ip) != NULL ? 0 : -1;
    if (found < 0)
        mob_error_errno(err, "no way to the head at %s; say our own address with --ip", o->head_ip);
    if (fd >= 0)
        close(fd);
    return found;
}

/* Is it in the text of --resources? "CPU=0" is said, though a vector of resources does not keep it. */
static bool said(const struct mob_raylet_options *o, const char *name)
{
    const char *at = o->resources_text;
    size_t n = strlen(name);

    while (at != NULL) {
        at += strspn(at, " ,");
        if (strncmp(at, name, n) == 0 && at[n] == '=')
            return true;
        at = strchr(at, ',');
    }
    return false;
}

/* GPU and the indices behind it: what was said, else what the machine shows. */
static int complete_gpus(struct mob_raylet_options *o, const struct mob_sysinfo *machine, bool gpu_said, struct mob_error *err)
{
    size_t wanted = (size_t)(mob_resources_get(&o->resources, "GPU") / MOB_UNITS);

    if (!o->gpus_given && !gpu_said) {
        o->gpu_count = machine->gpu_count;
        memcpy(o->gpus, machine->gpus, machine->gpu_count * sizeof *o->gpus);
    } else if (!o->gpus_given) {
        for (o->gpu_count = 0; o->gpu_count < wanted && o->gpu_count < MOB_GPUS_MAX; o->gpu_count++)
            o->gpus[o->gpu_count] = (uint32_t)o->gpu_count;
    }
    if (gpu_said && wanted != o->gpu_count)
        return mob_error_set(err, MOB_ERR_INVALID, "GPU=%zu, but there are %zu indices behind it; a node has at most %d GPUs", wanted,
                             o->gpu_count, MOB_GPUS_MAX);
    return mob_resources_set(&o->resources, "GPU", (int64_t)o->gpu_count * MOB_UNITS);
}

int mob_options_complete(struct mob_raylet_options *o, const struct mob_sysinfo *machine, struct mob_error *err)
{
    struct mob_resources *r = &o->resources;
    char node[sizeof "node:" + sizeof o->ip];
    int full = 0;

    if (o->ip[0] == '\0' && find_ip(o, err) < 0)
        return -1;
    if (said(o, "object_store_memory") && o->store_bytes == 0)
        o->store_bytes = (uint64_t)(mob_resources_get(r, "object_store_memory") / MOB_UNITS);
    if (o->store_bytes == 0)
        o->store_bytes = machine->memory / 100 * STORE_PERCENT / MOB_HUGE_PAGE * MOB_HUGE_PAGE;
    if (o->store_bytes < STORE_MIN)
        o->store_bytes = STORE_MIN;
    if (!said(o, "CPU"))
        full |= mob_resources_set(r, "CPU", machine->cpus * MOB_UNITS);
    if (!said(o, "memory"))
        full |= mob_resources_set(r, "memory", (int64_t)(machine->memory / 100 * MEMORY_PERCENT) * MOB_UNITS);
    full |= mob_resources_set(r, "object_store_memory", (int64_t)o->store_bytes * MOB_UNITS);
    if (complete_gpus(o, machine, said(o, "GPU"), err) < 0)
        return -1;
    snprintf(node, sizeof node, "node:%s", o->ip);
    if (strlen(node) < MOB_RESOURCE_NAME_SIZE)
        full |= mob_resources_set(r, node, MOB_UNITS);
    return full == 0 ? 0 : mob_error_set(err, MOB_ERR_INVALID, "a node has at most %d kinds of resources", MOB_RESOURCES_MAX);
}
