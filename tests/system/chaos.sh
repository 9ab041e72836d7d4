#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# chaos.sh [--seed N] [--seconds N | --minutes N] [--only FAULT] -- five hosts compute trees of tasks (chaos.c) while a monkey kills, freezes,
# cuts off and spoils, by the random numbers of its seed, all but the driver and its raylet: workers, raylets, guards, machines, cables,
# the head. All values must be right, then the nodes be whole, and after that empty. ctest runs it short as 600-chaos.
#
# Each fault is printed with its time as NAME HOST MS OTHER: how long it lasts, or which worker it is, and for `deaf` whom HOST does not hear.
# The same seed has the same faults at the same times. A fault has its host to itself: another that is drawn for it meanwhile is left out.
# When the run has failed, the logs of all daemons are in build/chaos.
. "$(dirname "${BASH_SOURCE[0]}")/lib.sh"
seed=1 seconds=20 only=
words=("$@")
while [ $# -gt 0 ]; do
    case $1 in
    --seed) seed=$2 ;;
    --seconds) seconds=$2 ;;
    --minutes) seconds=$(($2 * 60)) ;;
    --only) only=$2 ;;
    *) echo "usage: chaos.sh [--seed N] [--seconds N | --minutes N] [--only FAULT]" >&2; exit 2 ;;
    esac
    shift 2
done
chaos=$MOB_BUILD/tests/mobula-chaos
if [ ! -x "$chaos" ]; then skip "no $chaos"; fi
in_lab 5 ${words[@]+"${words[@]}"}
patience=120                            # seconds for one tree, and for what comes after the faults
meet=$(mktemp -d "$MOB_LAB/share/meet.XXXXXX") && chmod 777 "$meet"

# draw N: `drawn` is a number below it. Not in a subshell: there it would be the same again and again.
draw() { drawn=$((RANDOM % $1)); }
at() { awk -v from="$began" '{ printf "%.1f", $1 - from }' /proc/uptime; }
tell() { echo "$(at) s: $*"; }
as_seconds() { printf '%d.%03d' $(($1 / 1000)) $(($1 % 1000)); }

# -- who there is ------------------------------------------------------------------------------------------------------------------

# Processes of HOST by the name of their program, as the host counts; a program that was fetched is named by its hash.
named() { on "$1" sh -c 'for f in /proc/[0-9]*; do case $(readlink "$f/exe" 2>/dev/null) in '"$2"') echo "${f#/proc/}" ;; esac; done' 2>/dev/null | sort -n; }
hash=$(sha256sum <"$chaos" | cut -d' ' -f1)
workers() { named "$1" "*/$hash*"; }
# Guard and raylet are one program; the raylet is the guard's child.
guard() { named "$1" '*/mobula-raylet' | head -n 1; }
raylet() { named "$1" '*/mobula-raylet' | tail -n 1; }
strike() {
    local host=$1 signal=$2
    shift 2
    [ $# = 0 ] || on "$host" kill "-$signal" "$@" 2>/dev/null
}

# joins HOST: as an administrator starts a node again, who tries until there is a head.
joins() {
    local end=$((SECONDS + patience))
    printf '%s\n' "$token" | on "$1" sh -c 'umask 077; mkdir -p "$HOME/.mobula"; cat >"$HOME/.mobula/token"'
    until on "$1" mobula start --address="$("$lab" ip h0):$port" --node-ip-address "$("$lab" ip "$1")" "${node_words[@]}" >"$meet/start.$1" 2>&1; do
        [ "$SECONDS" -lt "$end" ] || { echo "$1 did not join: $(cat "$meet/start.$1")" >>"$meet/failed"; return; }
        sleep 0.2
    done
}

head_starts() {
    on h0 mobula start --head --port "$port" --node-ip-address "$("$lab" ip h0)" "${node_words[@]}" >"$meet/start.head" 2>&1 ||
        echo "the head did not start: $(cat "$meet/start.head")" >>"$meet/failed"
}

# -- faults: HOST MS OTHER -----------------------------------------------------------------------------------------------------------

lasts() { sleep "$(as_seconds "$1")"; }

worker_killed() { strike "$1" KILL "$(workers "$1" | awk -v n="$2" '{ pid[NR] = $1 } END { if (NR) print pid[n % NR + 1] }')"; }
worker_frozen() {
    local pid
    pid=$(workers "$1" | awk -v n="$2" '{ pid[NR] = $1 } END { if (NR) print pid[n % NR + 1] }')
    [ -n "$pid" ] || return
    strike "$1" STOP "$pid"
    lasts "$2"
    strike "$1" CONT "$pid"
}
workers_killed() {
    # shellcheck disable=SC2046
    strike "$1" KILL $(workers "$1")
}
raylet_killed() { strike "$1" KILL "$(raylet "$1")"; lasts "$2"; joins "$1"; }
guard_killed() { strike "$1" KILL "$(guard "$1")"; lasts "$2"; joins "$1"; }
raylet_frozen() {
    local pid
    pid=$(raylet "$1")
    strike "$1" STOP "$pid"
    lasts "$2"
    strike "$1" CONT "$pid"
}
# Until it is known that it has left, whatever became of the head meanwhile; or it has died, and stands there again as a new node.
drained() {
    local end=$((SECONDS + patience))
    until on h0 mobula drain "$("$lab" ip "$1")" --deadline "$2ms" >"$meet/drain.$1" 2>&1 || grep -q "has left already" "$meet/drain.$1"; do
        [ "$SECONDS" -lt "$end" ] || { echo "$1 was not drained: $(cat "$meet/drain.$1")" >>"$meet/failed"; return; }
        sleep 0.2
    done
    until [ -z "$(raylet "$1")" ]; do
        [ "$SECONDS" -lt "$end" ] || { echo "the raylet of $1 has left, and does not end" >>"$meet/failed"; return; }
        sleep 0.1
    done
    joins "$1"
}
machine_killed() { "$lab" kill "$1"; lasts "$2"; "$lab" start "$1"; joins "$1"; }
machine_frozen() { "$lab" pause "$1"; lasts "$2"; "$lab" resume "$1"; }
cut() { "$lab" cut "$1"; lasts "$2"; "$lab" mend "$1"; }
deaf() { "$lab" deafen "$1" "$3"; lasts $(($2 * 2)); "$lab" hear "$1" "$3"; }
lossy() { "$lab" spoil "$1" 5 100 "$seed"; lasts $(($2 * 2)); "$lab" spoil "$1" 0 0; }
thin() { "$lab" slow "$1" 5mbit; lasts "$2"; "$lab" slow "$1" 0; }
head_killed() { strike h0 KILL "$(named h0 '*/mobula-head')"; lasts $(($2 / 2)); head_starts; }
head_frozen() {
    local pid
    pid=$(named h0 '*/mobula-head')
    strike h0 STOP "$pid"
    lasts "$2"
    strike h0 CONT "$pid"
}

# Often what is cheap to stand, seldom what takes all down for seconds.
faults=(worker_killed worker_killed worker_killed worker_killed worker_frozen workers_killed raylet_killed raylet_killed guard_killed raylet_frozen
    machine_killed machine_killed machine_frozen cut cut deaf deaf lossy thin drained drained head_killed head_killed head_frozen)

# fault NAME HOST MS OTHER: in the background, alone with its host.
fault() {
    local place=$2
    [ "${1#head_}" = "$1" ] || place=head
    mkdir "$meet/busy.$place" 2>/dev/null || return
    tell "$1 $place $3 $4"
    {
        "$1" "${@:2}" >>"$meet/noise" 2>&1
        rmdir "$meet/busy.$place"
    } &
}

monkey() {
    local name host ms other pause
    RANDOM=$seed
    while kill -0 "$driver" 2>/dev/null && [ "$(awk -v from="$began" '{ print int($1 - from) }' /proc/uptime)" -lt "$seconds" ]; do
        draw ${#faults[@]}; name=${faults[$drawn]}
        draw 4; host=h$((1 + drawn))
        draw 6000; ms=$((200 + drawn))
        draw 5; other=h$drawn
        draw 1500; pause=$drawn
        [ -z "$only" ] || name=$only
        case $name in worker*) draw 5; host=h$drawn ;; esac     # of the driver's node as well
        [ "$other" != "$host" ] || other=h0
        fault "$name" "$host" "$ms" "$other"
        sleep "$(as_seconds $((100 + pause)))"
    done
}

# -- the run -----------------------------------------------------------------------------------------------------------------------

keep_logs() {
    local i
    for ((i = 0; i < hosts; i++)); do
        rm -rf "$MOB_BUILD/chaos/h$i"
        mkdir -p "$MOB_BUILD/chaos/h$i"
        on "h$i" sh -c 'cp -r /tmp/mobula-*/*/logs/mobula-* "$0"' "$MOB_BUILD/chaos/h$i" 2>/dev/null
        on h0 mobula status >"$MOB_BUILD/chaos/status" 2>&1
    done
}

free_again() { on h0 mobula status --format json | jq -e '.total.CPU == .available.CPU and .jobs == 0 and ([.nodes[] | select(.state == "alive") | .store_used] | add) == 0'; }
no_workers() {
    local i
    for ((i = 0; i < hosts; i++)); do
        [ -z "$(workers "h$i")" ] || return 1
    done
}

node_words=(--num-cpus 2 --object-store-memory $((64 << 20)))
[ -n "${MOB_SANITIZED:-}" ] || node_words+=(--memory-limit 180MiB)      # a sanitizer takes memory of its own in each worker
cluster_start 1 "${node_words[@]}" >/dev/null
for ((i = 1; i < hosts; i++)); do
    node_start "h$i" "${node_words[@]}" >/dev/null
done
wait_until 10 node_count_is "$hosts"
on h0 env MOBULA_ADDRESS="$("$lab" ip h0):$port" "$chaos" "$meet" "$seed" "$patience" & driver=$!
read -r began _ </proc/uptime
echo "seed $seed, $seconds s"
monkey
while compgen -G "$meet/busy.*" >/dev/null; do sleep 0.1; done
tell "no more faults"
: >"$meet/stop"
wait "$driver"
expect_eq $? 0 "status of the driver"
tell "the driver has ended"
expect_not cat "$meet/failed" 2>/dev/null
wait_until 30 node_count_is "$hosts"
wait_until 20 free_again
wait_until 5 no_workers
[ "$failures" = 0 ] || keep_logs
