"""Linux namespaces of one lab: made under a name of its own, and gone with the process that made them.

Several labs may run on one machine. Each has a prefix for its network namespaces and a folder below `/var/lib/pve-lab`
that it holds a lock on; a folder without a lock was left behind by a killed lab, and the next lab removes it. Node
processes need no such care: their first process reads from a pipe of the lab's and ends with it.
"""

from __future__ import annotations

import contextlib
import ctypes
import fcntl
import os
import secrets
import shutil
import socket
import subprocess
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import IO, TypeVar

STATE = Path("/var/lib/pve-lab")
#: Of the nodes' sshd, on loopback addresses that are the lab's own.
SSH_PORT = 2222
_NETNS = Path("/run/netns")
_CLONE_NEWNET = 0x40000000
T = TypeVar("T")


class CommandFailed(RuntimeError):
    """A program in a lab node failed; the text is what it printed."""


def run(*command: str, stdin: str | None = None, check: bool = True) -> str:
    """A program's output. Raises `CommandFailed`."""
    done = subprocess.run(command, input=stdin, capture_output=True, text=True, check=False, timeout=120)
    if check and done.returncode:
        said = (done.stderr.strip() or done.stdout.strip())[-2000:]
        raise CommandFailed(f"{' '.join(command)}: exit status {done.returncode}: {said}")
    return done.stdout


def inside(namespace: str, work: Callable[[], T]) -> T:
    """What `work` returns when it runs in a network namespace; sockets it opens belong there for good.

    A thread of its own enters, so that the caller stays where it is.
    """
    result: list[T] = []
    problem: list[BaseException] = []

    def enter() -> None:
        try:
            descriptor = os.open(_NETNS / namespace, os.O_RDONLY)
            try:
                if ctypes.CDLL(None, use_errno=True).setns(descriptor, _CLONE_NEWNET):
                    raise OSError(ctypes.get_errno(), f"cannot enter network namespace {namespace}")
            finally:
                os.close(descriptor)
            result.append(work())
        except BaseException as error:
            problem.append(error)

    thread = threading.Thread(target=enter)
    thread.start()
    thread.join()
    if problem:
        raise problem[0]
    return result[0]


class LabFolder:
    """One lab's name, number and folder. The number distinguishes labs on one machine where a name cannot."""

    def __init__(self) -> None:
        STATE.mkdir(mode=0o755, exist_ok=True)
        with _exclusively():
            for left in STATE.iterdir():
                if left.is_dir() and _is_abandoned(left):
                    _remove(left)
            taken = {int(path.read_text()) for path in STATE.glob("*/number")}
            self.number = next(n for n in range(1, 255) if n not in taken and _is_free(n))
            self.prefix = f"lab{secrets.token_hex(2)}"
            self.path = STATE / self.prefix
            self.path.mkdir(mode=0o755)
            (self.path / "number").write_text(str(self.number))
            self._lock: IO[str] = (self.path / "lock").open("w")
            fcntl.flock(self._lock, fcntl.LOCK_EX)

    def address(self, node: int) -> str:
        """Where the machine reaches a node's sshd, by the node's number."""
        return _loopback(self.number, node)

    def name(self, part: str) -> str:
        """The network namespace of a part of this lab."""
        return f"{self.prefix}-{part}"

    def add(self, part: str) -> str:
        """Make an empty network namespace; its name."""
        name = self.name(part)
        run("ip", "netns", "add", name)
        run("ip", "-n", name, "link", "set", "dev", "lo", "up")
        return name

    def close(self) -> None:
        with _exclusively():
            _remove(self.path)
        self._lock.close()


class NodeSpace:
    """The namespaces of one node, kept by a first process that ends when this one does."""

    #: Private /run: FRR's sockets and sshd's folder of this node are not those of the machine or of another node.
    _BOOT = """
set -e
read -r pid _ </proc/self/stat
mount -t proc proc /proc
mount -t sysfs sysfs /sys
mount -t tmpfs -o mode=755 tmpfs /run
mkdir /run/frr /run/sshd
mount --bind "$FOLDER/run" /run/frr
mount --bind "$FOLDER/etc" /etc/frr
mount --bind "$FOLDER/log" /var/log/frr
mount --bind "$FOLDER/sbin" /usr/local/sbin
mount --bind "$FOLDER/shadow" /etc/shadow
hostname "$NAME"
echo "$pid"
cat || :
"""

    def __init__(self, lab: LabFolder, name: str) -> None:
        self.name = name
        self.folder = lab.path / name
        self.netns = lab.name(name)
        for part in ("run", "etc", "log", "sbin"):
            (self.folder / part).mkdir(parents=True)
        # Keys may only be used for root if root's password is not locked, as it is on some machines.
        (self.folder / "shadow").write_text("root:*:20000:0:99999:7:::\n")
        (self.folder / "shadow").chmod(0o600)
        self._first = subprocess.Popen(
            ["unshare", "--fork", "--kill-child", "--pid", "--mount", "--uts", "--net", "sh", "-c", self._BOOT],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
            env={"PATH": "/usr/sbin:/usr/bin:/sbin:/bin", "FOLDER": str(self.folder), "NAME": name},
        )  # fmt: skip
        assert self._first.stdout is not None
        line = self._first.stdout.readline().strip()
        if not line:
            raise CommandFailed(f"the namespaces of {name} could not be made (is this a restricted container?)")
        self.pid = int(line)
        run("ip", "netns", "attach", self.netns, line)
        run("ip", "-n", self.netns, "link", "set", "dev", "lo", "up")

    def command(self, *command: str) -> list[str]:
        """What to execute to have `command` run on the node."""
        return ["nsenter", "-t", str(self.pid), "-m", "-u", "-n", "-p", "--", *command]

    def run(self, *command: str, stdin: str | None = None, check: bool = True) -> str:
        return run(*self.command(*command), stdin=stdin, check=check)

    def ip(self, *arguments: str) -> str:
        return run("ip", "-n", self.netns, *arguments)

    def bridge(self, *arguments: str, check: bool = True) -> str:
        return run("bridge", "-n", self.netns, *arguments, check=check)

    def sysctl(self, **values: str | int) -> None:
        """Set sysctls below ``net``; the names are written with ``__`` for a dot."""

        def write() -> None:
            for name, value in values.items():
                path = Path("/proc/sys/net", *name.split("__"))
                if path.exists():
                    path.write_text(str(value))

        inside(self.netns, write)

    def close(self) -> None:
        """End all that runs on the node."""
        assert self._first.stdin is not None
        assert self._first.stdout is not None
        self._first.stdin.close()
        try:
            self._first.wait(5)
        except subprocess.TimeoutExpired:
            self._first.kill()
            self._first.wait(5)
        self._first.stdout.close()


@contextlib.contextmanager
def _exclusively() -> Iterator[None]:
    """Labs begin and end one at a time, so that none is taken for a dead one while it begins."""
    with (STATE / ".lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def _loopback(lab: int, node: int) -> str:
    return f"127.20.{lab}.{node}"


def _is_free(number: int) -> bool:
    """Whether the port is free: a lab in a container, with another root folder, is not among the folders here."""
    try:
        socket.create_server((_loopback(number, 1), SSH_PORT)).close()
    except OSError:
        return False
    return True


def _is_abandoned(folder: Path) -> bool:
    try:
        with (folder / "lock").open("r") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except FileNotFoundError:
        return True
    except BlockingIOError:
        return False
    return True


def _remove(folder: Path) -> None:
    """A lab's network namespaces and its folder. With the namespaces go their interfaces."""
    for path in _NETNS.glob(f"{folder.name}-*"):
        run("ip", "netns", "del", path.name, check=False)
    shutil.rmtree(folder, ignore_errors=True)
