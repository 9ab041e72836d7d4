#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# 400-spill.sh -- a data set of five times the store goes through tasks: the result is the same as with room for all of it, on one node and
# on two. The store and the disk are empty afterwards, and no spill file is left, whatever ends the node. Sizes that cannot be are
# refused by name; a task that writes through its view dies alone, and is named.
. "$(dirname "$0")/lib.sh"
in_lab 2 "$@"

store=$MOB_BUILD/tests/mobula-store
mib=$((1 << 20))
driver() { on h0 env MOBULA_ADDRESS="$("$lab" ip h0):$port" timeout 100 "$store" "$@"; }
of_store() { on h0 mobula status --format json | jq "[.nodes[].$1] | add"; }
store_is_empty() { [ "$(of_store store_used)" = 0 ]; }
spill_files() { on "$1" sh -c 'ls -l /proc/[0-9]*/fd 2>/dev/null | sed -n "s|.*/tmp/spilled/\(.*deleted\).*|\1|p" | sort -u | wc -l'; }

on h0 mkdir /tmp/spilled
on h1 mkdir /tmp/spilled

cluster_start 1 --num-cpus 2 --object-store-memory $((512 * mib))
wanted=$(driver works 40 $((8 * mib)))
cluster_stop

cluster_start 1 --num-cpus 2 --object-store-memory $((64 * mib)) --object-spilling-directory /tmp/spilled
expect_eq "$(driver works 40 $((8 * mib)))" "$wanted" "the sum with a store of a fifth"
wait_until 10 store_is_empty
expect_eq "$(spill_files h0)" 1 "files when all objects are gone: the overflow, which is empty"
expect driver writes
expect driver neighbours $((40 * mib))
wait_until 10 store_is_empty
expect_eq "$(driver works 40 $((8 * mib)))" "$wanted" "the same again"

# The raylet is killed with objects on the disk: the disk is as it was.
meet=$(mktemp -d "$MOB_LAB/share/meet.XXXXXX") && chmod 777 "$meet"
driver fills "$meet" 20 $((8 * mib)) >"$meet/said" 2>&1 & filler=$!
wait_until 30 test -e "$meet/full"
[ "$(spill_files h0)" -gt 1 ] || fail "nothing was spilled"
on h0 sh -c 'for f in /proc/[0-9]*; do [ "$(basename "$(readlink $f/exe)")" != mobula-raylet ] || kill -9 ${f#/proc/}; done' 2>/dev/null
: >"$meet/go"
wait $filler
expect_eq "$(spill_files h0)" 0 "spill files of a killed raylet"
expect_eq "$(on h0 ls -A /tmp/spilled)" "" "what is in the folder"
cluster_stop

cluster_start 1 --num-cpus 2 --object-store-memory $((64 * mib)) --object-spilling-directory /tmp/spilled
node_start h1 --num-cpus 2 --resources='{"there": 1}' --object-store-memory $((64 * mib)) --object-spilling-directory /tmp/spilled
wait_until 10 node_count_is 2
expect_eq "$(driver works 40 $((8 * mib)))" "$wanted" "the sum on two nodes"
expect driver sizes $((64 * mib))
wait_until 10 store_is_empty
