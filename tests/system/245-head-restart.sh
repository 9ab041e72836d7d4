#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# 245-head-restart.sh -- the head is killed and started again on its state: the same cluster with the same nodes under the same numbers, work
# goes on, what waited for a node gets one, a job that ended meanwhile is known to have ended, and so is a node. A state that was altered is
# refused; one that is gone makes a new cluster of the same nodes; the cluster's end leaves none.
. "$(dirname "$0")/tasks.sh"
in_lab 3 "$@"

start_head() { on h0 mobula start --head --port "$port" --node-ip-address "$("$lab" ip h0)" "$@"; }
nodes() { on h0 mobula list nodes --format json | jq -cS '[.[] | {node, ip, state}]'; }
nodes_are() { [ "$(nodes)" = "$1" ]; }
state() { on h0 sh -c 'echo "$HOME"'/.mobula/heads/"$("$lab" ip h0)-$port.db"; }
kill_head() { on h0 kill -KILL "$(head_pid h0)"; }
# Tasks from there are placed on all three hosts.
spread_out() {
    local folder
    folder=$(mktemp -d "$MOB_LAB/share/spread.XXXXXX") && chmod 777 "$folder"
    expect scene "$1" spreads "$folder" 3 >/dev/null
}
# The jobs that run, by the head.
jobs_running() { on h0 mobula status --format json | jq .jobs; }
jobs_running_are() { [ "$(jobs_running)" = "$1" ]; }

# Tasks "gate" that run, by the head's record.
gates_are() { [ "$(on h0 mobula list tasks --limit 100000 --format json | jq '[.[] | select(.name == "gate" and .state == "RUNNING")] | length')" = "$1" ]; }

cluster_start 3 --num-cpus 2 >/dev/null
before=$(nodes)
meeting
scene h1 works "$meet" >/dev/null & driver=$!
appears working
cluster=$(on h0 mobula status --format json | jq -r .cluster)
scene h2 works "$(mkdir -p "$meet/other" && chmod 777 "$meet/other" && echo "$meet/other")" >/dev/null & other=$!
wait_until 20 test -e "$meet/other/working"
wait_until 10 jobs_running_are 2

# Killed, with a job that ends meanwhile, and one whose task runs on.
mkdir -p "$meet/gated" && chmod 777 "$meet/gated"
scene h1 stands "$meet/gated" gate 1 spread 0 0 >/dev/null & gated=$!
wait_until 20 test -e "$meet/gated/ready"
wait_until 10 gates_are 1
kill_head
touch "$meet/other/stop"
wait $other
expect_eq $? 0 "status of a driver that ends without a head"
expect grep -q "serves again at .*; the node of this machine went on without it" <(start_head --num-cpus 2)
expect_eq "$(on h0 mobula status --format json | jq -r .cluster)" "$cluster" "the cluster"
wait_until 10 nodes_are "$before"
wait_until 10 jobs_running_are 2
rm -f "$meet/working"
appears working
spread_out h1                           # placed by the head that is new

# Its record of tasks is a new one; what runs is told again, by name.
wait_until 10 gates_are 1
touch "$meet/gated/open"
ends $gated
wait_until 10 gates_are 0

# Killed again, with a node that dies meanwhile; what waits for more than the rest has gets a new node.
kill_head
on h2 kill -KILL "$(guard_pid h2)"
start_head --num-cpus 2 >/dev/null || fail "the head did not start"
wait_until 10 node_count_is 2
expect_eq "$(nodes | jq -r '.[] | select(.state == "dead") | .node')" 3 "the dead node"
node_start h2 --num-cpus 2
wait_until 10 node_count_is 3
expect_eq "$(nodes | jq -r 'map(.node) | max')" 4 "the number of the new node"
rm -f "$meet/working"
appears working
touch "$meet/stop"
ends $driver

# A second head finds the port taken, and touches nothing. A state that was altered is refused, and left as it is.
expect_not start_head >/dev/null 2>&1
kill_head
on h0 cp "$(state)" "$meet/good"
on h0 cp "$(state)-wal" "$meet/good-wal"
size=$(stat -c %s "$meet/good-wal")
printf altered | on h0 dd of="$(state)-wal" bs=1 seek=$((size / 2)) conv=notrunc status=none
expect grep -q "was altered" <(start_head 2>&1)
expect grep -q "was altered" <(start_head 2>&1)
on h0 cp "$meet/good-wal" "$(state)-wal"
start_head >/dev/null || fail "the head did not start on what was put back"
wait_until 10 node_count_is 3
spread_out h0

# The folder is removed while it is used: the next head has all the same.
on h0 rm -r "$(dirname "$(state)")"
on h0 mkdir -m 700 "$(dirname "$(state)")"
node_start h1 --num-cpus 1              # a second raylet there: something to keep
wait_until 10 node_count_is 4
before=$(nodes)
kill_head
start_head >/dev/null || fail "the head did not start on what was written anew"
wait_until 10 nodes_are "$before"

# All of it is lost with the head: a new cluster, of the nodes that there are, and no second one beside that of the head's machine.
kill_head
on h0 rm "$(state)" "$(state)-wal"
expect grep -q "^The head of a new cluster, " <(start_head --num-cpus 2)
wait_until 10 node_count_is 4
expect_eq "$(on h0 mobula list nodes --format json | jq length)" 4 "nodes of the new cluster"
expect scene h0 results >/dev/null
cluster_stop
expect_not on h0 test -e "$(state)"

# Killed and not started again: `mobula stop` ends what is there, the state too.
cluster_start 1 >/dev/null
kill_head
expect on h0 test -e "$(state)"
on h0 mobula stop >/dev/null
expect_not on h0 test -e "$(state)"
