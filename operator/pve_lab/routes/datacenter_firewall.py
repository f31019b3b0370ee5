"""``/cluster/firewall``: the names that rules refer to. What stands behind them, and renaming, is not here.

The answers are those of pve-firewall's source (``API2/Firewall/Groups.pm``, ``IPSet.pm``, ``Aliases.pm``,
``Cluster.pm``): every list but that of macros carries the digest of all its rows.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from pve_lab.cluster import Cluster
from pve_lab.errors import bad_parameters
from pve_lab.firewall.macros import MACROS
from pve_lab.firewall.vnet import digest_of
from pve_lab.request import Call


def macros(_cluster: Cluster, _call: Call) -> Any:
    return [{"macro": name, "descr": name} for name in MACROS]


def groups(cluster: Cluster, _call: Call) -> Any:
    return _listed({"group": name} for name in sorted(cluster.firewall_names.groups))


def create_group(cluster: Cluster, call: Call) -> Any:
    name = str(call.text("group"))
    if name in cluster.firewall_names.groups:
        raise bad_parameters(group=f"Security group '{name}' already exists")
    cluster.firewall_names.groups.add(name)


def ipsets(cluster: Cluster, _call: Call) -> Any:
    return _listed({"name": name} for name in sorted(cluster.firewall_names.ipsets))


def create_ipset(cluster: Cluster, call: Call) -> Any:
    name = str(call.text("name"))
    if name in cluster.firewall_names.ipsets:
        raise bad_parameters(name=f"IPSet '{name}' already exists")
    cluster.firewall_names.ipsets.add(name)


def aliases(cluster: Cluster, _call: Call) -> Any:
    return _listed(
        {"name": name, "cidr": cidr, "ipversion": 6 if ":" in cidr else 4}
        for name, cidr in sorted(cluster.firewall_names.aliases.items())
    )


def create_alias(cluster: Cluster, call: Call) -> Any:
    name, cidr = str(call.text("name")), str(call.text("cidr"))
    if cluster.firewall_names.alias_version("", name) is not None:
        raise bad_parameters(name=f"alias '{name}' already exists")
    cluster.firewall_names.aliases[name] = cidr


def _listed(rows: Iterable[dict[str, Any]]) -> list[dict[str, Any]]:
    found = list(rows)
    return [{**row, "digest": digest_of(found)} for row in found]
