#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# 505-python-forks.sh -- Python workers are forked from a template of their job: what they are like, what the driver's modules may do to it,
# and its death at any moment: tests/python/test_template.py.
. "$(dirname "$0")/lib.sh"
in_lab 1 "$@"

[ -e "$MOB_BUILD/python/mobula/_core.abi3.so" ] || skip "built without Python"
said=$(on h0 env PYTHONPATH="$MOB_BUILD/python" timeout 110 /usr/bin/python3 "$tests/python/test_template.py" 2>&1) || fail "$said"
grep -q '^OK$' <<<"$said" || fail "$said"
