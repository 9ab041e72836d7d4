#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# 013-many-at-once.sh -- twenty private clusters are born and end at once, while others look for what the dead have left and sweep it: all
# get their results, and in the end nothing is there. Then drivers of one cluster on a host without a node, each with a raylet of its own.
. "$(dirname "$0")/lib.sh"
in_lab 2 "$@"

# all_print N HOST COMMAND...: N drivers at once; each prints the lines of its task.
all_print() {
    local n=$1 i drivers=()
    shift
    for ((i = 0; i < n; i++)); do
        on "$@" prints 1 exit >"$MOB_LAB/share/out.$i" 2>"$MOB_LAB/share/err.$i" &
        drivers+=($!)
    done
    for ((i = 0; i < n; i++)); do
        wait "${drivers[i]}" || fail "driver $i: $(tail -n 1 "$MOB_LAB/share/err.$i")"
        expect_eq "$(grep -c ') said' "$MOB_LAB/share/out.$i")" 50 "lines of driver $i"
    done
}

# look: `mobula` again and again, until the file `over` is there. `stop` names a cluster that does not run: it ends nothing.
look() {
    on h0 sh -c 'until [ -e "$MOB_LAB/share/over" ]; do
        mobula status >/dev/null 2>&1
        mobula stop --address=127.0.0.1:1 >/dev/null || exit 1
    done'
}

look & first=$!
look & second=$!
all_print 20 h0 env -u MOBULA_ADDRESS
touch "$MOB_LAB/share/over"
expect wait $first
expect wait $second
wait_until 5 nothing_left h0
expect_eq "$(on h0 sh -c 'find /tmp/mobula-[0-9]*/ -name "*@*" 2>/dev/null')" "" "sessions"
expect_eq "$(on h0 sh -c 'find /tmp/mobula-[0-9]*/ -name "*.log" 2>/dev/null')" "" "logs"

cluster_start 1 --num-cpus 2 >/dev/null
echo "$token" | on h1 sh -c 'umask 077; mkdir -p "$HOME/.mobula"; cat >"$HOME/.mobula/token"'
all_print 5 h1 env MOBULA_ADDRESS="$("$lab" ip h0):$port"
wait_until 5 nothing_left h1
