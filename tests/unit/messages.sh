#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# messages.sh ROOT -- docs/protocol.md has a row for each body of an Envelope and for each verb that the head, a raylet or a process
# answers, and no row for what does not exist.
set -eu
cd "$1"
status=0

# rows SECTION: the words of the first column of its table
rows() {
    awk -v section="## $1" '/^## /{ inside = $0 == section } inside && /^\| / { split($0, c, "|"); print c[2] }' docs/protocol.md |
        tr -s ', ' '\n' | grep -v '^$' | sed 1,2d | sort
}
bodies() { sed -n '/oneof body/,/}/s/^ *\([A-Z][A-Za-z]*\) [a-z_]* = [0-9]*;.*/\1/p' proto/raylet.proto | sort; }
verbs() {
    grep -ohE '\{ "[a-z]+", [a-z_]+ \}|strcmp\((m|a->e->query)->verb, "[a-z]+"\)' head/query.c raylet/dispatch.c worker/inbox.c | grep -oE '"[a-z]+"' | tr -d '"' | sort -u
}

# same WHAT A B: two sorted lists
same() {
    what=$1
    [ -n "$2" ] || { echo "messages.sh: no $what found"; status=1; }
    printf '%s\n' "$2" >"$folder/code"
    printf '%s\n' "$3" >"$folder/page"
    comm -23 "$folder/code" "$folder/page" | sed "s/\$/: docs\/protocol.md has no row for this $what/" >"$folder/wrong"
    comm -13 "$folder/code" "$folder/page" | sed "s/\$/: docs\/protocol.md has a row for it, but it is no $what/" >>"$folder/wrong"
    [ ! -s "$folder/wrong" ] || { cat "$folder/wrong"; status=1; }
}

folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
same message "$(bodies)" "$(rows "Every message")"
same verb "$(verbs)" "$(rows Questions)"
exit $status
