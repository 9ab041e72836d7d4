# SPDX-License-Identifier: Apache-2.0
"""The interface of concurrent.futures on remote functions."""

import functools
import itertools
from collections.abc import Callable, Iterable, Iterator
from concurrent import futures
from typing import Any, ParamSpec, TypeVar

import mobula
from mobula import _options

P = ParamSpec("P")
T = TypeVar("T")
_FUNCTIONS_MAX = 64                    # an executor remembers so many


class Executor(futures.Executor):
    """A concurrent.futures.Executor whose calls run as tasks, on all nodes.

        with Executor(num_cpus=0.5) as executor:
            print(list(executor.map(pow, range(10), range(10))))

    options: those of mobula.remote(), of each task. The cluster's CPUs, or what else the options ask for, say how many run at once.
    Raises ValueError or TypeError, as mobula.remote(), for options that are wrong.
    """

    def __init__(self, **options: Any) -> None:
        self._options = _options.make(options)
        self._remotes: dict[Any, Any] = {}              # a function is pickled once
        self._refs: dict[futures.Future[Any], Any] = {}
        self._over = False

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

    def submit(self, fn: Callable[P, T], /, *args: P.args, **kwargs: P.kwargs) -> futures.Future[T]:
        """A future of ``fn(*args, **kwargs)``; its cancel() stops the task, if it has not ended.

        Raises RuntimeError after shutdown(), and TypeError for what is no function or cannot be pickled, and for arguments that it
        does not take.
        """
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

    def map(self, fn: Callable[..., T], *iterables: Iterable[Any], timeout: float | None = None, chunksize: int = 1) -> Iterator[T]:
        """fn(*items) for each of the zipped iterables, in order; chunksize of them are one task.

        timeout: seconds from now, then TimeoutError. Raises ValueError if chunksize is less than 1.
        """
        if chunksize < 1:
            raise ValueError("chunksize must be >= 1.")
        if chunksize == 1:
            return super().map(fn, *iterables, timeout=timeout)
        items = zip(*iterables)
        chunks = iter(lambda: list(itertools.islice(items, chunksize)), [])
        return itertools.chain.from_iterable(super().map(functools.partial(_of_chunk, fn), chunks, timeout=timeout))

    def shutdown(self, wait: bool = True, *, cancel_futures: bool = False) -> None:
        """Take no more calls. wait: until those that are under way have ended. cancel_futures: cancel them first."""
        self._over = True
        left = list(self._refs)
        if cancel_futures:
            for future in left:
                future.cancel()
        if wait:
            futures.wait(left)


def _of_chunk(fn, chunk):
    return [fn(*items) for items in chunk]
