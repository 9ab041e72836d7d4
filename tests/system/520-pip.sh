#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# 520-pip.sh -- what `pip install .` puts into a virtual environment works there without a variable that says where: a driver, its private
# cluster, the command `mobula` and its daemons; by one wheel in each CPython from 3.11 on that this machine has. Uninstalled, nothing is
# left. pip builds the wheel (as `pip install .` does) with scikit-build-core, which it must be able to reach.
. "$(dirname "$0")/lib.sh"
! grep -q '^MOB_SANITIZE:STRING=.' "$MOB_BUILD/CMakeCache.txt" || skip "an interpreter without the sanitizer cannot load it"
folder=$(mktemp -d)
trap '"$folder/venv/bin/mobula" stop --all >/dev/null 2>&1; rm -rf "$folder"; [ "$failures" = 0 ] || exit 1' EXIT
mkdir -m 700 "$folder/run" "$folder/home"
# Nothing of the build tree, nor of who runs the tests.
alone() { env -i HOME="$folder/home" XDG_RUNTIME_DIR="$folder/run" PATH=/usr/bin:/bin timeout 60 "$@"; }
pip() { env -u PYTHONPATH -u LD_LIBRARY_PATH timeout 550 "$folder/venv/bin/python" -m pip --disable-pip-version-check "$@"; }
must() { "$@" >"$folder/log" 2>&1 || { fail "$*: $(tail -25 "$folder/log")"; exit 1; }; }

must /usr/bin/python3 -m venv "$folder/venv"
must pip wheel --wheel-dir "$folder/wheels" "$(dirname "$tests")"
expect_eq "$(cd "$folder/wheels" && echo mobula-*-cp311-abi3-*.whl | wc -w)" 1 "wheels for all versions"
expect_eq "$(find "$(dirname "$tests")" -maxdepth 2 -name '*.egg-info' -o -maxdepth 2 -name '_skbuild')" "" "left in the tree"

# driver_in VENV [ADDRESS]
driver_in() { alone "$folder/$1/bin/python" "$tests/python/drivers/installed.py" ${2:+"$2"} 2>&1; }
must pip install --no-index --find-links "$folder/wheels" mobula
expect_eq "$(driver_in venv)" "Python 3.11 as installed"
# other_python VERSION: the path of one that works, on PATH or of pyenv.
other_python() {
    local python
    for python in "python$1" "${PYENV_ROOT:-$HOME/.pyenv}/versions/$1".*/bin/python3; do
        "$python" -c 'import sys, venv; print(sys.executable)' 2>/dev/null && return
    done
}
for version in 3.12 3.13 3.14; do
    python=$(other_python "$version") || { say "no Python $version here to try"; continue; }
    must "$python" -m venv --without-pip "$folder/$version"
    must pip install --no-index --find-links "$folder/wheels" --only-binary :all: --python-version "$version" \
        --target "$folder/$version/lib/python$version/site-packages" mobula
    expect_eq "$(driver_in "$version")" "Python $version as installed"
done

command=$folder/venv/bin/mobula
expect grep -q "^mobula [0-9]" <<<"$(alone "$command" version)"
expect alone "$command" start --head --port 0 --node-ip-address 127.0.0.1 --num-cpus 1 >"$folder/log" 2>&1
expect_eq "$(driver_in venv auto)" "Python 3.11 as installed" "in a cluster that the command started"
expect alone "$command" stop --all >>"$folder/log" 2>&1
expect_eq "$(find "$folder/run" -mindepth 1 -name '*@127.0.0.1@*')" "" "left of clusters"

must pip uninstall --yes mobula
expect_eq "$(find "$folder/venv" -name '*mobula*')" "" "left of the package"
