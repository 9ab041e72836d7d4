#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# 270-shared-fs.sh -- hosts that share /tmp, /run and $HOME: a stop or a kill on one ends nothing of the other.
. "$(dirname "$0")/tasks.sh"
in_lab --shared-fs 3 "$@"

cluster_start 3 --num-cpus 2 >/dev/null
spreads h0 3
meeting
scene h2 works "$meet" >/dev/null & driver=$!
appears working
on h1 mobula stop --all >/dev/null
wait_until 5 node_count_is 2
rm "$meet/working"
appears working
node_start h1 --num-cpus 2 >/dev/null
wait_until 10 node_count_is 3
on h1 kill -KILL "$(raylet_pid h1)"
wait_until 10 node_count_is 2
rm "$meet/working"
appears working
touch "$meet/stop"
ends $driver
spreads h0 2
