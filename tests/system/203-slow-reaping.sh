#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# 203-slow-reaping.sh -- a kernel takes longer to reap a killed worker than a node may be silent (bad_reap.c): its task starts again meanwhile, and
# the node lives.
. "$(dirname "$0")/tasks.sh"
in_lab 2 "$@"

nodes() { on h0 mobula list nodes --format json | jq -cS '[.[] | {node, ip, state}]'; }

cluster_start 1 --num-cpus 2 >/dev/null
meeting
(
    on() { "$lab" on "$1" ${MOB_SANITIZED:+bad_box} env BAD_REAP="$meet/reaped" LD_PRELOAD="$MOB_BUILD/tests/bad_reap.so" "${@:2}"; }
    node_start h1 --num-cpus 2 >/dev/null
)
wait_until 10 node_count_is 2
before=$(nodes)
scene h0 stands "$meet" gate 1 "node=$("$lab" ip h1)" 1 0 >/dev/null & driver=$!
appears ready && kill_worker g0
wait_until 20 started_times g0 2         # and the dead one is not reaped
sleep 4                                 # what is tried
expect_eq "$(nodes)" "$before" "the nodes after it"
touch "$meet/reaped" "$meet/open"
ends $driver
