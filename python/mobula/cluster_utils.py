# SPDX-License-Identifier: Apache-2.0
"""Clusters of several nodes on one machine, for tests of one's own programs: each node is a raylet at a loopback address of its own.

    from mobula.cluster_utils import Cluster

    cluster = Cluster(initialize_head=True, connect=True, head_node_args={"num_cpus": 2})
    node = cluster.add_node(num_cpus=4, resources={"licence": 1})
    cluster.wait_for_nodes()
    ...
    cluster.remove_node(node, allow_graceful=False)      # what becomes of its tasks?
    cluster.shutdown()
"""

import ctypes
import json
import re
import signal
import subprocess
import time
from collections.abc import Sequence
from typing import Any

import mobula
from mobula import _command

_FIRST = 31                             # 127.0.0.31 is the first node's address
_GRACE = "1s"                           # what a node has to leave in good order; Ray's nodes have as much
_PR_SET_PDEATHSIG = 1


def _die_with_parent():
    ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)


class Node:
    """One node, made by Cluster.add_node(). node_ip_address: its address; process: the front of its daemons, which end with it."""

    def __init__(self, ip: str, words: Sequence[str], last: str) -> None:
        """words: what `mobula start` is told. last: of what it says, when it serves. Raises RuntimeError with its words if it ends."""
        self.node_ip_address = ip
        self.process = subprocess.Popen([_command.path(), "start", "--block", f"--node-ip-address={ip}", *words], stdout=subprocess.PIPE,
                                        stderr=subprocess.STDOUT, text=True, preexec_fn=_die_with_parent)
        self._stdout: Any = self.process.stdout
        self.said = ""
        while last not in self.said:
            line = self._stdout.readline()
            self.said += line
            if not line:
                self.process.wait()
                self._stdout.close()
                raise RuntimeError(f"the node did not start: {self.said.strip()}")

    def drain(self, address: str) -> None:
        """Let it finish what it can in a second, and give away what only it has; it cannot if the head does not answer."""
        subprocess.run([_command.path(), "drain", "--force", f"--deadline={_GRACE}", f"--address={address}", self.node_ip_address],
                       stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, check=False)

    def end(self, graceful: bool) -> None:
        """By SIGTERM, or by SIGKILL as if its machine had lost its power. Its tasks run elsewhere afterwards, if they may."""
        self.process.send_signal(signal.SIGTERM if graceful else signal.SIGKILL)
        self.process.wait()
        self._stdout.close()


class Cluster:
    """A head, and as many nodes as are added.

    initialize_head: start the head at once, with head_node_args: a dict of add_node()'s arguments. connect: join it as a driver, too.
    shutdown_at_exit: taken, without effect: the nodes always end with this process.
    head_node, worker_nodes: the Nodes there are; address: "host:port" of the head, for mobula.init(); None: there is none yet.
    """

    def __init__(self, initialize_head: bool = False, connect: bool = False, head_node_args: dict[str, Any] | None = None,
                 shutdown_at_exit: bool = True) -> None:
        self.head_node: Node | None = None
        self.worker_nodes: list[Node] = []
        self.address: str | None = None
        self._count = 0
        if initialize_head:
            self.add_node(**(head_node_args or {}))
            if connect:
                self.connect()

    def add_node(self, *, wait: bool = True, num_cpus: float = 1, num_gpus: int = 0, resources: dict[str, float] | None = None,
                 object_store_memory: int = 200 << 20, labels: dict[str, str] | None = None) -> Node:
        """Start a node, the first one with the head; returns it when it serves.

        num_cpus, num_gpus, resources: what it lends to tasks; neither need be there. object_store_memory: bytes. labels: for
        label_selector. wait: taken, without effect. Raises RuntimeError with the node's own words if it does not start.
        """
        words = [f"--num-cpus={num_cpus}", f"--num-gpus={num_gpus}", f"--object-store-memory={object_store_memory}",
                 f"--resources={json.dumps(resources or {})}"]
        words += ["--labels=" + ",".join(f"{k}={v}" for k, v in labels.items())] if labels else []
        words += [f"--address={self.address}"] if self.address else ["--head", "--port=0"]
        node = Node(f"127.0.0.{_FIRST + self._count}", words, "serves at" if self.address else "End it:")
        self._count += 1
        if self.head_node is None:
            self.head_node = node
            self.address = re.findall(r"--address=(\S+)", node.said)[0]
        else:
            self.worker_nodes.append(node)
        return node

    def connect(self, namespace: str | None = None) -> None:
        """Join as a driver, as mobula.init(self.address) does. namespace: taken, without effect."""
        mobula.init(self.address)

    def wait_for_nodes(self, timeout: float = 30) -> None:
        """Until all that were added are alive, and those that were removed are not, as a driver sees it.

        timeout: seconds, then TimeoutError.
        """
        wanted, deadline = len(self.list_all_nodes()), time.monotonic() + timeout
        while sum(node["Alive"] for node in mobula.nodes()) != wanted:
            if time.monotonic() > deadline:
                raise TimeoutError(f"not {wanted} nodes within {timeout} s")
            time.sleep(0.05)

    def remove_node(self, node: Node, allow_graceful: bool = True) -> None:
        """End a node: at once, as if its machine had lost its power, unless allow_graceful.

        allow_graceful: it gets no new work, its tasks have a second to end, and objects that only it has go to other nodes. What runs
        then, runs again elsewhere, if it may. Raises ValueError for the head's node while there are others.
        """
        if node is self.head_node and self.worker_nodes:
            raise ValueError("Remove all worker nodes before the head node.")
        if allow_graceful and node is not self.head_node and self.address:
            node.drain(self.address)
        self._end_node(node, allow_graceful)

    def _end_node(self, node: Node, graceful: bool) -> None:
        node.end(graceful)
        if node is self.head_node:
            self.head_node = self.address = None
        else:
            self.worker_nodes.remove(node)

    def list_all_nodes(self) -> list[Node]:
        """Those that were added and not removed."""
        return self.worker_nodes + ([self.head_node] if self.head_node else [])

    def shutdown(self) -> None:
        """Leave it, and end all nodes."""
        mobula.shutdown()
        for node in self.list_all_nodes():
            self._end_node(node, graceful=True)
