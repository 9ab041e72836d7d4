#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# 230-guard.sh -- guard and raylet are killed, alone and in either order: no process of the node is left, not even what a task started
# in a session of its own; and a node can be started there again.
. "$(dirname "$0")/tasks.sh"
in_lab 2 "$@"

# What is killed at once and as a whole is a namespace; LeakSanitizer, which could not look at the threads of its process 1, looks in other tests.
if [ -n "${MOB_SANITIZED:-}" ]; then
    ASAN_OPTIONS+=:detect_leaks=0
    on() { "$lab" on "$@"; }
fi

only_processes() { ! leftovers h1 | grep -q process; }

# ends_with PID...: kill them in this order, while tasks with children stand there.
ends_with() {
    meeting
    scene h0 stands "$meet" grandparent 2 "node=$("$lab" ip h1)" -1 6 >/dev/null & driver=$!
    appears ready
    [ "$(task_processes h1 | wc -l)" -ge 4 ] || fail "the grandchildren are not there"
    on h1 kill -KILL "$@" 2>/dev/null         # the second may be gone with the first
    wait_until 5 no_tasks h1
    wait_until 5 only_processes
    ends $driver
    wait_until 10 node_count_is 1
    on h1 mobula stop >/dev/null 2>&1
    wait_until 5 nothing_left h1
    node_start h1 --num-cpus 2 >/dev/null
    wait_until 10 node_count_is 2
}

cluster_start 2 --num-cpus 2 >/dev/null
on h1 mobula stop >/dev/null
wait_until 10 node_count_is 1
node_start h1 --num-cpus 2 >/dev/null
wait_until 10 node_count_is 2
ends_with "$(raylet_pid h1)"
ends_with "$(guard_pid h1)"
ends_with "$(guard_pid h1)" "$(raylet_pid h1)"
ends_with "$(raylet_pid h1)" "$(guard_pid h1)"
