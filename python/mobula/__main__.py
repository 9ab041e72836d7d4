# SPDX-License-Identifier: Apache-2.0
"""The command `mobula` of an installed package, and `python -m mobula`: the executable, with the same words."""

import os
import sys

from mobula import _command


def main() -> None:
    """Become the executable."""
    path = _command.path()
    os.execv(path, ["mobula", *sys.argv[1:]])


if __name__ == "__main__":
    main()
