"""The image, built with buildah on a base from an image registry, or from debootstrap where no registry answers.

Runs as root, in a container too (vfs storage, chroot isolation). The Debian base is cached like the built programs.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

from tests.gobuild import cache

ROOT = Path(__file__).parents[2]
PYTHON = "python:3.11-slim-bookworm"
SUITE = "bookworm"
VERSION = "0.0.0-test"


class Buildah:
    """One storage folder and the commands on it."""

    def __init__(self, folder: Path) -> None:
        self._options = ("--storage-driver", "vfs", "--root", str(folder / "storage"), "--runroot", str(folder / "run"))

    def __call__(self, *arguments: str, check: bool = True, timeout: float = 900) -> str:
        done = subprocess.run(
            ["buildah", *self._options, *arguments], capture_output=True, text=True, timeout=timeout, cwd=ROOT
        )
        if check and done.returncode:
            raise RuntimeError(f"buildah {' '.join(arguments)}:\n{done.stdout[-2000:]}{done.stderr[-3000:]}")
        return done.stdout.strip() if done.returncode == 0 else ""


def build(buildah: Buildah, tag: str, version: str = VERSION, revision: str = "unknown", tree: Path = ROOT) -> str:
    """Build the image of a tree; what it stands on."""
    if buildah("pull", "--policy=missing", PYTHON, check=False, timeout=60):
        base = build_base = PYTHON
    else:
        _say(f"no registry has {PYTHON}: Debian {SUITE} by debootstrap instead")
        base, build_base = "localhost/python", "localhost/python-with-pip"
        _image(buildah, _debian(with_pip=False), base)
        _image(buildah, _debian(with_pip=True), build_base)
    arguments = [f"--build-arg=BASE={base}", f"--build-arg=BUILD_BASE={build_base}", f"--build-arg=VERSION={version}"]
    arguments.append(f"--build-arg=REVISION={revision}")
    # How this machine reaches the package index is no part of the image.
    mounts = [f"--volume={path}:{path}:ro" for path in ("/etc/ssl/certs", "/etc/pip.conf") if Path(path).exists()]
    buildah(
        "bud",
        "--isolation=chroot",
        "--layers=false",
        *arguments,
        *mounts,
        "-t",
        tag,
        "-f",
        str(tree / "Dockerfile"),
        str(tree),
    )
    return base


def _image(buildah: Buildah, root: Path, name: str) -> None:
    container = buildah("from", "scratch")
    buildah("add", "-q", container, str(root), "/")
    buildah("commit", "-q", "--rm", container, name)


def _debian(*, with_pip: bool) -> Path:
    """The root file system of a small Debian with Python, as a tar archive."""
    archive = cache() / "images" / f"debian-{SUITE}-python{'-pip' if with_pip else ''}.tar"
    if archive.exists():
        return archive
    archive.parent.mkdir(parents=True, exist_ok=True)
    work = archive.with_suffix(f".{os.getpid()}")
    packages = ["python3", "ca-certificates", *(["python3-pip", "python3-venv"] if with_pip else [])]
    _say(f"debootstrap {SUITE} with {', '.join(packages)} (once; it is cached)")
    try:
        command = ["debootstrap", "--variant=minbase", f"--include={','.join(packages)}", SUITE, str(work)]
        subprocess.run(command, check=True, stdout=subprocess.DEVNULL, timeout=900)
        for rubbish in ("var/cache/apt/archives", "var/lib/apt/lists", "usr/share/doc", "usr/share/locale"):
            shutil.rmtree(work / rubbish, ignore_errors=True)
        made = archive.with_suffix(".new")
        subprocess.run(["tar", "-C", str(work), "--one-file-system", "-cf", str(made), "."], check=True)
        made.rename(archive)
    finally:
        shutil.rmtree(work, ignore_errors=True)
    return archive


def _say(text: str) -> None:
    sys.stderr.write(text + "\n")
    sys.stderr.flush()
