#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# 157-libraries-beside.sh -- a program finds a library by $ORIGIN, and that one another: they go with it to nodes that have neither, once.
# Another library is another program; one that is not beside it must be installed.
. "$(dirname "$0")/tasks.sh"
in_lab 2 "$@"

command -v cc >/dev/null || skip "no compiler"
! grep -q "^MOB_SANITIZE:STRING=." "$MOB_BUILD/CMakeCache.txt" || skip "a sanitizer's runtime would have to be linked, too"

cluster_start 2 --num-cpus 2 >/dev/null
meeting
cat >"$meet/app.c" <<'END'
#include <mobula.h>
#include <stdio.h>
int outer(void);
static int number(struct mob_task *t, struct mob_error *err)
{
    int n = outer();
    return mob_return(t, 0, MOB_BYTES(&n, sizeof n), err);
}
MOB_TASK(number)
int main(int argc, char **argv)
{
    struct mob_init_options o = { .size = sizeof o };
    struct mob_options there = { .size = sizeof there, .strategy = argv[1] };
    struct mob_error err;
    struct mob_ref *refs[12];
    int n = 0;
    if (mob_init(argc, argv, &o, &err) < 0)
        return 2;
    struct mob_fn *fn = mob_fn("number", &there, &err);
    for (int i = 0; i < 12; i++)
        if (mob_call(fn, NULL, 0, &refs[i], &err) < 0)
            return 2;
    for (int i = 0; i < 12; i++)
        if (mob_get_copy(refs[i], 20000, &n, sizeof n, &err) < 0)
            printf("error %d: %s\n", err.code, err.text);
    printf("%d\n", n);
    mob_shutdown();
}
END
echo 'int inner(void); int outer(void) { return inner(); }' >"$meet/outer.c"
mkdir -p "$meet/app/lib/deep"
library() { echo "int inner(void) { return $1; }" >"$meet/inner.c"; cc -shared -fPIC -o "$meet/app/lib/deep/libinner.so" "$meet/inner.c"; }
library 7 && cc -shared -fPIC -Wl,-rpath,'$ORIGIN/deep' -o "$meet/app/lib/libouter.so" "$meet/outer.c" -L"$meet/app/lib/deep" -linner \
    && cc -I"$tests/../include" -o "$meet/app/app" "$meet/app.c" -L"$MOB_BUILD/lib" -lmobula -L"$meet/app/lib" -louter \
        -Wl,-rpath,'$ORIGIN/../none:$ORIGIN/lib' -Wl,-rpath-link,"$meet/app/lib/deep" || fail "cannot compile"
# libmobula.so beside it is not shipped: each node's workers have their own.
cp "$MOB_BUILD"/lib/libmobula.so.1 "$meet/app/lib/"
node=$(on h0 mobula list nodes --format json | jq -r --arg ip "$("$lab" ip h1)" '.[] | select(.ip == $ip) | .id // .node')
app() { on h0 env MOBULA_ADDRESS="$("$lab" ip h0):$port" timeout 60 /opt/user/app/app "node=$node"; }
folders() { on h1 sh -c 'find /tmp/mobula-* /run/user -path "*/raylet-*.d/*.d" -type d 2>/dev/null'; }
came() { on h1 mobula logs mobula-raylet.log | grep -c "the program .* came from .*, with 2 libraries"; }

on h0 cp -r "$meet/app" /opt/user/
expect_eq "$(app)" 7 "on a host without the libraries"
expect_eq "$(folders | wc -l) $(came)" "1 1" "folders and fetches"
expect_eq "$(on h1 find "$(folders)" -type f -printf '%P\n' | sort | xargs)" "app lib/deep/libinner.so lib/libouter.so" "what was shipped"
expect_eq "$(app)" 7 "again"
expect_eq "$(folders | wc -l) $(came)" "1 1" "folders and fetches, again"

library 8 && on h0 cp "$meet/app/lib/deep/libinner.so" /opt/user/app/lib/deep/
expect_eq "$(app)" 8 "with another library"
expect_eq "$(folders | wc -l) $(came)" "2 2" "folders and fetches of both"

# A file that the loader finds elsewhere is that node's own affair.
on h0 sh -c 'mkdir /opt/user/none && mv /opt/user/app/lib/libouter.so /opt/user/none/ && cp -r /opt/user/app/lib/deep /opt/user/none/'
app >"$meet/out" 2>"$meet/said" & driver=$!
wait_until 20 grep -q "$("$lab" ip h1).* the library libouter.so is not installed there" "$meet/said"
# shellcheck disable=SC2046
on h0 kill -KILL $(running h0 '*/app') 2>/dev/null
wait $driver || :
