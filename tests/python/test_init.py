# SPDX-License-Identifier: Apache-2.0
"""init() and what a process knows of its cluster: words of init, runtime_env, runtime context, timeline."""

import io
import json
import logging
import os
import subprocess
import sys
import tempfile
import unittest
import unittest.mock
import zipfile

import mobula as ray


@ray.remote
def where():
    context = ray.get_runtime_context()
    return {"namespace": context.namespace, "job": context.get_job_id(), "node": context.get_node_id(), "worker": context.get_worker_id(),
            "task": context.get_task_id(), "name": context.get_task_name(), "env": context.runtime_env, "head": context.gcs_address,
            "ids": context.get(), "resources": context.get_assigned_resources(), "gpus": context.get_accelerator_ids(),
            "attempt": context.get_attempt_number(), "labels": context.get_node_labels(), "cancelled": context.is_canceled()}


class Session(unittest.TestCase):
    def setUp(self):
        ray.shutdown()

    tearDown = setUp


class Words(Session):
    def refused(self, kind, text, **words):
        with self.assertRaisesRegex(kind, text):
            ray.init(**words)
        self.assertFalse(ray.is_initialized())

    def test_refused_by_name(self):
        self.refused(RuntimeError, r"Unknown keyword argument\(s\): num_cpu, dashbord", num_cpu=1, dashbord=2)
        self.refused(RuntimeError, "local_mode=True", local_mode=True)
        self.refused(ValueError, "Unknown level: 'LOUD'", logging_level="loud")
        self.refused(TypeError, "namespace must be a str", namespace=5)
        self.refused(ValueError, "namespace must be a str that is not empty", namespace="")
        self.refused(TypeError, "quantity of resource num_cpus must be a number", num_cpus="2")
        self.refused(ValueError, "num_gpus cannot be negative", num_gpus=-1)
        self.refused(ValueError, "GPU resource quantities >1 must be whole numbers", num_gpus=1.5)
        self.refused(ValueError, "Use the 'num_cpus' and 'num_gpus' keyword", resources={"CPU": 1})
        self.refused(ValueError, "object_store_memory is a positive number", object_store_memory=-5)
        self.refused(ValueError, "there is no client", address="ray://127.0.0.1:10001")
        self.refused(TypeError, "address must be a str", address=6379)
        for word in {"num_cpus": 1}, {"num_gpus": 1}:
            self.refused(ValueError, "num_cpus and num_gpus must not be provided", address="127.0.0.1:1", **word)
        self.refused(ValueError, "resources must not be", address="127.0.0.1:1", resources={"a": 1})
        self.refused(ValueError, "object_store_memory must not be", address="127.0.0.1:1", object_store_memory=1 << 30)
        self.refused(ConnectionError, "127.0.0.1", address="127.0.0.1:1")
        with unittest.mock.patch.dict(os.environ, MOBULA_DEDUP_LOGS="1", MOBULA_DEDUP_LOGS_SKIP_REGEX="("):
            self.refused(ValueError, r"the regular expression \"\(\" for lines of tasks")

    def test_of_runtime_env(self):
        for kind, text, said in ((TypeError, "must be a dict", ["a"]), (ValueError, "'pip' is not there yet", {"pip": ["x"]}),
                                 (ValueError, "there is no 'env_var'; there are env_vars", {"env_var": {}}),
                                 (TypeError, "Dict.str, str.", {"env_vars": {"A": 1}}), (ValueError, "'A=B' cannot", {"env_vars": {"A=B": ""}}),
                                 (TypeError, "list of patterns", {"excludes": "*.py"}), (ValueError, "existing directory", {"working_dir": "/no"}),
                                 (TypeError, "must be the path", {"working_dir": 5}), (ValueError, "no path", {"working_dir": "s3://a/b.zip"})):
            self.refused(kind, text, runtime_env=said)

    def test_twice(self):
        ray.init(num_cpus=1)
        with self.assertRaisesRegex(RuntimeError, "called mobula.init twice by accident"):
            ray.init()
        with self.assertLogs("mobula", logging.INFO) as logs:
            self.assertIn("node_id", ray.init(ignore_reinit_error=True))
        self.assertIn("again after it has already been called", logs.output[0])

    def test_shutdown_is_silent_without_init(self):
        said = subprocess.run([sys.executable, "-c", "import mobula; mobula.shutdown(); mobula.shutdown(); print(mobula.is_initialized())"],
                              capture_output=True, text=True)
        self.assertEqual((said.stdout, said.stderr, said.returncode), ("False\n", "", 0))

    def test_output_is_not_told(self):
        driver = """if True:
            import mobula as ray, sys
            ray.init(num_cpus=1, log_to_driver=sys.argv[1] == "yes", logging_level="ERROR")
            ray.get(ray.remote(lambda: print("from a task")).remote())
            ray.shutdown()
        """
        for told in "yes", "no":
            said = subprocess.run([sys.executable, "-c", driver, told], capture_output=True, text=True, timeout=30)
            self.assertEqual("from a task" in said.stdout, told == "yes", said.stderr)

    def test_lines_are_folded(self):
        driver = """if True:
            import mobula as ray, os, time
            ray.init(num_cpus=4)

            @ray.remote
            def work():
                print("step", os.getpid(), "of the work")
                open(f"{os.environ['GATE']}/{os.getpid()}", "w").close()
                while len(os.listdir(os.environ["GATE"])) < 4:
                    time.sleep(0.01)        # so that there are four workers

            ray.get([work.remote() for _ in range(4)])
            ray.shutdown()
        """
        for wanted, count in ("1", 2), ("0", 4), ("", 4):
            with tempfile.TemporaryDirectory() as gate:
                said = subprocess.run([sys.executable, "-c", driver], capture_output=True, text=True, timeout=30,
                                      env={**os.environ, "MOBULA_DEDUP_LOGS": wanted, "GATE": gate})
            lines = [line for line in said.stdout.splitlines() if "of the work" in line]
            self.assertEqual(len(lines), count, said.stdout + said.stderr)
            self.assertEqual("[repeated 3x across cluster] (Lines that" in lines[-1], wanted == "1")

    def test_a_context(self):
        with ray.init(num_cpus=1) as context:
            self.assertRegex(context["gcs_address"], r"127.0.0.1:\d+")
            self.assertEqual(context.address_info["node_ip_address"], "127.0.0.1")
            self.assertIn("Context(", repr(context))
        self.assertFalse(ray.is_initialized())


class Knowing(Session):
    def test_of_a_task_and_of_a_driver(self):
        ray.init(num_cpus=2, num_gpus=2, namespace="mine", runtime_env={"env_vars": {"A": "1"}})
        told, context, node = ray.get(where.options(num_gpus=0.5).remote()), ray.get_runtime_context(), ray.nodes()[0]
        self.assertEqual((told["namespace"], context.namespace), ("mine", "mine"))
        self.assertEqual((told["job"], told["node"], told["head"]), (context.get_job_id(), context.node_id, context.gcs_address))
        self.assertEqual(told["node"], node["NodeID"])
        self.assertEqual((told["name"], told["attempt"], told["cancelled"], told["labels"]), ("where", 0, False, node["Labels"]))
        self.assertEqual(told["resources"], {"CPU": 1, "GPU": 0.5})
        self.assertEqual(told["gpus"], {"GPU": ["0"]})
        self.assertEqual(told["env"], {"env_vars": {"A": "1"}})
        self.assertEqual(json.loads(context.get_runtime_env_string()), told["env"])
        self.assertEqual(told["ids"], {"job_id": told["job"], "node_id": told["node"], "namespace": "mine", "task_id": told["task"]})
        self.assertEqual((context.get_task_id(), context.get_task_name(), context.get_assigned_resources()), (None, None, {}))
        self.assertEqual(ray.get(where.options(name="other").remote())["name"], "other")
        self.assertEqual((context.get_actor_id(), context.get_placement_group_id(), context.was_current_actor_reconstructed), (None, None, False))
        self.assertEqual(context.get_worker_id(), context.job_id)       # a driver's
        self.assertNotEqual(told["worker"], context.worker_id)

    def test_the_namespace_of_a_job_without(self):
        ray.init(num_cpus=1)
        self.assertEqual(ray.get(where.remote())["namespace"], ray.get_runtime_context().namespace)

    def test_nodes_and_resources(self):
        ray.init(num_cpus=3, resources={"licence": 2.5}, object_store_memory=100 << 20)
        node, = ray.nodes()
        self.assertTrue(node["Alive"])
        self.assertEqual((node["NodeManagerAddress"], node["Resources"]["CPU"]), ("127.0.0.1", 3))
        self.assertGreater(node["NodeManagerPort"], 0)
        self.assertEqual(ray.cluster_resources()["licence"], 2.5)
        self.assertEqual(ray.cluster_resources()["object_store_memory"], 100 << 20)
        self.assertEqual(ray.available_resources()["CPU"], 3)

    def test_timeline(self):
        ray.init(num_cpus=1)
        ray.get([where.remote() for _ in range(3)])

        def ran():
            return [event for event in ray.timeline() if event["ph"] == "X" and event["name"] == "where"]
        while len(ran()) < 3:               # records come a moment after the results
            pass
        with tempfile.TemporaryDirectory() as folder:
            self.assertIsNone(ray.timeline(folder))
            with open(os.path.join(folder, os.listdir(folder)[0])) as file:
                self.assertEqual(sum(event.get("name") == "where" for event in json.load(file)), 3)
            self.assertRaises(FileNotFoundError, ray.timeline, folder + "/no/file")

    def test_gpus(self):
        ray.init(num_cpus=2, num_gpus=2)

        @ray.remote
        def look():
            return ray.get_gpu_ids(), os.environ.get("CUDA_VISIBLE_DEVICES")
        self.assertEqual(ray.get(look.options(num_gpus=2).remote()), ([0, 1], "0,1"))
        self.assertEqual(ray.get(look.options(num_gpus=0.25).remote()), ([0], "0"))
        self.assertEqual(ray.get(look.remote()), ([], os.environ.get("CUDA_VISIBLE_DEVICES")))
        self.assertEqual(ray.get_gpu_ids(), [])
        with self.assertRaisesRegex(ValueError, "whole numbers. The specified quantity 1.5 is invalid"):
            look.options(num_gpus=1.5)


class WorkingDir(Session):
    def setUp(self):
        super().setUp()
        self.made = tempfile.TemporaryDirectory()
        self.root = os.path.join(self.made.name, "work")
        self.write("own_module_of_test.py", "VALUE = 'from the working_dir'\n")
        self.write("data/table.txt", "one line\n")
        self.write("run.sh", "#!/bin/sh\necho ran\n", 0o755)

    def tearDown(self):
        super().tearDown()
        self.made.cleanup()

    def write(self, name, text, mode=0o644):
        path = os.path.join(self.root, name)
        os.makedirs(os.path.dirname(path), exist_ok=True)
        with open(path, "w") as file:
            file.write(text)
        os.chmod(path, mode)

    def look(self):
        """What a task finds in its folder, and does there."""
        def look():
            import own_module_of_test
            with open("data/table.txt") as file:
                text = file.read()
            found = sorted(os.path.relpath(os.path.join(folder, name)) for folder, _, names in os.walk(".") for name in names)
            return own_module_of_test.VALUE, text, subprocess.run(["./run.sh"], capture_output=True, text=True).stdout, found, os.getcwd()
        return ray.get(ray.remote(look).remote())

    ALL = ["data/table.txt", "own_module_of_test.py", "run.sh"]

    def test_a_folder(self):
        ray.init(num_cpus=2, runtime_env={"working_dir": self.root, "env_vars": {"A": "b"}})
        value, text, ran, found, folder = self.look()
        self.assertEqual((value, text, ran), ("from the working_dir", "one line\n", "ran\n"))
        self.assertEqual([name for name in found if "__pycache__" not in name], self.ALL)
        self.assertEqual(ray.get_runtime_context().runtime_env, {"working_dir": self.root, "env_vars": {"A": "b"}})
        self.assertEqual(len(set(ray.get([ray.remote(os.getcwd).remote() for _ in range(20)]))), 1)
        self.assertNotEqual(os.path.realpath(folder), os.path.realpath(self.root))
        ray.shutdown()
        self.assertFalse(os.path.exists(folder))

    def test_a_zip(self):
        path = os.path.join(self.made.name, "work.zip")
        with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as z:
            for name in self.ALL:
                z.write(os.path.join(self.root, name), name)
        ray.init(num_cpus=1, runtime_env={"working_dir": path})
        self.assertEqual(self.look()[:3], ("from the working_dir", "one line\n", "ran\n"))
        ray.shutdown()
        with open(path, "wb") as file:
            file.write(b"no zip")
        self.assertRaisesRegex(ValueError, "is no zip file", ray.init, runtime_env={"working_dir": path})

    def test_what_is_left_out(self):
        for name in "a.log", "data/b.log", "data/keep.log", "big/x", ".git/config", "venv/y", "data/__pycache__/z", "build/deep/o", "top.txt", \
                "data/top.txt", "x1", "x2":
            self.write(name, "")
        self.write(".gitignore", "# words\n*.log\n!keep.log\nbuild/\n/top.txt\nx[!1]\n")
        ray.init(num_cpus=1, runtime_env={"working_dir": self.root, "excludes": ["big", "**/nothing"]})
        found = [name for name in self.look()[3] if not name.endswith(".pyc")]
        self.assertEqual(found, sorted(self.ALL + [".gitignore", "data/keep.log", "data/top.txt", "x1"]))

    def test_too_much(self):
        with open(os.path.join(self.root, "sparse"), "wb") as file:
            file.truncate(600 << 20)
        with self.assertLogs("mobula", logging.WARNING) as logs:
            self.assertRaisesRegex(ValueError, "exceeds the maximum size of 512.00MiB, with sparse.*'excludes' option", ray.init,
                                   runtime_env={"working_dir": self.root})
        self.assertIn("File sparse is very large (600.00MiB)", logs.output[0])
        ray.init(num_cpus=1, runtime_env={"working_dir": self.root, "excludes": ["sparse"]})
        self.assertEqual(self.look()[0], "from the working_dir")


class Logging(unittest.TestCase):
    def test_level_and_form(self):
        from mobula import _session
        logger, stream = _session.logger, io.StringIO()
        with unittest.mock.patch.object(logger, "handlers", []), unittest.mock.patch.object(_session.handler, "stream", stream):
            with ray.init(num_cpus=1, logging_level=logging.WARNING, logging_format="<%(message)s>"):
                logger.info("quiet")
                logger.warning("loud")
        self.assertEqual(stream.getvalue(), "<loud>\n")
        own = logging.StreamHandler(io.StringIO())
        with unittest.mock.patch.object(logger, "handlers", [own]), ray.init(num_cpus=1, logging_format="<%(message)s>"):
            self.assertEqual((logger.handlers, own.formatter), ([own], None))           # a user's stays as it is


if __name__ == "__main__":
    unittest.main()
