#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# 160-build.sh -- a user's program is compiled with pkg-config from the build tree and from an installed one, in C and C++, and runs.
. "$(dirname "$0")/tasks.sh"
in_lab 1 "$@"
command -v cc pkg-config cmake >/dev/null || skip "no compiler, pkg-config or cmake"

meeting
cat >"$meet/square.c" <<'END'
#include <mobula.h>
#include <stdio.h>
static int square(struct mob_task *t, struct mob_error *err)
{
    int n;
    if (mob_arg_copy(t, 0, &n, sizeof n, err) < 0)
        return -1;
    n *= n;
    return mob_return(t, 0, MOB_BYTES(&n, sizeof n), err);
}
MOB_TASK(square)
int main(int argc, char **argv)
{
    struct mob_error err;
    struct mob_fn *fn;
    struct mob_ref *ref;
    int n = 12;
    struct mob_value v = MOB_BYTES(&n, sizeof n);
    if (mob_init(argc, argv, NULL, &err) < 0 || (fn = mob_fn("square", NULL, &err)) == NULL
        || mob_call(fn, &v, 1, &ref, &err) < 0 || mob_get_copy(ref, MOB_FOREVER, &n, sizeof n, &err) < 0)
        return fprintf(stderr, "%s\n", err.text), 1;
    printf("%d\n", n);
    mob_shutdown();
    return 0;
}
END
cp "$meet/square.c" "$meet/square.cc"

# compiles_and_runs FOLDER_OF_PKGCONFIG PREFIX
compiles_and_runs() {
    local flags
    flags=$(PKG_CONFIG_PATH=$1 pkg-config --cflags --libs mobula) || fail "pkg-config in $1"
    # shellcheck disable=SC2086
    for source in square.c square.cc; do
        case $source in *.c) compiler="cc -Wall -Wextra -Werror" ;; *) compiler="c++ -Wall -Wextra -Werror" ;; esac
        $compiler "$meet/$source" $flags -o "$meet/square" || { fail "$compiler with $1"; continue; }
        expect_eq "$(on h0 env LD_LIBRARY_PATH="$2" PATH="$3:/usr/bin:/bin" timeout 30 "$meet/square")" 144 "$source with $1"
        wait_until 5 nothing_left h0
    done
}

compiles_and_runs "$MOB_BUILD/pkgconfig" "$MOB_BUILD/lib" "$MOB_BUILD/bin"
DESTDIR='' cmake --install "$MOB_BUILD" --prefix "$meet/prefix" >/dev/null || fail "cmake --install"
library=$(dirname "$(find "$meet/prefix" -name libmobula.so | head -n 1)")
compiles_and_runs "$(dirname "$(find "$meet/prefix" -name mobula.pc)")" "$library" "$meet/prefix/bin"
expect_eq "$(LD_LIBRARY_PATH=$library "$meet/prefix/bin/mobula" version | grep -c .)" 1 "mobula version from the installed tree"
