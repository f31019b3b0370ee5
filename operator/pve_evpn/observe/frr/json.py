"""FRR's JSON, made safe to walk: one error class, repaired documents, and getters that check what they get.

It is not a parser of any one command: those are in `zebra`, `bgpd` and `underlay`. Every getter raises
`FrrParseError` when the value is missing or of another type, so a record never holds a string where it promises a
number. Text with control characters or lone surrogates is refused too: it could not be written to Kubernetes.
"""

from __future__ import annotations

import functools
import json
import re
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from typing import Any, TypeAlias

Row: TypeAlias = Mapping[str, Any]

MAX_VNI = 2**24 - 1
MAX_TEXT = 512

_MAC = re.compile(r"[0-9a-f]{2}(?::[0-9a-f]{2}){5}")
_IP = re.compile(r"[0-9a-f:.]{2,45}")
# FRR 10.3 prints an empty EVPN table as `{ ,"numPrefix":0,"numPaths":0}`.
_COMMA_FIRST = re.compile(r"^\s*\{\s*,")
_DECODER = json.JSONDecoder()
#: Values in one printed text; 10,000 MAC/IP routes have about 200,000. As Python objects they take up to 200 bytes.
MOST_VALUES = 1_000_000
_MOST_DOCUMENTS = 10_000


class FrrParseError(Exception):
    """What FRR printed is not what this operator knows how to read. The message quotes no more than a few words."""


def documents(text: str) -> Iterator[Any]:
    """Every JSON document in `text`, one after the other.

    Several ``-c`` of one vtysh are printed without any separator, so the end of one is only known by decoding it.
    Nothing printed (exit status 0, no output) is how FRR says "nothing" for some commands: no document.
    """
    if sum(map(text.count, ",{[")) > MOST_VALUES:
        raise FrrParseError(f"more than {MOST_VALUES} values")
    text = _COMMA_FIRST.sub("{", text, count=1)
    position = 0
    for _ in range(_MOST_DOCUMENTS):
        while position < len(text) and text[position].isspace():
            position += 1
        if position == len(text):
            return
        try:
            document, position = _DECODER.raw_decode(text, position)
        except (ValueError, RecursionError):
            start = text[position : position + 40].strip()
            raise FrrParseError(f"not JSON, beginning with {start!a}") from None
        yield document
    raise FrrParseError(f"more than {_MOST_DOCUMENTS} documents")


def table(text: str) -> Row:
    """The one JSON object in `text`; an empty one if nothing was printed."""
    found = list(documents(text))
    if not found:
        return {}
    if len(found) > 1:
        raise FrrParseError(f"{len(found)} documents where one was expected")
    return mapping(found[0], "the document")


def rows(text: str) -> list[Row]:
    """The one JSON list of objects in `text`; an empty one if nothing, or ``{}``, was printed."""
    found = list(documents(text))
    if not found or found == [{}]:
        return []
    if len(found) > 1:
        raise FrrParseError(f"{len(found)} documents where one was expected")
    return [mapping(row, "a list's row") for row in sequence(found[0], "the document")]


def mapping(value: object, what: str) -> Row:
    if isinstance(value, dict):
        return value
    raise FrrParseError(f"{what} is no object but {_kind(value)}")


def sequence(value: object, what: str) -> list[Any]:
    if isinstance(value, list):
        return value
    raise FrrParseError(f"{what} is no list but {_kind(value)}")


def as_text(value: object, what: str) -> str:
    if isinstance(value, str) and len(value) <= MAX_TEXT and value.isprintable():
        return value
    raise FrrParseError(f"{what} is no readable text but {_kind(value)}")


def text(row: Row, key: str) -> str:
    return as_text(row.get(key), key)


def text_or_none(row: Row, key: str) -> str | None:
    """``None`` where the key is absent, empty or FRR says ``n/a``."""
    value = row.get(key)
    if value is None or value in ("", "n/a"):
        return None
    return as_text(value, key)


def as_number(value: object, what: str) -> int:
    if isinstance(value, int) and not isinstance(value, bool) and abs(value) < 2**63:
        return value
    raise FrrParseError(f"{what} is no number but {_kind(value)}")


def number(row: Row, key: str) -> int:
    return as_number(row.get(key), key)


def number_or_none(row: Row, key: str) -> int | None:
    """``None`` where the key is absent or FRR says ``n/a``."""
    value = row.get(key)
    return None if value is None or value == "n/a" else as_number(value, key)


def number_or_zero(row: Row, key: str) -> int:
    return number_or_none(row, key) or 0


def flag(row: Row, key: str) -> bool:
    """FRR leaves out what is false."""
    value = row.get(key, False)
    if isinstance(value, bool):
        return value
    raise FrrParseError(f"{key} is neither true nor false but {_kind(value)}")


def as_mac(value: object, what: str) -> str:
    if isinstance(value, str) and _MAC.fullmatch(lower := value.lower()):
        return lower
    raise FrrParseError(f"{what} is no MAC address but {_kind(value)}")


def as_ip(value: object, what: str) -> str:
    """The shape only: that it is an address is FRR's business."""
    if isinstance(value, str) and (address := _ip(value)):
        return address
    raise FrrParseError(f"{what} is no IP address but {_kind(value)}")


@functools.lru_cache(maxsize=4096)
def _ip(text: str) -> str | None:
    """Thousands of routes name the same few nodes."""
    return lower if _IP.fullmatch(lower := text.lower()) else None


def as_vni(value: object) -> int:
    """A VNI, also where it is the key of an object."""
    if isinstance(value, str) and value.isascii() and value.isdigit() and len(value) <= 8:
        value = int(value)
    if isinstance(value, int) and not isinstance(value, bool) and 0 < value <= MAX_VNI:
        return value
    raise FrrParseError(f"no VNI but {_kind(value)}")


def by_vni(row: Row) -> Iterator[tuple[int, Row]]:
    """The entries keyed by VNI; counters and flags that stand beside them are left out."""
    for key, value in row.items():
        if key.isdigit():
            yield as_vni(key), mapping(value, "a VNI's entry")


def moment(row: Row, key: str) -> datetime | None:
    """Seconds since 1970 as a time; ``None`` where absent or zero."""
    seconds = number_or_zero(row, key)
    if not seconds:
        return None
    try:
        return datetime.fromtimestamp(seconds, UTC)
    except (OverflowError, OSError, ValueError):
        raise FrrParseError(f"{key} is no time") from None


def _kind(value: object) -> str:
    if value is None:
        return "nothing"
    if isinstance(value, str):
        return f"{value[:40]!a}"
    return type(value).__name__
