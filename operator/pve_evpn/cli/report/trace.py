"""``pve-evpn trace``: where a MAC is, who advertises it, how each node has its VNI, and what happened to it."""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Mapping
from types import MappingProxyType
from typing import Any

from pve_evpn.cli.report.full_tables import Answer, mac_blocks
from pve_evpn.cli.report.model import Block, Cell, Column, Facts, Lines, Report, Table, Tone, age, columns
from pve_evpn.cli.report.snapshot import Snapshot
from pve_evpn.cli.report.status import node_name
from pve_evpn.domain.objects import ObjectKey, Resource
from pve_evpn.domain.observation import ESTABLISHED

HISTORY = 20


def matching(snapshot: Snapshot, query: str) -> list[Resource[Any]]:
    """The NicAttachments that a MAC, IP address, guest number or name, or NIC's name (with namespace) means."""
    return [nic for nic in snapshot.of_kind("NicAttachment") if query_matches(nic, query)]


def query_matches(nic: Resource[Any], query: str) -> bool:
    """Whether the NIC is meant. MACs match in any usual spelling, addresses in any form of the same address."""
    status, spec = nic.status, nic.spec
    names = {nic.key.name, f"{nic.key.namespace}/{nic.key.name}", f"nic/{nic.key.name}", status.guest_name}
    names |= {str(number) for number in (status.vmid, spec.guest.vmid if spec else None) if number}
    if query in names:
        return True
    if mac := _mac(query):
        return mac in {_mac(text) for text in (status.mac_address, spec.mac_address if spec else None) if text}
    try:
        address = ipaddress.ip_address(query)
    except ValueError:
        return False
    configured = [text.split("/")[0] for text in ((spec.ip, spec.ip6) if spec else ()) if text and "/" in text]
    seen = (status.evpn.ips or ()) if status.evpn else ()
    return str(address) in {str(ipaddress.ip_address(text)) for text in (*configured, *seen)}


def mac_of(query: str) -> str:
    """The MAC that the query is, in lower case with colons; "" if it is none."""
    return ":".join(re.findall("..", _mac(query)))


def _mac(text: str) -> str:
    digits = re.sub(r"[:.-]", "", text).lower()
    return digits if re.fullmatch(r"[0-9a-f]{12}", digits) else ""


def trace_report(
    snapshot: Snapshot, nics: list[Resource[Any]], tables: Mapping[ObjectKey, Answer] = MappingProxyType({})
) -> Report:
    """One section per NIC. ``nics``: what :func:`matching` found. ``tables``: full ones of their VNets, where known."""
    blocks: list[Block] = []
    for nic in nics:
        blocks += _trace(snapshot, nic, tables.get(vnet_key(nic)))
    return Report(tuple(blocks))


def vnet_key(nic: Resource[Any]) -> ObjectKey:
    """The VNet that the NIC's spec names."""
    return ObjectKey("VNet", nic.key.namespace, nic.spec.vnet_ref.name if nic.spec else "")


def _trace(snapshot: Snapshot, nic: Resource[Any], answer: Answer | None) -> list[Block]:
    status, evpn, name = nic.status, nic.status.evpn, f"{nic.key.namespace}/{nic.key.name}"
    vnet = snapshot.objects.get(vnet_key(nic))
    nodes = [node for node in snapshot.of_kind("EvpnNode") if _same_cluster(snapshot, node, nic)]
    facts = [
        ("nic", "NIC", Cell(name)),
        ("guest", "guest", Cell(f"{status.vmid or '?'} {status.guest_name or ''}".strip())),
        ("node", "on node", Cell(status.node)),
        ("port", "port", Cell(f"{status.device} on {status.vnet}" if status.device and status.vnet else status.device)),
        ("vnet", "VNet", Cell(str(vnet.key) if vnet else status.vnet)),
        ("zone", "zone", Cell(vnet.status.zone if vnet else None)),
        ("vni", "VNI", Cell(vnet.status.vni if vnet else None)),
        ("mac", "MAC", Cell(status.mac_address)),
        ("pinned", "pinned", Cell(status.pinned)),
    ]
    if evpn:
        good = evpn.verdict == "Advertised"
        facts += [
            ("evpn", "EVPN", Cell(evpn.verdict.value, Tone.GOOD if good else Tone.BAD)),
            ("since", "for", age(evpn.since, snapshot.now)),
            ("advertisedBy", "advertised by", Cell(evpn.announced_by)),
            ("lastAdvertisedBy", "last advertised by", Cell(evpn.last_announced_by)),
            ("ips", "IPs", Cell(", ".join(evpn.ips) if evpn.ips else None)),
            ("mobilitySequence", "mobility sequence", Cell(evpn.mobility_sequence)),
            ("seenBy", "seen by", Cell(f"{evpn.seen_by} of {len(nodes)} nodes" if evpn.seen_by is not None else None)),
        ]
    rows = tuple((Column(key, title), cell) for key, title, cell in facts if cell.value not in (None, ""))
    made: list[Block] = [Facts(f"nic/{name}", "", rows)]
    if vnet and nodes:
        made.append(_nodes(nic, vnet, nodes, name))
    if answer and status.mac_address:
        made += mac_blocks(answer, status.mac_address.lower(), name)
    made.append(_history(snapshot, nic, name))
    return made


def _same_cluster(snapshot: Snapshot, node: Resource[Any], nic: Resource[Any]) -> bool:
    if node.spec is None or nic.spec is None:
        return False
    return bool(node.spec.cluster_ref.name == nic.spec.cluster_ref.name)


def _nodes(nic: Resource[Any], vnet: Resource[Any], nodes: list[Resource[Any]], name: str) -> Table:
    """How each node has the VNI, and its session with the node that advertises."""
    evpn = nic.status.evpn
    speaker = (evpn.announced_by or evpn.last_announced_by) if evpn else nic.status.node
    flooding = {row.name: row for row in vnet.status.nodes or ()}
    rows = []
    for node in nodes:
        own = node_name(node)
        row = next((row for row in node.status.vnis or () if row.vni == vnet.status.vni), None)
        peer = next((peer for peer in node.status.peers or () if peer.node == speaker), None)
        seen = flooding.get(own)
        roles = {"home": own == nic.status.node, "advertises": evpn is not None and own == evpn.announced_by}
        role = ", ".join(word for word, holds in roles.items() if holds)
        has = None if node.status.vnis is None else row is not None
        lost = peer is not None and peer.state != ESTABLISHED
        rows.append(
            (
                Cell(own), Cell(role), Cell(has, Tone.BAD if has is False else Tone.PLAIN),
                Cell(row.macs if row else None), Cell(row.arp_nd if row else None),
                Cell(row.remote_vteps if row else None),
                Cell(", ".join(seen.missing_vteps) if seen and seen.missing_vteps else None, Tone.BAD),
                Cell(peer.state if peer else None, Tone.BAD if lost else Tone.GOOD),
            )
        )  # fmt: skip
    titles = columns(
        ("node", "NODE"), ("role", "ROLE"), ("hasVni", "HAS VNI"), ("macs", "# MACS"), ("arpNd", "# ARPS"),
        ("remoteVteps", "# REMOTE VTEPS"), ("missingVteps", "LACKS VTEPS"),
        ("session", f"SESSION WITH {speaker or 'ITS NODE'}"),
    )  # fmt: skip
    return Table(f"nodes/{name}", "HOW EACH NODE HAS ITS VNI", titles, tuple(rows))


def _history(snapshot: Snapshot, nic: Resource[Any], name: str) -> Block:
    events = snapshot.events_about(nic.key)
    if not events:
        return Lines(f"history/{name}", "HISTORY", ("Kubernetes holds no Events of it (it keeps them for an hour).",))
    rows = tuple(
        (
            Cell(event.at, shown=f"{event.at:%H:%M:%S}"), age(event.at, snapshot.now),
            Cell(event.reason, Tone.WAITING if event.warning else Tone.PLAIN), Cell(event.message),
        )
        for event in events
    )  # fmt: skip
    titles = columns(("at", "AT"), ("ago", "AGO"), ("reason", "REASON"), ("message", "MESSAGE"), wraps=("message",))
    return Table(f"history/{name}", "HISTORY", titles, rows, tuple(range(max(0, len(rows) - HISTORY), len(rows))))
