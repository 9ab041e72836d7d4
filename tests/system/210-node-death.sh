#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# 210-node-death.sh -- a raylet is killed (its port refuses), stopped (it is silent), or its machine goes: what ran there runs
# elsewhere, or fails by name; a big value that was only there is made again, with what it was made of, or reported as lost; who was
# only silent joins again as a new node.
. "$(dirname "$0")/tasks.sh"
in_lab 3 "$@"
ip=$("$lab" ip h1)

# Two tasks stand on h1; after LOSS they start again elsewhere and pass.
moves() {
    meeting
    scene h0 stands "$meet" gate 2 "node~=$ip" 0 0 >/dev/null & driver=$!
    appears ready
    expect_eq "$(cut -d' ' -f2 "$meet/g0" "$meet/g1" | sort -u)" "$ip" "where they stand"
    "$@"
    wait_until 10 started_times g0 2
    wait_until 10 started_times g1 2
    expect_not grep -q "$ip" <(tail -qn 1 "$meet/g0" "$meet/g1")
    touch "$meet/open"
    ends $driver
}

# A task that may not start again, and a big value, are lost with h1, and say so.
fails() {
    meeting
    scene h0 stands "$meet" gate 1 "node=$ip" -1 6 >"$meet/said" & driver=$!
    appears ready
    "$@"
    ends $driver
    expect grep -q "of gate on $ip" "$meet/said" || cat "$meet/said" >&2
    expect grep -q "^death of attempt 0: node lost, signal 0, code -1, worker .* on $ip, pid $(cut -d' ' -f1 "$meet/g0"), 0 bytes" "$meet/said" || cat "$meet/said" >&2
}
forgets() {
    meeting
    scene h0 keeps "$meet" "$ip" >"$meet/said" & driver=$!
    appears ready
    "$@"
    wait_until 10 node_count_is 2
    expect grep -Eq "^ .* nodes that died: [0-9]+ \(mobula list nodes says why\)$" <(on h0 mobula status)
    expect grep -Eq "^[0-9]+ +$ip .* dead .*(refuses|no sign of life)" <(on h0 mobula list nodes)
    touch "$meet/dead"
    ends $driver
    expect grep -Eq "node 2|node [0-9]+|$ip" "$meet/said" || cat "$meet/said" >&2
}
values_are_there() {
    on h0 mobula memory --format json | jq -e --arg ip "$ip" '[.nodes[] | select(.ip == $ip) | .objects[]] | length >= 2' >/dev/null
}
remakes() {
    meeting
    scene h0 remakes "$meet" "$ip" & driver=$!
    appears ready
    wait_until 5 values_are_there
    expect grep -Eq '^  [0-9.]+ keeps 6 finished tasks, to make their results again, in [0-9.]+ ?[KM]iB of ' <(on h0 mobula memory)
    there=$(on h0 mobula memory --format json | jq -r --arg ip "$ip" '[.nodes[] | select(.ip == $ip) | .objects[] | select(.reference == "owner") | .object][0]')
    expect grep -q 'results are there; if what lies in a store is lost, it runs again: attempt 2 of 4$' <(on h0 mobula explain "$there")
    "$@"
    touch "$meet/dead"
    ends $driver
    spreads h0 2
}
raylet_killed() { on h1 kill -KILL "$(raylet_pid h1)"; }
back() {                                # the log of a raylet that was killed is kept until the next look
    on h1 mobula stop >/dev/null 2>&1
    wait_until 5 nothing_left h1
    node_start h1 --num-cpus 2 >/dev/null
    wait_until 10 node_count_is 3
}

cluster_start 3 --num-cpus 2 >/dev/null
on h1 mobula stop >/dev/null
wait_until 10 node_count_is 2
back
moves raylet_killed
back
fails raylet_killed
back
forgets raylet_killed
back
remakes raylet_killed
back
moves "$lab" pause h1
wait_until 10 node_count_is 2
"$lab" resume h1
wait_until 10 node_count_is 3
# shellcheck disable=SC2016
expect on h1 sh -c 'grep -q "came .* too late to its work" /tmp/mobula-*/*/logs/mobula-raylet.log'
wait_until 5 no_tasks h1
spreads h0 3
moves "$lab" kill h1
