# SPDX-License-Identifier: Apache-2.0
"""Generators, as a user of Ray writes them: items are read while their task runs."""

import asyncio
import gc
import os
import pickle
import tempfile
import threading
import time
import unittest

import numpy

import mobula as ray


@ray.remote
def count(n, size=None):
    for i in range(n):
        yield i if size is None else numpy.full(size, i, dtype=numpy.uint8)


@ray.remote
def fail_after(n):
    yield from range(n)
    raise KeyError("after all")


@ray.remote
def steps(folder):
    """Each item waits for a file of its number."""
    for i in range(3):
        while not os.path.exists(os.path.join(folder, str(i))):
            time.sleep(0.001)
        yield i


@ray.remote
def notes(folder, n):
    """What it has come to is in a file."""
    for i in range(n):
        with open(os.path.join(folder, "made"), "a") as made:
            made.write("x")
        yield i
    open(os.path.join(folder, "ended"), "w").close()


def touch(folder, name):
    open(os.path.join(folder, str(name)), "w").close()


def size_of(path):
    return os.path.getsize(path) if os.path.exists(path) else 0


def wait_for(condition):
    until = time.monotonic() + 20
    while not condition():
        assert time.monotonic() < until
        time.sleep(0.001)


class Items(unittest.TestCase):
    def setUp(self):
        made = tempfile.TemporaryDirectory()
        self.addCleanup(made.cleanup)
        self.folder = made.name

    def test_a_generator_function_is_a_stream(self):
        generator = count.remote(5)
        self.assertIsInstance(generator, ray.ObjectRefGenerator)
        self.assertIs(iter(generator), generator)
        self.assertEqual([ray.get(ref) for ref in generator], list(range(5)))
        self.assertRaises(StopIteration, next, generator)
        self.assertTrue(generator.is_finished())
        self.assertEqual(list(count.remote(0)), [])
        self.assertEqual([ray.get(r) for r in ray.remote(num_returns="streaming")(lambda: iter("ab")).remote()], ["a", "b"])
        self.assertEqual(ray.get(count.options(num_returns=3).remote(3)), [0, 1, 2])

    def test_values_of_every_size(self):
        for size in (0, 10, 2000, 90000, 1 << 20):
            with self.subTest(size):
                for i, ref in enumerate(count.remote(6, size)):
                    value = ray.get(ref)
                    self.assertEqual((value.size, value.min() if size else i), (size, i))
        self.assertEqual(sum(ray.get(ref) for ref in count.remote(20000)), sum(range(20000)))

    def test_items_come_while_the_task_runs(self):
        generator = steps.remote(self.folder)
        for i in range(3):
            self.assertFalse(generator.next_ready())
            self.assertFalse(generator.is_finished())
            self.assertEqual(ray.wait([generator], timeout=0), ([], [generator]))
            touch(self.folder, i)
            self.assertEqual(ray.wait([generator]), ([generator], []))
            self.assertTrue(generator.next_ready())
            self.assertEqual(ray.get(next(generator)), i)
        ray.get(generator.completed())
        self.assertTrue(generator.next_ready())
        self.assertTrue(generator.is_finished())
        self.assertRaises(StopIteration, next, generator)

    def test_an_exception_is_the_last_item(self):
        generator = fail_after.remote(2)
        refs = list(generator)
        self.assertEqual([ray.get(ref) for ref in refs[:2]], [0, 1])
        self.assertEqual(len(refs), 3)
        with self.assertRaises(KeyError) as caught:
            ray.get(refs[2])
        self.assertIsInstance(caught.exception, ray.exceptions.RayTaskError)
        self.assertIn("after all", str(caught.exception))
        self.assertRaises(StopIteration, next, generator)
        self.assertRaises(KeyError, ray.get, generator.completed())
        unfit = list(ray.remote(num_returns="streaming")(lambda: 5).remote())
        self.assertRaisesRegex(TypeError, "must be a generator", ray.get, unfit[0])
        generator = fail_after.remote(0)
        ray.wait([generator.completed()])
        self.assertFalse(generator.is_finished())
        next(generator)
        self.assertTrue(generator.is_finished())

    def test_an_item_that_cannot_be_pickled(self):
        @ray.remote
        def wrong():
            yield 1
            yield threading.Lock()

        refs = list(wrong.remote())
        self.assertEqual(ray.get(refs[0]), 1)
        self.assertRaises(TypeError, ray.get, refs[1])

    def test_references_in_items_and_items_as_arguments(self):
        @ray.remote
        def inner():
            yield [ray.put("deep")]
            yield ray.put("flat")

        first, second = inner.remote()
        self.assertEqual(ray.get(ray.get(first)[0]), "deep")
        self.assertEqual(ray.get(ray.get(second)), "flat")
        add = ray.remote(lambda a, b: a + b)
        self.assertEqual(ray.get([add.remote(ref, 1) for ref in count.remote(4)]), [1, 2, 3, 4])

    def test_a_task_reads_a_generator(self):
        @ray.remote
        def total(n):
            return sum(ray.get(ref) for ref in count.remote(n))

        self.assertEqual(ray.get(total.remote(1000)), sum(range(1000)))

    def test_async_iteration(self):
        async def read(n):
            return [await ref async for ref in count.remote(n)]

        async def read_two():
            return await asyncio.gather(read(20), read(30))

        self.assertEqual(asyncio.run(read_two()), [list(range(20)), list(range(30))])

        async def fail():
            return [ref async for ref in fail_after.remote(1)]

        refs = asyncio.run(fail())
        self.assertEqual(ray.get(refs[0]), 0)
        self.assertRaises(KeyError, ray.get, refs[1])

    def test_wait_for_generators_and_references(self):
        slow, ready, ref = steps.remote(self.folder), count.remote(1), ray.put(1)
        self.assertEqual(ray.wait([slow, ready, ref], num_returns=2), ([ready, ref], [slow]))
        self.assertEqual(ray.wait([slow, ready, ref], num_returns=1), ([ready], [slow, ref]))
        self.assertEqual(ray.wait([slow, ready, ref], num_returns=3, timeout=0), ([ready, ref], [slow]))
        self.assertRaisesRegex(ValueError, "unique", ray.wait, [slow, slow])
        self.assertRaises(TypeError, ray.wait, [slow, 5])
        for i in range(3):
            touch(self.folder, i)
        self.assertEqual(ray.wait([slow, ref], num_returns=2), ([slow, ref], []))

    def test_a_bound_on_what_is_not_read(self):
        made = os.path.join(self.folder, "made")
        generator = notes.options(_generator_backpressure_num_objects=2).remote(self.folder, 10)
        wait_for(lambda: size_of(made) == 2)
        self.assertEqual(ray.wait([generator.completed()], timeout=0.05)[0], [])
        self.assertEqual(size_of(made), 2)
        for i in range(10):
            self.assertEqual(ray.get(next(generator)), i)
            wait_for(lambda: size_of(made) == min(10, i + 3))
        self.assertRaises(StopIteration, next, generator)
        for wrong in (0, -2, 1.5, "x"):
            self.assertRaises(ValueError, notes.options, _generator_backpressure_num_objects=wrong)

    def test_cancel_in_the_middle(self):
        generator = notes.options(_generator_backpressure_num_objects=1).remote(self.folder, 1 << 30)
        self.assertEqual(ray.get(next(generator)), 0)
        ray.cancel(generator)
        last = list(generator)[-1]
        self.assertRaises(ray.exceptions.TaskCancelledError, ray.get, last)
        generator = steps.remote(self.folder)           # it sleeps in Python
        self.assertFalse(generator.next_ready())
        ray.cancel(generator)
        self.assertRaises(ray.exceptions.TaskCancelledError, ray.get, next(generator))

    def test_dropped_generators(self):
        generator = notes.remote(self.folder, 2000)
        kept = next(generator)
        del generator
        gc.collect()
        wait_for(lambda: os.path.exists(os.path.join(self.folder, "ended")))
        self.assertEqual(ray.get(kept), 0)

    def test_retries(self):
        @ray.remote(max_retries=2)
        def dies(folder):
            for i in range(6):
                if i == 4 and not os.path.exists(os.path.join(folder, "died")):
                    touch(folder, "died")
                    os._exit(1)
                yield i

        @ray.remote(retry_exceptions=[KeyError])
        def raises(folder):
            for i in range(6):
                if i == 4 and not os.path.exists(os.path.join(folder, "raised")):
                    touch(folder, "raised")
                    raise KeyError(i)
                yield i

        self.assertEqual([ray.get(ref) for ref in dies.remote(self.folder)], list(range(6)))
        self.assertEqual([ray.get(ref) for ref in raises.remote(self.folder)], list(range(6)))

    def test_dynamic_returns(self):
        ref = count.options(num_returns="dynamic").remote(4, 200000)
        self.assertIsInstance(ref, ray.ObjectRef)
        refs = ray.get(ref)
        self.assertIsInstance(refs, ray.DynamicObjectRefGenerator)
        self.assertEqual(len(refs), 4)
        self.assertEqual([ray.get(r)[0] for r in refs], [0, 1, 2, 3])
        self.assertRaises(KeyError, ray.get, fail_after.options(num_returns="dynamic").remote(1))

    def test_what_a_generator_does_not_do(self):
        generator = count.remote(1)
        for call in (lambda: generator.send(1), lambda: generator.throw(ValueError()), generator.close):
            self.assertRaises(NotImplementedError, call)
        self.assertRaisesRegex(TypeError, "cannot return or pass a generator", pickle.dumps, generator)
        self.assertRaisesRegex(TypeError, "cannot return or pass a generator", count.remote, generator)
        self.assertRaises(ValueError, ray.get, generator)
        self.assertRaises(ValueError, count.options, num_returns="many")


if __name__ == "__main__":
    ray.init(num_cpus=2)
    unittest.main()
