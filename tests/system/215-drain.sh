#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# 215-drain.sh -- a node is asked to leave: its tasks end, nothing new starts there, and what it has goes elsewhere; then it is gone, with
# nothing left on its machine, and nothing was rerun. What cannot be is refused by name.
. "$(dirname "$0")/tasks.sh"
. "$(dirname "$0")/bad.sh"
in_lab 3 "$@"
ip=$("$lab" ip h1)

state_of() { on h0 mobula list nodes --format json | jq -r ".[] | select(.ip == \"$1\") | .state" | tail -n 1; }
state_is() { [ "$(state_of "$1")" = "$2" ]; }
drain() { on h0 mobula drain "$@" >"$MOB_LAB/share/drain" 2>&1; }
# By itself, but for the daemon's log, which stays for people until somebody looks.
has_gone() {
    wait_until 5 eval '[ -z "$(running h1 "*/mobula-raylet")" ]'
    expect_eq "$(on h1 mobula stop)" "Nothing of yours runs here." "what runs there"
    expect nothing_left h1 || leftovers h1 >&2
}
back() {
    node_start h1 --num-cpus 2 >/dev/null
    wait_until 10 node_count_is 3
}

cluster_start 3 --num-cpus 2 >/dev/null
on h1 mobula stop >/dev/null
wait_until 10 node_count_is 2

# An idle one. Its machine is as it was before.
back
expect drain "$ip"
expect grep -q "^node [0-9]* ($ip) has left: drained$" "$MOB_LAB/share/drain" || cat "$MOB_LAB/share/drain" >&2
expect_eq "$(state_of "$ip")" drained "its state"
has_gone
says "has left already: drained" on h0 mobula drain "$ip"

# Two tasks stand there: it waits for them, and tasks that would rather run there run elsewhere. They are not started again.
back
meeting
scene h0 stands "$meet" gate 2 "node~=$ip" 0 0 >/dev/null & driver=$!
appears ready
expect_eq "$(cut -d' ' -f2 "$meet/g0" "$meet/g1" | sort -u)" "$ip" "where they stand"
first=$meet
on h0 mobula drain "$ip" >"$MOB_LAB/share/drain" & drained=$!
wait_until 10 state_is "$ip" draining
wait_until 10 grep -q "2 workers still have tasks" "$MOB_LAB/share/drain"
on h0 mobula explain "$(on h0 mobula list nodes --format json | jq '.[] | select(.state == "draining") | .node')" | expect grep -q "is draining"
meeting
scene h0 stands "$meet" gate 1 "node~=$ip" 0 0 >/dev/null & other=$!
appears ready
expect_not grep -q "$ip" "$meet/g0"
touch "$meet/open"
ends $other
says "is draining: it leaves the cluster, and takes no new driver" scene h1 results
touch "$first/open"
ends $driver
wait $drained
expect_eq $? 0 "status of mobula drain"
expect_eq "$(cat "$first/g0" "$first/g1" | wc -l)" 2 "starts"
has_gone

# Objects that only this node has, in its store and on its disk: all of them are read after it has left, and no task was run again.
node_start h1 --num-cpus 2 --object-store-memory=$((64 << 20)) >/dev/null
wait_until 10 node_count_is 3
meeting
scene h0 outlasts "$meet" "$ip" & driver=$!
appears ready
expect drain "$ip"
expect grep -q "has left: drained$" "$MOB_LAB/share/drain" || cat "$MOB_LAB/share/drain" >&2
touch "$meet/gone"
ends $driver
has_gone
expect_eq "$(on h0 mobula list tasks --limit 1000 --format json | jq '[.[].attempt] | max')" 0 "the last attempt of any task"

# A worker that owns what a driver elsewhere holds: its node waits until that is dropped.
back
meeting
scene h0 owned "$meet" "$ip" >/dev/null & driver=$!
appears ready
on h0 mobula drain "$ip" >"$MOB_LAB/share/drain" & drained=$!
wait_until 10 grep -q "1 idle worker is needed, as others hold what it owns" "$MOB_LAB/share/drain"
touch "$meet/look"
ends $driver
wait $drained
expect_eq $? 0 "status of mobula drain"
has_gone

# A deadline: what still runs then starts again elsewhere.
back
meeting
scene h0 stands "$meet" gate 2 "node~=$ip" 0 0 >/dev/null & driver=$!
appears ready
expect drain "$ip" --deadline 200ms
expect grep -q "has left: drained: the time that it was given is over$" "$MOB_LAB/share/drain" || cat "$MOB_LAB/share/drain" >&2
wait_until 10 started_times g0 2
wait_until 10 started_times g1 2
expect_not grep -q "$ip" <(tail -qn 1 "$meet/g0" "$meet/g1")
touch "$meet/open"
ends $driver
has_gone

# In front: its front ends well, too.
on h1 mobula start --address="$("$lab" ip h0):$port" --node-ip-address "$ip" --block >/dev/null 2>"$MOB_LAB/share/front" & front=$!
wait_until 10 node_count_is 3
expect drain "$ip"
wait $front
expect_eq $? 0 "status of the front"
expect grep -q "has left the cluster: it was drained$" "$MOB_LAB/share/front" || cat "$MOB_LAB/share/front" >&2
has_gone

# What cannot be.
back
says "say which node" on h0 mobula drain
says "there is no node \"nowhere\"" on h0 mobula drain nowhere
says "is no time; write 30" on h0 mobula drain "$ip" --deadline soon
says "there is no node \"4096\"" on h0 mobula drain 4096
meeting
scene h1 stands "$meet" gate 1 "node~=$("$lab" ip h0)" 0 0 >/dev/null & driver=$!
appears ready
says "and would end with it" on h0 mobula drain "$ip"
expect state_is "$ip" alive
touch "$meet/open"
ends $driver
expect drain "$("$lab" ip h2)"
expect drain "$ip"
says "no other node serves" on h0 mobula drain "$("$lab" ip h0)"
expect on h0 mobula drain "$("$lab" ip h0)" --force >/dev/null
expect_eq "$(on h0 mobula status --format json | jq .serving)" 0 "nodes that serve"
