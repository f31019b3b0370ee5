"""Proxmox at an IPv6 address: the brackets of the endpoint reach the socket, the TLS check and the request."""

from __future__ import annotations

import hashlib
import shutil
import socket
import socketserver
import ssl
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from urllib.parse import urlsplit

import pytest

from pve_evpn.pve.credentials import Credentials
from pve_evpn.pve.session import PveSession
from pve_evpn.pve.transport import Trust
from pve_lab.lab import Lab
from pve_lab.server import LabServer
from tests.kube.ports import has_ipv6


class _Forwarder(socketserver.ThreadingTCPServer):
    address_family = socket.AF_INET6
    daemon_threads = True


@contextmanager
def _at_ipv6(port: int) -> Iterator[int]:
    """A port of ::1 whose connections go to a port of 127.0.0.1."""

    class Handler(socketserver.StreamRequestHandler):
        def handle(self) -> None:
            with socket.create_connection(("127.0.0.1", port)) as there, there.makefile("wb", 0) as to:
                back = threading.Thread(target=self._back, args=(there,), daemon=True)
                back.start()
                shutil.copyfileobj(self.connection.makefile("rb", 0), to)
                there.shutdown(socket.SHUT_WR)
                back.join(5)

        def _back(self, there: socket.socket) -> None:
            shutil.copyfileobj(there.makefile("rb", 0), self.wfile)

    with _Forwarder(("::1", 0), Handler) as server:
        threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True).start()
        yield server.server_address[1]
        server.shutdown()


@pytest.mark.skipif(not has_ipv6(), reason="LEFT OUT: this machine has no IPv6")
def test_an_endpoint_at_an_ipv6_address_answers() -> None:
    lab = Lab(["pve1"])
    lab.tokens["root@pam!t"] = "secret"
    with LabServer(lab) as server:
        port = urlsplit(server.url).port or 0
        pem = ssl.get_server_certificate(("127.0.0.1", port))
        digest = hashlib.sha256(ssl.PEM_cert_to_DER_cert(pem)).hexdigest()
        pin = ":".join(digest[at : at + 2] for at in range(0, 64, 2))
        with _at_ipv6(port) as forwarded:
            token = Credentials("root@pam", "t", "secret")
            session = PveSession(f"https://[::1]:{forwarded}", token, Trust(fingerprint=pin), 10)
            try:
                assert session.call("GET", "version", {})["data"]
            finally:
                session.close()
