"""What an observation of the nodes means for each object: its ``Operational`` condition and its part of the status.

Pure: a scene, a look at the nodes and the statuses before in, `Judgement` out. It says nothing of configuration.
*Unknown* is never shown as down: what no source sees makes ``Operational`` Unknown and leaves fields out. Nothing here
ticks: the same network seen again gives the same answer.

Which reason wins where several apply (first match):

=================  ===================================================================================================
EvpnNode           not seen > bgpd not running > node among nobody's peers > session down
EvpnController     node missing from the peers > session down > a node not seen
EvpnZone, VNet     bgpd not running > VNI missing > VTEP missing (VNet) > a node not seen
NicAttachment      the verdict of `domain.verdicts`; nothing is expected of a stopped guest
=================  ===================================================================================================
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from pve_evpn.api.conditions import ConditionType, Reason
from pve_evpn.domain import sessions
from pve_evpn.domain.conditions import Verdict, timestamp
from pve_evpn.domain.evpn import ClusterObservation, NodeObservation, ObservationFailure, PeerState, VniRow
from pve_evpn.domain.report import NO_BGP_SOURCE, Health
from pve_evpn.domain.resources import ObjectKey, Resource
from pve_evpn.domain.scene import NicScene, Overlay, Scene, VNetScene, ZoneScene
from pve_evpn.domain.sessions import Expected, Problem, ProblemKind, Sessions, same_form, steady_since
from pve_evpn.domain.verdicts import MacIndex, NicVerdict, Word, judge
from pve_evpn.domain.vnis import L2OnNode, L2View, VniIndex

Previous = Callable[[ObjectKey], Resource[Any] | None]

_PEERS, _VNIS, _PROBLEMS, _IPS = 128, 256, 16, 16
_SHOWN = 3

#: What each verdict on a NIC means for its condition.
_NIC_REASON: Mapping[Word, tuple[bool | None, Reason]] = {
    Word.ADVERTISED: (True, Reason.ADVERTISED),
    Word.SILENT: (False, Reason.SILENT),
    Word.NEVER_SEEN: (False, Reason.NEVER_SEEN),
    Word.WRONG_NODE: (False, Reason.WRONG_NODE),
    Word.DUPLICATE: (False, Reason.DUPLICATE),
    Word.ZOMBIE: (False, Reason.ZOMBIE),
    Word.UNKNOWN: (None, Reason.SOURCE_UNAVAILABLE),
}
#: What a guest that is just moving may look like.
_SUSPICIOUS = frozenset({Word.WRONG_NODE, Word.DUPLICATE, Word.ZOMBIE})
_PROBLEM_REASON = {
    ProblemKind.SESSION_DOWN: Reason.SESSION_DOWN,
    ProblemKind.NODE_MISSING_FROM_PEERS: Reason.NODE_MISSING_FROM_PEERS,
    ProblemKind.OBSERVATION_STALE: Reason.OBSERVATION_STALE,
}


@dataclass(frozen=True, slots=True)
class Judgement:
    """What one observation means: health per object, and the findings behind it, for Events and metrics."""

    health: Mapping[ObjectKey, Health] = field(default_factory=dict)
    sessions: Mapping[ObjectKey, Sessions] = field(default_factory=dict)
    expected: Mapping[ObjectKey, Expected] = field(default_factory=dict)
    l2: Mapping[ObjectKey, L2View] = field(default_factory=dict)
    nics: Mapping[ObjectKey, NicVerdict] = field(default_factory=dict)
    suspects: frozenset[ObjectKey] = frozenset()
    """NICs that were well a moment ago and seem to be on the wrong node, or on several."""


def judge_all(
    scene: Scene,
    looks: ClusterObservation,
    nodes: Iterable[Resource[Any]],
    previous: Previous,
    now: datetime,
    confirmed: Collection[ObjectKey] = (),
) -> Judgement:
    """Judge everything in the scene, and `nodes`, the EvpnNode objects. `previous` gives objects as last reported.

    Nodes are not read at the same instant, and Proxmox at another one. So a guest that is moving may seem to be on the
    wrong node, on two, or on one that has no port for it: that is said only of those among `confirmed`, the suspects
    of the poll before.
    """
    view = _View(scene, looks, previous, now)
    expected = {overlay.key: _expected(overlay, looks) for overlay in scene.overlays}
    view.locate(expected.values())
    found = {key: sessions.controller_sessions(wanted, looks) for key, wanted in expected.items()}
    health: dict[ObjectKey, Health] = {}
    for node in nodes:
        health[node.key] = _node(node, view, list(expected.values()))
    for key, all_sessions in found.items():
        health[key] = _controller(key, all_sessions, view)
    for zone in scene.zones:
        health[zone.key] = _zone(zone, view)
    l2 = {vnet.key: view.l2(vnet) for vnet in scene.vnets}
    for vnet in scene.vnets:
        health[vnet.key] = _vnet(vnet, l2[vnet.key], view)
    verdicts, suspects = {}, set()
    for nic in scene.nics:
        before = verdict_before(previous(nic.key))
        verdict = judge(nic.nic, view.macs, before, now)
        if verdict.word in _SUSPICIOUS and before and before.word is not verdict.word:
            suspects.add(nic.key)
            verdict = verdict if nic.key in confirmed else before
        verdicts[nic.key] = verdict
        nothing_new = verdict == before or (before is None and verdict.word is Word.UNKNOWN)
        waiting = nothing_new and view.in_grace([nic.nic.home] if nic.nic.home else looks.nodes)
        health[nic.key] = _as_before(previous(nic.key)) if waiting else _nic(nic, verdict, view)
    return Judgement(health, found, expected, l2, verdicts, frozenset(suspects))


def untouched(resources: Iterable[Resource[Any]]) -> dict[ObjectKey, Health]:
    """Before anything was observed: everything stays as it was reported last."""
    return {resource.key: _as_before(resource) for resource in resources}


class _View:
    """One observation with the indexes over it, and where each node is in the overlay."""

    def __init__(self, scene: Scene, looks: ClusterObservation, previous: Previous, now: datetime) -> None:
        self.scene = scene
        self.looks = looks
        self.previous = previous
        self.now = now
        self.vnis = VniIndex(looks)
        self.vteps: dict[str, str] = {}
        self.macs: MacIndex

    def locate(self, expected: Iterable[Expected]) -> None:
        """Learn each node's VTEP address: what the node says itself counts more than what was configured."""
        for overlay in expected:
            self.vteps.update(overlay.vteps)
        for name, look in self.looks.observed().items():
            if look.vteps and self.vteps.get(name) not in look.vteps:
                self.vteps[name] = min(look.vteps)
        by_address = {address: name for name, address in self.vteps.items()}
        self.macs = MacIndex(self.looks, by_address, {vnet.id: vnet.vni for vnet in self.scene.vnets})

    def name_of(self, address: str) -> str | None:
        return next((name for name, vtep in self.vteps.items() if vtep == same_form(address)), None)

    def l2(self, vnet: VNetScene) -> L2View:
        """A node that is switched off is missing from every flood list, and nobody misses it."""
        vteps = {name: address for name, address in self.vteps.items() if self.online(name)}
        return self.vnis.l2(vnet.vni, vnet.nodes, vteps)

    def online(self, name: str) -> bool:
        member = self.scene.members.get(name)
        return member is None or member.online

    def source(self, nodes: Iterable[str]) -> str | None:
        """Which sources spoke for these nodes."""
        looks = self.looks.observed()
        return ", ".join(sorted({looks[name].source for name in nodes if name in looks})) or None

    def in_grace(self, nodes: Iterable[str]) -> bool:
        """Whether any of the nodes was not seen yet and may still be: then nothing new is said."""
        looks = (self.looks.nodes.get(name) for name in nodes)
        return any(isinstance(look, ObservationFailure) and not look.settled for look in looks)


# --- EvpnNode ---------------------------------------------------------------------------------------------------


def _node(node: Resource[Any], view: _View, expected: list[Expected]) -> Health:
    name = node.spec.node if node.spec else ""
    look = view.looks.nodes.get(name)
    if isinstance(look, ObservationFailure) and not look.settled:
        return _as_before(node, look.message)
    if not isinstance(look, NodeObservation):
        return _unseen_node(node, look, view.now)
    before = {row["address"]: row for row in node.status.get("peers") or ()}
    peers = sorted(look.peers or (), key=lambda peer: peer.address)
    vnis = look.vnis or ()
    body: dict[str, Any] = {
        "frrVersion": look.frr_version,
        "routerId": look.router_id,
        "asn": look.asn,
        "sessions": None if look.peers is None else f"{sum(p.established for p in peers)}/{len(peers)}",
        "peers": None if look.peers is None else [_peer(peer, before, view) for peer in peers[:_PEERS]],
        "vnis": None if look.vnis is None else [_vni_row(row, view.scene) for row in vnis[:_VNIS]],
        "truncated": max(0, len(vnis) - _VNIS) or None,
        "problems": [text[:256] for text in look.problems[:_PROBLEMS]] or None,
        "source": look.source,
    }
    verdict = _node_verdict(name, look, expected)
    return Health(verdict, _dated(node, body, view.now))


def _unseen_node(node: Resource[Any], look: ObservationFailure | None, now: datetime) -> Health:
    fields = ("frrVersion", "routerId", "asn", "sessions", "peers", "vnis", "truncated", "source")
    body: dict[str, Any] = dict.fromkeys(fields)
    if look is None:
        reason, message = Reason.SOURCE_UNAVAILABLE, "the node has not been looked at"
    else:
        reason, message = Reason.OBSERVATION_STALE, look.message
    body["problems"] = [message[:256]] if look else None
    return Health(_operational(None, reason, message), _dated(node, body, now))


def _peer(peer: PeerState, before: Mapping[str, Any], view: _View) -> dict[str, Any]:
    old = before.get(peer.address, {}).get("since")
    since = steady_since(datetime.fromisoformat(old) if old else None, peer.since)
    row = {
        "address": peer.address,
        "node": view.name_of(peer.address),
        "remoteAs": peer.remote_as,
        "state": peer.state[:32],
        "since": timestamp(since) if since else None,
        "prefixesReceived": peer.prefixes_received,
        "prefixesSent": peer.prefixes_sent,
        "lastError": peer.last_error[:256] if peer.last_error else None,
    }
    return {key: value for key, value in row.items() if value is not None}


def _vni_row(row: VniRow, scene: Scene) -> dict[str, Any]:
    known = {
        "vni": row.vni,
        "type": row.type,
        "vnet": scene.names.get(row.vni),
        "macs": row.macs,
        "arpNd": row.arp_nd,
        "remoteVteps": row.remote_vtep_count,
        "tenantVrf": row.tenant_vrf[:32] if row.tenant_vrf else None,
    }
    return {key: value for key, value in known.items() if value is not None}


def _node_verdict(name: str, look: NodeObservation, expected: list[Expected]) -> Verdict:
    if look.bgp_running is False:
        return _operational(False, Reason.SESSION_DOWN, f"BGP EVPN is not running on {name}")
    if look.peers is None:
        return _operational(None, Reason.SOURCE_UNAVAILABLE, _why_no_sessions(look))
    own = [overlay for overlay in expected if name in overlay.sessions or name in overlay.missing]
    problems = [problem for overlay in own for problem in sessions.node_sessions(name, overlay, look).problems]
    if not own:
        problems = [
            Problem(ProblemKind.SESSION_DOWN, name, f"{name} to {peer.address} is {peer.state}")
            for peer in look.peers
            if not peer.established and not peer.admin_down
        ]
    if problems:
        return _session_verdict(problems)
    up = sum(peer.established for peer in look.peers)
    return _operational(True, Reason.OPERATIONAL, f"{up} of {len(look.peers)} sessions established")


# --- EvpnController ---------------------------------------------------------------------------------------------


def _expected(overlay: Overlay, looks: ClusterObservation) -> Expected:
    """The sessions an overlay asks for. Where its addresses are not known, a node's own VTEP address is as good."""
    observed = looks.observed()
    if overlay.peers is not None:
        known: dict[str, tuple[str, ...] | None] = {}
        for node, addresses in overlay.addresses.items():
            own = observed[node].vteps if node in observed else frozenset()
            known[node] = (*(addresses or ()), *sorted(own)) if addresses is not None or own else None
        return sessions.expect_from_list(overlay.peers, known)
    single: dict[str, str | None] = {}
    undetermined = []
    for node, addresses in overlay.addresses.items():
        if addresses is None and node in observed and observed[node].vteps:
            addresses = (min(observed[node].vteps),)
        if addresses is None:
            undetermined.append(node)
        else:
            single[node] = addresses[0] if addresses else None
    expected = sessions.expect_from_nodes(single)
    return Expected(expected.sessions, expected.vteps, expected.missing, tuple(sorted(undetermined)))


def _controller(key: ObjectKey, found: Sessions, view: _View) -> Health:
    names = [entry.node for entry in found.nodes]
    if view.in_grace(names):
        return _as_before(view.previous(key))
    rows = []
    for entry in found.nodes:
        problems = [problem.message[:256] for problem in entry.problems][:_PROBLEMS]
        row = {"name": entry.node, "established": entry.established, "expected": entry.expected}
        rows.append({k: v for k, v in {**row, "problems": problems or None}.items() if v is not None})
    counted = found.established is not None
    body: dict[str, Any] = {
        "sessions": {"established": found.established, "expected": found.expected} if counted else None,
        "sessionsSummary": f"{found.established}/{found.expected}" if counted else None,
        "nodes": rows,
        "source": view.source(names),
    }
    return Health(_controller_verdict(found, view), _dated(view.previous(key), body, view.now))


def _controller_verdict(found: Sessions, view: _View) -> Verdict:
    known = [problem for problem in found.problems if problem.kind is not ProblemKind.OBSERVATION_STALE]
    if known:
        return _session_verdict(known)
    if found.unseen:
        return _not_seen(found.unseen, view, _why_no_sessions)
    return _operational(True, Reason.OPERATIONAL, f"{found.established} of {found.expected} sessions established")


def _session_verdict(problems: Iterable[Problem]) -> Verdict:
    """The gravest kind gives the reason; its problems come first in the message."""
    rank = list(ProblemKind)
    ordered = sorted(problems, key=lambda p: (p.kind is ProblemKind.SESSION_DOWN, rank.index(p.kind)))
    return _operational(False, _PROBLEM_REASON[ordered[0].kind], _listed(p.message for p in ordered))


# --- EvpnZone and VNet ------------------------------------------------------------------------------------------


def _zone(zone: ZoneScene, view: _View) -> Health:
    if view.in_grace(zone.nodes):
        return _as_before(view.previous(zone.key))
    seen = view.vnis.l3(zone.vni, zone.id, zone.nodes)
    rows = []
    for entry in seen.nodes:
        row = {"name": entry.node, "routerMac": entry.router_mac, "prefixes": entry.prefixes}
        if len(row := {k: v for k, v in row.items() if v is not None}) > 1:
            rows.append(row)
    router_macs = sorted({entry.router_mac for entry in seen.nodes if entry.router_mac})
    ip_vrf = {"routerMacs": router_macs or None, "prefixes": seen.prefixes, "nodes": rows}
    body: dict[str, Any] = {
        "ipVrf": {k: v for k, v in ip_vrf.items() if v is not None} if rows else None,
        "source": view.source(zone.nodes),
    }
    problems = _bgp_down(zone.nodes, view)
    absent = [entry.node for entry in seen.nodes if entry.present is False]
    problems += [(Reason.VNI_MISSING, f"{node} does not have L3 VNI {zone.vni}") for node in absent]
    unseen = [entry.node for entry in seen.nodes if entry.present is None]
    verdict = _vni_verdict(zone.vni, problems, unseen, zone.nodes, view)
    return Health(verdict, _dated(view.previous(zone.key), body, view.now))


def _vnet(vnet: VNetScene, seen: L2View, view: _View) -> Health:
    if view.in_grace(vnet.nodes):
        return _as_before(view.previous(vnet.key))
    rows = {entry.node: row for entry in seen.nodes if (row := _l2_row(entry))}
    type2 = seen.type2 if seen.type2 is not None else _sampled_routes(vnet.id, view.looks)
    routes = {k: v for k, v in {"type2": type2, "type3": seen.type3}.items() if v is not None}
    body: dict[str, Any] = {"routes": routes or None, "source": view.source(vnet.nodes)}
    problems = _bgp_down(vnet.nodes, view)
    problems += [(Reason.VNI_MISSING, f"{node} does not have VNI {vnet.vni}") for node in seen.absent_on]
    problems += _flood_gaps(seen, view)
    unseen = [entry.node for entry in seen.nodes if entry.present is None]
    verdict = _vni_verdict(vnet.vni, problems, unseen, vnet.nodes, view)
    previous = view.previous(vnet.key)
    return Health(verdict, _dated(previous, body, view.now, rows), rows)


def _l2_row(entry: L2OnNode) -> dict[str, Any]:
    row = {
        "macs": entry.macs,
        "arpNd": entry.arp_nd,
        "remoteVteps": entry.remote_vteps,
        "missingVteps": list(entry.missing_vteps) if entry.missing_vteps else None,
    }
    return {key: value for key, value in row.items() if value is not None}


def _sampled_routes(vnet: str, looks: ClusterObservation) -> int | None:
    """MAC/IP routes of a VNet where only Proxmox tells of them."""
    read = [look.mac_ips for look in looks.observed().values() if look.mac_ips is not None]
    found = {(row.mac, row.ip) for rows in read for row in rows if row.vnet == vnet}
    return len(found) or None


def _flood_gaps(seen: L2View, view: _View) -> list[tuple[Reason, str]]:
    """Said once per missing node, not once per node that misses it."""
    stopped = {name for name, look in view.looks.observed().items() if look.bgp_running is False}
    lonely = [e.node for e in seen.nodes if e.remote_vteps == 0 and (e.missing_vteps is None or e.missing_vteps)]
    others = len([entry for entry in seen.nodes if entry.present is not False and view.online(entry.node)]) - 1
    problems = [
        (Reason.NO_REMOTE_VTEPS, f"{node} has no other VTEP in its flood list")
        for node in lonely
        if others > 0 and not {name for name in view.vteps if name != node} <= stopped
    ]
    missed: dict[str, list[str]] = {}
    for node, other in seen.gaps:
        if other not in stopped and node not in lonely:
            missed.setdefault(other, []).append(node)
    for other, nodes in missed.items():
        problems.append((Reason.VTEP_MISSING, f"{other} is missing from the flood list of {_names(nodes)}"))
    for entry in seen.nodes:
        if entry.missing_vteps is None and entry.remote_vteps and entry.remote_vteps < others:
            message = f"{entry.node} has {entry.remote_vteps} of {others} VTEPs in its flood list"
            problems.append((Reason.VTEP_MISSING, message))
    return problems


def _bgp_down(nodes: Iterable[str], view: _View) -> list[tuple[Reason, str]]:
    observed = view.looks.observed()
    down = [name for name in nodes if name in observed and observed[name].bgp_running is False]
    return [(Reason.SESSION_DOWN, f"BGP EVPN is not running on {name}") for name in down]


def _vni_verdict(
    vni: int, problems: list[tuple[Reason, str]], unseen: list[str], nodes: tuple[str, ...], view: _View
) -> Verdict:
    if problems:
        return _operational(False, problems[0][0], _listed(message for _, message in problems))
    if unseen:
        return _not_seen(unseen, view, _why_no_vnis)
    return _operational(True, Reason.OPERATIONAL, f"VNI {vni} is up on {len(nodes)} of {len(nodes)} nodes")


# --- NicAttachment ----------------------------------------------------------------------------------------------


def _nic(scene: NicScene, verdict: NicVerdict, view: _View) -> Health:
    status, reason = _NIC_REASON[verdict.word]
    message = verdict.message
    looks = view.looks.nodes
    look = looks.get(scene.nic.home) if scene.nic.home else None
    if verdict.word is Word.UNKNOWN and isinstance(look, ObservationFailure):
        reason = Reason.OBSERVATION_STALE
    if verdict.word is Word.UNKNOWN and isinstance(look, NodeObservation):
        message = _why_no_routes(look)
    if verdict.word in (Word.SILENT, Word.NEVER_SEEN) and not scene.announces:
        status, reason = None, Reason.NOTHING_TO_ANNOUNCE
        message = "its link is down" if scene.nic.running else "the guest is not running"
    tables = [seen for seen in view.looks.observed().values() if seen.routes is not None or seen.macs is not None]
    announced = verdict.word not in (Word.SILENT, Word.NEVER_SEEN, Word.UNKNOWN)
    evpn = {
        "verdict": str(verdict.word),
        "since": timestamp(verdict.since) if verdict.since else None,
        "announcedBy": verdict.node if announced else None,
        "ips": list(verdict.ips[:_IPS]) or None,
        "mobilitySequence": verdict.mobility if announced and tables else None,
        "seenBy": verdict.seen_by if announced and tables else None,
        "lastAnnouncedBy": verdict.node if not announced else None,
    }
    body: dict[str, Any] = {
        "evpn": {key: value for key, value in evpn.items() if value is not None},
        "source": view.source([scene.nic.home] if scene.nic.home else looks),
    }
    return Health(_operational(status, reason, message), _dated(view.previous(scene.key), body, view.now))


def verdict_before(nic: Resource[Any] | None) -> NicVerdict | None:
    """The verdict a status carries."""
    evpn = (nic.status.get("evpn") or {}) if nic else {}
    if nic is None or evpn.get("verdict") not in list(Word):
        return None
    since = evpn.get("since")
    return NicVerdict(
        Word(evpn["verdict"]),
        datetime.fromisoformat(since) if since else None,
        evpn.get("announcedBy") or evpn.get("lastAnnouncedBy"),
        tuple(evpn.get("ips") or ()),
        evpn.get("mobilitySequence") or 0,
        evpn.get("seenBy") or 0,
        _condition(nic).get("message", ""),
    )


# --- what all share ---------------------------------------------------------------------------------------------


def _operational(status: bool | None, reason: Reason, message: str) -> Verdict:
    return Verdict(ConditionType.OPERATIONAL, status, reason, message)


def _not_seen(nodes: Iterable[str], view: _View, why: Callable[[NodeObservation], str]) -> Verdict:
    """Unknown: because nodes could not be read at all, or because no source shows this."""
    looks = {name: view.looks.nodes.get(name) for name in nodes}
    failed = [(name, look) for name, look in looks.items() if isinstance(look, ObservationFailure)]
    if failed:
        message = _listed(f"{name} cannot be observed: {look.message}" for name, look in failed)
        return _operational(None, Reason.OBSERVATION_STALE, message)
    messages = dict.fromkeys(why(look) for look in looks.values() if isinstance(look, NodeObservation))
    message = _listed(messages) if messages else f"{_names(list(looks))}: not looked at yet"
    return _operational(None, Reason.SOURCE_UNAVAILABLE, message)


def _why_no_sessions(look: NodeObservation) -> str:
    return NO_BGP_SOURCE if look.source == "api" else _problem_of(look, "its BGP sessions cannot be read")


def _why_no_vnis(look: NodeObservation) -> str:
    if look.source == "api":
        return "the Proxmox API shows no flood lists, and of the routes only those with an IP address"
    return _problem_of(look, "its VNIs cannot be read")


def _why_no_routes(look: NodeObservation) -> str:
    if look.source == "api":
        return "no route with an IP address is seen; the Proxmox API does not show others"
    if look.source == "frrExporter":
        return "frr_exporter shows no MAC addresses"
    return _problem_of(look, "its EVPN routes cannot be read")


def _problem_of(look: NodeObservation, what: str) -> str:
    return f"{look.node}: {look.problems[0] if look.problems else what}"


def _as_before(resource: Resource[Any] | None, message: str = "not observed yet") -> Health:
    """Nothing new: the condition and the observed part of the status stay as they are."""
    condition = _condition(resource)
    word = {"True": True, "False": False}.get(condition.get("status", ""))
    reason = next((r for r in Reason if r == condition.get("reason")), Reason.PENDING)
    verdict = _operational(word, reason, message if reason is Reason.PENDING else condition["message"])
    own = ("macs", "arpNd", "remoteVteps", "missingVteps")
    before = (resource.status.get("nodes") or ()) if resource else ()
    rows = {str(row["name"]): {key: row[key] for key in own if key in row} for row in before}
    return Health(verdict, {}, rows)


def _condition(resource: Resource[Any] | None) -> Mapping[str, Any]:
    conditions = (resource.status.get("conditions") or ()) if resource else ()
    return next((c for c in conditions if c["type"] == ConditionType.OPERATIONAL), {})


def _dated(
    resource: Resource[Any] | None,
    body: dict[str, Any],
    now: datetime,
    rows: Mapping[str, Mapping[str, Any]] | None = None,
) -> dict[str, Any]:
    """The body with ``observedAt``: when it was first seen so."""
    before = resource.status if resource else {}
    same = all(before.get(key) == value for key, value in body.items())
    if same and rows is not None:
        there = {row["name"]: row for row in before.get("nodes") or ()}
        same = all(there.get(name, {}).get(key) == value for name, row in rows.items() for key, value in row.items())
    return {**body, "observedAt": before["observedAt"] if same and before.get("observedAt") else timestamp(now)}


def _listed(messages: Iterable[str]) -> str:
    texts = list(messages)
    more = f"; and {len(texts) - _SHOWN} more" if len(texts) > _SHOWN else ""
    return "; ".join(texts[:_SHOWN]) + more


def _names(names: list[str]) -> str:
    shown = sorted(names)
    if len(shown) > 4:
        return f"{', '.join(shown[:3])} and {len(shown) - 3} more"
    return " and ".join(filter(None, [", ".join(shown[:-1]), shown[-1]]))
