#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# 000-lab.sh -- the hosts that all other system tests stand on: apart from each other where they must be, reachable, mortal, and gone
# without a trace however the lab ends.
. "$(dirname "$0")/lib.sh"

# answers FROM ADDRESS [SECONDS], reaches FROM HOST: a closed port answers at once, a missing host not at all.
answers() { [[ $(on "$1" timeout "${3:-20}" bash -c "exec 3<>/dev/tcp/$2/9" 2>&1) = *refused* ]]; }
reaches() { answers "$1" "$("$lab" ip "$2")"; }
reaches_not() { ! answers "$1" "$("$lab" ip "$2")" 0.3; }
# With 200 ms each way, there and back; twice if the address must be asked for first.
reaches_later() {
    local from=${EPOCHREALTIME/./}
    reaches "$@" && [ $((${EPOCHREALTIME/./} - from)) -ge 400000 ]
}
state_of() { sed -n 's/^State:[^A-Z]*\(.\).*/\1/p' "/proc/$1/status"; }
is_stopped() { [ "$(state_of "$1")" = T ]; }
is_asleep() { [ "$(state_of "$1")" = S ]; }
down() { ! on "$1" true 2>/dev/null; }

# In a lab of 3 hosts: what is apart, what is common.
hosts_are_hosts() {
    expect_eq "$(on h1 hostname)" h1
    expect_not [ "$(on h1 cat /proc/sys/kernel/random/boot_id)" = "$(on h2 cat /proc/sys/kernel/random/boot_id)" ]
    expect_eq "$(on h1 ip -4 -o addr show eth0 | awk '{print $4}')" 10.77.0.11/24
    expect_eq "$("$lab" ip h2)" 10.77.0.12
    expect_eq "$(on h1 sh -c 'echo $MOB_HOST')" h1
    expect reaches h0 h2
    expect answers h2 10.77.0.10
    [ ! -f /etc/hosts ] || expect answers h0 h2         # by name, where a machine has such a file
    expect on h2 test -r "$tests/system/000-lab.sh"
    expect on h2 test -d /opt/user
    expect on h1 sh -c 'echo data >/tmp/file; echo data >"$HOME/file"; echo data >/run/file; echo data >/opt/user/file; echo data >/dev/shm/file'
    expect_not on h2 test -e /opt/user/file
    expect_not on h2 test -e /dev/shm/file
    expect_eq "$(on h1 cat /proc/1/cmdline | tr '\0' ' ')" "sh $lab host-main h1 " "PID 1 of a host"
    expect_not on h1 "$lab" on h2 true 2>/dev/null
    on h1 sh -c 'exit 7'
    expect_eq $? 7 "status of a command on a host"
    expect_eq "$(echo words | on h1 cat)" words "input of a command on a host"
}

hosts_are_apart() {
    for folder in /tmp "$HOME" /run; do
        expect_not on h2 test -e "$folder/file"
    done
}

hosts_share() {
    for folder in /tmp "$HOME" /run; do
        expect on h2 test -e "$folder/file"
    done
}

hosts_are_mortal() {
    local pid

    on h1 sleep 1000 &
    disown
    wait_until 5 pgrep -f '^sleep 1000$'
    pid=$(pgrep -f '^sleep 1000$')
    expect "$lab" pause h1
    wait_until 5 is_stopped "$pid"
    expect "$lab" resume h1
    wait_until 5 is_asleep "$pid"       # it runs for a moment first
    expect "$lab" pause h1
    expect "$lab" kill h1
    expect down h1
    expect_not test -e "/proc/$pid"
    expect reaches h0 h2
    expect "$lab" start h1
    expect reaches h0 h1
    expect_not on h1 test -e /opt/user/file

    expect "$lab" cut h2
    expect reaches_not h0 h2
    expect reaches h0 h1
    expect "$lab" mend h2
    wait_until 5 reaches h0 h2

    networks_are_spoilt
}

# can LAB'S WORDS: false where this kernel cannot.
can() {
    local status=0
    "$lab" "$@" 2>/dev/null || status=$?
    [ "$status" = 0 ] || expect_eq "$status" 77 "$*"
    return "$status"
}

networks_are_spoilt() {
    if can spoil h1 100 0; then
        expect reaches_not h0 h1
        expect reaches_not h1 h0
        expect can spoil h1 0 200
        expect reaches_later h0 h1
        expect reaches_later h1 h0
        expect "$lab" kill h1
        expect "$lab" start h1
        expect reaches h0 h1
        expect can spoil h1 5 20
        expect "$lab" spoil h1 0 0
        expect reaches h0 h1
        expect_eq "$(ip -o link | grep -c 'h1.*master lab0')" 1 "ends of h1's cable"
    fi
    if can deafen h1 h0; then
        expect reaches_not h0 h1
        expect reaches h2 h1
        expect "$lab" hear h1 h0
        expect reaches h0 h1
    fi
    if can slow h1 8kbit; then
        expect on h1 sh -c 'tc qdisc show dev eth0 | grep -q "tbf.*8Kbit"'
        expect "$lab" slow h1 0
        expect_not on h1 sh -c 'tc qdisc show dev eth0 | grep -q tbf'
    fi
}

case ${1:-} in
apart) hosts_are_hosts; hosts_are_apart; hosts_are_mortal; exit $((failures > 0)) ;;
shared) hosts_are_hosts; hosts_share; exit $((failures > 0)) ;;
esac

# -- from outside ------------------------------------------------------------------------------------------------------------

[ "$("$lab" probe)" != none ] || skip "no namespaces on this machine"
traces() { cat /proc/self/mounts; ip -o link | cut -d: -f2; ls -a /srv /mnt /media; }
before=$(traces)

expect "$lab" run 3 -- bash "$0" apart
expect "$lab" run --shared-fs 3 -- bash "$0" shared
"$lab" run 1 -- sh -c 'exit 9'
expect_eq $? 9 "status of the lab's command"
expect_eq "$("$lab" run --on h1 2 -- hostname)" h1
expect_eq "$(echo words | "$lab" run 1 -- cat)" words "input of the lab's command"
expect_not "$lab" run 0 -- true 2>/dev/null

# However the lab ends, its processes end: a sleep on a host, known by its length.
length=1$$.5
sleeps() { pgrep -f "^sleep $length\$" >/dev/null; }
sleeps_not() { ! sleeps; }
sleeper() { "$lab" run 2 -- "$lab" on h1 sh -c "setsid sleep $length & $1"; }

sleeper 'exit 0'
expect sleeps_not               # at once: nothing outlives the command
for signal in INT TERM HUP KILL; do
    env --default-signal=INT "$lab" run 2 -- "$lab" on h1 setsid sleep "$length" &      # bash starts jobs deaf to SIGINT
    wait_until 5 sleeps
    kill "-$signal" $!
    wait $! 2>/dev/null
    if [ "$signal" = KILL ]; then wait_until 5 sleeps_not; else expect sleeps_not; fi
done
expect_eq "$(traces)" "$before" "mounts, links and files"

if [ "$(id -u)" = 0 ] && [ "$(su nobody -s /bin/sh -c "$lab probe" 2>/dev/null)" = userns ]; then
    expect_eq "$(su nobody -s /bin/sh -c "$lab run --on h1 2 -- hostname")" h1 "a host of a user without rights"
    expect su nobody -s /bin/sh -c "$lab run 3 -- bash $0 apart"
fi
exit $((failures > 0))
