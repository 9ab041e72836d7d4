# SPDX-License-Identifier: Apache-2.0
"""A template: a process of the workers' program that has loaded what they need, and is forked when the raylet wants one (raylet/fork.c).

It has one thread and nothing of libmobula's runtime, and holds no connection: what it cannot share with its workers it says, ends, and
workers are started anew. So does one whose imports end it, or never end.
"""

import gc
import importlib
import os
import stat
import sys
import threading

from mobula import _core

# As long as libraries are loaded they shall start no threads: they look at these when they are. (pyarrow's jemalloc gives pages back by one
# of its own; without it, whoever allocates does.)
_THREADS = {"OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1", "MKL_NUM_THREADS": "1", "NUMEXPR_NUM_THREADS": "1",
            "JE_ARROW_MALLOC_CONF": "background_thread:false"}


def _descriptors():
    """Those that two processes must not share: {number: what it is}."""
    found = {}
    for name in os.listdir("/proc/self/fd"):
        try:
            mode = os.fstat(int(name)).st_mode
            if not (stat.S_ISREG(mode) or stat.S_ISDIR(mode) or stat.S_ISCHR(mode)):
                found[int(name)] = os.readlink(f"/proc/self/fd/{name}")
        except OSError:
            pass                        # that of the folder itself
    return found


def _children():
    """Processes that were started here, ended or not."""
    try:
        with open("/proc/thread-self/children") as file:
            return file.read().split()
    except OSError:
        return []                       # a kernel that does not say


def _obstacle(descriptors):
    """Why this process cannot be forked, or None."""
    count = len(os.listdir("/proc/self/task"))
    if count != 1:
        names = [thread.name for thread in threading.enumerate() if thread is not threading.main_thread()]
        return f"an import has started threads ({', '.join(names) if names else count - 1}), which forked workers would not have"
    opened = [what for fd, what in _descriptors().items() if descriptors.get(fd) != what]
    if opened:
        return f"an import has opened {', '.join(opened)}, which forked workers would share"
    if _children():
        return "an import has started a process, which forked workers would not have as a child"
    return None


def _load(modules):
    """Import them as far as they can be; what goes wrong is met again by the task that needs it."""
    before = {name: os.environ.get(name) for name in _THREADS}
    os.environ.update(_THREADS)
    for name in ("cloudpickle", *modules):
        try:
            importlib.import_module(name)
        except BaseException:           # sys.exit() too
            pass
    for name, value in before.items():
        if value is None:
            os.environ.pop(name, None)
        else:
            os.environ[name] = value


def _flush():
    """What stands in buffers would be printed by each worker again."""
    for stream in (sys.stdout, sys.stderr):
        try:
            stream.flush()
        except Exception:
            pass


def _reseed():
    """What the next worker draws is its own. `random` sees to itself; numpy takes half a millisecond, which nobody waits for here."""
    if "numpy.random" in sys.modules:
        sys.modules["numpy.random"].seed()


def _serve(socket):
    """Fork when asked. In a worker: the variables of its environment. In the template None: it is to load."""
    collects = gc.isenabled()
    gc.disable()
    gc.collect()
    gc.freeze()                         # the collector writes into each object that it looks at: into pages that are shared
    _flush()
    _reseed()
    variables = _core.template_serve(socket, _reseed)
    if collects:
        gc.enable()
    return variables


def fork_workers(modules):
    """Returns in each worker, True; in the template never."""
    socket, own = int(os.environ.pop("MOBULA_TEMPLATE")), os.getpid()
    descriptors = _descriptors()
    _core.template_say(socket, "begun")
    variables = _serve(socket)
    if variables is None:
        _load(modules)
        if os.getpid() != own:
            os._exit(0)                 # an import has forked, and came back twice
        obstacle = _obstacle(descriptors)
        if obstacle:
            _flush()
            _core.template_say(socket, "cannot " + obstacle)
            os._exit(0)
        _core.template_say(socket, "ready")
        variables = _serve(socket)
    for variable in variables:
        name, value = variable.split("=", 1)
        os.environ[name] = value
    return True


def set_threads():
    """Tell libraries that are loaded how many threads the environment allows them."""
    def number(name, otherwise):
        try:
            return max(1, int(os.environ[name].split(",")[0]))
        except (KeyError, ValueError):
            return otherwise
    openmp = number("OMP_NUM_THREADS", 1)
    openblas, mkl, numexpr = (number(name, openmp) for name in ("OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "NUMEXPR_NUM_THREADS"))
    if (openblas, mkl) != (1, 1) or openmp != 1:
        _core.set_threads(openmp, openblas, mkl)
    if "torch" in sys.modules and openmp != 1:
        sys.modules["torch"].set_num_threads(openmp)
    if "numexpr" in sys.modules and numexpr != 1:
        sys.modules["numexpr"].set_num_threads(numexpr)
