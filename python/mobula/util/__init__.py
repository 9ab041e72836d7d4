# SPDX-License-Identifier: Apache-2.0
"""Helpers on top of remote functions, as in ``ray.util``."""

import sys

import mobula
from mobula import _core

_LOOK_S = 0.2                           # a bar moves so often

__all__ = ["as_completed", "get_node_ip_address", "map_unordered", "progress"]


def as_completed(refs, *, chunk_size=10, yield_obj_refs=False):
    """The values of `refs` (or the refs themselves) in the order in which they are ready."""
    left = list(refs)
    while left:
        ready, left = mobula.wait(left, num_returns=min(chunk_size, len(left)), timeout=0)
        if not ready:
            ready, left = mobula.wait(left, num_returns=1)
        yield from ready if yield_obj_refs else mobula.get(ready)


def map_unordered(function, items, *, backpressure_size=100, chunk_size=10, yield_obj_refs=False):
    """``function.remote(item)`` for each of `items`, at most `backpressure_size` at once; what is ready first comes first."""
    if backpressure_size < 1:
        raise ValueError("backpressure_size must be positive")
    running = []
    for item in items:
        if len(running) >= backpressure_size:
            ready, running = mobula.wait(running, num_returns=1)
            yield from ready if yield_obj_refs else mobula.get(ready)
        running.append(function.remote(item))
    yield from as_completed(running, chunk_size=chunk_size, yield_obj_refs=yield_obj_refs)


def progress(refs, *, desc=None, **bar):
    """Wait for all of `refs`, and show how many are ready: a bar of tqdm, which takes `bar`, or a line of text without it. Returns them,
    for ``get(progress(refs))``. What has failed is ready, too."""
    refs = list(refs)
    left = list(dict.fromkeys(refs))
    with _bar(len(left), desc, bar) as shown:
        while left:
            ready, left = mobula.wait(left, num_returns=len(left), timeout=_LOOK_S)
            shown.update(len(ready))
    return refs


def _bar(total, desc, bar):
    try:
        from tqdm.auto import tqdm
    except ImportError:
        return _TextBar(total, desc)
    return tqdm(total=total, desc=desc, **bar)


class _TextBar:
    """What is shown without tqdm: one line on stderr, written anew on a terminal, else at its end."""

    def __init__(self, total, desc):
        self._total, self._desc, self._done = total, f"{desc}: " if desc else "", 0

    def update(self, count):
        self._done += count
        if sys.stderr.isatty():
            print(f"\r{self._desc}{self._done}/{self._total}", end="", file=sys.stderr, flush=True)

    def __enter__(self):
        return self

    def __exit__(self, *unused):
        print(f"\r{self._desc}{self._done}/{self._total}" if sys.stderr.isatty() else f"{self._desc}{self._done}/{self._total}",
              file=sys.stderr)


def get_node_ip_address():
    """The address of the node that this process runs on."""
    mobula.get_runtime_context()            # there is a session
    return _core.process()["ip"]
