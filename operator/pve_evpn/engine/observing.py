"""What is observed of BGP and the VNIs in each pass, and what it means for each object.

The Proxmox API shows no BGP session and only MAC/IP routes that are best paths: what it cannot show stays Unknown.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from typing import Any

from pve_evpn.api.conditions import ConditionType, Reason
from pve_evpn.domain.conditions import Verdict, timestamp
from pve_evpn.domain.decisions import Plan
from pve_evpn.domain.nics import NicDecision, NicPlan
from pve_evpn.domain.observed import Observed
from pve_evpn.domain.report import Health
from pve_evpn.domain.resources import Desired, ObjectKey, Resource
from pve_evpn.pve import errors
from pve_evpn.pve.gateway import Gateway

#: Reads of MAC tables per look, whatever the number of VNets: the rest is looked at in turn.
BUDGET = 16


class ApiObserver:
    """Reads ``mac-vrf`` (Proxmox VE 9.1 and newer) of a few VNets per look, in turn, from one node each."""

    def __init__(self) -> None:
        self._tables: dict[str, Mapping[str, Mapping[str, Any]]] = {}
        self._turn = 0

    async def look(
        self, gateway: Gateway, desired: Desired, observed: Observed, plan: Plan, nics: NicPlan
    ) -> dict[ObjectKey, Health]:
        """Health of what can be judged; what is missing from the answer could not be seen."""
        vnets = {d.id: d for d in plan.decisions.values() if d.key.kind == "VNet" and d.in_sync}
        await self._read(gateway, observed, sorted(vnets))
        health: dict[ObjectKey, Health] = {}
        for name, decision in vnets.items():
            if (table := self._tables.get(name)) is not None:
                health[decision.key] = _vnet_health(table)
        for nic in desired.nics:
            decision_ = nics.decisions.get(nic.key)
            if decision_ and (table := self._tables.get(decision_.vnet_id)) is not None:
                health[nic.key] = _nic_health(nic, decision_, observed, table)
        return health

    async def _read(self, gateway: Gateway, observed: Observed, vnets: list[str]) -> None:
        self._tables = {name: table for name, table in self._tables.items() if name in vnets}
        online = sorted(node.name for node in observed.nodes.values() if node.online)
        if observed.version < (9, 1) or not online or not vnets:
            return
        start = self._turn % len(vnets)
        due = (vnets[start:] + vnets[:start])[:BUDGET]
        self._turn += len(due)
        tables = await asyncio.gather(*(_table(gateway, online[0], name) for name in due))
        for name, table in zip(due, tables, strict=True):
            if table is None:
                self._tables.pop(name, None)
            else:
                self._tables[name] = table


async def _table(gateway: Gateway, node: str, vnet: str) -> dict[str, dict[str, Any]] | None:
    """MAC to its addresses and next hops, from one node's view; None if it cannot be read.

    A zone limited to some nodes makes Proxmox answer 500 here, which means nothing about the network.
    """
    try:
        rows = await gateway.get(f"/nodes/{node}/sdn/vnets/{vnet}/mac-vrf")
    except (errors.Unreachable, errors.Refused, errors.Forbidden):
        return None
    table: dict[str, dict[str, Any]] = {}
    for row in rows or ():
        entry = table.setdefault(str(row["mac"]).lower(), {"ips": set(), "nexthops": set()})
        entry["ips"].add(str(row["ip"]))
        entry["nexthops"].add(str(row["nexthop"]))
    return table


def _vnet_health(table: Mapping[str, Mapping[str, Any]]) -> Health:
    message = "the Proxmox API shows routes with an IP address only, and no BGP sessions"
    verdict = Verdict(ConditionType.OPERATIONAL, None, Reason.SOURCE_UNAVAILABLE, message)
    routes = sum(len(entry["ips"]) for entry in table.values())
    return Health(verdict, {"routes": {"type2": routes}, "source": "api"})


def _nic_health(
    nic: Resource[Any], decision: NicDecision, observed: Observed, table: Mapping[str, Mapping[str, Any]]
) -> Health:
    """Advertised where a route with an IP is seen; anything else this source cannot tell from silence."""
    entry = table.get((decision.mac or "").lower())
    before = nic.status.get("evpn") or {}
    if entry is None:
        message = "no route with an IP address is seen; the Proxmox API does not show others"
        verdict = Verdict(ConditionType.OPERATIONAL, None, Reason.SOURCE_UNAVAILABLE, message)
        return Health(verdict, {"evpn": {"verdict": "Unknown"}, "source": "api"})
    by_address = {node.address: node.name for node in observed.nodes.values() if node.address}
    announced = sorted(by_address.get(hop, hop) for hop in entry["nexthops"])
    where = decision.guest.node if decision.guest else ""
    right = announced == [where]
    word = "Advertised" if right else "WrongNode"
    since = before.get("since") if before.get("verdict") == word else None
    view = {
        "verdict": word,
        "announcedBy": announced[0],
        "ips": sorted(entry["ips"])[:16],
        **({"since": since} if since else {}),
    }
    if right:
        return Health(
            Verdict(ConditionType.OPERATIONAL, True, Reason.ADVERTISED, f"announced by {where}"),
            {"evpn": view, "source": "api"},
        )
    message = f"announced by {', '.join(announced)} while the guest is on {where}"
    return Health(
        Verdict(ConditionType.OPERATIONAL, False, Reason.WRONG_NODE, message), {"evpn": view, "source": "api"}
    )


__all__ = ["BUDGET", "ApiObserver", "timestamp"]
