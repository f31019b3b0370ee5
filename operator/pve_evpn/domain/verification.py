"""What is wrong on the nodes, in words that can be compared before and after an apply. Pure."""

from __future__ import annotations

from pve_evpn.domain.observed import Observed
from pve_evpn.domain.sdn import SdnKind


def complaints(observed: Observed) -> frozenset[str]:
    """Everything that is not well: nodes that are gone, zones that a node does not have as it should.

    A node that does not answer for a moment is no complaint: unknown is not bad.
    """
    found = set()
    for node in observed.nodes.values():
        if not node.online:
            found.add(f"{node.name} is offline")
            continue
        if node.zones is None:
            continue
        for ref, zone in observed.sdn.running.items():
            if ref.kind is not SdnKind.ZONE:
                continue
            only = zone.props.get("nodes") or ()
            if only and node.name not in only:
                continue
            state = node.zones.get(ref.id, "missing")
            if state != "available":
                found.add(f"{node.name}: zone {ref.id} is {state}")
    return frozenset(found)
