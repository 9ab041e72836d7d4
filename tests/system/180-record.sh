#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# 180-record.sh -- what is looked back at: tasks that are done, failed, cancelled, tried again, running and waiting are listed with their
# state, node, process, attempt and times in order, and the timeline has a span for each attempt that ran (record.c). Then the driver is
# killed: what it left under way has failed with its job. Tasks of tasks of a driver that ends at once are known to have ended.
. "$(dirname "$0")/lib.sh"
in_lab 2 "$@"

cluster_start 2 --num-cpus 4 --resources '{"licence": 1}'
record=$MOB_LAB/share/record
mkdir "$record"
on h0 env MOBULA_ADDRESS="$("$lab" ip h0):$port" record "$record" &
driver=$!
wait_until 60 test -e "$record/up"

tasks() { on h0 mobula list tasks --format json; }
# of NAME FILTER: of its row
of() { tasks | jq -r --arg name "$1" ".[] | select(.name == \$name) | $2"; }
is() { [ "$(of "$1" "$2")" = "$3" ]; }
all_told() { is running .state RUNNING && is pending .state PENDING_NODE_ASSIGNMENT && is waiting .state PENDING_ARGS_AVAIL; }

# A batch leaves after 200 ms.
wait_until 10 all_told
expect_eq "$(tasks | jq -cS 'map({(.name): .state}) | add')" '{"cancelled":"CANCELLED","done":"FINISHED","fails":"FAILED","pending":"PENDING_NODE_ASSIGNMENT","retried":"FINISHED","running":"RUNNING","waiting":"PENDING_ARGS_AVAIL"}' "states"
for name in 'done' fails retried cancelled running; do
    expect_eq "$(of $name '"\(.pid) \(.node) \(.attempt)"')" "$(cat "$record/$name")" "where $name ran"
done
expect_eq "$(of retried .attempt)" 1 "attempts of the one that was tried again"
for name in pending waiting; do
    expect_eq "$(of $name '"\(.pid) \(.node) \(.started_ns) \(.ended_ns)"')" "0 0 0 0" "where $name is"
done
# Times: of now, in order.
expect_eq "$(tasks | jq 'all(.[]; (.submitted_ns / 1e9 - now | fabs) < 600)')" true "submitted within these minutes"
expect_eq "$(tasks | jq 'all(.[] | select(.started_ns > 0); .submitted_ns <= .started_ns)')" true "submitted before they started"
expect_eq "$(tasks | jq '[.[] | select(.ended_ns > 0) | .name] | sort | join(" ")')" '"cancelled done fails retried"' "what has ended"
expect_eq "$(tasks | jq 'all(.[] | select(.ended_ns > 0); 0 < .started_ns and .started_ns <= .ended_ns)')" true "started before they ended"
expect_eq "$(of fails '"\(.error) \(.error_text)"')" $'MOB_ERR_TASK no such thing\nas this' "why it failed"
expect_eq "$(on h0 mobula list tasks | grep -c "no such thing as this")" 1 "the same on one line of the table"
expect grep -Eq "^TASK +NAME +STATE .* SUBMITTED +STARTED +ENDED +" <(on h0 mobula list tasks)

# A span for each attempt that ran to its end: the retried task has two.
timeline() { on h0 mobula timeline; }
expect_eq "$(timeline | jq -c '[.[] | select(.ph == "X") | "\(.name) \(.args.attempt)"] | sort')" '["cancelled 0","done 0","fails 0","retried 0","retried 1"]' "spans"
expect_eq "$(timeline | jq 'all(.[] | select(.ph == "X"); (.ts / 1e6 - now | fabs) < 600 and .dur >= 0 and .dur < 60e6)')" true "times of spans"
for name in 'done' fails cancelled; do
    expect_eq "$(timeline | jq -r --arg name $name '.[] | select(.ph == "X" and .name == $name) | "\(.tid) \(.pid) \(.args.attempt)"')" "$(cat "$record/$name")" "where $name ran, in the timeline"
done
expect_eq "$(timeline | jq 'all(.[] | select(.ph == "M"); .name == "process_name")')" true "names of nodes"

# Only its end tells what became of the others.
expect on h0 sh -c 'for p in /proc/[0-9]*; do case $(readlink "$p/exe") in */bin/record) kill -9 "${p#/proc/}"; exit ;; esac; done; false'
wait "$driver"
wait_until 10 is running .state FAILED
expect_eq "$(tasks | jq -cS 'map({(.name): .state}) | add')" '{"cancelled":"CANCELLED","done":"FINISHED","fails":"FAILED","pending":"FAILED","retried":"FINISHED","running":"FAILED","waiting":"FAILED"}' "states after the driver was killed"
expect_eq "$(of running '"\(.error) \(.error_text)"')" "MOB_ERR_OWNER_DIED its job has ended" "why it failed"
expect_eq "$(tasks | jq 'all(.[]; .submitted_ns <= .ended_ns and .started_ns <= .ended_ns)')" true "ends after starts"

# A driver ends at the moment when it has the last result: what its workers' tasks submitted has ended before, and is known to have.
expect on h0 env MOBULA_ADDRESS="$("$lab" ip h0):$port" record "$record" nested
states() { tasks | jq -cS '[.[] | select(.name == "inner" or .name == "outer") | "\(.name) \(.state)"] | group_by(.) | map({(.[0]): length}) | add'; }
all_finished() { [ "$(states)" = '{"inner FINISHED":32,"outer FINISHED":8}' ]; }
wait_until 10 all_finished
