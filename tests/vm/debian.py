"""Kernels and a static busybox of Debian for test machines: unpacked into the cache, never installed on the host."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import tempfile
from pathlib import Path

from tests.gobuild import cache


class Unavailable(RuntimeError):
    """The machine cannot be had here; the text says why."""


def unpacked(package: str) -> Path:
    """The files of a package, of the version that this host's Debian offers. Raises `Unavailable`."""
    if shutil.which("apt-get") is None or shutil.which("dpkg") is None:
        raise Unavailable(f"{package} is taken from Debian, and this host has no apt-get")
    version = _offered(package) or _offered(package, update=True)
    if not version:
        raise Unavailable(f"apt-get offers no package {package}")
    entry = cache() / "vm" / f"{package}-{version.replace(':', '.')}"
    if not entry.exists():
        print(f"unpacking {package} {version} (once; it is cached)", flush=True)
        entry.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=entry.parent) as work:
            _run("apt-get", "-q", "download", f"{package}={version}", folder=work)
            archive = next(Path(work).glob("*.deb"))
            _run("dpkg", "-x", str(archive), f"{work}/files")
            os.rename(f"{work}/files", entry)
    return entry


def current_kernel() -> str:
    """The package with the kernel that ``linux-image-amd64`` stands for. Raises `Unavailable`."""
    _offered("linux-image-amd64") or _offered("linux-image-amd64", update=True)
    match = re.search(r"Depends: (linux-image-\S+)", _run("apt-cache", "depends", "linux-image-amd64"))
    if match is None:
        raise Unavailable("apt-get offers no package linux-image-amd64")
    return match.group(1)


def install(program: str, package: str) -> None:
    """Have a program on the host, as root by installing its package. Raises `Unavailable`."""
    if shutil.which(program):
        return
    if os.geteuid() != 0 or shutil.which("apt-get") is None:
        raise Unavailable(f"{program} is not installed (Debian: apt-get install {package}, as root)")
    print(f"installing {package}", flush=True)
    _run("apt-get", "-q", "update")
    _run("apt-get", "-q", "install", "-y", "--no-install-recommends", package)


def _offered(package: str, *, update: bool = False) -> str:
    """The version; empty where there is none."""
    if update and os.geteuid() == 0:
        _run("apt-get", "-q", "update")
    match = re.search(r"Candidate: (\S+)", _run("apt-cache", "policy", package))
    return match.group(1) if match and match.group(1) != "(none)" else ""


def _run(*command: str, folder: str | None = None) -> str:
    environment = {**os.environ, "DEBIAN_FRONTEND": "noninteractive", "LC_ALL": "C"}
    done = subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, check=False)
    if done.returncode:
        raise Unavailable(f"{' '.join(command)} failed: {(done.stderr or done.stdout).strip()[-500:]}")
    return done.stdout
