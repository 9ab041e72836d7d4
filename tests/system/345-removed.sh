#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# 345-removed.sh -- somebody removes folders of ours while they are used. That of the head's state: what is there works on, drivers come and go,
# `mobula status` says what to do, and a new node is refused with these words; then it goes on. The run folder, of a node: it ends and joins again as a new node, and what
# ran there runs elsewhere; the driver there is told. The same of the head's machine: `mobula` there finds the head again. While the head is
# away a node cannot join again, and `mobula stop` ends it all the same.
. "$(dirname "$0")/tasks.sh"
in_lab 3 "$@"

home=$(on h0 sh -c 'echo "$HOME"')
kept_again() { on h0 mobula status --format json | jq -e '.state_trouble == ""'; }
nodes_that_ever_were() { on h0 mobula list nodes --format json | jq length; }
ever_were() { [ "$(nodes_that_ever_were)" = "$1" ]; }
run_folder_removed() { on "$1" sh -c 'rm -r /tmp/mobula-*'; }

cluster_start 3 --num-cpus 2 >/dev/null
on h1 mobula stop >/dev/null
wait_until 10 node_count_is 2
node_start h1 --num-cpus 2 >/dev/null
wait_until 10 node_count_is 3
meeting
scene h0 works "$meet" >/dev/null & driver=$!
appears working

# The head's state.
on h0 mv "$home/.mobula/heads" "$home/.mobula/moved"
expect scene h2 results >/dev/null
expect grep -q "the folder of the head's state is gone: .*mkdir -m 700 $home/.mobula/heads" <(on h0 mobula status)
on h2 mobula stop >/dev/null
wait_until 10 node_count_is 2
expect grep -q "the folder of the head's state is gone" <(on h2 mobula start --address="$("$lab" ip h0):$port" 2>&1)
rm "$meet/working" && appears working
on h0 mkdir -m 700 "$home/.mobula/heads"
node_start h2 --num-cpus 2 >/dev/null
wait_until 10 node_count_is 3
wait_until 10 kept_again
ever=$(nodes_that_ever_were)

# The run folder of a node, while a task of the driver on h0 stands there.
works=$meet
meeting
scene h0 stands "$meet" gate 1 "node~=$("$lab" ip h1)" 1 0 >/dev/null & stander=$!
appears ready
run_folder_removed h1
wait_until 10 started_times g0 2
touch "$meet/open"
ends $stander
wait_until 10 ever_were $((ever + 1))
wait_until 10 node_count_is 3
expect scene h1 results >/dev/null
expect on h1 mobula status >/dev/null

# That of the head's machine.
meet=$works
run_folder_removed h0
wait "$driver"
expect_not [ $? = 0 ]
wait_until 10 ever_were $((ever + 2))
wait_until 10 node_count_is 3
expect scene h0 results >/dev/null
spreads h2 3

# Without a head.
on h0 kill -KILL "$(head_pid h0)"
guard=$(guard_pid h1)
raylet=$(raylet_pid h1)
run_folder_removed h1
has_another_raylet() { [ "$(raylet_pid h1)" != "$raylet" ] && [ "$(guard_pid h1)" = "$guard" ]; }
wait_until 10 has_another_raylet
expect grep -q "cannot be reached" <("$lab" on h1 mobula status 2>&1)
expect grep -q "^Stopped 1 of 1" <(on h1 mobula stop)
expect nothing_left h1
