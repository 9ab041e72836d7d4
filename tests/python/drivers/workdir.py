# SPDX-License-Identifier: Apache-2.0
"""A folder that only the driver's host has, and a task on another node that runs in it."""

import os
import sys
import tempfile

import mobula as ray
from mobula.util.scheduling_strategies import NodeAffinitySchedulingStrategy

with tempfile.TemporaryDirectory() as folder:
    with open(os.path.join(folder, "words.txt"), "w") as file:
        file.write("words of the driver's host")
    ray.init(runtime_env={"working_dir": folder})


@ray.remote(scheduling_strategy=NodeAffinitySchedulingStrategy(sys.argv[1], soft=False))
def read():
    with open("words.txt") as file:
        return file.read()


print(ray.get([read.remote() for _ in range(4)])[3])
