"""Readable names of Kubernetes objects for what has an id in Proxmox."""

from __future__ import annotations

import re
from collections.abc import Iterable

#: A label's length, so that the name can be the value of one.
_LONGEST = 63


def slug(text: str) -> str:
    """Lower case letters, digits and single dashes, as RFC 1123 has it; "" where nothing is left."""
    return re.sub(r"[^a-z0-9]+", "-", text.lower()).strip("-")[:_LONGEST].strip("-")


class Names:
    """The names of one kind in one namespace: each is given once. ``taken``: names that are in use already."""

    def __init__(self, taken: Iterable[str] = ()) -> None:
        self._taken = set(taken)

    def give(self, *wishes: str) -> str:
        """The first wish that is a name and free, else the last one with a number. The last must hold a letter or
        digit."""
        slugs = [made for wish in wishes if (made := slug(wish))]
        name = next((wish for wish in slugs if wish not in self._taken), None)
        number = 2
        while name is None or name in self._taken:
            name = f"{slugs[-1][: _LONGEST - 5]}-{number}"
            number += 1
        self._taken.add(name)
        return name
