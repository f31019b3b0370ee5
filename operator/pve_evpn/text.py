"""Text that comes from outside (Proxmox, a node), before it reaches a status, an Event or a log line."""

from __future__ import annotations

import difflib
import unicodedata
from collections.abc import Iterable

#: Characters that are kept; a person reads no further.
LONGEST = 500
_HIDDEN = "***"
_SHORTEST_SECRET = 4


def from_outside(text: object, secrets: Iterable[str] = (), longest: int = LONGEST) -> str:
    """The text on one line, without control and bidirectional characters, without our secrets, cut.

    Args:
        text: Anything; it is taken as its ``str``.
        secrets: Values that must not be shown, wherever they stand in the text. Shorter than 4 characters they are
            words that appear by chance and are left.
        longest: Characters that are kept.
    """
    shown = str(text)
    for secret in secrets:  # before the cut, which could leave a part of one
        if len(secret) >= _SHORTEST_SECRET:
            shown = shown.replace(secret, _HIDDEN)
    shown = shown[: 4 * longest]
    shown = _joined(shown)
    return shown if len(shown) <= longest else shown[: longest - 4] + " ..."


def one_line(text: str) -> str:
    """The text on one line, without control and bidirectional characters; as it is where it has none.

    For the last place before a text is stored or shown, where it may come from anywhere.
    """
    return text if text.isprintable() else _joined(text)


def _joined(text: str) -> str:
    lines = (" ".join("".join(map(_visible, line)).split()) for line in text.splitlines())
    return " | ".join(line for line in lines if line)


def _visible(character: str) -> str:
    """Categories Cc (escape sequences), Cf (bidi marks, zero width) and their like are not for terminals."""
    return " " if unicodedata.category(character)[0] in "CZ" else character


def some_of(items: Iterable[object], most: int = 5, separator: str = ", ") -> str:
    """The first items, and how many more there are: ``a, b and 7 more``."""
    listed = [str(item) for item in items]
    rest = f" and {len(listed) - most} more" if len(listed) > most else ""
    return separator.join(listed[:most]) + rest


#: How alike two names are at least, between 0 and 1: ``net1`` and ``net2`` have 0.75.
_ALIKE = 0.7


def meant(name: str, known: Iterable[str]) -> str:
    """``; is web meant?`` where one of the known names differs in case or by about a letter, else nothing.

    Args:
        known: Only names that whoever reads the message may know.
    """
    by_folded = {one.casefold(): one for one in sorted(known) if one != name}
    close = difflib.get_close_matches(name.casefold(), by_folded, n=1, cutoff=_ALIKE)
    return f"; is {by_folded[close[0]]} meant?" if close else ""
