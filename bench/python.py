# SPDX-License-Identifier: Apache-2.0
"""What a Python driver reaches on one node: lines of a name and a number, for bench/all.

    python.py [MODULE]      mobula; or ray, on which what is done by the thousand is done less often, as it takes longer
"""

import importlib
import sys
import time

import alone
import numpy

ray = importlib.import_module(sys.argv[1] if sys.argv[1:] else "mobula")
slow = 1 if ray.__name__ == "mobula" else 20
imported = time.perf_counter()


@ray.remote
def nothing():
    pass


@ray.remote
def many(n):
    for i in range(n):             # Ray sends into it, which a range does not take
        yield i


def rate(name, count, work):
    """`count` pieces of work in how many seconds: after a first round, which warms. Thousands are by `slow` fewer."""
    count = count // slow if count >= 1000 else count
    work()
    start = time.perf_counter()
    work()
    print(name, count / (time.perf_counter() - start), flush=True)


def one_at_a_time():
    for _ in range(20000 // slow):
        ray.get(nothing.remote())


def in_flight():
    refs = [nothing.remote() for _ in range(1000)]
    for _ in range(99 // slow):
        ray.get(refs)
        refs = [nothing.remote() for _ in range(1000)]
    ray.get(refs)


def items():
    for ref in many.remote(100000 // slow):
        ray.get(ref)


def put_small():
    for _ in range(100000 // slow):
        ray.put(0)


def get_small(ref=[]):
    ref = ref or ref.append(ray.put(0)) or ref
    for _ in range(100000 // slow):
        ray.get(ref[0])


def wait_one_by_one():
    refs = [nothing.remote() for _ in range(1000)]
    while refs:
        _, refs = ray.wait(refs, num_returns=1)


def get_many_refs(ref=[]):
    ref = ref or ref.append(ray.put([ray.put(0) for _ in range(10000)])) or ref
    for _ in range(20):
        ray.get(ref[0])


@ray.remote
def nested(depth):
    """When it began, and the kB of memory that are its worker's alone; then of each below it. Each needs a further worker."""
    began = time.monotonic()
    with open("/proc/self/smaps_rollup") as file:
        private = next(int(line.split()[1]) for line in file if line.startswith("Private_Dirty:"))
    return [(began, private)] + (ray.get(nested.remote(depth - 1)) if depth > 0 else [])


def further_workers():
    chain = ray.get(nested.remote(24))[4:]      # some were there
    steps = sorted(b[0] - a[0] for a, b in zip(chain, chain[1:]))
    print("py_worker", steps[len(steps) // 2] * 1000)
    print("py_worker_memory", sorted(private for _, private in chain)[len(chain) // 2] / 1000, flush=True)


def put_large():
    for _ in range(3):
        ray.put(array)


def copy_large():
    for _ in range(3):
        numpy.copyto(to, array)


alone.begin()
ray.init(num_cpus=2)
print("py_init", time.perf_counter() - imported)
ray.get(nothing.remote())
print("py_first", time.perf_counter() - imported, flush=True)
rate("py_one", 20000, one_at_a_time)
rate("py_flight", 100000, in_flight)
rate("py_items", 100000, items)
rate("py_put", 100000, put_small)
rate("py_get", 100000, get_small)
rate("py_wait", 1, wait_one_by_one)
rate("py_many_refs", 20, get_many_refs)
array, to = numpy.ones(100_000_000), numpy.ones(100_000_000)
rate("py_memcpy", 2.4, copy_large)
rate("py_put_large", 2.4, put_large)
further_workers()
ray.shutdown()
alone.end()
