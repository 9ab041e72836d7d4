#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# style.sh ROOT -- what CONTRIBUTING.md says of form, as far as a script can see it: names each place that breaks a rule.
set -eu
cd "$1"
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
broken=$folder/broken
: >"$broken"

find . -name build -prune -o -name .git -prune -o -type f -print | sed 's,^\./,,' | sort >"$folder/all"
grep -E '\.[ch]$' "$folder/all" >"$folder/c"
grep -E '\.([ch]|proto|sh|cmake)$|^run$|^tests/(all|trees|fuzz/keep|hosts/lab)$' "$folder/all" >"$folder/code"

# Lines: 140 columns; the tables and one-line scripts of tests may be longer.
grep -v '^tests/' "$folder/code" | xargs awk 'length($0) > 140 { print FILENAME ":" FNR ": " length($0) " columns, more than 140" }' >>"$broken"
# Files: 600 lines.
xargs wc -l <"$folder/c" | awk '$2 != "total" && $1 > 600 { print $2 ": " $1 " lines" }' >>"$broken"
# Functions: 70 lines.
xargs awk 'FNR == 1 { from = 0 } /^\{$/ { from = FNR } /^\}$/ && from { if (FNR - from > 70)
    print FILENAME ":" from ": a function of " FNR - from " lines"; from = 0 }' <"$folder/c" >>"$broken"
# Left behind.
xargs grep -nE '\b(TODO|FIXME|XXX)\b' <"$folder/code" /dev/null | grep -v 'tests/unit/style.sh' >>"$broken" || true
xargs grep -LE 'SPDX-License-Identifier: Apache-2.0' <"$folder/code" | grep -v '\.proto$' | sed 's/$/: no SPDX line/' >>"$broken" || true
# Each system test has a number of its own.
sed -n 's,^tests/system/\([0-9]*\)-.*\.sh$,\1,p' "$folder/all" | uniq -d | sed 's,^,tests/system: two tests have the number ,' >>"$broken"
# The wall clock is for people: it is read where these say so, and nothing waits by it.
grep -E '^(common|rpc|objstore|head|raylet|worker|cli|python)/' "$folder/c" |
    xargs grep -nE 'CLOCK_REALTIME|gettimeofday|[^_a-z]time\(|mob_wall_ns\(|pthread_(cond|rwlock)_timed|pthread_mutex_timedlock|sem_timedwait' |
    grep -vE '^(common/(log|loop)\.c|head/(events|world)\.c|worker/init\.c|[a-z]+/[a-z_]+\.h):|gpr_inf_future' |
    sed 's/$/: by the wall clock?/' >>"$broken" || true
# What README says where it is, is there.
grep -oE '`[a-z]+(/[a-z_]+)+\.[ch]`' README.md | tr -d '`' | sort -u | while read -r file; do
    [ -f "$file" ] || echo "README.md: $file is not there" >>"$broken"
done

cat "$broken"
[ ! -s "$broken" ]
