#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# 155-missing-library.sh -- a program needs a library which another node does not have, or has only in an older version: the driver is
# told the node and the library while its task waits for somebody to install it, and the task runs when that is done. The program is
# fetched once.
. "$(dirname "$0")/tasks.sh"
in_lab 3 "$@"

command -v cc >/dev/null || skip "no compiler"
! grep -q "^MOB_SANITIZE:STRING=." "$MOB_BUILD/CMakeCache.txt" || skip "a sanitizer's runtime would have to be linked, too"

cluster_start 3 --num-cpus 2 >/dev/null
meeting
cat >"$meet/only.c" <<'END'
int only_here(void) { return 7; }
END
cat >"$meet/needs.c" <<'END'
#include <mobula.h>
#include <stdio.h>
#include <string.h>
int only_here(void);
static int seven(struct mob_task *t, struct mob_error *err)
{
    int n = only_here();
    return mob_return(t, 0, MOB_BYTES(&n, sizeof n), err);
}
MOB_TASK(seven)
int main(int argc, char **argv)
{
    struct mob_init_options o = { .size = sizeof o };
    struct mob_options there = { .size = sizeof there, .strategy = argv[1] };
    struct mob_error err;
    struct mob_ref *ref;
    struct mob_fn *fn;
    int n = 0;
    if (mob_init(argc, argv, &o, &err) < 0 || (fn = mob_fn("seven", &there, &err)) == NULL
        || mob_call(fn, NULL, 0, &ref, &err) < 0 || mob_get_copy(ref, 40000, &n, sizeof n, &err) < 0)
        printf("error %d: %s\n", err.code, err.text);
    printf("%d\n", n);
    mob_shutdown();
}
END
echo 'ONLY_1 { global: only_here; };' >"$meet/old"
echo 'ONLY_2 { global: only_here; };' >"$meet/new"
mkdir "$meet/1"
cc -shared -fPIC -Wl,--version-script="$meet/new" -o "$meet/libonlyhere.so" "$meet/only.c" \
    && cc -shared -fPIC -Wl,--version-script="$meet/old" -o "$meet/1/libonlyhere.so" "$meet/only.c" \
    && cc -I"$tests/../include" -o "$meet/needs" "$meet/needs.c" -L"$MOB_BUILD/lib" -lmobula \
        -L"$meet" -lonlyhere -Wl,-rpath,/opt/user \
    || fail "cannot compile"
on h1 cp "$meet/libonlyhere.so" "$meet/needs" /opt/user/
number() { on h0 mobula list nodes --format json | jq -r --arg ip "$("$lab" ip "$1")" '.[] | select(.ip == $ip) | .id // .node'; }
needs() { on h1 env MOBULA_ADDRESS="$("$lab" ip h0):$port" timeout 60 /opt/user/needs "node=$1"; }
expect_eq "$(needs "$(number h1)")" 7 "where the library is"

needs "$(number h2)" >"$meet/out" 2>"$meet/said" & driver=$!
wait_until 10 grep -q "$("$lab" ip h2).* the library libonlyhere.so is not installed there" "$meet/said"
on h2 cp "$meet/1/libonlyhere.so" /opt/user/
wait_until 20 grep -q "$("$lab" ip h2).* the library libonlyhere.so with version ONLY_2 is not installed there" "$meet/said"
on h2 cp "$meet/libonlyhere.so" /opt/user/
ends $driver
expect_eq "$(cat "$meet/out")" 7 "when the library is there"
expect_eq "$(on h2 mobula logs mobula-raylet.log | grep -c "the program .* came from")" 1 fetches
