# SPDX-License-Identifier: Apache-2.0
"""Remote functions, objects and references on one node, as a user of Ray writes them."""

import concurrent.futures
import copy
import dataclasses
import functools
import gc
import os
import sys
import tempfile
import threading
import time
import unittest
import unittest.mock

import numpy

import mobula as ray


@ray.remote
def square(x):
    return x * x


@ray.remote
def same(*args, **kwargs):
    return args, kwargs


class Custom:
    def __init__(self, text):
        self.text = text

    def __eq__(self, other):
        return self.text == other.text


class OwnError(Exception):
    def __init__(self, a, b):
        super().__init__(a, b)
        self.a, self.b = a, b


@ray.remote
def fail_with(error):
    raise error


@functools.lru_cache(maxsize=3)
def doubled(x):
    return 2 * x


class Text:
    def __init__(self, text):
        self.text = text

    @functools.cached_property
    def size(self):
        return len(self.text)


@dataclasses.dataclass
class Point:
    x: int
    more: list = dataclasses.field(default_factory=list)


class Unloadable:
    def __reduce__(self):
        return exec, ("raise RuntimeError('it cannot be loaded')",)


class Values(unittest.TestCase):
    def test_arguments_and_results_of_every_kind(self):
        kinds = [None, True, 0, -1, 2**100, 1.5, float("inf"), "text", "ü" * 1000, b"bytes", (), [], {}, (1, [2, {"3": 4}]),
                 {1: None}, {1, 2}, range(3), Custom("x"), complex(1, 2), bytearray(b"b"), numpy.float32(1.5), "x" * 300000,
                 b"y" * 2000000, list(range(20000)), [[[[[[1]]]]]]]
        for value in kinds:
            with self.subTest(str(value)[:40]):
                self.assertEqual(ray.get(same.remote(value, key=value)), ((value,), {"key": value}))
                self.assertEqual(ray.get(ray.put(value)), value)

    def test_a_dataclass_that_has_been_away_is_one(self):
        @ray.remote
        def grow(point):
            return dataclasses.asdict(point), dataclasses.replace(point, x=point.x + 1)
        there, point = ray.get(grow.remote(Point(1)))
        self.assertEqual((there, dataclasses.asdict(point)), ({"x": 1, "more": []}, {"x": 2, "more": []}))
        self.assertIs(type(point), Point)
        self.assertEqual(dataclasses.asdict(Point(5, [6])), {"x": 5, "more": [6]})
        self.assertIs(dataclasses.fields(Point)[0].default, dataclasses.MISSING)

    def test_functions_and_properties_that_remember(self):
        self.assertEqual(ray.get(ray.remote(doubled).remote(4)), 8)
        self.assertEqual(ray.get(ray.remote(lambda text: Text(text).size).remote("abc")), 3)
        self.assertEqual(ray.get(same.remote(Text("abc")))[0][0].size, 3)

    def test_arguments_of_any_name(self):
        names = {"self": 1, "args": 2, "kwargs": 3, "function": 4, "name": 5, "retry": 6, "num_cpus": 7}
        self.assertEqual(ray.get(same.remote(0, **names)), ((0,), names))

    def test_functions_and_closures(self):
        factor = 7
        times = ray.remote(lambda x: x * factor)
        self.assertEqual(ray.get([times.remote(i) for i in range(3)]), [0, 7, 14])
        self.assertEqual(ray.get(same.remote(lambda: factor))[0][0](), 7)

    def test_functions_that_differ_in_what_they_capture_alone(self):
        def looks_at(what):
            return ray.remote(num_cpus=0.1)(lambda: float(numpy.sum(what if isinstance(what, numpy.ndarray) else ray.get(what))))
        arrays = [numpy.full(1000, i) for i in range(3)]
        for captured in arrays, [ray.put(array) for array in arrays], [square.remote(i) for i in arrays]:
            self.assertEqual(ray.get([looks_at(what).remote() for what in captured]),
                             [float(numpy.sum(ray.get(what) if isinstance(what, ray.ObjectRef) else what)) for what in captured])

    def test_references_are_replaced_by_values_only_as_arguments(self):
        ref = ray.put(5)
        self.assertEqual(ray.get(same.remote(ref, key=square.remote(ref))), ((5,), {"key": 25}))
        (inside,), _ = ray.get(same.remote([ref]))
        self.assertEqual(inside, [ref])
        self.assertEqual(ray.get(inside), [5])
        self.assertEqual(ray.get(ray.get(ray.put({"a": ref}))["a"]), 5)
        self.assertEqual((copy.copy(ref), copy.deepcopy([ref])), (ref, [ref]))

    def test_a_reference_in_a_result_outlives_its_task(self):
        @ray.remote
        def make():
            return [ray.put("inner"), square.remote(3)]
        self.assertEqual(ray.get(ray.get(make.remote())), ["inner", 9])

    def test_several_results(self):
        a, b = same.options(num_returns=2).remote(1, k=2)
        self.assertEqual((ray.get(a), ray.get(b)), ((1,), {"k": 2}))
        self.assertIsNone(same.options(num_returns=0).remote())
        with self.assertRaisesRegex(ValueError, "Task returned 2 objects, but num_returns=3."):
            ray.get(same.options(num_returns=3).remote()[2])

    def test_nested_to_some_depth(self):
        @ray.remote
        def depth(n):
            return 0 if n == 0 else 1 + ray.get(depth.remote(n - 1))
        self.assertEqual(ray.get(depth.remote(5)), 5)


class Arrays(unittest.TestCase):
    def test_looked_at_where_they_lie(self):
        array = numpy.arange(1 << 20, dtype=numpy.float64).reshape(1024, 1024)
        ref = ray.put(array)
        got = ray.get(ref)
        self.assertTrue((got == array).all())
        self.assertFalse(got.flags.owndata or got.flags.writeable)
        with self.assertRaisesRegex(ValueError, "read-only"):
            got[0, 0] = 1
        self.assertEqual(got.ctypes.data % 64, 0)
        again = ray.get(ref)
        self.assertEqual(again.ctypes.data, got.ctypes.data)
        del ref
        gc.collect()
        self.assertTrue((got == array).all())           # the bytes stay as long as somebody looks

    def test_as_many_views_as_a_program_keeps(self):
        refs = [ray.put(numpy.full(25000, i)) for i in range(20)]
        views = [array for _ in range(2500) for array in ray.get(refs)]
        self.assertTrue(all(array[-1] == i % 20 and not array.flags.owndata for i, array in enumerate(views)))

    def test_an_argument_that_is_kept_stays(self):
        @ray.remote
        def keep(array):
            sys.kept = array

        @ray.remote
        def sum_of_kept():
            return float(sys.kept.sum()) if hasattr(sys, "kept") else None

        ray.get(keep.remote(ray.put(numpy.ones(1 << 18))))
        for _ in range(20):
            ray.get(same.remote(numpy.zeros(1 << 18)))
        sums = set(ray.get([sum_of_kept.remote() for _ in range(20)]))
        self.assertTrue(sums == {1 << 18} or sums == {1 << 18, None}, sums)

    def test_dates_go_out_of_band(self):
        from mobula import _serialization
        dates = numpy.arange(100000).astype("M8[s]").reshape(100, 1000)
        for array in dates, dates.T, dates[::2], dates.astype("M8[ns]"), dates - dates[0, 0], dates[:1]:
            pickled, buffers = _serialization.dumps([array])
            self.assertLess(len(pickled), 20000 if array.flags.c_contiguous or array.flags.f_contiguous else 10**7)
            got, = ray.get(ray.put([array]))
            self.assertEqual((got.dtype, got.shape), (array.dtype, array.shape))
            self.assertTrue((got == array).all())
        self.assertEqual(sum(buffer.raw().nbytes for buffer in _serialization.dumps(dates)[1]), 800000)
        self.assertFalse(ray.get(ray.put(dates)).flags.writeable)

    def test_layouts(self):
        base = numpy.arange(60000).reshape(200, 300)
        for array in (base, base.T, base[::2, ::3], numpy.asfortranarray(base), base[:0], numpy.array(5), numpy.array(["a", None], object),
                      numpy.zeros(3, [("x", "i4"), ("y", "f8")])):
            got, = ray.get(same.remote(array))[0]
            self.assertTrue((got == array).all())
            self.assertEqual(got.dtype, array.dtype)


class Errors(unittest.TestCase):
    def test_both_types_and_both_tracebacks(self):
        with self.assertRaises(ValueError) as caught:
            ray.get(fail_with.remote(ValueError("wrong", 5)))
        error = caught.exception
        self.assertIsInstance(error, ray.exceptions.RayTaskError)
        self.assertEqual(error.args, ("wrong", 5))
        self.assertIsInstance(error.cause, ValueError)
        self.assertRegex(str(error), r"mobula::fail_with\(\) \(pid=\d+, ip=[\d.]+\)\nTraceback .*\n.*in fail_with\n")
        self.assertNotIn("_worker.py", str(error))

    def test_an_exception_class_with_its_own_constructor(self):
        with self.assertRaises(OwnError) as caught:
            ray.get(fail_with.remote(OwnError(1, 2)))
        self.assertEqual((caught.exception.a, caught.exception.b), (1, 2))

    def test_one_that_cannot_be_pickled(self):
        @ray.remote
        def fail():
            error = RuntimeError("has a lock")
            error.lock = threading.Lock()
            raise error
        with self.assertRaisesRegex(ray.exceptions.RayTaskError, "has a lock"):
            ray.get(fail.remote())

    def test_a_result_that_cannot_be_pickled(self):
        with self.assertRaisesRegex(TypeError, "Could not serialize the value"):
            ray.get(ray.remote(lambda: threading.Lock()).remote())

    def test_it_goes_through_what_depends_on_it(self):
        failed = fail_with.remote(KeyError("k"))
        said = r"mobula::square\(\) \(pid=\d+, ip=[\d.]+\)\nAt least one of the input arguments for this task could not be computed:\n"
        with self.assertRaisesRegex(KeyError, f"^{said * 2}mobula::fail_with"):
            ray.get(square.remote(square.remote(failed)))
        for _ in range(500):                            # and does not grow without end
            failed = square.remote(failed)
        with self.assertRaises(KeyError) as caught:
            ray.get(failed)
        self.assertLess(len(str(caught.exception)), 20000)

        @ray.remote
        def catch():
            try:
                ray.get(fail_with.remote(KeyError("inner")))
            except KeyError as e:
                return str(e.args)
        self.assertEqual(ray.get(catch.remote()), "('inner',)")

        @ray.remote
        def pass_on():
            return ray.get(fail_with.remote(KeyError("inner")))
        with self.assertRaisesRegex(KeyError, r"(?s)^mobula::[^ ]*pass_on\(\).*, in pass_on\n.*mobula::fail_with\(\).*, in fail_with\n") as caught:
            ray.get(pass_on.remote())
        self.assertNotIn("_api.py", str(caught.exception))

    def test_what_is_not_unpickled_is_told_under_its_own_function(self):
        @ray.remote(num_cpus=2)
        def captures():
            return unloadable
        unloadable = Unloadable()
        for name, call in ("square", lambda: square.options(num_cpus=2).remote(unloadable)), (r"[\w.<>]*captures", captures.remote):
            with self.assertRaisesRegex(RuntimeError, rf"^mobula::{name}\(\) "):
                ray.get(call())


class Waiting(unittest.TestCase):
    def setUp(self):
        self.gate = f"/tmp/mobula-gate-{os.getpid()}-{self.id()}"

    def tearDown(self):
        if os.path.exists(self.gate):
            os.unlink(self.gate)

    def blocked(self):
        @ray.remote
        def wait_for(path):
            while not os.path.exists(path):
                time.sleep(0.01)
            return path
        return wait_for.remote(self.gate)

    def test_get_with_timeout(self):
        ref = self.blocked()
        with self.assertRaises(ray.exceptions.GetTimeoutError) as caught:
            ray.get(ref, timeout=0.05)
        self.assertIsInstance(caught.exception, TimeoutError)
        with self.assertRaises(ray.exceptions.GetTimeoutError):
            ray.get([square.remote(1), ref], timeout=0)
        open(self.gate, "w").close()
        self.assertEqual(ray.get(ref, timeout=30), self.gate)

    def test_wait(self):
        ref, quick = self.blocked(), [square.remote(i) for i in range(5)]
        ready, others = ray.wait([ref] + quick, num_returns=5)
        self.assertEqual((ready, others), (quick, [ref]))
        self.assertEqual(ray.wait([ref], timeout=0), ([], [ref]))
        open(self.gate, "w").close()
        self.assertEqual(ray.wait([ref]), ([ref], []))

    def test_in_the_order_of_their_ends(self):
        ref = self.blocked()
        values = ray.util.as_completed([ref, square.remote(2)])
        self.assertEqual(next(values), 4)
        open(self.gate, "w").close()
        self.assertEqual(list(values), [self.gate])
        self.assertEqual(sorted(ray.util.map_unordered(square, range(30), backpressure_size=4)), [i * i for i in range(30)])

    def test_asyncio_and_futures(self):
        import asyncio

        async def both():
            return await square.remote(3), await asyncio.gather(*[square.remote(i) for i in range(3)])
        self.assertEqual(asyncio.run(both()), (9, [0, 1, 4]))
        self.assertEqual(square.remote(5).future().result(30), 25)
        with self.assertRaises(KeyError):
            fail_with.remote(KeyError(1)).future().result(30)

    def test_many_futures(self):
        futures = [square.remote(i).future() for i in range(500)]
        self.assertEqual([future.result(30) for future in futures], [i * i for i in range(500)])
        self.assertLess(threading.active_count(), 10)

    def test_cancel(self):
        ref = self.blocked()
        ray.cancel(ref, force=True)
        with self.assertRaises(ray.exceptions.TaskCancelledError):
            ray.get(ref)
        done = square.remote(1)
        ray.get(done)
        ray.cancel(done)
        self.assertEqual(ray.get(done), 1)

    def test_who_was_given_a_reference_cancels(self):
        @ray.remote(num_cpus=0)
        def cancel(refs):
            ray.cancel(refs[0], force=True)
            with self.assertRaises(ray.exceptions.TaskCancelledError):
                ray.get(refs[0], timeout=30)

        ref = self.blocked()
        ray.get(cancel.remote([ref]), timeout=60)
        with self.assertRaises(ray.exceptions.TaskCancelledError):
            ray.get(ref, timeout=30)

    def test_a_running_task_is_interrupted(self):
        path = self.gate

        @ray.remote
        def sleep():
            with open(path + ".started", "w"):
                pass
            try:
                while True:
                    time.sleep(0.01)
            except KeyboardInterrupt:
                with open(path, "w") as file:
                    file.write(str(ray.get_runtime_context().is_canceled()))
                raise

        ref = sleep.remote()
        while not os.path.exists(path + ".started"):
            time.sleep(0.01)
        os.unlink(path + ".started")
        behind = [square.remote(i) for i in range(10)]      # on its worker, too, perhaps
        ray.cancel(ref)
        with self.assertRaises(ray.exceptions.TaskCancelledError):
            ray.get(ref)
        self.assertEqual(ray.get(behind), [i * i for i in range(10)])
        while not os.path.exists(path):
            time.sleep(0.01)
        with open(path) as file:
            self.assertIn(file.read(), ("True", ""))

    def test_what_a_cancelled_task_called(self):
        path = self.gate

        @ray.remote
        def leaf():
            end = ".passed"
            open(path + ".started", "w").close()
            try:
                while not os.path.exists(path):
                    time.sleep(0.01)
            except KeyboardInterrupt:
                end = ".interrupted"
                raise
            finally:
                open(path + end, "w").close()

        @ray.remote
        def relay(called):
            return ray.get(called[0].remote(*called[1:]))

        def wait_for(end):
            while not os.path.exists(path + end):
                time.sleep(0.01)
            os.unlink(path + end)

        for recursive, end in (True, ".interrupted"), (False, ".passed"):
            ref = relay.remote((relay, (leaf,)) if recursive else (leaf,))
            wait_for(".started")
            ray.cancel(ref, recursive=recursive)
            with self.assertRaises(ray.exceptions.TaskCancelledError):
                ray.get(ref)
            if not recursive:
                open(path, "w").close()
            wait_for(end)

    def test_threads_of_a_driver(self):
        start = threading.Barrier(4)

        def many(k):
            start.wait()
            return ray.get([square.remote(k * 100 + i) for i in range(100)])
        with concurrent.futures.ThreadPoolExecutor(4) as pool:      # what one of them raises is raised here
            self.assertEqual(list(pool.map(many, range(4))), [[(k * 100 + i) ** 2 for i in range(100)] for k in range(4)])


class Options(unittest.TestCase):
    def test_resources_of_a_task(self):
        @ray.remote(num_gpus=1, resources={"licence": 2})
        def look():
            context = ray.get_runtime_context()
            return ray.get_gpu_ids(), context.get_assigned_resources(), os.environ["CUDA_VISIBLE_DEVICES"]
        gpus, resources, visible = ray.get(look.remote())
        self.assertEqual((len(gpus), resources), (1, {"CPU": 1, "GPU": 1, "licence": 2}))
        self.assertEqual(visible, str(gpus[0]))
        self.assertEqual(ray.cluster_resources()["GPU"], 2)
        self.assertEqual(ray.get_gpu_ids(), [])

    def test_the_same_function_with_others(self):
        half = square.options(num_cpus=0.5, name="half")
        self.assertEqual(ray.get(half.remote(3)), 9)
        self.assertEqual(ray.get(half.options(num_cpus=0).remote(4)), 16)

    def test_node_affinity(self):
        node = ray.nodes()[0]["NodeID"]
        strategy = ray.util.scheduling_strategies.NodeAffinitySchedulingStrategy(node, soft=False)

        @ray.remote(scheduling_strategy=strategy)
        def where():
            return ray.get_runtime_context().get_node_id()
        self.assertEqual(ray.get(where.remote()), node)


class Retries(unittest.TestCase):
    def tries(self, error, **options):
        """How often a task runs that raises `error` the first two times; and what it ends with."""
        with tempfile.TemporaryDirectory() as folder:
            @ray.remote(**options)
            def work():
                count = len(os.listdir(folder))
                with open(os.path.join(folder, str(count)), "w"):
                    pass
                if count < 2:
                    raise error
                return "done"

            try:
                result = ray.get(work.remote())
            except Exception as e:
                result = type(e.cause).__name__
            return len(os.listdir(folder)), result

    def test_exceptions_that_are_tried_again(self):
        self.assertEqual(self.tries(KeyError()), (1, "KeyError"))
        self.assertEqual(self.tries(KeyError(), retry_exceptions=True), (3, "done"))
        self.assertEqual(self.tries(KeyError(), retry_exceptions=[ValueError, KeyError]), (3, "done"))
        self.assertEqual(self.tries(KeyError(), retry_exceptions=[ValueError]), (1, "KeyError"))
        self.assertEqual(self.tries(KeyError(), retry_exceptions=True, max_retries=1), (2, "KeyError"))
        self.assertEqual(self.tries(KeyError(), retry_exceptions=True, max_retries=0), (1, "KeyError"))
        self.assertEqual(self.tries(KeyError(), retry_exceptions=True, max_retries=-1), (3, "done"))

    def test_delay(self):
        begins = []

        @ray.remote(retry_exceptions=True, retry_delay=0.04)
        def work():
            begins.append(time.monotonic())
            if len(begins) < 3:
                raise KeyError
            return begins
        first, second, third = ray.get(work.remote())
        self.assertGreaterEqual(second - first, 0.03)   # at least three quarters of it; then it doubles
        self.assertGreaterEqual(third - second, 0.06)


class Environment(unittest.TestCase):
    def test_of_the_workers(self):
        look = ray.remote(lambda: (os.environ["FROM_DRIVER"], os.environ["OMP_NUM_THREADS"]))
        self.assertEqual(ray.get(look.remote()), ("text {with} 'quotes'", "1"))


def held(pid):
    """kB of memory that are a process's own; 0 if it has ended."""
    try:
        with open(f"/proc/{pid}/status") as status:
            return next((int(line.split()[1]) for line in status if line.startswith("RssAnon:")), 0)
    except OSError:
        return 0


class Memory(unittest.TestCase):
    def test_what_a_task_freed_is_there_for_the_next_and_is_given_back_by_an_idle_worker(self):
        @ray.remote
        def work():
            numpy.ones(5_000_000)
            pid = os.readlink("/proc/self")         # as the driver knows it
            return pid, held(pid)

        pid, kept = ray.get(work.remote())
        self.assertGreater(kept, 40_000_000 / 1024)
        limit = time.monotonic() + 30
        while held(pid) > kept - 35_000:
            self.assertLess(time.monotonic(), limit)
            time.sleep(0.05)


class Unseen(unittest.TestCase):
    """Errors of tasks whose results go unread. Of the two of one task the first is waited for: the second is ready with it."""

    def setUp(self):
        gc.collect()                        # what other tests have left in cycles is not told here
        gc.disable()
        self.addCleanup(gc.enable)

    def unseen(self, function, kind, **options):
        seen, other = ray.remote(num_returns=2, max_retries=0, **options)(function).remote()
        with self.assertRaises(kind):
            ray.get(seen)
        return other

    def told(self, function, kind, **options):
        ref = self.unseen(function, kind, **options)
        with self.assertLogs("mobula", "ERROR") as logs:
            del ref
        self.assertEqual(len(logs.output), 1)
        self.assertIn("Unhandled error (suppress with 'MOBULA_IGNORE_UNHANDLED_ERRORS=1'): ", logs.output[0])
        return logs.output[0]

    def test_is_told(self):
        def fail():
            raise OwnError(1, "large" * 50000)          # too large for this process's memory
        self.assertRegex(self.told(lambda: 1 / 0, ZeroDivisionError), r"(?s)<lambda>\(\) \(pid=.*\nZeroDivisionError: division by zero")
        self.assertIn("exited with code 3", self.told(lambda: os._exit(3), ray.exceptions.WorkerCrashedError))
        ref = self.unseen(fail, OwnError)
        with self.assertNoLogs("mobula", "ERROR"):
            del ref

    def test_an_exception_under_way_stays(self):
        with self.assertLogs("mobula", "ERROR"), self.assertRaisesRegex(KeyError, "^'mine'$"):
            [self.unseen(lambda: 1 / 0, ZeroDivisionError), {}["mine"]]

    def test_what_is_seen_or_given_away_is_not(self):
        with self.assertNoLogs("mobula", "ERROR"):
            for see in ray.wait, ray.put, same.remote, lambda refs: ray.wait([same.remote(*refs)]), lambda refs: refs[0].future():
                see([self.unseen(lambda: 1 / 0, ZeroDivisionError)])
            self.unseen(lambda: sys.exit(1), ray.exceptions.RayTaskError).future().exception()
            seen, other = ray.remote(num_returns=2)(time.sleep).remote(1000)
            ray.cancel(seen)
            self.assertRaises(ray.exceptions.TaskCancelledError, ray.get, seen)
            del other
            with unittest.mock.patch.dict(os.environ, {"MOBULA_IGNORE_UNHANDLED_ERRORS": "1"}):
                self.unseen(lambda: 1 / 0, ZeroDivisionError)


class Sessions(unittest.TestCase):
    def test_another_after_the_first(self):
        array, ref = ray.get(ray.put(numpy.ones(1 << 18))), ray.put(1)
        late = ray.remote(time.sleep).remote(60).future()
        ray.shutdown()
        self.assertIsInstance(late.exception(30), ray.exceptions.RaySystemError)
        ray.shutdown()
        self.assertFalse(ray.is_initialized())
        array.sum()                                     # whatever it reads
        with self.assertRaisesRegex(ValueError, "session that has ended"):
            ray.get(ref)
        self.assertEqual(ray.get(square.remote(3)), 9)  # starts another one
        self.assertNotEqual(ray.put(1), ref)
        del ref
        self.assertTrue(ray.is_initialized())
        ray.shutdown()
        start()


def start():
    ray.init(num_cpus=2, num_gpus=2, resources={"licence": 3}, runtime_env={"env_vars": {"FROM_DRIVER": "text {with} 'quotes'"}})


if __name__ == "__main__":
    assert not ray.is_initialized()
    ray.shutdown()
    start()
    unittest.main()
