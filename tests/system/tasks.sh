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
hash=$(sha256sum <"$tasks" | cut -d' ' -f1)

scene() {
    local host=$1
    shift
    on "$host" env MOBULA_ADDRESS="$("$lab" ip h0):$port" timeout 60 "$tasks" "$@"
}

private() {
    local host=$1
    shift
    on "$host" env -u MOBULA_ADDRESS TASKS_PRIVATE="${TASKS_PRIVATE:-CPU=2,GPU=2,licence=3}" timeout 60 "$tasks" "$@"
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

# running HOST PATTERN: the processes there whose executable is so named, as the host counts.
running() {
    on "$1" sh -c "for f in /proc/[0-9]*; do case \$(readlink \$f/exe 2>/dev/null) in $2) echo \${f#/proc/} ;; esac; done"
}

all_free() { on h0 mobula status --format json | jq -e '.total.CPU == .available.CPU' >/dev/null; }
# spreads HOST COUNT: tasks submitted there run on COUNT hosts, when nothing of an earlier driver is left in their way.
spreads() {
    wait_until 10 all_free
    meeting
    expect scene "$1" spreads "$meet" "$2" >/dev/null
}

# raylet_pid HOST, guard_pid HOST, head_pid HOST. The guard is the raylet's parent and runs the same program.
parent_of() { on "$1" sed -n 's/^PPid:[^0-9]*//p' "/proc/$2/status"; }
raylet_pid() {
    local pid all
    all=$(running "$1" '*/mobula-raylet')
    for pid in $all; do
        # shellcheck disable=SC2076
        [[ " "$(echo $all)" " =~ " $(parent_of "$1" "$pid") " ]] && echo "$pid"
    done
}
guard_pid() { parent_of "$1" "$(raylet_pid "$1")"; }
head_pid() { running "$1" '*/mobula-head'; }

# Processes of drivers and workers on HOST, grandchildren of tasks included. Where the program was fetched it is named by its hash.
task_processes() { running "$1" "*/mobula-tasks* | */$hash*"; }
no_tasks() { [ -z "$(task_processes "$1")" ]; }

# starts NAME: how often a task of the meeting has started. worker_of NAME: pid and ip of its last start.
starts() { wc -l <"$meet/$1" 2>/dev/null || echo 0; }
started_times() { [ "$(starts "$1")" = "$2" ]; }
worker_of() { tail -n 1 "$meet/$1" | cut -d' ' -f1,2; }
host_of() { echo "h$((${1##*.} - 10))"; }
kill_worker() {
    local pid ip
    read -r pid ip < <(worker_of "$1")
    on "$(host_of "$ip")" kill "${2:--KILL}" "$pid"
}
