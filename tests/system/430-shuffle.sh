#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# 430-shuffle.sh -- records of three times the size of all stores are sorted on four hosts: pieces are spilled, restored and pulled all at
# once, while tasks make room for parts that take a good share of a store. Order and checksum are those of what was generated.
. "$(dirname "$0")/lib.sh"
in_lab 4 "$@"

store_mib=${SHUFFLE_STORE_MIB:-48}
cpus=${SHUFFLE_CPUS:-1}
size=$((store_mib * 4 * 3))

cluster_start 1 --num-cpus "$cpus" --object-store-memory $((store_mib << 20)) >/dev/null
for h in h1 h2 h3; do
    node_start $h --num-cpus "$cpus" --object-store-memory $((store_mib << 20)) >/dev/null
done
wait_until 10 node_count_is 4
of_stores() { on h0 mobula status --format json | jq "[.nodes[].$1] | add"; }
stores_are_empty() { [ "$(of_stores store_used) $(of_stores store_overflow) $(of_stores store_spilled)" = "0 0 0" ]; }

said=$(on h0 env MOBULA_ADDRESS="$("$lab" ip h0):$port" timeout 100 "$MOB_BUILD/examples/shuffle" --size=$size 2>&1)
expect_eq $? 0 "status of shuffle"
grep -qE "^shuffle: $size MiB, .* checksum ([0-9a-f]{16}) of [0-9]+ generated, \1 of [0-9]+ sorted$" <<<"$said" || fail "it said: $said"
wait_until 10 stores_are_empty
sed -n 's/^  \(generated.*\)/\1/p' <<<"$said"
