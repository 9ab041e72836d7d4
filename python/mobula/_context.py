# SPDX-License-Identifier: Apache-2.0
"""What a process knows of itself, and of its cluster."""

import json
import os
import time
from typing import Any

from mobula import _core

_ASK_MS, _TIMELINE_MS = 10000, 120000
_environment, _namespace = {}, None     # of this job
task_name = None                        # a worker's: of the task that runs


def start(environment, namespace):
    """The session has begun."""
    global _environment, _namespace
    _environment, _namespace = environment, namespace


def _ask(question, argument="", timeout_ms=_ASK_MS):
    from mobula import _session
    _session.need()
    return _core.ask(question, argument, timeout_ms)


def _quantities(of):
    return {name: float(quantity) for name, quantity in of.items()}


def _amounts(text):
    """Of "CPU=1,memory=2GiB"."""
    def amount(value):
        units = {"KiB": 1 << 10, "MiB": 1 << 20, "GiB": 1 << 30, "TiB": 1 << 40}
        return float(value[:-3]) * units[value[-3:]] if value[-3:] in units else float(value.rstrip("B"))
    return {name: amount(value) for name, value in (part.split("=") for part in text.split(",") if part)}


def cluster_resources() -> dict[str, float]:
    """What the nodes that are alive have, in all: {"CPU": 8.0, "memory": bytes, "object_store_memory": bytes, ...}."""
    return _quantities(json.loads(_ask("status"))["total"])


def available_resources() -> dict[str, float]:
    """What of cluster_resources() no task has now."""
    return _quantities(json.loads(_ask("status"))["available"])


def nodes() -> list[dict[str, Any]]:
    """The nodes, those that died or left, too. Each is a dict:

    NodeID: text. Alive: bool. NodeManagerAddress: its IP address. NodeManagerHostname: its name. NodeManagerPort, ObjectManagerPort:
    int. Resources: {name: quantity}, memory in bytes. Labels: {key: value}. DeathReasonMessage: text; "" of one that is alive.
    """
    gone = ("dead", "drained")
    return [{"NodeID": str(row["node"]), "Alive": row["state"] not in gone, "alive": row["state"] not in gone,
             "NodeManagerAddress": row["ip"], "NodeManagerHostname": row["host"], "NodeName": row["ip"],
             "NodeManagerPort": row["port"], "ObjectManagerPort": row["bulk_port"], "Resources": _quantities(row.get("total", {})),
             "Labels": row.get("labels", {}), "DeathReasonMessage": row.get("reason", "")}
            for row in json.loads(_ask("nodes"))["nodes"] if "ip" in row and not row["driver_only"]]


def timeline(filename: str | None = None) -> list[dict[str, Any]] | None:
    """What ran where and when: a Chrome trace, for chrome://tracing or ui.perfetto.dev.

    filename: write it there, and return None; a folder: into a new file in it. None: return the events as a list of dicts, times in
    microseconds. Raises OSError if the file cannot be written.
    """
    text = _ask("timeline", "", _TIMELINE_MS)
    if filename is None:
        return json.loads(text)
    if os.path.isdir(filename):
        filename = os.path.join(filename, time.strftime("mobula-timeline-%Y-%m-%d_%H-%M-%S.json"))
    with open(filename, "w", encoding="utf-8") as file:
        file.write(text)
    return None


def get_gpu_ids() -> list[int]:
    """The indices of the GPUs that the running task has, which CUDA_VISIBLE_DEVICES names, too. In a driver: none."""
    task = _core.task_self()
    return task["gpu_ids"] if task else []


class RuntimeContext:
    """What a process knows of itself. Ids are text, as ``mobula list`` shows them."""

    @property
    def namespace(self) -> str:
        """init(namespace=)'s, or else the job's own."""
        return _namespace or f"anonymous-{self.get_job_id()}"

    @property
    def gcs_address(self) -> str:
        """\"host:port\" of the cluster, for init() elsewhere."""
        return _core.process()["head"]

    @property
    def job_id(self) -> str:
        """get_job_id()"""
        return self.get_job_id()

    @property
    def node_id(self) -> str:
        """get_node_id()"""
        return self.get_node_id()

    @property
    def worker_id(self) -> str:
        """get_worker_id()"""
        return self.get_worker_id()

    @property
    def task_id(self) -> str | None:
        """get_task_id()"""
        return self.get_task_id()

    @property
    def runtime_env(self) -> dict[str, Any]:
        """The job's, as a dict."""
        return dict(_environment)

    def get_runtime_env_string(self) -> str:
        """The job's runtime_env, as JSON."""
        return json.dumps(self.runtime_env)

    def get_job_id(self) -> str:
        """The job's id: that of its driver's process."""
        return _core.process()["job"]

    def get_worker_id(self) -> str:
        """This process's id; a driver has one, too."""
        return _core.process()["process"]

    def get_node_id(self) -> str:
        """The id of the node that this process runs on, as nodes() has it."""
        return _core.process()["node"]

    def get_node_labels(self) -> dict[str, str]:
        """The labels of the node that this process runs on."""
        return next((node["Labels"] for node in nodes() if node["NodeID"] == self.get_node_id()), {})

    def _of_task(self, key):
        task = _core.task_self()
        return task[key] if task else None

    def get_task_id(self) -> str | None:
        """The running task's id; None in a driver."""
        return self._of_task("task_id")

    def get_task_name(self) -> str | None:
        """The running task's name: its option, or that of its function; None in a driver."""
        return task_name if self._of_task("task_id") else None

    def get_task_function_name(self) -> str | None:
        """The name of the running task's function; None in a driver."""
        return _core.function_name()

    def get_actor_id(self) -> str | None:
        """None: this is no actor."""
        return None

    def get_actor_name(self) -> str | None:
        """None: this is no actor."""
        return None

    @property
    def was_current_actor_reconstructed(self) -> bool:
        """False: this is no actor."""
        return False

    @property
    def current_actor(self) -> Any:
        """Raises RuntimeError: this is no actor."""
        raise RuntimeError("This method is only available in an actor.")

    def get_placement_group_id(self) -> str | None:
        """None: there are no placement groups yet."""
        return None

    @property
    def current_placement_group_id(self) -> str | None:
        """None: there are no placement groups yet."""
        return None

    @property
    def should_capture_child_tasks_in_placement_group(self) -> bool:
        """False: there are no placement groups yet."""
        return False

    def get_attempt_number(self) -> int | None:
        """0 for a task's first try, 1 for the next; None in a driver."""
        return self._of_task("attempt")

    def get_assigned_resources(self) -> dict[str, float]:
        """What the running task has: {"CPU": 1.0, ...}; empty in a driver."""
        task = _core.task_self()
        return _amounts(task["resources"]) if task else {}

    def get_accelerator_ids(self) -> dict[str, list[str]]:
        """{"GPU": the indices of the running task's, as text}."""
        return {"GPU": [str(gpu) for gpu in get_gpu_ids()]}

    def is_canceled(self) -> bool:
        """Was the running task cancelled? In a long call of C it is not interrupted, and may ask between two."""
        return _core.cancelled()

    def get(self) -> dict[str, Any]:
        """The ids that there are, as a dict: job_id, node_id, namespace; in a task task_id, too."""
        ids = {"job_id": self.get_job_id(), "node_id": self.get_node_id(), "namespace": self.namespace}
        return {**ids, "task_id": self.get_task_id()} if self.get_task_id() else ids


def get_runtime_context() -> RuntimeContext:
    """What this process knows of itself: its job, node and task. Joins or starts a cluster, as init() does, if there is none yet."""
    from mobula import _session
    _session.need()
    return RuntimeContext()
