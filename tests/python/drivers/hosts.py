# SPDX-License-Identifier: Apache-2.0
"""Runs a task on each of the nodes named, with modules that only the driver's host has."""

import sys

import mobula as ray
from mobula.util.scheduling_strategies import NodeAffinitySchedulingStrategy
import beside


@ray.remote
def where():
    from package import inner
    print("printed there")
    return ray.util.get_node_ip_address(), beside.WORDS, inner.WORDS


ray.init()
answers = ray.get([where.options(scheduling_strategy=NodeAffinitySchedulingStrategy(node, soft=False)).remote() for node in sys.argv[1:]],
                  timeout=50)
print(*[answer[0] for answer in answers], *answers[0][1:])
