# SPDX-License-Identifier: Apache-2.0
"""Ctrl-C in a driver: it stops what waits, at once, and leaves no process; in a notebook's loop the next cell works."""

import os
import signal
import subprocess
import sys
import time
import unittest

# A loop that runs cells, as a notebook's kernel does: each line of its input is the repr() of one. A cell says "ready" before it waits.
KERNEL = """if True:
    import sys
    scope = {"ready": lambda: print("ready", flush=True)}
    for line in sys.stdin:
        try:
            exec(eval(line), scope)
            print("done", flush=True)
        except KeyboardInterrupt:
            print("interrupted", flush=True)
        except Exception as e:
            print("failed", repr(e), flush=True)
"""

START = """if True:
    import mobula as ray, os, time
    ray.init(num_cpus=1, object_store_memory=256 << 20)

    @ray.remote
    def sleep():
        time.sleep(1000)

    @ray.remote
    def pids():
        own = int(os.readlink("/proc/self"))
        with open(f"/proc/{own}/stat") as file:
            return own, int(file.read().rsplit(")", 1)[1].split()[1])

    found = ray.get(pids.remote())
    print(*found, flush=True)
    waits = sleep.remote()
"""


def alive(pid):
    try:
        with open(f"/proc/{pid}/stat") as file:
            return file.read().rsplit(")", 1)[1].split()[0] != "Z"
    except FileNotFoundError:
        return False


class Interrupts(unittest.TestCase):
    def start(self, *words):
        self.driver = subprocess.Popen([sys.executable, "-c", *words], stdin=subprocess.PIPE, stdout=subprocess.PIPE,
                                       stderr=subprocess.DEVNULL, text=True, start_new_session=True)
        self.addCleanup(self.end)

    def end(self):
        self.driver.stdin.close()
        self.driver.wait()
        self.driver.stdout.close()

    def line(self):
        return self.driver.stdout.readline().strip()

    def interrupt(self):
        os.killpg(self.driver.pid, signal.SIGINT)       # as a terminal does

    def run_cell(self, cell):
        self.driver.stdin.write(repr(cell) + "\n")
        self.driver.stdin.flush()

    def start_session(self):
        """The pids of a worker and of the raylet."""
        self.run_cell(START)
        found = [int(word) for word in self.line().split()]
        self.assertEqual(self.line(), "done")
        self.assertTrue(all(alive(pid) for pid in found), found)
        return found

    def test_what_waits_in_a_notebook(self):
        self.start(KERNEL)
        found = self.start_session()
        for wait in ("ray.get(waits)", "ray.get([waits] * 3)", "ray.get(waits, timeout=1000)", "ray.wait([waits])", "waits.future().result()",
                     "list(ray.util.as_completed([waits]))", "ray.util.progress([waits])",
                     "refs = []\nwhile True: refs.append(ray.put(bytes(16 << 20)))", "while True: sleep.remote()",
                     "import asyncio\nasync def wait(): await waits\nasyncio.run(wait())"):
            with self.subTest(wait):
                self.run_cell("ready()\n" + wait)
                self.assertEqual(self.line(), "ready")
                self.interrupt()
                self.assertEqual(self.line(), "interrupted")
        self.run_cell("refs = None\nray.cancel(waits, force=True)\nprint(ray.get(ray.put('and on')), flush=True)")
        self.assertEqual((self.line(), self.line()), ("and on", "done"))
        self.run_cell("ray.shutdown()")
        self.assertEqual(self.line(), "done")
        self.assertFalse([pid for pid in found if alive(pid)])

    def test_a_put_that_waits_for_room(self):
        self.start(KERNEL)
        raylet = self.start_session()[1]
        for _ in range(3):
            os.kill(raylet, signal.SIGSTOP)
            self.run_cell("ready()\nray.put(bytes(96 << 20))")
            self.assertEqual(self.line(), "ready")
            self.interrupt()
            self.assertEqual(self.line(), "interrupted")
            os.kill(raylet, signal.SIGCONT)
        self.run_cell("import json\nray.get(ray.put(bytes(200 << 20)))\n"
                      "print(len(json.loads(ray._core.ask('memory', '', 10000))['nodes'][0]['objects']), flush=True)")
        self.assertEqual((self.line(), self.line()), ("0", "done"))

    def test_init(self):
        self.start(KERNEL)
        for _ in range(5):
            self.run_cell("import mobula as ray\nready()\nwhile True:\n    ray.init(num_cpus=1)\n    ray.shutdown()")
            self.assertEqual(self.line(), "ready")
            self.interrupt()
            self.assertEqual(self.line(), "interrupted")
            self.run_cell("ray.shutdown()")
            self.assertEqual(self.line(), "done")
        self.start_session()

    def test_a_script(self):
        self.start(START + "    ray.get(waits)\n")
        found = [int(word) for word in self.line().split()]
        self.interrupt()
        self.driver.wait(30)
        self.assertNotEqual(self.driver.returncode, 0)
        while any(alive(pid) for pid in found):         # the test's own timeout ends it
            time.sleep(0.01)


if __name__ == "__main__":
    unittest.main()
