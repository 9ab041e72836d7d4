#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# 120-output.sh -- what tasks print, on whatever host, is printed by their driver, under the name of their function: all of it, also if the
# driver ends as soon as it has the results, with mob_shutdown() or without.
. "$(dirname "$0")/lib.sh"
in_lab 2 "$@"

cluster_start 2 --num-cpus 2
for end in shutdown exit shutdown exit; do
    expect on h0 env MOBULA_ADDRESS="$("$lab" ip h0):$port" prints 20 "$end" >"$MOB_LAB/share/out" 2>"$MOB_LAB/share/err"
    expect_eq "$(grep -cE '^\(chatter pid=[1-9][0-9]*, ip=[0-9.]+\) said [0-9]+ [0-9]+$' "$MOB_LAB/share/out")" 1000 "lines of stdout, $end"
    expect_eq "$(grep -cE '^\(chatter pid=[1-9][0-9]*, ip=[0-9.]+\) complained [0-9]+ [0-9]+$' "$MOB_LAB/share/err")" 1000 "lines of stderr, $end"
    expect_eq "$(grep -o 'ip=[0-9.]*' "$MOB_LAB/share/out" | sort -u | wc -l)" 2 "hosts that printed"
done

# A private cluster: the same, and the daemons are gone with all they had when the driver has ended, whichever way.
for end in shutdown exit; do
    expect_eq "$(on h0 prints 2 "$end" 2>"$MOB_LAB/share/err" | grep -c '^(chatter pid=[0-9]*, ip=127.0.0.1) said')" 100 "private, $end"
    expect_eq "$(grep -vc ') complained' "$MOB_LAB/share/err")" 0 "other words on stderr, $end"
    expect_eq "$(on h0 sh -c 'find /tmp/mobula-*/ -name "*@127.0.0.1@*" -o -name "*.log" | grep -v "/logs/"')" "" "left behind, $end"
done
