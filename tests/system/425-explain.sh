#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# 425-explain.sh -- `mobula explain` and mob_explain() say why a task is not over: which arguments are not there and who makes them, what
# each node lacks, who has what it wants, and that nobody will ever give it back. A get on a terminal says so by itself (waits.c).
. "$(dirname "$0")/lib.sh"
in_lab 3 "$@"

cluster_start 1 --num-cpus 2 --num-gpus 1
node_start h1 --num-cpus 2
wait_until 10 node_count_is 2
folder=$(mktemp -d "$MOB_LAB/share/waits.XXXXXX") && chmod 777 "$folder"
on h0 env MOBULA_ADDRESS="$("$lab" ip h0):$port" MOBULA_EXPLAIN_SECONDS=1 timeout 100 \
    script -qfec "waits $folder" "$folder/terminal" >"$folder/out" </dev/null & driver=$!
wait_until 60 test -e "$folder/up"

explain() { on h0 mobula explain "$@"; }
says() { explain "$(cat "$folder/$1")" | grep -Eq "$2"; }
wait_until 10 says merge '^t-[0-9.]+-[0-9]+ "hold": runs on node [12] \([0-9.]+\), pid [0-9]+, for '
expect says merge '^t-[0-9.]+-[0-9]+ "merge": waits for arguments that are not there'
expect says merge '^t-[0-9.]+-[0-9]+ "wide": waits for a worker with \{CPU=3\}'
expect says merge '^  [12] .* CPU +3 +[0-9.]+ +2$'
expect says merge '^  No node could serve it, not even an idle one'
wait_until 10 says outer '"outer": runs on node 1 .*; a call of it waits for'
wait_until 10 says outer '^  node 1, its queue: place 1 of 1, for '
expect says outer '^  node 1, GPU is held by: t-[0-9.]+-[0-9]+ \(pid [0-9]+, waits in a call, runs for'
expect says outer 'All that has GPU waits for this task: it can never run'
expect grep -q '"hold": ' <(explain --format json "$(cat "$folder/merge")" | jq -r .text)
expect grep -Eq '^  \{CPU=1,GPU=1\} to 1\.1: t-1\.1-|^  \{GPU=1\} to 1\.1: t-1\.1-' <(explain 1)
expect grep -Eq '^node 2 .* serves; free ' <(explain 2)
expect grep -Eq '^node 2 .* serves; free ' <(explain "$("$lab" ip h1)")
expect grep -Eq '^node 2 .* serves; free ' <(explain h1)
expect_not explain nonsense
expect_not explain 9
expect grep -q "is gone, or did not answer" <(explain t-1.77-5)
expect grep -Eq '^t-1.77-5: ' <(explain "ObjectRef(o-1.77-5.0)")     # as Python prints it
told() { tr -d '\r' <"$folder/terminal" | grep -Eq "$1"; }
expect told '^t-1\.1-[0-9]+ "merge": waits for arguments'            # mob_explain()
wait_until 10 told 'mobula: a get has waited for [0-9]+ s for o-1\.1-[0-9]+\.0, and goes on:'
expect_eq "$(grep -c 'a get has waited' "$folder/terminal")" 1 "told once"

# A third node has as many CPUs as wide wants.
: >"$folder/go"
node_start h2 --num-cpus 3
wait $driver
expect_eq $? 0 "status of the driver"
expect says merge 'is over|its driver .waits, pid [0-9]+. has ended'
cluster_stop
