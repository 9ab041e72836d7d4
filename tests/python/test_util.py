# SPDX-License-Identifier: Apache-2.0
"""Helpers on remote functions: references as others take them, progress, Executor, Pool, joblib."""

import asyncio
import io
import itertools
import os
import sys
import tempfile
import threading
import time
import unittest
import unittest.mock
from concurrent import futures

import numpy

import mobula as ray
from mobula.util.executor import Executor
from mobula.util.multiprocessing import Pool


@ray.remote
def square(x):
    return x * x


@ray.remote
def fail():
    raise KeyError("k")


def seen_at_once(folder, i):
    """How many of these calls run while this one does."""
    path = os.path.join(folder, str(i))
    open(path, "w").close()
    most = 0
    for _ in range(10):
        most = max(most, len(os.listdir(folder)))
        time.sleep(0.002)
    os.unlink(path)
    return most


class Locked:
    def __init__(self, word):
        self.word, self.lock = word, threading.Lock()


class Serializers(unittest.TestCase):
    def test_of_a_class_that_pickle_cannot_take(self):
        back = ray.remote(lambda value: value.word)
        ray.util.register_serializer(Locked, serializer=lambda value: value.word, deserializer=Locked)
        self.assertEqual(ray.get(back.remote(Locked("a"))), "a")
        self.assertEqual(ray.get(ray.put([Locked("b")]))[0].word, "b")
        ray.util.deregister_serializer(Locked)
        ray.util.deregister_serializer(Locked)
        with self.assertRaisesRegex(TypeError, "Could not serialize the argument 0"):
            back.remote(Locked("a"))

    def test_refuses_what_is_none(self):
        with self.assertRaisesRegex(TypeError, "takes a class"):
            ray.util.register_serializer(Locked("a"), serializer=str, deserializer=str)
        with self.assertRaisesRegex(TypeError, "takes two functions"):
            ray.util.register_serializer(Locked, serializer=5, deserializer=str)


class References(unittest.TestCase):
    def test_as_a_key_and_as_text(self):
        ref, other = ray.put(1), ray.put(1)
        same = ray.get(ray.put([ref]))[0]
        self.assertIsNot(same, ref)
        self.assertEqual((same, hash(same), same.hex(), same.binary()), (ref, hash(ref), ref.hex(), ref.binary()))
        self.assertNotEqual(ref, other)
        self.assertNotEqual(ref, 5)
        self.assertEqual({ref: "a", other: "b"}[same], "a")
        self.assertEqual(bytes.fromhex(ref.hex()), ref.binary())
        self.assertRegex(repr(ref), r"ObjectRef\(o-[-\d.]+\)")
        self.assertFalse(ref.is_nil())
        self.assertIs(ray.ObjectRef[int], ray.ObjectRef)
        self.assertRaises(TypeError, ray.ObjectRef)

    def test_in_an_event_loop(self):
        async def work():
            refs = [square.remote(i) for i in range(5)]
            done, _ = await asyncio.wait([ref.as_future() for ref in refs])
            with self.assertRaises(KeyError):
                await fail.remote()
            return sorted(future.result() for future in done), await asyncio.wait_for(square.remote(7), 30)
        self.assertEqual(asyncio.run(work()), ([0, 1, 4, 9, 16], 49))


class Progress(unittest.TestCase):
    def shown(self, refs, **words):
        with unittest.mock.patch("sys.stderr", io.StringIO()) as said:
            self.assertEqual(ray.util.progress(refs, **words), list(refs))
        return said.getvalue()

    def test_as_text(self):
        with unittest.mock.patch.dict(sys.modules, {"tqdm.auto": None, "tqdm": None}):
            self.assertEqual(self.shown([square.remote(i) for i in range(20)], desc="squares"), "squares: 20/20\n")
            self.assertEqual(self.shown([fail.remote()]), "1/1\n")
            self.assertEqual(self.shown([]), "0/0\n")
            ref = square.remote(1)
            self.assertEqual(self.shown((ref, ref)), "1/1\n")

    def test_as_a_bar(self):
        try:
            import tqdm  # noqa: F401
        except ImportError:
            self.skipTest("no tqdm")
        self.assertRegex(self.shown([square.remote(i) for i in range(20)], desc="squares", ncols=60), r"squares: 100%\|.* 20/20 ")


class Inspection(unittest.TestCase):
    def inspect(self, value, **options):
        said = io.StringIO()
        fine, failures = ray.util.inspect_serializability(value, print_file=said, **options)
        self.assertEqual(fine, not failures)
        return failures.pop() if failures else None, said.getvalue()

    def test_what_can_be_sent(self):
        for value in 1, [ray.put(1)], lambda: 5, self.inspect, {"a": Inspection}, numpy.arange(100000)[::2]:
            self.assertEqual(self.inspect(value)[0], None)
        self.assertEqual(ray.util.inspect_serializability(1, print_file=io.StringIO()), (True, set()))

    def test_what_cannot(self):
        lock, ref = threading.Lock(), ray.put(1)

        class Holder:
            shared = None

            def __init__(self):
                self.inner = {"ref": ref, "lock": lock}

        def captures():
            return ref, lock
        holder = Holder()
        failure, said = self.inspect(captures)
        self.assertEqual((failure.obj, failure.name, failure.parent), (lock, "lock", captures))
        self.assertIn(f"Checking Serializability of {captures}\n", said)
        self.assertIn("!!! FAIL serialization: cannot pickle '_thread.lock' object\n", said)
        self.assertIn(f"FailTuple(lock [obj={lock}, parent={captures}])\n\nwas found to be non-serializable.", said)
        failure, said = self.inspect(holder)
        self.assertEqual((failure.obj, failure.name, failure.parent), (lock, "['lock']", holder.inner))
        failure, _ = self.inspect(holder, depth=1)
        self.assertEqual((failure.obj, failure.name), (holder.inner, "inner"))
        failure, _ = self.inspect(lock, name="mine", depth=0)
        self.assertEqual((failure.obj, failure.name, failure.parent), (lock, "mine", None))
        self.assertEqual(self.inspect(holder.__init__)[0].obj, lock)
        Holder.shared, holder.inner = lock, None
        self.assertEqual(self.inspect([Holder])[0].parent, Holder)


class Executors(unittest.TestCase):
    def test_the_interface(self):
        with Executor(num_cpus=1) as executor:
            self.assertIsInstance(executor, futures.Executor)
            self.assertEqual(list(executor.map(pow, range(5), [2] * 5)), [0, 1, 4, 9, 16])
            self.assertEqual(list(executor.map(pow, range(7), itertools.repeat(2), chunksize=3)), [i * i for i in range(7)])
            self.assertIsInstance(executor.submit(int, "x").exception(30), ValueError)
            self.assertEqual(executor.submit(int, "ff", base=16).result(30), 255)
            done, left = futures.wait([executor.submit(abs, -i) for i in range(9)])
            self.assertEqual((sorted(future.result() for future in done), left), (list(range(9)), set()))
            self.assertEqual({future.result() for future in futures.as_completed([executor.submit(abs, -1)])}, {1})
            self.assertRaises(ValueError, executor.map, abs, [1], chunksize=0)
            self.assertRaisesRegex(TypeError, "takes a function", executor.submit, 5)
        self.assertRaisesRegex(RuntimeError, "after shutdown", executor.submit, abs, 1)
        self.assertRaisesRegex(ValueError, "Invalid option keyword", Executor, cpus=1)

    def test_callables_of_all_kinds(self):
        class Unhashable:
            __hash__ = None

            def __call__(self):
                return "called"
        with Executor() as executor:
            self.assertEqual(executor.submit(Unhashable()).result(30), "called")
            self.assertEqual([executor.submit(lambda i=i: i).result(30) for i in range(100)], list(range(100)))

    def test_cancelled_at_its_end(self):
        executor = Executor(resources={"nowhere": 1})
        waits = executor.submit(abs, 1)
        self.assertRaises(futures.TimeoutError, waits.result, 0.01)
        executor.shutdown(cancel_futures=True)
        self.assertTrue(waits.cancelled())
        self.assertRaises(futures.CancelledError, waits.result)


def prepare(value):
    sys.prepared = getattr(sys, "prepared", []) + [value]


class Pools(unittest.TestCase):
    def test_calls(self):
        with Pool() as pool:
            self.assertEqual(pool.map(abs, range(-9, 0)), list(range(9, 0, -1)))
            self.assertEqual(pool.starmap(pow, [(2, 3), (3, 2)]), [8, 9])
            self.assertEqual(pool.starmap_async(pow, [(2, 3)]).get(30), [8])
            self.assertEqual(pool.apply(int, ("ff",), {"base": 16}), 255)
            self.assertEqual((pool.map(abs, []), pool.map_async(abs, [-1]).get(30)), ([], [1]))
            failed = pool.apply_async(int, ("x",))
            failed.wait(30)
            self.assertFalse(failed.successful())
            self.assertRaises(ValueError, failed.get)
            pool.close()
            pool.join()
            self.assertRaisesRegex(ValueError, "not running", pool.map, abs, [1])
            self.assertRaisesRegex(ValueError, "not running", pool.__enter__)

    def test_one_by_one(self):
        with Pool(2) as pool:
            self.assertEqual(list(pool.imap(abs, [-1, -2, -3])), [1, 2, 3])
            self.assertEqual(sorted(pool.imap_unordered(abs, [-1, -2, -3], chunksize=2)), [1, 2, 3])
            endless = pool.imap(abs, itertools.count())
            self.assertEqual([next(endless) for _ in range(20)], list(range(20)))
            results = pool.imap(int, ["1", "x", "3"], chunksize=2)
            self.assertEqual(results.next(30), 1)
            self.assertRaises(ValueError, results.next, 30)
            self.assertEqual(results.next(30), 3)
            self.assertRaises(StopIteration, results.next)
            self.assertRaises(ValueError, pool.imap, abs, [1], 0)

    def test_callbacks(self):
        called = futures.Future()
        with Pool() as pool:
            pool.apply_async(abs, (-1,), callback=called.set_result)
            self.assertEqual(called.result(30), 1)
            called = futures.Future()
            pool.map_async(int, ["1", "x"], error_callback=called.set_result)
            self.assertIsInstance(called.result(30), ValueError)

    def test_so_many_at_once(self):
        with tempfile.TemporaryDirectory() as folder, Pool(2) as pool:
            most = pool.starmap(seen_at_once, [(folder, i) for i in range(12)], chunksize=1)
            self.assertLessEqual(max(most), 2)
            self.assertRaises(ValueError, pool.map, int, ["x"] * 8)     # and a line goes on after that
            self.assertEqual(pool.map(abs, range(8)), list(range(8)))

    def test_an_initializer(self):
        with Pool(initializer=prepare, initargs=("a pool's",)) as pool:
            self.assertEqual(set(pool.map(lambda i: tuple(sys.prepared), range(40), chunksize=1)), {("a pool's",)})
        self.assertRaises(TypeError, Pool, initializer=5)
        self.assertRaisesRegex(ValueError, "must be >0", Pool, 0)

    def test_it_keeps_no_results(self):
        with Pool() as pool:
            self.assertEqual(len(pool.map(bytes, [1 << 10] * 60, chunksize=1)), 60)
            self.assertEqual(ray.get(pool._started), [None] * 60)

    def test_options(self):
        with Pool(ray_remote_args={"num_gpus": 1}) as pool:
            self.assertEqual(pool.apply(ray.get_gpu_ids), [0])


class Joblib(unittest.TestCase):
    def test_parallel(self):
        try:
            import joblib
        except ImportError:
            self.skipTest("no joblib")
        from mobula.util.joblib import register_ray
        register_ray()
        with joblib.parallel_backend("ray", n_jobs=-1):
            self.assertEqual(joblib.Parallel()(joblib.delayed(pow)(i, 2) for i in range(200)), [i * i for i in range(200)])
            self.assertGreater(len(set(joblib.Parallel()(joblib.delayed(os.getpid)() for i in range(50))) - {os.getpid()}), 0)
            with self.assertRaises(ValueError):
                joblib.Parallel()(joblib.delayed(int)(text) for text in ["1", "x"])
        self.assertEqual(joblib.Parallel(n_jobs=2, backend="mobula")(joblib.delayed(abs)(-i) for i in range(5)), list(range(5)))


if __name__ == "__main__":
    ray.init(num_cpus=4, num_gpus=1)
    unittest.main()
