# SPDX-License-Identifier: Apache-2.0
"""Workloads 1 and 2, as one would write them for one CPU: Fibonacci sequences, and pi by the Monte Carlo method."""

import random

_MASK = (1 << 64) - 1


def fibonacci(terms):
    """A checksum of the first `terms` Fibonacci numbers, all their digits included, and of their order."""
    checksum, this, following = 0, 0, 1
    for _ in range(terms):
        checksum = (checksum * 31 + hash(this)) & _MASK     # of an integer: its remainder by 2 ** 61 - 1, wherever it is computed
        this, following = following, this + following
    return checksum


def count_inside(samples, seed):
    """How many of `samples` random points of the unit square are within 1 of its corner: about pi / 4 of them."""
    uniform = random.Random(seed).random
    inside = 0
    for _ in range(samples):
        x, y = uniform(), uniform()
        if x * x + y * y <= 1.0:
            inside += 1
    return inside
