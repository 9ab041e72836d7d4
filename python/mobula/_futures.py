# SPDX-License-Identifier: Apache-2.0
"""Futures of references: one thread waits for all of them, however many there are."""

import threading
from concurrent.futures import Future

from mobula import _core, exceptions

_LOOK_MS = 200                          # what is added while the thread waits wakes it by itself


class _Waiter:
    """The thread, and the futures whose references it waits for. Of one session."""

    def __init__(self):
        self._set = _core.WaitSet()
        self._pending = {}              # number -> (reference, future, what gives its value)
        self._numbers = 0
        self._changed = threading.Condition()
        self.over = False
        threading.Thread(target=self._run, name="mobula-futures", daemon=True).start()

    def add(self, ref, future, get):
        with self._changed:
            self._numbers += 1
            self._pending[self._numbers] = ref, future, get
            self._set.add(ref, self._numbers)
            self._changed.notify()

    def _next(self):
        """The number of one that is ready; None: look again."""
        with self._changed:
            while not self._pending and not self.over:
                self._changed.wait()
        try:
            return self._set.next(_LOOK_MS)
        except exceptions.GetTimeoutError:
            return None

    def _run(self):
        try:
            while not self.over:
                number = self._next()
                if number is not None:
                    with self._changed:
                        ref, future, get = self._pending.pop(number)
                    self._settle(ref, future, get)
        except Exception as e:          # the session has ended, or its raylet died
            self.end(e)

    def _settle(self, ref, future, get):
        if not future.set_running_or_notify_cancel():
            return
        try:
            result = get(ref)
        except BaseException as e:
            future.set_exception(e)
        else:
            future.set_result(result)

    def end(self, why):
        with self._changed:
            self.over, left = True, list(self._pending.values())
            self._pending.clear()
            self._changed.notify()
        for _, future, _ in left:
            if future.set_running_or_notify_cancel():
                future.set_exception(why)


_waiter = None
_lock = threading.Lock()


def future_of(ref, get):
    """A concurrent.futures.Future of what get(ref) gives when `ref` is ready: in the thread of all futures."""
    global _waiter
    future = Future()
    with _lock:
        if _waiter is None or _waiter.over:
            _waiter = _Waiter()
        _waiter.add(ref, future, get)
    return future


def end():
    """The session ends: what has no value yet never will."""
    global _waiter
    with _lock:
        waiter, _waiter = _waiter, None
    if waiter is not None:
        waiter.end(exceptions.RaySystemError("the session ended by shutdown() before the value was there"))
