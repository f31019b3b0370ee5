"""What can go wrong between us and Proxmox, by what it means rather than by number.

Proxmox answers 400 only for parameter schemas; everything else, from "does not exist" to "locked", is a 500 whose
meaning is in the text, and many texts end in a source line. So texts are matched by what they contain. No error here
carries a credential: requests' own exceptions, which may show headers, never leave ``pve.session``.
"""

from __future__ import annotations


class PveError(Exception):
    """Anything that kept a call from doing what it should. Its text is safe to show."""


class Unreachable(PveError):
    """No endpoint took the request: nothing was executed."""


class TlsRejected(Unreachable):
    """The server's certificate is not the trusted one."""


class OutcomeUnknown(PveError):
    """The request was sent and no final answer came (timeout, cut connection, 595, 596, 599).

    Proxmox was measured to execute such writes up to a minute later. Read again before deciding anything.
    """


class NoAnswerInTime(OutcomeUnknown):
    """Proxmox took the request and did not answer in time. It may be waiting for a server outside."""


class AuthenticationFailed(PveError):
    """401: no or an unknown token. Proxmox delays this answer by three seconds."""


class Forbidden(PveError):
    """403: the token lacks a privilege; the text names path and privilege."""


class Refused(PveError):
    """Proxmox understood and said no. ``status`` is HTTP's, ``errors`` names parameters."""

    def __init__(self, message: str, status: int = 500, errors: dict[str, str] | None = None) -> None:
        self.status = status
        self.errors = errors or {}
        details = "".join(f"; {name}: {text.strip()}" for name, text in sorted(self.errors.items()))
        super().__init__(message.strip() + details)


class NotFound(Refused):
    """The object is not in the asked-for copy of the configuration."""


class AlreadyExists(Refused):
    """An object with this id is there."""


class LockHeld(Refused):
    """Somebody else holds the SDN lock, or our token is no longer the one."""


class PendingChanges(Refused):
    """The lock was refused because edits are pending."""


class DigestMismatch(Refused):
    """The file changed since we read it."""


class InUse(Refused):
    """Something refers to the object."""


class TryAgain(Refused):
    """A condition that passes: no quorum, a busy file lock, a guest that is locked."""


#: First match wins; all lower case.
_BY_TEXT: tuple[tuple[str, type[Refused]], ...] = (
    ("configuration has pending changes", PendingChanges),
    ("invalid lock token", LockHeld),
    ("detected modified configuration", DigestMismatch),
    ("checksum mismatch", DigestMismatch),
    ("checksum missmatch", DigestMismatch),  # as older releases spell it
    ("does not exist", NotFound),
    ("already defined", AlreadyExists),
    ("is used by", InUse),
    ("can't delete vnet if subnets exists", InUse),
    ("no quorum", TryAgain),
    ("got lock request timeout", TryAgain),
    ("can't lock file", TryAgain),
    ("is locked (", TryAgain),
)

_UNKNOWN_OUTCOME = frozenset({502, 504, 595, 596, 599})
#: Those that say that a server in between waited and gave up.
_TIMED_OUT = frozenset({504, 596, 599})


def from_answer(status: int, message: str, errors: dict[str, str] | None, *, write: bool) -> PveError:
    """The error that an HTTP answer of 400 and above means.

    595 (the addressed node is unreachable) and 596 (it did not answer in time) leave the outcome of a write open;
    on a read they only mean that this node cannot be seen.
    """
    text = message.strip() or f"HTTP {status}"
    if status in _UNKNOWN_OUTCOME:
        unknown = NoAnswerInTime if status in _TIMED_OUT else OutcomeUnknown
        return unknown(text) if write else Unreachable(text)
    if status == 401:
        return AuthenticationFailed("Proxmox does not accept the credentials")
    if status == 403:
        return Forbidden(text)
    lower = text.lower()
    for needle, kind in _BY_TEXT:
        if needle in lower:
            return kind(text, status, errors)
    return Refused(text, status, errors)
