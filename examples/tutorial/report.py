# SPDX-License-Identifier: Apache-2.0
"""What was measured, as a table of pandas and a plot of matplotlib; and whether the two ways of computing agree."""

import dataclasses
import time

import matplotlib
import pandas as pd

matplotlib.use("Agg")
from matplotlib import pyplot       # noqa: E402: after the choice of what draws


@dataclasses.dataclass
class Measured:
    """A workload in both ways: seconds, and what each computed."""

    workload: str
    size: str
    serial: float
    distributed: float
    serial_result: object
    distributed_result: object
    tasks: int = 0
    possible: float = 0.0               # times faster, if tasks cost what they cost in the serial run and nothing else costs anything

    @property
    def times(self):
        return self.serial / self.distributed

    @property
    def equal(self):
        return self.serial_result == self.distributed_result


def clock(function, *args):
    """(seconds, result) of a call."""
    start = time.perf_counter()
    result = function(*args)
    return time.perf_counter() - start, result


def possible(seconds, cpus):
    """How many times faster `cpus` CPUs can be that take tasks of so many seconds each, one by one in this order."""
    busy = [0.0] * cpus
    for task in seconds:
        busy[busy.index(min(busy))] += task
    return sum(seconds) / max(busy)


def table(rows):
    """A DataFrame of a line a workload."""
    return pd.DataFrame([{"workload": row.workload, "size": row.size, "tasks": row.tasks, "serial s": round(row.serial, 2),
                          "distributed s": round(row.distributed, 2), "times": round(row.times, 2), "possible": round(row.possible, 2),
                          "checksums": "equal" if row.equal else "DIFFERENT"} for row in rows])


def plot(path, batches, rows, cpus):
    """Both times by batch size, as a PNG."""
    figure, axes = pyplot.subplots(figsize=(7, 4))
    places = range(len(batches))
    for shift, name, seconds, colour in ((-0.2, "serial", [row.serial for row in rows], "tab:gray"),
                                         (0.2, f"distributed, {cpus} CPUs", [row.distributed for row in rows], "tab:blue")):
        bars = axes.bar([place + shift for place in places], seconds, 0.4, label=name, color=colour)
        axes.bar_label(bars, fmt="%.1f")
    axes.set_xticks(places, [str(batch) for batch in batches])
    axes.set_xlabel("photographs in a batch")
    axes.set_ylabel("seconds")
    axes.set_title("Image transforms")
    axes.legend()
    figure.tight_layout()
    figure.savefig(path, dpi=100)
    pyplot.close(figure)
