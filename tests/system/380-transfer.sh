#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# 380-transfer.sh -- big values between nodes. A machine that goes while others have copies: a get reads one of them. A value that does not
# fit now is brought to the overflow. One value for many leaves its node about once; when it is dropped, no node keeps it.
. "$(dirname "$0")/tasks.sh"
in_lab 4 "$@"

cluster_start 1 --num-cpus 2 --object-store-memory 36000000 >/dev/null
for h in h1 h2 h3; do
    node_start $h --num-cpus 2 --object-store-memory 100000000 >/dev/null
done
wait_until 10 node_count_is 4
ips=$(for h in h1 h2 h3; do "$lab" ip $h; done)
used() { on h0 mobula status --format json | jq '[.nodes[] | select(.state == "alive") | .store_used] | add'; }
nothing_used() { [ "$(used)" = 0 ]; }

expect scene h0 fits "$("$lab" ip h1)"

meeting
# shellcheck disable=SC2086
scene h0 shares "$meet" $ips >"$meet/said" & driver=$!
appears dropped
expect_eq "$(awk '/^copies/ && $2 > 0.9 && $2 < 1.5' "$meet/said")" "$(cat "$meet/said")" "copies that left h0"
wait_until 10 nothing_used
touch "$meet/end"
ends $driver

meeting
scene h0 survives "$meet" "$("$lab" ip h1)" "$("$lab" ip h2)" & driver=$!
appears ready
"$lab" kill h1
touch "$meet/dead"
ends $driver

