# SPDX-License-Identifier: Apache-2.0
"""The program that workers of a Python driver run: a zip archive that Python executes, made of a few lines and the driver's own modules.

A node gets it by content, once, as it gets the executable of a C driver. It names the driver's interpreter by path; a node where that is
missing, is of another version, or has no mobula, says so (MOBULA_CHECK: raylet/script.c) and takes no task of the driver.
"""

import io
import os
import sys
import types
import zipfile

from mobula import _runtime_env

_SIZE_MAX = 64 << 20
_NOT_USED = ("__main__", "__mp_main__", "builtins", "mobula", "IPython", "ipykernel", "pytest", "_pytest")

_MAIN = '''\
import os, sys
os.environ.update({env_vars!r})

def lacks():
    if sys.version_info[:2] != {version!r}:
        return "the driver runs Python %d.%d, and %s here is %d.%d" % (*{version!r}, sys.executable, *sys.version_info[:2])
    here = [os.path.join(folder, python) for folder in os.environ.get("LD_LIBRARY_PATH", "").split(":") if folder
            for python in ("../python", "mobula/python")]
    sys.path.extend(folder for folder in here if os.path.isdir(folder))
    try:
        import mobula._core
    except ImportError as e:
        return "%s: %s" % (sys.executable, e)
    return None

why = lacks()
if os.environ.pop("MOBULA_CHECK", None):
    print(why or "fits")
    sys.exit(0)
if why:
    sys.exit(why)
from mobula import _worker
_worker.main({main!r}, {settings!r}, {modules!r})
'''


def interpreter():
    """The path of the driver's interpreter, for the first line of the program."""
    path = os.path.abspath(sys.executable) if sys.executable else ""
    if not path or len(path) > 250 or any(c.isspace() for c in path):
        raise RuntimeError(f"The path of the Python interpreter, {path!r}, cannot stand in a script's first line: it is empty, has "
                           "spaces, or is longer than 250 characters. Start the driver with another one.")
    return path


def _folder_of_main():
    """Where the driver's modules are found: its script's folder; of a module that runs by -m, the one that its outermost package is in; of an
    interactive session, which imports from where it is, that folder."""
    main = sys.modules.get("__main__")
    path = getattr(main, "__file__", None)
    if not path:
        return os.getcwd() if hasattr(sys, "ps1") else None
    folder = os.path.dirname(os.path.abspath(path))
    package = getattr(getattr(main, "__spec__", None), "parent", None)
    for _ in package.split(".") if package else ():
        folder = os.path.dirname(folder)
    return folder


def own_modules():
    """(name in the archive, path) of each module file beside the driver's script, in packages, too."""
    folder = _folder_of_main()
    if folder is None or os.path.isfile(folder) or folder.startswith((sys.prefix + os.sep, sys.base_prefix + "/lib/")):
        return []
    found = [(name, os.path.join(folder, name)) for name in sorted(os.listdir(folder)) if name.endswith(".py")]
    for name in sorted(os.listdir(folder)):
        if os.path.isfile(os.path.join(folder, name, "__init__.py")):
            for inner, _, files in os.walk(os.path.join(folder, name)):
                paths = [os.path.join(inner, file) for file in sorted(files) if file.endswith(".py")]
                found += [(os.path.relpath(path, folder), path) for path in paths]
    return found


def _module_of(value):
    """The name of the module that this is, or comes from; else None. Objects of other types are not asked: some answer with an import, or
    raise."""
    if issubclass(type(value), types.ModuleType):
        return object.__getattribute__(value, "__dict__").get("__name__")
    if issubclass(type(value), (type, types.FunctionType, types.BuiltinFunctionType)):
        return value.__module__
    return None


def used_modules(own):
    """What a worker will probably import: of `own`, the driver's own modules, those that are loaded now; and what its script has from
    others, but for what an interactive shell brings along. Sorted."""
    used = set()
    for name, path in own:
        name = name[:-3].removesuffix("/__init__").replace("/", ".")
        file = getattr(sys.modules.get(name), "__file__", None)
        if file and os.path.abspath(file) == path:
            used.add(name)
    for value in list(vars(sys.modules["__main__"]).values()) if "__main__" in sys.modules else ():
        name = _module_of(value)
        if isinstance(name, str) and name in sys.modules and name.split(".")[0] not in _NOT_USED:
            used.add(name)
    return sorted(used)


def make(environment, namespace):
    """The bytes of the program. The same modules, files and variables make the same bytes, whenever they are made."""
    archive, own = io.BytesIO(), own_modules()
    archive.write(f"#!{interpreter()}\n# mobula: forks workers\n".encode())
    with zipfile.ZipFile(archive, "a", zipfile.ZIP_STORED) as z:
        main = getattr(sys.modules.get("__main__"), "__file__", None)
        settings = {"namespace": namespace, "runtime_env": environment.public(), "files": bool(environment.working_dir)}
        text = _MAIN.format(version=tuple(sys.version_info[:2]), main=os.path.basename(main) if main else None, settings=settings,
                            env_vars=dict(sorted(environment.env_vars.items())), modules=used_modules(own))
        z.writestr(zipfile.ZipInfo("__main__.py"), text)
        _add_own_modules(z, own)
        _runtime_env.add_to(z, environment, zipfile.ZipInfo)
    return archive.getvalue()


def _add_own_modules(z, own):
    size = 0
    for name, path in own:
        if name == "__main__.py" or not os.access(path, os.R_OK):
            continue
        with open(path, "rb") as file:
            data = file.read()
        size += len(data)
        if size > _SIZE_MAX:
            raise RuntimeError(f"The modules beside the driver's script have more than {_SIZE_MAX >> 20} MiB; move the script to a folder "
                               "of its own, with what it imports.")
        z.writestr(zipfile.ZipInfo(name), data)
