# SPDX-License-Identifier: Apache-2.0
"""Which part of a value keeps it from being sent to a task: inspect_serializability(), as in ``ray.util``."""

from typing import Any, TextIO

from mobula import _serialization

__all__ = ["FailureTuple", "inspect_serializability"]


class FailureTuple:
    """What cannot be pickled: ``obj``; ``name``, by which ``parent`` has it: None, if it is the whole value."""

    def __init__(self, obj: Any, name: str, parent: Any) -> None:
        """obj, name, parent: as the attributes."""
        self.obj, self.name, self.parent = obj, name, parent

    def __repr__(self):
        return f"FailTuple({self.name} [obj={self.obj}, parent={self.parent}])"


def inspect_serializability(base_obj: Any, name: str | None = None, depth: int = 3,
                            print_file: TextIO | None = None) -> tuple[bool, set[FailureTuple]]:
    """(whether a task could have it, what keeps it from that): looks into closures, attributes and containers, and prints what it sees.

        fine, failures = inspect_serializability(function)

    name: of base_obj in what is printed. depth: how deep it looks. print_file: where to; None: sys.stdout. References are taken for
    what can be sent.
    """
    failures: set[FailureTuple] = set()
    title = f"Checking Serializability of {base_obj}"
    rule = "=" * min(len(title), 80)
    print(rule, title, rule, sep="\n", file=print_file)
    if _is_fine(base_obj, "", print_file):
        return True, failures
    failures.add(_culprit(FailureTuple(base_obj, str(base_obj) if name is None else name, None), depth, "    ", print_file))
    print(rule, "Variable: \n", sep="\n", file=print_file)
    print(*(f"\t{failure}" for failure in failures), sep="\n", file=print_file)
    print("\nwas found to be non-serializable. There may be multiple other undetected variables that were non-serializable. ", file=print_file)
    print("Consider either removing the instantiation/imports of these variables or moving the instantiation into the scope of the "
          "function/class. ", rule, sep="\n", file=print_file)
    return False, failures


def _is_fine(value, indent, print_file):
    try:
        _serialization.try_dumps(value)
    except Exception as error:
        print(f"{indent}!!! FAIL serialization: {error}", file=print_file)
        return False
    return True


def _culprit(failure, depth, indent, print_file):
    """The innermost part of it that cannot be pickled, at most so deep."""
    parts = _serialization.parts(failure.obj) if depth > 0 else []
    for path, part in parts:
        name = path.removeprefix(" the captured ").strip(" .")
        print(f"{indent}Serializing '{name}' {part}...", file=print_file)
        if not _is_fine(part, indent, print_file):
            return _culprit(FailureTuple(part, name, failure.obj), depth - 1, indent + "    ", print_file)
    if parts:
        print(f"{indent}WARNING: Did not find non-serializable object in {failure.obj}. This may be an oversight.", file=print_file)
    return failure
