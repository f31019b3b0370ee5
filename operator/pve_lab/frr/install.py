"""What the real data plane needs of the machine, and getting it: ``python -m pve_lab.frr.install``.

Root, Linux namespaces, and from Debian FRR with its reload script and sshd. Installing starts no service.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

PACKAGES = ("frr", "frr-pythontools", "openssh-server", "iproute2")
_POLICY = Path("/usr/sbin/policy-rc.d")
_NEEDED = {
    "FRR": Path("/usr/lib/frr/bgpd"),
    "frr-reload.py": Path("/usr/lib/frr/frr-reload.py"),
    "sshd": Path("/usr/sbin/sshd"),
}


def missing() -> str | None:
    """Why real FRR cannot be had here, for people; None where it can."""
    if os.geteuid() != 0:
        return "network namespaces need root"
    lacking = [name for name, path in _NEEDED.items() if not path.exists()]
    lacking += [tool for tool in ("ip", "bridge", "unshare", "nsenter") if shutil.which(tool) is None]
    if lacking:
        return f"not installed: {', '.join(lacking)} (Debian: apt-get install {' '.join(PACKAGES)})"
    return None


def ensure() -> str | None:
    """Install what is missing where that is possible; afterwards as `missing`."""
    why = missing()
    if why is None or os.geteuid() != 0 or shutil.which("apt-get") is None:
        return why
    print(f"installing {' '.join(PACKAGES)}", flush=True)
    environment = {**os.environ, "DEBIAN_FRONTEND": "noninteractive"}
    with _no_services():
        for command in (["update"], ["install", "-y", "--no-install-recommends", *PACKAGES]):
            done = subprocess.run(
                ["apt-get", "-q", *command], env=environment, capture_output=True, text=True, check=False
            )
            if done.returncode:
                return f"apt-get {command[0]} failed: {(done.stderr or done.stdout).strip()[-500:]}"
    return missing()


@contextlib.contextmanager
def _no_services() -> Iterator[None]:
    """Debian asks this file whether a package may start its service."""
    if _POLICY.exists():
        yield
        return
    _POLICY.write_text("#!/bin/sh\nexit 101\n")
    _POLICY.chmod(0o755)
    try:
        yield
    finally:
        _POLICY.unlink()


if __name__ == "__main__":
    problem = ensure()
    print(f"real FRR cannot be had here: {problem}" if problem else "FRR and sshd are there")
    sys.exit(1 if problem else 0)
