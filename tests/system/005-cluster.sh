#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# 005-cluster.sh -- a head and two more nodes come up, a machine that dies is missed, one that comes back joins, and after `stop`
# nothing is left on any host. The same where the hosts share their file systems.
. "$(dirname "$0")/lib.sh"
if [ -z "${MOB_LAB:-}${1:-}" ]; then
    bash "$0" --shared-fs || exit
fi
if [ "${1:-}" = --shared-fs ]; then in_lab --shared-fs 3 "$@"; else in_lab 3 "$@"; fi

cluster_start 3 --num-cpus 2
expect_eq "$(on h2 mobula status --format json | jq '.total.CPU >= 2')" true "status asked on another host"
expect_not nothing_left h1
expect "$lab" kill h2
wait_until 5 node_count_is 2
expect "$lab" start h2
node_start h2
wait_until 5 node_count_is 3
