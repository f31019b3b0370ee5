"""What a VNI looks like across the nodes: a VNet's (L2) and a zone's (L3).

Pure summaries of one cluster observation. ``None`` is unknown, as everywhere; counts never tick.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Literal

from pve_evpn.domain.observation import BgpVniRow, ClusterObservation, NodeObservation, VniRow
from pve_evpn.domain.state import same_form


@dataclass(frozen=True, slots=True)
class L2OnNode:
    """One L2 VNI on one node. `present` is ``None`` if the node's VNIs could not be seen."""

    node: str
    present: bool | None = None
    macs: int | None = None
    arp_nd: int | None = None
    remote_vteps: int | None = None
    missing_vteps: tuple[str, ...] | None = None
    """Nodes that have the VNI and are not in this one's flood list. ``None``: the list could not be seen."""


@dataclass(frozen=True, slots=True)
class L2View:
    """One L2 VNI across the nodes; route counts are those of the node that sees most of them."""

    vni: int
    nodes: tuple[L2OnNode, ...]
    type2: int | None = None
    type3: int | None = None
    type5: int | None = None
    """Of the VNet's subnets, in its zone's L3 VNI."""

    @property
    def gaps(self) -> tuple[tuple[str, str], ...]:
        """Pairs (node, node missing from its flood list)."""
        return tuple((row.node, other) for row in self.nodes for other in row.missing_vteps or ())

    @property
    def absent_on(self) -> tuple[str, ...]:
        """Nodes that were seen not to have the VNI at all."""
        return tuple(row.node for row in self.nodes if row.present is False)


@dataclass(frozen=True, slots=True)
class L3OnNode:
    """One L3 VNI on one node."""

    node: str
    present: bool | None = None
    router_mac: str | None = None
    prefixes: int | None = None
    """Type-5 prefixes of the VNI in the node's BGP table; from Proxmox: routes installed in the VRF."""
    tenant_vrf: str | None = None


@dataclass(frozen=True, slots=True)
class L3View:
    """One L3 VNI across the nodes."""

    vni: int
    nodes: tuple[L3OnNode, ...]
    prefixes: int | None = None


class VniIndex:
    """Every VNI of one cluster observation. Build it once per poll; it never changes then."""

    def __init__(self, cluster: ClusterObservation) -> None:
        self._looks = cluster.nodes
        self._rows: dict[tuple[str, int], VniRow] = {}
        self._bgp_rows: dict[tuple[str, int], BgpVniRow] = {}
        self._routes: dict[str, Counter[tuple[int, int]]] = {}
        self._prefixes: dict[str, Counter[tuple[int, str]]] = {}
        self._installed: Counter[tuple[str, str]] = Counter()
        for node, look in cluster.answered().items():
            self._rows.update({(node, row.vni): row for row in look.vnis or ()})
            self._bgp_rows.update({(node, row.vni): row for row in look.bgp_vnis or ()})
            self._installed.update((node, route.zone) for route in look.ip_vrf or ())
            if look.routes is not None:
                distinct = {(r.route_type, r.vni, r.rd, r.prefix) for r in look.routes if r.vni is not None}
                self._routes[node] = Counter((kind, vni) for kind, vni, _, _ in distinct if vni is not None)
                networks = {(r.vni, f"{r.ip}/{r.prefix_length}", r.rd) for r in look.routes if r.route_type == 5}
                self._prefixes[node] = Counter((vni, cidr) for vni, cidr, _ in networks if vni is not None)

    def originator(self, node: str, vni: int) -> str | None:
        """The node's own VTEP address for the VNI, as it says itself."""
        row = self._bgp_rows.get((node, vni))
        return row.originator_ip if row else None

    def l2(
        self,
        vni: int,
        nodes: Iterable[str],
        vteps: Mapping[str, str],
        subnets: Iterable[str] = (),
        l3_vni: int | None = None,
    ) -> L2View:
        """One VNet's VNI on the nodes its zone is on. `vteps`: overlay address by node name.

        A node is expected in the flood lists of the others unless it was seen not to have the VNI: then that is the
        trouble, and saying it once is enough. Where there is only a count (frr_exporter) no gap can be named.
        """
        names = sorted(nodes)
        rows = {name: self._row(name, vni) for name in names}
        wanted = {name: same_form(vteps[name]) for name in names if name in vteps and rows[name] is not False}
        entries = tuple(_l2_on_node(name, rows[name], wanted) for name in names)
        type5 = None
        if l3_vni is not None:
            wanted_networks = [(l3_vni, cidr) for cidr in subnets]
            type5 = _most(sum(counts[network] for network in wanted_networks) for counts in self._prefixes.values())
        return L2View(vni, entries, self._most_routes(2, vni), self._most_routes(3, vni), type5)

    def l3(self, vni: int, zone: str, nodes: Iterable[str]) -> L3View:
        """One zone's L3 VNI on the nodes it is on. `zone`: its Proxmox id, for rows Proxmox itself gives."""
        entries = tuple(self._l3_on_node(vni, zone, name) for name in sorted(nodes))
        return L3View(vni, entries, _most(entry.prefixes for entry in entries))

    def _l3_on_node(self, vni: int, zone: str, name: str) -> L3OnNode:
        look = self._looks.get(name)
        if not isinstance(look, NodeObservation):
            return L3OnNode(name)
        row = self._row(name, vni)
        own = self._bgp_rows.get((name, vni))
        if (routes := self._routes.get(name)) is not None:
            prefixes: int | None = routes[5, vni]
        else:
            prefixes = None if look.ip_vrf is None else self._installed[name, zone]
        return L3OnNode(
            node=name,
            present=True if isinstance(row, VniRow) else row,
            router_mac=own.router_mac if own else None,
            prefixes=prefixes,
            tenant_vrf=row.tenant_vrf if isinstance(row, VniRow) else None,
        )

    def _row(self, node: str, vni: int) -> VniRow | Literal[False] | None:
        """The node's row; ``False`` if it was seen to have none, ``None`` if that could not be seen."""
        look = self._looks.get(node)
        if not isinstance(look, NodeObservation) or look.vnis is None:
            return None
        return self._rows.get((node, vni), False)

    def _most_routes(self, kind: int, vni: int) -> int | None:
        return _most(counts[kind, vni] for counts in self._routes.values())


def _l2_on_node(name: str, row: VniRow | Literal[False] | None, wanted: Mapping[str, str]) -> L2OnNode:
    if not isinstance(row, VniRow):
        return L2OnNode(name, present=row)
    missing = None
    if row.remote_vteps is not None:
        there = {same_form(vtep) for vtep in row.remote_vteps}
        missing = tuple(other for other, vtep in wanted.items() if other != name and vtep not in there)
    return L2OnNode(name, True, row.macs, row.arp_nd, row.remote_vtep_count, missing)


def _most(counts: Iterable[int | None]) -> int | None:
    return max((count for count in counts if count is not None), default=None)
