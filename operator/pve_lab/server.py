"""HTTP in front of the lab: parameters in, Proxmox' envelope out, tokens checked, TLS by a CA of its own."""

from __future__ import annotations

import gzip
import json
import re
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import unquote, unquote_plus, urlsplit

from pve_lab.certificates import server_context
from pve_lab.errors import ApiError
from pve_lab.lab import Lab
from pve_lab.request import Answer, Request
from pve_lab.tickets import CSRF_HEADER, from_cookie

_PREFIX = "/api2/json"
_METHODS = frozenset({"GET", "POST", "PUT", "DELETE"})
_COMPRESSED_FROM = 1024


class LabServer:
    """``with LabServer(lab) as server: server.url, server.ca_pem``."""

    def __init__(self, lab: Lab, port: int = 0, *, plain_http: bool = False) -> None:
        self.lab = lab
        self._http = ThreadingHTTPServer(("127.0.0.1", port), _handler(lab))
        self._http.daemon_threads = True
        self.ca_pem = ""
        if not plain_http:
            self.ca_pem, context = server_context()
            # The handshake belongs to the connection's own thread: a client that sends none must not block others.
            self._http.socket = context.wrap_socket(self._http.socket, server_side=True, do_handshake_on_connect=False)
        scheme = "http" if plain_http else "https"
        self.url = f"{scheme}://127.0.0.1:{self._http.server_port}"

    def __enter__(self) -> LabServer:
        # The interval is how long the end of serving takes to be noticed.
        threading.Thread(target=self._http.serve_forever, args=(0.02,), daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        self._http.shutdown()
        self._http.server_close()

    def serve_forever(self) -> None:
        self._http.serve_forever()


def _handler(lab: Lab) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"
        disable_nagle_algorithm = True

        def _serve(self) -> None:
            url = urlsplit(self.path)
            path = _path(url.path)
            # Read in any case: a connection closed with something unread is reset, and the answer may be lost.
            sent = self.headers.get("Content-Length") or ""
            raw = self.rfile.read(int(sent)) if sent.isdigit() else b""
            given = self._answer(path, url.query, raw)
            with lab.mutex:
                lab.journal.append((self.command, path, given.status))
            if given.drop:
                self.close_connection = True
                return
            payload = json.dumps(given.body).encode() if given.body is not None else b""
            self.send_response(given.status, given.reason)
            if payload:
                self.send_header("Content-Type", "application/json;charset=UTF-8")
            if len(payload) > _COMPRESSED_FROM and "gzip" in (self.headers.get("Accept-Encoding") or ""):
                payload = gzip.compress(payload, 1)
                self.send_header("Content-Encoding", "gzip")
            self.send_header("Content-Length", str(len(payload)))
            if given.status >= 400:
                self.send_header("Connection", "close")
                self.close_connection = True
            self.end_headers()
            self.wfile.write(payload)

        do_GET = do_POST = do_PUT = do_DELETE = do_PATCH = do_HEAD = do_OPTIONS = _serve

        def _answer(self, path: str, query: str, raw: bytes) -> Answer:
            """A refusal by pveproxy has no body; one by the API has."""
            if self.command not in _METHODS:
                return Answer(501, f"method '{self.command}' not available")
            if not self.path.startswith(_PREFIX):
                return Answer(501, f"no such file '{path}'")
            if path == "/access/ticket":
                user: str | Answer = ""
            else:
                user = self._user()
            if isinstance(user, Answer):
                return user
            try:
                params = self._parameters(query, raw)
            except ApiError as problem:
                return Answer(problem.status, problem.message)
            given = lab.answer(Request(self.command, path, params, user))
            return self._refusal(given.reason) if given.status == 401 else given

        def _user(self) -> str | Answer:
            """The user or token of the request, or its 401, which comes late."""
            scheme, _, value = (self.headers.get("Authorization") or "").partition("=")
            name, _, secret = value.partition("=")
            if scheme == "PVEAPIToken":
                if lab.access.knows(name, secret, lab.now()):
                    return name
                return self._refusal("Authentication failed!")
            ticket = from_cookie(self.headers.get("Cookie") or "")
            if not ticket:
                return self._refusal("No ticket")
            holder = lab.tickets.user_of(ticket, lab.now())
            if holder is None:
                return self._refusal("permission denied - invalid PVE ticket")
            guard = self.headers.get(CSRF_HEADER) or ""
            if self.command != "GET" and not lab.tickets.guards(holder, guard, lab.now()):
                return self._refusal("Permission denied - invalid csrf token")
            return holder

        def _refusal(self, reason: str) -> Answer:
            lab.sleep(lab.refusal_seconds)
            return Answer(401, reason)

        def _parameters(self, query: str, raw: bytes) -> dict[str, Any]:
            """Form or JSON body; the query overrides it. Repeated names become lists."""
            if "chunked" in (self.headers.get("Transfer-Encoding") or ""):
                raise ApiError(501, "chunked transfer encoding not supported")
            if raw and self.command in ("GET", "DELETE"):
                raise ApiError(501, f"Unexpected content for method '{self.command}'")
            kind = (self.headers.get("Content-Type") or "").split(";")[0].strip()
            params = _body(raw, kind) | _form(query)
            # The web interface adds it to avoid caches.
            params.pop("_dc", None)
            return params

        def date_time_string(self, timestamp: float | None = None) -> str:
            """For the ``Date`` header: by the lab's clock."""
            return super().date_time_string(lab.now() if timestamp is None else timestamp)

        def log_message(self, *_: object) -> None:
            pass

    return Handler


def _path(raw: str) -> str:
    """Below ``/api2/json``; repeated and trailing slashes do not count."""
    path = re.sub("/+", "/", unquote(raw.removeprefix(_PREFIX)))
    return path.rstrip("/") or "/"


def _body(raw: bytes, kind: str) -> dict[str, Any]:
    if kind == "application/json":
        try:
            values = json.loads(raw)
        except ValueError:
            raise ApiError(500, "malformed JSON string, neither tag, array, object, number, string or atom") from None
        if not isinstance(values, dict):
            raise ApiError(500, "Not a HASH reference")
        return values
    if not raw:
        return {}
    if kind not in ("", "application/x-www-form-urlencoded"):
        raise ApiError(506, f"upload 'Content-Type '{kind}' not implemented")
    return _form(raw.decode(errors="replace"))


def _form(text: str) -> dict[str, Any]:
    """A form or a query: `;` separates as `&` does, a second `=` ends the value, a name alone is an undefined value."""
    values: dict[str, Any] = {}
    for part in filter(None, re.split("[&;]", text)):
        name, *rest = map(unquote_plus, part.split("="))
        value = rest[0] if rest else None
        if value is not None and (old := values.get(name)) is not None:
            values[name] = [*old, value] if isinstance(old, list) else [old, value]
        else:
            values[name] = value
    return values
