# SPDX-License-Identifier: Apache-2.0
"""A task that imports what its node does not have."""

import sys

import mobula as ray
from mobula.util.scheduling_strategies import NodeAffinitySchedulingStrategy


@ray.remote
def needs():
    import only_on_h1
    return only_on_h1


ray.init()
try:
    ray.get(needs.options(scheduling_strategy=NodeAffinitySchedulingStrategy(sys.argv[1], soft=False)).remote())
except ModuleNotFoundError as e:
    print(e)
