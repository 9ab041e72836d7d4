#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# 507-python-words.sh -- help() and an editor tell a Python user what there is: each public name has words and types (tests/python/test_public.py).
. "$(dirname "$0")/lib.sh"
in_lab 1 "$@"

[ -e "$MOB_BUILD/python/mobula/_core.abi3.so" ] || skip "built without Python"
said=$(on h0 env PYTHONPATH="$MOB_BUILD/python" timeout 50 /usr/bin/python3 "$tests/python/test_public.py" 2>&1) || fail "$said"
grep -q '^OK$' <<<"$said" || fail "$said"
