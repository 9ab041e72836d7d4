#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# 007-demo.sh -- `./run demo` on a machine without network, then the demo of the same tree as a user without rights: its four hosts compute,
# the tutorial comes to equal results, and neither process, namespace, mount, interface, socket nor file is left.
. "$(dirname "$0")/lib.sh"
root=$(dirname "$tests")

# A process tree and a network of its own: what is left there is ours.
if [ "${1:-}" != alone ]; then
    [ "$("$lab" probe)" != none ] || skip "no namespaces on this machine"
    map=$([ "$("$lab" probe)" = root ] || echo --user --map-root-user)
    # shellcheck disable=SC2086
    exec unshare $map --net --mount --pid --fork --mount-proc --kill-child bash "$(readlink -f "$0")" alone
fi
ip link set lo up

traces() {
    cat /proc/self/mounts
    ip -o link | cut -d: -f2
    ss -Hanx | awk '{ print $5 }' | grep mobula
    for process in /proc/[0-9]*; do readlink "$process/exe"; done | grep -v '/\(cat\|ip\|ss\|awk\|grep\|readlink\|sort\|ls\|bash\)$'
    ls -a /srv /mnt /media /dev/shm
    ls -ad /tmp/mobula-[0-9]*
    ls -a "$HOME" "$HOME/.mobula"
} 2>/dev/null

# shows COMMAND...: the demo of four hosts.
shows() {
    local before out

    before=$(traces)
    out=$(MOB_DEMO_QUICK=1 MOB_HOSTS=lab "$@" 2>&1) || fail "$*: $out"
    for words in 'licence=1: at most 3 at once' 'tasks by host:.*10.77.0.11 12  10.77.0.12 12' '10.77.0.13  h3    alive' 'inference .* equal'; do
        grep -q "$words" <<<"$out" || fail "no '$words' in: $out"
    done
    expect_eq "$(traces)" "$before" "what was left"
}

demo=(sh "$root/examples/demo")
if [ "$MOB_BUILD" = "$root/build" ]; then shows "$root/run" demo; else shows "${demo[@]}"; fi
if [ "$(su nobody -s /bin/sh -c "cd / && test -x $MOB_BUILD/bin/mobula && $lab probe" 2>/dev/null)" = userns ]; then
    shows su nobody -s /bin/sh -c "cd / && MOB_BUILD=$MOB_BUILD ${demo[*]}"
fi
exit $((failures > 0))
