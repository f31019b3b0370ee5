"""``pve-evpn routes``, ``peers`` and ``vni`` from every row that the operator saw, as its endpoint answers them."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from datetime import datetime
from typing import Any

from pve_evpn.api.node import Peer, VniStatus
from pve_evpn.cli.report.model import Block, Cell, Lines, Report, Table, Tone, columns, duration
from pve_evpn.cli.report.snapshot import Snapshot
from pve_evpn.cli.report.status import node_name
from pve_evpn.cli.report.tables import PEERS, VNIS, peer_cells, vni_cells
from pve_evpn.domain.objects import Resource

Answer = Mapping[str, Any]

_ROUTES = columns(
    ("type", "TYPE"), ("rd", "RD"), ("prefix", "PREFIX"), ("nextHop", "NEXT HOP"), ("node", "NODE"),
    ("mobilitySequence", "SEQ"), ("routeTargets", "ROUTE TARGETS"), ("seenBy", "SEEN BY"), ("problem", "PROBLEM"),
    wraps=("problem",),
)  # fmt: skip

_MACS = columns(
    ("node", "NODE"), ("vni", "VNI"), ("type", "TYPE"), ("port", "PORT"), ("remoteVtep", "REMOTE VTEP"),
    ("localSequence", "LOCAL SEQ"), ("remoteSequence", "REMOTE SEQ"), ("problem", "PROBLEM"),
)  # fmt: skip


def full_peers_report(snapshot: Snapshot, nodes: Sequence[Resource[Any]], answers: Mapping[str, Answer]) -> Report:
    """The sessions of address family l2vpn evpn, one table per node; ``answers`` by ProxmoxCluster."""
    names = {
        (_cluster(node), peer.address): peer.node
        for node in snapshot.of_kind("EvpnNode")
        for peer in node.status.peers or ()
    }

    def row(peer: Mapping[str, Any], node: Resource[Any]) -> tuple[Cell, ...]:
        known = names.get((_cluster(node), peer["address"])) or peer.get("hostname")
        # model_construct: validation would cut texts to what a status may hold.
        whole = Peer.model_construct(**{**peer, "node": known, "since": _moment(peer.get("since"))})
        return peer_cells(whole, snapshot.now)

    blocks = [_node_table(node, answers, "peers", PEERS, row, "sessions") for node in nodes]
    tables = [block for block in blocks if isinstance(block, Table)]
    good = not any(cell.tone is Tone.BAD for table in tables for row in table.rows for cell in row)
    return Report(tuple(blocks), good)


def full_vni_report(_snapshot: Snapshot, nodes: Sequence[Resource[Any]], answers: Mapping[str, Answer]) -> Report:
    """The VNIs, one table per node; ``answers`` by ProxmoxCluster."""

    def row(vni: Mapping[str, Any], _node: Resource[Any]) -> tuple[Cell, ...]:
        return vni_cells(VniStatus.model_construct(**{**vni, "remoteVteps": vni.get("remoteVtepCount")}))

    return Report(tuple(_node_table(node, answers, "vnis", VNIS, row, "VNIs") for node in nodes))


def full_routes_report(vnet: Resource[Any], answer: Answer) -> Report:
    """Every path of the VNet's routes once, with the nodes that have it."""
    table = routes_table(answer, "routes", f"{vnet.key}: VNI {answer['vni']}")
    blocks: list[Block] = [table, *_unread(answer, "routes"), _polled(answer)]
    return Report(tuple(blocks), not any(row[-1].value for row in table.rows))


def has_mac(answer: Answer, mac: str) -> bool:
    """Whether any node has the MAC in its tables."""
    tables = (node.get("tables", {}) for node in answer["nodes"])
    return any(row.get("mac") == mac for each in tables for name in ("routes", "macs") for row in each.get(name) or ())


def mac_blocks(answer: Answer, mac: str, name: str) -> list[Block]:
    """What the nodes' own tables have of one MAC: its routes, and how each node has it."""
    rows = [
        (
            Cell(node["name"]), Cell(row["vni"]), Cell(row["type"]), Cell(row.get("interface")),
            Cell(row.get("remoteVtep")), Cell(row.get("localSequence")), Cell(row.get("remoteSequence")),
            Cell("duplicate" if row.get("duplicate") else "zombie" if row.get("zombie") else None, Tone.BAD),
        )
        for node in answer["nodes"]
        for row in node.get("tables", {}).get("macs") or ()
        if row["mac"] == mac
    ]  # fmt: skip
    blocks: list[Block] = []
    if _having(answer, "routes"):
        blocks.append(routes_table(answer, f"routes/{name}", "ITS EVPN ROUTES", mac))
    if _having(answer, "macs"):
        blocks.append(Table(f"macs/{name}", "HOW EACH NODE HAS THE MAC", _MACS, tuple(rows)))
    return [*blocks, *_unread(answer, "routes"), _polled(answer)]


def routes_table(answer: Answer, key: str, title: str, mac: str = "") -> Table:
    """Every path once, those of one MAC or all of them, and on which nodes it is."""
    read = _having(answer, "routes")
    seen: defaultdict[tuple[Any, ...], set[str]] = defaultdict(set)
    origin: dict[tuple[Any, ...], str] = {}
    for node in read:
        for route in node["tables"]["routes"]:
            if mac and route.get("mac") != mac:
                continue
            path = (
                route["type"], route["rd"], route["prefix"], route.get("nextHop"), route.get("mobilitySequence", 0),
                " ".join(route.get("routeTargets", ())),
            )  # fmt: skip
            seen[path].add(node["name"])
            if route.get("own"):
                origin[path] = node["name"]
    rows = []
    for path in sorted(seen, key=lambda path: (path[0], path[2], path[1], str(path[3]))):
        kind, rd, prefix, hop, sequence, targets = path
        without = sorted({node["name"] for node in read} - seen[path])
        rows.append(
            (
                Cell(kind), Cell(rd), Cell(prefix), Cell(hop), Cell(origin.get(path)), Cell(sequence), Cell(targets),
                Cell(f"{len(seen[path])} of {len(read)}"),
                Cell(f"missing on {', '.join(without)}" if without else None, Tone.BAD),
            )
        )  # fmt: skip
    return Table(key, title, _ROUTES, tuple(rows))


def with_reason(report: Report, reason: str) -> Report:
    """A report from statuses that says why it is not from full tables."""
    line = Lines("source", "", (f"From statuses, which hold a part: {reason}.",), Tone.FAINT)
    return Report((*report.blocks, line), report.good)


def _having(answer: Answer, table: str) -> list[Mapping[str, Any]]:
    return [node for node in answer["nodes"] if node.get("tables", {}).get(table) is not None]


def _unread(answer: Answer, table: str) -> list[Block]:
    read = _having(answer, table)
    names = [node["name"] for node in answer["nodes"] if node not in read]
    text = f"No source shows the {table} of {', '.join(names)}."
    return [Lines("unread", "NOT READ", (text,), Tone.WAITING)] if names else []


def _polled(answer: Answer) -> Block:
    ages = [node["ageSeconds"] for node in answer["nodes"] if "ageSeconds" in node]
    text = f"From the nodes' own tables, polled {duration(max(ages, default=answer['ageSeconds']))} ago."
    return Lines("source", "", (text,), Tone.FAINT)


def _node_table(
    node: Resource[Any],
    answers: Mapping[str, Answer],
    table: str,
    titles: Any,
    row: Callable[[Mapping[str, Any], Resource[Any]], tuple[Cell, ...]],
    what: str,
) -> Block:
    name, cluster = node_name(node), _cluster(node)
    found: Mapping[str, Any] = next(
        (each for each in answers.get(cluster, {}).get("nodes", ()) if each["name"] == name), {}
    )
    key = node.key.name
    if "failure" in found:
        failure = found["failure"]
        return Lines(key, key, (f"It cannot be read: {failure.get('message') or failure['reason']}.",), Tone.WAITING)
    rows = found.get("tables", {}).get(table)
    if rows is None:
        return Lines(key, key, (f"No source shows its {what}.",), Tone.FAINT)
    about = [f"polled {duration(found['ageSeconds'])} ago"]
    if table == "peers":
        about = [f"router ID {found.get('routerId', 'unknown')}", f"AS {found.get('asn', 'unknown')}", *about]
    return Table(key, f"{key}: {', '.join(about)}", titles, tuple(row(each, node) for each in rows))


def _cluster(node: Resource[Any]) -> str:
    return str(node.spec.cluster_ref.name) if node.spec else ""


def _moment(text: str | None) -> datetime | None:
    return datetime.fromisoformat(text) if text else None
