"""One authenticated HTTPS session with one Proxmox endpoint, on proxmoxer.

It adds to proxmoxer what a careful client needs: the whole answer (Proxmox puts a node's pending network edits
*beside* ``data``), errors by meaning, certificates pinned by fingerprint, and the knowledge whether a failed request
may have been executed. It is synchronous: ``pve.gateway`` runs it in threads. It retries nothing.
"""

from __future__ import annotations

import contextlib
import json
import os
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, cast
from urllib.parse import urlsplit

import requests
import urllib3
from proxmoxer import ProxmoxAPI
from proxmoxer.backends.https import JsonSerializer
from proxmoxer.core import AuthenticationError, ResourceException
from requests.adapters import HTTPAdapter

from pve_evpn.pve import errors

Json = Any

_CONNECT_SECONDS = 5.0


@dataclass(frozen=True, slots=True)
class Credentials:
    """An API token (``user@realm!name`` and its secret) or a user with a password. Never shown."""

    user: str
    token_name: str | None = None
    secret: str = field(default="", repr=False)

    @classmethod
    def from_secret(cls, data: Mapping[str, str], token_key: str = "token") -> Credentials:  # noqa: S107
        """From the keys of a Kubernetes Secret. Raises ValueError naming the missing key."""
        if token_id := data.get("tokenId", "").strip():
            user, separator, name = token_id.partition("!")
            if not separator or "@" not in user:
                raise ValueError("tokenId must look like user@realm!name")
            if not data.get(token_key, "").strip():
                raise ValueError(f"the key {token_key!r} is missing")
            return cls(user, name, data[token_key].strip())
        if user := data.get("username", "").strip():
            if not data.get("password"):
                raise ValueError("the key 'password' is missing")
            return cls(user, None, data["password"])
        raise ValueError("neither 'tokenId' with 'token' nor 'username' with 'password' is there")


@dataclass(frozen=True, slots=True)
class Trust:
    """How the server proves who it is: a CA bundle (PEM), a SHA-256 fingerprint, the system's CAs, or not at all."""

    ca_pem: str | None = None
    fingerprint: str | None = None
    insecure: bool = False


class _WholeAnswer(JsonSerializer):  # type: ignore[misc]
    """proxmoxer keeps only ``data`` of an answer and only ``errors`` of a refusal; both are needed whole."""

    def loads(self, response: Any) -> Json:
        return json.loads(response.content.decode("utf-8"))

    def loads_errors(self, response: Any) -> Json:
        try:
            return json.loads(response.text)
        except ValueError:
            return {}


class _PinnedAdapter(HTTPAdapter):
    """Accepts exactly one certificate, whoever signed it."""

    def __init__(self, fingerprint: str) -> None:
        self._fingerprint = fingerprint.replace(":", "").lower()
        super().__init__()

    def init_poolmanager(self, *args: Any, **kwargs: Any) -> None:
        super().init_poolmanager(*args, assert_fingerprint=self._fingerprint, assert_hostname=False, **kwargs)


class _Api(ProxmoxAPI):  # type: ignore[misc]
    def __init__(self, *args: Any, adapter: HTTPAdapter | None, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._store["serializer"] = _WholeAnswer()
        if adapter is not None:
            self._store["session"].mount("https://", adapter)

    def close(self) -> None:
        self._store["session"].close()


class PveSession:
    """Calls one endpoint. Not for use by several threads at once."""

    def __init__(self, endpoint: str, credentials: Credentials, trust: Trust, timeout: float) -> None:
        """``endpoint`` is an https URL, ``timeout`` the seconds to wait for an answer once connected."""
        if trust.fingerprint and credentials.token_name is None:
            # proxmoxer logs in through a connection of its own, which would not check the fingerprint.
            raise ValueError("a pinned fingerprint works with API tokens only; give a CA bundle for a password login")
        url = urlsplit(endpoint)
        self.endpoint = endpoint
        self._ca_file: str | None = None
        verify: bool | str = not (trust.insecure or trust.fingerprint)
        if trust.ca_pem:
            verify = self._ca_file = _write_ca(trust.ca_pem)
        login: dict[str, Any] = {"password": credentials.secret}
        if credentials.token_name is not None:
            login = {"token_name": credentials.token_name, "token_value": credentials.secret}
        with _translated(write=False):
            self._api = _Api(
                f"[{url.hostname}]" if ":" in (url.hostname or "") else url.hostname,
                port=url.port or 8006,
                user=credentials.user,
                verify_ssl=verify,
                timeout=(_CONNECT_SECONDS, timeout),
                adapter=_PinnedAdapter(trust.fingerprint) if trust.fingerprint else None,
                **login,
            )

    def call(self, method: str, path: str, params: Mapping[str, Any]) -> dict[str, Json]:
        """One request; the answer's whole JSON object. Raises :class:`errors.PveError` and nothing else."""
        write = method != "GET"
        with _translated(write=write):
            resource = self._api(path.strip("/").split("/"))
            verb = {
                "GET": resource.get,
                "POST": resource.post,
                "PUT": resource.put,
                "DELETE": resource.delete,
            }[method]
            return cast("dict[str, Json]", verb(**params))

    def close(self) -> None:
        self._api.close()
        if self._ca_file:
            with contextlib.suppress(OSError):
                os.unlink(self._ca_file)


def _write_ca(pem: str) -> str:
    handle, path = tempfile.mkstemp(suffix=".pem", prefix="pve-evpn-ca-")
    with os.fdopen(handle, "w") as file:
        file.write(pem)
    return path


@contextlib.contextmanager
def _translated(*, write: bool) -> Any:
    """Turn every exception of the libraries below into one of ours, ``from None``: theirs may quote headers."""
    try:
        yield
    except ResourceException as refusal:
        body = refusal.errors if isinstance(refusal.errors, dict) else {}
        message = body.get("message") or refusal.content or ""
        parameters = body.get("errors") or None
        raise errors.from_answer(refusal.status_code, str(message), parameters, write=write) from None
    except AuthenticationError:
        raise errors.AuthenticationFailed("Proxmox does not accept the credentials") from None
    except requests.exceptions.SSLError as error:
        raise errors.TlsRejected(f"the server's certificate was rejected: {_tls_reason(error)}") from None
    except requests.exceptions.ConnectTimeout:
        raise errors.Unreachable("no connection within 5 s") from None
    except requests.exceptions.ConnectionError as error:
        if not write or _never_sent(error):
            raise errors.Unreachable(_connection_reason(error)) from None
        raise errors.OutcomeUnknown("the connection was cut before the answer came") from None
    except requests.exceptions.Timeout:
        if write:
            raise errors.OutcomeUnknown("no answer in time") from None
        raise errors.Unreachable("no answer in time") from None
    except (requests.exceptions.RequestException, ValueError) as error:
        kind = type(error).__name__
        if write:
            raise errors.OutcomeUnknown(f"the answer could not be read ({kind})") from None
        raise errors.Unreachable(f"the answer could not be read ({kind})") from None


def _never_sent(error: requests.exceptions.ConnectionError) -> bool:
    cause = error.args[0] if error.args else None
    reason = getattr(cause, "reason", cause)
    return isinstance(reason, urllib3.exceptions.NewConnectionError | urllib3.exceptions.NameResolutionError)


def _connection_reason(error: requests.exceptions.ConnectionError) -> str:
    cause = error.args[0] if error.args else None
    reason = getattr(cause, "reason", cause)
    if isinstance(reason, urllib3.exceptions.NameResolutionError):
        return "the host name does not resolve"
    if isinstance(reason, urllib3.exceptions.NewConnectionError):
        return "connection refused" if "refused" in str(reason).lower() else "no route to the host"
    return "the connection was cut"


def _tls_reason(error: requests.exceptions.SSLError) -> str:
    text = str(error)
    for needle, meaning in (
        ("Fingerprints did not match", "its fingerprint is not the pinned one"),
        ("Hostname mismatch", "it is not issued for this host name"),
        ("IP address mismatch", "it is not issued for this address"),
        ("self-signed", "it is self-signed or its CA is not the given one"),
        ("unable to get local issuer", "its CA is not the given one"),
        ("expired", "it has expired"),
    ):
        if needle.lower() in text.lower():
            return meaning
    return "the TLS handshake failed"
