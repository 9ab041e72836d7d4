/* SPDX-License-Identifier: Apache-2.0 */
/* here.h -- the daemons of this user that run on this machine, by their records in the run folder. */
#ifndef MOB_COMMON_HERE_H
#define MOB_COMMON_HERE_H

#include "common/paths.h"
#include "common/record.h"

#define MOB_HERE_DAEMONS_MAX 256

struct mob_here_daemon {
    struct mob_daemon_record record;
    char session[MOB_PATH_SIZE];
};

/* All that live, at most MOB_HERE_DAEMONS_MAX; in a session raylets before the head. What dead ones left on this machine is removed
 * on the way: sessions that nobody holds, and the files of raylets whose guard was killed. Those of other machines (a shared home) are
 * passed over. */
int mob_here_list(struct mob_here_daemon *ret, size_t *ret_count, struct mob_error *err);

/* The one cluster of this machine that is nobody's private one. None, or more than one: an error that says so. */
int mob_here_find(struct mob_here_daemon *ret, struct mob_error *err);

/* Is this an address of this machine that others can reach it by? Not so "0.0.0.0" and "::". */
bool mob_here_is_ours(const char *ip);

/* The address that others see: that of the route to `towards` (NULL: the default route), else 127.0.0.1. */
void mob_here_address(const char *towards, char ip[64]);

#endif
