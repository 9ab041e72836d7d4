# SPDX-License-Identifier: Apache-2.0
"""How a task's process or node ended, as data on the exception: wherever that is seen, and whoever sees it."""

import ctypes
import glob
import os
import pickle
import resource
import signal
import sys
import tempfile
import unittest

import mobula as ray
from mobula.cluster_utils import Cluster
from mobula.util.scheduling_strategies import NodeAffinitySchedulingStrategy


@ray.remote(max_retries=0)
def die(how, *args):
    os.write(2, b"\xff\n" + b"".join(b"line %d\n" % i for i in range(30)))
    how(*args)


@ray.remote
def large():
    return bytes(200000)


@ray.remote
def take(argument):
    return argument


@ray.remote(max_retries=0)
def get_inside(how, *args):
    return ray.get(die.remote(how, *args))


def stays(path):
    """Says which process is its raylet."""
    pid = os.readlink("/proc/self")         # not os.getpid(): it may be in a namespace
    while "mobula-raylet" not in os.readlink(f"/proc/{pid}/exe"):
        with open(f"/proc/{pid}/stat") as stat:
            pid = stat.read().rpartition(")")[2].split()[1]
    with open(path + ".new", "w") as said:
        said.write(pid)
    os.rename(path + ".new", path)
    signal.pause()


def stands(ref, path):
    """Its raylet's pid, as soon as it stands."""
    while not os.path.exists(path):
        ray.wait([ref], timeout=0.01)
    with open(path) as said:
        pid = int(said.read())
    os.remove(path)
    return pid


PATH = f"/tmp/mobula-test-deaths-{os.getpid()}"


class Deaths(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        ray.init(num_cpus=2)

    @classmethod
    def tearDownClass(cls):
        ray.shutdown()

    def error_of(self, ref, kind=ray.exceptions.WorkerCrashedError):
        with self.assertRaises(kind) as caught:
            ray.get(ref, timeout=60)
        return caught.exception

    def check(self, death, **fields):
        self.assertEqual({name: getattr(death, name) for name in fields}, fields)
        self.assertGreater(death.pid, 0)
        self.assertGreater(death.peak_memory, 1 << 20)
        self.assertGreater(death.cpu_time, 0)
        self.assertGreater(death.lived, 0)
        self.assertEqual((death.ip, death.worker.split(".")[0]), (ray.util.get_node_ip_address(), death.node))
        self.assertNotEqual(death.host, "")

    def test_each_way(self):
        for how, fields in (((os._exit, 7), {"killed_by": "exit", "signal": 0, "exit_code": 7}),
                            ((os._exit, 0), {"killed_by": "exit", "signal": 0, "exit_code": 0}),
                            ((ctypes.string_at, 0), {"killed_by": "crash", "signal": signal.SIGSEGV, "exit_code": -1}),
                            ((os.abort,), {"killed_by": "crash", "signal": signal.SIGABRT, "exit_code": -1}),
                            ((lambda: os.kill(os.getpid(), signal.SIGKILL),), {"killed_by": "signal", "signal": signal.SIGKILL}),
                            ((lambda: (os.closerange(3, 1 << 16), signal.pause()),), {"killed_by": "raylet", "signal": signal.SIGKILL})):
            with self.subTest(fields):
                error = self.error_of([ray.put(1), die.remote(*how)])
                self.check(error.death, attempt=0, **fields)
                self.assertEqual(error.deaths, (error.death,))
                self.assertEqual(pickle.loads(pickle.dumps(error)).deaths, error.deaths)

    def test_last_lines(self):
        lines = self.error_of(die.remote(os._exit, 1)).death.last_lines.split("\n")
        self.assertEqual(lines, [f"line {i}" for i in range(10, 30)])
        self.assertEqual(self.error_of(die.remote(lambda: (os.write(2, b"\xff\n"), os._exit(1)))).death.last_lines[-1], "\ufffd")

    def test_core(self):
        with open("/proc/sys/kernel/core_pattern") as file:
            pattern = file.read().strip()
        if resource.getrlimit(resource.RLIMIT_CORE)[1] == 0 or pattern[0] not in "c|":
            self.skipTest("no core may be written here, or not there")

        def dumps(folder):
            os.chdir(folder)
            resource.setrlimit(resource.RLIMIT_CORE, (resource.getrlimit(resource.RLIMIT_CORE)[1],) * 2)
            os.abort()
        with tempfile.TemporaryDirectory() as folder:
            error = self.error_of(die.remote(dumps, folder))
            if pattern[0] == "|":
                self.assertIn(error.death.core, ("", pattern.split()[0]))
            else:
                self.assertNotEqual(glob.glob(os.path.join(folder, error.death.core)), [], error.death.core)
                self.assertIn(f"its core: {error.death.core} in the folder where it worked\n", str(error))
        self.assertEqual(self.error_of(die.remote(os.abort)).death.core, "")

    def test_each_attempt(self):
        error = self.error_of(die.options(max_retries=5).remote(os._exit, 3))
        self.assertEqual([d.attempt for d in error.deaths], [2, 3, 4, 5])
        self.assertEqual(len({d.pid for d in error.deaths}), 4)
        self.assertEqual((error.attempt, error.death), (5, error.deaths[-1]))

    def test_cancelled(self):
        ref = die.remote(stays, PATH)
        stands(ref, PATH)
        ray.cancel(ref, force=True)
        error = self.error_of(ref, ray.exceptions.TaskCancelledError)
        self.check(error.death, killed_by="cancel", signal=signal.SIGKILL, attempt=0)

    def test_errors_that_follow(self):
        died = die.remote(os._exit, 4)
        death = self.error_of(died).death
        for ref in take.remote(died), take.remote(take.remote(died)):
            self.assertEqual(self.error_of(ref).death, death)
        error = self.error_of(get_inside.remote(os._exit, 5))
        self.assertIsInstance(error, ray.exceptions.RayTaskError)
        self.check(error.death, killed_by="exit", exit_code=5)
        held = ray.get(take.remote([died]))
        self.assertEqual(self.error_of(held[0]).death, death)
        with self.assertRaises(ray.exceptions.WorkerCrashedError):
            ray.get(ray.remote(lambda refs: ray.get(refs[0])).remote([died]))

    def test_no_death(self):
        with self.assertRaises(ValueError) as caught:
            ray.get(take.remote(ray.remote(lambda: int("x")).remote()))
        self.assertEqual((caught.exception.death, caught.exception.deaths), (None, ()))
        self.assertIsNone(self.error_of(ray.remote(lambda: sys.exit(3)).remote(), ray.exceptions.RayTaskError).death)

        class Own(Exception):
            def __init__(self, death):
                self.death = death

        def fails():
            raise Own("mine")
        self.assertEqual(self.error_of(ray.remote(fails).remote(), Own).death, "mine")


class Nodes(unittest.TestCase):
    def setUp(self):
        self.cluster = Cluster(initialize_head=True, connect=True, head_node_args={"num_cpus": 1})
        self.addCleanup(self.cluster.shutdown)
        self.node = self.cluster.add_node(num_cpus=1)
        self.cluster.wait_for_nodes()
        self.number = next(n["NodeID"] for n in ray.nodes() if n["NodeManagerAddress"] == self.node.node_ip_address)
        self.there = NodeAffinitySchedulingStrategy(self.number, soft=True)

    def check_lost(self, error, number, ip):
        death = error.death
        self.assertEqual((death.killed_by, death.node, death.ip, death.signal), ("node lost", number, ip, 0))
        return death

    def test_lost(self):
        ref = die.options(scheduling_strategy=self.there).remote(stays, PATH)
        os.kill(stands(ref, PATH), signal.SIGKILL)
        with self.assertRaises(ray.exceptions.NodeDiedError) as caught:
            ray.get(ref, timeout=60)
        death = self.check_lost(caught.exception, self.number, self.node.node_ip_address)
        self.assertEqual(death.worker.split(".")[0], self.number)
        self.assertGreater(death.pid, 0)

    def test_no_process_of_a_task(self):
        """An object that is lost with its node; and, when the driver's own raylet is gone, whatever it waits for."""
        ref = large.options(scheduling_strategy=self.there, max_retries=0).remote()
        ray.wait([ref], timeout=60)
        self.cluster.remove_node(self.node, allow_graceful=False)
        self.cluster.wait_for_nodes()
        said = rf"node {self.number}: it \(.*{self.node.node_ip_address}\) has died: ."
        with self.assertRaisesRegex(ray.exceptions.ObjectLostError, said) as lost:
            ray.get(ref, timeout=60)
        self.assertEqual(self.check_lost(lost.exception, self.number, self.node.node_ip_address).pid, 0)
        own, ip = ray.get_runtime_context().get_node_id(), ray.util.get_node_ip_address()
        ref = die.remote(stays, PATH)
        stands(ref, PATH)
        self.cluster.remove_node(self.cluster.head_node, allow_graceful=False)
        with self.assertRaises(ray.exceptions.NodeDiedError) as caught:
            ray.get(ref, timeout=60)
        self.assertEqual(self.check_lost(caught.exception, own, ip).pid, 0)


if __name__ == "__main__":
    unittest.main()
