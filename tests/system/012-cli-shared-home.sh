#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# 012-cli-shared-home.sh -- two hosts share /tmp, /run and $HOME: the run folder has the daemons of both, and `stop` on one of them
# must neither end the other's nor remove their files, whatever pids they have.
. "$(dirname "$0")/lib.sh"
in_lab --shared-fs 2 "$@"

sessions() { on h0 sh -c 'find "${XDG_RUNTIME_DIR:-/nowhere}/mobula" /tmp/mobula-* -mindepth 1 -maxdepth 1 -name "*@*" 2>/dev/null' | wc -l; }

cluster_start 2
expect_eq "$(sessions)" 2 "session folders"
expect on h1 mobula stop --all
expect_eq "$(sessions)" 1 "session folders after a stop on h1"
expect on h0 mobula health
expect on h0 mobula wait --nodes 1 --timeout 5
expect on h1 mobula health --address="$("$lab" ip h0):$port"

# Looking on h1 sweeps what is dead and of h1, nothing of h0.
expect_not on h1 mobula status 2>/dev/null
expect_eq "$(sessions)" 1 "session folders after a look on h1"
expect on h0 mobula health
