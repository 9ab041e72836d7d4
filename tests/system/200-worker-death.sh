#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# 200-worker-death.sh -- a worker is killed in the middle of its task: the task starts again as often as it may, then its error says
# what killed which process where, in words and as data. Here and on another node; a stopped worker holds up nothing but its own task.
. "$(dirname "$0")/tasks.sh"
in_lab 2 "$@"

dies_twice() {
    local host=$1 strategy=$2 ip=$3
    meeting
    scene "$host" stands "$meet" gate 1 "$strategy" 1 0 >/dev/null & driver=$!
    appears ready && kill_worker g0
    wait_until 10 started_times g0 2
    touch "$meet/open"
    ends $driver

    meeting
    scene "$host" stands "$meet" gate 1 "$strategy" 1 5 >"$meet/said" & driver=$!
    appears ready && kill_worker g0
    wait_until 10 started_times g0 2
    read -r pid _ < <(worker_of g0)
    first=$(head -n 1 "$meet/g0" | cut -d' ' -f1)
    kill_worker g0
    ends $driver
    expect_eq "$(starts g0)" 2 "starts"
    for word in "SIGKILL" "on $ip, pid $pid, attempt 1" "of gate" "^death of attempt 1: signal, signal 9, code -1, .* on $ip, pid $pid, [1-9]" \
        "^death of attempt 0: signal, signal 9, code -1, .* on $ip, pid $first, [1-9]"; do
        expect grep -q "$word" "$meet/said" || cat "$meet/said" >&2
    done
    wait_until 5 recorded
}
recorded() { on h0 mobula list tasks --format json | jq -e '[.[] | select(.state == "FAILED")][0].killed_by == "signal"' >/dev/null; }

cluster_start 2 --num-cpus 2 >/dev/null
for host in h0 h1; do
    dies_twice h0 "node=$("$lab" ip "$host")" "$("$lab" ip "$host")"
done

# Stopped: others of its shape run on; killed: its task starts again.
meeting
scene h0 stands "$meet" gate 1 "node=$("$lab" ip h1)" 1 0 >/dev/null & driver=$!
appears ready && kill_worker g0 -STOP
expect scene h0 results >/dev/null
kill_worker g0 -KILL
wait_until 10 started_times g0 2
touch "$meet/open"
ends $driver
wait_until 5 no_tasks h1
