# SPDX-License-Identifier: Apache-2.0
"""Options, arguments and objects that a call does not take: each is refused where it is said, in words that help."""

import functools
import threading
import unittest

import mobula as ray


@ray.remote
def square(x):
    return x * x


@ray.remote
def same(*args, **kwargs):
    return args, kwargs


class Holder:
    pass


class Words(unittest.TestCase):
    def refused(self, kind, text, call):
        with self.assertRaisesRegex(kind, text):
            call()

    def test_options(self):
        self.refused(ValueError, "Invalid option keyword num_cpu for remote functions. Valid ones are", lambda: ray.remote(num_cpu=1))
        self.refused(ValueError, "cannot be negative", lambda: square.options(num_cpus=-1))
        self.refused(TypeError, "must be a number", lambda: square.options(num_cpus="1"))
        self.refused(TypeError, "must be a number", lambda: square.options(num_gpus=float("nan")))
        self.refused(ValueError, "cannot go beyond 0.0001", lambda: square.options(num_gpus=0.00001))
        self.refused(ValueError, "Use the 'num_cpus' and 'num_gpus' keyword", lambda: square.options(resources={"CPU": 1}))
        self.refused(TypeError, "retry_exceptions", lambda: square.options(retry_exceptions=[1]))
        self.refused(ValueError, "max_retries", lambda: square.options(max_retries=-2))
        self.refused(ValueError, "retry_delay", lambda: square.options(retry_delay=-1))
        self.refused(ValueError, "retry_delay", lambda: square.options(retry_delay="1"))
        self.refused(ValueError, "num_returns", lambda: square.options(num_returns=-1))
        self.refused(ValueError, "scheduling_strategy must be", lambda: square.options(scheduling_strategy="FAR"))

        async def wait():
            pass
        self.refused(ValueError, "'async def' should not be used for remote tasks", lambda: ray.remote(wait))
        self.refused(TypeError, "'name' must be a str", lambda: square.options(name=5))
        self.refused(TypeError, "'label_selector' must be a dict", lambda: square.options(label_selector={"zone": 5}))
        for value in "a b", "a,b", "in(a, b)", "in()", "in(a", "!in(a,)", "!!a", "(a)", "!", "in(a)b":
            self.refused(ValueError, "a condition is a value", lambda: square.options(label_selector={"zone": value}))
        for value in "a", "", "!a", "in(a)", "!in(a,b)":
            square.options(label_selector={"zone": value})
        self.refused(ValueError, "cannot be over 1e.14", lambda: square.options(num_cpus=float("inf")))
        self.refused(ValueError, "The option 'runtime_env' is not there yet: give it to init", lambda: square.options(runtime_env={"a": 1}))
        self.refused(ValueError, "The option 'max_calls' is not there yet", lambda: square.options(max_calls=1))
        self.assertEqual(ray.get(square.options(max_calls=0, runtime_env=None).remote(2)), 4)
        self.refused(TypeError, "applied either with no arguments", lambda: ray.remote(1, 2))

    def test_direct_calls_and_classes(self):
        self.refused(TypeError, r"Instead of running 'square\(\)', try 'square.remote\(\)'", lambda: square(1))
        self.refused(TypeError, "actors are not there yet", lambda: ray.remote(Holder))

    def test_calls_that_the_signature_does_not_take(self):
        def function(a, b=2, *, c=3):
            return a, b, c
        f = ray.remote(function)
        for named in f, f.options(num_cpus=0):
            self.refused(TypeError, "missing a required argument: 'a'", lambda: named.remote())
            self.refused(TypeError, "missing a required argument: 'a'", lambda: named.remote(b=1))
            self.refused(TypeError, "too many positional arguments", lambda: named.remote(1, 2, 3))
            self.refused(TypeError, "got an unexpected keyword argument 'd'", lambda: named.remote(1, d=4))
            self.refused(TypeError, "multiple values for argument 'a'", lambda: named.remote(1, a=1))
            self.assertEqual(ray.get([named.remote(1), named.remote(ray.put(1), c=4), named.remote(c=5, a=1, b=0)]),
                             [(1, 2, 3), (1, 2, 4), (1, 0, 5)])
        self.refused(TypeError, "missing a required", lambda: ray.remote(function).remote())
        self.refused(TypeError, "too many positional", lambda: ray.remote(functools.partial(function, 1, 2)).remote(3))
        self.refused(TypeError, "too many positional", lambda: ray.remote(len).remote((), ()))
        with self.assertRaisesRegex(TypeError, "expected at least 1 argument, got 0"):
            ray.get(ray.remote(max).remote())               # it has no signature

    def test_names_of_arguments_without_end(self):
        refs = [same.remote(**{f"name{i}": i}) for i in range(1000)]
        self.assertEqual([kwargs[f"name{i}"] for i, (_, kwargs) in enumerate(ray.get(refs))], list(range(1000)))
        self.assertLess(len(same._fits), 1000)

    def test_objects(self):
        ref = ray.put(1)
        self.refused(TypeError, "Calling 'put' on an", lambda: ray.put(ref))
        self.refused(ValueError, "Invalid type of object refs, <class 'int'>", lambda: ray.get(1))
        self.refused(ValueError, "Invalid type of object refs", lambda: ray.get([ref, 1]))
        self.refused(TypeError, "expected a list", lambda: ray.wait(ref))
        self.refused(ValueError, "unique", lambda: ray.wait([ref, ref]))
        self.refused(ValueError, "num_returns cannot be greater", lambda: ray.wait([ref], num_returns=2))
        self.refused(ValueError, "Invalid number of objects to return 0", lambda: ray.wait([ref], num_returns=0))
        self.refused(ValueError, "must be nonnegative", lambda: ray.get(ref, timeout=-3))
        self.refused(TypeError, "must be a number of seconds, not 'x'", lambda: ray.get(ref, timeout="x"))
        self.refused(TypeError, "whole number as num_returns, not 1.5", lambda: ray.wait([ref], num_returns=1.5))
        self.assertEqual(ray.get(ref, timeout=float("inf")), 1)
        self.refused(TypeError, "takes an ObjectRef", lambda: ray.cancel(5))
        self.assertEqual((ray.get([]), ray.wait([])), ([], ([], [])))

    def test_a_reference_pickled_by_others(self):
        import pickle
        self.refused(TypeError, "only by mobula itself", lambda: pickle.dumps(ray.put(1)))

    def test_what_cannot_be_pickled(self):
        lock = threading.Lock()
        self.refused(TypeError, "Could not serialize", lambda: square.remote(lock))
        self.refused(TypeError, "Could not serialize", lambda: ray.put(lock))
        self.refused(TypeError, "Could not serialize", lambda: ray.remote(lambda: lock).remote())

    def test_a_function_that_captures_too_much(self):
        large = b"x" * (101 << 20)
        self.refused(ValueError, "is too large", lambda: ray.remote(lambda: large).remote())


if __name__ == "__main__":
    ray.init(num_cpus=2)
    unittest.main()
