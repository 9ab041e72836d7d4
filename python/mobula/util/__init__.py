# SPDX-License-Identifier: Apache-2.0
"""Helpers on top of remote functions, as in ``ray.util``.

    as_completed, map_unordered       values one by one, in the order in which they are ready
    progress                          a bar, until all references are ready
    inspect_serializability           which part of a value cannot be sent to a task
    get_node_ip_address               of the node that this process runs on
    register_serializer,              how objects of a class travel that pickle cannot take
      deregister_serializer
    executor.Executor                 the interface of concurrent.futures
    multiprocessing.Pool              the interface of multiprocessing.Pool
    joblib.register_ray               a backend of joblib
    scheduling_strategies             which node a task shall run on
"""

import sys
from collections.abc import Callable, Iterable, Iterator
from typing import Any

import mobula
from mobula import _core, _serialization
from mobula.util.check_serialize import inspect_serializability

_LOOK_S = 0.2                           # a bar moves so often

__all__ = ["as_completed", "deregister_serializer", "get_node_ip_address", "inspect_serializability", "map_unordered", "progress",
           "register_serializer"]


def as_completed(refs: Iterable[Any], *, chunk_size: int = 10, yield_obj_refs: bool = False) -> Iterator[Any]:
    """The values of references in the order in which they are ready, each as soon as it is.

        for value in as_completed([f.remote(i) for i in range(100)]):
            print(value)

    chunk_size: at most how many values are fetched at once. yield_obj_refs: the references themselves, instead of their values. What a
    task raised is raised when its turn comes.
    """
    left = list(refs)
    while left:
        ready, left = mobula.wait(left, num_returns=min(chunk_size, len(left)), timeout=0)
        if not ready:
            ready, left = mobula.wait(left, num_returns=1)
        yield from ready if yield_obj_refs else mobula.get(ready)


def map_unordered(function: Any, items: Iterable[Any], *, backpressure_size: int = 100, chunk_size: int = 10,
                  yield_obj_refs: bool = False) -> Iterator[Any]:
    """``function.remote(item)`` for each item, and the values in the order in which they are ready.

    function: a remote one. items: taken one by one, as tasks end, so there may be any number of them. backpressure_size: at most how
    many tasks are under way. chunk_size, yield_obj_refs: as of as_completed().
    Raises ValueError if backpressure_size is less than 1; what a task raised when its turn comes.
    """
    if backpressure_size < 1:
        raise ValueError("backpressure_size must be positive")
    running: list[Any] = []
    for item in items:
        if len(running) >= backpressure_size:
            ready, running = mobula.wait(running, num_returns=1)
            yield from ready if yield_obj_refs else mobula.get(ready)
        running.append(function.remote(item))
    yield from as_completed(running, chunk_size=chunk_size, yield_obj_refs=yield_obj_refs)


def progress(refs: Iterable[Any], *, desc: str | None = None, **bar: Any) -> list[Any]:
    """Wait for all references, and show how many are ready: by a bar of tqdm, or a line of text on stderr without it.

        values = mobula.get(progress([f.remote(i) for i in range(100)], desc="f"))

    desc: stands before it. bar: what else tqdm() takes. Returns the references, as a list. What has failed is ready, too.
    """
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


def get_node_ip_address() -> str:
    """The address of the node that this process runs on, such as "10.0.0.7". Joins or starts a cluster, as init(), if there is none."""
    mobula.get_runtime_context()            # there is a session
    return _core.process()["ip"]


def register_serializer(cls: type[Any], *, serializer: Callable[[Any], Any], deserializer: Callable[[Any], Any]) -> None:
    """From now on, in this process, objects of that class, and of no subclass, travel as ``serializer(object)``, of which ``deserializer``
    makes them again where they arrive.

        register_serializer(Connection, serializer=lambda c: c.address, deserializer=Connection)

    It is for objects that pickle cannot take, because they hold a lock or a file; not for the built-in types. A task that returns such
    objects registers it, too. Raises TypeError for what is no class or no function.
    """
    if not isinstance(cls, type):
        raise TypeError(f"register_serializer() takes a class, not {cls!r}")
    if not callable(serializer) or not callable(deserializer):
        raise TypeError("register_serializer() takes two functions, serializer= and deserializer=")
    _serialization.registered[cls] = serializer, deserializer


def deregister_serializer(cls: type[Any]) -> None:
    """Objects of that class travel as any others again. No-op if no serializer was registered for it."""
    _serialization.registered.pop(cls, None)
