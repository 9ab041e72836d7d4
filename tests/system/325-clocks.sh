#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# 325-clocks.sh -- wall clocks of hosts that differ by years, and jump by a year, forth and back, while a driver works: no node is taken for
# dead, no wait ends early or late, what is retried or cancelled is at once; the clocks are in the logs alone. The same on a host
# whose other clocks count from a year before.
. "$(dirname "$0")/tasks.sh"
in_lab 3 "$@"

year=$((365 * 24 * 3600))
clock=$MOB_LAB/share/clock
# sets HOST SECONDS: little endian.
sets() { printf '%016x' "$2" | sed 's/\(..\)\(..\)\(..\)\(..\)\(..\)\(..\)\(..\)\(..\)/\\x\8\\x\7\\x\6\\x\5\\x\4\\x\3\\x\2\\x\1/' | xargs -0 printf | dd of="$clock.$1" conv=notrunc status=none; }
# All that runs on a host from now on has that clock, but for the shell's own commands.
with_clocks() {
    on() { "$lab" on "$1" env BAD_CLOCK="$clock.$1" LD_PRELOAD="$MOB_BUILD/tests/bad_clock.so" "${@:2}"; }
}
works_on() {
    rm -f "$meet/working"
    appears working
}
nobody_died() { expect_eq "$(on h0 mobula status --format json | jq -c '[.dead, .serving]')" '[0,3]' "nodes dead and alive"; }

# jumps HOST SECONDS: and all goes on.
jumps() {
    sets "$1" "$2"
    works_on
    expect scene h0 results >/dev/null
    nobody_died
}

# A task dies and starts again, one is cancelled, while the clocks of both hosts jump.
retries() {
    local works=$meet
    meeting
    scene h0 stands "$meet" gate 1 "node=$("$lab" ip h1)" 1 0 >/dev/null & local stander=$!
    appears ready
    sets h0 $((-year)); sets h1 "$year"
    kill_worker g0
    wait_until 10 started_times g0 2
    touch "$meet/open"
    ends $stander
    meeting
    expect scene h0 cancels-running "$meet" >/dev/null
    meet=$works
}

sets h0 0; sets h1 $((3 * year)); sets h2 $((-3 * year))
with_clocks
cluster_start 3 --num-cpus 2 >/dev/null
expect grep -q "^$(($(date +%Y) + 3))-" <(on h1 sh -c 'cat /tmp/mobula-*/*/logs/mobula-raylet.log')
spreads h0 3
meeting
scene h0 works "$meet" >/dev/null & driver=$!
appears working
for seconds in $year 0 $((-year)) 0; do
    jumps h0 "$seconds"
    jumps h1 "$seconds"
done
retries
works_on
expect on h0 mobula health
touch "$meet/stop"
ends $driver

# Uptimes that differ by a year: no instant of one host means anything on another.
year_up() { on h2 unshare --time --fork --boottime "$year" --monotonic "$year" "$@"; }
on h2 mobula stop >/dev/null
wait_until 10 node_count_is 2
if [ "$(year_up cut -d. -f1 /proc/uptime 2>/dev/null || echo 0)" -gt "$year" ]; then
    year_up mobula start --address="$("$lab" ip h0):$port" --node-ip-address "$("$lab" ip h2)" --num-cpus 2 >/dev/null
    wait_until 10 node_count_is 3
    spreads h0 3
    expect scene h0 results >/dev/null
    meeting
    scene h0 stands "$meet" gate 1 "node=$("$lab" ip h2)" 1 0 >/dev/null & driver=$!
    appears ready
    kill_worker g0
    wait_until 10 started_times g0 2
    touch "$meet/open"
    ends $driver
    year_up mobula stop >/dev/null      # who looks from another year takes the raylet for another process
fi
