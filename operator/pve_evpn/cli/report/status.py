"""``pve-evpn status``: everything on one screen, and each cause once."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from pve_evpn.api.conditions import APPROVABLE
from pve_evpn.cli.report.causes import Causes, causes_in, group, is_good, state_of
from pve_evpn.cli.report.exits import exit_cell
from pve_evpn.cli.report.model import Block, Cell, Lines, Report, Table, Tone, Value, age, columns
from pve_evpn.cli.report.remedies import remedy_for
from pve_evpn.cli.report.snapshot import CLUSTER, Snapshot
from pve_evpn.domain.objects import Resource
from pve_evpn.domain.observation import ESTABLISHED
from pve_evpn.text import some_of

#: Rows of a table that people see; objects that are not Ready come before the others.
ROWS = 12
#: Nodes in a session matrix that still fits on a screen.
MESH = 16


def status_report(snapshot: Snapshot, *, everything: bool = False, causes: Causes | None = None) -> Report:
    """The screen.

    Args:
        everything: Show people every row.
        causes: Those of the snapshot, where they are known already.
    """
    rows = 10**6 if everything else ROWS
    blocks: list[Block] = [
        _objects(snapshot, CLUSTER, "clusters", "CLUSTERS", _CLUSTER, _cluster, rows),
        _objects(snapshot, "EvpnNode", "nodes", "NODES", _NODE, _node, rows),
        *_meshes(snapshot),
        _objects(snapshot, "Fabric", "fabrics", "FABRICS", _FABRIC, _fabric, rows),
        _objects(snapshot, "EvpnController", "controllers", "CONTROLLERS", _CONTROLLER, _controller, rows),
        _objects(snapshot, "BgpController", "routers", "BGP TO THE OUTSIDE", _ROUTER, _router, rows),
        _objects(snapshot, "IsisController", "isis", "IS-IS", _ISIS, _isis, rows),
        _objects(snapshot, "Ipam", "ipams", "IPAMS", _SERVICE, _service, rows),
        _objects(snapshot, "DnsServer", "dns", "DNS SERVERS", _SERVICE, _service, rows),
        _objects(snapshot, "EvpnZone", "zones", "ZONES", _ZONE, _zone, rows),
        _objects(snapshot, "VNet", "vnets", "VNETS", _VNET, _vnet, rows),
        _objects(snapshot, "NicAttachment", "nics", "NICS", _NIC, _nic, rows),
    ]
    blocks = [block for block in blocks if not isinstance(block, Table) or block.rows]
    if not snapshot.objects and not snapshot.unread:
        blocks.append(Lines("empty", "", ("No object of pve-evpn.dev is here.",)))
    causes = causes_in(snapshot) if causes is None else causes
    wrong, good = _causes(causes)
    waits = _waits(snapshot)
    blocks += [block for block in (wrong, waits) if block.rows]
    if snapshot.unread:
        lines = tuple(f"{kind}: {why}" for kind, why in snapshot.unread.items())
        blocks.append(Lines("unread", "NOT READ", lines, Tone.WAITING))
    if good and snapshot.objects:
        unseen = " or unobserved" if any(causes.values()) else ""
        blocks.append(Lines("summary", "", (f"All {len(snapshot.objects)} objects are Ready{unseen}.",)))
    return Report(tuple(blocks), good)


# --- what is wrong and what waits -------------------------------------------------------------------------------


def _causes(causes: Causes) -> tuple[Table, bool]:
    """The causes, and whether there is none but what no source can see."""
    groups = group(causes)
    rows = []
    for cause, affected in groups:
        tone = Tone.FAINT if cause.unknown else Tone.BAD if cause.needs_you else Tone.WAITING
        who = "unknown" if cause.unknown else "needs you" if cause.needs_you else "retried"
        rows.append(
            (
                Cell(who, tone),
                Cell(str(cause.key)),
                Cell(cause.reason, tone),
                Cell(cause.message),
                Cell(some_of(affected, 3)),
                Cell(len(affected)),
            )
        )
    titles = columns(
        ("state", "STATE"), ("object", "OBJECT"), ("reason", "REASON"), ("message", "MESSAGE"),
        ("holdsUp", "HOLDS UP"), ("count", "OBJECTS"), wraps=("message", "holdsUp"),
    )  # fmt: skip
    table = Table("causes", "WHAT IS WRONG", titles, tuple(rows), about=tuple(cause.key for cause, _ in groups))
    return table, all(cause.unknown for cause, _ in groups)


def _waits(snapshot: Snapshot) -> Table:
    rows = []
    for cluster in snapshot.of_kind(CLUSTER):
        for what, since, text, todo in waits_of(cluster):
            rows.append(
                (Cell(cluster.key.name), Cell(what, Tone.WAITING), age(since, snapshot.now), Cell(text), Cell(todo))
            )
    titles = columns(
        ("cluster", "CLUSTER"), ("what", "WHAT"), ("since", "FOR"), ("message", "MESSAGE"), ("todo", "WHAT TO DO"),
        wraps=("message", "todo"),
    )  # fmt: skip
    return Table("waits", "WHAT WAITS", titles, tuple(rows))


def waits_of(cluster: Resource[Any]) -> list[tuple[str, Any, str, str]]:
    """What holds a ProxmoxCluster's changes up: a word, since when, the message, what to do."""
    status, name = cluster.status, cluster.key.name
    found: list[tuple[str, Any, str, str]] = []
    if cluster.paused:
        found.append(("paused", None, "nothing is written to Proxmox", f"pve-evpn resume pvec/{name}"))
    if plan := status.pending_plan:
        text = f"{plan.class_ or 'steps'}: {some_of(plan.summary, 3)}"
        asks = plan.reason is None or plan.reason in APPROVABLE
        todo = f"pve-evpn approve {name}" if asks else remedy_for(plan.reason or "").text
        found.append(("plan", plan.since, text if asks else f"{plan.message}: {text}", todo))
    if lock := status.lock:
        holder = "the operator" if lock.holder == "Self" else "another client"
        todo = "wait" if lock.holder == "Self" else f"find that client: pve-evpn lock {name}"
        found.append(("lock", lock.since, f"{holder} holds Proxmox' SDN lock", todo))
    if status.pending and status.pending.foreign:
        text = f"staged by others: {some_of(status.pending.foreign, 3)}"
        found.append(("foreign", None, text, "have that edit applied or reverted in Proxmox"))
    if status.pending and status.pending.host_network:
        text = f"staged host-network edits on {some_of(status.pending.host_network)}"
        found.append(("network", None, text, "apply or revert them on these nodes"))
    return found


# --- the tables -------------------------------------------------------------------------------------------------

_STATE = (("ready", "READY"), ("reason", "REASON"))
_CLUSTER = columns(
    ("name", "NAME"), ("version", "VERSION"), ("online", "NODES"), *_STATE, ("lastApply", "LAST APPLY"),
    ("appliedAt", "AGO"),
)  # fmt: skip
_NODE = columns(
    ("node", "NODE"), ("cluster", "CLUSTER"), ("online", "ONLINE"), ("programmed", "PROGRAMMED"), ("frr", "FRR"),
    ("routerId", "ROUTER ID"), ("sessions", "SESSIONS"), ("vnis", "VNIS"), ("source", "SOURCE"), *_STATE,
)  # fmt: skip
_FABRIC = columns(
    ("name", "NAME"), ("id", "ID"), ("protocol", "PROTOCOL"), ("prefix", "PREFIX"), ("nodes", "NODES"), *_STATE
)
_ROUTER = columns(("name", "NAME"), ("id", "ID"), ("node", "NODE"), ("asn", "ASN"), ("sessions", "SESSIONS"), *_STATE)
_ISIS = columns(
    ("name", "NAME"), ("id", "ID"), ("node", "NODE"), ("domain", "DOMAIN"), ("neighbours", "NEIGHBOURS"), *_STATE
)
_CONTROLLER = columns(("name", "NAME"), ("id", "ID"), ("asn", "ASN"), ("sessions", "SESSIONS"), *_STATE)
_SERVICE = columns(("name", "NAME"), ("id", "ID"), ("type", "TYPE"), ("usedBy", "USED BY"), *_STATE)
_ZONE = columns(
    ("name", "NAME"), ("id", "ID"), ("l3vni", "L3VNI"), ("controller", "CONTROLLER"), ("vnets", "VNETS"),
    ("exit", "EXIT"), *_STATE,
)  # fmt: skip
_VNET = columns(
    ("namespace", "NAMESPACE"), ("name", "NAME"), ("id", "ID"), ("zone", "ZONE"), ("vni", "VNI"), ("nics", "NICS"),
    ("type2", "TYPE2"), ("type3", "TYPE3"), *_STATE,
)  # fmt: skip
_NIC = columns(
    ("namespace", "NAMESPACE"), ("name", "NAME"), ("vmid", "GUEST"), ("device", "DEVICE"), ("node", "NODE"),
    ("vnet", "VNET"), ("mac", "MAC"), ("evpn", "EVPN"), ("since", "FOR"), *_STATE,
)  # fmt: skip

_Row = Callable[[Snapshot, Resource[Any]], Sequence[Cell]]


def _objects(
    snapshot: Snapshot, kind: str, key: str, title: str, titles: tuple[Any, ...], row: _Row, most: int
) -> Table:
    resources = snapshot.of_kind(kind)
    rows = tuple((*row(snapshot, resource), *_ready(resource)) for resource in resources)
    if key == "clusters":  # what was applied last comes after the state
        rows = tuple((*made[:3], *made[5:], *made[3:5]) for made in rows)
    wrong_first = sorted(range(len(rows)), key=lambda index: is_good(resources[index]))
    shown = tuple(sorted(wrong_first[:most]))
    left = len(rows) - len(shown)
    hidden = sum(not is_good(resources[index]) for index in wrong_first[most:])
    note = f"and {left} more, {hidden} of them not Ready (--all shows them)" if left else ""
    return Table(key, title, titles, rows, shown, note, tuple(resource.key for resource in resources))


def _ready(resource: Resource[Any]) -> tuple[Cell, Cell]:
    status, reason, _ = state_of(resource)
    tone = {"True": Tone.GOOD, "False": Tone.BAD}.get(status, Tone.FAINT)
    if resource.deleting:
        return Cell(status, Tone.WAITING), Cell("Deleting" if status == "True" else reason, Tone.WAITING)
    return Cell(status, tone), Cell(reason, tone if status != "True" else Tone.PLAIN)


def _cells(*values: Cell | Value) -> Sequence[Cell]:
    return [value if isinstance(value, Cell) else Cell(value) for value in values]


def _cluster(snapshot: Snapshot, resource: Resource[Any]) -> Sequence[Cell]:
    status = resource.status
    last = status.last_transaction
    return _cells(
        resource.key.name,
        status.version,
        status.nodes_online,
        last.outcome if last else None,
        age(last.finished_at or last.started_at, snapshot.now) if last else Cell(None),
    )


def _node(snapshot: Snapshot, resource: Resource[Any]) -> Sequence[Cell]:
    status, name = resource.status, node_name(resource)
    cluster = snapshot.cluster_of(resource.key)
    member = next((row for row in (cluster.status.nodes if cluster else None) or () if row.name == name), None)
    counts = [sum(row.type == kind for row in status.vnis or ()) for kind in ("L2", "L3")]
    return _cells(
        name,
        cluster.key.name if cluster else None,
        _good(member.online if member else None),
        _good(member.programmed if member else None),
        status.frr_version,
        status.router_id,
        status.sessions,
        f"{counts[0]} L2, {counts[1]} L3" if status.vnis is not None else None,
        status.source,
    )


def _controller(_snapshot: Snapshot, resource: Resource[Any]) -> Sequence[Cell]:
    return _cells(
        resource.key.name,
        resource.status.id,
        resource.spec.asn if resource.spec else None,
        resource.status.sessions_summary,
    )


def _fabric(_snapshot: Snapshot, resource: Resource[Any]) -> Sequence[Cell]:
    spec, status = resource.spec, resource.status
    return _cells(
        resource.key.name,
        status.id,
        spec.protocol if spec else None,
        (spec.prefix or spec.prefix6) if spec else None,
        status.adjacencies_summary,
    )


def _router(_snapshot: Snapshot, resource: Resource[Any]) -> Sequence[Cell]:
    return _cells(
        resource.key.name,
        resource.status.id,
        resource.status.node,
        resource.spec.asn if resource.spec else None,
        resource.status.sessions_summary,
    )


def _isis(_snapshot: Snapshot, resource: Resource[Any]) -> Sequence[Cell]:
    return _cells(
        resource.key.name,
        resource.status.id,
        resource.status.node,
        resource.spec.domain if resource.spec else None,
        resource.status.neighbours_summary,
    )


def _service(_snapshot: Snapshot, resource: Resource[Any]) -> Sequence[Cell]:
    return (
        Cell(resource.key.name),
        Cell(resource.status.id),
        Cell(getattr(resource.spec, "type", "powerdns") if resource.spec else None),
        Cell(some_of(resource.status.used_by or ()) or None),
    )


def _zone(_snapshot: Snapshot, resource: Resource[Any]) -> Sequence[Cell]:
    status = resource.status
    return _cells(
        resource.key.name,
        status.id,
        status.vrf_vni,
        resource.spec.controller_ref.name if resource.spec else None,
        status.vnets,
        exit_cell(status.exit),
    )


def _vnet(_snapshot: Snapshot, resource: Resource[Any]) -> Sequence[Cell]:
    status = resource.status
    routes = status.routes
    return _cells(
        resource.key.namespace,
        resource.key.name,
        status.id,
        status.zone,
        status.vni,
        status.nics,
        routes.type2 if routes else None,
        routes.type3 if routes else None,
    )


def _nic(snapshot: Snapshot, resource: Resource[Any]) -> Sequence[Cell]:
    status = resource.status
    evpn = status.evpn
    return _cells(
        resource.key.namespace,
        resource.key.name,
        status.vmid,
        status.device,
        status.node,
        status.vnet,
        status.mac_address,
        evpn.verdict.value if evpn else None,
        age(evpn.since if evpn else None, snapshot.now),
    )


def _good(value: bool | None) -> Cell:
    return Cell(value, Tone.BAD if value is False else Tone.PLAIN)


def node_name(resource: Resource[Any]) -> str:
    """The node's name in Proxmox."""
    return str(resource.spec.node) if resource.spec else resource.key.name


# --- the mesh ---------------------------------------------------------------------------------------------------


def _meshes(snapshot: Snapshot) -> list[Block]:
    """One matrix per cluster whose nodes show sessions: a row is what that node says of each peer."""
    blocks: list[Block] = []
    for cluster in snapshot.of_kind(CLUSTER):
        nodes = [
            node
            for node in snapshot.of_kind("EvpnNode")
            if snapshot.cluster_of(node.key) is cluster and node.status.peers is not None
        ]
        peers = list(dict.fromkeys(p.node or p.address for node in nodes for p in node.status.peers))
        if not peers:
            continue
        names = sorted({node_name(node) for node in nodes} & set(peers))
        names += [peer for peer in peers if peer not in names]
        rows = []
        for node in nodes:
            states = {peer.node or peer.address: peer.state for peer in node.status.peers}
            cells = [_session(states.get(name), name == node_name(node)) for name in names]
            if len(names) <= MESH:
                rows.append((Cell(node_name(node)), *cells))
                continue
            down = [f"{name} {state}" for name, state in states.items() if state != ESTABLISHED]
            if down:
                rows.append((Cell(node_name(node)), Cell(some_of(down), Tone.BAD)))
        wide = columns(("node", "NODE"), *((name, name) for name in names))
        titles = wide if len(names) <= MESH else columns(("node", "NODE"), ("down", "SESSIONS DOWN"), wraps=("down",))
        if rows:
            blocks.append(Table(f"mesh/{cluster.key.name}", f"SESSIONS OF {cluster.key.name}", titles, tuple(rows)))
    return blocks


def _session(state: str | None, itself: bool) -> Cell:
    if itself:
        return Cell(None, Tone.FAINT, "-")
    if state is None:
        return Cell(None, Tone.FAINT, "none")
    return Cell(state, Tone.GOOD, "up") if state == ESTABLISHED else Cell(state, Tone.BAD)
