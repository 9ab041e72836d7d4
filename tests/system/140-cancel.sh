#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# 140-cancel.sh -- tasks are stopped before they start and while they run, here and elsewhere; those beside them are not harmed.
. "$(dirname "$0")/tasks.sh"
in_lab 2 "$@"

all_scenes() {
    for verb in cancels-unstarted cancels-running cancels-called; do
        meeting
        expect "$@" "$verb" "$meet" >/dev/null
    done
    meeting
    expect "$@" cancels-stubborn "$meet" 1 >/dev/null
}

all_scenes private h1
cluster_start 2 --num-cpus 1 >/dev/null
all_scenes scene h0
on h0 mobula stop >/dev/null
wait_until 5 nothing_left h0
on h1 mobula stop >/dev/null
on h0 mobula start --head --port "$port" --num-cpus 0 >/dev/null || fail "no head"      # so that all runs on h1
node_start h1 --num-cpus 1 >/dev/null
wait_until 10 node_count_is 2
all_scenes scene h0
meeting
expect scene h0 cancels-stubborn "$meet" 0 >/dev/null   # by the flag, SIGTERM, SIGKILL
meeting
expect scene h0 cancels-deaf "$meet" >/dev/null         # by the flag, SIGTERM
