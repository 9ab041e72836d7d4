#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# 500-python.sh -- what a Python program does on one node, in a private cluster that ends with it, and in one of several nodes that it
# starts and ends itself: tests/python/test_*.py, but for those that have a test of their own (505, 530).
. "$(dirname "$0")/lib.sh"
in_lab 1 "$@"

[ -e "$MOB_BUILD/python/mobula/_core.abi3.so" ] || skip "built without Python"
for test in "$tests"/python/test_*.py; do
    case $test in */test_template.py | */test_libraries.py) continue ;; esac
    said=$(on h0 env PYTHONPATH="$MOB_BUILD/python" timeout 100 /usr/bin/python3 "$test" 2>&1) || fail "$said"
    grep -q '^OK$' <<<"$said" || fail "$said"
done
