#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# 220-driver-death.sh -- a driver is killed with tasks running on three hosts, 1,000,000 queued, and large values in its store: all of its
# job is gone everywhere, what its tasks left in sessions of their own included; another driver does not notice. A private cluster goes
# with its driver.
. "$(dirname "$0")/tasks.sh"
in_lab 3 "$@"

# Of the driver that is killed: only the other one's job is there, nothing waits, no store keeps anything.
nothing_kept() { on h0 mobula status --format json | jq -e '.jobs == 1 and .waiting == 0 and ([.nodes[] | .queued + .store_used] | add) == 0'; }

queued=1000000
[ -z "${MOB_SANITIZED:-}" ] || queued=100000
cluster_start 3 --num-cpus 4 >/dev/null

# The other driver has another name and hash: so its processes are told from those of the one that is killed.
on h1 sh -c 'cp "$0" /opt/user/mobula-other && echo >>/opt/user/mobula-other' "$tasks"
meeting
other=$meet
on h1 env MOBULA_ADDRESS="$("$lab" ip h0):$port" timeout 60 /opt/user/mobula-other works "$other" >"$other/said" & worker=$!
appears working

meeting
on h0 env MOBULA_ADDRESS="$("$lab" ip h0):$port" "$tasks" floods "$meet" "$queued" & driver=$!
appears ready 30
for host in h0 h1 h2; do
    expect_not no_tasks "$host"
done
expect_not nothing_kept >/dev/null
on h0 sh -c 'kill -KILL $(pgrep -f "^$0 floods")' "$tasks"
for host in h0 h1 h2; do
    wait_until 3 no_tasks "$host"
done
wait_until 3 nothing_kept
wait $driver 2>/dev/null
expect scene h0 results >/dev/null

meet=$other
rm "$meet/working"
appears working
touch "$meet/stop"
ends $worker

# A private cluster.
cluster_stop
meeting
private h1 stands "$meet" grandparent 2 spread 0 0 2>/dev/null >/dev/null & driver=$!
appears ready
on h1 sh -c 'kill -KILL $(pgrep -f "^$0 stands")' "$tasks"
ends $driver 137
wait_until 5 no_tasks h1
wait_until 5 nothing_left h1
