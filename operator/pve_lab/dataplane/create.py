"""The data plane that a user chooses by name."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

from pve_lab.cluster import Cluster
from pve_lab.dataplane.frr import FrrDataplane
from pve_lab.dataplane.model import Model
from pve_lab.frr import install
from pve_lab.frr.topology import Unavailable
from pve_lab.ports import Dataplane

NAMES = ("model", "frr")


def create(
    cluster: Cluster,
    name: str,
    *,
    ageing_seconds: float = 300,
    uplinks: Mapping[str, str] = MappingProxyType({}),
) -> Dataplane:
    """Give the cluster a data plane; for ``frr``, install it first where that is possible. Raises `Unavailable`.

    ``uplinks``: with ``frr``, nodes' addresses towards a router outside, by node.
    """
    if name == "frr":
        if why := install.ensure():
            raise Unavailable(why)
        cluster.dataplane = FrrDataplane(cluster, ageing_seconds=ageing_seconds, uplinks=uplinks)
    else:
        cluster.dataplane = Model(cluster)
    return cluster.dataplane
