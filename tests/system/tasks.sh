# SPDX-License-Identifier: Apache-2.0
# shellcheck shell=bash
# tasks.sh -- for tests that run the driver mobula-tasks (tasks.c): where it is, and a fresh folder that the lab's hosts share with it.
#
#   scene h1 results                    # on h1, in the cluster whose head is on h0
#   private h1 results                  # on h1, in a cluster of its own
#   meeting                             # makes the folder $meet; the driver and the script talk by files in it
#   scene h1 stands "$meet" gate 4 spread 0 0 & driver=$!
#   appears ready && touch "$meet/open" && ends $driver
. "$(dirname "${BASH_SOURCE[0]}")/lib.sh"

tasks=$MOB_BUILD/tests/mobula-tasks
if [ ! -x "$tasks" ]; then skip "no $tasks"; fi

scene() {
    local host=$1
    shift
    on "$host" env MOBULA_ADDRESS="$("$lab" ip h0):$port" timeout 60 "$tasks" "$@"
}

private() {
    local host=$1
    shift
    on "$host" env TASKS_PRIVATE="${TASKS_PRIVATE:-CPU=2,GPU=2,licence=3}" timeout 60 "$tasks" "$@"
}

meeting() { meet=$(mktemp -d "$MOB_LAB/share/meet.XXXXXX") && chmod 777 "$meet"; }

# appears FILE [SECONDS]: a file of the meeting.
appears() { wait_until "${2:-20}" test -e "$meet/$1"; }

# ends PID [STATUS]: a job of this script.
ends() {
    local status=0
    wait "$1" || status=$?
    expect_eq "$status" "${2:-0}" "status of the driver"
}

# raylet_pid HOST, guard_pid HOST, head_pid HOST: as the host counts. The guard is the raylet's parent and runs the same program.
raylet_pids() { on "$1" sh -c 'for f in /proc/[0-9]*; do case $(readlink "$f/exe" 2>/dev/null) in */mobula-raylet) echo "${f#/proc/}" ;; esac; done'; }
parent_of() { on "$1" sed -n 's/^PPid:[^0-9]*//p' "/proc/$2/status"; }
raylet_pid() {
    local pid all
    all=$(raylet_pids "$1")
    for pid in $all; do
        # shellcheck disable=SC2076
        [[ " "$(echo $all)" " =~ " $(parent_of "$1" "$pid") " ]] && echo "$pid"
    done
}
guard_pid() { parent_of "$1" "$(raylet_pid "$1")"; }
head_pid() { on "$1" sh -c 'for f in /proc/[0-9]*; do case $(readlink "$f/exe" 2>/dev/null) in */mobula-head) echo "${f#/proc/}" ;; esac; done'; }

# Processes of drivers and workers on HOST, grandchildren of tasks included.
task_processes() { on "$1" sh -c 'for f in /proc/[0-9]*; do case $(readlink "$f/exe" 2>/dev/null) in *mobula-tasks*) echo "${f#/proc/}" ;; esac; done'; }
no_tasks() { [ -z "$(task_processes "$1")" ]; }
