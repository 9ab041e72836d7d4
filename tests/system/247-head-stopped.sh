#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# 247-head-stopped.sh -- the head is stopped for longer than a node may be silent, and goes on: no node has died of it.
. "$(dirname "$0")/tasks.sh"
in_lab 2 "$@"

nodes() { on h0 mobula list nodes --format json | jq -cS '[.[] | {node, ip, state}]'; }
# Each has been heard since.
all_heard() { on h0 mobula status --format json | jq -e 'all(.nodes[]; .state == "alive" and .silent_ms < 1000)'; }

cluster_start 2 --num-cpus 2 >/dev/null
before=$(nodes)
meeting
scene h1 works "$meet" >/dev/null & driver=$!
appears working
head=$(head_pid h0)
on h0 kill -STOP "$head"
sleep 4                                 # what is tried
on h0 kill -CONT "$head"
wait_until 10 all_heard
expect_eq "$(nodes)" "$before" "the nodes after the stop"
rm -f "$meet/working"
appears working
touch "$meet/stop"
ends $driver
