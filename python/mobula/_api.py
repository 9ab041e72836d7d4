# SPDX-License-Identifier: Apache-2.0
"""init to shutdown, remote functions, objects: what `import mobula as ray` is used for."""

import atexit
import functools
import hashlib
import inspect
import os
import sys
import threading

from mobula import _core, _futures, _generators, _options, _program, _serialization, exceptions

_FUNCTION_WARN, _FUNCTION_MAX = 10 << 20, 100 << 20
_lock = threading.RLock()
_session = 0                            # counts init(); 0: none is up
_sessions = 0
_worker = False


class ObjectRef(_core.Ref):
    """A reference to an object, which lives as long as somebody has one. Equal references are of one object."""

    __slots__ = ("__weakref__",)

    def hex(self):
        """The object's name in the cluster, as hexadecimal digits."""
        return self.id().encode().hex()

    def binary(self):
        """The object's name in the cluster, as bytes."""
        return self.id().encode()

    def future(self):
        """A concurrent.futures.Future of the value."""
        return _futures.future_of(self, get)

    def __await__(self):
        import asyncio
        return asyncio.wrap_future(self.future()).__await__()

    def __repr__(self):
        return f"ObjectRef({self.id()})"


_core.setup(ObjectRef, exceptions.from_library, _serialization.dumps, _serialization.plain_dumps, _serialization.loads,
            exceptions.to_raise, _generators.ObjectRefGenerator)


# -- a session -----------------------------------------------------------------------------------------------------------------

def _in_worker():
    global _worker, _session
    _worker, _session = True, 1


def is_initialized():
    """Is this process part of a cluster?"""
    return _session != 0


def init(address=None, *, num_cpus=None, num_gpus=None, resources=None, object_store_memory=None, ignore_reinit_error=False,
         log_to_driver=True, runtime_env=None, namespace=None, logging_level="info", include_dashboard=None, configure_logging=True):
    """Join a cluster, or start a private one that ends with this process.

    address: None: $MOBULA_ADDRESS, else a private cluster; "auto": this machine's; "host:port". The resources (num_cpus, num_gpus,
    resources: dict of names and quantities, object_store_memory in bytes) are a private cluster's, and refused with an address.
    log_to_driver: print what tasks print. runtime_env: {"env_vars": {name: text}}, of the workers' environment.
    namespace, logging_level, include_dashboard, configure_logging: taken, without effect.
    Raises RuntimeError if it was called before, unless ignore_reinit_error. Returns a context with `address_info`, which may be used in a
    `with` statement.
    """
    global _session, _sessions
    with _lock:
        if _session:
            if ignore_reinit_error:
                return Context()
            raise RuntimeError("Maybe you called mobula.init twice by accident? This error can be suppressed by passing in "
                               "'ignore_reinit_error=True' or by calling 'mobula.shutdown()' prior to 'mobula.init()'.")
        if address == "local":
            address = None
            os.environ.pop("MOBULA_ADDRESS", None)
        joins = address is not None or "MOBULA_ADDRESS" in os.environ
        if joins and (num_cpus is not None or num_gpus is not None or resources or object_store_memory):
            raise ValueError("When connecting to an existing cluster, num_cpus and num_gpus must not be provided.")
        wanted = None
        if num_cpus is not None or num_gpus is not None or resources:
            wanted = _options.resources_text(_cpus() if num_cpus is None else num_cpus, num_gpus, None, resources)
        name = os.path.basename(sys.argv[0]) if sys.argv and sys.argv[0] else "python"
        _core.init(address, None, wanted, name, object_store_memory or 0, not log_to_driver,
                   _program.make(_env_vars(runtime_env)))
        _sessions += 1
        _session = _sessions
        atexit.register(shutdown)
        return Context()


def _env_vars(runtime_env):
    env_vars = (runtime_env or {}).get("env_vars") or {}
    for key in runtime_env or {}:
        if key != "env_vars":
            raise ValueError(f"runtime_env: {key!r} is not there yet; \"env_vars\" is.")
    for name, value in env_vars.items():
        if not isinstance(name, str) or not isinstance(value, str):
            raise TypeError(f"runtime_env['env_vars'] must be of type Dict[str, str], and has {name!r}: {value!r}")
    return env_vars


def _cpus():
    return len(os.sched_getaffinity(0))


def shutdown():
    """Leave the cluster, and end it if it is private. Silent, if there is none."""
    global _session
    with _lock:
        if _session and not _worker:
            _session = 0
            _futures.end()
            _core.shutdown()


def _need_session():
    if not _session:
        init()


class Context:
    """What init() returns: of this process's place in the cluster."""

    @property
    def address_info(self):
        """Addresses of the cluster, as a dict."""
        alive = [node for node in nodes() if node["Alive"]]
        return {"node_ip_address": alive[0]["NodeManagerAddress"] if alive else None}

    def __enter__(self):
        return self

    def __exit__(self, *unused):
        shutdown()

    def disconnect(self):
        """The same as shutdown()."""
        shutdown()


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
        if self._session == _session:
            other._pickle, other._hash = self._pickle, self._hash
        return other

    def _prepare(self):
        _need_session()
        with _lock:
            name = getattr(self._function, "__qualname__", None) or repr(self._function)
            if self._pickle is None or self._session != _session:
                self._hash, self._pickle = _ship(self._function, name)
            self._fn = self._options.library_fn(name, self._function)
            self._session = _session

    def remote(self, *args, **kwargs):
        """Submit a task; its reference, a list of num_returns, or of a generator function an ObjectRefGenerator. A reference among the
        arguments is replaced by its value."""
        if self._session != _session or self._fn is None:
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
        print(f"mobula: the remote function {name} has {size >> 20} MiB; put() what it captures, and pass the reference", file=sys.stderr)
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
    if timeout < 0:
        raise ValueError(f"The 'timeout' argument must be nonnegative. Received {timeout}")
    return int(timeout * 1000)


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
    _need_session()
    return _core.put(value)


def wait(refs, *, num_returns=1, timeout=None, fetch_local=True):
    """(ready, others), in the order of `refs`: at most num_returns are ready; fewer after `timeout` seconds."""
    if not isinstance(refs, list):
        raise TypeError(f"wait() expected a list of mobula.ObjectRef or mobula.ObjectRefGenerator, got {type(refs)}")
    if not refs:
        return [], []
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


# -- telling -------------------------------------------------------------------------------------------------------------------

def _amounts(text):
    def amount(value):
        units = {"KiB": 1 << 10, "MiB": 1 << 20, "GiB": 1 << 30, "TiB": 1 << 40}
        return float(value[:-3]) * units[value[-3:]] if value[-3:] in units else float(value.rstrip("B"))
    return {name: amount(value) for name, value in (part.split("=") for part in text.split(",") if part)}


def cluster_resources():
    """What the nodes have, as a dict of names and quantities."""
    _need_session()
    return _amounts(_core.resources()[0])


def available_resources():
    """What of it no task has now."""
    _need_session()
    return _amounts(_core.resources()[1])


def nodes():
    """The nodes, each a dict: NodeID, Alive, NodeManagerAddress, NodeManagerHostname, Resources."""
    _need_session()
    return [{"NodeID": node, "Alive": alive, "NodeManagerAddress": address.rsplit(":", 1)[0], "NodeManagerHostname": host,
             "Resources": _amounts(has)} for node, host, address, alive, has, _ in _core.nodes()]


def get_gpu_ids():
    """The indices of the GPUs that the running task has, which CUDA_VISIBLE_DEVICES names, too."""
    task = _core.task_self()
    return task["gpu_ids"] if task else []


class RuntimeContext:
    """What a process knows of itself."""

    def is_canceled(self):
        """Was the running task cancelled? It sees a KeyboardInterrupt, too, unless it runs code of C."""
        return _core.cancelled()

    def get_task_id(self):
        """The running task's id; None in a driver."""
        task = _core.task_self()
        return task["task_id"] if task else None

    def get_node_id(self):
        """The node's id, as nodes() has it; None where no task runs."""
        task = _core.task_self()
        return task["node_id"] if task else None

    def get_assigned_resources(self):
        """What the running task has, as a dict."""
        task = _core.task_self()
        return _amounts(task["resources"]) if task else {}

    def get_accelerator_ids(self):
        """{"GPU": [indices as text]}."""
        return {"GPU": [str(gpu) for gpu in get_gpu_ids()]}


def get_runtime_context():
    """Of this process."""
    return RuntimeContext()
