# SPDX-License-Identifier: Apache-2.0
"""A driver of an installed package: its workers run the interpreter that it runs, and find the package where it is installed.

    installed.py [ADDRESS]      prints the version of Python and "as installed"
"""

import os
import sys

import mobula as ray


@ray.remote
def place():
    import mobula
    return sys.executable, sys.prefix, mobula.__file__


@ray.remote
def double(data):
    return data + data


here = sys.executable, sys.prefix, ray.__file__
for path in here:
    assert path.startswith(sys.prefix), path
assert sys.prefix != sys.base_prefix, "this is no virtual environment"
assert not {"PYTHONPATH", "LD_LIBRARY_PATH"} & set(os.environ)
ray.init(sys.argv[1] if len(sys.argv) > 1 else None)
assert ray.get(place.remote()) == here, ray.get(place.remote())
assert ray.get(double.remote(ray.put(b"x" * 1_000_000))) == b"x" * 2_000_000
ray.shutdown()
print("Python %d.%d" % sys.version_info[:2], "as installed")
