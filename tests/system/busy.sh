#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# busy.sh [--seconds N] -- four nodes on cores that have far more to do than they can: each node's two CPUs have a task that computes, and
# another waits for it; and four processes a core do nothing but turn, each in a session of its own, so that the scheduler's groups do not
# favour the daemons. A node whose beats come late is not dead: none may be declared so, and no task be tried twice. Prints the longest
# that the head did not hear of a node.
#
# ./run test has a minute of it, with nothing else beside it; with --long ten minutes.
. "$(dirname "${BASH_SOURCE[0]}")/tasks.sh"
seconds=60
words=("$@")
case ${1:-} in
"") ;;
--seconds) seconds=$2 ;;
*) echo "usage: busy.sh [--seconds N]" >&2; exit 2 ;;
esac
in_lab 4 ${words[@]+"${words[@]}"}

nodes() { on h0 mobula list nodes --format json | jq -cS '[.[] | {node, ip, state}]'; }
none_free() { on h0 mobula status --format json | jq -e '(.available.CPU // 0) == 0'; }
# What the cores have idled since the machine was started, and how much time went by for them, in hundredths of a second.
idle_and_all() { awk '$1 == "cpu" { for (i = 2; i <= 9; i++) all += $i; print $5 + $6, all }' /proc/stat; }

cluster_start 1 --num-cpus 2 >/dev/null
for ((i = 1; i < hosts; i++)); do
    node_start "h$i" --num-cpus 2 >/dev/null
done
wait_until 20 node_count_is "$hosts"
before=$(nodes)
meeting
on h0 env MOBULA_ADDRESS="$("$lab" ip h0):$port" "$tasks" toils "$meet" $((4 * hosts)) 20 & driver=$!
appears working
wait_until 30 none_free
turning=()
for ((i = 4 * $(nproc); i > 0; i--)); do
    setsid sh -c 'while :; do :; done' &
    turning+=($!)
done
read -r idle_before all_before < <(idle_and_all)
sleep "$seconds"                        # what is tried
read -r idle all < <(idle_and_all)
expect kill "${turning[@]}"
touch "$meet/stop"
ends $driver
expect_eq "$(nodes)" "$before" "the nodes after that"
say "$seconds s, the cores idle for $((100 * (idle - idle_before) / (all - all_before))) %; silent at most, by node, in ms:" \
    "$(on h0 mobula status --format json | jq -c '[.nodes[].most_silent_ms]')"
