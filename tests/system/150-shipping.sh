#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# 150-shipping.sh -- a program that only the driver's host has runs on the others too, fetched once by each; and goes on when its file is
# replaced.
. "$(dirname "$0")/tasks.sh"
in_lab 3 "$@"

cluster_start 3 --num-cpus 2 >/dev/null
on h1 cp "$tasks" /opt/user/mobula-shipped
said=$(on h1 env MOBULA_ADDRESS="$("$lab" ip h0):$port" timeout 60 /opt/user/mobula-shipped where 12 3)
expect_eq $? 0 "a program that only h1 has"
expect_eq "$(sed -n 's/ran on \([^ ]*\) by.*/\1/p' <<<"$said" | sort -u | wc -l)" 3 "hosts that ran it"
for host in h0 h2; do
    expect_eq "$(on $host mobula logs mobula-raylet.log | grep -c "the program .*/$hash came from $("$lab" ip h1)")" 1 "fetches of $host"
    expect_eq "$(on $host sh -c 'find /tmp/mobula-* /run/user -path "*/raylet-*.d/*" 2>/dev/null' | sed 's,.*/,,')" "$hash" "files of $host"
done

# Replaced while it runs.
meeting
on h1 env MOBULA_ADDRESS="$("$lab" ip h0):$port" timeout 60 /opt/user/mobula-shipped works "$meet" >/dev/null & driver=$!
appears working
on h1 sh -c 'rm /opt/user/mobula-shipped; echo "#!/bin/false" >/opt/user/mobula-shipped'
rm "$meet/working"
appears working
touch "$meet/stop"
ends $driver
