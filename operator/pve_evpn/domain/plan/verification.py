"""What an apply made worse on the nodes, in words. Pure."""

from __future__ import annotations

from collections.abc import Mapping

from pve_evpn.domain.sdn import SdnKind
from pve_evpn.domain.state import ClusterState, NodeState


def worsened(before: ClusterState, after: ClusterState) -> frozenset[str]:
    """What is not well and was well before: nodes that are gone, zones that a node does not have as it should.

    Unknown is not bad: neither a node that does not answer for a moment, nor one of which nothing was known before,
    because it was off or did not answer, and of which nobody could say that it is worse off now.
    """
    bad = _complaints(before).keys()
    known = {node.name for node in before.nodes.values() if node.online and node.zones is not None}
    return frozenset(
        said for (node, zone), said in _complaints(after).items() if node in known and (node, zone) not in bad
    )


def _complaints(state: ClusterState) -> Mapping[tuple[str, str], str]:
    """By node and zone; the zone is "" where it is the node itself."""
    found = {}
    for node in state.nodes.values():
        if not node.online:
            found[node.name, ""] = f"{node.name} is offline"
        elif node.zones is not None:
            found |= {
                (node.name, zone): f"{node.name}: zone {zone} is {zone_state}"
                for zone, zone_state in not_well(node, state)
            }
    return found


def not_well(node: NodeState, state: ClusterState) -> list[tuple[str, str]]:
    """Zones the node should have and has not as it should, with their state."""
    zones = {ref.id: zone for ref, zone in state.sdn.running.items() if ref.kind is SdnKind.ZONE}
    expected = [name for name, zone in zones.items() if node.name in (zone.props.get("nodes") or (node.name,))]
    states = {name: (node.zones or {}).get(name, "missing") for name in expected}
    return [(name, zone_state) for name, zone_state in states.items() if zone_state != "available"]
