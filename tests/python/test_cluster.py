# SPDX-License-Identifier: Apache-2.0
"""cluster_utils.Cluster: nodes that come and go under a driver."""

import pickle
import time
import unittest

import numpy

import mobula as ray
from mobula.cluster_utils import Cluster
from mobula.exceptions import ObjectReconstructionFailedError
from mobula.util.scheduling_strategies import NodeAffinitySchedulingStrategy


@ray.remote
def where(seconds=0.0):
    time.sleep(seconds)
    return ray.util.get_node_ip_address()


@ray.remote
def add(array):
    return array + 1


@ray.remote
def count(n):
    for i in range(n):
        yield numpy.full(200000, i, dtype=numpy.uint8)


class Clusters(unittest.TestCase):
    def setUp(self):
        self.cluster = Cluster(initialize_head=True, connect=True, head_node_args={"num_cpus": 1})

    def tearDown(self):
        self.cluster.shutdown()

    def test_nodes_come_and_go(self):
        waits = where.options(resources={"blue": 1}).remote()
        self.assertEqual(ray.wait([waits], timeout=0.1), ([], [waits]))
        blue = self.cluster.add_node(num_cpus=2, resources={"blue": 2}, labels={"zone": "a"})
        self.cluster.wait_for_nodes()
        self.assertEqual(ray.get(waits, timeout=30), blue.node_ip_address)
        head = self.cluster.head_node
        for condition, node in ("a", blue), ("in(b,a)", blue), ("!b", None), ("!a", head), ("!in(b,a)", head):
            f = where.options(label_selector={"zone": condition}, num_cpus=0.1, scheduling_strategy="SPREAD")
            self.assertLessEqual({*ray.get([f.remote() for _ in range(4)], timeout=30)},
                                 {node.node_ip_address} if node else {blue.node_ip_address, head.node_ip_address})
        self.assertEqual(ray.cluster_resources()["CPU"], 3)
        self.assertRaisesRegex(ValueError, "before the head", self.cluster.remove_node, self.cluster.head_node)
        self.cluster.remove_node(blue)
        self.cluster.wait_for_nodes()
        self.assertEqual(ray.cluster_resources()["CPU"], 1)

    def test_a_node_that_dies_under_its_tasks(self):
        other = self.cluster.add_node(num_cpus=2)
        self.cluster.wait_for_nodes()
        refs = [where.options(scheduling_strategy="SPREAD").remote(0.3) for _ in range(6)]
        ray.wait(refs)
        self.cluster.remove_node(other, allow_graceful=False)
        self.assertEqual(len(ray.get(refs, timeout=60)), 6)

    def test_a_node_that_leaves_takes_nothing_along(self):
        other = self.cluster.add_node(num_cpus=2, resources={"other": 2})
        self.cluster.wait_for_nodes()
        once = add.options(max_retries=0, resources={"other": 1}).remote(numpy.zeros(50000))
        ray.wait([once], timeout=30)
        sleeps = where.options(resources={"other": 0.1}).remote(3600)     # it is not waited for
        self.cluster.remove_node(other)
        self.cluster.wait_for_nodes()
        self.assertTrue((ray.get(once, timeout=30) == 1).all())
        self.assertEqual(ray.wait([sleeps], timeout=0), ([], [sleeps]))

    def test_what_a_dead_node_had_is_made_again(self):
        other = self.cluster.add_node(num_cpus=2, resources={"other": 2})
        self.cluster.wait_for_nodes()
        node = next(n["NodeID"] for n in ray.nodes() if n["NodeManagerAddress"] == other.node_ip_address)
        there = add.options(scheduling_strategy=NodeAffinitySchedulingStrategy(node, soft=True))
        ref = there.remote(there.remote(numpy.arange(500000)))      # an argument that is put, and dropped
        once = add.options(max_retries=0, resources={"other": 1}).remote(numpy.zeros(500000))
        self.assertEqual(ray.wait([ref, once], num_returns=2, timeout=30)[1], [])
        self.cluster.remove_node(other, allow_graceful=False)
        self.assertTrue((ray.get(ref, timeout=60) == numpy.arange(500000) + 2).all())
        self.cluster.wait_for_nodes()                   # one that may be there still is not lost yet
        with self.assertRaisesRegex(ObjectReconstructionFailedError,
                                    r"^\[OBJECT_UNRECONSTRUCTABLE_RETRIES_DISABLED\] o-.* is lost") as caught:
            ray.get(once, timeout=60)
        self.assertEqual(caught.exception.reason, "OBJECT_UNRECONSTRUCTABLE_RETRIES_DISABLED")
        again = pickle.loads(pickle.dumps(caught.exception))
        self.assertEqual((str(again), again.reason), (str(caught.exception), caught.exception.reason))

    def test_items_that_a_dead_node_had_are_made_again(self):
        other = self.cluster.add_node(num_cpus=3)
        self.cluster.wait_for_nodes()
        node = next(n["NodeID"] for n in ray.nodes() if n["NodeManagerAddress"] == other.node_ip_address)
        there = count.options(scheduling_strategy=NodeAffinitySchedulingStrategy(node, soft=True))
        ended = there.remote(6)
        bounded = there.options(_generator_backpressure_num_objects=2).remote(6)
        once = there.options(max_retries=0).remote(2)
        refs, lost = [next(ended) for _ in range(6)], [next(once) for _ in range(2)]
        first, second = next(bounded), next(bounded)
        ray.wait([ended.completed(), once.completed()], num_returns=2, timeout=30)
        del refs[2]                                     # one that nobody has any more
        self.cluster.remove_node(other, allow_graceful=False)
        self.assertEqual([int(a[7]) for a in ray.get(refs, timeout=60)], [0, 1, 3, 4, 5])
        self.assertEqual(list(ended), [])
        self.assertIsNone(ray.get(ended.completed(), timeout=60))
        # The next attempt stands behind these two and waits for its reader, who waits for them.
        self.assertEqual([int(a[7]) for a in ray.get([second, first], timeout=60)], [1, 0])
        self.assertEqual([int(a[7]) for a in ray.get(list(bounded), timeout=60)], [2, 3, 4, 5])
        self.cluster.wait_for_nodes()
        with self.assertRaisesRegex(ObjectReconstructionFailedError, r"^\[OBJECT_UNRECONSTRUCTABLE_RETRIES_DISABLED\]"):
            ray.get(lost, timeout=60)

    def test_bad_words(self):
        self.assertRaisesRegex(RuntimeError, "did not start: .*num-cpus", self.cluster.add_node, num_cpus="many")


if __name__ == "__main__":
    unittest.main()
