#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# 310-tasks.sh -- tasks end, harm or flood their own process, here and on another node: that worker alone is lost, and its driver is told
# how it ended. What they print is bounded.
. "$(dirname "$0")/lib.sh"
. "$(dirname "$0")/bad.sh"
in_lab 2 "$@"

cluster_start 2 --num-cpus 4
bystander_start
expect driver_on h0 bad_tasks "$MOB_LAB/share"
bystander_end
expect on h0 mobula health

logs_kib=$(on h0 sh -c 'du -sk /tmp/mobula-*/*/logs /run/user/*/mobula/*/logs 2>/dev/null' | awk '{ sum += $1 } END { print sum + 0 }')
[ "$logs_kib" -lt 102400 ] || fail "the flood left $logs_kib KiB of logs"

# Again from h1, whose node lends nothing: every task runs on h0.
rm -f "$MOB_LAB/share/forwards.end"
expect on h1 mobula stop
expect on h1 env MOBULA_ADDRESS="$(head_at)" bad_tasks "$MOB_LAB/share"
wait_until 10 no_workers h0
expect on h0 mobula health
