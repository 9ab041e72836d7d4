#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# 322-lies.sh -- a node with the cluster's token that lies, to the head and to a raylet (bad_peer.c): it says what it cannot know, what others
# have to say, and everything three times. Such a link is ended, or the lie is passed over; the driver next door sees no error.
. "$(dirname "$0")/lib.sh"
. "$(dirname "$0")/bad.sh"
in_lab 3 "$@"

cluster_start 2 --num-cpus 2
bystander_start
raylet=$(on h0 mobula list nodes --format json | jq -r '.[] | select(.node == 1) | .port')
ip=$("$lab" ip h0)
said=$(on h2 timeout 60 bad_peer "$ip" "$port" "$token" "$ip" "$raylet" 2>&1)
expect_eq $? 0 "status of the liar"
echo "$said"
expect_eq "$(grep -cE '^[a-z ,]+: (answered|ended)' <<<"$said")" 24 "lies told"
expect_not grep -q "refused\|silent" <<<"$said"
for lie in seen "demand of another" "job of another over" "node down, to the head" "number of another" "placed" "node down" "for another" "hello as another"; do
    expect grep -q "^$lie: ended" <<<"$said"
done
serving_are() { [ "$(on h0 mobula status --format json | jq -c '[.nodes[] | select(.state == "alive") | .node]')" = "$1" ]; }
wait_until 10 serving_are '[1,2]'
expect_eq "$(on h0 mobula status --format json | jq .jobs)" 1 "jobs"
bystander_end
expect on h0 mobula health
