#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# 110-places.sh -- spread, labels, affinity; a task that fits nowhere waits, is explained, and starts when a node comes that has what
# it needs; a node that is gone cannot be asked for. A driver may wait for so many nodes.
. "$(dirname "$0")/tasks.sh"
in_lab 4 "$@"

cluster_start 2 --num-cpus 2 >/dev/null
node_start h2 --num-cpus 2 --labels=disk=ssd,zone=a >/dev/null
wait_until 10 node_count_is 3
spreads h0 3
spreads h1 3
expect scene h0 labelled disk=ssd,zone=a "$("$lab" ip h2)" >/dev/null
expect scene h0 labelled 'disk=in(nvme,ssd),zone=!b,rack=!in(1,2)' "$("$lab" ip h2)" >/dev/null
for host in h0 h1 h2; do
    wait_until 10 all_free              # what is asked for softly has room there
    expect scene h0 pinned "$("$lab" ip "$host")" >/dev/null
done
expect scene h0 overflows "$("$lab" ip h1)" >/dev/null

# It waits, it is said why, it starts.
meeting
scene h0 waits-for unicorn=1 "$meet" "$("$lab" ip h3)" 2>"$meet/said" >/dev/null & driver=$!
appears asked
wait_until 5 grep -q "unicorn .*1 .*0" "$meet/said"
node_start h3 --num-cpus 2 --resources='{"unicorn": 1}' >/dev/null
ends $driver
meeting
scene h1 waits-for CPU=7 "$meet" "$("$lab" ip h3)" >/dev/null 2>&1 & driver=$!
appears asked
on h3 mobula stop >/dev/null
wait_until 5 node_count_is 3
waiter=$driver
meeting
scene h2 awaits-nodes "$meet" 3 >/dev/null & driver=$!
appears asked
node_start h3 --num-cpus 7 >/dev/null
ends $driver
ends $waiter

number=$(on h0 mobula list nodes --format json | jq -r --arg ip "$("$lab" ip h2)" '.[] | select(.ip == $ip) | .id // .node')
expect "$lab" kill h2
wait_until 5 node_count_is 3
expect scene h0 gone "$number" >/dev/null
expect scene h0 gone 4711 >/dev/null
