# SPDX-License-Identifier: Apache-2.0
"""A process that leaves nothing running, whatever it uses: it is the parent of all that it starts, and of what these start."""

import ctypes
import os
import signal
import sys
import time

_PR_SET_CHILD_SUBREAPER = 36


def begin():
    """From here on a process below this one becomes its child when its own parent ends."""
    ctypes.CDLL(None).prctl(_PR_SET_CHILD_SUBREAPER, 1)


def _below():
    parents = {}
    for pid in filter(str.isdigit, os.listdir("/proc")):
        try:
            with open(f"/proc/{pid}/stat") as stat:
                parents[int(pid)] = int(stat.read().rpartition(")")[2].split()[1])
        except OSError:                 # it has just ended
            pass
    found = {os.getpid()}
    while more := {pid for pid, parent in parents.items() if parent in found} - found:
        found |= more
    return found - {os.getpid()}


def end(patience=10):
    """Wait until all have ended; after `patience` seconds kill what runs on, and say so."""
    limit = time.monotonic() + patience
    while left := _below():
        try:
            os.waitpid(-1, os.WNOHANG)
        except ChildProcessError:
            pass
        if time.monotonic() > limit:
            print(f"{len(left)} processes are left, and are killed", file=sys.stderr)
            for pid in left:
                os.kill(pid, signal.SIGKILL)
            limit += patience
        time.sleep(0.01)
