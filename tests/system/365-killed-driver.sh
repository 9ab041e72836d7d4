#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# 365-killed-driver.sh -- a driver is killed by SIGKILL while two nodes hold its big values, and what its tasks have started runs on in
# sessions of its own: within seconds the stores are empty, and nothing of its job runs anywhere (bad_parent.c).
. "$(dirname "$0")/lib.sh"
. "$(dirname "$0")/bad.sh"
in_lab 2 "$@"

cluster_start 2 --num-cpus 2
up=$MOB_LAB/share/parent.up
stores() { on h0 mobula status --format json | jq -c '[.nodes[] | select(.state == "alive") | .store_used > 0]'; }
stores_are() { [ "$(stores)" = "$1" ]; }
grandchildren() { on "$1" sh -c 'for p in /proc/[0-9]*; do tr "\0" " " <"$p/cmdline" 2>/dev/null | grep -q "^sleep 86399" && echo "$p"; done'; }
no_grandchildren() { [ -z "$(grandchildren "$1")" ]; }

rm -f "$up"
on h0 sh -c 'MOBULA_ADDRESS=$1 exec bad_parent "$2"' sh "$(head_at)" "$up" &
wait_until 30 test -e "$up"
wait_until 5 stores_are '[true,true]'
expect_not no_grandchildren h0
expect on h0 sh -c 'for p in /proc/[0-9]*; do case $(readlink "$p/exe") in */bin/bad_parent) kill -9 "${p#/proc/}"; exit ;; esac; done; false'
wait_until 5 no_grandchildren h0
wait_until 5 no_grandchildren h1
wait_until 5 stores_are '[false,false]'
wait_until 5 no_workers h0
wait_until 5 no_workers h1
expect on h0 mobula health
