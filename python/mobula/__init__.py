# SPDX-License-Identifier: Apache-2.0
"""Mobula: run Python functions on the machines of a cluster, with the programming model of Ray Core.

    import mobula as ray

    ray.init()

    @ray.remote
    def square(x):
        return x * x

    print(ray.get([square.remote(i) for i in range(4)]))
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
