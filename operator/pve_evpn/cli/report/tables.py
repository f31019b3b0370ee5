"""``pve-evpn peers`` and ``vni``: the tables of ``show bgp l2vpn evpn summary`` and ``show evpn vni``, per node."""

from __future__ import annotations

from typing import Any

from pve_evpn.cli.report.model import Block, Cell, Lines, Report, Table, Tone, age, columns
from pve_evpn.cli.report.snapshot import Snapshot
from pve_evpn.cli.report.status import ESTABLISHED, node_name
from pve_evpn.domain.objects import Resource

_PEERS = columns(
    ("neighbor", "NEIGHBOR"), ("node", "NODE"), ("as", "AS"), ("state", "STATE"), ("since", "UP/DOWN"),
    ("received", "PFXRCD"), ("sent", "PFXSNT"), ("bfd", "BFD"), ("lastError", "LAST ERROR"), wraps=("lastError",),
)  # fmt: skip
_VNIS = columns(
    ("vni", "VNI"), ("type", "TYPE"), ("vnet", "VNET/ZONE"), ("macs", "# MACS"), ("arpNd", "# ARPS"),
    ("remoteVteps", "# REMOTE VTEPS"), ("vrf", "TENANT VRF"),
)  # fmt: skip


def nodes_named(snapshot: Snapshot, name: str) -> list[Resource[Any]]:
    """The EvpnNodes of that name in Proxmox or Kubernetes; all of them where it is empty."""
    nodes = snapshot.of_kind("EvpnNode")
    return [node for node in nodes if not name or name in (node_name(node), node.key.name)]


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
        rows = tuple(
            (
                Cell(peer.address), Cell(peer.node), Cell(peer.remote_as),
                Cell(peer.state, Tone.GOOD if peer.state == ESTABLISHED else Tone.BAD), age(peer.since, snapshot.now),
                Cell(peer.prefixes_received), Cell(peer.prefixes_sent), Cell(peer.bfd), Cell(peer.last_error),
            )
            for peer in status.peers
        )  # fmt: skip
        blocks.append(Table(node.key.name, title, _PEERS, rows, note=_more(status.truncated)))
    return Report(tuple(blocks), good)


def vni_report(snapshot: Snapshot, name: str = "") -> Report:
    """The VNIs, one table per node."""
    blocks: list[Block] = []
    for node in nodes_named(snapshot, name):
        status = node.status
        if status.vnis is None:
            blocks.append(Lines(node.key.name, node.key.name, ("No source shows its VNIs.",), Tone.FAINT))
            continue
        rows = tuple(
            (
                Cell(row.vni), Cell(row.type), Cell(row.vnet), Cell(row.macs), Cell(row.arp_nd),
                Cell(row.remote_vteps), Cell(row.tenant_vrf),
            )
            for row in status.vnis
        )  # fmt: skip
        blocks.append(Table(node.key.name, node.key.name, _VNIS, rows, note=_more(status.truncated)))
    return Report(tuple(blocks))


def _more(truncated: int | None) -> str:
    return f"the status leaves out {truncated} more peers and VNIs" if truncated else ""
