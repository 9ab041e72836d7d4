#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# 100-results.sh -- what goes in comes out, in a private cluster, on one host that was started, and on four.
. "$(dirname "$0")/tasks.sh"
in_lab 4 "$@"

# Each line of it is a scene of mobula-tasks; a scene that meets with files gets a folder of its own.
all_scenes() {
    local run=$1 host=$2 verb
    for verb in results returns arguments nested big threads forks clones errors leaves retries knows-itself; do
        expect "$run" "$host" "$verb" >/dev/null
    done
    for verb in waits crashes; do
        meeting
        expect "$run" "$host" "$verb" "$meet" >/dev/null
    done
}

all_scenes private h1
TASKS_PRIVATE=CPU=1 expect private h1 takes >/dev/null          # one worker has both ends
said=$(TASKS_PRIVATE=CPU=1 private h1 names) || fail "names"
expect grep -q '^(other_name pid=[0-9]*, ip=[0-9.]*) under another name$' <<<"$said"
expect grep -q '^(names_not pid=[0-9]*, ip=[0-9.]*) under its own$' <<<"$said"
wait_until 5 nothing_left h1
TASKS_PRIVATE=CPU=1 expect private h1 nested >/dev/null         # twenty deep on one CPU
TASKS_PRIVATE=CPU=1 expect private h1 returns >/dev/null        # nobody else takes over what stands behind
on h0 mobula start --head --port "$port" --num-cpus 2 >/dev/null || fail "no head"
all_scenes scene h0
token=$(on h0 sh -c 'cat "$HOME/.mobula/token"')
for host in h1 h2 h3; do
    node_start "$host" --num-cpus 2 >/dev/null
done
wait_until 10 node_count_is 4
all_scenes scene h0
all_scenes scene h3
wait_until 5 no_tasks h1
