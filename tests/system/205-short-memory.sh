#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# 205-short-memory.sh -- workers have a limit together: a task that leaks up to it on a loop is ended, rests, and is tried again, and takes down
# no other. On a node that is strict, one that has more than it asked for is ended, though there is memory enough.
. "$(dirname "$0")/tasks.sh"
in_lab 2 "$@"

cluster_start 1 --num-cpus 4 --memory-limit 250MiB >/dev/null
meeting
expect scene h0 leaks "$meet"
node_start h1 --num-cpus 2 --memory 1GiB --strict-memory >/dev/null
wait_until 10 node_count_is 2
meeting
expect scene h0 strict "$meet" "$("$lab" ip h1)"

# Its list of tasks has what became of each attempt.
expect on h0 mobula list tasks --format json --limit 100 >"$meet/tasks"
expect jq -e '[.[] | select(.error == "MOB_ERR_OUT_OF_MEMORY")] | length >= 2' "$meet/tasks" >/dev/null

# Words that are none are refused by name, wherever they stand.
expect_not on h1 mobula start --head --port 6300 --memory-limit lots 2>"$meet/said"
expect grep -q -- '--memory-limit' "$meet/said"
expect_not on h1 env MOBULA_MEMORY_RESERVE=lots mobula start --head --port 6300 2>"$meet/said"
expect grep -q MOBULA_MEMORY_RESERVE "$meet/said"
