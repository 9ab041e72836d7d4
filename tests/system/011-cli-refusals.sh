#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# 011-cli-refusals.sh -- what goes wrong says so in one sentence, at once, and leaves nothing behind.
. "$(dirname "$0")/lib.sh"
in_lab 2 "$@"

# refused STATUS WORDS HOST COMMAND...: ends with this status, and its one line has these words.
refused() {
    local status=$1 words=$2 said

    shift 2
    said=$(on "$@" 2>&1 >/dev/null)
    expect_eq $? "$status" "status of: $*"
    [[ $said == *$words* ]] || fail "'$*' said '$said', not '$words'"
    [ "$(wc -l <<<"$said")" = 1 ] || fail "'$*' said more than a line: $said"
}
head_at=$("$lab" ip h0):$port

refused 1 "no cluster of yours runs" h0 mobula status
refused 1 "no cluster of yours runs" h0 mobula health
refused 1 "say --head" h0 mobula start
refused 1 "exclude each other" h0 mobula start --head --address=1.2.3.4:5
refused 1 "--port must be a whole number" h0 mobula start --head --port=65536
refused 1 "--object-store-memory must be whole bytes from 1048576 to" h0 mobula start --head --object-store-memory=64KiB
refused 1 "--memory=2GIB: unknown suffix" h0 mobula start --head --memory=2GIB
for one in 192.0.2.1 0.0.0.0 :: 224.0.0.1 ff02::1 nonsense; do
    refused 1 "$one is no address of this machine" h0 mobula start --head --node-ip-address="$one"
done
refused 1 "Use --num-cpus" h0 mobula start --head --resources='{"CPU": 3}'
refused 1 "is no address" h0 mobula start --address=nonsense
refused 2 "unknown option --bogus" h0 mobula status --bogus
refused 2 "a value is missing" h0 mobula status --address
refused 2 "nodes or tasks" h0 mobula list cats
expect nothing_left h0

# Nobody there: refused at once; a host that is off: within the time a dial may take.
printf "ab%.0s" {1..32} | on h1 sh -c 'umask 077; mkdir -p "$HOME/.mobula"; cat >"$HOME/.mobula/token"'
refused 1 "Connection refused" h1 mobula start --address="$head_at"
expect nothing_left h1

# Another token, then none.
expect on h0 mobula start --head --port "$port" >/dev/null
refused 1 "the token is not this cluster's" h1 mobula start --address="$head_at"
refused 1 "the token is not this cluster's" h1 mobula status --address="$head_at"
expect on h1 rm "$(on h1 sh -c 'echo $HOME')/.mobula/token"
refused 1 "token" h1 mobula start --address="$head_at"
expect nothing_left h1

# The port is taken: by whom; the head's, and that of a raylet that joins.
refused 1 "port $port is in use by mobula-head (pid " h0 mobula start --head --port "$port"
refused 1 "port $port is in use by mobula-head (pid " h0 mobula start --address="$head_at" --port "$port"

# A user without rights: who has the port is not to be seen, but whose it is. Then folders that cannot be written.
# no_one WORDS COMMAND...: as user nobody.
no_one() {
    local words=$1

    shift
    refused 1 "$words" h0 setpriv --reuid=65534 --regid=65534 --clear-groups env HOME=/tmp/no_one "$@"
}
if [ "$(on h0 setpriv --reuid=65534 --regid=65534 --clear-groups id -u 2>/dev/null)" = 65534 ]; then
    on h0 sh -c 'mkdir -m 700 /tmp/no_one && mkdir -m 500 /tmp/closed && chown 65534 /tmp/no_one /tmp/closed'
    no_one "port $port is in use by a process of user $(id -un) ($(id -u))" mobula start --head --port "$port"
    on h0 sh -c 'rm -r /tmp/no_one/.mobula && chmod 500 /tmp/no_one'
    for command in "mobula start --head --port=0" "prints 1 exit"; do
        # shellcheck disable=SC2086
        no_one "making the folder /tmp/no_one/.mobula for the cluster's token: Permission denied" $command
        # shellcheck disable=SC2086
        no_one "making the folder /tmp/closed/mobula: Permission denied" env XDG_RUNTIME_DIR=/tmp/closed MOBULA_TOKEN_FILE=/tmp/no_one.token $command
    done
    on h0 chmod 500 /tmp/mobula-65534
    on h0 chmod 700 /tmp/no_one
    for command in "mobula start --head --port=0" "prints 1 exit"; do
        # shellcheck disable=SC2086
        no_one "making the log /tmp/mobula-65534/mobula-head" $command
    done
    expect_eq "$(on h0 find /tmp/mobula-65534 /tmp/closed -mindepth 1)" "" "files of a user without rights"
else
    say "without a user that has no rights: only root can become one"
fi
expect on h0 mobula health
expect_eq "$(node_count)" 1 "nodes after all this"
