"""How bytes travel between the operator and one Proxmox endpoint: trust, size and time.

requests and urllib3 do the work; this module closes what they leave open to a server that answers with malice:

* the certificate is checked by a CA given in memory or by its fingerprint, through a proxy too;
* no proxy, no ``.netrc`` and no CA bundle comes from the environment;
* a redirect is never followed, plain http is never spoken;
* a compressed answer is refused (it was not asked for), and at most :data:`MAX_ANSWER` bytes are read;
* a request ends at its deadline, even if the server sends a byte a second.
"""

from __future__ import annotations

import ssl
import threading
import time
from dataclasses import dataclass
from typing import Any

import certifi
import requests
from proxmoxer.backends.https import ProxmoxHttpSession
from requests.adapters import HTTPAdapter

#: Bytes of one answer. 10,000 guests are 4 MiB.
MAX_ANSWER = 16 * 2**20
_CHUNK = 2**16
_CONNECT_SECONDS = 5.0


@dataclass(frozen=True, slots=True)
class Trust:
    """How the server proves who it is, and the way to it.

    Attributes:
        ca_pem: CA certificates in PEM; None for the CAs that requests ships.
        fingerprint: SHA-256 of the server's certificate in hex, with or without colons. It replaces every CA.
        insecure: Any certificate is taken.
        proxy: URL of an HTTP proxy; None for none, whatever the environment says.
    """

    ca_pem: str | None = None
    fingerprint: str | None = None
    insecure: bool = False
    proxy: str | None = None


class AnswerRefused(requests.exceptions.RequestException):
    """The server answered with something that is not taken: a redirect, a compressed or an endless body."""


class _Deadline(threading.local):
    """When the request of this thread has to be over, on the monotonic clock; each thread has one request at a time."""

    at = float("inf")


_deadline = _Deadline()


class _DeadlineSocket(ssl.SSLSocket):
    """A TLS socket whose single reads cannot outlive the deadline of the request as a whole."""

    def recv_into(self, *args: Any, **kwargs: Any) -> int:
        if _deadline.at != float("inf"):
            left = _deadline.at - time.monotonic()
            if left <= 0:
                raise TimeoutError("the answer did not end in time")
            self.settimeout(left)
        return super().recv_into(*args, **kwargs)


def _tls(trust: Trust) -> ssl.SSLContext:
    """Raises ValueError for a CA bundle that holds no certificate."""
    public = None if trust.ca_pem else certifi.where()
    try:
        context = ssl.create_default_context(ssl.Purpose.SERVER_AUTH, cafile=public, cadata=trust.ca_pem)
    except (ssl.SSLError, ValueError):
        raise ValueError("the CA bundle holds no certificate in PEM form") from None
    if trust.insecure or trust.fingerprint:
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
    context.sslsocket_class = _DeadlineSocket
    return context


class _Transport(HTTPAdapter):
    """The adapter for ``https://``."""

    def __init__(self, trust: Trust, timeout: float) -> None:
        self._timeout = timeout
        self._tls_options: dict[str, Any] = {"ssl_context": _tls(trust)}
        if trust.fingerprint:
            pin = trust.fingerprint.replace(":", "").lower()
            self._tls_options |= {"assert_fingerprint": pin, "assert_hostname": False}
        super().__init__()

    def init_poolmanager(self, *args: Any, **options: Any) -> None:
        super().init_poolmanager(*args, **{**options, **self._tls_options})

    def proxy_manager_for(self, proxy: str, **kwargs: Any) -> Any:
        return super().proxy_manager_for(proxy, **kwargs, **self._tls_options)

    def build_connection_pool_key_attributes(self, request: Any, verify: Any, cert: Any = None) -> Any:
        """requests would put its own CAs, or none, beside the context made here."""
        host, _ = super().build_connection_pool_key_attributes(request, True, cert)
        return host, {}

    def cert_verify(self, conn: Any, url: str, verify: Any, cert: Any) -> None:
        """As above: the context decides."""

    def send(self, request: requests.PreparedRequest, *_: Any, **options: Any) -> requests.Response:
        """One request with its whole body. Raises requests' exceptions, AnswerRefused among them."""
        options |= {"stream": True, "timeout": (min(_CONNECT_SECONDS, self._timeout), self._timeout)}
        _deadline.at = time.monotonic() + self._timeout
        try:
            response = super().send(request, **options)
            try:
                body = _body(response)
            except BaseException:
                response.close()
                raise
            response.raw.release_conn()
        finally:
            _deadline.at = float("inf")
        response._content = body
        response._content_consumed = True  # type: ignore[attr-defined]
        return response


class _NoPlainHttp(HTTPAdapter):
    def send(self, *_: Any, **__: Any) -> requests.Response:
        raise AnswerRefused("plain http is never spoken")


def _body(response: requests.Response) -> bytes:
    if 300 <= response.status_code < 400:
        raise AnswerRefused(f"the server redirects (HTTP {response.status_code}), which is never followed")
    if response.headers.get("Content-Encoding", "identity").lower() != "identity":
        raise AnswerRefused("the answer is compressed, though it was asked for as it is")
    body = bytearray()
    try:
        while chunk := response.raw.read1(_CHUNK, decode_content=False):
            body += chunk
            if len(body) > MAX_ANSWER:
                raise AnswerRefused(f"the answer is longer than {MAX_ANSWER // 2**20} MiB")
    except TimeoutError:
        raise requests.exceptions.ReadTimeout("the answer did not end in time") from None
    except Exception as error:
        if isinstance(error, AnswerRefused):
            raise
        if "timed out" in str(error).lower():
            raise requests.exceptions.ReadTimeout("the answer did not end in time") from None
        raise requests.exceptions.ConnectionError(error) from None
    return bytes(body)


def session(trust: Trust, timeout: float) -> ProxmoxHttpSession:
    """proxmoxer's session on this transport. Raises ValueError for a trust that cannot be.

    Args:
        timeout: Seconds for a whole request, the connection included.
    """
    made = ProxmoxHttpSession()
    made.trust_env = False
    made.headers["Accept-Encoding"] = "identity"
    if trust.proxy:
        made.proxies = {"https": trust.proxy}
    made.mount("https://", _Transport(trust, timeout))
    made.mount("http://", _NoPlainHttp())
    return made
