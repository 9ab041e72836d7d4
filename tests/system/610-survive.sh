#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# 610-survive.sh -- the sort, the long run of examples/survive and the tutorial come to the right results while a host of four is killed every
# few seconds and another joins; the long run is killed, too, and goes on where it was.
. "$(dirname "$0")/lib.sh"
root=$(dirname "$tests")
[ "$("$lab" probe)" != none ] || skip "no namespaces on this machine"
folder=$(mktemp -d "$MOB_BUILD/survive.XXXXXX")
trap 'rm -rf "$folder"' EXIT

# survives EVERY COMMAND...: its output into $said; at least one host was killed meanwhile.
survives() {
    said=$(timeout 100 "$root/examples/survive/survive" --every "$@" 2>&1) || fail "$2 ended with status $?: $said"
    expect grep -q '^survive: [1-9][0-9]* hosts were killed' <<<"$said"
}

survives 1 "$MOB_BUILD/examples/shuffle" --size=192
expect grep -qE '^shuffle: 192 MiB, .* checksum ([0-9a-f]{16}) of 2013265 generated, \1 of 2013265 sorted' <<<"$said"

[ -e "$MOB_BUILD/python/mobula/_core.abi3.so" ] || exit $((failures > 0))
long_run=(/usr/bin/python3 "$root/examples/survive/long_run.py" "$folder/journal" --parts 100 --seconds 0.3)
# shellcheck disable=SC2016
killed='"$@" & until [ "$(cat "$0" 2>/dev/null | wc -l)" -ge 10 ]; do sleep 0.05; done; kill -KILL $!'
timeout 60 "$root/examples/survive/survive" --every 2 sh -c "$killed" "$folder/journal" "${long_run[@]}" >"$folder/said" 2>&1
done_before=$(wc -l <"$folder/journal")
[ "$done_before" -gt 0 ] && [ "$done_before" -lt 100 ] || fail "$done_before parts before it was killed: $(cat "$folder/said")"
printf '{"part": 9' >>"$folder/journal"
survives 2 "${long_run[@]}"
expect grep -qx "$done_before of 100 parts are in $folder/journal" <<<"$said"
expect grep -qx "100 parts, 0 differ from a serial run" <<<"$said"
expect_eq "$(wc -l <"$folder/journal")" 100 "lines of the journal"

survives 5 "$root/build/venv/bin/python3" "$root/examples/tutorial/tutorial.py" --quick --folder "$folder"
expect_eq "$(cut -d, -f1,8 "$folder/tutorial.csv" | tail -n +2 | sort | uniq -c | awk '{ print $1, $2 }')" "1 fibonacci,equal
2 images,equal
1 inference,equal
1 pi,equal" "results"
exit $((failures > 0))
