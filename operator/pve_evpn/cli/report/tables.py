"""``pve-evpn peers``, ``vni`` and ``routes``: FRR's tables, from what the operator saw on the nodes."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Any

from pve_evpn.api.node import Peer, VniStatus
from pve_evpn.cli.report.model import Block, Cell, Lines, Report, Table, Tone, age, columns
from pve_evpn.cli.report.snapshot import Snapshot
from pve_evpn.cli.report.status import node_name
from pve_evpn.domain.objects import Resource
from pve_evpn.domain.observation import ESTABLISHED

PEERS = columns(
    ("neighbor", "NEIGHBOR"), ("node", "NODE"), ("as", "AS"), ("state", "STATE"), ("since", "UP/DOWN"),
    ("received", "PFXRCD"), ("sent", "PFXSNT"), ("bfd", "BFD"), ("lastError", "LAST ERROR"), wraps=("lastError",),
)  # fmt: skip
VNIS = columns(
    ("vni", "VNI"), ("type", "TYPE"), ("vnet", "VNET/ZONE"), ("macs", "# MACS"), ("arpNd", "# ARPS"),
    ("remoteVteps", "# REMOTE VTEPS"), ("vrf", "TENANT VRF"),
)  # fmt: skip
_ROUTES = columns(
    ("type", "TYPE"), ("prefix", "PREFIX"), ("nextHop", "NEXT HOP"), ("node", "NODE"), ("mobilitySequence", "SEQ"),
    ("seenBy", "SEEN BY"), ("since", "FOR"), ("problem", "PROBLEM"), wraps=("problem",),
)  # fmt: skip


def nodes_named(snapshot: Snapshot, name: str) -> list[Resource[Any]]:
    """The EvpnNodes of that name in Proxmox or Kubernetes; all of them where it is empty."""
    nodes = snapshot.of_kind("EvpnNode")
    return [node for node in nodes if not name or name in (node_name(node), node.key.name)]


def peer_cells(peer: Peer, now: datetime) -> tuple[Cell, ...]:
    """A session in the columns of :data:`PEERS`."""
    return (
        Cell(peer.address), Cell(peer.node), Cell(peer.remote_as),
        Cell(peer.state, Tone.GOOD if peer.state == ESTABLISHED else Tone.BAD), age(peer.since, now),
        Cell(peer.prefixes_received), Cell(peer.prefixes_sent), Cell(peer.bfd), Cell(peer.last_error),
    )  # fmt: skip


def vni_cells(row: VniStatus) -> tuple[Cell, ...]:
    """A VNI in the columns of :data:`VNIS`."""
    return (
        Cell(row.vni), Cell(row.type), Cell(row.vnet), Cell(row.macs), Cell(row.arp_nd),
        Cell(row.remote_vteps), Cell(row.tenant_vrf),
    )  # fmt: skip


def peers_report(snapshot: Snapshot, name: str = "") -> Report:
    """The sessions of address family l2vpn evpn, one table per node."""
    blocks: list[Block] = []
    good = True
    for node in nodes_named(snapshot, name):
        status = node.status
        title = f"{node.key.name}: router ID {status.router_id or 'unknown'}, AS {status.asn or 'unknown'}"
        if status.peers is None:
            blocks.append(Lines(node.key.name, title, ("No source shows its sessions.",), Tone.FAINT))
            continue
        good &= all(peer.state == ESTABLISHED for peer in status.peers)
        rows = tuple(peer_cells(peer, snapshot.now) for peer in status.peers)
        blocks.append(Table(node.key.name, title, PEERS, rows, note=_more(status.truncated)))
    return Report(tuple(blocks), good)


def vni_report(snapshot: Snapshot, name: str = "") -> Report:
    """The VNIs, one table per node."""
    blocks: list[Block] = []
    for node in nodes_named(snapshot, name):
        status = node.status
        if status.vnis is None:
            blocks.append(Lines(node.key.name, node.key.name, ("No source shows its VNIs.",), Tone.FAINT))
            continue
        rows = tuple(vni_cells(row) for row in status.vnis)
        blocks.append(Table(node.key.name, node.key.name, VNIS, rows, note=_more(status.truncated)))
    return Report(tuple(blocks))


def routes_report(snapshot: Snapshot, vnet: Resource[Any]) -> Report:
    """Type 2 of its NicAttachments, and type 3 of its nodes, in FRR's spelling of prefixes (RFC 7432, 7.2 and 7.3)."""
    cluster = snapshot.cluster_of(vnet.key)
    nodes = [node for node in snapshot.of_kind("EvpnNode") if snapshot.cluster_of(node.key) is cluster]
    vteps = {node_name(node): node.status.router_id for node in nodes}
    rows = [row for nic in snapshot.of_kind("NicAttachment") if _is_on(nic, vnet)
            for row in _type2(snapshot, nic, vteps, len(nodes))]  # fmt: skip
    lacking = {row.name: row.missing_vteps or () for row in vnet.status.nodes or ()}
    for name in lacking:
        without = [other for other, missing in lacking.items() if name in missing]
        length = 128 if ":" in (vteps.get(name) or "") else 32
        rows.append(
            (
                Cell(3), Cell(f"[3]:[0]:[{length}]:[{vteps.get(name) or '?'}]"), Cell(vteps.get(name)), Cell(name),
                Cell(None), Cell(len(lacking) - len(without)), Cell(None),
                Cell(f"missing on {', '.join(without)}" if without else None, Tone.BAD),
            )
        )  # fmt: skip
    counts = vnet.status.routes
    by_type = {2: counts.type2, 3: counts.type3, 5: counts.type5} if counts else {}
    counted = [f"{number} of type {kind}" for kind, number in by_type.items() if number is not None]
    note = f"the nodes have {', '.join(counted)}; " if counted else ""
    note += "type 2 is listed for the MACs of NicAttachments only"
    title = f"{vnet.key}: VNI {vnet.status.vni}"
    good = all(not row[-1].value for row in rows)
    return Report((Table("routes", title, _ROUTES, tuple(rows), note=note),), good)


def _is_on(nic: Resource[Any], vnet: Resource[Any]) -> bool:
    if nic.spec is None or nic.key.namespace != vnet.key.namespace:
        return False
    return bool(nic.spec.vnet_ref.name == vnet.key.name)


def _type2(
    snapshot: Snapshot, nic: Resource[Any], vteps: Mapping[str, str | None], nodes: int
) -> list[tuple[Cell, ...]]:
    status, evpn = nic.status, nic.status.evpn
    if evpn is None or not status.mac_address:
        return []
    speaker = evpn.announced_by
    prefix = f"[2]:[0]:[48]:[{status.mac_address}]"
    prefixes = [prefix, *(f"{prefix}:[{128 if ':' in ip else 32}]:[{ip}]" for ip in evpn.ips or ())]
    problem = None if evpn.verdict == "Advertised" else evpn.verdict.value
    seen = f"{evpn.seen_by} of {nodes}" if evpn.seen_by is not None else None
    return [
        (
            Cell(2), Cell(each), Cell(vteps.get(speaker) if speaker else None), Cell(speaker),
            Cell(evpn.mobility_sequence), Cell(seen), age(evpn.since, snapshot.now), Cell(problem, Tone.BAD),
        )
        for each in prefixes
    ]  # fmt: skip


def _more(truncated: int | None) -> str:
    return f"the status leaves out {truncated} more peers and VNIs" if truncated else ""
