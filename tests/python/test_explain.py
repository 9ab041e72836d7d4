# SPDX-License-Identifier: Apache-2.0
"""A wait explains itself: ObjectRef.explain(), and a get on a terminal."""

import os
import pty
import re
import sys
import unittest

import mobula as ray

WAITS = """
import mobula as ray
ray.init(num_cpus=1)
@ray.remote(resources={"nobody": 1})
def never(): pass
@ray.remote
def after(x): pass
try:
    ray.get(after.remote(never.remote()), timeout=TIMEOUT)
except ray.exceptions.GetTimeoutError:
    print("over")
"""


def on_a_terminal(script):
    """What the driver prints, and its stderr is a terminal."""
    said = b""
    pid, terminal = pty.fork()
    if pid == 0:
        os.environ["MOBULA_EXPLAIN_SECONDS"] = "0.2"
        os.execv(sys.executable, [sys.executable, "-c", script])
    while True:
        try:
            part = os.read(terminal, 4096)
        except OSError:                 # the terminal's other end is closed
            break
        if not part:
            break
        said += part
    os.close(terminal)
    return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]), said.decode().replace("\r", "")


class Explain(unittest.TestCase):
    def test_a_ref_says_why_it_is_not_there(self):
        ray.init(num_cpus=1)
        self.addCleanup(ray.shutdown)

        @ray.remote(num_cpus=3)
        def wide():
            pass

        text = wide.remote().explain()
        self.assertRegex(text, r't-1\.1-\d+ ".*wide": waits for a worker with \{CPU=3\}')
        self.assertIn("No node could serve it, not even an idle one", text)
        with self.assertRaises(ray.exceptions.GetTimeoutError) as caught:
            ray.get(wide.remote(), timeout=0.1)
        self.assertIn("some object(s) not ready. The value was not ready in time; its task runs on, and `mobula explain`", str(caught.exception))
        ref = ray.put(1)
        self.assertIn("was put, and is there", ref.explain())

    def test_what_can_never_run_fails_at_once_if_asked_to(self):
        ray.init(num_cpus=1)
        self.addCleanup(ray.shutdown)

        @ray.remote(infeasible="fail")
        def narrow(x):
            return x

        self.assertEqual(ray.get(narrow.remote(3)), 3)
        with self.assertRaisesRegex(ray.exceptions.TaskUnschedulableError, r"what the only node lacks for \{CPU=3\}"):
            narrow.options(num_cpus=3).remote(1)
        with self.assertRaisesRegex(ValueError, "infeasible"):
            narrow.options(infeasible="maybe")
        waits = narrow.options(num_cpus=3, infeasible="wait").remote(1)
        self.assertEqual(ray.wait([waits], timeout=0.1), ([], [waits]))

    def test_a_get_on_a_terminal_says_once_what_it_waits_for(self):
        for timeout in "1.5", "20":     # on a busy machine it is asked longer
            status, said = on_a_terminal(WAITS.replace("TIMEOUT", timeout))
            if "a get has waited" in said:
                break
        self.assertEqual(status, 0, said)
        self.assertEqual(len(re.findall(r"mobula: a get has waited for \d+ s for o-1\.1-", said)), 1, said)
        self.assertRegex(said, r'"after": waits for arguments that are not there')
        self.assertRegex(said, r'"never": waits for a worker with')
        self.assertIn("\nover\n", said)


if __name__ == "__main__":
    unittest.main()
