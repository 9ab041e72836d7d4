# SPDX-License-Identifier: Apache-2.0
"""The interface of concurrent.futures on remote functions."""

import functools
import itertools
from concurrent import futures

import mobula
from mobula import _options


_FUNCTIONS_MAX = 64                    # an executor remembers so many


class Executor(futures.Executor):
    """Runs calls as tasks. ``options``: those of mobula.remote(), of each task. The cluster's CPUs, or what else the options ask for, say
    how many run at once."""

    def __init__(self, **options):
        self._options = _options.make(options)
        self._remotes = {}              # a function is pickled once
        self._refs, self._over = {}, False

    def _remote(self, fn):
        try:
            if fn in self._remotes:
                return self._remotes[fn]
        except TypeError:               # not hashable
            return mobula.RemoteFunction(fn, self._options)
        if len(self._remotes) == _FUNCTIONS_MAX:
            del self._remotes[next(iter(self._remotes))]
        self._remotes[fn] = mobula.RemoteFunction(fn, self._options)
        return self._remotes[fn]

    def submit(self, fn, /, *args, **kwargs):
        """A future of ``fn(*args, **kwargs)``, which cancel() of it stops if it has not started."""
        if self._over:
            raise RuntimeError("cannot schedule new futures after shutdown")
        if not callable(fn):
            raise TypeError(f"submit() takes a function, not {fn!r}")
        ref = self._remote(fn).remote(*args, **kwargs)
        future = ref.future()
        self._refs[future] = ref
        future.add_done_callback(self._ended)
        return future

    def _ended(self, future):
        ref = self._refs.pop(future, None)
        if future.cancelled() and ref is not None:
            mobula.cancel(ref)

    def map(self, fn, *iterables, timeout=None, chunksize=1):
        """fn(*items) for each of the zipped iterables, in order; `chunksize` of them are one task."""
        if chunksize < 1:
            raise ValueError("chunksize must be >= 1.")
        if chunksize == 1:
            return super().map(fn, *iterables, timeout=timeout)
        items = zip(*iterables)
        chunks = iter(lambda: list(itertools.islice(items, chunksize)), [])
        return itertools.chain.from_iterable(super().map(functools.partial(_of_chunk, fn), chunks, timeout=timeout))

    def shutdown(self, wait=True, *, cancel_futures=False):
        """Take no more; wait for those that are under way."""
        self._over = True
        left = list(self._refs)
        if cancel_futures:
            for future in left:
                future.cancel()
        if wait:
            futures.wait(left)


def _of_chunk(fn, chunk):
    return [fn(*items) for items in chunk]
