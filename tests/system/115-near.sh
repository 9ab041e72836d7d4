#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# 115-near.sh -- tasks without a strategy run where their values are while there is room, and nothing is brought; else elsewhere.
. "$(dirname "$0")/tasks.sh"
in_lab 3 "$@"

cluster_start 1 --num-cpus 2 >/dev/null
for h in h1 h2; do
    node_start $h --num-cpus 2 >/dev/null
done
wait_until 10 node_count_is 3
pulled() { on h0 mobula status --format json | jq '[.nodes[].store_pulled] | add'; }
some_pulled() { [ "$(pulled)" -gt 0 ]; }

decided() { [ -e "$meet/ran" ] || [ -e "$meet/far" ]; }

# A preference is kept for 20 ms (raylet/near.c): where the head answers later, on a busy machine, tasks run at home, as they should then. So
# it is tried a few times.
for try in 1 2 3 4 5 6; do
    meeting
    scene h0 near "$meet" "$("$lab" ip h1)" "$("$lab" ip h2)" & driver=$!
    appears made
    wait_until 10 all_free
    touch "$meet/free"
    wait_until 20 decided
    if [ -e "$meet/ran" ]; then break; fi
    ends $driver 3
    wait_until 10 all_free
done
appears ran
wait_until 10 all_free                 # each node has reported since
[ "$try" -gt 1 ] || expect_eq "$(pulled)" 0 "bytes brought to tasks"
touch "$meet/looked"
ends $driver
wait_until 10 some_pulled
