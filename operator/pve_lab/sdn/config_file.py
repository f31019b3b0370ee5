"""One configuration file of fabrics, route maps or prefix lists, which Proxmox keeps in Rust: two copies, one digest.

A client meets one difference to zones, VNets and the other kinds: the pending view of a new object shows everything
below ``pending``, its id included.
"""

from __future__ import annotations

import copy
import hashlib
import json
from typing import Any

from pve_lab.errors import refused
from pve_lab.sdn.pending import differ, merged
from pve_lab.sdn.section_config import Props

_MODIFIED = "detected modified configuration - file changed by other user? Try again.\n"


class ConfigFile:
    """Objects by id, edited and running."""

    def __init__(self) -> None:
        self.edited: dict[str, Props] = {}
        self.running: dict[str, Props] = {}

    @property
    def has_pending(self) -> bool:
        return differ(self.running, self.edited)

    @property
    def digest(self) -> str:
        return hashlib.sha256(json.dumps(self.edited, sort_keys=True).encode()).hexdigest()

    def check_digest(self, given: str | None) -> None:
        if given and given != self.digest:
            raise refused(_MODIFIED)

    def rows(self, view: str) -> list[Props]:
        """Sorted by id; without digest."""
        if view == "pending":
            ids = sorted(self.edited.keys() | self.running.keys())
            return [merged(self.running.get(id_), self.edited.get(id_)) for id_ in ids]
        chosen = self.running if view == "running" else self.edited
        return [dict(props) for _, props in sorted(chosen.items())]

    def commit(self) -> None:
        self.running = copy.deepcopy(self.edited)

    def rollback(self) -> None:
        self.edited = copy.deepcopy(self.running)


def updated(old: Props, params: dict[str, Any], delete: list[str]) -> Props:
    """The object after a partial update; a property that is both deleted and set stays set."""
    return {**{key: value for key, value in old.items() if key not in delete}, **params}
