# SPDX-License-Identifier: Apache-2.0
"""From init() to shutdown(): one session at a time."""

import atexit
import logging
import os
import sys
import threading
from collections.abc import Iterator, Mapping
from typing import Any

from mobula import _context, _core, _futures, _options, _program, _runtime_env

logger = logging.getLogger("mobula")
handler = logging.StreamHandler()       # of the logger, if the user gives it none
lock = threading.RLock()
current = 0                             # which init() this is; 0: none is up
worker = False
_count = 0
_joined = None                          # the Context of it


def in_worker():
    """This process is a worker: it has no init() of its own."""
    global worker, current
    worker, current = True, 1


def is_initialized() -> bool:
    """Is this process part of a cluster, by init() or as a worker?"""
    return current != 0


def need():
    """There is a session: as in Ray, the first use starts one."""
    if not current:
        init()


def init(address: str | None = None, *, num_cpus: float | None = None, num_gpus: float | None = None,
         resources: dict[str, float] | None = None, object_store_memory: int | None = None, ignore_reinit_error: bool = False,
         log_to_driver: bool | None = None, namespace: str | None = None, runtime_env: dict[str, Any] | None = None,
         configure_logging: bool = True, logging_level: int | str = "info", logging_format: str | None = None, local_mode: bool = False,
         include_dashboard: bool | None = None, dashboard_host: str | None = None, dashboard_port: int | None = None,
         **unknown: Any) -> "Context":
    """Join a cluster, or start a private one that ends with this process.

    address: None: $MOBULA_ADDRESS, or else a private cluster; "auto": the one of this machine; "host:port" of a head; "local": a private
        one, whatever $MOBULA_ADDRESS says.
    num_cpus, num_gpus, resources ({name: quantity}), object_store_memory (bytes): what a private cluster has; None: what the machine has.
        Refused with an address.
    log_to_driver: False: do not print here what tasks print.
    namespace: what get_runtime_context().namespace says.
    runtime_env: of the job's workers: {"env_vars": {name: text}, "working_dir": folder or zip file, "excludes": [patterns as in
        .gitignore]}.
    configure_logging, logging_level, logging_format: of the logger "mobula".
    ignore_reinit_error: return the context of the session there is, instead of raising RuntimeError.
    include_dashboard, dashboard_host, dashboard_port: taken, without effect.

    Returns a Context, which ends the session at the end of a ``with`` statement. Raises RuntimeError if the process has a session, and
    for an argument that there is not; ConnectionError if no head answers at the address; exceptions.AuthenticationError if it
    refuses the token (~/.mobula/token, or $MOBULA_TOKEN_FILE); ValueError or TypeError for a value that an argument cannot have.
    """
    global current, _count, _joined
    if unknown:
        raise RuntimeError(f"Unknown keyword argument(s): {', '.join(unknown)}")
    if local_mode:
        raise RuntimeError("`local_mode=True` is not there: leave it out, and a private cluster starts in a tenth of a second")
    if namespace is not None and (not isinstance(namespace, str) or not namespace):
        raise (TypeError if not isinstance(namespace, str) else ValueError)(f"namespace must be a str that is not empty, not {namespace!r}")
    with lock:
        if current:
            return _again(ignore_reinit_error)
        if configure_logging:
            _configure_logging(logging_level, logging_format)
        if address == "local":
            address = None
            os.environ.pop("MOBULA_ADDRESS", None)
        wanted = _private_resources(address, num_cpus, num_gpus, resources, object_store_memory)
        environment = _runtime_env.make(runtime_env)
        name = os.path.basename(sys.argv[0]) if sys.argv and sys.argv[0] else "python"
        program = _program.make(environment, namespace)
        try:
            _core.init(address, None, wanted, name, object_store_memory or 0, log_to_driver is not None and not log_to_driver, program,
                       *_folding())
            _count += 1
            current = _count
            _context.start(environment.public(), namespace)
            atexit.register(shutdown)
            _joined = Context()
        except BaseException:               # Ctrl-C, too
            current = 0
            _core.shutdown()
            raise
        return _joined


def _again(ignore):
    if not ignore:
        raise RuntimeError("Maybe you called mobula.init twice by accident? This error can be suppressed by passing in "
                           "'ignore_reinit_error=True' or by calling 'mobula.shutdown()' prior to 'mobula.init()'.")
    logger.info("Calling mobula.init() again after it has already been called.")
    return _joined or Context()


def _configure_logging(level, form):
    logger.setLevel(level.upper() if isinstance(level, str) else level)
    handler.setFormatter(logging.Formatter(form or "%(asctime)s\t%(levelname)s %(filename)s:%(lineno)s -- %(message)s"))
    if not logger.handlers:
        logger.addHandler(handler)
        logger.propagate = False


def _folding():
    """(milliseconds, expressions) of what is folded of lines that several workers print: on a terminal alone, unless somebody says so."""
    wanted = os.environ.get("MOBULA_DEDUP_LOGS", "")
    if wanted == "0" or (wanted != "1" and not os.isatty(1)):
        return 0, None, None
    return (max(1, int(1000 * float(os.environ.get("MOBULA_DEDUP_LOGS_AGG_WINDOW_S", 5)))), os.environ.get("MOBULA_DEDUP_LOGS_ALLOW_REGEX"),
            os.environ.get("MOBULA_DEDUP_LOGS_SKIP_REGEX"))


def _private_resources(address, num_cpus, num_gpus, resources, object_store_memory):
    if isinstance(address, str) and "://" in address:
        raise ValueError(f"{address}: there is no client of another protocol; a driver joins by init(\"host:port\")")
    if address is not None and not isinstance(address, str):
        raise TypeError(f"address must be a str, \"host:port\", not {address!r}")
    if address is not None or "MOBULA_ADDRESS" in os.environ:
        if num_cpus is not None or num_gpus is not None:
            raise ValueError("When connecting to an existing cluster, num_cpus and num_gpus must not be provided.")
        if resources:
            raise ValueError("When connecting to an existing cluster, resources must not be provided.")
        if object_store_memory:
            raise ValueError("When connecting to an existing cluster, object_store_memory must not be provided.")
        return None
    if object_store_memory is not None and (not isinstance(object_store_memory, int) or object_store_memory <= 0):
        raise ValueError(f"object_store_memory is a positive number of bytes, not {object_store_memory!r}")
    _options.check({"num_cpus": num_cpus, "num_gpus": num_gpus, "resources": resources})
    if num_cpus is None and num_gpus is None and not resources:
        return None
    return _options.resources_text(len(os.sched_getaffinity(0)) if num_cpus is None else num_cpus, num_gpus, None, resources)


def shutdown(_exiting_interpreter: bool = False, wait_for_processes: bool = False) -> None:
    """Leave the cluster, and end it if it is private. References of the session are of no use afterwards; init() may be called again.

    Silent, if there is no session. Called by itself when the interpreter ends. wait_for_processes: taken, without effect: it always waits.
    """
    global current, _joined
    with lock:
        if current and not worker:
            current, _joined = 0, None
            _futures.end()
            _core.shutdown()
            atexit.unregister(shutdown)


class Context(Mapping[str, Any]):
    """What init() returns: this process's place in the cluster.

    address_info: a dict with "address" ("host:port" of the head), "node_ip_address", "node_id"; the context is a mapping with the same.
    python_version, mobula_version: text; ray_version is the latter, ray_commit is empty. As a ``with`` statement's it calls shutdown() at
    the end.
    """

    def __init__(self) -> None:
        process = _core.process()
        self.address_info = {"node_ip_address": process["ip"], "node_id": process["node"], "address": process["head"],
                             "gcs_address": process["head"], "webui_url": None}
        self.dashboard_url = None
        self.python_version = ".".join(map(str, sys.version_info[:3]))
        self.mobula_version = self.ray_version = _core.version
        self.ray_commit = ""

    def __getitem__(self, key: str) -> Any:
        return self.address_info[key]

    def __iter__(self) -> Iterator[str]:
        return iter(self.address_info)

    def __len__(self) -> int:
        return len(self.address_info)

    def __enter__(self) -> "Context":
        return self

    def __exit__(self, *unused: object) -> None:
        shutdown()

    def disconnect(self) -> None:
        """The same as shutdown()."""
        shutdown()

    def __repr__(self):
        return f"Context(python_version={self.python_version!r}, mobula_version={self.mobula_version!r}, address_info={self.address_info})"
