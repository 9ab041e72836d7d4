# SPDX-License-Identifier: Apache-2.0
"""Helpers on top of remote functions, as in ``ray.util``."""

import mobula
from mobula import _core

__all__ = ["as_completed", "get_node_ip_address", "map_unordered"]


def as_completed(refs, *, chunk_size=10, yield_obj_refs=False):
    """The values of `refs` (or the refs themselves) in the order in which they are ready."""
    left = list(refs)
    while left:
        ready, left = mobula.wait(left, num_returns=min(chunk_size, len(left)), timeout=0)
        if not ready:
            ready, left = mobula.wait(left, num_returns=1)
        yield from ready if yield_obj_refs else mobula.get(ready)


def map_unordered(function, items, *, backpressure_size=100, chunk_size=10, yield_obj_refs=False):
    """``function.remote(item)`` for each of `items`, at most `backpressure_size` at once; what is ready first comes first."""
    if backpressure_size < 1:
        raise ValueError("backpressure_size must be positive")
    running = []
    for item in items:
        if len(running) >= backpressure_size:
            ready, running = mobula.wait(running, num_returns=1)
            yield from ready if yield_obj_refs else mobula.get(ready)
        running.append(function.remote(item))
    yield from as_completed(running, chunk_size=chunk_size, yield_obj_refs=yield_obj_refs)


def get_node_ip_address():
    """The address of the node that this process runs on."""
    task = _core.task_self()
    return task["ip"] if task else next(node["NodeManagerAddress"] for node in mobula.nodes() if node["Alive"])
