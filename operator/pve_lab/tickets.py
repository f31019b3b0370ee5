"""Logging in with a password: tickets, and the token that guards against forged requests.

A ticket is good for two hours and can be exchanged for a new one before that, as if it were the password. Reads need
the ticket alone, in a cookie; everything else needs the CSRF prevention token in a header too.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import random
from http.cookies import CookieError, SimpleCookie
from urllib.parse import unquote

LIFETIME = 7200.0
COOKIE, CSRF_HEADER = "PVEAuthCookie", "CSRFPreventionToken"


class Tickets:
    """Issues and checks tickets. ``passwords`` is by user@realm."""

    def __init__(self, seed: int) -> None:
        self.passwords: dict[str, str] = {}
        self.lifetime = LIFETIME
        self._key = random.Random(f"tickets:{seed}").randbytes(32)

    def log_in(self, user: str, password: str, now: float) -> dict[str, str] | None:
        """Ticket and CSRF token; None for a wrong password or a ticket that has expired."""
        if not (self.passwords.get(user) == password or self.user_of(password, now) == user):
            return None
        stamp = f"{int(now):08X}"
        return {
            "username": user,
            "ticket": f"PVE:{user}:{stamp}::{self._sign(f'PVE:{user}:{stamp}')}",
            "CSRFPreventionToken": f"{stamp}:{self._sign(f'csrf:{user}:{stamp}')}",
        }

    def user_of(self, ticket: str, now: float) -> str | None:
        """The user of a valid ticket; None for any other text."""
        plain, _, signature = ticket.partition("::")
        kind, _, rest = plain.partition(":")
        user, _, stamp = rest.rpartition(":")
        if kind != "PVE" or not hmac.compare_digest(signature, self._sign(plain)):
            return None
        return user if user in self.passwords and self._fresh(stamp, now) else None

    def guards(self, user: str, token: str, now: float) -> bool:
        """Whether this is a CSRF token of that user."""
        stamp, _, signature = token.partition(":")
        return hmac.compare_digest(signature, self._sign(f"csrf:{user}:{stamp}")) and self._fresh(stamp, now)

    def _fresh(self, stamp: str, now: float) -> bool:
        return -300 < now - int(stamp, 16) < self.lifetime

    def _sign(self, text: str) -> str:
        return base64.b64encode(hmac.new(self._key, text.encode(), hashlib.sha256).digest()).decode().rstrip("=")


def from_cookie(header: str) -> str:
    """The ticket in a Cookie header; empty if there is none."""
    try:
        morsel = SimpleCookie(header).get(COOKIE)
    except CookieError:
        return ""
    return unquote(morsel.value) if morsel else ""
