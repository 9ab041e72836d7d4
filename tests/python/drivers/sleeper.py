# SPDX-License-Identifier: Apache-2.0
"""Waits for a task that sleeps for ever; says its pid when it does."""

import os
import sys
import time

import mobula as ray


@ray.remote
def sleep():
    while True:
        time.sleep(1)


ray.init()
refs = [sleep.remote() for _ in range(6)]
ray.wait(refs, timeout=0.5)
with open(sys.argv[1] + ".new", "w") as file:
    file.write(str(os.getpid()))
os.rename(sys.argv[1] + ".new", sys.argv[1])
ray.get(refs)
