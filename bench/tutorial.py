# SPDX-License-Identifier: Apache-2.0
"""How many times faster the tutorial's pi and image transforms are as tasks than in one process: lines of a name and a number, for bench/all.

    tutorial.py ROUNDS FOLDER       photographs are kept in FOLDER; examples/tutorial is on PYTHONPATH

A machine that is shared is now fast, now slow: so each round computes everything three times, one after the other. In this process; as
tasks; and as calls in as many processes as there are CPUs, forked by the standard library from this one, with what they need in their
memory: nothing can be faster, and it is the limit that the tasks are told beside. The order changes from round to round.
"""

import multiprocessing
import os
import pathlib
import sys
import time

import alone
import images
import mobula as ray
import photographs
import sequences

SAMPLES, WIDTH, HEIGHT, BATCHES = 10_000_000, 4096, 3584, (2, 4, 8, 12)
CPUS = len(os.sched_getaffinity(0))

count_inside = ray.remote(sequences.count_inside)
transform = ray.remote(images.transform)
decode = ray.remote(images.decode)
photos = []                             # the pixels; before the processes that inherit them


def inside_of(seed):
    return sequences.count_inside(SAMPLES, seed)


def transformed(index):
    return images.transform(photos[index], index)[1]


def files(folder):
    """The bytes of the photographs, made if they are not there."""
    paths = [folder / f"photograph-{WIDTH}x{HEIGHT}-{index:03}.jpg" for index in range(BATCHES[-1])]
    for index, path in enumerate(paths):
        if not path.exists():
            path.write_bytes(photographs.make(index, WIDTH, HEIGHT))
    return [path.read_bytes() for path in paths]


def checksums(refs):
    return [checksum for _, checksum, _ in sorted(ray.util.as_completed(refs), key=lambda result: result[0])]


def compare(name, turn, ways):
    """Each way once; "limit" and "tasks" are told by how many times they were faster than "here"."""
    seconds, results = {}, {}
    for way in sorted(ways)[turn % 3:] + sorted(ways)[:turn % 3]:
        start = time.perf_counter()
        results[way] = ways[way]()
        seconds[way] = time.perf_counter() - start
    if not results["here"] == results["limit"] == results["tasks"]:
        sys.exit(f"tutorial: {name} came to different results")
    print(f"{name}_times", seconds["here"] / seconds["tasks"])
    print(f"{name}_limit", seconds["here"] / seconds["limit"], flush=True)


def main(rounds, folder):
    folder.mkdir(parents=True, exist_ok=True)
    jpegs = files(folder)
    photos.extend(map(images.decode, jpegs))
    with multiprocessing.get_context("fork").Pool(CPUS) as pool:
        alone.begin()
        ray.init(num_cpus=CPUS)
        stored = [decode.remote(jpeg) for jpeg in jpegs]
        ray.wait(stored, num_returns=len(stored), fetch_local=False)
        for turn in range(rounds):
            compare("pi", turn, {"here": lambda: [inside_of(seed) for seed in range(CPUS)],
                                 "limit": lambda: pool.map(inside_of, range(CPUS), 1),
                                 "tasks": lambda: ray.get([count_inside.remote(SAMPLES, seed) for seed in range(CPUS)])})
            for batch in BATCHES:
                compare(f"images_{batch}", turn, {
                    "here": lambda: [transformed(index) for index in range(batch)],
                    "limit": lambda: pool.map(transformed, range(batch), 1),
                    "tasks": lambda: checksums([transform.remote(photo, index) for index, photo in enumerate(stored[:batch])])})
        ray.shutdown()
    alone.end()


main(int(sys.argv[1]), pathlib.Path(sys.argv[2]))
