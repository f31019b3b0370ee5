"""What the handlers of fabrics, route maps and prefix lists share: they write to files of the same sort."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from pve_lab.cluster import Cluster
from pve_lab.request import Call
from pve_lab.sdn.section_config import Props

#: Parameters that control a write and are not stored.
_CONTROL = ("lock-token", "digest", "delete")


def settings(call: Call) -> Props:
    """What a write stores, with the names that are in the path."""
    return {key: value for key, value in {**call.params, **call.path}.items() if key not in _CONTROL}


def settings_of_body(call: Call) -> Props:
    """The same without what is in the path."""
    return {key: value for key, value in call.params.items() if key not in _CONTROL}


def to_delete(call: Call) -> list[str]:
    return [str(key) for key in call.params.get("delete") or ()]


@contextmanager
def locked(cluster: Cluster, call: Call, prefix: str) -> Iterator[None]:
    """Inside the SDN lock of the request; every refusal gets the prefix."""
    with cluster.sdn.locked(prefix, call.text("lock-token")):
        yield


def sees(cluster: Cluster, call: Call, path: str, privileges: tuple[str, ...] = ("SDN.Audit", "SDN.Allocate")) -> bool:
    return cluster.access.allowed(call.user, path, privileges)


def value_of(row: Props, key: str) -> str:
    """A new object's names are below ``pending`` too."""
    return str(row.get(key) or row["pending"][key])


def digested(call: Call, rows: list[Props], digest: str) -> list[Props]:
    """The running view has no digest."""
    return rows if call.view == "running" else [{**row, "digest": digest} for row in rows]
