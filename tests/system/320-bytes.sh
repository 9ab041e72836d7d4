#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# 320-bytes.sh -- noise, halves of messages, huge lengths and silence on every socket that listens, while the driver next door runs tasks.
# Each such connection is ended, or waits without harm; who speaks another version or has another token is told so.
. "$(dirname "$0")/lib.sh"
. "$(dirname "$0")/bad.sh"
in_lab 1 "$@"

cluster_start 1 --num-cpus 2
bystander_start

ports=$(on h0 ss -Hltn | awk '{ print $4 }' | sed 's/\[::ffff:\(.*\)\]/\1/')      # gRPC's are IPv4 mapped into IPv6
socket=$(on h0 find /run /tmp -path '*mobula*' -type s)
expect_eq "$(wc -l <<<"$ports")" 3 "listening ports: the head's, the raylet's, that for objects"
expect_eq "$(wc -l <<<"$socket")" 1 "listening Unix sockets"
expect_eq "$(on h0 stat -c %a "$(dirname "$socket")")" 700 "mode of the socket's folder"

export BAD_TOKEN=$token
for at in $ports $socket; do
    for form in noise http half-grpc huge-grpc half-frame huge-frame senseless-frame half-bulk huge-bulk; do
        expect on h0 bad_bytes "$at" "$form" leave
    done
done

# Where the form is the port's own: the connection is ended by the other side.
for form in noise huge-frame senseless-frame; do
    expect on h0 bad_bytes "$socket" "$form" >/dev/null
done
expect grep -q "speaks protocol 2 of Mobula" <(on h0 bad_bytes "$socket" version-frame)
for at in $ports; do
    expect on h0 bad_bytes "$at" noise >/dev/null
done
objects=$("$lab" ip h0):$(on h0 mobula list nodes --format json | jq '.[0].bulk_port')
said=$(on h0 bad_bytes "$objects" version-bulk)
[[ $said == *"of bulk transfer, this node speaks"* ]] || fail "another version of bulk: $said"
expect grep -q "of an object of" <(on h0 bad_bytes "$objects" huge-bulk)
expect grep -q "the token is not this cluster's" <(BAD_TOKEN=other on h0 bad_bytes "$objects" huge-bulk)

# gRPC: another version, another token, at the head and at the raylet.
told=0
for at in ${ports/$objects/}; do
    said=$(on h0 bad_link "${at%:*}" "${at##*:}" "$token" 2)
    [[ $said != *"the caller speaks protocol 2, this daemon speaks 1: install the same version"* ]] || told=$((told + 1))
    said=$(on h0 bad_link "${at%:*}" "${at##*:}" "${token//[0-9]/a}" 1)
    [[ $said != *"the token is not this cluster's: copy"* ]] || told=$((told + 1))
done
expect_eq "$told" 4 "reasons from the head and the raylet"

# Silence: they may wait, and everything else goes on, an end included.
n=0
for at in $ports $socket; do
    n=$((n + 1))
    on h0 bad_bytes "$at" silent "$MOB_LAB/share/loud" &
    wait_until 5 test -e "$MOB_LAB/share/loud.up"
    rm "$MOB_LAB/share/loud.up"
done
said=$(driver_on h0 bad_words 2>&1)
expect_eq $? 0 "a driver among silent peers: $said"
bystander_end
expect on h0 mobula health
expect_eq "$(node_count)" 1 "nodes after all this"
expect on h0 mobula stop
: >"$MOB_LAB/share/loud"
wait
