# SPDX-License-Identifier: Apache-2.0
# shellcheck shell=bash
# bad.sh -- for the scripts 3*.sh: somebody makes mistakes, while the driver next door (bad_bystander.c) runs tasks on h0 and must see no
# error. Sourced after lib.sh.
head_at() { echo "$("$lab" ip h0):$port"; }
driver_on() { on "$1" env MOBULA_ADDRESS="$(head_at)" "${@:2}"; }

bystander_start() {
    rm -f "$MOB_LAB/share/end" "$MOB_LAB/share/end.up"
    driver_on h0 bad_bystander "$MOB_LAB/share/end" &
    bystander=$!
    wait_until 20 test -e "$MOB_LAB/share/end.up"
}

bystander_end() {
    : >"$MOB_LAB/share/end"
    wait "$bystander"
    expect_eq $? 0 "the driver next door"
    wait_until 10 no_workers h0
}

# The programs of these tests on HOST: drivers and workers.
workers_on() { on "$1" sh -c 'for p in /proc/[0-9]*; do case $(readlink "$p/exe") in */bad_words | */bad_tasks | */bad_bystander | */bad_program | */raylet-*.d/*) echo "$p" ;; esac; done'; }
no_workers() { [ -z "$(workers_on "$1")" ]; }

# says WORDS COMMAND...: fails, and its words have WORDS.
says() {
    local words=$1 said
    shift
    said=$("$@" 2>&1) && fail "did not fail: $*"
    [[ $said == *$words* ]] || fail "'$*' said '$said', not '$words'"
}
