#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# 415-full-node.sh -- a node's store and disk become full while another node has room: tasks that find no room there are tried elsewhere, and
# the others run elsewhere at once; `mobula status` and `mobula explain` say why. Who may run nowhere else is told what fills the store. With
# room again it gets work again.
. "$(dirname "$0")/lib.sh"
in_lab 2 "$@"

store=$MOB_BUILD/tests/mobula-store
mib=$((1 << 20))
driver() { on h0 env MOBULA_ADDRESS="$("$lab" ip h0):$port" timeout 100 "$store" "$@"; }
has_moved() { on h0 mobula list tasks --format json --limit 200 | jq -e 'any(.node == 2 and .attempt > 0)' >/dev/null; }
is_full() { on h0 mobula status --format json | jq -e ".nodes[] | select(.node == 1) | .store_full == $1" >/dev/null; }

on h0 sh -c 'mkdir -p /mnt/spilled && mount -t tmpfs -o size=32m small /mnt/spilled'
cluster_start 1 --num-cpus 2 --object-store-memory $((64 * mib)) --object-spilling-directory /mnt/spilled
node_start h1 --num-cpus 2 --object-store-memory $((512 * mib))
wait_until 10 node_count_is 2

meet=$(mktemp -d "$MOB_LAB/share/meet.XXXXXX") && chmod 777 "$meet"
driver elsewhere "$meet" 9 30 $((8 * mib)) >"$meet/said" 2>&1 & maker=$!
wait_until 90 test -e "$meet/full"
expect is_full true
expect grep -q "^Store of node 1: full" <(on h0 mobula status)
expect grep -q "object store is full" <(on h0 mobula explain 1)
wait_until 20 has_moved
: >"$meet/go"
wait $maker
expect_eq $? 0 "status of the driver: $(cat "$meet/said")"
expect grep -q "^refused no room for o-.* of the store of node 1.*No space left on device" "$meet/said"
wait_until 20 is_full false
expect [ -n "$(driver works 4 $((8 * mib)))" ]

# The same from Python: the exception is not the task's.
if [ -e "$MOB_BUILD/python/mobula/_core.abi3.so" ]; then
    said=$(on h0 env PYTHONPATH="$MOB_BUILD/python" MOBULA_ADDRESS="$("$lab" ip h0):$port" timeout 100 /usr/bin/python3 \
        "$tests/python/drivers/full.py" 9 30 $((8 * mib)) 2>&1)
    expect_eq "$said" "30 blocks, some at a second attempt" "what the Python driver says"
fi
cluster_stop
on h0 umount /mnt/spilled
