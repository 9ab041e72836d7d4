#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# 208-thousand-deaths.sh -- 1,000 workers of a node are killed by one call, each in the middle of its task: the node lives, another driver of
# another node gets its values meanwhile, and each task starts again and passes.
. "$(dirname "$0")/tasks.sh"
in_lab 2 "$@"
crowd=1000

cluster_start 1 --num-cpus 2 >/dev/null
node_start h1 --num-cpus $crowd --object-store-memory $((64 << 20)) >/dev/null
wait_until 10 node_count_is 2
meeting
bystander=$meet
scene h0 works "$bystander" >/dev/null & other=$!
meeting
on h1 env MOBULA_ADDRESS="$("$lab" ip h0):$port" timeout 110 "$tasks" crowds "$meet" $crowd & driver=$!
wait_until 60 started_times crowd $crowd
# The guard's and the raylet's program is another one, and the driver's pid is not that of a worker.
on h1 sh -c 'for f in /proc/[0-9]*; do case $(readlink "$f/exe") in "$0") grep -qa MOBULA_WORKER "$f/environ" && echo "${f#/proc/}" ;; esac; done | xargs kill -KILL' "$tasks"
wait_until 60 started_times crowd $((2 * crowd))
meet_of_crowd=$meet meet=$bystander
rm -f "$meet/working" && appears working
touch "$meet/stop"
ends $other
touch "$meet_of_crowd/open"
ends $driver
expect_eq "$(node_count)" 2 "nodes after that"
wait_until 10 no_tasks h1
