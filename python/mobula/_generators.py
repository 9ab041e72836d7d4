# SPDX-License-Identifier: Apache-2.0
"""Generators: tasks whose items are references that can be read while they run, and a value that is an iterable of references."""

from collections.abc import Iterator
from typing import Any, NoReturn

from mobula import _core, _futures


class ObjectRefGenerator(_core.Items):
    """The items of a task that yields: ``next()`` waits for the next one and gives a reference to it, ``async for`` does so without blocking
    a thread. An exception of the task is the last reference, whose get() raises it. Whoever drops the generator lets the items go that were
    not read; the task runs on. Threads that share one each get other items; it cannot be passed to a task."""

    __slots__ = ("__weakref__",)

    def __iter__(self) -> "ObjectRefGenerator":
        return self

    def __next__(self) -> Any:
        ref = self._next(-1)
        if ref is None:
            raise StopIteration
        return ref

    def __aiter__(self) -> "ObjectRefGenerator":
        return self

    async def __anext__(self):
        import asyncio
        while not self.next_ready():
            await asyncio.wrap_future(_futures.future_of(self._peek(), lambda ref: None))
        ref = self._next(-1)
        if ref is None:
            raise StopAsyncIteration
        return ref

    def completed(self) -> Any:
        """A reference that is ready when the task has ended; its get() raises what ended it, or gives None. Until then, whoever waits for it
        has the task run without a bound on unread items, unless _generator_backpressure_num_objects gave one."""
        return self._end()

    def next_ready(self) -> bool:
        """Would next() return, or raise StopIteration, at once?"""
        return bool(_core.wait([self._peek()], 1, 0)[0])

    def is_finished(self) -> bool:
        """Have all items been taken, and will next() raise StopIteration?"""
        return self._is_over()

    def send(self, value: Any) -> NoReturn:
        """Not supported: the task is elsewhere."""
        raise NotImplementedError("`gen.send` is not supported.")

    def throw(self, value: Any) -> NoReturn:
        """Not supported: the task is elsewhere."""
        raise NotImplementedError("`gen.throw` is not supported.")

    def close(self) -> NoReturn:
        """Not supported; cancel() ends the task, and dropping the generator lets its items go."""
        raise NotImplementedError("`gen.close` is not supported.")

    async def asend(self, value: Any) -> NoReturn:
        """Not supported: the task is elsewhere."""
        raise NotImplementedError("`gen.asend` is not supported.")

    async def athrow(self, value: Any) -> NoReturn:
        """Not supported: the task is elsewhere."""
        raise NotImplementedError("`gen.athrow` is not supported.")

    def __reduce__(self):
        raise TypeError("You cannot return or pass a generator to other task. Serializing a ObjectRefGenerator is not allowed.")

    def __repr__(self):
        return f"ObjectRefGenerator({self._end().id()})"


class DynamicObjectRefGenerator:
    """The value of a task with num_returns="dynamic": references to what it yielded."""

    def __init__(self, refs: list[Any]) -> None:
        self._refs = refs

    def __iter__(self) -> Iterator[Any]:
        return iter(self._refs)

    def __len__(self) -> int:
        return len(self._refs)

    def __repr__(self):
        return f"DynamicObjectRefGenerator({len(self._refs)} references)"


def wait(waitables, num_returns, timeout_ms):
    """wait() of a list in which there are generators: such one is ready if its next item is."""
    if len(set(map(id, waitables))) < len(waitables):
        raise ValueError("Wait requires a list of unique ray_waitables.")
    ready = {i for i, w in enumerate(waitables) if isinstance(w, ObjectRefGenerator) and w.next_ready()}
    others = [i for i in range(len(waitables)) if i not in ready]
    if others:
        refs = [w._peek() if isinstance(w, ObjectRefGenerator) else w for w in map(waitables.__getitem__, others)]
        wanted = max(1, min(num_returns - len(ready), len(refs)))
        came = {id(ref) for ref in _core.wait(refs, wanted, timeout_ms if len(ready) < num_returns else 0)[0]}
        ready.update(i for i, ref in zip(others, refs) if id(ref) in came)
    first = set(sorted(ready)[:num_returns])
    return [w for i, w in enumerate(waitables) if i in first], [w for i, w in enumerate(waitables) if i not in first]
