# SPDX-License-Identifier: Apache-2.0
"""multiprocessing.Pool on remote functions: the calls run as tasks, on all nodes.

    from mobula.util.multiprocessing import Pool

    with Pool() as pool:
        print(pool.map(len, ["a", "bc"]))

Items go in chunks, each a task. A pool of fewer processes than the cluster has CPUs runs so many chunks at once: each waits for a token
that the one before it in its line returns with its results.
"""

import collections
import itertools
import threading
import uuid
from collections.abc import Callable, Iterable
from typing import Any

import mobula

TimeoutError = TimeoutError             # as multiprocessing has it
_prepared: set[str] = set()             # a worker's: pools whose initializer it has called


class _Failed:
    """What stands for the result of a call that raised."""

    def __init__(self, exception):
        self.exception = exception


def _run_chunk(function, chunk, star, pool, initializer, initargs, token):
    """(results or _Failed, one for each item; None, which tells the next in line)"""
    if initializer is not None and pool not in _prepared:
        initializer(*initargs)
        _prepared.add(pool)
    results = []
    for item in chunk:
        try:
            results.append(function(*item) if star else function(item))
        except Exception as e:
            results.append(_Failed(e))
    return results, None


def _value(result):
    if isinstance(result, _Failed):
        raise result.exception
    return result


class AsyncResult:
    """What the calls with _async return: a result that may not be there yet. Times are in seconds; None waits for ever."""

    def __init__(self, refs: list[Any], single: bool, callback: Callable[[Any], object] | None = None,
                 error_callback: Callable[[Exception], object] | None = None) -> None:
        self._refs, self._single = refs, single
        if callback is not None or error_callback is not None:
            threading.Thread(target=self._call_back, args=(callback, error_callback), daemon=True).start()

    def _call_back(self, callback, error_callback):
        try:
            result = self.get()
        except Exception as e:
            if error_callback is not None:
                error_callback(e)
        else:
            if callback is not None:
                callback(result)

    def get(self, timeout: float | None = None) -> Any:
        """The result. Raises what the first call that failed raised, and TimeoutError when it is not there in time."""
        results = [_value(result) for chunk in mobula.get(self._refs, timeout=timeout) for result in chunk]
        return results[0] if self._single else results

    def wait(self, timeout: float | None = None) -> None:
        """Until it is there, or so many seconds."""
        if self._refs:
            mobula.wait(self._refs, num_returns=len(self._refs), timeout=timeout)

    def ready(self) -> bool:
        """Is it there?"""
        return not self._refs or len(mobula.wait(self._refs, num_returns=len(self._refs), timeout=0)[0]) == len(self._refs)

    def successful(self) -> bool:
        """Is it no exception? Raises ValueError if it is not there yet."""
        if not self.ready():
            raise ValueError(f"{self!r} not ready")
        try:
            self.get()
        except Exception:
            return False
        return True


class IMapIterator:
    """The results of imap and imap_unordered, one by one; what a call raised is raised in its place, and the rest follows."""

    def __init__(self, start: Callable[[Any], Any], chunks: Iterable[Any], window: int, ordered: bool) -> None:
        self._start, self._chunks, self._window, self._ordered = start, iter(chunks), window, ordered
        self._refs: list[Any] = []
        self._results: collections.deque[Any] = collections.deque()
        self._fill()

    def _fill(self):
        for chunk in itertools.islice(self._chunks, self._window - len(self._refs)):
            self._refs.append(self._start(chunk))

    def __iter__(self) -> "IMapIterator":
        return self

    def __next__(self) -> Any:
        return self.next()

    def next(self, timeout: float | None = None) -> Any:
        """The next result; after timeout seconds a TimeoutError, and it may be asked for again. StopIteration after the last."""
        while not self._results:
            if not self._refs:
                raise StopIteration
            ready, _ = mobula.wait(self._refs[:1] if self._ordered else self._refs, num_returns=1, timeout=timeout)
            if not ready:
                raise TimeoutError
            self._refs.remove(ready[0])
            self._fill()
            self._results.extend(mobula.get(ready[0]))
        return _value(self._results.popleft())


class Pool:
    """As multiprocessing.Pool. Joins or starts a cluster, as mobula.init(ray_address), if there is none yet.

    processes: so many calls run at once; None: as many as the cluster has CPUs. initializer: called with initargs in each worker process
    before its first call. ray_remote_args: options of the tasks, as of mobula.remote(). maxtasksperchild, context: taken, without effect.
    Raises ValueError if processes is less than 1, and TypeError for an initializer that cannot be called.
    """

    def __init__(self, processes: int | None = None, initializer: Callable[..., Any] | None = None, initargs: Iterable[Any] = (),
                 maxtasksperchild: int | None = None, context: Any = None, ray_address: str | None = None,
                 ray_remote_args: dict[str, Any] | None = None) -> None:
        if processes is not None and processes < 1:
            raise ValueError("Processes in the pool must be >0.")
        if initializer is not None and not callable(initializer):
            raise TypeError("initializer must be a callable")
        if not mobula.is_initialized():
            mobula.init(ray_address)
        cpus = max(1, int(mobula.cluster_resources().get("CPU", 1)))
        self._processes = processes or cpus
        self._line = self._processes if self._processes < cpus else 0
        self._tokens: collections.deque[Any] = collections.deque()          # of chunks that run now, if they stand in lines
        self._run = mobula.remote(**{**(ray_remote_args or {}), "num_returns": 2, "name": "Pool"})(_run_chunk)
        self._prepare = uuid.uuid4().hex, initializer, tuple(initargs)
        self._over = False
        self._started: list[Any] = []                   # tokens: a result lives as long as its reader wants it
        self._were_running = 0

    # -- starting ------------------------------------------------------------------------------------------------------------

    def _need_running(self):
        if self._over:
            raise ValueError("Pool not running")

    def _starter(self, function, star):
        """A function that starts a chunk, and returns the reference to its results."""
        self._need_running()
        function = mobula.put(function)

        def start(chunk):
            token = self._tokens.popleft() if self._line and len(self._tokens) == self._line else None
            ref, token = self._run.remote(function, chunk, star, *self._prepare, token)
            if self._line:
                self._tokens.append(token)
            self._started.append(token)
            if len(self._started) > 2 * self._were_running + 1000:      # of those that have ended nobody needs to know
                self._started = mobula.wait(self._started, num_returns=len(self._started), timeout=0)[1]
                self._were_running = len(self._started)
            return ref
        return start

    def _chunks(self, items, chunksize):
        items = list(items)
        size = chunksize or max(1, -(-len(items) // (self._processes * 4)))
        return [items[at:at + size] for at in range(0, len(items), size)]

    def _map(self, function, items, chunksize, star, callback=None, error_callback=None):
        start = self._starter(function, star)
        return AsyncResult([start(chunk) for chunk in self._chunks(items, chunksize)], False, callback, error_callback)

    def _imap(self, function, items, chunksize, ordered):
        if chunksize < 1:
            raise ValueError(f"Chunksize must be 1+, not {chunksize}")
        items = iter(items)
        chunks = iter(lambda: list(itertools.islice(items, chunksize)), [])
        return IMapIterator(self._starter(function, False), chunks, self._processes * 4, ordered)

    # -- calls ---------------------------------------------------------------------------------------------------------------

    def apply(self, function: Callable[..., Any], args: Iterable[Any] = (), kwargs: dict[str, Any] | None = None) -> Any:
        """function(*args, **kwargs)"""
        return self.apply_async(function, args, kwargs).get()

    def apply_async(self, function: Callable[..., Any], args: Iterable[Any] = (), kwargs: dict[str, Any] | None = None,
                    callback: Callable[[Any], object] | None = None,
                    error_callback: Callable[[Exception], object] | None = None) -> AsyncResult:
        """The same, as an AsyncResult; callback(result) or error_callback(exception) is called by a thread."""
        call = (lambda *args: function(*args, **kwargs)) if kwargs else function
        return AsyncResult([self._starter(call, True)([tuple(args)])], True, callback, error_callback)

    def map(self, function: Callable[[Any], Any], items: Iterable[Any], chunksize: int | None = None) -> list[Any]:
        """[function(item) for item in items]. chunksize: so many items a task; None: four tasks for each process."""
        return self._map(function, items, chunksize, False).get()

    def map_async(self, function: Callable[[Any], Any], items: Iterable[Any], chunksize: int | None = None,
                  callback: Callable[[Any], object] | None = None,
                  error_callback: Callable[[Exception], object] | None = None) -> AsyncResult:
        """The same, as an AsyncResult; callback(results) or error_callback(exception) is called by a thread."""
        return self._map(function, items, chunksize, False, callback, error_callback)

    def starmap(self, function: Callable[..., Any], items: Iterable[Iterable[Any]], chunksize: int | None = None) -> list[Any]:
        """[function(*item) for item in items]"""
        return self._map(function, items, chunksize, True).get()

    def starmap_async(self, function: Callable[..., Any], items: Iterable[Iterable[Any]], chunksize: int | None = None,
                      callback: Callable[[Any], object] | None = None,
                      error_callback: Callable[[Exception], object] | None = None) -> AsyncResult:
        """The same, as an AsyncResult; callback(results) or error_callback(exception) is called by a thread."""
        return self._map(function, items, chunksize, True, callback, error_callback)

    def imap(self, function: Callable[[Any], Any], items: Iterable[Any], chunksize: int = 1) -> IMapIterator:
        """The results one by one, in order; items are taken as results are, so there may be any number of them."""
        return self._imap(function, items, chunksize, True)

    def imap_unordered(self, function: Callable[[Any], Any], items: Iterable[Any], chunksize: int = 1) -> IMapIterator:
        """The results one by one, as they come."""
        return self._imap(function, items, chunksize, False)

    # -- the end -------------------------------------------------------------------------------------------------------------

    def close(self) -> None:
        """Take no more."""
        self._over = True

    def terminate(self) -> None:
        """Take no more, and stop what runs."""
        self._over = True
        for token in self._started:
            mobula.cancel(token)

    def join(self) -> None:
        """Wait for all that was started. Raises ValueError before close() or terminate()."""
        if not self._over:
            raise ValueError("Pool is still running")
        if self._started:
            mobula.wait(self._started, num_returns=len(self._started))

    def __enter__(self) -> "Pool":
        self._need_running()
        return self

    def __exit__(self, *unused: object) -> None:
        self.terminate()
