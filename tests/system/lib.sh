# SPDX-License-Identifier: Apache-2.0
# shellcheck shell=bash
# lib.sh -- what system tests are made of. A test is a short bash script:
#
#   . "$(dirname "$0")/lib.sh"
#   in_lab 3 "$@"                       # from here on it runs in a lab of three hosts (tests/hosts/lab), or is skipped
#   cluster_start 3                     # a head on h0, raylets on h1 and h2; waits until all three are alive
#   on h1 mobula status | expect grep -q alive
#   wait_until 5 node_count_is 2        # polls; nothing here sleeps blindly
#
# It ends with 0 if all expectations held. On the way out each host is stopped and searched for what must not be left.
set -u -o pipefail

tests=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
MOB_BUILD=${MOB_BUILD:-$(dirname "$tests")/build}
lab=$tests/hosts/lab
port=${MOBULA_TEST_PORT:-6200}
hosts=0
failures=0
export MOB_BUILD PATH="$MOB_BUILD/bin:$PATH" LD_LIBRARY_PATH="$MOB_BUILD/lib${LD_LIBRARY_PATH:+:$LD_LIBRARY_PATH}"

say() { echo "$(basename "$0" .sh): $*" >&2; }

fail() {
    say "FAILED (line ${BASH_LINENO[1]:-?}): $*"
    failures=$((failures + 1))
}

skip() {
    say "skipped: $*"
    exit 77
}

# expect COMMAND: must succeed.
expect() { "$@" || fail "$*"; }
# expect_not COMMAND: must fail.
expect_not() { ! "$@" || fail "not $*"; }
# expect_eq GOT WANTED [WHAT]
expect_eq() { [ "$1" = "$2" ] || fail "${3:-value}: got '$1', wanted '$2'"; }

# wait_until SECONDS COMMAND: poll until it succeeds; a failure after SECONDS of a machine that has nothing else to do, six times as long by
# the clock: a busy one is no reason to fail.
wait_until() {
    local seconds=$1 end=$((SECONDS + 6 * $1 + 1))
    shift
    until "$@" >/dev/null 2>&1; do
        if [ "$SECONDS" -ge "$end" ]; then
            fail "not within $((6 * seconds)) s: $*"
            return 1
        fi
        sleep 0.05
    done
}

# A build with MOB_SANITIZE=address: what daemons, workers and drivers are told by their sanitizers, wherever they run, is a failure.
if [ -n "${MOB_SANITIZED:-}" ]; then
    reports=$MOB_BUILD/reports/$(basename "$0" .sh)
    export ASAN_OPTIONS="log_path=$reports/report" LSAN_OPTIONS="suppressions=$tests/grpc.supp:print_suppressions=0"
    [ -n "${MOB_LAB:-}" ] || rm -rf "$reports"
    mkdir -p "$reports"
fi

# That a thread was not stopped in time while it looked for leaks is a word of LeakSanitizer's, no finding.
sanitizers_said_nothing() {
    [ -n "${MOB_SANITIZED:-}" ] && grep -vqs 'Running thread [0-9]* was not suspended' "$reports"/* || return 0
    cat "$reports"/* >&2
    fail "the sanitizers"
}

# in_lab [--shared-fs] N "$@": run this test again inside a lab of N hosts.
in_lab() {
    local options=()

    if [ "$1" = --shared-fs ]; then
        options=(--shared-fs)
        shift
    fi
    hosts=$1
    shift
    if [ -z "${MOB_LAB:-}" ]; then
        [ "$("$lab" probe)" != none ] || skip "no namespaces on this machine"
        exec "$lab" run "${options[@]}" "$hosts" -- bash "$(readlink -f "$0")" "$@"
    fi
    trap finish EXIT
}

finish() {
    local status=$?

    trap - EXIT
    [ "$status" != 77 ] || exit 77
    cluster_stop
    sanitizers_said_nothing
    [ "$status" = 0 ] || fail "ended with status $status"
    [ "$failures" = 0 ] || exit 1
    exit 0
}

# LeakSanitizer looks for a process's threads in /proc, so no raylet may be process 1 of a namespace then: bad_box.c forbids it.
on() { "$lab" on "$1" ${MOB_SANITIZED:+bad_box} "${@:2}"; }

# cluster_start N [options of the head]: a head on h0, raylets on h1 .. h<N-1>.
cluster_start() {
    local count=$1 i
    shift
    on h0 mobula start --head --port "$port" --node-ip-address "$("$lab" ip h0)" "$@" || fail "the head did not start"
    token=$(on h0 sh -c 'cat "${MOBULA_TOKEN_FILE:-$HOME/.mobula/token}" 2>/dev/null') || token=
    for ((i = 1; i < count; i++)); do
        node_start "h$i"
    done
    wait_until 10 node_count_is "$count"
}

# node_start HOST [options]: a raylet that joins the head on h0. It has the cluster's token, as an administrator would copy it.
node_start() {
    local host=$1
    shift
    [ -z "${token:-}" ] || printf '%s\n' "$token" | on "$host" sh -c 'umask 077; mkdir -p "$HOME/.mobula"; cat >"$HOME/.mobula/token"'
    on "$host" mobula start --address="$("$lab" ip h0):$port" --node-ip-address "$("$lab" ip "$host")" "$@" \
        || fail "$host did not start"
}

# Alive nodes, as `mobula status` on h0 sees them.
node_count() { on h0 mobula status --format json | jq '[.nodes[] | select(.state == "alive")] | length'; }
node_count_is() { [ "$(node_count)" = "$1" ]; }

# Stop what runs on each host that is up; then nothing of ours may be left there.
cluster_stop() {
    local i

    for ((i = hosts - 1; i >= 0; i--)); do
        [ -e "$MOB_LAB/h$i/pid" ] || continue
        "$lab" resume "h$i"
        if [ -x "$MOB_BUILD/bin/mobula" ]; then
            on "h$i" mobula stop --all >/dev/null 2>&1
        fi
        wait_until 5 nothing_left "h$i" || leftovers "h$i" >&2
    done
}

# What a stopped node must not leave on HOST: a process, shared memory, its session in the run folder, the state of a head.
leftovers() {
    on "$1" sh -c '
        for folder in /proc/[0-9]*; do
            name=$(readlink "$folder/exe" 2>/dev/null) || continue
            case $name in */mobula-[!/]* | */mobula | */raylet-*.d/*) echo "process ${folder#/proc/}: $(tr "\0" " " <"$folder/cmdline")" ;; esac
        done
        find /dev/shm -mindepth 1
        find /tmp/mobula-*/ -mindepth 1 -maxdepth 1 -name "*@$0@*" 2>/dev/null
        find "$HOME/.mobula/heads" -name "$0-*" 2>/dev/null
        :' "$("$lab" ip "$1")"
}
nothing_left() { [ -z "$(leftovers "$1")" ]; }
