#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# Where no namespaces are allowed, the demo's hosts are loopback addresses: the same examples run, and nothing is left. Not the tutorial, which
# knows nothing of hosts (007, 530).
set -eu
root=$(cd "$(dirname "$0")/../.." && pwd)
out=$(mktemp)
trap 'rm -f "$out"' EXIT

MOB_BUILD=${MOB_BUILD:-$root/build} MOB_LAB_TOOL=$root/tests/hosts/loopback
PATH=$MOB_BUILD/bin:$PATH
export MOB_BUILD MOB_LAB_TOOL PATH
MOB_DEMO_QUICK=1 "$MOB_LAB_TOOL" run 4 -- sh "$root/examples/demo-cluster" "$MOB_BUILD/examples" >"$out" 2>&1 || {
    cat "$out"
    exit 1
}
grep -q 'licence=1: at most 3 at once' "$out"
grep -q 'tasks by host:.*127.0.0.11' "$out"
if ps -e -o args= | grep -E '^mobula-(head|raylet) .*127\.0\.0\.1[0-3]'; then
    echo "processes were left"
    exit 1
fi
