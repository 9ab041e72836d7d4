# SPDX-License-Identifier: Apache-2.0
"""What goes wrong, by the names and with the ancestors of Ray's exceptions.

An exception that a task raises arrives at every ``get`` of its results as a RayTaskError that is also an instance of the task's own
exception type, with the traceback of both sides:

    try:
        mobula.get(parse.remote("x"))
    except ValueError as e:                             # what the task raised ...
        print(e)                                        # ... with the task's traceback
    except mobula.exceptions.WorkerCrashedError:        # its process died, more often than max_retries
        ...

All others are RayErrors; each text says what to do. One that the death of a process or node is behind has its certificate, as data:

    except mobula.exceptions.WorkerCrashedError as e:
        if e.death.killed_by == "memory monitor" or e.death.peak_memory > 2**30:
            ...

Besides them a wrong argument raises TypeError or ValueError, a cluster that cannot be reached ConnectionError, one that does not answer in
time TimeoutError, another version of Mobula there RuntimeError.
"""

import functools
import os
import sys
import traceback
from typing import Any, NamedTuple


class Death(NamedTuple):
    """How the process of one attempt of a task ended. Of a node that was lost only the names are known; of one that had an object, or that
    was the driver's own, only killed_by, node and ip: there is no worker, and pid is 0.

    killed_by: what ended it; "exit": it exited itself, with exit_code; "crash": a fault of its own, or abort(), signal says which;
        "signal": a signal that Mobula did not send; "cancel": a forced cancel, or one that it did not heed; "memory monitor": of its
        node; "kernel memory": the kernel, for want of memory; "node lost": its node died or cannot be reached; "start": it could not be
        started; "job over": who had submitted the task is gone; "raylet": it had closed its socket, or broken the rules; "unknown".
    attempt: of the task, from 0. node, ip, host: where; worker: its number in the cluster; pid: there.
    signal: 0: none. exit_code: -1: it did not exit.
    peak_memory: bytes. cpu_time, lived: seconds, since its start: it may have run other tasks before.
    core: the file of its core dump on that host, or "|program ..." that got it; "": none. A name without a folder is of a file where the
        task worked: where the node was started, unless it went elsewhere.
    last_lines: the last 20 of its stderr, at most 4 KiB.
    """

    killed_by: str
    attempt: int
    node: str
    ip: str
    host: str
    worker: str
    pid: int
    signal: int
    exit_code: int
    peak_memory: int
    cpu_time: float
    lived: float
    core: str
    last_lines: str

_FOLDER = os.path.dirname(__file__) + os.sep       # as it was found: so frames of its modules name it
_CHAIN_MAX = 16384                      # of tasks whose arguments failed one after the other: the text does not grow beyond


class RayError(Exception):
    """Whatever Mobula itself raises; what all of these are.

    deaths: of the attempts of its task that a death ended, the last four, the last one last. attempt: of the task, from 0: the last one.
    """

    deaths: tuple[Death, ...] = ()
    attempt: int = 0

    @functools.cached_property          # no property: an attribute of that name of a task's own exception goes before it
    def death(self) -> Death | None:
        """The last one of ``deaths``; None: no death is behind this."""
        return self.deaths[-1] if self.deaths else None


class GetTimeoutError(RayError, TimeoutError):
    """The value was not there within get()'s timeout. The task runs on: get() may be called again."""


class TaskCancelledError(RayError):
    """The task was cancelled, by cancel(), before it ended."""


class WorkerCrashedError(RayError):
    """The task's process died more often than max_retries; the text says how: by which signal or with which code, and where."""


class OutOfMemoryError(RayError):
    """The task's process was ended because its node ran short of memory. Only what may run but once, or has more than its own memory= all
    too often, gets to see this: all else is tried again, after a pause. The text says who had how much, and what helps."""


class NodeDiedError(RayError):
    """The node of the task or object died, or this process's own."""


class ObjectLostError(RayError):
    """No copy of the object is left; the text says what became of the last one."""


class ObjectReconstructionFailedError(ObjectLostError):
    """The object was lost, and could not be made again by running its task again.

    reason: why not, by Ray's names. "OBJECT_UNRECONSTRUCTABLE_PUT": it was put, and no task made it; "..._MAX_ATTEMPTS_EXCEEDED": its task
    has run as often as max_retries allows; "..._RETRIES_DISABLED": max_retries is 0; "..._LINEAGE_EVICTED": what its owner kept of finished
    tasks had to make room; "..._LINEAGE_DISABLED": MOBULA_LINEAGE_BYTES is 0; "..._TASK_CANCELLED"; "..._REF_NOT_FOUND": its owner knows it
    no more; and "..._STREAM": it is an item of a generator.
    """

    def __init__(self, text: str, reason: str = "OBJECT_UNRECONSTRUCTABLE_LINEAGE_EVICTED") -> None:
        super().__init__(text, reason)
        self.reason = reason

    def __str__(self) -> str:
        return f"[{self.reason}] {self.args[0]}"


class OwnerDiedError(ObjectLostError):
    """The process that owned the object died, and the object with it: the worker whose task has put it, or has called the task that made it.
    The text names that process, and how it ended; ``death`` is that process's or its node's, if it is known still."""


class ObjectStoreFullError(RayError):
    """The object is larger than the store, or what is in use fills store and disk; the text says what does."""


class TaskUnschedulableError(RayError):
    """No node can ever run the task: the one that its strategy names is gone, or its program is for another machine; with
    infeasible="fail", also where no node could serve the call now, even if it were idle. The text says what each node lacks."""


class RaySystemError(RayError):
    """The operating system or a peer refused; the text says why."""


class AuthenticationError(RayError, PermissionError):
    """The token is missing, is another cluster's, or others may read it; the text says which, and what to do."""


# What a program may name in its `except`, and nothing raises yet: actors and placement groups are not there, and the others are told as one
# of those above.

class UserCodeException(RayError):
    """Not raised: what a task raises is a RayTaskError, and its own type."""


class UnserializableException(RayError):
    """Not raised: an exception that cannot be unpickled arrives as a RayTaskError with its text."""


class CrossLanguageError(RayError):
    """Not raised: tasks are of the program's own language."""


class LocalRayletDiedError(RayError):
    """Not raised: NodeDiedError is."""


class RayActorError(RayError):
    """Not raised: there are no actors yet."""


class ActorDiedError(RayActorError):
    """Not raised: there are no actors yet."""


class ActorUnavailableError(RayActorError):
    """Not raised: there are no actors yet."""


class ActorUnschedulableError(RayError):
    """Not raised: there are no actors yet."""


class ActorPlacementGroupRemoved(RayError):
    """Not raised: there are no actors yet."""


class TaskPlacementGroupRemoved(RayError):
    """Not raised: there are no placement groups yet."""


class PendingCallsLimitExceeded(RayError):
    """Not raised: there are no actors yet."""


class ActorAlreadyExistsError(ValueError, RayError):
    """Not raised: there are no actors yet."""


class ActorHandleNotFoundError(ValueError, RayError):
    """Not raised: there are no actors yet."""


class AsyncioActorExit(RayError):
    """Not raised: there are no actors yet."""


class PlasmaObjectNotAvailable(RayError):
    """Not raised: GetTimeoutError is."""


class OutOfDiskError(RayError):
    """Not raised: ObjectStoreFullError is, and says that the disk is full."""


class ObjectFetchTimedOutError(ObjectLostError):
    """Not raised: an object that nobody has is lost at once."""


class ObjectFreedError(ObjectLostError):
    """Not raised: nothing frees an object that is in use."""


class ReferenceCountingAssertionError(ObjectLostError, AssertionError):
    """Not raised."""


class ObjectRefStreamEndOfStreamError(RayError):
    """Not raised: StopIteration is."""


class StreamingGeneratorReplayInconsistentError(RaySystemError):
    """Not raised."""


class RuntimeEnvSetupError(RayError):
    """Not raised: init() says what is wrong with a runtime_env."""


class RpcError(RayError):
    """Not raised: RaySystemError is."""


class RayTaskError(RayError):
    """An exception of a task.

    function_name: of the task. traceback_str: the traceback there. cause: the task's own exception; None: it could not be pickled.
    pid, ip: of the process that ran it, and its node.
    """

    def __init__(self, function_name: str, traceback_str: str, cause: BaseException | None = None, pid: int = 0, ip: str = "") -> None:
        self.function_name, self.traceback_str, self.cause, self.pid, self.ip = function_name, traceback_str, cause, pid, ip
        Exception.__init__(self, function_name, traceback_str, cause, pid, ip)

    def __str__(self) -> str:
        return f"mobula::{self.function_name}() (pid={self.pid}, ip={self.ip})\n{self.traceback_str}"

    def __reduce__(self):
        return RayTaskError, (self.function_name, self.traceback_str, self.cause, self.pid, self.ip)

    def as_instanceof_cause(self) -> "RayTaskError":
        """The same error as an exception that ``except TypeOfTheTask`` catches, too; itself, if its class cannot be one's base, or ends
        a program that raises it."""
        if not isinstance(self.cause, Exception) or isinstance(self, type(self.cause)):
            return self
        error = _both(type(self.cause))
        if error is None:
            return self
        error = error.__new__(error)
        error.__dict__.update(getattr(self.cause, "__dict__", {}))
        RayTaskError.__init__(error, self.function_name, self.traceback_str, self.cause, self.pid, self.ip)
        error.args = self.cause.args
        error.__cause__ = self.cause
        return error


_classes: dict[type, Any] = {}


def _both(cause):
    """A class that is RayTaskError and `cause`; None: there can be none."""
    if cause not in _classes:
        try:
            name = f"RayTaskError({cause.__name__})"
            _classes[cause] = type(name, (RayTaskError, cause), {"__module__": RayTaskError.__module__, "__qualname__": name})
            _classes[cause].__new__(_classes[cause])
        except TypeError:
            _classes[cause] = None
    return _classes[cause]


_LATE, _INVALID, _TIMEOUT, _TASK, _CRASHED, _LOST, _FULL = 0, 1, 2, 3, 5, 7, 9
_BY_CODE = {
    _INVALID: ValueError, _TIMEOUT: TimeoutError, 4: TaskCancelledError, _CRASHED: WorkerCrashedError, 6: NodeDiedError,
    _LOST: ObjectLostError, 8: OwnerDiedError, _FULL: ObjectStoreFullError, 10: TaskUnschedulableError, 11: AuthenticationError,
    12: RuntimeError, 13: ConnectionError, 14: RaySystemError, 15: RaySystemError, 16: OutOfMemoryError,
}


# enum mob_lost, from 1.
_REASONS = ("PUT", "MAX_ATTEMPTS_EXCEEDED", "RETRIES_DISABLED", "LINEAGE_EVICTED", "LINEAGE_DISABLED", "TASK_CANCELLED", "REF_NOT_FOUND",
            "STREAM")


_CRASHES = (
    ("exited with code", "\nThe task, or a library that it uses, called os._exit() or exec: a task ends by return, or by an exception."),
    ("SIGSEGV", "\nA C extension that the task uses crashed, or calls within calls overflowed the stack of C."),
    ("for want of memory", "\nAsk for it by memory=, so that fewer run at once."),
    ("its socket was closed", "\nThe task, or a library that it uses, closed descriptors that were not its own."),
    ("SIGKILL", "\nSomebody killed it: often the kernel, for want of memory. Ask for it by memory=, so that fewer run at once."),
)


def from_library(code: int, user_code: int, pid: int, attempt: int, function: str, node: str, text: str,
                 deaths: list[tuple]) -> Exception:
    """The exception for an error of libmobula (enum mob_code of mobula.h). _LATE: a call that waits for values came back without."""
    error = _by_code(code, user_code, pid, function, node, _with_lines(code, text, deaths))
    if code == _FULL and user_code == 1:        # MOB_NO_SPACE_HERE
        setattr(error, "_no_room_here", True)
    if isinstance(error, RayError):
        error.attempt, error.deaths = attempt, tuple(Death(*d) for d in deaths)
    return error


def _with_lines(code, text, deaths):
    """A hint after what is known of the end, never of what the task printed; then that, all of it: libmobula's text has room for a part."""
    text, printed, lines = text.partition("; its last lines on stderr:\n")
    if code == _CRASHED:
        text += next((hint for sign, hint in _CRASHES if sign in text), "")
    return f"{text}\nIts last lines on stderr:\n{deaths[-1][-1] if deaths else lines}" if printed else text


def _by_code(code: int, user_code: int, pid: int, function: str, node: str, text: str) -> Exception:
    if code == _LATE:
        return GetTimeoutError(f"Get timed out: some object(s) not ready. {text[:1].upper()}{text[1:]}")
    if code == _TASK:
        return RayTaskError(function, text, None, pid, node)
    if code == _LOST and 0 < user_code <= len(_REASONS):
        return ObjectReconstructionFailedError(text, "OBJECT_UNRECONSTRUCTABLE_" + _REASONS[user_code - 1])
    return _BY_CODE.get(code, RaySystemError)(text)


def of_task(exception: BaseException, function_name: str, pid: int, ip: str) -> RayTaskError:
    """What a worker sends of an exception that its task raised: a RayTaskError. Of another task's, the traceback of both."""
    if isinstance(exception, ModuleNotFoundError):
        exception.add_note(f"mobula sends the modules beside the driver's script; of {exception.name}, install it on node {ip} for "
                           f"{sys.executable}")
    if isinstance(exception, SystemExit):
        exception.add_note("mobula: a task ends by return, or by an exception; sys.exit() in it fails it, and ends no process")
    if isinstance(exception, RayTaskError):
        return RayTaskError(function_name, _trace(exception, False), exception.cause, pid, ip)
    return RayTaskError(function_name, _trace(exception, True), exception.with_traceback(None), pid, ip)


def _trace(exception, chain):
    """Its traceback as text, and of what led to it; without our own frames, which tell a user nothing."""
    whole = traceback.TracebackException.from_exception(exception)
    links, seen = [whole], set()
    while links:
        link = links.pop()
        if link is None or id(link) in seen:
            continue
        seen.add(id(link))
        link.stack = traceback.StackSummary.from_list([frame for frame in link.stack if not frame.filename.startswith(_FOLDER)])
        links += [link.__cause__, link.__context__]
    return "".join(whole.format(chain=chain))


def of_argument(error: RayTaskError, function_name: str, pid: int, ip: str) -> RayTaskError:
    """The same of a task that could not run, as an argument of it is the result of one that failed by `error`."""
    text = f"At least one of the input arguments for this task could not be computed:\n{error}"
    return RayTaskError(function_name, text if len(text) < _CHAIN_MAX else error.traceback_str, error.cause, pid, ip)


def to_raise(error: BaseException) -> BaseException:
    """What ``get`` raises for the value of a failed task."""
    return error.as_instanceof_cause() if isinstance(error, RayTaskError) else error
