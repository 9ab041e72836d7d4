#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# 340-full.sh -- the run folder is on a disk that becomes full: tasks run on, what cannot be kept is counted and said, and when there is
# room again the cluster is whole. The same where logs cannot be written. A disk that is full from the start is a clear refusal.
. "$(dirname "$0")/lib.sh"
. "$(dirname "$0")/bad.sh"
in_lab 2 "$@"

# Every command on h0 finds the run folder there.
on h0 sh -c 'mkdir /tmp/mobula-0 && mount -t tmpfs -o size=8m,mode=700 small /tmp/mobula-0'
fill() { on h0 sh -c 'dd if=/dev/zero of=/tmp/mobula-0/ballast bs=64k 2>/dev/null; ! printf "%4096s" x >>/tmp/mobula-0/more 2>/dev/null'; }
empty() { on h0 rm -f /tmp/mobula-0/ballast /tmp/mobula-0/more; }

fill
says "No space left on device" on h0 mobula start --head --port "$port"
empty
expect nothing_left h0

cluster_start 2 --num-cpus 2
bystander_start
fill
expect driver_on h0 bad_words
expect driver_on h0 bad_tasks "$MOB_LAB/share"
expect on h0 mobula health
expect on h0 mobula status >/dev/null
says "No space left on device" on h0 bad_words          # a private cluster needs a folder of its own
empty
expect on h0 bad_words
expect driver_on h0 bad_words
# What the record lost meanwhile is counted, with the disk's own words.
expect grep -Eq '^\([1-9][0-9]* records were not kept: cannot write .*/events\.[01]: No space left on device\)$' <(on h0 mobula list tasks --limit 3)

# The folder of the logs cannot be written.
logs=$(on h0 sh -c 'echo /tmp/mobula-0/*@*/logs')
on h0 mount -t tmpfs -o ro none "$logs"
rm -f "$MOB_LAB/share/forwards.end"
expect driver_on h0 bad_tasks "$MOB_LAB/share"
on h0 umount "$logs"
expect grep -q "$logs.*Read-only file system" <(on h0 cat "$logs/mobula-raylet.log")

bystander_end
expect on h0 mobula list tasks --limit 3 >/dev/null
expect_eq "$(node_count)" 2 "nodes after all this"
cluster_stop
on h0 umount /tmp/mobula-0
