#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# 158-bad-manifest.sh -- a driver whose program is a manifest (bundle.c) with wrong words: the node that fetches it writes nothing outside
# of its folder, says what is wrong, and goes on.
. "$(dirname "$0")/lib.sh"
. "$(dirname "$0")/bad.sh"
in_lab 2 "$@"

cluster_start 2 --num-cpus 4
bystander_start
node=$(on h0 mobula list nodes --format json | jq -r --arg ip "$("$lab" ip h1)" '.[] | select(.ip == $ip) | .id // .node')
hash=$(printf 'x' | sha256sum | cut -d' ' -f1)

# manifest WORDS LINE...: a driver with that manifest is warned with WORDS.
manifest() {
    local words=$1 said=$MOB_LAB/share/said driver
    shift
    printf '%s\n' "mobula program 1" "$@" >"$MOB_LAB/share/manifest"
    on h0 sh -c "cp '$MOB_LAB/share/manifest' /opt/user/manifest && chmod 755 /opt/user/manifest"
    : >"$said"
    driver_on h0 bad_program /opt/user/manifest "node=$node" 1 >"$said" 2>&1 & driver=$!
    wait_until 20 grep -q "$words" "$said" || cat "$said" >&2
    # shellcheck disable=SC2046
    on h0 kill -KILL $(on h0 sh -c 'for p in /proc/[0-9]*; do case $(readlink "$p/exe") in */bad_program) echo "${p#/proc/}" ;; esac; done')
    wait $driver
}
manifest "line 3 of the program's manifest names a bad file: ../escaped" "$hash app" "$hash ../escaped"
manifest "line 3 of the program's manifest names a bad file: /opt/user/escaped" "$hash app" "$hash /opt/user/escaped"
mapfile -t many < <(seq -f "$hash f%g" 1 300)
manifest "the program's manifest names too many files" "${many[@]}"
manifest "this node does not have the program $hash" "$hash app" "$hash lib/libx.so"
expect_eq "$(on h1 sh -c 'find /tmp/mobula-* /run/user /opt/user -name "*escaped*" -o -path "*/raylet-*.d/*.d" 2>/dev/null')" "" "written"
bystander_end
expect on h1 mobula health
