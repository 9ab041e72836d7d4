# SPDX-License-Identifier: Apache-2.0
"""A task on the node named that says when it runs, and imports one of the driver's modules when the meeting's folder says so."""

import sys
import time
from pathlib import Path

import mobula as ray
from mobula.util.scheduling_strategies import NodeAffinitySchedulingStrategy


@ray.remote
def imports(meeting):
    (meeting / "running").touch()
    while not (meeting / "import").exists():
        time.sleep(0.05)
    from package import late
    return late.WORDS


ray.init()
node, folder = sys.argv[1:]
print(ray.get(imports.options(scheduling_strategy=NodeAffinitySchedulingStrategy(node, soft=False)).remote(Path(folder)), timeout=55))
