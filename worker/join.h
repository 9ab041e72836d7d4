/* SPDX-License-Identifier: Apache-2.0 */
/* join.h -- which raylet a driver talks to, and the daemons that were started for it. */
#ifndef MOB_WORKER_JOIN_H
#define MOB_WORKER_JOIN_H

#include "common/paths.h"
#include "mobula.h"

/* Daemons that live for this driver alone. */
struct mob_cluster;

/* The socket of the raylet, by the address of the options, of $MOBULA_ADDRESS, or of a cluster started now. *ret_cluster: NULL if
 * nothing was started, else to be ended with mob_cluster_end(). Takes as long as daemons take to start. */
int mob_join(const struct mob_init_options *opt, char ret_socket[MOB_PATH_SIZE], struct mob_cluster **ret_cluster,
             struct mob_error *err);

/* End what was started and wait until it is gone. NULL is fine. */
void mob_cluster_end(struct mob_cluster *c);

/* In a forked child, which must not keep them alive: what was started ends with the parent alone. Only system calls. */
void mob_cluster_let_go(void);

#endif
