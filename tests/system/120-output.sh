#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# 120-output.sh -- what tasks print, on whatever host, is printed by their driver, with who and where in front: while it lives, and all of it
# also if it ends as soon as it has the results, with mob_shutdown() or without. The worker's own files have it, too.
. "$(dirname "$0")/tasks.sh"
in_lab 2 "$@"

# all_said FILE NAME PREFIX: three lines there, each with PREFIX, and no other but the driver's own.
all_said() { [ "$(grep -v '^speaker' "$1")" = "$(printf '%s' "$3$2 0 of 3" $'\n' "$3$2 1 of 3" $'\n' "$3$2 2 of 3")" ]; }
heard() {
    pid=$(sed -n 's/^speaker //p' "$meet/out")
    all_said "$meet/out" out "(speak pid=$pid, ip=$1) " && all_said "$meet/err" err "(speak pid=$pid, ip=$1) "
}

# hears HOST IP FOLDER COMMAND...: a task of the driver prints on HOST, which is IP there; FOLDER of the session has its files. The driver
# ends when all has been heard.
hears() {
    local host=$1 ip=$2 stream folder

    "${@:4}" >"$meet/out" 2>"$meet/err" & driver=$!
    wait_until 10 heard "$ip" || cat "$meet/out" "$meet/err" >&2
    folder=$(on "$host" sh -c 'echo /tmp/mobula-*/*@$0@*/$1' "$ip" "$3")
    for stream in out err; do
        on "$host" sh -c 'cat "$0"/worker-*-$1.$2' "$folder" "$pid" $stream >"$meet/file"
        expect all_said "$meet/file" $stream ""
        on "$host" mobula logs "worker-*-$pid.$stream" >"$meet/file"
        expect all_said "$meet/file" $stream ""
    done
    expect [ "$(on "$host" mobula logs 'worker-*' | grep -c '^out 2 of 3$')" = 1 ]
    expect grep -q "^$folder/worker-[0-9]*-$pid.out\$" <(on "$host" mobula logs)
    touch "$meet/seen"
    ends $driver
}

meeting
hears h1 127.0.0.1 "raylet-*.d" private h1 speaks "$meet" 3 spread
cluster_start 2 --num-cpus 2 >/dev/null
number=$(on h0 mobula list nodes --format json | jq -r --arg ip "$("$lab" ip h1)" '.[] | select(.ip == $ip) | .id // .node')
meeting
hears h1 "$("$lab" ip h1)" logs scene h0 speaks "$meet" 3 "node=$number"

# A driver that ends at once.
for end in shutdown exit shutdown exit; do
    expect on h0 env MOBULA_ADDRESS="$("$lab" ip h0):$port" prints 20 "$end" >"$MOB_LAB/share/out" 2>"$MOB_LAB/share/err"
    expect_eq "$(grep -cE '^\(chatter pid=[1-9][0-9]*, ip=[0-9.]+\) said [0-9]+ [0-9]+$' "$MOB_LAB/share/out")" 1000 "lines of stdout, $end"
    expect_eq "$(grep -cE '^\(chatter pid=[1-9][0-9]*, ip=[0-9.]+\) complained [0-9]+ [0-9]+$' "$MOB_LAB/share/err")" 1000 "lines of stderr, $end"
    expect_eq "$(grep -o 'ip=[0-9.]*' "$MOB_LAB/share/out" | sort -u | wc -l)" 2 "hosts that printed"
done

# Functions in turn on one worker: each line has the name of the function that printed it.
on h0 taskset -c "$(on h0 sh -c 'taskset -pc $$' | sed 's/.*[ ,-]//')" prints 400 shutdown turns >"$MOB_LAB/share/out"
expect_eq "$(grep -cE '^\((ping|pong) pid=[1-9][0-9]*, ip=127.0.0.1\) \1$' "$MOB_LAB/share/out")" 400 "lines under the name of their function"

# A private cluster: the same, and the daemons are gone with all they had when the driver has ended, whichever way.
for end in shutdown exit; do
    expect_eq "$(on h0 prints 2 "$end" 2>"$MOB_LAB/share/err" | grep -c '^(chatter pid=[0-9]*, ip=127.0.0.1) said')" 100 "private, $end"
    expect_eq "$(grep -vc ') complained' "$MOB_LAB/share/err")" 0 "other words on stderr, $end"
    expect_eq "$(on h0 sh -c 'find /tmp/mobula-*/ -name "*@127.0.0.1@*" -o -name "*.log" | grep -v "/logs/"')" "" "left behind, $end"
done
