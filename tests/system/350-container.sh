#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# 350-container.sh -- a container without pidfds and without PID namespaces (bad_box.c): clusters of every kind run there; nothing is left after
# SIGKILL to the raylet or to its guard, workers end with both of them, and a driver's own daemons with the driver.
. "$(dirname "$0")/lib.sh"
. "$(dirname "$0")/bad.sh"
in_lab 3 "$@"
on() { "$lab" on "$1" bad_box "${@:2}"; }
expect on h1 true || exit 1
says "unshare failed" on h1 unshare --pid --fork true

share=$MOB_LAB/share

# The guard (its parent has ended) and the raylet (the guard's child) on h1, of the cluster on h0.
raylets() { on h1 sh -c 'for p in /proc/[0-9]*; do case "$(readlink "$p/exe") $(tr "\0" " " <"$p/cmdline")" in */mobula-raylet\ *"--head $0"*) echo "${p#/proc/} $(sed -n "s/^PPid:[^0-9]*//p" "$p/status")" ;; esac; done' "$(head_at)"; }
guard() { raylets | awk '{ parent[$1] = $2 } END { for (p in parent) if (!(parent[p] in parent)) print p }'; }
raylet() { raylets | awk '{ parent[$1] = $2 } END { for (p in parent) if (parent[p] in parent) print p }'; }
# kills raylet | guard | both: of both, neither has time to notice that the other is dead.
kills() {
    local guard raylet
    guard=$(guard) raylet=$(raylet)
    case $1 in
    raylet) on h1 kill -9 "$raylet" ;;
    guard) on h1 kill -9 "$guard" ;;
    both) on h1 kill -STOP "$guard" && on h1 kill -9 "$raylet" && on h1 kill -9 "$guard" ;;
    esac
}
no_raylets() { [ -z "$(raylets)" ]; }
session_left() { on h1 find /tmp/mobula-0 -maxdepth 1 -name "*@$("$lab" ip h1)@*" -exec find {} -not -path '*/logs*' -mindepth 1 \;; }

# starts NAME HOST COMMAND...: a bystander, on its way; $! is its pid here.
starts() {
    rm -f "$share/$1" "$share/$1.up"
    "${@:2}" 2>"$share/$1.said" &
    wait_until 30 test -e "$share/$1.up" || cat "$share/$1.said" >&2
}
workers_of() { on "$1" sh -c 'for p in /proc/[0-9]*; do tr "\0" "\n" <"$p/environ" 2>/dev/null | grep -q "^MOBULA_WORKER=" && tr "\0" " " <"$p/cmdline" && echo; done'; }

cluster_start 2 --num-cpus 0
starts next on h1 bad_bystander "$share/next"                       # with a cluster of its own
next=$!

for victim in raylet guard both; do
    expect_eq "$(raylets | wc -l)" 2 "processes of the raylet"
    expect_eq "$(on h1 awk '/^NSpid:/ { print NF - 1 }' "/proc/$(raylet)/status")" 1 "PID namespaces of the raylet, as its host counts"
    before=$(workers_of h1 | wc -l)
    starts end on h1 env MOBULA_ADDRESS="$(head_at)" bad_bystander "$share/end"
    driver=$!
    expect [ "$(workers_of h1 | wc -l)" -gt "$before" ]
    expect kills "$victim"
    wait_until 5 no_raylets
    wait "$driver"
    expect_eq $? 1 "the driver whose raylet is gone"
    expect grep -q "the raylet" "$share/end.said"
    wait_until 5 eval '[ "$(workers_of h1 | wc -l)" -le "$before" ]'
    [ "$victim" != raylet ] || wait_until 5 eval '[ -z "$(session_left)" ]'         # its guard clears away; logs stay, for people
    wait_until 5 node_count_is 1
    node_start h1
    wait_until 5 node_count_is 2
done
expect on h1 env MOBULA_ADDRESS="$(head_at)" bad_words
expect on h1 env MOBULA_ADDRESS="$(head_at)" bad_tasks "$share"
expect on h1 bad_words          # and a private cluster

# dies HOST COMMAND...: the driver there, which leaves a child, is killed; COMMAND must come true while the child lives.
dies() {
    local child driver

    child=$(cat "$share/end.child")
    driver=$(on "$1" sed -n 's/^PPid:[^0-9]*//p' "/proc/$child/status")
    expect on "$1" kill -9 "$driver"
    wait_until 5 "${@:2}"
    expect on "$1" kill -9 "$child"
}
daemons() { leftovers h1 | grep '^process'; }
no_daemons() { [ -z "$(daemons)" ]; }
no_workers() { [ -z "$(workers_of "$1")" ]; }

: >"$share/next"
wait "$next"
expect_eq $? 0 "the driver next door"
expect on h1 mobula stop
wait_until 5 no_daemons

# Daemons of a driver's own: a private cluster, and a raylet that lends nothing, on a machine that had none.
starts end on h1 bad_bystander "$share/end" forks
expect_eq "$(daemons | wc -l)" 3 "head, guard and raylet"
dies h1 no_daemons
node_start h2
starts end on h1 env MOBULA_ADDRESS="$(head_at)" bad_bystander "$share/end" forks
expect_eq "$(raylets | wc -l)" 2 "guard and raylet"
dies h1 no_daemons

# A driver of a raylet that stays.
starts end on h2 env MOBULA_ADDRESS="$(head_at)" bad_bystander "$share/end" forks
expect_not no_workers h2
dies h2 no_workers h2
