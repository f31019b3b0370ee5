"""The credentials of one Proxmox cluster, from the keys of a Kubernetes Secret."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field

_TOKEN_ID = re.compile(r"[^\s@!=:]+@[A-Za-z][A-Za-z0-9._-]*![A-Za-z][A-Za-z0-9._-]*")
_USER = re.compile(r"[^\s:/]+@[A-Za-z][A-Za-z0-9._-]*")
_FORM = "tokenId must look like user@realm!name"


@dataclass(frozen=True, slots=True)
class Credentials:
    """An API token (``user@realm!name`` and its secret) or a user with a password. Never shown."""

    user: str
    token_name: str | None = None
    secret: str = field(default="", repr=False)

    @classmethod
    def from_secret(cls, data: Mapping[str, str], token_key: str = "token") -> Credentials:  # noqa: S107
        """From the keys of a Secret; ``token_key`` is ``token``, or ``tokenNext`` during a rotation.

        Raises ValueError that names the key and the form it must have. The message quotes no value.
        """
        if token_id := data.get("tokenId", "").strip():
            return _token(token_id, data.get(token_key, "").strip(), token_key)
        if user := data.get("username", "").strip():
            return _password(user, data.get("password", ""))
        if data.get(token_key, "").strip():
            raise ValueError(f"the key 'tokenId' is missing beside {token_key!r}: {_FORM}")
        raise ValueError("neither 'tokenId' with 'token' nor 'username' with 'password' is there")


def _token(token_id: str, secret: str, key: str) -> Credentials:
    if token_id.startswith("PVEAPIToken"):
        raise ValueError(f"tokenId begins with PVEAPIToken=, which belongs to the HTTP header: {_FORM}")
    if "=" in token_id:
        raise ValueError(f"tokenId holds the secret too: {_FORM}, and the key {key!r} holds the secret")
    if not _TOKEN_ID.fullmatch(token_id):
        raise ValueError(_FORM)
    if not secret:
        raise ValueError(f"the key {key!r} is missing")
    if "!" in secret or "=" in secret:
        raise ValueError(f"the key {key!r} must hold the secret alone, without user@realm!name= before it")
    if not secret.isprintable() or " " in secret:
        raise ValueError(f"the key {key!r} must be one word on one line")
    user, _, name = token_id.partition("!")
    return Credentials(user, name, secret)


def _password(user: str, password: str) -> Credentials:
    if not _USER.fullmatch(user):
        raise ValueError("username must name its realm, as in root@pam")
    if not password:
        raise ValueError("the key 'password' is missing")
    if not password.isprintable():
        raise ValueError("the key 'password' holds a line break or another control character")
    return Credentials(user, None, password)
