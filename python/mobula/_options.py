# SPDX-License-Identifier: Apache-2.0
"""Options of remote functions: which there are, what they may be, and their form for the library."""

import inspect
import re
from dataclasses import dataclass

from mobula import _core
from mobula.util.scheduling_strategies import NodeAffinitySchedulingStrategy

# Of Ray's options, those that ask for nothing that Mobula does otherwise are taken and have no effect.
_WITHOUT_EFFECT = {"enable_task_events", "_metadata", "_labels"}
_DEFAULTS = {
    "num_cpus": None, "num_gpus": None, "resources": None, "memory": None, "num_returns": None, "max_retries": 3, "name": None,
    "scheduling_strategy": None, "label_selector": None, "retry_exceptions": False, "retry_delay": 0,
    "_generator_backpressure_num_objects": None, "infeasible": None,
}
# Of the others, those that a program may well name; nothing or 0 is what is done already.
_LATER = {
    "runtime_env": ": give it to init(), for all tasks of the job", "max_calls": ": a worker runs on until it is idle for a second",
    "placement_group": "", "placement_group_bundle_index": "", "placement_group_capture_child_tasks": "", "fallback_strategy": "",
    "accelerator_type": ": say resources= or label_selector=", "object_store_memory": "",
}
VALID = sorted({*_DEFAULTS, *_WITHOUT_EFFECT})
_NO_RETRY = -2147483648
_SMALLEST, _LARGEST = 0.0001, 1e14
_LABEL_KEY = re.compile(r"[\w./-]+", re.ASCII)
_LABEL_CONDITION = re.compile(r"|!?([\w./-]+|in\([\w./-]+(,[\w./-]+)*\))", re.ASCII)
RETRY_DELAY_MAX = 60                    # seconds


def check(options):
    """Refuse what is wrong in these options, by name."""
    for key, value in options.items():
        if key in _LATER and value:
            raise ValueError(f"The option {key!r} is not there yet{_LATER[key]}.")
        if key in _LATER:
            continue
        if key not in _DEFAULTS and key not in _WITHOUT_EFFECT:
            raise ValueError(f"Invalid option keyword {key} for remote functions. Valid ones are {VALID}.")
        if key == "num_returns":
            _check_returns(value)
        elif key == "max_retries" and not (value is None or (isinstance(value, int) and not isinstance(value, bool) and value >= -1)):
            raise ValueError("The keyword 'max_retries' only accepts None, 0, -1 or a positive integer, where -1 represents infinity.")
        elif key == "retry_exceptions":
            _check_retry_exceptions(value)
        elif key == "retry_delay" and not (isinstance(value, (int, float)) and 0 <= value <= RETRY_DELAY_MAX):
            raise ValueError(f"The keyword 'retry_delay' is a number of seconds from 0 to {RETRY_DELAY_MAX}, not {value!r}.")
        elif key == "_generator_backpressure_num_objects":
            _check_backpressure(value)
        elif key == "infeasible" and value not in (None, "wait", "fail"):
            raise ValueError(f"The keyword 'infeasible' is \"wait\" (for a node that can) or \"fail\", not {value!r}.")
        elif key in ("num_cpus", "num_gpus", "memory") and value is not None:
            _check_quantity(key, value)
        elif key == "resources" and value is not None:
            _check_resources(value)
        elif key == "name" and value is not None and not isinstance(value, str):
            raise TypeError(f"The keyword 'name' must be a str, not {value!r}.")
        elif key == "scheduling_strategy":
            _strategy_text(value)
        elif key == "label_selector" and value is not None:
            _check_labels(value)


def _check_returns(value):
    if value is None or (isinstance(value, str) and value in ("streaming", "dynamic")):
        return
    if not isinstance(value, int) or isinstance(value, bool) or value < 0:
        raise ValueError("The keyword 'num_returns' only accepts None, a non-negative integer, \"streaming\" (for generators), or \"dynamic\", "
                         f"not {value!r}.")


def _check_backpressure(value):
    if value is not None and (not isinstance(value, int) or isinstance(value, bool) or value == 0 or value < -1):
        raise ValueError(f"_generator_backpressure_num_objects={value!r} is not allowed. Use a value > 0: so many items may wait to be read. "
                         "With 1 a task makes the next item when the one before was read, as a generator of Python does. -1 sets no bound.")


def _check_retry_exceptions(value):
    kinds = value if isinstance(value, (list, tuple)) else []
    if not isinstance(value, (bool, list, tuple)) or not all(isinstance(k, type) and issubclass(k, Exception) for k in kinds):
        raise TypeError(f"The keyword 'retry_exceptions' must be a bool or a list of exception types, not {value!r}.")


def _check_quantity(name, value):
    if not isinstance(value, (int, float)) or isinstance(value, bool) or value != value:
        raise TypeError(f"The quantity of resource {name} must be a number, not {value!r}.")
    if value > _LARGEST:
        raise ValueError(f"The quantity of resource {name} cannot be over {_LARGEST:.0e}.")
    if value < 0:
        raise ValueError(f"The quantity of resource {name} cannot be negative.")
    if name in ("num_gpus", "GPU") and value > 1 and value != int(value):
        raise ValueError(f"GPU resource quantities >1 must be whole numbers. The specified quantity {value} is invalid.")
    if name != "memory" and abs(value / _SMALLEST - round(value / _SMALLEST)) > 1e-6:
        raise ValueError(f"The precision of the fractional quantity of resource {name} cannot go beyond {_SMALLEST}.")


def _check_resources(resources):
    if not isinstance(resources, dict):
        raise TypeError("The keyword 'resources' must be a dict of names and quantities.")
    if "CPU" in resources or "GPU" in resources:
        raise ValueError("Use the 'num_cpus' and 'num_gpus' keyword instead of 'CPU' and 'GPU' in 'resources' keyword")
    for name, quantity in resources.items():
        _check_quantity(name, quantity)


def _check_labels(labels):
    if not isinstance(labels, dict) or not all(isinstance(word, str) for pair in labels.items() for word in pair):
        raise TypeError(f"The keyword 'label_selector' must be a dict of label keys and values, which are text, not {labels!r}.")
    for key, value in labels.items():
        if not _LABEL_KEY.fullmatch(key) or not _LABEL_CONDITION.fullmatch(value):
            raise ValueError(f"label_selector {{{key!r}: {value!r}}}: keys and values are made of letters, digits, '.', '_', '-' and '/'; a "
                             "condition is a value, \"!value\", \"in(a,b)\" or \"!in(a,b)\", without spaces.")


def _quantity(value):
    return f"{value:.4f}".rstrip("0").rstrip(".")


def resources_text(num_cpus, num_gpus, memory, resources):
    """"CPU=1,GPU=2,licence=1", as mobula.h has it."""
    wanted = {"CPU": 1 if num_cpus is None else num_cpus, "GPU": num_gpus or 0, "memory": memory or 0, **(resources or {})}
    return ",".join(f"{name}={_quantity(value)}" for name, value in wanted.items() if value)


def _strategy_text(strategy):
    if strategy is None or strategy == "DEFAULT":
        return None
    if strategy == "SPREAD":
        return "spread"
    if isinstance(strategy, NodeAffinitySchedulingStrategy):
        return f"node{'~' if strategy.soft else ''}={strategy.node_id}"
    raise ValueError(f"scheduling_strategy must be \"DEFAULT\", \"SPREAD\" or a NodeAffinitySchedulingStrategy, not {strategy!r}.")


@dataclass(frozen=True)
class Options:
    """Of one remote function."""

    num_cpus: float | None = None
    num_gpus: float | None = None
    resources: dict | None = None
    memory: int | None = None
    num_returns: int | str | None = None
    max_retries: int | None = 3
    name: str | None = None
    scheduling_strategy: object = None
    label_selector: dict | None = None
    retry_exceptions: bool | list = False
    retry_delay: float = 0
    _generator_backpressure_num_objects: int | None = None
    infeasible: str | None = None

    def returns(self, function):
        """How many results, as the library has it: those of a generator are a stream, unless the options say otherwise."""
        if self.num_returns is None:
            return _core.STREAM if inspect.isgeneratorfunction(function) else 1
        return {"streaming": _core.STREAM, "dynamic": _core.DYNAMIC}.get(self.num_returns, self.num_returns)

    def extra(self):
        """What the worker needs to know: (retry, name); None: nothing. retry: None, or (exceptions after which a task is tried again: True or
        a tuple of types, how often; -1: for ever, the first pause). name: None, or the task's, if its function's is not meant."""
        retry = None
        if self.retry_exceptions and self.max_retries != 0:
            which = self.retry_exceptions if self.retry_exceptions is True else tuple(self.retry_exceptions)
            retry = which, 3 if self.max_retries is None else self.max_retries, self.retry_delay
        return (retry, self.name) if retry or self.name else None

    def library_fn(self, function_name, function):
        """The library's object for calls of this function with these options."""
        retries = 3 if self.max_retries is None else self.max_retries
        labels = ",".join(f"{key}={value}" for key, value in (self.label_selector or {}).items()) or None
        return _core.Fn(resources_text(self.num_cpus, self.num_gpus, self.memory, self.resources),
                        _strategy_text(self.scheduling_strategy), labels, self.name or function_name, self.returns(function),
                        _NO_RETRY if retries == 0 else retries, max(0, self._generator_backpressure_num_objects or 0),
                        self.infeasible, int(self.retry_delay * 1000))


def make(changes, base=None):
    """`base` with these changes, checked."""
    check(changes)
    known = {key: value for key, value in changes.items() if key in _DEFAULTS}
    return Options(**{**(base.__dict__ if base is not None else {}), **known})
