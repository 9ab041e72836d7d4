#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# 105-references.sh -- references inside of arguments, results and other objects; what a worker keeps lives as long as it keeps it,
# however often its node is idle meanwhile, and is freed when the last of them goes.
. "$(dirname "$0")/tasks.sh"
in_lab 3 "$@"

expect private h1 references >/dev/null
wait_until 5 nothing_left h1
cluster_start 2 --num-cpus 2
node_start h2 --num-cpus 1
wait_until 10 node_count_is 3
expect scene h0 references >/dev/null
expect scene h1 references >/dev/null

stored_at() { on h0 mobula status --format json | jq --arg ip "$("$lab" ip "$1")" '.nodes[] | select(.ip == $ip) | .store_used'; }
stored_is() { [ "$(stored_at "$1")" = "$2" ]; }
stored_some() { [ "$(stored_at "$1")" -gt 0 ]; }

wait_until 10 stored_is h0 0
wait_until 10 stored_is h1 0
meeting
node=$(on h0 mobula status --format json | jq -r --arg ip "$("$lab" ip h2)" '.nodes[] | select(.ip == $ip) | .node')
scene h0 retains "$meet" "$node" & driver=$!
appears kept
wait_until 5 stored_some h0
touch "$meet/open"
appears gone
wait_until 10 stored_is h0 0
touch "$meet/end"
ends $driver
