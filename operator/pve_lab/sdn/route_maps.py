"""Route maps: policies that controllers and fabrics name, from 9.2 on; edited and applied like the rest.

They are stored and shown, and a map that a controller still names cannot be deleted; nothing here acts upon them.
"""

from __future__ import annotations

from pve_lab.errors import died, refused
from pve_lab.sdn.config_file import ConfigFile, updated
from pve_lab.sdn.objects import SdnObjects
from pve_lab.sdn.section_config import Props

_MODULE = "Network/SDN/RouteMaps.pm"


class RouteMaps:
    """Entries, each with the map it is of and its place; an entry's id here is ``map/order``."""

    def __init__(self, sdn: SdnObjects) -> None:
        self._sdn = sdn
        self.entries = ConfigFile()
        sdn.route_maps = self.names

    def names(self) -> set[str]:
        return {str(row["route-map-id"]) for row in self.entries.edited.values()}

    def create(self, params: Props) -> None:
        key = f"{params['route-map-id']}/{params['order']}"
        if key in self.entries.edited:
            raise refused(f"route map entry already exists: {key}\n")
        self.entries.edited[key] = _whole(params)

    def update(self, map_: str, order: str, params: Props, delete: list[str]) -> None:
        self.entries.edited[f"{map_}/{order}"] = updated(self.entry(map_, order), _whole(params), delete)

    def delete(self, map_: str, order: str) -> None:
        self.entry(map_, order)
        left = [row for row in self.entries.edited.values() if row["route-map-id"] == map_]
        for name, props in sorted(self._sdn.edited["controllers"].items()):
            if len(left) == 1 and map_ in (props.get("route-map-in"), props.get("route-map-out")):
                raise refused(died(f"route map {map_} is still referenced by controller {name}", _MODULE, 60))
        del self.entries.edited[f"{map_}/{order}"]

    def entry(self, map_: str, order: str) -> Props:
        if f"{map_}/{order}" not in self.entries.edited:
            raise refused(f"route map entry {map_} {order} does not exist\n")
        return self.entries.edited[f"{map_}/{order}"]


def _whole(params: Props) -> Props:
    return {key: int(value) if key == "order" else value for key, value in params.items()}
