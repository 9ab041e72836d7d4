# SPDX-License-Identifier: Apache-2.0
"""The life of a Python worker: the C extension waits for tasks and calls call_function() for each."""

import faulthandler
import os
import signal
import sys
import time
import traceback

from mobula import _api, _context, _core, _generators, _options, _runtime_env, _serialization, _session, exceptions

_forked = False                         # this worker, from a template (_template.py)
_is_child = False                       # this is a child that a task's function made by fork()


def _prepare():
    """Before the first function is unpickled, and with it libraries that look at this when they are loaded. Those that a template had
    loaded before are told."""
    if "OMP_NUM_THREADS" not in os.environ:
        os.environ["OMP_NUM_THREADS"] = str(max(1, int(_context.get_runtime_context().get_assigned_resources().get("CPU", 1))))
    if _forked:
        from mobula import _template
        _template.set_threads()


def _arguments(packed, direct):
    """(args, kwargs, retry, the task's name if it has one) of a call, with the values of direct references in their places."""
    if packed is None:
        return (), {}, None, None
    args, kwargs, places, retry, name = packed
    if places:
        args = list(args)
        for place, value in zip(places, direct):
            if isinstance(place, int):
                args[place] = value
            else:
                kwargs[place] = value
    return args, kwargs, retry, name


def _call_again(function, args, kwargs, retry):
    """The call, tried again after the exceptions that its options name."""
    which, left, delay = retry
    while True:
        try:
            return function(*args, **kwargs)
        except Exception as e:
            if left == 0 or not (which is True or isinstance(e, which)):
                raise
            left -= 1
        delay = _pause(delay)


def _pause(delay):
    """Wait so long, a quarter less or more by chance: what failed together is not to come back together. The next delay."""
    if delay > 0:
        time.sleep(delay * (0.75 + int.from_bytes(os.urandom(2), "little") / 131072))
    return min(2 * delay, _options.RETRY_DELAY_MAX)


def _call(function, args, kwargs, retry):
    exception = None
    try:
        return _call_again(function, args, kwargs, retry) if retry else function(*args, **kwargs)
    except BaseException as e:
        exception = e
        raise
    finally:
        if _is_child:
            _end_of_child(exception)


def _items(function, args, kwargs, retry):
    """What the function yields; tried again after the exceptions that its options name, it goes on after what it has yielded."""
    which, left, delay = retry or ((), 0, 0)
    yielded, exception = 0, None
    try:
        while True:
            generator = function(*args, **kwargs)
            if not hasattr(generator, "__next__"):
                raise TypeError(f"The function {_core.function_name()} was called with num_returns=\"streaming\" or \"dynamic\" and must be a generator, but "
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
            delay = _pause(delay)
    except BaseException as e:
        exception = e
        raise
    finally:
        if _is_child:
            _end_of_child(exception)
        _flush()


def _call_function(function, packed, direct, returns):
    function, own_name = function
    args, kwargs, retry, name = _arguments(packed, direct)
    _context.task_name = name or own_name
    if name:
        _core.set_name(name)
    if returns == _core.STREAM:
        return _items(function, args, kwargs, retry)
    if returns == _core.DYNAMIC:
        return [_generators.DynamicObjectRefGenerator([_api.put(item) for item in _items(function, args, kwargs, retry)])]
    result = _call(function, args, kwargs, retry)
    _flush()
    if returns == 1:
        return [result]
    if returns == 0:
        return [None]
    results = list(result) if hasattr(result, "__iter__") else [result]
    if len(results) != returns:
        raise ValueError(f"Task returned {len(results)} objects, but num_returns={returns}.")
    return results


def _pack_error(exception, of_argument):
    """What stands for an exception of a task, or of one whose result is an argument of it, where its value is read; without the exception
    itself, if that cannot be pickled."""
    _flush()
    make = exceptions.of_argument if of_argument else exceptions.of_task
    error = make(exception, _core.function_name() or "?", _shown_pid(), _core.task_self()["ip"])
    try:
        pieces, buffers = _serialization.dumps(error)
        _serialization.loads(b"".join(pieces), buffers=map(_serialization.flat, buffers))
    except Exception as e:
        text = f"{error.traceback_str}\nThe exception itself cannot be pickled, and arrives as its text alone: {e}"
        error = exceptions.RayTaskError(error.function_name, text, None, error.pid, error.ip)
    return error


def _shown_pid():
    """The pid that people see: /proc is not that of the PID namespace that a raylet may have made."""
    try:
        return int(os.readlink("/proc/self"))
    except (OSError, ValueError):
        return os.getpid()


def _flush():
    """A task may have closed them; what it prints afterwards is lost, and nothing else."""
    for stream in sys.stdout, sys.stderr:
        try:
            stream.flush()
        except (OSError, ValueError, AttributeError):
            pass


def _note_fork():
    global _is_child
    _is_child = True


def _end_of_child(exception):
    """The task's function has ended in a child that it forked: the child ends as a script would, and the parent alone answers."""
    code = getattr(exception, "code", None) if isinstance(exception, SystemExit) else None
    if exception is not None and not isinstance(exception, SystemExit):
        traceback.print_exception(exception)
        code = 1
    if not isinstance(code, (int, type(None))):
        print(code, file=sys.stderr)
        code = 1
    _flush()
    os._exit((code or 0) & 255)


def _on_sigint(number, frame):
    """The raylet says that a task was cancelled; the one that runs may be another, or have ended."""
    if _core.cancelled():
        raise KeyboardInterrupt


def main(script, settings, modules=()):
    """Run tasks until the end. `script`: the driver's name, for sys.argv. The archive with the driver's own modules is first on
    sys.path, but for the working_dir. settings: what init() said, for get_runtime_context(). modules: what a template loads for its
    workers."""
    global _forked
    if settings["files"]:
        _runtime_env.unpack(os.path.abspath(sys.argv[0]))
    sys.argv = [script or ""]
    if "MOBULA_TEMPLATE" in os.environ:
        from mobula import _template
        _forked = _template.fork_workers(modules)
    _context.start(settings["runtime_env"], settings["namespace"])
    signal.signal(signal.SIGINT, _on_sigint)
    faulthandler.enable()               # what a crash prints last is told to whoever waits for the task
    os.register_at_fork(after_in_child=_note_fork)
    sys.stdout.reconfigure(line_buffering=True)
    os.putenv("MOBULA_WORKER", os.environ.pop("MOBULA_WORKER"))         # for the library alone, which takes it out, too
    _session.in_worker()
    _core.work(_call_function, _pack_error, _prepare)
