"""Prefix lists: policies that controllers and fabrics name, from 9.2 on; edited and applied like the rest.

They are stored and shown, and a list that a route map still names cannot be deleted; nothing here acts upon them.
"""

from __future__ import annotations

from pve_lab.errors import died, refused
from pve_lab.sdn.config_file import ConfigFile, updated
from pve_lab.sdn.route_maps import RouteMaps
from pve_lab.sdn.section_config import Props

_MODULE = "Network/SDN/PrefixLists.pm"


class PrefixLists:
    """Lists by id with their entries in order."""

    def __init__(self, maps: RouteMaps) -> None:
        self._maps = maps
        self.lists = ConfigFile()

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
                raise refused(died(text, _MODULE, 90))
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
