# SPDX-License-Identifier: Apache-2.0
"""cluster_utils.Cluster: nodes that come and go under a driver."""

import time
import unittest

import mobula as ray
from mobula.cluster_utils import Cluster


@ray.remote
def where(seconds=0.0):
    time.sleep(seconds)
    return ray.util.get_node_ip_address()


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
        self.assertEqual(ray.get(where.options(label_selector={"zone": "a"}).remote(), timeout=30), blue.node_ip_address)
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

    def test_bad_words(self):
        self.assertRaisesRegex(RuntimeError, "did not start: .*num-cpus", self.cluster.add_node, num_cpus="many")


if __name__ == "__main__":
    unittest.main()
