#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# 170-examples.sh -- each example on three hosts computes what its serial run does, and says so in the lines that demo and benches read.
. "$(dirname "$0")/lib.sh"
in_lab 3 "$@"
examples=$MOB_BUILD/examples

cluster_start 1 --num-cpus=2 --num-gpus=0 >/dev/null
node_start h1 --num-cpus=2 --num-gpus=2 >/dev/null
node_start h2 --num-cpus=2 --num-gpus=0 --resources='{"licence":3}' >/dev/null
wait_until 10 node_count_is 3

# run EXAMPLE [options]: on h1; what it says into $said.
run() {
    local example=$1
    shift
    said=$(on h1 env MOBULA_ADDRESS="$("$lab" ip h0):$port" timeout 60 "$examples/$example" "$@" 2>&1)
    expect_eq $? 0 "status of $example"
}
# says PATTERN: as a whole line.
says() { grep -qxE "$1" <<<"$said" || fail "no line '$1' in: $said"; }
# ran COUNT: so many tasks in all, each on one of the three hosts.
ran() {
    says '  tasks by host:(  10\.77\.0\.1[0-2] [0-9]+)+'
    expect_eq "$(sed -n 's/^  tasks by host://p' <<<"$said" | awk '{ for (i = 2; i <= NF; i += 2) n += $i; print n }')" "$1" tasks
}
n='[0-9]+' x='[0-9]+\.[0-9]+' hex='[0-9a-f]{16}'
times="  serial $x s   distributed $x s   $x times of $n possible \($n CPUs in the cluster, $n real cores\)"

run pi --quick
says "pi: 16 tasks of 100000 samples: 3\.139105, serial 3\.139105"
says "$times"
ran 16

run fibonacci --quick
says "fibonacci: 10000 terms, 34702018 bits; F\(9999\) has 2090 digits, SHA-256 3d8b77e6fb13c984436c3f41b63f42f6e3dac454623cde553e80509064d89775"
says "$times"
ran 6
run fibonacci
says "fibonacci: 100000 terms, 3471108762 bits; F\(99999\) has 20899 digits, SHA-256 [0-9a-f]{64}"
ran 6

run matmul --quick
says "matmul: 1024 x 1024, 8 x 8 blocks of 128 KiB, .*, $x GFLOP/s serial, $x distributed"
says "$times"
ran 64
run matmul --size=99                    # blocks that are no objects of the store, rounded up
says "matmul: 128 x 128, .*"

run shuffle --quick
says "shuffle: 16 MiB, 12 x 12 pieces, 167772 records; checksum ($hex) of 167772 generated, \1 of 167772 sorted"
says "  generated and cut $n MB/s   merged and checked $n MB/s   end to end $n MB/s"
says "$times"
ran 48

run resources --quick
says "  GPU=1: at most 2 at once"
says "  licence=1: at most 3 at once"
ran 24

# The text of wordcount is what is under two folders of the driver's host; here, four times four words. A file with a zero is no text.
on h1 sh -c 'mkdir /tmp/doc /tmp/include && mount --bind /tmp/doc /usr/share/doc && mount --bind /tmp/include /usr/include &&
    echo alpha beta gama >/usr/share/doc/text && printf "delta\0epsilon\n" >/usr/share/doc/binary && : >/usr/include/empty' || fail "no mount"
run wordcount --size=1
says "wordcount: 1 MiB, 196608 words, 3 different"
on h1 sh -c 'umount /usr/share/doc /usr/include'
run wordcount --quick
says "wordcount: 48 MiB, $n words, $n different"
says "$times"
ran 8

run_wrong() { on h1 "$examples/pi" --size=no; }
expect_not run_wrong 2>/dev/null
