# SPDX-License-Identifier: Apache-2.0
"""multiprocessing.Pool on remote functions: the calls run as tasks, on all nodes."""

import itertools

import mobula
from mobula import util


@mobula.remote
def _run_chunk(function, chunk, star):
    return [function(*item) if star else function(item) for item in chunk]


class AsyncResult:
    """What the calls with _async return."""

    def __init__(self, refs, flatten):
        self._refs, self._flatten = refs, flatten

    def get(self, timeout=None):
        """The result; after `timeout` seconds a TimeoutError."""
        chunks = mobula.get(self._refs, timeout=timeout)
        return list(itertools.chain.from_iterable(chunks)) if self._flatten else chunks[0][0]

    def wait(self, timeout=None):
        """Until it is there, or so many seconds."""
        mobula.wait(self._refs, num_returns=len(self._refs), timeout=timeout)

    def ready(self):
        """Is it there?"""
        return len(mobula.wait(self._refs, num_returns=len(self._refs), timeout=0)[0]) == len(self._refs)

    def successful(self):
        """Is it there, and no exception?"""
        if not self.ready():
            raise ValueError(f"{self!r} not ready")
        try:
            self.get()
        except Exception:
            return False
        return True


class Pool:
    """As multiprocessing.Pool; `processes` bounds the size of chunks alone: the cluster's CPUs say how many calls run at once."""

    def __init__(self, processes=None, initializer=None, initargs=(), maxtasksperchild=None):
        if initializer is not None:
            raise ValueError("Pool: an initializer is not there; do its work at the first call of the function")
        if not mobula.is_initialized():
            mobula.init()
        self._processes = processes or max(1, int(mobula.cluster_resources().get("CPU", 1)))
        self._over, self._results = False, []

    def _chunks(self, items, chunksize):
        if self._over:
            raise ValueError("Pool not running")
        items = list(items)
        size = chunksize or max(1, -(-len(items) // (self._processes * 4)))
        return [items[at:at + size] for at in range(0, len(items), size)]

    def _start(self, function, chunks, star):
        function = mobula.put(function)
        return [_run_chunk.remote(function, chunk, star) for chunk in chunks]

    def apply(self, function, args=(), kwargs=None):
        """function(*args, **kwargs)"""
        return self.apply_async(function, args, kwargs).get()

    def apply_async(self, function, args=(), kwargs=None):
        """The same, as an AsyncResult."""
        call = (lambda *unused: function(*args, **kwargs)) if kwargs else function
        return self._keep(AsyncResult(self._start(call, self._chunks([tuple(args)], 1), True), False))

    def map(self, function, items, chunksize=None):
        """[function(item) for item in items]"""
        return self.map_async(function, items, chunksize).get()

    def map_async(self, function, items, chunksize=None):
        """The same, as an AsyncResult."""
        return self._keep(AsyncResult(self._start(function, self._chunks(items, chunksize), False), True))

    def starmap(self, function, items, chunksize=None):
        """[function(*item) for item in items]"""
        return self._keep(AsyncResult(self._start(function, self._chunks(items, chunksize), True), True)).get()

    def imap(self, function, items, chunksize=1):
        """The results one by one, in order."""
        for ref in self._start(function, self._chunks(items, chunksize), False):
            yield from mobula.get(ref)

    def imap_unordered(self, function, items, chunksize=1):
        """The results one by one, as they come."""
        for chunk in util.as_completed(self._start(function, self._chunks(items, chunksize), False)):
            yield from chunk

    def _keep(self, result):
        self._results = [r for r in self._results if not r.ready()] + [result]
        return result

    def close(self):
        """Take no more."""
        self._over = True

    def terminate(self):
        """Take no more, and stop what runs."""
        self._over = True
        for result in self._results:
            for ref in result._refs:
                mobula.cancel(ref)

    def join(self):
        """Wait for all that was started."""
        if not self._over:
            raise ValueError("Pool is still running")
        for result in self._results:
            result.wait()

    def __enter__(self):
        return self

    def __exit__(self, *unused):
        self.terminate()
