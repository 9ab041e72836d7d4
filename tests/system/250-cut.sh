#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# 250-cut.sh -- a host's cable is pulled: what ran there for others runs elsewhere; put back, it joins as a new node and has
# forgotten the old tasks.
. "$(dirname "$0")/tasks.sh"
in_lab 3 "$@"

cluster_start 3 --num-cpus 2 >/dev/null
meeting
scene h0 stands "$meet" gate 2 "node~=$("$lab" ip h1)" 0 0 >/dev/null & driver=$!
appears ready
"$lab" cut h1
wait_until 10 node_count_is 2
for name in $(grep -l "$("$lab" ip h1)" "$meet"/g?); do
    wait_until 20 started_times "${name##*/}" 2
done
"$lab" mend h1
wait_until 10 node_count_is 3
touch "$meet/open"
ends $driver
wait_until 5 no_tasks h1
spreads h0 3
