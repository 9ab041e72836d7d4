# SPDX-License-Identifier: Apache-2.0
"""The interface of concurrent.futures on remote functions."""

from concurrent import futures

import mobula
from mobula import _options


class Executor(futures.Executor):
    """Runs calls as tasks. ``options``: those of mobula.remote(), of each task."""

    def __init__(self, **options):
        self._options = _options.make(options)
        self._remotes = {}              # a function is pickled once
        self._refs, self._over = {}, False

    def submit(self, fn, /, *args, **kwargs):
        """A future of ``fn(*args, **kwargs)``, which cancel() of it stops if it has not started."""
        if self._over:
            raise RuntimeError("cannot schedule new futures after shutdown")
        if fn not in self._remotes:
            self._remotes[fn] = mobula.RemoteFunction(fn, self._options)
        ref = self._remotes[fn].remote(*args, **kwargs)
        future = ref.future()
        self._refs[future] = ref
        future.add_done_callback(self._ended)
        return future

    def _ended(self, future):
        ref = self._refs.pop(future, None)
        if future.cancelled() and ref is not None:
            mobula.cancel(ref)

    def shutdown(self, wait=True, *, cancel_futures=False):
        """Take no more; wait for those that are under way."""
        self._over = True
        left = list(self._refs)
        if cancel_futures:
            for future in left:
                future.cancel()
        if wait:
            futures.wait(left)
