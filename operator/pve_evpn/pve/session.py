"""One authenticated HTTPS session with one Proxmox endpoint, on proxmoxer.

It adds to proxmoxer what a careful client needs: the whole answer (Proxmox puts a node's pending network edits
*beside* ``data``), errors by meaning, texts without our own secrets, and the knowledge whether a failed request may
have been executed. It is synchronous: ``pve.client`` runs it in threads. It retries nothing.
"""

from __future__ import annotations

import contextlib
import json
import time
from collections.abc import Callable, Iterator, Mapping
from email.utils import parsedate_to_datetime
from typing import Any, cast
from urllib.parse import urlsplit

import requests
import urllib3
from proxmoxer.backends.https import JsonSerializer, ProxmoxHTTPApiTokenAuth, ProxmoxHTTPAuth, ProxmoxHTTPAuthBase
from proxmoxer.core import AuthenticationError, ProxmoxResource, ResourceException

from pve_evpn.domain.sdn import SECRET_KEYS
from pve_evpn.pve import errors
from pve_evpn.pve.credentials import Credentials
from pve_evpn.pve.transport import AnswerRefused, Trust, session
from pve_evpn.text import from_outside

Json = Any
#: Parameters whose values must not be quoted back: of IPAMs and DNS servers.
_SECRET_PARAMETERS = tuple(SECRET_KEYS.values())


class _WholeAnswer(JsonSerializer):  # type: ignore[misc]
    """proxmoxer keeps only ``data`` of an answer and only ``errors`` of a refusal; both are needed whole."""

    def loads(self, response: Any) -> Json:
        return _object(response.content)

    def loads_errors(self, response: Any) -> Json:
        try:
            return _object(response.content)
        except ValueError:
            return {}


def _object(body: bytes) -> dict[str, Json]:
    """The JSON object of an answer. Raises ValueError for anything else, however deep."""
    try:
        found = json.loads(body.decode("utf-8"), parse_constant=_no_number)
    except RecursionError:
        raise ValueError("the answer is nested too deeply") from None
    if not isinstance(found, dict):
        raise ValueError("the answer is not a JSON object")
    return found


def _no_number(word: str) -> None:
    raise ValueError(f"{word} is not a number")


class _TicketAuth(ProxmoxHTTPAuth):  # type: ignore[misc]
    """A login by password over the trusted transport; proxmoxer's own opens a connection of its own, which would not
    check a fingerprint."""

    def __init__(self, credentials: Credentials, log_in: Callable[[Mapping[str, str]], requests.Response]) -> None:
        ProxmoxHTTPAuthBase.__init__(self, verify_ssl=True, timeout=None)
        self._credentials = credentials
        self._log_in = log_in
        self._get_new_tokens()

    def _get_new_tokens(self, *_: Any, **__: Any) -> None:
        """A new ticket, always by the password, because the ticket before may have ended."""
        response = self._log_in({"username": self._credentials.user, "password": self._credentials.secret})
        if response.status_code >= 500:
            raise errors.Unreachable(f"the login was answered with HTTP {response.status_code}")
        ticket = _object(response.content).get("data") if response.status_code == 200 else None
        if not isinstance(ticket, dict) or ticket.get("NeedTFA"):
            raise AuthenticationError
        self.pve_auth_ticket = str(ticket.get("ticket"))
        self.csrf_prevention_token = str(ticket.get("CSRFPreventionToken"))
        self.birth_time = time.monotonic()


class PveSession:
    """Calls one endpoint. Not for use by several threads at once."""

    def __init__(self, endpoint: str, credentials: Credentials, trust: Trust, timeout: float) -> None:
        """Log in where the credentials are a password. Raises :class:`errors.PveError`.

        Args:
            endpoint: An https URL without a path.
            timeout: Seconds for a whole request. Raises ValueError for a CA bundle without a certificate.
        """
        url = urlsplit(endpoint)
        host = f"[{url.hostname}]" if ":" in (url.hostname or "") else url.hostname
        base = f"https://{host}:{url.port or 8006}/api2/json"
        self.endpoint = endpoint
        self._secret = credentials.secret
        self._login = session(trust, timeout)
        self._login.auth = ProxmoxHTTPAuthBase(verify_ssl=True, timeout=None)
        self._session = session(trust, timeout)
        self._session.hooks["response"].append(self._note_clock)
        self.clock_offset = 0.0
        """Seconds by which the endpoint's clock was ahead of this machine's at its last answer."""
        with self._translated(write=False):
            self._session.auth = self._auth(base, credentials)
        self._api = ProxmoxResource(base_url=base, session=self._session, serializer=_WholeAnswer())

    def _auth(self, base: str, credentials: Credentials) -> ProxmoxHTTPAuthBase:
        if credentials.token_name is None:
            url = f"{base}/access/ticket"
            return _TicketAuth(credentials, lambda form: self._login.request("POST", url, data=dict(form)))
        return ProxmoxHTTPApiTokenAuth(
            credentials.user, credentials.token_name, credentials.secret, verify_ssl=True, timeout=None
        )

    def call(self, method: str, path: str, params: Mapping[str, Any]) -> dict[str, Json]:
        """One request; the answer's whole JSON object. Raises :class:`errors.PveError` and nothing else."""
        sent = tuple(str(params[key]) for key in _SECRET_PARAMETERS if params.get(key))
        with self._translated(write=method != "GET", secrets=sent):
            resource = self._api(path.strip("/").split("/"))
            verb = {"GET": resource.get, "POST": resource.post, "PUT": resource.put, "DELETE": resource.delete}[method]
            return cast("dict[str, Json]", verb(**params))

    def _note_clock(self, response: requests.Response, **_: Any) -> None:
        with contextlib.suppress(KeyError, TypeError, ValueError):  # no Date, or none that can be read
            self.clock_offset = parsedate_to_datetime(response.headers["Date"]).timestamp() - time.time()

    def close(self) -> None:
        self._session.close()
        self._login.close()

    @contextlib.contextmanager
    def _translated(self, *, write: bool, secrets: tuple[str, ...] = ()) -> Iterator[None]:
        """Turn every exception of the libraries below into one of ours, ``from None``: theirs may quote headers.

        ``secrets``: what was sent and must not be quoted, beside the session's own.
        """
        try:
            yield
        except ResourceException as refusal:
            raise self._refusal(refusal, (self._secret, *secrets), write=write) from None
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
            unanswered = errors.NoAnswerInTime if write else errors.Unreachable
            raise unanswered("no answer in time") from None
        except AnswerRefused as error:
            raise _unanswered(str(error), write=write) from None
        except (requests.exceptions.RequestException, ValueError) as error:
            raise _unanswered(f"the answer could not be read ({type(error).__name__})", write=write) from None

    def _refusal(self, refusal: ResourceException, secrets: tuple[str, ...], *, write: bool) -> errors.PveError:
        body = refusal.errors if isinstance(refusal.errors, dict) else {}
        named = body.get("errors")
        parameters = named.items() if isinstance(named, dict) else ()
        return errors.from_answer(
            refusal.status_code,
            from_outside(body.get("message") or refusal.content or "", secrets),
            {from_outside(key, longest=64): from_outside(text, secrets) for key, text in parameters} or None,
            write=write,
        )


def _unanswered(why: str, *, write: bool) -> errors.PveError:
    """A request that was sent, without an answer that can be used."""
    return errors.OutcomeUnknown(why) if write else errors.Unreachable(why)


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
