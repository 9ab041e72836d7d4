#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# 330-starts.sh -- a node that cannot start says why in one sentence with what to do, and leaves nothing behind; the cluster goes on.
. "$(dirname "$0")/lib.sh"
. "$(dirname "$0")/bad.sh"
in_lab 3 "$@"

cluster_start 1 --num-cpus 2
bystander_start
head_at=$(head_at)
home=$(on h1 sh -c 'echo $HOME')
join() { on h1 mobula start --address="$head_at" "$@"; }
copy_token() { echo "${1:-$token}" | on h1 sh -c 'umask 077; mkdir -p "$HOME/.mobula"; cat >"$HOME/.mobula/token"'; }

# The token: none, another, half of one, one that others can read, one of another user.
says "copy it from the head's machine" join
copy_token "${token//[0-9]/a}"
says "the token is not this cluster's" join
says "the token is not this cluster's" driver_on h1 bad_words
copy_token "${token:0:32}"
says "holds no token of 64 hex digits" join
copy_token
on h1 chmod 644 "$home/.mobula/token"
says "others can read the token $home/.mobula/token; run chmod 600" join
says "run chmod 600" driver_on h1 bad_words
on h1 chmod 600 "$home/.mobula/token"
if on h1 chown 1 "$home/.mobula/token" 2>/dev/null; then
    says "belongs to user 1; use a copy of your own" join
    on h1 chown 0 "$home/.mobula/token"
fi

# The run folder: open to others, of another user, a file.
on h1 mkdir -p -m 755 /tmp/mobula-0
on h1 chmod 755 /tmp/mobula-0
says "run chmod 700 /tmp/mobula-0" join
says "run chmod 700 /tmp/mobula-0" driver_on h1 bad_words
says "run chmod 700 /tmp/mobula-0" on h1 bad_words
on h1 chmod 700 /tmp/mobula-0
if on h1 chown 1 /tmp/mobula-0 2>/dev/null; then
    says "/tmp/mobula-0 belongs to user 1; ask them to remove it, or set XDG_RUNTIME_DIR" join
    on h1 chown 0 /tmp/mobula-0
fi
on h1 rm -r /tmp/mobula-0
on h1 touch /tmp/mobula-0
says "/tmp/mobula-0 is not a folder; remove it" join
on h1 rm /tmp/mobula-0

# A run folder that cannot be written.
on h1 sh -c 'mkdir /tmp/closed && mount -t tmpfs -o ro none /tmp/closed'
says "/tmp/closed/mobula: Read-only file system" on h1 env XDG_RUNTIME_DIR=/tmp/closed mobula start --address="$head_at"

# A private cluster where there is no loopback device.
says "bring its loopback device up" on h1 unshare -n bad_words

# The head: nobody at its port, a host that does not answer, something else that listens, a name that is none.
says "Connection refused" on h1 mobula start --address="$("$lab" ip h2):$port"
says "Connection refused" on h1 env MOBULA_ADDRESS="$("$lab" ip h2):$port" bad_words
"$lab" cut h2
says "(head $("$lab" ip h2):$port)" on h1 mobula start --address="$("$lab" ip h2):$port"
"$lab" mend h2
objects=$(on h0 ss -Hltn | awk '$4 !~ /ffff/ { print $4 }')       # listens, but is no port to join at
says "(head $objects)" on h1 mobula start --address="$objects"
says "nowhere.invalid" on h1 env RES_OPTIONS="timeout:1 attempts:1" mobula start --address=nowhere.invalid:$port

# Addresses of this node: one that is not its own; one that others cannot reach is refused, too.
says "no address of this machine" join --node-ip-address 192.0.2.7
says "port $port is in use by mobula-head (pid " on h0 mobula start --head --port "$port"

expect nothing_left h1
expect nothing_left h2
expect join --num-cpus 2
expect on h1 bad_words
wait_until 5 node_count_is 2
bystander_end
