# SPDX-License-Identifier: Apache-2.0
"""Workers that are forked from a template: what they are like, what the driver's modules may do to it, and its death at any moment."""

import os
import signal
import subprocess
import sys
import tempfile
import textwrap
import time
import unittest

AID = '''
import ctypes, hashlib, os, random, signal, sys, time
import mobula as ray
from mobula import _program, _worker

def about():
    signal_of_death = ctypes.c_int()
    ctypes.CDLL(None).prctl(2, ctypes.byref(signal_of_death))
    libc = ctypes.CDLL(None)
    libc.getenv.restype = ctypes.c_char_p
    numpy = sys.modules.get("numpy")
    return {"pid": os.getpid(), "parent": os.getppid(), "group": os.getpgid(0), "forked": _worker._forked, "loaded": set(sys.modules),
            "signal": signal_of_death.value, "random": (random.random(), numpy.random.random() if numpy else None),
            "environ": dict(os.environ), "getenv": libc.getenv(b"COLOUR"), "comm": open("/proc/self/comm").read().strip(),
            "argv": sys.argv}

@ray.remote(max_retries=0)
def end():
    os._exit(7)

ask = ray.remote(about)

def fresh():
    """What a worker that was started just now is like."""
    try:
        ray.get(end.remote())
    except ray.exceptions.WorkerCrashedError:
        pass
    return ray.get(ask.remote(), timeout=30)

def until(condition, what, seconds=30):
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, what
        time.sleep(0.01)

def forked():
    """A worker of the template that has loaded all."""
    found = []
    until(lambda: found.append(fresh()) or (found[-1]["forked"] and "cloudpickle" in found[-1]["loaded"]), "no worker is forked")
    return found[-1]

def processes():
    """Of this job: {pid: name}."""
    sha, found = SHA, {}
    for pid in filter(str.isdigit, os.listdir("/proc")):
        try:
            if sha in open(f"/proc/{pid}/cmdline").read():
                found[int(pid)] = open(f"/proc/{pid}/comm").read().strip()
        except OSError:
            pass
    return found

def template():
    """The pid of the template, as soon as there is one."""
    found = []
    until(lambda: [found.append(pid) for pid, name in processes().items() if name == "mobula-template"], "there is no template")
    return found[0]

ENV = {"COLOUR": "green"}

def start(waits=True, **options):
    """init(), and note by what name the program goes. Then wait for the workers that come when the template has loaded."""
    global SHA
    made, make = [], _program.make
    _program.make = lambda *args: made.append(make(*args)) or made[0]
    ray.init(runtime_env={"env_vars": ENV}, **options)
    SHA = hashlib.sha256(made[0]).hexdigest()
    until(lambda: not waits or len(processes()) > 1, "no worker has come")
'''

START = '''
import os, signal, sys, time
import mobula as ray
from aid import *
if __name__ == "__main__":
    start(num_cpus=1)
'''


AT_ONCE = START.replace("num_cpus", "waits=False, num_cpus")


class Drivers(unittest.TestCase):
    def setUp(self):
        folder = tempfile.TemporaryDirectory(prefix="template-test-")
        self.addCleanup(folder.cleanup)
        self.folder = folder.name
        self.write("aid", AID)

    def write(self, name, text):
        with open(f"{self.folder}/{name}.py", "w") as file:
            file.write(textwrap.dedent(text))

    def drive(self, text, imports="", start=START, **modules):
        """Run a driver, whose words after init() are `text`: what it printed."""
        for name, module in modules.items():
            self.write(name, module)
        body = textwrap.indent(textwrap.dedent(text) + "\nprint('done')", "    ")
        self.write("main", textwrap.dedent(imports) + start + body)
        done = subprocess.run([sys.executable, "main.py"], cwd=self.folder, timeout=60, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
                              text=True)
        self.assertEqual(done.returncode, 0, done.stdout)
        self.assertIn("done\n", done.stdout)
        return done.stdout


class Forked(Drivers):
    def test_they_are_workers_as_others_with_all_loaded(self):
        said = self.drive("""
            first = ray.get(ask.remote())
            assert first["forked"] and "beside" in first["loaded"]      # it came when the template had loaded
            plain_parent = ray.get(ask.remote())["parent"]
            a, b = forked(), forked()
            assert a["pid"] != b["pid"] and a["forked"] and b["forked"]
            assert {"numpy", "beside", "json.tool", "aid"} <= a["loaded"], a["loaded"]
            assert a["parent"] == b["parent"] == plain_parent, (a["parent"], plain_parent)
            assert a["group"] == a["pid"] and a["signal"] == signal.SIGKILL
            assert a["random"][0] != b["random"][0] and a["random"][1] != b["random"][1]
            assert a["environ"]["COLOUR"] == "green" and a["getenv"] == b"green"
            assert not [name for name in a["environ"] if name in ("MOBULA_WORKER", "MOBULA_TEMPLATE")]
            assert a["comm"] != "mobula-template" and a["argv"] == ["main.py"]
        """, "import numpy\nimport beside\nfrom json import tool", beside="print('beside is imported')")
        self.assertEqual(said.count("beside is imported"), 2, said)     # by the driver, and once for all its workers

    def test_libraries_start_as_many_threads_as_the_task_has_cpus(self):
        self.drive("""
            forked()
            def threads():
                import ctypes
                from mobula import _worker
                libraries = {line.split()[-1] for line in open("/proc/self/maps") if "openblas" in line}
                return _worker._forked, os.environ["OMP_NUM_THREADS"], [ctypes.CDLL(path).openblas_get_num_threads() for path in libraries]
            def ended_and_asked():
                fresh()                                 # two are warm
                try:
                    ray.get(end.remote())
                except ray.exceptions.WorkerCrashedError:
                    pass
                return ray.get(ray.remote(num_cpus=2)(threads).remote())
            found = []
            until(lambda: found.append(ended_and_asked()) or found[-1][0], "no worker is forked")
            assert found[-1][1] == "2" and set(found[-1][2]) <= {2}, found[-1]
        """, "import numpy", START.replace("num_cpus=1", "num_cpus=2"))

    def test_one_with_gpus(self):
        self.drive("""
            seen = [ray.get(ask.options(num_gpus=1).remote()) for _ in range(3)]
            assert all(a["forked"] and a["environ"]["CUDA_VISIBLE_DEVICES"] in ("0", "1") for a in seen), seen
            assert ray.get(ask.remote())["environ"].get("CUDA_VISIBLE_DEVICES") == os.environ.get("CUDA_VISIBLE_DEVICES")
        """, start=START.replace("num_cpus", "num_gpus=2, num_cpus"))

    def test_what_the_user_set_is_left_alone(self):
        self.drive("""
            a = forked()
            assert a["environ"]["OMP_NUM_THREADS"] == "3" and "OPENBLAS_NUM_THREADS" not in a["environ"], a["environ"]
        """, "import numpy", START.replace("start(", "ENV['OMP_NUM_THREADS'] = '3'\n    start("))


class Imports(Drivers):
    """What the driver's modules may do: `strange` does it where the driver's variable is not set, so in templates and workers."""

    def strange(self, text, rest, worker=False, start=START):
        """`worker`: it does it in workers that are started anew, too."""
        where = 'os.environ.get("COLOUR")' + ("" if worker else ' and "MOBULA_WORKER" not in os.environ')
        return self.drive(rest, "import strange", start, strange=f"import os, sys, threading, time\nif {where}:\n"
                          + textwrap.indent(textwrap.dedent(text), "    "))

    def refused(self, text, why):
        said = self.strange(text, """
            until(lambda: not fresh()["forked"], "workers are still forked")
            until(lambda: "mobula-template" not in processes().values(), "the template is still there")
            assert not fresh()["forked"] and not fresh()["forked"]
        """, start=AT_ONCE)
        self.assertRegex(said, r"\(pid=\d+, ip=127.0.0.1\) mobula: each worker starts its interpreter anew, .*: " + why)
        self.assertEqual(said.count("starts its interpreter anew"), 1, said)

    def test_fail_or_leave_by_an_exception(self):
        for text in ("raise ImportError('not here')", "sys.exit(3)", "raise KeyboardInterrupt"):
            with self.subTest(text):
                self.strange(text, "assert forked()['forked']")

    def test_end_the_process(self):
        self.refused("os._exit(3)", "it ended, with code 3, before it had imported the driver's modules")

    def test_start_threads(self):
        self.refused("threading.Thread(target=time.sleep, args=(1000,), name='ticker', daemon=True).start()",
                     r"it cannot be forked: an import has started threads \(ticker\)")

    def test_open_a_connection(self):
        self.refused("import socket; kept = socket.socket()", "it cannot be forked: an import has opened socket:")

    def test_start_a_process(self):
        self.refused("import subprocess; kept = subprocess.Popen(['sleep', '98765'])",
                     "it cannot be forked: an import has started a process")
        self.assertEqual(subprocess.run(["pgrep", "-f", "^sleep 98765"], stdout=subprocess.PIPE).stdout, b"")

    def test_fork(self):
        self.strange("pid = os.fork()\nif pid: os.waitpid(pid, 0)", """
            assert forked()["forked"]
            assert list(processes().values()).count("mobula-template") == 1
        """)

    def test_take_long(self):
        gate = f"{self.folder}/gate"
        self.strange(f"while not os.path.exists({gate!r}): time.sleep(0.01)", f"""
            assert not fresh()["loaded"] & {{"strange"}}
            until(lambda: not fresh()["forked"], "nobody waits for its imports")
            assert not fresh()["forked"]
            open({gate!r}, "w").close()
            assert "strange" in forked()["loaded"]
        """, start=AT_ONCE)


class Deaths(Drivers):
    def test_killed_while_nobody_asks(self):
        self.drive("""
            forked()
            first = template()
            os.kill(first, signal.SIGKILL)
            until(lambda: first not in processes(), "it is still there")
            assert fresh()["pid"]
            assert forked()["forked"] and template() != first
        """)

    def test_killed_between_request_and_answer(self):
        self.drive("""
            for _ in range(3):
                forked()
                first = template()
                os.kill(first, signal.SIGSTOP)
                try:
                    ray.get(end.remote())
                except ray.exceptions.WorkerCrashedError:
                    pass
                ref = ask.remote()
                assert ray.wait([ref], timeout=0.2) == ([], [ref])      # it was asked, and answers nobody
                os.kill(first, signal.SIGKILL)
                assert not ray.get(ref, timeout=30)["forked"]
        """)

    def test_one_that_never_answers_is_killed(self):
        self.drive("""
            forked()
            first = template()
            os.kill(first, signal.SIGSTOP)
            assert not fresh()["forked"]
            until(lambda: first not in processes(), "it is still there")
            assert forked()["forked"]
        """)


class Ends(Drivers):
    """However driver, raylet and template end, and in whatever order, no process is left."""

    def ended(self, *order):
        self.write("main", START + textwrap.indent(textwrap.dedent("""
            forked()
            status = open(f"/proc/{template()}/status").read()
            import aid
            print(aid.SHA, template(), status.split("PPid:")[1].split()[0], flush=True)
            time.sleep(1000)
        """), "    "))
        driver = subprocess.Popen([sys.executable, "main.py"], cwd=self.folder, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)
        sha, template, raylet = driver.stdout.readline().split()
        pids = {"driver": driver.pid, "template": int(template), "raylet": int(raylet)}
        for who in order:
            number = signal.SIGSTOP if who.startswith("stop ") else signal.SIGKILL
            try:
                os.kill(pids[who.split()[-1]], number)
            except ProcessLookupError:
                self.assertNotEqual(who, order[0])
        end = time.monotonic() + 20
        while left(sha):
            self.assertLess(time.monotonic(), end, left(sha))
            time.sleep(0.01)
        driver.kill()
        driver.communicate()

    def test_in_any_order(self):
        for order in (("raylet",), ("driver",), ("template", "raylet"), ("raylet", "template"), ("stop template", "raylet"),
                      ("stop template", "driver"), ("template", "driver")):
            with self.subTest(order):
                self.ended(*order)


def left(sha):
    found = []
    for pid in filter(str.isdigit, os.listdir("/proc")):
        try:
            with open(f"/proc/{pid}/cmdline") as file:
                if sha in file.read():
                    found.append(pid)
        except OSError:
            pass
    return found


if __name__ == "__main__":
    unittest.main()
