# SPDX-License-Identifier: Apache-2.0
"""A driver that runs as a module of a package (-m package.run): its task imports another one of it."""

import sys

import mobula as ray
from mobula.util.scheduling_strategies import NodeAffinitySchedulingStrategy


@ray.remote
def words():
    from package import inner
    return inner.WORDS


ray.init()
print(ray.get(words.options(scheduling_strategy=NodeAffinitySchedulingStrategy(sys.argv[1], soft=False)).remote(), timeout=50))
