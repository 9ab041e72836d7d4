#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# types.sh ROOT -- mypy finds Python's hints in keeping with the code that they are on, and they tell a user's program what its values are.
set -eu
cd "$1"
export MYPY_CACHE_DIR="${TMPDIR:-/tmp}/mobula-types.$$" MYPYPATH=python
trap 'rm -rf "$MYPY_CACHE_DIR"' EXIT
mypy --python-version 3.11 --no-site-packages --ignore-missing-imports python/mobula
mypy --python-version 3.11 --no-site-packages --ignore-missing-imports --follow-imports silent --strict tests/python/typed.py
