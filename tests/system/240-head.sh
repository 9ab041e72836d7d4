#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# 240-head.sh -- the head is killed: a node's own work goes on, old and new; who asks it is told what to do.
. "$(dirname "$0")/tasks.sh"
. "$(dirname "$0")/bad.sh"
in_lab 2 "$@"

cluster_start 2 --num-cpus 2 >/dev/null
meeting
scene h1 works "$meet" >/dev/null & driver=$!
appears working
on h0 kill -KILL "$(head_pid h0)"
for round in 1 2 3; do
    rm -f "$meet/working"
    appears working
done
says "mobula start --head --port=$port goes on with what it left" on h1 mobula health --address="$("$lab" ip h0):$port"
touch "$meet/stop"
ends $driver
