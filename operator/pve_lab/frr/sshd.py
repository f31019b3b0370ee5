"""sshd of every lab node, reached by an address of its own on the machine's loopback.

The listening socket is the machine's, the sshd that serves a connection runs on the node, with the node's network,
FRR sockets and files: what the key's forced command sees is what it would see on Proxmox.
"""

from __future__ import annotations

import contextlib
import shutil
import socket
import subprocess
import threading
from collections.abc import Iterable
from pathlib import Path

from pve_lab.frr.namespaces import SSH_PORT, NodeSpace, run

HELPER = "/usr/local/sbin/pve-evpn-observe"
_CONFIG = """
HostKey {folder}/host_key
AuthorizedKeysFile {folder}/authorized_keys
PidFile none
UsePAM no
UseDNS no
StrictModes no
PasswordAuthentication no
PermitRootLogin prohibit-password
AllowTcpForwarding no
X11Forwarding no
PrintMotd no
LogLevel VERBOSE
"""


class ClientKey:
    """A key pair for reading the lab's nodes."""

    def __init__(self, folder: Path) -> None:
        self.path = folder / "id_ed25519"
        _generate(self.path)
        self.private = self.path.read_text()
        self.public = self.path.with_suffix(".pub").read_text().strip()


class Sshd:
    """One node's."""

    def __init__(self, space: NodeSpace, address: str, helpers: Iterable[Path]) -> None:
        self.address = address
        self._space = space
        self._keys = space.folder / "authorized_keys"
        self._keys.touch(mode=0o600)
        for helper in helpers:
            target = space.folder / "sbin" / helper.name
            shutil.copyfile(helper, target)
            target.chmod(0o755)
        _generate(space.folder / "host_key")
        (space.folder / "sshd_config").write_text(_CONFIG.format(folder=space.folder))
        self.host_key = " ".join((space.folder / "host_key.pub").read_text().split()[:2])
        self._listener: socket.socket | None = None
        self._serving: list[tuple[socket.socket, subprocess.Popen[bytes]]] = []

    @property
    def known_hosts(self) -> str:
        return f"{self.address} {self.host_key}\n[{self.address}]:{SSH_PORT} {self.host_key}\n"

    def authorize(self, *lines: str) -> None:
        """The whole of root's authorized_keys."""
        self._keys.write_text("".join(f"{line}\n" for line in lines))

    def start(self) -> None:
        if self._listener is not None:
            return
        self._listener = socket.create_server((self.address, SSH_PORT))
        threading.Thread(target=self._accept, args=(self._listener,), daemon=True).start()

    def stop(self) -> None:
        """Refuse connections and break those there are."""
        listener, self._listener = self._listener, None
        if listener is not None:
            with contextlib.suppress(OSError):
                listener.shutdown(socket.SHUT_RDWR)
            listener.close()
        serving, self._serving = self._serving, []
        for connection, process in serving:
            # The socket is shared with the sshd that serves it, which ends when it is gone.
            with contextlib.suppress(OSError):
                connection.shutdown(socket.SHUT_RDWR)
            connection.close()
            process.wait()

    def _accept(self, listener: socket.socket) -> None:
        command = self._space.command(
            "/usr/sbin/sshd", "-i", "-f", f"{self._space.folder}/sshd_config", "-E", "/var/log/frr/sshd.log"
        )
        while True:
            try:
                connection, _ = listener.accept()
            except OSError:
                return
            self._forget_ended()
            wire = connection.fileno()
            process = subprocess.Popen(command, stdin=wire, stdout=wire, stderr=subprocess.DEVNULL)
            self._serving.append((connection, process))

    def _forget_ended(self) -> None:
        ended = [pair for pair in self._serving if pair[1].poll() is not None]
        for pair in ended:
            pair[0].close()
            self._serving.remove(pair)


def _generate(path: Path) -> None:
    run("ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-C", "pve-lab", "-f", str(path))
