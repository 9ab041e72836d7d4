# SPDX-License-Identifier: Apache-2.0
"""Clusters of several nodes on one machine, for tests of one's own programs: each node is a raylet at a loopback address of its own."""

import ctypes
import json
import os
import re
import signal
import subprocess
import time

import mobula
from mobula import _command

_FIRST = 31                             # 127.0.0.31 is the first node's address
_PR_SET_PDEATHSIG = 1


def _die_with_parent():
    ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)


class Node:
    """One node; `process` is the front of its daemons, which end with it."""

    def __init__(self, ip, words, last):
        """`last`: of what it says, when it serves."""
        self.node_ip_address = ip
        self.process = subprocess.Popen([_command.path(), "start", "--block", f"--node-ip-address={ip}", *words], stdout=subprocess.PIPE,
                                        stderr=subprocess.STDOUT, text=True, preexec_fn=_die_with_parent)
        self.said = ""
        while last not in self.said:
            line = self.process.stdout.readline()
            self.said += line
            if not line:
                self.process.wait()
                self.process.stdout.close()
                raise RuntimeError(f"the node did not start: {self.said.strip()}")

    def end(self, graceful):
        """Its tasks run elsewhere afterwards, if they may."""
        self.process.send_signal(signal.SIGTERM if graceful else signal.SIGKILL)
        self.process.wait()
        self.process.stdout.close()


class Cluster:
    """A head, and as many nodes as are added.

    initialize_head: start the head at once, with head_node_args (as of add_node). connect: join it as a driver, too. The nodes end with
    this process.
    """

    def __init__(self, initialize_head=False, connect=False, head_node_args=None, shutdown_at_exit=True):
        self.head_node, self.worker_nodes, self.address = None, [], None
        self._count = 0
        if initialize_head:
            self.add_node(**(head_node_args or {}))
            if connect:
                self.connect()

    def add_node(self, *, wait=True, num_cpus=1, num_gpus=0, resources=None, object_store_memory=200 << 20, labels=None):
        """Start a node, the first one with the head; returns it when it serves."""
        words = [f"--num-cpus={num_cpus}", f"--num-gpus={num_gpus}", f"--object-store-memory={object_store_memory}",
                 f"--resources={json.dumps(resources or {})}"]
        words += ["--labels=" + ",".join(f"{k}={v}" for k, v in labels.items())] if labels else []
        words += [f"--address={self.address}"] if self.address else ["--head", "--port=0"]
        node = Node(f"127.0.0.{_FIRST + self._count}", words, "serves at" if self.address else "End it:")
        self._count += 1
        if self.head_node is None:
            self.head_node = node
            self.address = re.search(r"--address=(\S+)", node.said).group(1)
        else:
            self.worker_nodes.append(node)
        return node

    def connect(self, namespace=None):
        """Join as a driver."""
        mobula.init(self.address)

    def wait_for_nodes(self, timeout=30):
        """Until all that were added are alive, and those that were removed are not, as a driver sees it."""
        wanted, deadline = len(self.list_all_nodes()), time.monotonic() + timeout
        while sum(node["Alive"] for node in mobula.nodes()) != wanted:
            if time.monotonic() > deadline:
                raise TimeoutError(f"not {wanted} nodes within {timeout} s")
            time.sleep(0.05)

    def remove_node(self, node, allow_graceful=True):
        """End it: at once, as if the machine had lost its power, unless `allow_graceful`."""
        if node is self.head_node and self.worker_nodes:
            raise ValueError("Remove all worker nodes before the head node.")
        node.end(allow_graceful)
        if node is self.head_node:
            self.head_node = self.address = None
        else:
            self.worker_nodes.remove(node)

    def list_all_nodes(self):
        """Those that were added and not removed."""
        return self.worker_nodes + ([self.head_node] if self.head_node else [])

    def shutdown(self):
        """Leave it, and end all nodes."""
        mobula.shutdown()
        for node in self.list_all_nodes():
            self.remove_node(node, allow_graceful=True)
