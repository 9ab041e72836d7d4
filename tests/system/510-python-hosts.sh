#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# 510-python-hosts.sh -- a Python driver on three hosts: its modules and its working_dir go where its tasks run; a node that lacks its interpreter, or has
# another version of it, or no module that it imports, says so; Ctrl-C and death leave nothing.
. "$(dirname "$0")/tasks.sh"
in_lab 3 "$@"

[ -e "$MOB_BUILD/python/mobula/_core.abi3.so" ] || skip "built without Python"
cluster_start 2 --num-cpus 2 >/dev/null
node_start h2 --num-cpus 2 --labels disk=ssd >/dev/null
wait_until 10 node_count_is 3
meeting
drivers=$tests/python/drivers
on h1 sh -c "mkdir /opt/user/job && cp -r $drivers/. /opt/user/job/"
# python DRIVER [words]: on h1, where its files are.
python() { on h1 env PYTHONPATH="$MOB_BUILD/python" MOBULA_ADDRESS="$("$lab" ip h0):$port" timeout 60 "${interpreter:-/usr/bin/python3}" "/opt/user/job/$1" "${@:2}"; }
number() { on h0 mobula list nodes --format json | jq -r --arg ip "$("$lab" ip "$1")" '.[] | select(.ip == $ip) | .id // .node'; }

python hosts.py "$(number h0)" "$(number h1)" "$(number h2)" >"$meet/out"
expect grep -qx "10.77.0.10 10.77.0.11 10.77.0.12 from beside in a package" "$meet/out"
for ip in 10.77.0.10 10.77.0.11 10.77.0.12; do
    expect grep -qE "^\(where pid=[0-9]+, ip=$ip\) printed there$" "$meet/out"
done

said=$(on h1 sh -c "cd /opt/user/job && PYTHONPATH='$MOB_BUILD/python' MOBULA_ADDRESS='$("$lab" ip h0):$port' \
    timeout 60 /usr/bin/python3 -m package.run '$(number h2)'")
expect_eq "$said" "in a package" "a driver that is a module"

python array.py "$(number h2)" >"$meet/out" 2>&1
expect_eq "$(cat "$meet/out")" "8388608.0 True" "an array that was made there"

python workdir.py "$(number h2)" >"$meet/out" 2>&1
expect_eq "$(cat "$meet/out")" "words of the driver's host" "a task in a working_dir"

# What a running driver ships stays on a node while its tasks run there, however many programs come after it.
python late.py "$(number h2)" "$meet" >"$meet/late" 2>&1 & driver=$!
appears running
for i in {1..5}; do
    others=()
    for j in {1..7}; do
        on h1 sh -c "cp '$tasks' /opt/user/other && echo $i.$j >>/opt/user/other && mv /opt/user/other /opt/user/other.$i.$j"
        on h1 env MOBULA_ADDRESS="$("$lab" ip h0):$port" timeout 60 "/opt/user/other.$i.$j" labelled disk=ssd "$("$lab" ip h2)" & others+=($!)
    done
    for other in "${others[@]}"; do ends "$other"; done
done
touch "$meet/import"
ends $driver
expect_eq "$(cat "$meet/late")" "imported late" "a module that is imported after the programs of 35 others came"

python missing.py "$(number h2)" >"$meet/out" 2>&1
expect grep -q "No module named 'only_on_h1'" "$meet/out"
expect_not grep -q "mobula/_worker.py" "$meet/out"          # the library's own frames tell a user nothing
expect grep -q "ip=$("$lab" ip h2)" "$meet/out"
expect grep -q "install it on node $("$lab" ip h2) for /usr/bin/python3" "$meet/out"

recorded() { on h0 mobula list tasks --format json | jq -e '[.[] | select(.name == "needs" and .state == "FAILED")] | length == 1' >/dev/null; }
wait_until 5 recorded

# An interpreter that only h1 has; then one of another version on h2.
on h1 ln -s /usr/bin/python3 /opt/user/python3
interpreter=/opt/user/python3 python hosts.py "$(number h2)" >"$meet/out" 2>"$meet/said" & driver=$!
wait_until 10 grep -q "$("$lab" ip h2).* its interpreter /opt/user/python3 is not there" "$meet/said"
on h2 sh -c 'cat >/opt/user/python3 <<"END"
#!/bin/sh
exec /usr/bin/python3 -c "import runpy, sys; sys.version_info = (3, 99, 0); runpy.run_path(sys.argv[1], run_name=\"__main__\")" "$@"
END
chmod +x /opt/user/python3'
wait_until 20 grep -q "$("$lab" ip h2).* the driver runs Python 3.11, and .* here is 3.99" "$meet/said"
on h2 ln -sf /usr/bin/python3 /opt/user/python3
ends $driver
expect grep -qx "10.77.0.12 from beside in a package" "$meet/out"

# Ctrl-C in get() ends the driver at once; a driver's death takes its workers along.
python sleeper.py "$meet/started" >"$meet/out" 2>&1 & driver=$!
wait_until 10 test -e "$meet/started"
on h1 kill -INT "$(on h1 cat "$meet/started")"
wait $driver
expect grep -q "KeyboardInterrupt" "$meet/out"
rm "$meet/started"
python sleeper.py "$meet/started" >"$meet/out" 2>&1 & driver=$!
wait_until 10 test -e "$meet/started"
on h1 kill -KILL "$(on h1 cat "$meet/started")"
wait $driver
no_python() { [ -z "$(for h in h0 h1 h2; do running $h '*/python3*'; done)" ]; }
wait_until 10 no_python
wait_until 10 all_free
