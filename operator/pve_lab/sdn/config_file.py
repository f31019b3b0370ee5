"""One file of the SDN configuration that is kept by Proxmox' newer, compiled half: two copies, one digest.

Fabrics, route maps and prefix lists behave alike here, and unlike zones and their kin in one point that a client
meets: of a new object the pending view shows everything below ``pending``, its very id included.
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
    """A partial update; what is deleted and set at once stays set."""
    return {**{key: value for key, value in old.items() if key not in delete}, **params}
