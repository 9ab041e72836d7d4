#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# 360-ipv6.sh -- a cluster whose addresses are IPv6: start by the printed line, tasks and large values between nodes, refusals, stop.
. "$(dirname "$0")/lib.sh"
. "$(dirname "$0")/bad.sh"
in_lab 2 "$@"
for n in 0 1; do
    on "h$n" ip -6 addr add "fd00:77::1$n/64" dev eth0 nodad 2>/dev/null || skip "no IPv6 in this kernel"
done

started=$(on h0 mobula start --head --port "$port" --node-ip-address fd00:77::10 --num-cpus 1)
expect_eq $? 0 "start --head"
[[ $started == *"mobula start --address=[fd00:77::10]:$port"* ]] || fail "the line to join with: $started"
token=$(on h0 sh -c 'cat "$HOME/.mobula/token"')
echo "$token" | on h1 sh -c 'umask 077; mkdir -p "$HOME/.mobula"; cat >"$HOME/.mobula/token"'
says "no address of this machine" on h1 mobula start --address="[fd00:77::10]:$port" --node-ip-address fd00:77::99
says "Connection refused" on h1 mobula start --address="[fd00:77::10]:9"
expect on h1 mobula start --address="[fd00:77::10]:$port" --num-cpus 3
wait_until 10 node_count_is 2
expect_eq "$(on h1 mobula status --format json | jq -r '[.nodes[].ip] | sort | join(" ")')" "fd00:77::10 fd00:77::11" "addresses of the nodes"
for host in h0 h1; do
    rm -f "$MOB_LAB/share/forwards.end"
    expect on "$host" env MOBULA_ADDRESS="[fd00:77::10]:$port" bad_words
    expect on "$host" env MOBULA_ADDRESS="[fd00:77::10]:$port" bad_tasks "$MOB_LAB/share"
done
expect on h1 mobula stop

leftovers_of() { on "$1" find /dev/shm /tmp/mobula-0 -mindepth 1 -name '*@fd00*'; }
expect on h0 mobula stop
wait_until 5 eval '[ -z "$(leftovers_of h0)$(leftovers_of h1)" ]'
expect on h0 mobula start --head --port "$port" --node-ip-address ::1
expect on h0 env MOBULA_ADDRESS="[::1]:$port" bad_words
