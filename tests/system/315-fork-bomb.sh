#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# 315-fork-bomb.sh -- a task is a fork bomb, on a node that a group bounds to a hundred processes: cancelled by force it is gone with all
# that it forked, the node serves again, and the driver next door on another node sees no error.
. "$(dirname "$0")/lib.sh"
. "$(dirname "$0")/bad.sh"

# group MAX: a cgroup that bounds processes and threads, of version 1 or 2; `group` is its folder.
make_group() {
    local base
    for base in /sys/fs/cgroup/pids /sys/fs/cgroup; do
        group=$base/mobula-bomb-$$
        mkdir "$group" 2>/dev/null || continue
        echo "$1" 2>/dev/null >"$group/pids.max" && return
        rmdir "$group"
    done
    skip "no group may bound the number of processes here"
}
if [ -z "${MOB_LAB:-}" ]; then
    make_group 100
    export group
    trap 'rmdir "$group"' EXIT
    [ "$("$lab" probe)" != none ] || skip "no namespaces on this machine"
    "$lab" run 2 -- bash "$(readlink -f "$0")"
    exit
fi
in_lab 2

cluster_start 1 --num-cpus 2
bystander_start
printf '%s\n' "$token" | on h1 sh -c 'umask 077; mkdir -p "$HOME/.mobula"; cat >"$HOME/.mobula/token"'
# gRPC forgets 40 bytes for a thread of its timers that it cannot start: a raylet in this group shows no leaks.
on h1 env ${MOB_SANITIZED:+ASAN_OPTIONS="$ASAN_OPTIONS:detect_leaks=0"} sh -c 'echo 0 >"$0/cgroup.procs" && exec "$@"' "$group" \
    mobula start --address="$(head_at)" --node-ip-address "$("$lab" ip h1)" --num-cpus 2 || fail "h1 did not start"
wait_until 10 node_count_is 2
meet=$(mktemp -d "$MOB_LAB/share/meet.XXXXXX") && chmod 777 "$meet"
expect driver_on h0 timeout 100 bad_bomb "$meet"
expect test -e "$meet/full"
expect_eq "$(node_count)" 2 "nodes after the bomb"
bystander_end                           # some of its tasks may have run there
wait_until 10 no_workers h1
