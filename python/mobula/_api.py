# SPDX-License-Identifier: Apache-2.0
"""Remote functions and objects: what `import mobula as ray` is used for."""

import functools
import hashlib
import inspect

from mobula import _core, _futures, _generators, _options, _serialization, _session, exceptions

_LONG_S = 10**9                         # as good as for ever
_FUNCTION_WARN, _FUNCTION_MAX = 10 << 20, 100 << 20


class ObjectRef(_core.Ref):
    """A reference to an object, which lives as long as somebody has one. Equal references are of one object."""

    __slots__ = ("__weakref__",)

    def hex(self):
        """The object's name in the cluster, as hexadecimal digits."""
        return self.id().encode().hex()

    def binary(self):
        """The object's name in the cluster, as bytes."""
        return self.id().encode()

    def is_nil(self):
        """False: there is no reference to nothing."""
        return False

    def as_future(self):
        """An asyncio.Future of the value, in the loop that runs."""
        import asyncio
        return asyncio.wrap_future(self.future())

    def future(self):
        """A concurrent.futures.Future of the value."""
        return _futures.future_of(self, get)

    def __await__(self):
        return self.as_future().__await__()

    def __class_getitem__(cls, item):
        return cls                          # ObjectRef[int], of type hints

    def __repr__(self):
        try:
            return f"ObjectRef({self.id()})"
        except ValueError:
            return "ObjectRef(of a session that has ended)"


_core.setup(ObjectRef, exceptions.from_library, _serialization.dumps, _serialization.plain_dumps, _serialization.loads,
            exceptions.to_raise, _generators.ObjectRefGenerator)


# -- remote functions ----------------------------------------------------------------------------------------------------------

class RemoteFunction:
    """A function that runs as tasks: ``f.remote(...)`` submits one, ``f.options(...)`` is the same function with other options."""

    def __init__(self, function, options):
        functools.update_wrapper(self, function)
        self._function, self._options = function, options
        self._session, self._fn, self._pickle, self._hash = 0, None, None, None
        self._retry = options.retry()

    def __call__(self, *args, **kwargs):
        name = self._function.__name__
        raise TypeError(f"Remote functions cannot be called directly. Instead of running '{name}()', try '{name}.remote()'.")

    def options(self, **changes):
        """This function with other options for the calls of it."""
        other = RemoteFunction(self._function, _options.make(changes, self._options))
        if self._session == _session.current:
            other._pickle, other._hash = self._pickle, self._hash
        return other

    def _prepare(self):
        _session.need()
        with _session.lock:
            name = getattr(self._function, "__qualname__", None) or repr(self._function)
            if self._pickle is None or self._session != _session.current:
                self._hash, self._pickle = _ship(self._function, name)
            self._fn = self._options.library_fn(name, self._function)
            self._session = _session.current

    def remote(self, *args, **kwargs):
        """Submit a task; its reference, a list of num_returns, or of a generator function an ObjectRefGenerator. A reference among the
        arguments is replaced by its value."""
        if self._session != _session.current or self._fn is None:
            self._prepare()
        packed = direct = None
        if args or kwargs or self._retry:
            packed, direct = _pack_arguments(args, kwargs, self._retry)
        refs = _core.call(self._fn, self._hash, self._pickle, packed, direct)
        return refs if self._options.num_returns != 0 else None

    def __reduce__(self):
        return RemoteFunction, (self._function, self._options)


def _pack_arguments(args, kwargs, retry):
    """(args, kwargs, places, retry), with None in the places of references; and those."""
    places = [i for i, arg in enumerate(args) if type(arg) is ObjectRef]
    names = [name for name, arg in kwargs.items() if type(arg) is ObjectRef] if kwargs else None
    if not places and not names:
        return (args, kwargs, None, retry), None
    direct = [args[i] for i in places] + [kwargs[name] for name in names or ()]
    args = tuple(None if type(arg) is ObjectRef else arg for arg in args)
    kwargs = {name: None if type(arg) is ObjectRef else arg for name, arg in kwargs.items()}
    return (args, kwargs, places + (names or []), retry), direct


def _ship(function, name):
    """(hash, reference) of a function's pickle, which workers fetch once."""
    data = _serialization.dumps(function)
    size = len(data[0]) + sum(len(buffer.raw()) for buffer in data[1])
    if size > _FUNCTION_MAX:
        raise ValueError(f"The remote function {name} is too large ({size >> 20} MiB > FUNCTION_SIZE_ERROR_THRESHOLD="
                         f"{_FUNCTION_MAX >> 20} MiB). Check that its definition is not implicitly capturing a large array or other object "
                         "in scope. Tip: use mobula.put() to put large objects in the object store.")
    if size > _FUNCTION_WARN:
        _session.logger.warning("The remote function %s is very large (%d MiB). Check that its definition is not implicitly capturing a "
                                "large array or other object in scope. Tip: use mobula.put() to put large objects in the object store.",
                                name, size >> 20)
    return hashlib.blake2b(data[0], digest_size=16).digest(), _core.put((function, name))


def remote(*args, **options):
    """Make a function remote: as a decorator, with or without options, or called with the function."""
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


def get(refs, *, timeout=None):
    """The value of a reference, or of each of a list. timeout: seconds, then GetTimeoutError. An error of a task is raised."""
    if type(refs) is ObjectRef:
        return _core.get((refs,), _milliseconds(timeout))[0]
    if not isinstance(refs, (list, tuple)):
        raise ValueError(f"Invalid type of object refs, {type(refs)}, is given. 'object_refs' must either be an ObjectRef or a list of "
                         "ObjectRefs. ")
    return _core.get(refs, _milliseconds(timeout)) if refs else []


def put(value):
    """Store an object; a reference to it. The buffers of arrays are copied once, and not again by readers on this node."""
    if type(value) is ObjectRef:
        raise TypeError("Calling 'put' on an mobula.ObjectRef is not allowed. If you really want to do this, you can wrap the "
                        "mobula.ObjectRef in a list and call 'put' on it.")
    _session.need()
    return _core.put(value)


def wait(refs, *, num_returns=1, timeout=None, fetch_local=True):
    """(ready, others), in the order of `refs`: at most num_returns are ready; fewer after `timeout` seconds."""
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


def cancel(ref, *, force=False, recursive=True):
    """Stop the task that makes `ref`: one that has not started never does; a running one sees a KeyboardInterrupt, and is killed if it
    has not ended 10 s later; `force`: its worker is killed at once. get() raises TaskCancelledError."""
    _core.cancel(ref.completed() if isinstance(ref, _generators.ObjectRefGenerator) else ref, force)
