#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# 014-cli-nodes.sh -- one machine, several ways to run a node: in front, with a token elsewhere, with given amounts, two clusters side by
# side, and against a head of another version.
. "$(dirname "$0")/lib.sh"
. "$(dirname "$0")/bad.sh"
in_lab 2 "$@"

head_at=$("$lab" ip h0):$port

# Every verb has a help that names its options.
helps() {
    local verb=$1 option text

    shift
    text=$(on h0 mobula "$verb" --help)
    expect_eq $? 0 "status of mobula $verb --help"
    for option in "usage: mobula $verb" "$@"; do
        [[ $text == *"$option"* ]] || fail "mobula $verb --help does not name $option"
    done
}
helps start --head --address=HOST:PORT --node-ip-address=IP --port=N --num-cpus=N --num-gpus=N --resources=JSON --memory=BYTES \
    --object-store-memory=BYTES --labels= --token-file=FILE --block
helps stop --all --force --address=HOST:PORT
helps status --format= --address=HOST:PORT --token-file=FILE
helps list "nodes|tasks" --format= --limit=N --address=HOST:PORT --token-file=FILE
helps wait --nodes=N --timeout=SECONDS --address=HOST:PORT --token-file=FILE
helps drain NODE --deadline=TIME --force --no-wait --address=HOST:PORT --token-file=FILE
helps health --address=HOST:PORT --token-file=FILE
helps logs "[PATTERN]" "worker-*.err"
helps timeline --output=FILE "-o FILE" --address=HOST:PORT --token-file=FILE
helps version

# In front: a signal ends all of the node, and its front with 0. A daemon that ends takes the rest along, and the front says so.
pids_of() { on h0 sh -c 'for f in /proc/[0-9]*; do case $(readlink "$f/exe") in */'"$1"') echo "${f#/proc/}" ;; esac; done' 2>/dev/null; }
in_front() {
    on h0 mobula start --head --port "$port" --num-cpus 1 --block >/dev/null 2>"$MOB_LAB/share/front" & front=$!
    wait_until 10 on h0 mobula health
    wait_until 10 on h0 mobula wait --nodes 1 --timeout 1
}
# ends_in_front STATUS WORDS
ends_in_front() {
    wait $front
    expect_eq $? "$1" "status of the front"
    expect_eq "$(cat "$MOB_LAB/share/front")" "$2" "what the front said"
    [ "$1" = 0 ] || expect_eq "$(on h0 mobula stop)" "Nothing of yours runs here." "a stop after a failure"
    expect nothing_left h0
}
for signal in TERM INT HUP; do
    in_front
    # shellcheck disable=SC2046
    on h0 kill "-$signal" $(pids_of mobula)
    ends_in_front 0 ""
done
# A head that is started again in front, beside the raylet that went on without it: the same holds for both.
on h0 mobula start --head --port "$port" --num-cpus 1 >/dev/null
# shellcheck disable=SC2046
on h0 kill -KILL $(pids_of mobula-head)
in_front
# shellcheck disable=SC2046
on h0 kill -TERM $(pids_of mobula)
ends_in_front 0 ""
for daemon in raylet head; do
    in_front
    # shellcheck disable=SC2046
    on h0 kill -KILL $(pids_of "mobula-$daemon")
    ends_in_front 1 "mobula: the node's $daemon has ended, so the node ends"
done
# The front is killed, and can end nothing any more; while it lived, its cluster was found as any other.
in_front
expect_eq "$(on h0 mobula logs | grep -c '/logs/mobula-')" 2 "logs of head and raylet in the session"
# shellcheck disable=SC2046
on h0 kill -KILL $(pids_of mobula)
wait $front
expect_eq $? 137 "status of the front"
wait_until 10 eval '[ -z "$(pids_of mobula-head)$(pids_of mobula-raylet)" ]'
expect_eq "$(on h0 mobula stop)" "Nothing of yours runs here." "a stop after that"     # and the logs, which stay for people, go
expect nothing_left h0

# A token in a file of its own, by option and by environment; given amounts are what the head knows.
on h0 sh -c 'rm "$HOME/.mobula/token"; mkdir -m 700 /tmp/secret'
expect on h0 mobula start --head --port "$port" --token-file=/tmp/secret/token --memory=$((3 << 30)) --object-store-memory=$((64 << 20)) >/dev/null
expect_eq "$(on h0 stat -c %a /tmp/secret/token)" 600 "mode of the token file"
expect_not on h0 sh -c 'test -e "$HOME/.mobula/token"'
says "the cluster's token cannot be read from" on h0 mobula status
for with in "mobula status --token-file=/tmp/secret/token" "env MOBULA_TOKEN_FILE=/tmp/secret/token mobula status"; do
    # shellcheck disable=SC2086
    shown=$(on h0 $with)
    expect grep -qE "^ +memory +0B/3GiB$" <<<"$shown"
    expect grep -qE "^ +object_store_memory +0B/64MiB$" <<<"$shown"
done
on h0 cat /tmp/secret/token | on h1 sh -c 'umask 077; cat >/tmp/token'
says "the cluster's token cannot be read from" on h1 mobula start --address="$head_at"
expect on h1 env MOBULA_TOKEN_FILE=/tmp/token mobula start --address="$head_at" --memory=1GiB --object-store-memory=32MiB >/dev/null
nodes=$(on h1 mobula list nodes --format json --token-file=/tmp/token)
expect_eq "$(jq -c '[.[] | [.total.memory, .store_size]] | sort' <<<"$nodes")" "[[$((1 << 30)),$((32 << 20))],[$((3 << 30)),$((64 << 20))]]" "given amounts"
expect_eq "$(on h1 env MOBULA_TOKEN_FILE=/tmp/token MOBULA_ADDRESS=auto prints 2 exit 2>/dev/null | grep -c ') said')" 100 "lines of tasks"
expect on h1 mobula stop >/dev/null
expect on h0 mobula stop >/dev/null
expect nothing_left h0
expect nothing_left h1

# Two clusters on one machine: which one is meant has to be said; the other is left alone.
expect on h0 mobula start --head --port "$port" >/dev/null
expect on h0 mobula start --head --port "$((port + 1))" >/dev/null
expect on h0 mobula start --head --port "$port" --node-ip-address 127.0.0.1 >/dev/null       # the same port of another address
expect on h0 mobula stop --address="127.0.0.1:$port" >/dev/null
for verb in stop status "list nodes"; do
    # shellcheck disable=SC2086
    says "--address" on h0 mobula $verb
    for one in "$head_at" "${head_at%:*}:$((port + 1))"; do
        # shellcheck disable=SC2086
        says "$one" on h0 mobula $verb
        expect on h0 mobula health --address="$one" >/dev/null
    done
done
says "more than one cluster runs here" on h0 env MOBULA_ADDRESS=auto prints 1 exit
expect on h0 mobula stop --address="$head_at" >/dev/null
expect_not on h0 mobula health --address="$head_at" 2>/dev/null
expect on h0 mobula health >/dev/null                   # the one that is left needs no address
expect on h0 mobula wait --nodes 1 --timeout 5
expect on h0 mobula stop >/dev/null
expect nothing_left h0

# Who waits with a time for a head that is not there yet, waits for it, too.
expect_not on h0 mobula wait --address="$head_at" --timeout 0 2>/dev/null
on h0 mobula wait --address="$head_at" --timeout 30 & waiter=$!
expect on h0 mobula start --head --port "$port" >/dev/null
wait $waiter
expect_eq $? 0 "who waited for the head"
expect on h0 mobula stop >/dev/null

# A head of another version.
on h0 bad_link -l "${head_at%:*}" "$port" "$(on h0 sh -c 'cat "$HOME/.mobula/token"')" 999 "$MOB_LAB/share/other" & other=$!
wait_until 5 test -e "$MOB_LAB/share/other"
for command in "mobula start --address=$head_at" "mobula status --address=$head_at" "env MOBULA_ADDRESS=$head_at prints 1 exit"; do
    # shellcheck disable=SC2086
    says "speaks protocol 1, this daemon speaks 999: install the same version of Mobula on all machines" on h0 $command
done
# shellcheck disable=SC2046
on h0 kill $(pids_of bad_link)
wait $other 2>/dev/null || :
