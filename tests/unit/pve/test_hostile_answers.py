"""A Proxmox that answers with malice: nothing it sends costs more than one request, or is sent back to it as a path."""

from __future__ import annotations

import contextlib
import gzip
import ipaddress
import json
import socket
import ssl
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from pve_evpn.pve import errors, transport
from pve_evpn.pve.credentials import Credentials
from pve_evpn.pve.gateway import Gateway
from pve_evpn.pve.session import PveSession
from pve_evpn.pve.transport import Trust

pytestmark = pytest.mark.redteam

TOKEN = Credentials("evpn@pve", "operator", "aaaaaaaa-bbbb-cccc-dddd-eeeeeeeeeeee")
Answer = Callable[[ssl.SSLSocket], None]


def certificate(days: int = 1) -> tuple[bytes, bytes, str]:
    """A certificate for 127.0.0.1 with its key, in PEM, and its fingerprint; it ends in so many days."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "hostile")])
    now = datetime.now(UTC)
    made = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(1)
        .not_valid_before(now - timedelta(days=9))
        .not_valid_after(now + timedelta(days=days))
        .add_extension(x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address("127.0.0.1"))]), critical=False)
        .sign(key, hashes.SHA256())
    )
    private = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    return made.public_bytes(serialization.Encoding.PEM), private, made.fingerprint(hashes.SHA256()).hex(":")


class Hostile:
    """A TLS server that gives every request the same bytes, in its own time."""

    def __init__(self, directory: Path, days: int = 1) -> None:
        pem, key, self.fingerprint = certificate(days)
        chain = directory / "chain.pem"
        chain.write_bytes(pem + key)
        self.pem = pem.decode()
        self._tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        self._tls.load_cert_chain(chain)
        self._listening = socket.create_server(("127.0.0.1", 0))
        self.url = f"https://127.0.0.1:{self._listening.getsockname()[1]}"
        self.answer: Answer = lambda _connection: None
        self.requests: list[bytes] = []
        threading.Thread(target=self._serve, daemon=True).start()

    def close(self) -> None:
        self._listening.close()

    def says(self, body: bytes, *headers: str, status: str = "200 OK") -> None:
        lines = [f"HTTP/1.1 {status}", f"Content-Length: {len(body)}", *headers, "", ""]
        self.answer = lambda connection: connection.sendall("\r\n".join(lines).encode() + body)

    def _serve(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                plain, _ = self._listening.accept()
                threading.Thread(target=self._one, args=(plain,), daemon=True).start()

    def _one(self, plain: socket.socket) -> None:
        with contextlib.suppress(OSError), self._tls.wrap_socket(plain, server_side=True) as connection:
            while request := connection.recv(65536):
                self.requests.append(request)
                self.answer(connection)


@pytest.fixture
def hostile(tmp_path: Path) -> Iterator[Hostile]:
    server = Hostile(tmp_path)
    yield server
    server.close()


def session(hostile: Hostile, timeout: float = 5.0, **trust: Any) -> PveSession:
    return PveSession(hostile.url, TOKEN, Trust(**trust) if trust else Trust(ca_pem=hostile.pem), timeout)


def test_an_expired_ca_is_named_and_nothing_is_sent(tmp_path: Path) -> None:
    expired = Hostile(tmp_path, days=-1)
    with contextlib.closing(expired), pytest.raises(errors.TlsRejected, match="it has expired"):
        session(expired).call("GET", "/version", {})
    assert expired.requests == []


def test_a_compressed_answer_is_refused_before_it_is_unpacked(hostile: Hostile) -> None:
    hostile.says(gzip.compress(b'{"data":"' + b"x" * 10_000_000 + b'"}'), "Content-Encoding: gzip")
    with pytest.raises(errors.Unreachable, match="compressed"):
        session(hostile).call("GET", "/version", {})
    assert b"Accept-Encoding: identity" in hostile.requests[0]


def test_an_answer_without_end_is_cut_off(hostile: Hostile, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(transport, "MAX_ANSWER", 2**20)
    sent = 0

    def endless(connection: ssl.SSLSocket) -> None:
        nonlocal sent
        connection.sendall(b"HTTP/1.1 200 OK\r\n\r\n")
        while True:
            sent += connection.send(b"x" * 65536)

    hostile.answer = endless
    with pytest.raises(errors.Unreachable, match="longer than 1 MiB"):
        session(hostile).call("GET", "/version", {})
    assert sent < 16 * 2**20


@pytest.mark.parametrize("part", ["headers", "body"])
@pytest.mark.parametrize(("method", "error"), [("GET", errors.Unreachable), ("PUT", errors.OutcomeUnknown)])
def test_an_answer_of_a_byte_at_a_time_ends_at_the_deadline(
    part: str, method: str, error: type[Exception], hostile: Hostile
) -> None:
    def dripping(connection: ssl.SSLSocket) -> None:
        text = b"HTTP/1.1 200 OK\r\nX: " + b"y" * 10_000 if part == "headers" else b"HTTP/1.1 200 OK\r\n\r\n"
        if part == "body":
            connection.sendall(text)
            text = b" " * 10_000
        for byte in text:
            connection.sendall(bytes([byte]))
            time.sleep(0.02)

    hostile.answer = dripping
    began = time.monotonic()
    with pytest.raises(error, match="in time"):
        session(hostile, timeout=0.5).call(method, "/version", {})
    assert time.monotonic() - began < 5


@pytest.mark.parametrize("status", ["302 Found", "307 Temporary Redirect"])
@pytest.mark.parametrize(("method", "error"), [("GET", errors.Unreachable), ("POST", errors.OutcomeUnknown)])
def test_a_redirect_is_never_followed(status: str, method: str, error: type[Exception], hostile: Hostile) -> None:
    hostile.says(b"", "Location: http://127.0.0.1:9/api2/json/version", status=status)
    with pytest.raises(error, match="never followed"):
        session(hostile).call(method, "/version", {})
    assert len(hostile.requests) == 1


@pytest.mark.parametrize(
    "body",
    [
        b"null",
        b"[]",
        b'"text"',
        b"{",
        b'{"data": NaN}',
        b'{"data": ' + b"9" * 5000 + b"}",
        b'{"data": ' + b"[" * 100_000 + b"]" * 100_000 + b"}",
        b"\xff\xfe",
    ],
    ids=["null", "list", "text", "half", "nan", "digits", "deep", "bytes"],
)
def test_an_answer_of_the_wrong_shape_is_an_error_of_ours(body: bytes, hostile: Hostile) -> None:
    hostile.says(body)
    with pytest.raises(errors.Unreachable, match="could not be read"):
        session(hostile).call("GET", "/version", {})
    with pytest.raises(errors.OutcomeUnknown, match="could not be read"):
        session(hostile).call("POST", "/cluster/sdn/lock", {})


def test_what_the_server_says_is_cleaned_of_control_characters_and_of_our_token(hostile: Hostile) -> None:
    said = f"line one\nPVEAPIToken={TOKEN.secret}\x1b[31m \u202eevil" + "z" * 5000
    hostile.says(json.dumps({"message": said}).encode(), status="500 no")
    with pytest.raises(errors.Refused) as caught:
        session(hostile).call("GET", "/version", {})
    shown = str(caught.value)
    assert shown.startswith("line one | PVEAPIToken=*** [31m evilzzz")
    assert len(shown) <= 500


@pytest.mark.parametrize("key", ["token", "key"])
def test_a_token_that_was_sent_is_not_quoted_back_not_even_in_part(key: str, hostile: Hostile) -> None:
    """Of an IPAM or DNS server; the text is cut within it, so it has to be hidden before."""
    secret = "netbox-" + "0123456789abcdef" * 4
    hostile.says(json.dumps({"message": "x" * 470 + secret, "errors": {key: secret}}).encode(), status="400 no")
    with pytest.raises(errors.Refused) as caught:
        session(hostile).call("POST", "/cluster/sdn/ipams", {"ipam": "nb1", key: secret})
    assert "netbox-" not in f"{caught.value} {caught.value.errors}"


@pytest.mark.parametrize("variable", ["HTTPS_PROXY", "https_proxy", "ALL_PROXY"])
def test_no_proxy_comes_from_the_environment(variable: str, hostile: Hostile, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(variable, "http://127.0.0.1:9")
    hostile.says(b'{"data": {"version": "9.2"}}')
    assert session(hostile).call("GET", "/version", {}) == {"data": {"version": "9.2"}}


class Proxy:
    """An HTTP proxy that connects every CONNECT to one place, whatever was asked for."""

    def __init__(self, port: int) -> None:
        self._port = port
        self._listening = socket.create_server(("127.0.0.1", 0))
        self.url = f"http://127.0.0.1:{self._listening.getsockname()[1]}"
        threading.Thread(target=self._serve, daemon=True).start()

    def _serve(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                client, _ = self._listening.accept()
                client.recv(65536)
                server = socket.create_connection(("127.0.0.1", self._port))
                client.sendall(b"HTTP/1.1 200 Connection established\r\n\r\n")
                for one, other in ((client, server), (server, client)):
                    threading.Thread(target=self._pump, args=(one, other), daemon=True).start()

    @staticmethod
    def _pump(one: socket.socket, other: socket.socket) -> None:
        with contextlib.suppress(OSError):
            while data := one.recv(65536):
                other.sendall(data)


def test_the_pin_holds_through_the_proxy_that_the_cluster_names(hostile: Hostile, tmp_path: Path) -> None:
    (tmp_path / "other").mkdir()
    in_the_middle = Hostile(tmp_path / "other")
    in_the_middle.says(b'{"data": {}}')
    proxy = Proxy(int(in_the_middle.url.rpartition(":")[2]))
    pinned = session(hostile, fingerprint=hostile.fingerprint, proxy=proxy.url)
    with pytest.raises(errors.TlsRejected, match="fingerprint"):
        pinned.call("GET", "/version", {})
    assert not in_the_middle.requests, "the token was sent to another server"
    hostile.says(b'{"data": {}}')
    honest = Proxy(int(hostile.url.rpartition(":")[2]))
    through = session(hostile, fingerprint=hostile.fingerprint, proxy=honest.url)
    assert through.call("GET", "/version", {}) == {"data": {}}


def test_a_password_login_is_pinned_too(hostile: Hostile) -> None:
    password = Credentials("root@pam", None, "secret")
    wrong = ":".join(["00"] * 32)
    with pytest.raises(errors.TlsRejected, match="fingerprint"):
        PveSession(hostile.url, password, Trust(fingerprint=wrong), 5)
    assert not hostile.requests
    hostile.says(b'{"data": {"ticket": "PVE:t", "CSRFPreventionToken": "c"}}')
    logged_in = PveSession(hostile.url, password, Trust(fingerprint=hostile.fingerprint), 5)
    assert logged_in.call("GET", "/version", {})
    assert b"PVEAuthCookie=PVE:t" in hostile.requests[-1]


def test_a_ca_leaves_no_file(hostile: Hostile, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "empty"))
    (tmp_path / "empty").mkdir()
    hostile.says(b"", status="401 no")
    with pytest.raises(errors.AuthenticationFailed):
        PveSession(hostile.url, Credentials("root@pam", None, "wrong"), Trust(ca_pem=hostile.pem), 5)
    assert not list((tmp_path / "empty").iterdir())


@pytest.mark.asyncio
@pytest.mark.parametrize(
    "upid",
    [
        "UPID:pve1:00000000:00000000:00000000:x:/../../../access/users:root@pam:",
        "UPID:..:00000000:00000000:00000000:srvreload:networking:root@pam:",
        "UPID:pve1",
        "../../access/users",
    ],
)
async def test_a_task_id_that_is_none_is_not_asked_for(upid: str, hostile: Hostile) -> None:
    gateway = Gateway("pve", [hostile.url], TOKEN, Trust(ca_pem=hostile.pem))
    with pytest.raises(errors.Refused, match="not the id of a task"):
        await gateway.task_end(upid)
    with pytest.raises(errors.Refused, match="no path"):
        await gateway.get("/nodes/../access/users")
    assert not hostile.requests
    gateway.close()
