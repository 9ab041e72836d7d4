# SPDX-License-Identifier: Apache-2.0
"""Where the command `mobula` is that belongs to this module."""

import os
import shutil

from mobula import _core


def path() -> str:
    """Of an installed package in its own folder; of a build tree, or what `cmake --install` made, in bin/; else on PATH."""
    here = os.path.dirname(os.path.abspath(_core.__file__))
    for up in (".", "../..", "../../../.."):
        found = os.path.normpath(os.path.join(here, up, "bin", "mobula"))
        if os.access(found, os.X_OK):
            return found
    on_path = shutil.which("mobula")
    if on_path is None:
        raise RuntimeError("the command `mobula` is neither beside this module nor on PATH")
    return on_path
