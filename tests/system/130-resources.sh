#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# 130-resources.sh -- never more is held at once than there is: parts of a CPU, GPUs by index and in parts, things of one's own.
. "$(dirname "$0")/tasks.sh"
in_lab 4 "$@"

expect private h1 holds CPU=0.5 4 >/dev/null
expect private h1 holds CPU=2 1 >/dev/null
expect private h1 holds CPU=0,GPU=1 2 >/dev/null
expect private h1 holds CPU=0.1,GPU=0.5 4 >/dev/null
expect private h1 holds licence=1 3 >/dev/null          # and no CPU
cluster_start 1 --num-cpus 2 --num-gpus 0 >/dev/null
node_start h1 --num-cpus 2 --num-gpus 2 >/dev/null
node_start h2 --num-cpus 2 --num-gpus 1 --resources='{"licence": 3}' >/dev/null
node_start h3 --num-cpus 2 --num-gpus 0 --resources='{"licence": 1}' >/dev/null
wait_until 10 node_count_is 4
expect scene h0 holds CPU=1 8 >/dev/null
expect scene h0 holds CPU=0.25,GPU=1 3 >/dev/null
expect scene h3 holds CPU=0.25,GPU=0.5 6 >/dev/null
expect scene h0 holds CPU=0.5,GPU=2 1 >/dev/null
expect scene h0 holds CPU=0.5,licence=1 4 >/dev/null
expect scene h1 holds CPU=0,licence=0.5 8 >/dev/null
