/* SPDX-License-Identifier: Apache-2.0 */
/* registration.c -- what a raylet says of itself, checked: as a message, and as the row that a head before this one has kept. */
#include "head/registration.h"

#include <string.h>

#include "common/mem.h"

/* An IP address as text, or an interface's: it is in answers, which are JSON. */
static bool is_address(const char *ip)
{
    size_t size = strlen(ip);

    for (const char *at = ip; *at != '\0'; at++)
        if (*at <= ' ' || *at > '~')
            return false;
    return size > 0 && size < sizeof ((struct registration *)NULL)->ip;
}

int mob_head_registration_unpack(struct registration *ret, const Mobula__Register *m, struct mob_error *err)
{
    *ret = (struct registration){ .node = m->node };
    if (m->protocol != MOB_PROTOCOL)
        return mob_error_set(err, MOB_ERR_VERSION, "the raylet speaks protocol %u, the head %u: install the same version on both",
                             m->protocol, MOB_PROTOCOL);
    if (m->incarnation.len != sizeof ret->facts.incarnation)
        return mob_error_set(err, MOB_ERR_PROTOCOL, "an incarnation of %zu bytes", m->incarnation.len);
    if (!is_address(m->ip) || m->port > UINT16_MAX || m->bulk_port > UINT16_MAX)
        return mob_error_set(err, MOB_ERR_PROTOCOL, "no good address: %.64s port %u bulk port %u", m->ip, m->port, m->bulk_port);
    if (m->highest_node == UINT32_MAX || m->generation >= UINT32_MAX)
        return mob_error_set(err, MOB_ERR_PROTOCOL, "it has heard of numbers that no head gives");
    if (mob_wire_resources(m->resources, m->n_resources, &ret->resources, err) < 0
        || mob_wire_labels(m->labels, m->n_labels, &ret->labels, err) < 0)
        return -1;
    memcpy(ret->facts.incarnation, m->incarnation.data, sizeof ret->facts.incarnation);
    mob_copy(ret->ip, sizeof ret->ip, m->ip);
    mob_copy(ret->facts.host, sizeof ret->facts.host, m->host);
    mob_copy(ret->facts.session_dir, sizeof ret->facts.session_dir, m->session_dir);
    ret->facts.port = m->port;
    ret->facts.bulk_port = m->bulk_port;
    ret->facts.pid = m->pid;
    ret->facts.driver_only = m->driver_only;
    return 0;
}
