#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# 217-own-raylet.sh -- a driver whose own raylet ends hears why: the head declared the node dead, as it was stopped for too long; or it was
# drained, and its time was over. Its error says so, and what to do.
. "$(dirname "$0")/tasks.sh"
in_lab 2 "$@"

# A driver on h1, with a task on h0, whose raylet ends by the words that follow.
hears() {
    local text=$1
    shift
    meeting
    scene h1 stands "$meet" gate 1 "node~=$("$lab" ip h0)" 0 6 >"$meet/said" & driver=$!
    appears ready
    "$@"
    ends $driver
    expect grep -Eq "the raylet of this node \(node [0-9]+\) is gone: $text; mob_shutdown\(\), then mob_init\(\) again" "$meet/said" \
        || cat "$meet/said" >&2
}

stopped() {
    local pid
    pid=$(raylet_pid h1)
    on h1 kill -STOP "$pid"
    wait_until 10 node_count_is 1
    on h1 kill -CONT "$pid"
}

cluster_start 2 --num-cpus 2 >/dev/null
hears "node 2 was declared dead by the head: no sign of life for [0-9.]+ s" stopped
wait_until 10 node_count_is 2
hears "node 3 was drained: the time that it was given is over" on h0 mobula drain "$("$lab" ip h1)" --deadline 200ms >/dev/null
