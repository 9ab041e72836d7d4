# SPDX-License-Identifier: Apache-2.0
"""Remote functions and objects: what `import mobula as ray` is used for."""

import functools
import hashlib
import inspect
import os
from collections.abc import Callable, Generator, Sequence
from concurrent.futures import Future
from typing import Any, Generic, NoReturn, TypeVar, overload

from mobula import _core, _futures, _generators, _options, _serialization, _session, exceptions

_LONG_S = 10**9                         # as good as for ever
_FUNCTION_WARN, _FUNCTION_MAX = 10 << 20, 100 << 20
_FORMS_MAX = 256                        # of calls, of a function
T = TypeVar("T")
T_co = TypeVar("T_co", covariant=True)
S = TypeVar("S")                        # what f.remote() returns: by num_returns a reference, a list of them, or None


class ObjectRef(_core.Ref, Generic[T_co]):
    """A reference to an object: to the value that a task will return, or that put() stored.

    It may be an argument of a task, be kept, compared and hashed, and stand inside any value that goes to another process; the object
    lives as long as somebody has a reference. ``await ref`` gives the value in a coroutine. Made by ``f.remote()`` and put() alone.
    """

    __slots__ = ("__weakref__",)

    def hex(self) -> str:
        """The object's name in the cluster, as hexadecimal digits. Raises ValueError after shutdown()."""
        return self.id().encode().hex()

    def binary(self) -> bytes:
        """The object's name in the cluster, as bytes. Raises ValueError after shutdown()."""
        return self.id().encode()

    def is_nil(self) -> bool:
        """False: there is no reference to nothing."""
        return False

    def as_future(self) -> Any:
        """An asyncio.Future of the value, in the loop that runs. Raises RuntimeError if none does."""
        import asyncio
        return asyncio.wrap_future(self.future())

    def future(self) -> Future[T_co]:
        """A concurrent.futures.Future of the value. To cancel it does not stop the task; mobula.cancel(ref) does."""
        return _futures.future_of(self, get)

    def __await__(self) -> Generator[Any, None, T_co]:
        """In a coroutine: the value; what the task raised is raised."""
        return self.as_future().__await__()

    def __class_getitem__(cls, item):
        return cls                          # ObjectRef[int], of type hints

    def __copy__(self):
        return self

    def __deepcopy__(self, memo):
        return self                         # as of what holds it: dataclasses.asdict(), for one

    def __repr__(self):
        try:
            return f"ObjectRef({self.id()})"
        except ValueError:
            return "ObjectRef(of a session that has ended)"


def _unhandled(error):
    if not isinstance(error, exceptions.TaskCancelledError) and "MOBULA_IGNORE_UNHANDLED_ERRORS" not in os.environ:
        _session.logger.error("Unhandled error (suppress with 'MOBULA_IGNORE_UNHANDLED_ERRORS=1'): %s", error)


_core.setup(ObjectRef, exceptions.from_library, _serialization.dumps, _serialization.plain_dumps, _serialization.loads,
            exceptions.to_raise, _generators.ObjectRefGenerator, _unhandled)


# -- remote functions ----------------------------------------------------------------------------------------------------------

class RemoteFunction(Generic[S]):
    """What @mobula.remote makes of a function: it runs as tasks.

    ``f.remote(...)`` submits one; ``f.options(num_cpus=2).remote(...)`` one with other options. To call it as ``f(...)`` is a TypeError.
    """

    def __init__(self, function: Callable[..., Any], options: _options.Options) -> None:
        functools.update_wrapper(self, function)
        self._function, self._options = function, options
        self._session, self._fn, self._pickle, self._hash = 0, None, None, None
        self._extra = options.extra()
        self._fits: set[Any] = set()            # forms of calls that the signature takes, as remote() has them

    def __call__(self, /, *args: Any, **kwargs: Any) -> NoReturn:
        name = self._function.__name__
        raise TypeError(f"Remote functions cannot be called directly. Instead of running '{name}()', try '{name}.remote()'.")

    def options(self, **changes: Any) -> "RemoteFunction[Any]":
        """This function with other options for calls of it; those that are not named stay. Which there are: help(mobula.remote).

        Raises ValueError for an option that there is not, and ValueError or TypeError for a value that it cannot have.
        """
        other: RemoteFunction[Any] = RemoteFunction(self._function, _options.make(changes, self._options))
        if self._session == _session.current:
            other._pickle, other._hash = self._pickle, self._hash
        other._fits = self._fits
        return other

    def _check(self, form, args, kwargs):
        """Whether the signature takes a call is a matter of its form alone: each is looked at once."""
        try:
            signature = inspect.signature(self._function)
        except (TypeError, ValueError):
            signature = None                    # of some builtins: the task tells
        if signature is not None:
            try:
                signature.bind(*args, **kwargs)
            except TypeError as error:
                raise TypeError(str(error)) from None
        if len(self._fits) < _FORMS_MAX:        # names of a **kwargs may be without end
            self._fits.add(form)

    def _prepare(self):
        _session.need()
        with _session.lock:
            name = getattr(self._function, "__qualname__", None) or repr(self._function)
            if self._pickle is None or self._session != _session.current:
                self._hash, self._pickle = _ship(self._function, name)
            self._fn = self._options.library_fn(name, self._function)
            self._session = _session.current

    def remote(self, /, *args: Any, **kwargs: Any) -> S:
        """Submit a task, and return at once: an ObjectRef of its result; with num_returns=N a list of N; with 0 None.

        An ObjectRef that is an argument itself is replaced by its value before the function runs; one inside a list or another value stays
        a reference. Arguments are pickled now: what is changed later is not seen. Large ones that several tasks have: put() them once.
        Raises TypeError for arguments that the function's signature does not take, and for one that cannot be pickled. What the function
        raises is raised by get().
        """
        form = (len(args), *kwargs) if kwargs else len(args)
        if form not in self._fits:
            self._check(form, args, kwargs)
        if self._session != _session.current or self._fn is None:
            self._prepare()
        packed = direct = None
        if args or kwargs or self._extra:
            packed, direct = _pack_arguments(args, kwargs, self._extra or (None, None))
        refs = _core.call(self._fn, self._hash, self._pickle, packed, direct)
        return refs if self._options.num_returns != 0 else None

    def __reduce__(self):
        return RemoteFunction, (self._function, self._options)


def _pack_arguments(args, kwargs, extra):
    """(args, kwargs, places, *extra), with None in the places of references; and those."""
    places = [i for i, arg in enumerate(args) if type(arg) is ObjectRef]
    names = [name for name, arg in kwargs.items() if type(arg) is ObjectRef] if kwargs else None
    if not places and not names:
        return (args, kwargs, None, *extra), None
    direct = [args[i] for i in places] + [kwargs[name] for name in names or ()]
    args = tuple(None if type(arg) is ObjectRef else arg for arg in args)
    kwargs = {name: None if type(arg) is ObjectRef else arg for name, arg in kwargs.items()}
    return (args, kwargs, places + (names or []), *extra), direct


def _ship(function, name):
    """(hash, reference) of a function's value, which workers fetch once."""
    def digest(data, refs):
        """Of all that makes it: two may differ in an array that they capture, or in a reference, alone."""
        _check_size(name, len(data))
        which = hashlib.blake2b(data, digest_size=16)
        for ref in refs:
            which.update(ref.binary())
        return which.digest()
    return _core.ship(_serialization.Function(function, name), digest)


def _check_size(name, size):
    if size > _FUNCTION_MAX:
        raise ValueError(f"The remote function {name} is too large ({size >> 20} MiB > FUNCTION_SIZE_ERROR_THRESHOLD="
                         f"{_FUNCTION_MAX >> 20} MiB). Check that its definition is not implicitly capturing a large array or other object "
                         "in scope. Tip: use mobula.put() to put large objects in the object store.")
    if size > _FUNCTION_WARN:
        _session.logger.warning("The remote function %s is very large (%d MiB). Check that its definition is not implicitly capturing a "
                                "large array or other object in scope. Tip: use mobula.put() to put large objects in the object store.",
                                name, size >> 20)


@overload
def remote(function: Callable[..., T], /) -> RemoteFunction[ObjectRef[T]]: ...


@overload
def remote(**options: Any) -> Callable[[Callable[..., Any]], RemoteFunction[Any]]: ...


def remote(*args: Any, **options: Any) -> Any:
    """Make a function remote: as a decorator, with or without options, or called with the function.

        @mobula.remote
        def f(x): ...

        @mobula.remote(num_cpus=2, num_returns=2)
        def g(x): ...

        h = mobula.remote(len)

    num_cpus (1), num_gpus (0), memory (bytes, 0), resources ({name: quantity}): what a task has while it runs. They say where it may run
        and how many run at once, and bound nothing by themselves; quantities may be fractions, to 0.0001. A task sees its own GPUs alone.
    num_returns (1): how many objects a call makes; the function returns as many values.
    max_retries (3): how often a task is tried again after its worker or node died; -1: for ever; 0: it runs at most once. So it may start
        more than once, and what it does to the world outside must bear that. When a node runs short of memory and its worker is ended for
        that, it is tried again after a pause of 1 s, which doubles each time to 60 s, without end; of 0 retries: not at all.
    retry_exceptions (False): True, or a list of exception types: try again after these, too, as often. The same worker does, and keeps what
        the task asked for during a delay.
    retry_delay (0): seconds before it is tried again, doubled each time, 60 at most; a quarter less or more by chance.
    scheduling_strategy ("DEFAULT"): "SPREAD" over the nodes, or a mobula.util.scheduling_strategies.NodeAffinitySchedulingStrategy.
    label_selector ({}): {key: condition} that a node's labels must meet, all of them: "a", "!a", "in(a,b)" or "!in(a,b)". A node without
        such a label meets those with "!".
    infeasible ("wait"): where no node could serve the call, even if it were idle: "wait" for one that can, or "fail": remote() raises
        TaskUnschedulableError with what each node lacks.
    name: of the task, in logs and listings; None: the function's own.
    _generator_backpressure_num_objects: of a generator function: so many items may wait to be read, then it waits; -1: without bound.

    Raises ValueError for an option that there is not, ValueError or TypeError for a value that it cannot have, ValueError for
    an `async def`, TypeError for a class: actors are not there yet.
    """
    if len(args) == 1 and not options:
        return _make_remote(args[0], _options.Options())
    if args:
        raise TypeError("The @mobula.remote decorator must be applied either with no arguments and no parentheses, or with keyword "
                        "arguments: '@mobula.remote(num_returns=2, resources={\"CustomResource\": 1})'.")
    made = _options.make(options)
    return lambda function: _make_remote(function, made)


def _make_remote(function, options):
    if inspect.isclass(function):
        raise TypeError(f"@mobula.remote on the class {function.__name__}: actors are not there yet; make its methods functions, whose "
                        "state is an argument and a result.")
    if not callable(function):
        raise TypeError("The @mobula.remote decorator must be applied to either a function or a class.")
    if inspect.iscoroutinefunction(function) or inspect.isasyncgenfunction(function):
        raise ValueError("'async def' should not be used for remote tasks. You can wrap the async function with `asyncio.run(f())`.")
    return RemoteFunction(function, options)


# -- objects -------------------------------------------------------------------------------------------------------------------

def _milliseconds(timeout):
    if timeout is None or timeout == -1:
        return -1
    if not isinstance(timeout, (int, float)) or timeout != timeout:
        raise TypeError(f"The 'timeout' argument must be a number of seconds, not {timeout!r}")
    if timeout < 0:
        raise ValueError(f"The 'timeout' argument must be nonnegative. Received {timeout}")
    return int(min(timeout, _LONG_S) * 1000)


@overload
def get(refs: ObjectRef[T], *, timeout: float | None = None) -> T: ...


@overload
def get(refs: Sequence[ObjectRef[T]], *, timeout: float | None = None) -> list[T]: ...


def get(refs: Any, *, timeout: float | None = None) -> Any:
    """The value of a reference, or of each of a list, in its order; waits until they are there.

        mobula.get(ref)                 the value
        mobula.get([a, b, c])           a list of three

    timeout: in seconds, then GetTimeoutError; None: wait for ever; 0: look. numpy arrays of a stored value are looked at where they lie,
    and read-only: copy one to change it. A task that waits gives its CPUs to others meanwhile.
    Raises what the task raised, which is an exception of its own type and a RayTaskError; WorkerCrashedError, NodeDiedError,
    ObjectLostError, OwnerDiedError or TaskCancelledError if there will be no value (mobula.exceptions); ValueError for what is no
    reference, and for a negative timeout.
    """
    if type(refs) is ObjectRef:
        return _core.get((refs,), _milliseconds(timeout))[0]
    if not isinstance(refs, (list, tuple)):
        raise ValueError(f"Invalid type of object refs, {type(refs)}, is given. 'object_refs' must either be an ObjectRef or a list of "
                         "ObjectRefs. ")
    return _core.get(refs, _milliseconds(timeout)) if refs else []


def put(value: T) -> ObjectRef[T]:
    """Store an object; a reference to it, for any number of tasks.

    Any value that pickle or cloudpickle takes. The buffers of arrays are copied once, into this node's shared memory (above 100 KiB;
    smaller values stay in this process), and not again by readers on this node; other nodes fetch them once. Joins or starts a cluster,
    as init() does, if there is none yet.
    Raises TypeError for an ObjectRef (put it into a list) and for what cannot be pickled; ObjectStoreFullError if there is no room.
    """
    if type(value) is ObjectRef:
        raise TypeError("Calling 'put' on an mobula.ObjectRef is not allowed. If you really want to do this, you can wrap the "
                        "mobula.ObjectRef in a list and call 'put' on it.")
    _session.need()
    return _core.put(value)


def wait(refs: list[ObjectRef[T]], *, num_returns: int = 1, timeout: float | None = None,
         fetch_local: bool = True) -> tuple[list[ObjectRef[T]], list[ObjectRef[T]]]:
    """(ready, others), each in the order of ``refs``: waits until num_returns are ready, or timeout seconds are over.

        while refs:
            ready, refs = mobula.wait(refs)
            print(mobula.get(ready[0]))

    ready has at most num_returns references, and fewer after the timeout alone; None: wait for ever. A task that failed is ready, too:
    get() raises. fetch_local: taken, without effect.
    Raises TypeError for what is no list of references, ValueError for one that is twice in it, for a num_returns that is not from 1 to
    their number, and for a negative timeout.
    """
    if not isinstance(refs, list):
        raise TypeError(f"wait() expected a list of mobula.ObjectRef or mobula.ObjectRefGenerator, got {type(refs)}")
    if not refs:
        return [], []
    if not isinstance(num_returns, int):
        raise TypeError(f"wait() takes a whole number as num_returns, not {num_returns!r}")
    if num_returns <= 0:
        raise ValueError(f"Invalid number of objects to return {num_returns}.")
    if num_returns > len(refs):
        raise ValueError("num_returns cannot be greater than the number of ray_waitables provided to ray.wait.")
    try:
        return _core.wait(refs, num_returns, _milliseconds(timeout))
    except TypeError:
        if not any(isinstance(ref, _generators.ObjectRefGenerator) for ref in refs):
            raise
    return _generators.wait(refs, num_returns, _milliseconds(timeout))


def cancel(ref: ObjectRef[Any], *, force: bool = False, recursive: bool = True) -> None:
    """Stop the task that makes ``ref``; get() of it raises TaskCancelledError then. No-op if it has ended.

    A task that has not started never does. In a running one KeyboardInterrupt is raised; if it has not ended 10 s later, as one in a
    long call of C, its process is killed. force: kill it at once; what earlier tasks of that process have put goes with it. recursive:
    the tasks that it called and that have not ended are cancelled, too, and those that they called; False: these run on, unless their
    caller is killed.
    Raises TypeError for what is no reference.
    """
    _core.cancel(ref.completed() if isinstance(ref, _generators.ObjectRefGenerator) else ref, force, recursive)
