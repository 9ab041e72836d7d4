# SPDX-License-Identifier: Apache-2.0
"""What a program does wrong: an error names it and says what to do, and the next task runs as if nothing had been."""

import ctypes
import os
import pickle
import subprocess
import sys
import threading
import time
import unittest

import mobula as ray


@ray.remote
def square(x):
    return x * x


@ray.remote
def anything(*args, **kwargs):
    return args, kwargs


def run(function, **options):
    return ray.get(ray.remote(max_retries=0, **options)(function).remote(), timeout=60)


class Holder:
    def __init__(self, **parts):
        self.__dict__.update(parts)


class Unloadable(Exception):
    def __init__(self, a, b):
        super().__init__("one word")


class Refuses:
    def __reduce__(self):
        raise RuntimeError("never")


class Pickling(unittest.TestCase):
    def refused(self, text, call):
        with self.assertRaisesRegex(TypeError, text):
            call()

    def test_arguments(self):
        lock = threading.Lock()
        self.refused(r"Could not serialize the argument 1 <unlocked .*: cannot pickle '_thread.lock'.* inside the task",
                     lambda: anything.remote(1, lock))
        self.refused("the argument key ", lambda: anything.remote(1, key=lock))
        self.refused(r"the argument 0 .*holds <unlocked .* as \['a'\]\[1\].part", lambda: square.remote({"a": [1, Holder(part=lock)]}))
        self.refused("it holds <unlocked .*> as the captured lock", lambda: ray.remote(lambda: lock).remote())
        self.refused("never", lambda: square.remote(Refuses()))
        self.refused("the value <unlocked", lambda: ray.put(lock))
        self.refused("generator", lambda: ray.put([x for x in [(i for i in range(3))]]))
        self.assertEqual(ray.get(square.remote(3)), 9)

    def test_results_and_exceptions(self):
        self.refused("Could not serialize the value <unlocked", lambda: run(lambda: threading.Lock()))

        def fail():
            error = RuntimeError("has a lock")
            error.lock = threading.Lock()
            raise error

        def fail_unloadable():
            raise Unloadable(1, 2)
        with self.assertRaisesRegex(ray.exceptions.RayTaskError, "(?s)has a lock.*cannot be pickled, and arrives as its text alone: Could"):
            run(fail)
        with self.assertRaisesRegex(ray.exceptions.RayTaskError, "(?s)one word.*cannot be pickled.* missing 1 required positional"):
            run(fail_unloadable)


class References(unittest.TestCase):
    def test_of_no_cluster(self):
        for wrong in 5, "o-1.1-1.0", None, {}, [ray.put(1), 5]:
            with self.assertRaisesRegex(ValueError, "Invalid type of object refs, <class '(int|str|NoneType|dict)'>, is given"):
                ray.get(wrong)
        with self.assertRaisesRegex(TypeError, "got a list with <class 'int'>"):
            ray.wait([5])

    def test_of_a_cluster_that_is_gone(self):
        ref, failed = ray.put(1), square.remote("x")
        ray.shutdown()
        start()
        for call in (lambda: ray.get(ref), lambda: ray.get([ref]), lambda: ray.wait([ref]), lambda: ray.cancel(ref), lambda: ref.future(),
                     lambda: square.remote(ref), lambda: square.remote([ref]), lambda: anything.remote(1, key=ref), lambda: ray.put([ref]),
                     lambda: ref.hex(), lambda: ray.get(failed), lambda: ray.remote(lambda: ref).remote()):
            with self.assertRaisesRegex((ValueError, TypeError), "session that has ended by shutdown"):
                call()
        self.assertIn("ended", repr(ref))
        self.assertEqual(len({ref, failed, ref}), 2)
        self.assertEqual(ray.get(square.remote(3)), 9)

    def test_of_another_job(self):
        with self.assertRaisesRegex(TypeError, "only by mobula itself"):
            pickle.dumps(ray.put(1))
        with self.assertRaisesRegex(TypeError, "none of mobula's own values"):
            ray._core._carried(0)


class Ends(unittest.TestCase):
    def dies(self, function, words):
        with self.assertRaisesRegex(ray.exceptions.WorkerCrashedError, words):
            run(function)
        self.assertEqual(ray.get(square.remote(3)), 9)

    def test_last_words_of_any_bytes(self):
        self.dies(lambda: (os.write(2, b"\xff\xfe last \xff words\n"), os._exit(3)), "(?s)exited with code 3.* last .* words")

    def test_last_words_say_nothing_of_the_end(self):
        with self.assertRaisesRegex(ray.exceptions.WorkerCrashedError, r"(?s)^'.*<lambda>', attempt 1 of 1: worker .*os\._exit.*"
                                    r"\nIts last lines on stderr:\nSIGSEGV, its socket was closed$"):
            run(lambda: (os.write(2, b"SIGSEGV, its socket was closed\n"), os._exit(3)))

    def test_exits(self):
        for code in 3, None, "words":
            with self.assertRaisesRegex(ray.exceptions.RayTaskError, "(?s)SystemExit.*a task ends by return") as caught:
                run(lambda: sys.exit(code))
            self.assertNotIsInstance(caught.exception, SystemExit)      # who does not catch it ends with a traceback
        self.dies(lambda: os._exit(7), r"(?s)exited with code 7.*called os._exit\(\) or exec")
        self.dies(lambda: os._exit(0), "exited with code 0")
        self.dies(lambda: os.execv("/bin/true", ["true"]), "exited with code 0|SIGKILL")
        self.dies(lambda: os.kill(os.getpid(), 9), "(?s)SIGKILL.*memory")

    def test_crashes(self):
        def overflow():
            def deeper(n):
                return sorted([n], key=deeper)
            sys.setrecursionlimit(10**9)
            deeper(0)
        self.dies(lambda: ctypes.string_at(0), "(?s)SIGSEGV.*A C extension.*in string_at")
        self.dies(overflow, "(?s)SIGSEGV.*overflowed the stack.*in deeper")
        self.dies(os.abort, "(?s)SIGABRT.*test_crashes|SIGABRT.*Aborted")
        with self.assertRaisesRegex(RecursionError, "maximum recursion depth"):
            run(lambda: (lambda f: f(f))(lambda f: f(f)))


class Forks(unittest.TestCase):
    def child_of(self, in_child):
        """The exit status of a child that goes on in the task's function; the function returns in both."""
        def fork():
            pid = os.fork()
            if pid == 0:
                return in_child()
            return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
        return run(fork)

    def test_a_child_ends_where_the_function_does(self):
        self.assertEqual(self.child_of(lambda: "from the child"), 0)
        self.assertEqual(self.child_of(lambda: sys.exit(7)), 7)
        self.assertEqual(self.child_of(lambda: sys.exit("words")), 1)
        self.assertEqual(self.child_of(lambda: 1 / 0), 1)
        self.assertEqual(ray.get(square.remote(3)), 9)

    def test_a_child_that_uses_the_library(self):
        def use():
            try:
                ray.get(ray.put(1))
            except ValueError as e:
                return sys.exit(5 if "was forked from one that uses Mobula" in str(e) else 6)
        self.assertEqual(self.child_of(use), 5)

    def test_a_child_that_is_ended(self):
        def end():
            pid = os.fork()
            if pid == 0:
                time.sleep(60)
            os.kill(pid, 15)
            return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
        self.assertEqual(run(end), -15)

    def test_other_ways_to_make_children(self):
        def work():
            import multiprocessing
            with multiprocessing.get_context("fork").Pool(2) as pool:
                squares = pool.map(abs, [-1, -2])
            return squares, subprocess.run(["echo", "said"], capture_output=True, text=True).stdout
        self.assertEqual(run(work), ([1, 2], "said\n"))


class Threads(unittest.TestCase):
    def test_that_outlive_their_task(self):
        def leave():
            def go_on():
                sys.results, sys.context = [], ray.get_runtime_context()
                sys.go.wait(60)
                for i in range(20):
                    sys.results.append(ray.get(square.remote(ray.put(i))))
            sys.go = threading.Event()
            sys.thread = threading.Thread(target=go_on)
            sys.thread.start()
            return os.getpid()

        def collect():
            if not hasattr(sys, "go"):
                return None
            sys.go.set()
            sys.thread.join()
            return os.getpid(), sys.results

        pid, found = run(leave), None
        while found is None:
            found = run(collect)
        self.assertEqual(found, (pid, [i * i for i in range(20)]))


class Descriptors(unittest.TestCase):
    def test_closed(self):
        def close(how):
            how()
            return os.getpid()
        pids = set()
        for how in lambda: [os.close(fd) for fd in range(3)], lambda: os.closerange(0, 3), lambda: sys.stdout.flush():
            pids.add(run(lambda: close(how)))
            self.assertEqual(run(lambda: (print("printed"), [os.fstat(fd).st_mode & 0o170000 for fd in range(3)])[1]),
                             [0o020000, 0o010000, 0o010000])
        self.assertEqual(len(pids), 1)          # the worker lives on


class Floods(unittest.TestCase):
    DRIVER = """if True:
        import mobula as ray, os, resource, sys, time
        ray.init(num_cpus=2)

        @ray.remote
        def flood(gate):
            text = ("x" * 99 + "\\n") * 1000
            size = 0
            while not os.path.exists(gate):
                sys.stdout.write(text)
                size += len(text)
                if size >> 20 == 64:
                    open(gate + ".enough", "w").close()
            return size

        @ray.remote
        def calm(gate):
            for i in range(300):
                print("calm", i)
                time.sleep(0.003)
            while not os.path.exists(gate + ".enough"):
                time.sleep(0.01)
            open(gate, "w").close()

        @ray.remote
        def nothing():
            pass

        gate = sys.argv[1]
        refs = [flood.remote(gate), calm.options(num_cpus=0).remote(gate)]
        latest = 0
        while len(ray.wait(refs, num_returns=2, timeout=0)[0]) < 2:
            ray.get(nothing.remote())
        size = ray.get(refs[0])
        ray.shutdown()
        print("flooded", size >> 20, "MiB; grew to", resource.getrusage(resource.RUSAGE_SELF).ru_maxrss >> 10, "MiB", file=sys.stderr)
    """

    def test_of_output(self):
        gate = f"/tmp/mobula-gate-{os.getpid()}-flood"
        try:
            done = subprocess.run([sys.executable, "-c", self.DRIVER, gate], capture_output=True, text=True, timeout=60)
        finally:
            for path in gate, gate + ".enough":
                if os.path.exists(path):
                    os.unlink(path)
        self.assertEqual(done.returncode, 0, done.stderr)
        calm = [line.split(") ", 1)[1] for line in done.stdout.splitlines() if line.startswith("(calm ")]
        self.assertEqual(calm, [f"calm {i}" for i in range(300)])
        lines = {line.split(") ", 1)[1] for line in done.stdout.splitlines() if line.startswith("(flood ")}
        self.assertEqual(lines, {"x" * 99})         # none is torn, or mixed with another
        self.assertRegex(done.stderr, "bytes of output of tasks were dropped")
        flooded, grown = [int(word) for word in done.stderr.split("flooded")[1].split() if word.isdigit()]
        self.assertGreater(flooded, 50)
        self.assertLess(grown, 200)


def start():
    ray.init(num_cpus=2)


if __name__ == "__main__":
    start()
    unittest.main()
