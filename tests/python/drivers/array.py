# SPDX-License-Identifier: Apache-2.0
"""An array that a task of another node makes, and one that it reads."""

import sys

import numpy

import mobula as ray
from mobula.util.scheduling_strategies import NodeAffinitySchedulingStrategy


@ray.remote
def make(size):
    return numpy.ones(size)


@ray.remote
def read(array):
    return float(array.sum()), array.flags.writeable or array.flags.owndata


ray.init()
there = NodeAffinitySchedulingStrategy(sys.argv[1], soft=False)
array = ray.get(make.options(scheduling_strategy=there).remote(1 << 20))
total, copied = ray.get(read.options(scheduling_strategy=there).remote(ray.put(numpy.full(1 << 22, 2.0))))
print(total, not copied and array.sum() == 1 << 20)
