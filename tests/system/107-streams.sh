#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# 107-streams.sh -- items of tasks that run: small and large, here and on another node, with deaths, cancel, a bound, and a reader that
# leaves; nothing is left in the stores, though the driver lives on.
. "$(dirname "$0")/tasks.sh"
in_lab 2 "$@"

live() {
    meeting
    mkdir "$meet/bound" "$meet/left"
    expect "$@" stream-live "$meet" >/dev/null
}

expect private h1 streams >/dev/null
live private h1
cluster_start 2 --num-cpus 1 >/dev/null
expect scene h0 streams >/dev/null
on h0 mobula stop >/dev/null
wait_until 5 nothing_left h0
on h1 mobula stop >/dev/null
on h0 mobula start --head --port "$port" --num-cpus 0 >/dev/null || fail "no head"      # so that all runs on h1
node_start h1 --num-cpus 2 >/dev/null
wait_until 10 node_count_is 2
expect scene h0 streams >/dev/null
live scene h0
stored() { on h0 mobula status --format json | jq '[.nodes[].store_used] | add'; }
stored_is() { [ "$(stored)" = "$1" ]; }
wait_until 10 stored_is 0
