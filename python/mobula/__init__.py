# SPDX-License-Identifier: Apache-2.0
"""Mobula: run Python functions on the machines of a cluster, with the programming model of Ray Core.

    import mobula as ray

    ray.init()

    @ray.remote
    def square(x):
        return x * x

    print(ray.get([square.remote(i) for i in range(4)]))

What there is; help(mobula.remote) and the like say which arguments there are, what they may be, and what is raised:

    init, shutdown, is_initialized      join a cluster, or start a private one; leave it
    remote                              make a function remote: @ray.remote, @ray.remote(num_cpus=2)
    f.remote(...), f.options(...)       submit a task; an ObjectRef of its result is there at once (RemoteFunction)
    get, wait                           the values of references; which of many are ready
    ObjectRefGenerator,                 what a generator function gives, while it runs; what num_returns="dynamic" gives
      DynamicObjectRefGenerator
    put                                 store a value once, for many tasks
    cancel                              stop a task
    nodes, cluster_resources,           what the cluster has, what of it is free, and what ran where
      available_resources, timeline
    get_runtime_context, get_gpu_ids    what this process is, and has
    exceptions                          what may be raised
    util                                as_completed, map_unordered, progress, Executor, Pool, joblib, scheduling strategies
    mobula.cluster_utils                clusters of several nodes on this machine, for tests

Submit first, and get later: get() waits, so a loop of f.remote() and get() runs one task at a time. A task may submit others, and return
references. Arrays that many tasks read: put() them once, and pass the reference.
"""

from mobula import exceptions
from mobula._api import ObjectRef, RemoteFunction, cancel, get, put, remote, wait
from mobula._context import available_resources, cluster_resources, get_gpu_ids, get_runtime_context, nodes, timeline
from mobula._core import version as __version__
from mobula._generators import DynamicObjectRefGenerator, ObjectRefGenerator
from mobula._session import init, is_initialized, shutdown
from mobula import util

__all__ = [
    "DynamicObjectRefGenerator", "ObjectRef", "ObjectRefGenerator", "RemoteFunction", "available_resources", "cancel",
    "cluster_resources", "exceptions", "get", "get_gpu_ids", "get_runtime_context", "init", "is_initialized", "nodes", "put",
    "remote", "shutdown", "timeline", "util", "wait",
]
