# SPDX-License-Identifier: Apache-2.0
"""What is public teaches: each name has words, and each function the types of what it takes and gives, for people, editors and checkers."""

import importlib
import importlib.util
import inspect
import pkgutil
import typing
import unittest

import mobula

WITHOUT = {"mobula.util.joblib"} if importlib.util.find_spec("joblib") is None else set()
MODULES = ["mobula"] + sorted({m.name for m in pkgutil.walk_packages(mobula.__path__, "mobula.") if "._" not in m.name} - WITHOUT)


def public_names(module):
    """(name, object) of what a module defines or lists for its users."""
    for name in getattr(module, "__all__", sorted(vars(module))):
        value = getattr(module, name)
        here = getattr(value, "__module__", "").startswith("mobula") and (hasattr(module, "__all__") or value.__module__ == module.__name__)
        if not name.startswith("_") and here and not inspect.ismodule(value):
            yield f"{module.__name__}.{name}", value


def members(name, value):
    """A public class's own methods and properties; the constructor counts as one, and says its words in the class."""
    for member, of in vars(value).items():
        if not member.startswith("_") or member in ("__init__", "__enter__", "__await__"):
            yield f"{name}.{member}", of


def functions(of):
    """The Python function behind a function, method or property."""
    of = of.fget if isinstance(of, property) else getattr(of, "__func__", of)
    return [of] if inspect.isfunction(of) else []


class Public(unittest.TestCase):
    def check_types(self, name, of):
        for function in functions(of):
            hints = typing.get_type_hints(function)
            for parameter in list(inspect.signature(function).parameters)[1 if "self" in inspect.signature(function).parameters else 0:]:
                self.assertIn(parameter, hints, f"{name}: no type of {parameter}")
            self.assertIn("return", hints, f"{name}: no type of what it returns")

    def test_modules_are_what_is_documented(self):
        self.assertLessEqual({"mobula.exceptions", "mobula.cluster_utils", "mobula.util", "mobula.util.executor",
                              "mobula.util.multiprocessing", "mobula.util.scheduling_strategies"}, set(MODULES))

    def test_each_name_has_words_and_types(self):
        count = 0
        for module in map(importlib.import_module, MODULES):
            with self.subTest(module.__name__):
                self.assertTrue(module.__doc__)
            for name, value in public_names(module):
                inner = list(members(name, value)) if inspect.isclass(value) else []
                for full, of in [(name, value)] + inner:
                    count += 1
                    with self.subTest(full):
                        if "__" not in full:
                            self.assertTrue(getattr(of, "__doc__", None), f"{full}: no docstring")
                        self.check_types(full, of)
        self.assertGreater(count, 80)

    def test_exceptions_have_rays_names_and_ancestors(self):
        told = {"RayTaskError": "RayError", "TaskCancelledError": "RayError", "WorkerCrashedError": "RayError", "NodeDiedError": "RayError",
                "OutOfMemoryError": "RayError", "RayActorError": "RayError", "ActorDiedError": "RayActorError", "RpcError": "RayError",
                "ActorUnavailableError": "RayActorError", "ActorAlreadyExistsError": "ValueError RayError", "OutOfDiskError": "RayError",
                "GetTimeoutError": "RayError TimeoutError", "ObjectLostError": "RayError", "OwnerDiedError": "ObjectLostError",
                "ObjectFetchTimedOutError": "ObjectLostError", "ObjectReconstructionFailedError": "ObjectLostError",
                "ReferenceCountingAssertionError": "ObjectLostError AssertionError", "RuntimeEnvSetupError": "RayError",
                "AuthenticationError": "RayError PermissionError", "RaySystemError": "RayError", "TaskUnschedulableError": "RayError",
                "StreamingGeneratorReplayInconsistentError": "RaySystemError", "LocalRayletDiedError": "RayError"}
        for name, bases in told.items():
            self.assertEqual(" ".join(base.__name__ for base in getattr(mobula.exceptions, name).__bases__), bases, name)

    def test_help_begins_with_a_program_that_runs(self):
        program = mobula.__doc__.split("\n\n    ", 1)[1].split("\n\nWhat")[0]
        said = []
        exec("\n".join(line.removeprefix("    ") for line in ("    " + program).splitlines()), {"print": lambda *words: said.append(words)})
        self.assertEqual(said, [([0, 1, 4, 9],)])
        mobula.shutdown()

    def test_help_lists_all_there_is(self):
        for name in mobula.__all__:
            self.assertRegex(mobula.__doc__, rf"\b{name}\b")


if __name__ == "__main__":
    unittest.main()
