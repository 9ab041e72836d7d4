#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# 530-tutorial.sh -- the tutorial at small size: each workload comes to the same results in both ways, table and plot come out, nothing is
# left, and results that differ are a failure; the page about it is true; and values of the libraries that it uses: tests/python/test_libraries.py.
. "$(dirname "$0")/lib.sh"
in_lab 1 "$@"

[ -e "$MOB_BUILD/python/mobula/_core.abi3.so" ] || skip "built without Python"
root=$(dirname "$tests")
folder=$(on h0 mktemp -d)
# python WORDS...: in the environment of ./run env
python() { on h0 env PYTHONPATH="$MOB_BUILD/python:$root/examples/tutorial" timeout 60 "$root/build/venv/bin/python3" "$@" 2>&1; }

said=$(python "$tests/python/test_libraries.py") || fail "$said"
expect grep -q '^OK$' <<<"$said"

said=$(python "$root/examples/tutorial/tutorial.py" --quick --cpus 2 --folder "$folder") || fail "$said"
for words in '^pi is about 3\.1' '^4 photographs of 320 x 280, ' '^32 images of 32 x 32 are of [0-9]* classes'; do
    grep -q "$words" <<<"$said" || fail "no '$words' in: $said"
done
expect_eq "$(on h0 cut -d, -f1,3,8 "$folder/tutorial.csv")" "workload,tasks,checksums
fibonacci,2,equal
pi,2,equal
images,2,equal
images,4,equal
inference,4,equal" "the table"
expect_eq "$(on h0 head -c 8 "$folder/images.png" | od -An -tx1)" " 89 50 4e 47 0d 0a 1a 0a" "the plot's signature"
expect_eq "$(on h0 ls "$folder" | grep -c '^photograph-320x280-00[0-3]\.jpg$')" 4 "photographs kept"
expect_eq "$(on h0 ls "$folder" | wc -l)" 6 "files"

python -c 'import photographs
first, again = photographs.make(7, 640, 480), photographs.make(7, 640, 480)
assert first == again != photographs.make(8, 640, 480)
large = len(photographs.make(99, 4096, 3584))
assert 5e6 <= large <= 20e6, large' || fail "photographs"

# docs/tutorial.md, in smaller sizes: a session in the folder of the modules, which go to its workers, too.
sed -n '/^```python$/,/^```$/p' "$root/docs/tutorial.md" | sed '/^```/d; s/100_000/100/; s/10_000_000/1000/g; s/20_000_000/2000/; s/4096, 3584/320, 280/
    s/count=1024, size=96, batch=64/count=32, size=32, batch=8/; s/make_model(96)/make_model(32)/; s/file.name, 64/file.name, 8/' >"$MOB_LAB/page.py"
said=$(on h0 sh -c "cd '$root/examples/tutorial' && PYTHONPATH='$MOB_BUILD/python' timeout 60 '$root/build/venv/bin/python3' -i <'$MOB_LAB/page.py' 2>&1")
expect_eq "$(grep -cE '^(>>> )*True' <<<"$said")" 4 "equal results of the page"
expect_not grep -q 'Error' <<<"$said"

# What is computed here, and not in tasks, goes wrong in one workload: the program says so.
cat >"$MOB_LAB/wrong.py" <<'END'
import sys
import sequences
import tutorial
sequences.count_inside = lambda samples, seed: 0
tutorial.workloads = lambda chosen, cpus: [tutorial.fibonacci_sequences(10, cpus), tutorial.monte_carlo_pi(1000, cpus)]
sys.argv[1:] = ["--cpus=1", "--folder=" + sys.argv[1]]
tutorial.main()
END
said=$(python "$MOB_LAB/wrong.py" "$folder")
expect_eq $? 1 "status of results that differ"
expect grep -qx "tutorial: the serial and the distributed run came to different results" <<<"$said"
expect_eq "$(on h0 cut -d, -f1,8 "$folder/tutorial.csv")" "workload,checksums
fibonacci,equal
pi,DIFFERENT" "what differs"
on h0 rm -r "$folder"
wait_until 5 nothing_left h0 || fail "left: $(leftovers h0)"
expect_eq "$(on h0 sh -c 'for p in /proc/[0-9]*; do readlink $p/exe; done' | grep -c python3)" 0 "interpreters left"
