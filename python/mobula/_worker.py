# SPDX-License-Identifier: Apache-2.0
"""The life of a Python worker: the C extension waits for tasks and calls call_function() for each."""

import os
import signal
import sys

from mobula import _core, exceptions
from mobula import _api, _generators

_name = ""
_forked = False                         # from a template (_template.py)


def _prepare():
    """Before the first function is unpickled, and with it libraries that look at this when they are loaded. Those that a template had
    loaded before are told."""
    if "OMP_NUM_THREADS" not in os.environ:
        os.environ["OMP_NUM_THREADS"] = str(max(1, int(_api.get_runtime_context().get_assigned_resources().get("CPU", 1))))
    if _forked:
        from mobula import _template
        _template.set_threads()


def _arguments(packed, direct):
    """(args, kwargs, retry) of a call, with the values of direct references in their places."""
    if packed is None:
        return (), {}, None
    args, kwargs, places, retry = packed
    if places:
        args = list(args)
        for place, value in zip(places, direct):
            if isinstance(place, int):
                args[place] = value
            else:
                kwargs[place] = value
    return args, kwargs, retry


def _call_again(function, args, kwargs, retry):
    """The call, tried again after the exceptions that its options name."""
    which, left = retry
    while True:
        try:
            return function(*args, **kwargs)
        except Exception as e:
            if left == 0 or not (which is True or isinstance(e, which)):
                raise
            left -= 1


def _items(function, args, kwargs, retry):
    """What the function yields; tried again after the exceptions that its options name, it goes on after what it has yielded."""
    which, left = retry or ((), 0)
    yielded = 0
    try:
        while True:
            generator = function(*args, **kwargs)
            if not hasattr(generator, "__next__"):
                raise TypeError(f"The function {_name} was called with num_returns=\"streaming\" or \"dynamic\" and must be a generator, but "
                                f"it returned a {type(generator).__name__}.")
            try:
                if not retry:
                    yield from generator
                    return
                for i, item in enumerate(generator):
                    if i >= yielded:
                        yielded += 1
                        yield item
                return
            except Exception as e:
                if left == 0 or not (which is True or isinstance(e, which)):
                    raise
                left -= 1
    finally:
        _flush()


def _call_function(function, packed, direct, returns):
    global _name
    function, _name = function
    _core.set_name(_name)
    args, kwargs, retry = _arguments(packed, direct)
    if returns == _core.STREAM:
        return _items(function, args, kwargs, retry)
    if returns == _core.DYNAMIC:
        return [_generators.DynamicObjectRefGenerator([_api.put(item) for item in _items(function, args, kwargs, retry)])]
    result = _call_again(function, args, kwargs, retry) if retry else function(*args, **kwargs)
    _flush()
    if returns == 1:
        return [result]
    if returns == 0:
        return [None]
    results = list(result) if hasattr(result, "__iter__") else [result]
    if len(results) != returns:
        raise ValueError(f"Task returned {len(results)} objects, but num_returns={returns}.")
    return results


def _pack_error(exception):
    """What stands for an exception of a task where its value is read; without the exception itself, if that cannot be pickled."""
    _flush()
    task = _core.task_self()
    error = exceptions.of_task(exception, _name, os.getpid(), task["ip"])
    try:
        from mobula import _serialization
        data, buffers = _serialization.dumps(error)
        _serialization.loads(data, buffers=buffers)
    except Exception:
        error = exceptions.RayTaskError(error.function_name, error.traceback_str, None, error.pid, error.ip)
    return error


def _flush():
    sys.stdout.flush()
    sys.stderr.flush()


def _on_sigint(number, frame):
    """The raylet says that a task was cancelled; the one that runs may be another, or have ended."""
    if _core.cancelled():
        raise KeyboardInterrupt


def main(script, modules=()):
    """Run tasks until the end. `script`: the driver's name, for sys.argv. The archive with the driver's own modules is first on
    sys.path. `modules`: what a template loads for its workers."""
    global _forked
    sys.argv = [script or ""]
    if "MOBULA_TEMPLATE" in os.environ:
        from mobula import _template
        _forked = _template.fork_workers(modules)
    signal.signal(signal.SIGINT, _on_sigint)
    sys.stdout.reconfigure(line_buffering=True)
    os.putenv("MOBULA_WORKER", os.environ.pop("MOBULA_WORKER"))         # for the library alone, which takes it out, too
    _api._in_worker()
    _core.work(_call_function, _pack_error, _prepare)
