"""Pseudonyms for what a bug report should not show: names, addresses and MAC addresses. Pure.

Within one bundle the same value always has the same pseudonym, so that a NIC can still be followed through objects,
Events and logs, and addresses of one network stay in one network. The key is random and kept nowhere, so nobody can
work the values out again, not by trying all addresses either.
"""

from __future__ import annotations

import hashlib
import hmac
import ipaddress
import re
from collections.abc import Iterable, Mapping
from typing import Any

_MAC = re.compile(r"\b[0-9a-fA-F]{2}([:-][0-9a-fA-F]{2}){5}\b")
_IPV4 = re.compile(r"(?<![\d.])(?:\d{1,3}\.){3}\d{1,3}(?![\d.])")
_IPV6 = re.compile(r"(?<![\w:.])(?=[0-9a-fA-F:.]*:[0-9a-fA-F:.]*:)[0-9a-fA-F:.]{2,45}(?![\w:])")
_URL_HOST = re.compile(r"(?<=://)[^/\s\"':\]\[]+")
_NOT_NAMES = frozenset({"default", "true", "false", "unknown", "none", ""})
#: Values of these keys are words of the API, whatever names people use.
_WORDS = frozenset(
    {"kind", "apiVersion", "type", "status", "reason", "origin", "result", "outcome", "state", "phase", "class"}
)  # fmt: skip


class Anonymiser:
    """Replaces names it was given, and every address, in texts and in objects."""

    def __init__(self, key: bytes, names: Iterable[tuple[str, str]]) -> None:
        """``names``: (what it names, name), such as ("node", "pve1"); the first decides how the pseudonym begins."""
        self._key = key
        self._names: dict[str, str] = {}
        for what, name in names:
            if name.lower() not in _NOT_NAMES and not name.isdigit():
                self._names.setdefault(name, f"{what}-{self._hash(name)[:6]}")
        longest_first = sorted(self._names, key=lambda name: (-len(name), name))
        self._pattern = re.compile(
            rf"(?<![\w-])({'|'.join(map(re.escape, longest_first))})(?![\w-])" if longest_first else r"(?!)"
        )

    def text(self, text: str) -> str:
        """The text with pseudonyms."""
        text = self._pattern.sub(lambda found: self._names[found[0]], text)
        text = _MAC.sub(lambda found: self._mac(found[0]), text)
        text = _IPV4.sub(lambda found: self._address(found[0]), text)
        text = _IPV6.sub(lambda found: self._address(found[0]), text)
        return _URL_HOST.sub(lambda found: self._host(found[0]), text)

    def value(self, value: Any, field: str = "") -> Any:
        """An object's values with pseudonyms; its fields' names stay."""
        if isinstance(value, Mapping):
            return {key: self.value(each, str(key)) for key, each in value.items()}
        if isinstance(value, list):
            return [self.value(each, field) for each in value]
        return self.text(value) if isinstance(value, str) and field not in _WORDS else value

    def _hash(self, text: str) -> str:
        return hmac.new(self._key, text.encode(), hashlib.sha256).hexdigest()

    def _mac(self, text: str) -> str:
        """02: locally administered. Spellings of one MAC address have one pseudonym."""
        digits = self._hash(re.sub("[:-]", "", text).lower())
        return ":".join(("02", *(digits[place : place + 2] for place in range(0, 10, 2))))

    def _address(self, text: str) -> str:
        try:
            address = ipaddress.ip_address(text)
        except ValueError:
            return text  # a version or a time looks alike
        if address.is_unspecified or address.is_loopback:
            return text
        if isinstance(address, ipaddress.IPv4Address):
            network, host = text.rpartition(".")[::2]
            first, second = (int(self._hash(network)[place : place + 2], 16) for place in (0, 2))
            return f"10.{first}.{second}.{host}"  # the last octet stays: it tells hosts, gateways and networks apart
        whole = address.exploded
        return f"fd00:{self._hash(whole[:19])[:4]}::{self._hash(whole)[:4]}"

    def _host(self, text: str) -> str:
        if text in self._names.values() or re.fullmatch(r"[\d.]+", text):
            return text
        return f"host-{self._hash(text)[:6]}"


def names_in(objects: Iterable[Mapping[str, Any]]) -> list[tuple[str, str]]:
    """(what, name) of everything that objects call by a name: themselves, nodes, guests, ids in Proxmox, aliases."""
    found: list[tuple[str, str]] = []
    for raw in objects:
        metadata, spec, status = raw["metadata"], raw.get("spec") or {}, raw.get("status") or {}
        what = str(raw.get("kind", "object")).lower()
        found.append((what, metadata["name"]))
        found += [("namespace", metadata["namespace"])] if metadata.get("namespace") else []
        for field, word in (
            ("id", what), ("guestName", "guest"), ("clusterName", "cluster"), ("node", "node"), ("zone", "zone"),
            ("vnet", "vnet"), ("fabric", "fabric"), ("alias", "alias"), ("previousBridge", "bridge"),
        ):  # fmt: skip
            for place in (spec, status):
                if isinstance(value := place.get(field), str):
                    found.append((word, value))
        found += [("node", str(row["name"])) for row in status.get("nodes") or () if row.get("name")]
        if guest := (spec.get("guest") or {}).get("name"):
            found.append(("guest", str(guest)))
        for endpoint in spec.get("endpoints") or ():
            host = _URL_HOST.search(str(endpoint))
            if host and not re.fullmatch(r"[\d.]+", host[0]):
                found.append(("host", host[0]))
        for place in ("labels", "annotations"):
            found += [("value", str(text)) for key, text in (metadata.get(place) or {}).items() if _private(key)]
    return found


def _private(key: str) -> bool:
    """Values of labels and annotations that are not the API's own words."""
    return "pve-evpn.dev/" not in key and "kubernetes.io/" not in key
