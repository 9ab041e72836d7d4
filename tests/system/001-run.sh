#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# 001-run.sh -- the front door: ./run lists its verbs and refuses others, its exports work in any folder, and setup says what to ask for where it
# may not install, and installs what is missing where it may; what Debian has not comes from pip, into an environment of /usr/bin/python3.
. "$(dirname "$0")/lib.sh"
run=$(dirname "$tests")/run
folder=$(mktemp -d)
trap 'rm -rf "$folder"; [ "$failures" = 0 ] || exit 1' EXIT

# -- words
usage=$("$run")
expect_eq $? 0 "./run without a verb"
for verb in demo test bench setup build env clean; do
    expect grep -q "^  $verb " <<<"$usage"
done
expect_eq "$("$run" --help)" "$usage" "./run --help"
said=$("$run" dance 2>&1 >/dev/null)
expect_eq $? 2 "an unknown verb"
expect_eq "$said" "$usage" "what an unknown verb is told, on stderr"
sh "$tests/all" --quick >/dev/null 2>&1 </dev/null
expect_eq $? 2 "an unknown option of the verb test"

# -- env, in a folder with a space, for build/ of this tree
if [ "$MOB_BUILD" = "$(dirname "$run")/build" ]; then
    mkdir "$folder/my programs"
    cp "$tests/system/prints.c" "$folder/my programs"
    # shellcheck disable=SC2016
    expect env -i HOME="$HOME" PATH=/usr/local/bin:/usr/bin:/bin sh -euc 'cd "$2"
        eval "$("$1" env)"
        [ "$(command -v mobula)" = "$3/bin/mobula" ]
        mobula version >/dev/null
        [ "$(command -v python3)" = "$3/venv/bin/python3" ]
        python3 -c "import mobula, pyarrow, torchvision, pandas, sys; assert sys.base_prefix == \"/usr\""
        test "$(mobula --version)" = "$(mobula version)"
        cc prints.c $(pkg-config --cflags --libs mobula) -o prints
        ldd ./prints | grep -q "$3/lib/libmobula.so"' sh "$run" "$folder/my programs" "$MOB_BUILD"
fi

# -- setup, where `cmake` and `jq` are missing: a PATH that has only what is put there
mkdir "$folder/bin" "$folder/tree"
cp "$run" "$folder/tree"
for tool in sh env cat rm mkdir dirname id; do
    ln -s "$(command -v $tool)" "$folder/bin/$tool"
done
cat >"$folder/bin/dpkg-query" <<'END'
#!/bin/sh
for package; do :; done
case $package in cmake | jq) echo 'dpkg-query: no packages found' >&2; exit 1 ;; *) printf installed ;; esac
END
cat >"$folder/bin/apt-get" <<END
#!/bin/sh
echo "\$@" >>"$folder/apt"
[ ! -e "$folder/offline" ] || { echo "E: nothing is reached"; exit 100; }
END
chmod +x "$folder/bin/dpkg-query" "$folder/bin/apt-get"
chmod -R a+rX "$folder"
# pip finds nothing but what is in $folder/wheels: a package that is pyarrow by its name.
/usr/bin/python3 - "$folder/wheels" <<'END'
import os, sys, zipfile
os.mkdir(sys.argv[1])
with zipfile.ZipFile(sys.argv[1] + "/pyarrow-20.0.0-py3-none-any.whl", "w") as wheel:
    wheel.writestr("pyarrow/__init__.py", "mine = True")
    wheel.writestr("pyarrow-20.0.0.dist-info/METADATA", "Metadata-Version: 2.1\nName: pyarrow\nVersion: 20.0.0\n")
    wheel.writestr("pyarrow-20.0.0.dist-info/WHEEL", "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n")
    wheel.writestr("pyarrow-20.0.0.dist-info/RECORD", "")
END
setup() {
    "$@" env -i PATH="$folder/bin" TMPDIR=/tmp PIP_CONFIG_FILE=/dev/null PIP_NO_INDEX=1 PIP_FIND_LINKS="$folder/wheels" \
        "$folder/tree/run" setup >"$folder/out" 2>"$folder/err"
}

as_user=$([ "$(id -u)" != 0 ] || echo setpriv --reuid=65534 --regid=65534 --clear-groups)
# shellcheck disable=SC2086
setup $as_user
expect_eq $? 2 "setup without rights"
expect_eq "$(cat "$folder/err")" "Please ask for these packages, then run this again:
    apt-get install -y --no-install-recommends cmake jq " "what setup says"
expect_not test -e "$folder/apt"
if [ "$(id -u)" = 0 ]; then
    setup
    expect_eq $? 0 "setup as root"
    expect_eq "$(cat "$folder/apt")" "update -q
install -q -y --no-install-recommends cmake jq" "what apt-get was told"
    expect "$folder/tree/build/venv/bin/python3" -c 'import pyarrow, numpy; assert pyarrow.mine'
    rm -r "$folder/wheels"
    setup
    expect_eq $? 0 "setup once more"
    rm -r "$folder/tree/build"
    setup
    expect_eq $? 2 "setup where pip finds no pyarrow"
    expect grep -q "run: pip could not install pyarrow in $folder/tree/build/venv;" "$folder/err"
    : >"$folder/offline"
    setup
    expect_eq $? 2 "setup as root, without a network"
    expect grep -q "E: nothing is reached" "$folder/err"
    expect grep -q "run: could not install cmake jq" "$folder/err"
fi
