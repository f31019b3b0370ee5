"""FRR 10 of Debian 13 in a folder of its own, for what only that release does: ``python -m tests.frr.frr10``.

Debian's packages are fetched by apt into the cache and unpacked, never installed: the machine keeps the FRR it has.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

ROOT = Path(os.environ.get("XDG_CACHE_HOME", Path.home() / ".cache")) / "pve-evpn-operator" / "frr-10"
_MIRROR = "http://deb.debian.org/debian"
_KEYRING = "/usr/share/keyrings/debian-archive-keyring.gpg"
_DEVICES = {"null": (1, 3), "urandom": (1, 9)}


def missing() -> str | None:
    """Why FRR 10 cannot be used here, for people; None where it can."""
    if os.geteuid() != 0:
        return "network namespaces need root"
    if not (ROOT / "usr/lib/frr/bgpd").exists():
        return "FRR 10 is not in the cache (python -m tests.frr.frr10 fetches it)"
    return None


def fetch() -> None:
    """Fetch and unpack it. Raises CalledProcessError with what apt says."""
    apt = ROOT / "apt"
    for folder in ("state/lists/partial", "cache/archives/partial", "etc"):
        (apt / folder).mkdir(parents=True, exist_ok=True)
    (apt / "status").touch()
    (apt / "etc/sources.list").write_text(f"deb [signed-by={_KEYRING}] {_MIRROR} trixie main\n")
    settings = {
        "Dir::State": apt / "state",
        "Dir::State::status": apt / "status",
        "Dir::Cache": apt / "cache",
        "Dir::Etc::sourcelist": apt / "etc/sources.list",
        "Dir::Etc::sourceparts": "/dev/null",
        "APT::Install-Recommends": "false",
        "APT::Sandbox::User": "root",
    }
    options = [word for name, value in settings.items() for word in ("-o", f"{name}={value}")]
    for command in (["update"], ["install", "--download-only", "-y", "frr"]):
        subprocess.run(["apt-get", "-q", *options, *command], check=True, stdout=sys.stderr)
    for name in ("bin", "lib", "lib64", "sbin"):
        (ROOT / "usr" / name).mkdir(parents=True, exist_ok=True)
        if not (ROOT / name).exists():
            (ROOT / name).symlink_to(f"usr/{name}")
    for package in sorted((apt / "cache/archives").glob("*.deb")):
        subprocess.run(["dpkg-deb", "-x", str(package), str(ROOT)], check=True)
    shutil.rmtree(apt)
    _furnish()


def _furnish() -> None:
    """What the daemons look for in their root."""
    (ROOT / "etc").mkdir(exist_ok=True)
    (ROOT / "etc/passwd").write_text("root:x:0:0:root:/root:/bin/sh\nfrr:x:900:900::/:/bin/false\n")
    (ROOT / "etc/group").write_text("root:x:0:\nfrr:x:900:\nfrrvty:x:901:frr,root\n")
    (ROOT / "etc/pam.d").mkdir(exist_ok=True)
    for name in ("frr", "other"):
        (ROOT / "etc/pam.d" / name).write_text("auth sufficient pam_permit.so\naccount sufficient pam_permit.so\n")
    (ROOT / "dev").mkdir(exist_ok=True)
    for name, (major, minor) in _DEVICES.items():
        if not (ROOT / "dev" / name).exists():
            os.mknod(ROOT / "dev" / name, 0o20666, os.makedev(major, minor))


def main() -> int:
    """Have it in the cache. 1 where it cannot be had; ``LEFT OUT`` says why."""
    try:
        if missing():
            fetch()
        command = ["chroot", str(ROOT), "/usr/lib/frr/bgpd", "--version"]
        print(subprocess.run(command, check=True, capture_output=True, text=True).stdout.partition("\n")[0])
    except (OSError, subprocess.CalledProcessError) as error:
        print(f"LEFT OUT: zombies of FRR 10.3 (tests/frr/test_zombies.py): {error}")
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
