#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# 270-shared-fs.sh -- hosts that share /tmp, /run and $HOME: a stop, a kill or a look on one ends and sweeps nothing of the other.
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

# A private cluster has the address 127.0.0.1, as on every machine: it is h1's all the same, alive or dead.
sessions() { on h1 sh -c 'find /tmp/mobula-* -maxdepth 1 -name "*@127.0.0.1@*"' | wc -l; }
meeting
private h1 works "$meet" >/dev/null 2>&1 & driver=$!
appears working
on h2 mobula status >/dev/null 2>&1
expect on h2 mobula stop --all >/dev/null
rm "$meet/working"
appears working
# shellcheck disable=SC2046
on h1 kill -KILL $(guard_pid h1) $(head_pid h1)
wait_until 5 eval '[ -z "$(raylet_pid h1)" ]'
expect_not on h2 mobula status 2>/dev/null
expect_eq "$(sessions)" 1 "sessions of h1 after a look on h2"
expect_not on h1 mobula status 2>/dev/null
expect_eq "$(sessions)" 0 "sessions of h1 after a look on h1"
touch "$meet/stop"
ends $driver 1
