#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""A long run that survives its machines, and its own end: README.md beside it says what each step is for.

    long_run.py JOURNAL [--parts N] [--seconds S]

Each part is an array that one task makes, a second one works on, and a third one sums up. Sums are written to JOURNAL as they come: if
the run is ended, started again with the same words it goes on where it was."""

import argparse
import json
import os
import time

import numpy

import mobula as ray

IN_FLIGHT = 64      # parts at a time: what is lost with a machine is made again, and the driver stays small


# For ever, as a machine that dies is no fault of the task; it may run twice, and comes to the same each time.
@ray.remote(max_retries=-1)
def make(part):
    return numpy.random.default_rng(part).integers(0, 1 << 32, 1 << 17, dtype=numpy.uint64)


@ray.remote(max_retries=-1)
def work(array, seconds):
    time.sleep(seconds)
    return array * 3 + 1


@ray.remote(max_retries=-1)
def sum_up(array):
    return int(array.sum()) & 0xFFFFFFFF


def serial(part):
    array = numpy.random.default_rng(part).integers(0, 1 << 32, 1 << 17, dtype=numpy.uint64)
    return int((array * 3 + 1).sum()) & 0xFFFFFFFF


def read_journal(path):
    """What an earlier run has come to. Its last line may be half a one: the run was killed while it wrote."""
    sums = {}
    if os.path.exists(path):
        with open(path) as journal:
            for line in journal:
                if line.endswith("\n"):
                    entry = json.loads(line)
                    sums[entry["part"]] = entry["sum"]
    return sums


def open_journal(path):
    """To append to; half a line at its end is cut off."""
    journal = open(path, "ab+")
    journal.seek(0)
    whole = journal.read().rfind(b"\n") + 1
    journal.truncate(whole)
    return journal


def run(journal_path, parts, seconds):
    sums = read_journal(journal_path)
    left = iter([part for part in range(parts) if part not in sums])
    print(f"{len(sums)} of {parts} parts are in {journal_path}", flush=True)
    running = {}
    with open_journal(journal_path) as journal:
        while True:
            while len(running) < IN_FLIGHT and (part := next(left, None)) is not None:
                running[sum_up.remote(work.remote(make.remote(part), seconds))] = part
            if not running:
                return sums
            ready, _ = ray.wait(list(running), num_returns=1)
            for ref in ready:
                part = running.pop(ref)
                sums[part] = ray.get(ref)
                journal.write(json.dumps({"part": part, "sum": sums[part]}).encode() + b"\n")
            journal.flush()
            os.fsync(journal.fileno())


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("journal")
    parser.add_argument("--parts", type=int, default=1000)
    parser.add_argument("--seconds", type=float, default=0.5, help="how long a part is worked on")
    words = parser.parse_args()
    ray.init()
    sums = run(words.journal, words.parts, words.seconds)
    wrong = [part for part in range(words.parts) if sums[part] != serial(part)]
    print(f"{words.parts} parts, {len(wrong)} differ from a serial run")
    return 1 if wrong else 0


if __name__ == "__main__":
    raise SystemExit(main())
