#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# 347-head-disk.sh -- the disk with the head's state becomes full: a node that wants to join is refused and told why, all else goes on, a node
# that dies is known to be dead; `mobula status` says it. With room again nothing is behind, and a head that is started after that one
# was killed has it all.
. "$(dirname "$0")/tasks.sh"
in_lab 3 "$@"

heads=$(on h0 sh -c 'echo "$HOME/.mobula/heads"')
on h0 sh -c 'mkdir -p -m 700 "$0" && chmod 700 "${0%/*}" && mount -t tmpfs -o size=4m,mode=700 small "$0"' "$heads"
fill() { on h0 sh -c 'dd if=/dev/zero of="$0/ballast" bs=4k 2>/dev/null; for i in 1 2 3 4 5 6 7 8; do echo x >>"$0/ballast.$i" || :; done 2>/dev/null' "$heads"; }
trouble() { on h0 mobula status --format json | jq -r .state_trouble; }
full_says() { [[ $(trouble) == *"no room on the disk for the head's state in $heads"* ]]; }
kept_again() { [ -z "$(trouble)" ]; }
start_head() { on h0 mobula start --head --port "$port" --node-ip-address "$("$lab" ip h0)" --num-cpus 2; }
nodes() { on h0 mobula list nodes --format json | jq -cS '[.[] | {node, ip, state}]'; }
nodes_are() { [ "$(nodes)" = "$1" ]; }

cluster_start 2 --num-cpus 2 >/dev/null
meeting
scene h0 works "$meet" >/dev/null & driver=$!
appears working

# Each driver is a row or two, until no page is left in what is there already.
fill
drivers=0
until full_says || [ "$drivers" -ge 200 ]; do
    expect scene h0 results >/dev/null
    drivers=$((drivers + 1))
done
expect full_says
token_file() { printf '%s\n' "$token" | on "$1" sh -c 'umask 077; mkdir -p "$HOME/.mobula"; cat >"$HOME/.mobula/token"'; }
token_file h2
expect grep -q "no room on the disk for the head's state" <(on h2 mobula start --address="$("$lab" ip h0):$port" 2>&1)
on h1 kill -KILL "$(guard_pid h1)"
wait_until 10 node_count_is 1
expect scene h0 results >/dev/null
rm "$meet/working" && appears working
expect full_says

on h0 sh -c 'rm "$0"/ballast*' "$heads"
wait_until 10 kept_again
node_start h2 --num-cpus 2 >/dev/null
wait_until 10 node_count_is 2
before=$(nodes)
on h0 kill -KILL "$(head_pid h0)"
start_head >/dev/null || fail "the head did not start"
wait_until 10 nodes_are "$before"
rm "$meet/working" && appears working
touch "$meet/stop"
ends $driver
spreads h0 2
cluster_stop
on h0 umount "$heads"
