#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# 410-full-disk.sh -- the disk for spilled objects becomes full: who makes objects is told what fills the store and why nothing is spilled,
# all that was made is kept, `mobula status` says it, and with room on the disk it goes on. A spill file that is altered and cut off by
# somebody costs the objects there, by name, and no other. `mobula memory` shows objects, owners and states meanwhile.
. "$(dirname "$0")/lib.sh"
. "$(dirname "$0")/bad.sh"
in_lab 1 "$@"

store=$MOB_BUILD/tests/mobula-store
mib=$((1 << 20))
driver() { on h0 env MOBULA_ADDRESS="$("$lab" ip h0):$port" timeout 100 "$store" "$@"; }
meeting() { meet=$(mktemp -d "$MOB_LAB/share/meet.XXXXXX") && chmod 777 "$meet"; }
status_says() { on h0 mobula status | grep -q "$1"; }
# Descriptors of spill files: /proc/PID/fd/N. The overflow, which is sparse and four times the store, is none.
spill_files() {
    on h0 sh -c 'ls -l /proc/[0-9]*/fd/* 2>/dev/null | sed -n "s|.* \(/proc/[0-9]*/fd/[0-9]*\) -> /mnt/spilled/.*deleted.*|\1|p" |
        while read -r file; do [ "$(stat -Lc %s "$file")" = $((4 * 64 << 20)) ] || echo "$file"; done'
}

on h0 sh -c 'mkdir -p /mnt/spilled && mount -t tmpfs -o size=48m small /mnt/spilled'
says "No such file" on h0 mobula start --head --port "$port" --object-spilling-directory /nowhere/at/all
says "Not a directory" on h0 mobula start --head --port "$port" --object-spilling-directory /bin/sh
cluster_start 1 --num-cpus 2 --object-store-memory $((64 * mib)) --object-spilling-directory /mnt/spilled

# 64 MiB of memory and 48 of disk for 160.
meeting
driver fills "$meet" 20 $((8 * mib)) >"$meet/said" 2>&1 & filler=$!
wait_until 60 test -e "$meet/full"
expect grep -q "refused .*no room for o-.*sealed objects.*spilling objects stopped.*No space left on device" "$meet/said"
expect status_says "spilling objects stopped.*No space left on device"
rows=$(on h0 mobula memory --format json)
expect_eq "$(jq '[.nodes[0].objects[] | select(.state == "spilled")] | length > 0' <<<"$rows")" true "spilled objects among $rows"
expect_eq "$(jq '[.nodes[0].objects[] | select(.reference == "owner" and .size >= 8388608)] | length > 7' <<<"$rows")" true "objects kept by their owner"
expect grep -q "8MiB .*spilled.* owner: LOCAL_REFERENCE 1" <(on h0 mobula memory)
: >"$meet/go"
wait $filler
expect_eq $? 0 "status of the one that filled it"
kept=$(sed -n 's/^kept \([0-9]*\) lost 0$/\1/p' "$meet/said")
[ "${kept:-0}" -ge 10 ] || fail "kept: $(cat "$meet/said")"

# With a larger disk all of it goes.
on h0 mount -o remount,size=512m /mnt/spilled
wait_until 30 driver works 20 $((8 * mib))

# Harm: the front of a file is altered, its end is cut off.
meeting
driver fills "$meet" 20 $((8 * mib)) >"$meet/said" 2>&1 & filler=$!
wait_until 60 test -e "$meet/full"
for file in $(spill_files); do
    on h0 sh -c 'printf harmed | dd of='"$file"' bs=1 seek=5000 conv=notrunc 2>/dev/null; truncate -s -4M '"$file"
done
: >"$meet/go"
wait $filler
expect_eq $? 0 "status of the one whose objects were harmed"
expect grep -q "^lost 0 .*o-.* was spilled to file .* in /mnt/spilled, which has been altered at byte 0" "$meet/said"
expect grep -q "^lost .* in /mnt/spilled, which has been cut off before byte" "$meet/said"
lost=$(sed -n 's/^kept [0-9]* lost \([0-9]*\)$/\1/p' "$meet/said")
[ "${lost:-0}" -ge 2 ] && [ "$lost" -le 4 ] || fail "lost: $(cat "$meet/said")"
cluster_stop
on h0 umount /mnt/spilled
