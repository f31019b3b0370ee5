"""Route maps and prefix lists: policies that controllers and fabrics name. From 9.2 on; staged like everything.

They are stored and shown, and what still refers to them is looked for; nothing here acts upon them.
"""

from __future__ import annotations

from pve_lab.errors import died, refused
from pve_lab.sdn.config import SdnConfig
from pve_lab.sdn.section import Props
from pve_lab.staged import Staged, updated

_PREFIX_MODULE, _MAP_MODULE = "Network/SDN/PrefixLists.pm", "Network/SDN/RouteMaps.pm"


class RouteMaps:
    """Entries, each with the map it is of and its place; an entry's id here is ``map/order``."""

    def __init__(self, sdn: SdnConfig) -> None:
        self._sdn = sdn
        self.entries = Staged()
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
                raise refused(died(f"route map {map_} is still referenced by controller {name}", _MAP_MODULE, 60))
        del self.entries.edited[f"{map_}/{order}"]

    def entry(self, map_: str, order: str) -> Props:
        if f"{map_}/{order}" not in self.entries.edited:
            raise refused(f"route map entry {map_} {order} does not exist\n")
        return self.entries.edited[f"{map_}/{order}"]


class PrefixLists:
    """Lists by id with their entries in order."""

    def __init__(self, maps: RouteMaps) -> None:
        self._maps = maps
        self.lists = Staged()

    def create(self, id_: str, entries: list[str]) -> None:
        if id_ in self.lists.edited:
            raise refused(f"prefix list {id_} already exists\n")
        self.lists.edited[id_] = {"id": id_, "entries": _numbered(entries)}

    def update(self, id_: str, entries: list[str] | None, delete: list[str]) -> None:
        old = self.one(id_)
        kept = [] if "entries" in delete else old["entries"]
        self.lists.edited[id_] = {"id": id_, "entries": kept if entries is None else _numbered(entries)}

    def delete(self, id_: str) -> None:
        self.one(id_)
        for row in self._maps.entries.edited.values():
            if any(f"value={id_}" in str(match).split(",") for match in row.get("match") or ()):
                text = f"prefix list {id_} is still referenced by route map entry {row['route-map-id']} #{row['order']}"
                raise refused(died(text, _PREFIX_MODULE, 90))
        del self.lists.edited[id_]

    def one(self, id_: str) -> Props:
        if id_ not in self.lists.edited:
            raise refused(f"prefix list {id_} does not exist\n")
        return self.lists.edited[id_]

    # --- entries ------------------------------------------------------------------------------------------------

    def entries(self, id_: str) -> list[Props]:
        return [_parsed(text) for text in self.one(id_)["entries"]]

    def entry(self, id_: str, seq: str) -> Props:
        found = next((row for row in self.entries(id_) if str(row["seq"]) == seq), None)
        if found is None:
            raise refused(f"prefix list {id_} has no entry {seq}\n")
        return found

    def add_entry(self, id_: str, params: Props) -> None:
        self.update(id_, [*self.one(id_)["entries"], _text(params)], [])

    def change_entry(self, id_: str, seq: str, params: Props, delete: list[str]) -> None:
        new = _text(updated(self.entry(id_, seq), params, delete))
        rest = [text for text in self.one(id_)["entries"] if str(_parsed(text)["seq"]) != seq]
        self.update(id_, [*rest, new], [])

    def drop_entry(self, id_: str, seq: str) -> None:
        self.entry(id_, seq)
        self.update(id_, [text for text in self.one(id_)["entries"] if str(_parsed(text)["seq"]) != seq], [])


def _whole(params: Props) -> Props:
    return {key: int(value) if key == "order" else value for key, value in params.items()}


def _text(entry: Props) -> str:
    order = ("action", "prefix", "ge", "le", "seq")
    return ",".join(f"{key}={entry[key]}" for key in order if entry.get(key) is not None)


def _parsed(text: str) -> Props:
    values = dict(part.partition("=")[::2] for part in text.split(","))
    return {key: int(value) if key in ("ge", "le", "seq") else value for key, value in values.items()}


def _numbered(entries: list[str]) -> list[str]:
    """In order of their numbers; those without one follow in steps of five."""
    rows = [_parsed(text) for text in entries]
    last = max((int(row["seq"]) for row in rows if "seq" in row), default=0)
    for row in rows:
        if "seq" not in row:
            last = last - last % 5 + 5
            row["seq"] = last
    if len({row["seq"] for row in rows}) < len(rows):
        raise refused("duplicate sequence number in prefix list\n")
    return [_text(row) for row in sorted(rows, key=lambda row: int(row["seq"]))]
