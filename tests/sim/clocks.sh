#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# clocks.sh TEST_SIM -- a run in which each process's wall clock is years off the others' goes, step for step, like one in which all agree.
set -eu
steps() { "$1" --seed 1 --seeds 10 --drivers 3 --faults "$2" | grep steps; }

agree=$(steps "$1" drop,kill,restart-node)
differ=$(steps "$1" drop,kill,restart-node,clock-step)
[ "$agree" = "$differ" ] || { printf 'with one wall clock:\n%s\nwith many:\n%s\n' "$agree" "$differ"; exit 1; }
