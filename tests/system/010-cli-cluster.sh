#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# 010-cli-cluster.sh -- a head and two joiners by the lines that `mobula start` prints; every verb answers; stop ends what is here only.
. "$(dirname "$0")/lib.sh"
in_lab 3 "$@"

started=$(on h0 mobula start --head --port "$port")
expect_eq $? 0 "start --head"
join=$(sed -n 's/^ *\(mobula start --address=.*\)$/\1/p' <<<"$started")
expect_eq "$join" "mobula start --address=$("$lab" ip h0):$port" "the line to join with"
expect on h0 mobula health
expect on h0 mobula wait --nodes 1 --timeout 5

# The others have the token, and their address is that of the route to the head.
token_file=$(sed -n 's/.*(copy \([^ ]*\) .*/\1/p' <<<"$started")
expect_eq "$(on h0 stat -c %a "$token_file")" 600 "mode of the token file"
token=$(on h0 cat "$token_file")
for host in h1 h2; do
    echo "$token" | on "$host" sh -c 'umask 077; mkdir -p "$HOME/.mobula"; cat >"$HOME/.mobula/token"'
    # shellcheck disable=SC2086
    expect on "$host" $join --num-cpus=3 --resources='{"licence": 2}' --labels=disk=ssd >/dev/null
done
expect on h0 mobula wait --nodes 3 --timeout 5

rows=$(on h1 mobula list nodes --format json)           # h1 finds the head by its own raylet's record
expect_eq "$(jq -r '[.[].ip] | sort | join(" ")' <<<"$rows")" "$("$lab" ip h0) $("$lab" ip h1) $("$lab" ip h2)" "addresses of the nodes"
expect_eq "$(jq '[.[] | select(.total.licence == 2 and .total.CPU == 3 and .labels.disk == "ssd")] | length' <<<"$rows")" 2 "joiners"
expect grep -q "licence  *0/4" <(on h2 mobula status)
expect_eq "$(on h2 mobula status --format json | jq '.nodes | length')" 3
expect_eq "$(on h0 mobula list tasks --format json)" "[]" "tasks of a new cluster"
expect_eq "$(on h0 mobula list nodes | wc -l)" 4 "lines of a table"
expect on h0 mobula timeline -o /tmp/timeline
expect_eq "$(on h0 jq type /tmp/timeline)" '"array"' "a Chrome trace"
expect grep -q "serves cluster" <(on h0 mobula logs 'mobula-head.log')
expect grep -q "serves as node" <(on h1 mobula logs 'mobula-raylet*')

# From a machine with no node of its own, by address.
expect on h1 mobula stop
expect nothing_left h1
expect on h1 mobula health --address="$("$lab" ip h0):$port"
expect_eq "$(on h1 env MOBULA_ADDRESS="$("$lab" ip h0):$port" mobula list nodes --format json | jq '[.[] | select(.state == "alive")] | length')" 2
expect on h1 mobula stop                                # again: nothing to do is no error

# A node lends the CPUs that it may use itself.
cpu=$(taskset -c -p $$ | grep -o '[0-9]*$')
expect on h1 taskset -c "$cpu" mobula start --address="$("$lab" ip h0):$port" --node-ip-address "$("$lab" ip h1)" >/dev/null
wait_until 10 node_count_is 3
expect_eq "$(on h0 mobula list nodes --format json | jq --arg ip "$("$lab" ip h1)" '.[] | select(.ip == $ip and .state == "alive") | .total.CPU')" 1 \
    "CPUs of a node that may use one"
expect on h0 mobula health
