#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# 130-output.sh -- what a task prints on stdout and stderr is printed by the driver, with who and where in front.
. "$(dirname "$0")/tasks.sh"
in_lab 2 "$@"

said_all() {
    local ip=$1 pid
    pid=$(sed -n 's/^speaker //p' "$meet/out")
    [ -n "$pid" ] && for n in 0 1 2; do
        cat "$meet/out" "$meet/err" | grep -qx "([a-z ]*pid=$pid, ip=$ip) out $n of 3" || return
        cat "$meet/out" "$meet/err" | grep -qx "([a-z ]*pid=$pid, ip=$ip) err $n of 3" || return
    done
}

# hears IP COMMAND...: the driver is ended when its output is complete.
hears() {
    local ip=$1
    shift
    "$@" >"$meet/out" 2>"$meet/err" & driver=$!
    wait_until 10 said_all "$ip" || cat "$meet/out" "$meet/err" >&2
    touch "$meet/seen"
    ends $driver
}

meeting
hears 127.0.0.1 private h1 speaks "$meet" 3 spread
cluster_start 2 --num-cpus 1 >/dev/null
number=$(on h0 mobula list nodes --format json | jq -r --arg ip "$("$lab" ip h1)" '.[] | select(.ip == $ip) | .id // .node')
meeting
hears "$("$lab" ip h1)" scene h0 speaks "$meet" 3 "node=$number"
