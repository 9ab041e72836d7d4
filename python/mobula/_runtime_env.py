# SPDX-License-Identifier: Apache-2.0
"""runtime_env: what the workers of a job find around them. A working_dir is packed into the program that nodes get by content
(_program.py), and unpacked once on each of them (unpack())."""

import logging
import os
import re
import shutil
import stat
import sys
import tempfile
import zipfile
from dataclasses import dataclass, field

KEYS = ("env_vars", "working_dir", "excludes")
LATER = ("py_modules", "py_executable", "pip", "uv", "conda", "container", "image_uri", "worker_process_setup_hook", "config", "java_jars",
         "nsight")
PREFIX = "mobula.working_dir/"          # of its files in the archive
_SIZE_MAX, _FILE_WARN = 512 << 20, 10 << 20
_ALWAYS_OUT = {".git", ".venv", "venv", "__pycache__"}
_IGNORE_FILES = (".gitignore", ".rayignore")
logger = logging.getLogger("mobula")


@dataclass(frozen=True)
class Environment:
    """A runtime_env, checked. `files`: (name in working_dir, path on this machine, or bytes, mode), in order."""

    env_vars: dict = field(default_factory=dict)
    working_dir: str | None = None
    files: tuple = ()

    def public(self):
        """As the user sees it."""
        return {key: value for key, value in (("env_vars", self.env_vars), ("working_dir", self.working_dir)) if value}


def make(said):
    """The Environment of a dict as Ray's; wrong words are refused by name."""
    said = said or {}
    if not isinstance(said, dict):
        raise TypeError(f"runtime_env must be a dict, not {said!r}")
    for key in said:
        if key in LATER:
            raise ValueError(f"runtime_env: {key!r} is not there yet; {', '.join(KEYS)} are.")
        if key not in KEYS:
            raise ValueError(f"runtime_env: there is no {key!r}; there are {', '.join(KEYS)}.")
    env_vars = said.get("env_vars") or {}
    if not isinstance(env_vars, dict) or not all(isinstance(word, str) for item in env_vars.items() for word in item):
        raise TypeError(f"runtime_env['env_vars'] must be of type Dict[str, str], and is {env_vars!r}")
    for name, value in env_vars.items():
        if not name or "=" in name or "\0" in name + value:
            raise ValueError(f"runtime_env['env_vars']: {name!r} cannot be a variable of the environment")
    excludes = said.get("excludes") or []
    if isinstance(excludes, str) or not all(isinstance(pattern, str) for pattern in excludes):
        raise TypeError(f"runtime_env['excludes'] must be a list of patterns as in .gitignore, and is {excludes!r}")
    working_dir = said.get("working_dir")
    if working_dir is None:
        return Environment(env_vars)
    if not isinstance(working_dir, (str, os.PathLike)):
        raise TypeError(f"runtime_env['working_dir'] must be the path of a folder or zip file, not {working_dir!r}")
    return Environment(env_vars, os.fspath(working_dir), tuple(_files_of(working_dir, excludes)))


# -- the files of a working_dir ------------------------------------------------------------------------------------------------

def _files_of(working_dir, excludes):
    path = os.path.abspath(os.path.expanduser(os.fspath(working_dir)))
    if "://" in os.fspath(working_dir):
        raise ValueError(f"runtime_env['working_dir']: {working_dir} is no path of this machine; fetch it first")
    if os.path.isdir(path):
        files = _files_of_folder(path, excludes)
    elif path.endswith(".zip") and os.path.isfile(path):
        files = _files_of_zip(path)
    else:
        raise ValueError(f"working_dir directory {path} must be an existing directory or a zip file")
    return _within_limit(files)


def _within_limit(files):
    total = 0
    for name, what, mode in files:
        size = len(what) if isinstance(what, bytes) else os.stat(what).st_size
        total += size
        if size > _FILE_WARN:
            logger.warning("File %s is very large (%.2fMiB). Consider adding this file to the 'excludes' list to skip uploading it: "
                           "`mobula.init(..., runtime_env={'excludes': ['%s']})`", name, size / (1 << 20), name)
        if total > _SIZE_MAX:
            raise ValueError(f"Package size exceeds the maximum size of {_SIZE_MAX >> 20}.00MiB, with {name}. You can exclude large files "
                             "using the 'excludes' option to the runtime_env.")
        yield name, what, mode


def _files_of_zip(path):
    try:
        with zipfile.ZipFile(path) as z:
            for info in sorted((info for info in z.infolist() if not info.is_dir()), key=lambda info: info.filename):
                yield info.filename, z.read(info), (info.external_attr >> 16) & 0o777 or 0o644
    except zipfile.BadZipFile as e:
        raise ValueError(f"working_dir {path} is no zip file: {e}") from e


def _files_of_folder(root, excludes):
    rules = [(root, _rules(excludes))]
    for folder, names, files in os.walk(root):
        rules = [(base, rule) for base, rule in rules if (folder + os.sep).startswith(base + os.sep)]
        for ignore in _IGNORE_FILES:
            if ignore in files:
                with open(os.path.join(folder, ignore), encoding="utf-8", errors="replace") as file:
                    rules.append((folder, _rules(file)))
        names[:] = sorted(name for name in names if name not in _ALWAYS_OUT and not _is_out(rules, os.path.join(folder, name), True))
        for name in sorted(files):
            path = os.path.join(folder, name)
            if not _is_out(rules, path, False) and os.path.exists(path) and stat.S_ISREG(os.stat(path).st_mode):
                yield os.path.relpath(path, root), path, os.stat(path).st_mode & 0o777


def _rules(lines):
    """(is it left out, does it match folders alone, pattern) of the lines of a .gitignore."""
    rules = []
    for line in lines:
        line = line.rstrip("\n").rstrip()
        if not line or line.startswith("#"):
            continue
        out = not line.startswith("!")
        line = line if out else line[1:]
        body = line.rstrip("/")
        anchored = "/" in body
        rules.append((out, line.endswith("/"), re.compile(("" if anchored else "(.*/)?") + _regex(body.lstrip("/")) + r"\Z", re.DOTALL)))
    return rules


def _regex(pattern):
    words = {"**/": "(.*/)?", "/**": "/.*", "**": ".*", "*": "[^/]*", "?": "[^/]"}
    parts = re.split(r"(\*\*/|/\*\*|\*\*|\*|\?|\[[^]]+\])", pattern)
    return "".join(words.get(part) or (part.replace("[!", "[^") if part.startswith("[") else re.escape(part)) for part in parts)


def _is_out(rules, path, folder):
    out = False
    for base, of_file in rules:
        name = os.path.relpath(path, base)
        for says_out, folders_alone, pattern in of_file:
            if (folder or not folders_alone) and pattern.match(name):
                out = says_out
    return out


def add_to(z, environment, info_of):
    """Write its files into an open archive. info_of(name): a ZipInfo of it."""
    for name, what, mode in environment.files:
        info = info_of(PREFIX + name)
        info.external_attr = (stat.S_IFREG | mode) << 16
        if isinstance(what, bytes):
            z.writestr(info, what)
            continue
        with open(what, "rb") as file:
            z.writestr(info, file.read())


# -- on a node -----------------------------------------------------------------------------------------------------------------

def unpack(archive):
    """The folder with the working_dir of a program, made by the first worker that needs it: beside the program, where the raylet removes
    both. It is this process's folder from now on, and first on sys.path."""
    folder = archive + ".files"
    if not os.path.isdir(folder):
        made = tempfile.mkdtemp(prefix=os.path.basename(folder) + ".", dir=os.path.dirname(folder))
        _extract(archive, made)
        try:
            os.rename(made, folder)
        except OSError:                     # another worker was faster
            shutil.rmtree(made)
    os.chdir(folder)
    sys.path.insert(0, folder)


def _extract(archive, folder):
    with zipfile.ZipFile(archive) as z:
        for info in z.infolist():
            if info.filename.startswith(PREFIX):
                info.filename = info.filename[len(PREFIX):]
                os.chmod(z.extract(info, folder), (info.external_attr >> 16) & 0o777)
