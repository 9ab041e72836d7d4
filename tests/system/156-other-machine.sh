#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# 156-other-machine.sh -- a program that some nodes, or all, can never run, as it is not built for their machine (bad_program.c): tasks go
# where it runs; where there is no such node they fail at once, and are told which node and why. It is fetched once.
. "$(dirname "$0")/lib.sh"
. "$(dirname "$0")/bad.sh"
in_lab 2 "$@"

cluster_start 2 --num-cpus 4
bystander_start
h1=$("$lab" ip h1)
number() { on h0 mobula list nodes --format json | jq -r --arg ip "$("$lab" ip "$1")" '.[] | select(.ip == $ip) | .id // .node'; }
# fetches FILE: how often h1 fetched it.
fetches() { on h1 mobula logs mobula-raylet.log | grep -c "the program .*$(on h0 sha256sum "$1" | cut -d" " -f1) came from"; }

# A script is asked by each other node whether it fits there: this one does not.
on h0 sh -c 'cat >/opt/user/script <<"END"
#!/bin/sh
[ -z "$MOBULA_CHECK" ] || { echo "it is for h0 alone"; exit; }
exec bad_program
END
chmod +x /opt/user/script'
said=$(driver_on h0 timeout 60 bad_program /opt/user/script spread 12 2>/dev/null)
expect_eq "$?" 0 "tasks that may run elsewhere: $said"
expect_eq "$(sort -u <<<"$said")" "ran on $("$lab" ip h0)" "where they ran"
driver_on h0 bad_program /opt/user/script "node=$(number h1)" 1 >/dev/null 2>"$MOB_LAB/share/said" & driver=$!
wait_until 20 grep -q "($h1).* node h1 cannot run the program with /bin/sh: it is for h0 alone" "$MOB_LAB/share/said"
on h0 sh -c 'kill -KILL $(pgrep -f "^bad_program $0 node=")' /opt/user/script
wait $driver 2>/dev/null
said=$(driver_on h0 timeout 60 bad_program /opt/user/script spread 12 2>/dev/null)
expect_eq "$?" 0 "again: $said"
expect_eq "$(fetches /opt/user/script)" 1 "fetches of the script"

# What is neither a script nor an executable.
on h0 sh -c 'printf "no program at all" >/opt/user/text; chmod +x /opt/user/text'
said=$(driver_on h0 timeout 60 bad_program /opt/user/text "node=$(number h1)" 1)
[[ $said == "error 10: node "*"($h1): node "*" cannot run the program: it is no ELF executable" ]] || fail "hard affinity: $said"

# A program of another machine: nobody runs it.
case $(uname -m) in
x86_64) here=x86_64 other=aarch64 code='\267' ;;
*) here=$(uname -m) other=x86_64 code='\076' ;;
esac
on h0 sh -c "cp '$MOB_BUILD/bin/bad_program' /opt/user/foreign && printf '$code\\000' | dd of=/opt/user/foreign bs=1 seek=18 conv=notrunc 2>/dev/null"
for strategy in spread "node=$(number h1)" "node=$(number h0)"; do
    said=$(driver_on h0 timeout 60 bad_program /opt/user/foreign "$strategy" 3)
    [[ $said == "error 10: node "*" is $here and cannot run a program built for $other"* ]] || fail "$strategy: $said"
done
expect_eq "$(fetches /opt/user/foreign)" 1 "fetches of the foreign one"
bystander_end
expect on h0 mobula health
