#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# 020-install.sh -- what `cmake --install` puts somewhere works there, and where it is moved to: a driver linked against the shared library and
# one with libmobula.a in it start a private cluster, and `mobula start` finds its daemons.
. "$(dirname "$0")/lib.sh"
! grep -q '^MOB_SANITIZE:STRING=.' "$MOB_BUILD/CMakeCache.txt" || skip "a sanitizer's runtime would have to be linked, too"
for tool in cmake cc pkg-config; do
    command -v "$tool" >/dev/null || skip "no $tool here"
done
folder=$(mktemp -d)
trap '"$folder/moved/bin/mobula" stop --all >/dev/null 2>&1; rm -rf "$folder"; [ "$failures" = 0 ] || exit 1' EXIT
mkdir -m 700 "$folder/run" "$folder/home"
export XDG_RUNTIME_DIR=$folder/run HOME=$folder/home
unset LD_LIBRARY_PATH MOBULA_ADDRESS MOBULA_TOKEN_FILE MOBULA_BIN
PATH=${PATH#"$MOB_BUILD/bin:"}

cmake --install "$MOB_BUILD" --prefix "$folder/first" >"$folder/log" 2>&1 || fail "cmake --install: $(tail -3 "$folder/log")"
mv "$folder/first" "$folder/moved"
export PKG_CONFIG_PATH=$folder/moved/lib/pkgconfig
for file in bin/mobula bin/mobula-head bin/mobula-raylet lib/libmobula.so lib/libmobula.a include/mobula.h lib/pkgconfig/mobula.pc; do
    expect test -e "$folder/moved/$file"
done

cp "$tests/system/prints.c" "$folder"
cd "$folder" || exit 1
# shellcheck disable=SC2046
expect cc prints.c $(pkg-config --cflags --libs mobula) -o shared
# shellcheck disable=SC2046
expect cc prints.c $(pkg-config --cflags mobula) moved/lib/libmobula.a $(pkg-config --libs libprotobuf-c jansson) -pthread -ldl -o static
expect_eq "$(LD_LIBRARY_PATH=moved/lib timeout 60 ./shared 2 exit 2>/dev/null | grep -c said)" 100 "shared"
expect_eq "$(PATH=$folder/moved/bin:$PATH timeout 60 ./static 2 shutdown 2>/dev/null | grep -c said)" 100 "static"
expect_eq "$(ldd static | grep -cE 'libmobula|libuv|libcrypto')" 0 "what the static one loads"

expect moved/bin/mobula start --head --port 0 --node-ip-address 127.0.0.1 --num-cpus 1 >"$folder/log" 2>&1
expect_eq "$(MOBULA_ADDRESS=auto LD_LIBRARY_PATH=moved/lib timeout 60 ./shared 2 exit 2>/dev/null | grep -c said)" 100 "shared, mobula start"
expect moved/bin/mobula stop --all >>"$folder/log" 2>&1
expect_eq "$(find "$folder/run" -name '*@127.0.0.1@*')" "" "left behind"
