#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# 420-memory.sh -- `mobula memory` says of each object what keeps it: refs, a view, a task that takes it, a value that carries it, another
# process; the owner says so, wherever the object lies, in the middle of a task, too. When all that is over, there is none.
. "$(dirname "$0")/lib.sh"
in_lab 2 "$@"

store=$MOB_BUILD/tests/mobula-store
cluster_start 1 --num-cpus 2 --object-store-memory 64MiB
node_start h1 --num-cpus 1 --object-store-memory 64MiB --resources '{"there": 1}'
wait_until 10 node_count_is 2
meet=$(mktemp -d "$MOB_LAB/share/meet.XXXXXX") && chmod 777 "$meet"
on h0 env MOBULA_ADDRESS="$("$lab" ip h0):$port" timeout 100 "$store" kinds "$meet" & driver=$!
wait_until 60 test -e "$meet/full"

# By their sizes, which differ.
kinds() { on h0 mobula memory --format json | jq -cS '[.nodes[].objects[] | {("\(.size / 1048576 | floor)"): .kinds}] | add'; }
kinds_are() { [ "$(kinds)" = "$1" ]; }
wait_until 10 kinds_are '{"1":{"LOCAL_REFERENCE":2,"PINNED_IN_MEMORY":1},"2":{"PINNED_IN_MEMORY":1,"USED_BY_PENDING_TASK":1},"3":{"CAPTURED_IN_OBJECT":1},"4":{"LOCAL_REFERENCE":1},"5":{"HELD_BY_OTHERS":1},"6":{"LOCAL_REFERENCE":1},"7":{"LOCAL_REFERENCE":1}}'
expect_eq "$(on h0 mobula memory --format json | jq '[.nodes[] | select(.objects | length > 0) | .node] | length')" 2 "nodes with objects"
expect grep -Eq "^1 .*3MiB +1\.[0-9]+ +sealed +owner: CAPTURED_IN_OBJECT 1" <(on h0 mobula memory)
stores_are_used() { on h0 mobula status | grep -Eq "object_store_memory +[1-9][0-9.]*MiB/128MiB"; }
wait_until 10 stores_are_used

: >"$meet/go"
wait $driver
expect_eq $? 0 "status of the driver"
wait_until 10 kinds_are null
cluster_stop
