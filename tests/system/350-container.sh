#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# 350-container.sh -- a container without pidfds and without PID namespaces: tasks run, workers die with their raylet, and nothing is left
# after SIGKILL to the raylet, or to its guard.
. "$(dirname "$0")/lib.sh"
. "$(dirname "$0")/bad.sh"
in_lab 2 "$@"
export MOBULA_NO_PIDFD=1 MOBULA_NO_PIDNS=1

# The guard (its parent has ended) and the raylet (the guard's child) on h1.
raylets() { on h1 sh -c 'for p in /proc/[0-9]*; do case $(readlink "$p/exe") in */mobula-raylet) echo "${p#/proc/} $(sed -n "s/^PPid:[^0-9]*//p" "$p/status")" ;; esac; done'; }
guard() { raylets | awk '{ parent[$1] = $2 } END { for (p in parent) if (!(parent[p] in parent)) print p }'; }
raylet() { raylets | awk '{ parent[$1] = $2 } END { for (p in parent) if (parent[p] in parent) print p }'; }
processes_left() { leftovers h1 | grep -v '^/tmp/mobula-'; }       # logs stay, for people
has_workers() { [ -n "$(workers_on h1)" ]; }

cluster_start 2 --num-cpus 0
bystander_start() { driver_on h1 bad_bystander "$MOB_LAB/share/end" 2>"$MOB_LAB/share/said" & bystander=$!; }

for victim in raylet guard; do
    rm -f "$MOB_LAB/share/end" "$MOB_LAB/share/end.up"
    expect_eq "$(raylets | wc -l)" 2 "processes of the raylet"
    bystander_start
    wait_until 20 test -e "$MOB_LAB/share/end.up"
    expect has_workers
    expect on h1 kill -9 "$($victim)"
    wait_until 5 eval '[ -z "$(processes_left)" ]'
    wait "$bystander"
    expect_eq $? 1 "the driver whose raylet is gone"
    expect grep -q "the raylet" "$MOB_LAB/share/said"
    wait_until 5 no_workers h1
    wait_until 5 node_count_is 1
    node_start h1
    wait_until 5 node_count_is 2
done
expect on h1 env MOBULA_ADDRESS="$(head_at)" bad_words
expect on h1 env MOBULA_ADDRESS="$(head_at)" bad_tasks "$MOB_LAB/share"
expect on h1 bad_words          # and a private cluster
