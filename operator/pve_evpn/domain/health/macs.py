"""What EVPN makes of each NIC's MAC: which node advertises it, since when, and what that means for the NicAttachment.

Pure: an observation and the assessment before in, a `MacAssessment` out. The assessment before usually comes from the
object's status; nothing is remembered here. An unchanged network gives an equal assessment.

First match wins. *Advertised* means: some node's BGP table holds a type-2 route of MAC and VNI; where that table cannot
be read, zebra's MAC table counts. The *home* is the node the guest runs on. *Read* means: the home's own tables were
read, or its bgpd was seen not running. Where they were not, and no table of any node has the MAC, a row of Proxmox's
``mac-vrf`` counts, which is a *sample*; it is *old* if it was read longer than one poll ago.

=====================================================================================  ============
evidence                                                                               state
=====================================================================================  ============
advertised by an address of no known node, which may be the home's, not known either   Unknown
advertised otherwise than by the home in an old sample: the guest may have moved since  as before
advertised by several nodes with equal mobility, one of them without a port for it     Zombie
advertised, and zebra says duplicate; or by several nodes with equal mobility          Duplicate
advertised by a node whose zebra has the MAC local without a port                      Zombie
advertised, the guest is stopped                                                       WrongNode
advertised by another node than the home                                               WrongNode
advertised (by the home, or where the guest runs is unknown)                           Advertised
not advertised, but some route of the MAC is there whose VNI is not known              Unknown
not advertised, not read, and the home's source failed within its grace time           as before
not advertised, not read                                                               Unknown
not advertised, read, was advertised before                                            Silent
not advertised, read, never advertised before                                          NeverSeen
=====================================================================================  ============

Of several advertising nodes the one with the highest MAC mobility sequence has it (RFC 7432, 15): the other routes are
being withdrawn. bgpd's own ``bestpath`` is no help, because it chooses per route distinguisher.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any, NamedTuple

from pve_evpn.api.conditions import ConditionType, Reason
from pve_evpn.api.events import EventReason
from pve_evpn.api.nic import EvpnView, MacState, NicAttachmentStatus
from pve_evpn.domain.health.context import HealthContext, dated, operational, why_no_routes
from pve_evpn.domain.health.expected import ExpectedNic, Nic
from pve_evpn.domain.health.object_health import Health
from pve_evpn.domain.objects import Resource
from pve_evpn.domain.observation import ClusterObservation, EvpnRoute, NodeObservation, ObservationFailure, failure_in

#: Why nothing is known where nothing is wrong with the sources.
NOT_SHOWN = "no source shows the EVPN routes of any node"
#: How long several nodes may advertise a MAC with equal mobility sequences before that is called Duplicate: the route
#: of a node that a guest has left may stay for a while, for instance until a dead node's BGP hold time has passed.
DUPLICATE_PATIENCE = timedelta(seconds=60)


class Meaning(NamedTuple):
    """What a state is in condition ``Operational``, and the Event when a MAC comes to be in it."""

    operational: bool | None
    reason: Reason
    event: EventReason | None


MEANING: Mapping[MacState, Meaning] = {
    MacState.ADVERTISED: Meaning(True, Reason.ADVERTISED, EventReason.MAC_ADVERTISED),
    MacState.SILENT: Meaning(False, Reason.SILENT, EventReason.MAC_WITHDRAWN),
    MacState.NEVER_SEEN: Meaning(False, Reason.NEVER_SEEN, EventReason.MAC_WITHDRAWN),
    MacState.WRONG_NODE: Meaning(False, Reason.WRONG_NODE, EventReason.MAC_ON_WRONG_NODE),
    MacState.DUPLICATE: Meaning(False, Reason.DUPLICATE, EventReason.MAC_DUPLICATE),
    MacState.ZOMBIE: Meaning(False, Reason.ZOMBIE, EventReason.MAC_ZOMBIE),
    MacState.UNKNOWN: Meaning(None, Reason.SOURCE_UNAVAILABLE, None),
}
#: States in which no node is known to advertise the MAC.
_NOT_ADVERTISED = frozenset({MacState.SILENT, MacState.NEVER_SEEN, MacState.UNKNOWN})


@dataclass(frozen=True, slots=True)
class MacAssessment:
    """What EVPN makes of a NIC."""

    state: MacState
    since: datetime | None = None
    """Since when `state` and `node` have been what they are, as far as was seen."""
    node: str | None = None
    """The node that advertises the MAC; with Silent and Unknown the one that did last; ``None``: none ever did."""
    ips: tuple[str, ...] = ()
    mobility: int = 0
    """MAC mobility sequence; FRR begins anew at 0 once a MAC has been withdrawn."""
    seen_by: int = 0
    """Nodes whose tables hold the route, the advertising one included."""
    message: str = ""
    patience: timedelta = field(default=timedelta(0), compare=False)
    """How long the state must last before it is reported, because it may pass by itself."""

    @property
    def advertised(self) -> bool:
        """Whether some node advertises the MAC."""
        return self.state not in _NOT_ADVERTISED


@dataclass(slots=True)
class _Claim:
    """One node's advertisement of one MAC, as the tables of all nodes have it."""

    mobility: int = 0
    ips: set[str] = field(default_factory=set)
    seen_by: set[str] = field(default_factory=set)


@dataclass(slots=True)
class _Evidence:
    """Everything known of one MAC in one VNI."""

    claims: defaultdict[str, _Claim] = field(default_factory=lambda: defaultdict(_Claim))
    zombies: set[str] = field(default_factory=set)
    duplicate: bool = False
    sampled_at: datetime | None = None
    """When the claims were read, where they are samples."""


class MacIndex:
    """Every MAC of one cluster observation, by VNI and MAC. Built once per poll; it never changes then.

    Args:
        observation: What the nodes say.
        vteps: Node by its VTEP address as the configuration has it; what the nodes say themselves is added.
        vnet_vnis: VNI by VNet id, for rows that name a VNet only (Proxmox's ``mac-vrf``).
        vnis_by_rd: VNI by route distinguisher, as the nodes' own tables have it.
        interval: Time between two polls.
    """

    def __init__(
        self,
        observation: ClusterObservation,
        vteps: Mapping[str, str] | None = None,
        vnet_vnis: Mapping[str, int] | None = None,
        vnis_by_rd: Mapping[str, int] | None = None,
        interval: timedelta = timedelta(seconds=15),
    ) -> None:
        self._nodes = observation.nodes
        self._vteps = dict(vteps or {})
        self._vnet_vnis = vnet_vnis or {}
        self._vnis_by_rd = vnis_by_rd or {}
        # Samples of this poll and the one before are younger, however long reading takes.
        self._old_before = observation.at - 1.5 * interval
        self._evidence: defaultdict[tuple[int, str], _Evidence] = defaultdict(_Evidence)
        self._unplaced: dict[str, EvpnRoute] = {}
        answered = observation.answered().values()
        for node in answered:
            self._vteps.update(dict.fromkeys(node.vteps, node.node))
        for node in answered:
            self._add_routes(node)
            self._add_macs(node)
        live = {key for key, evidence in self._evidence.items() if evidence.claims}
        for node in answered:
            self._add_samples(node, live)

    def evidence(self, vni: int, mac: str) -> _Evidence:
        return self._evidence.get((vni, mac.lower()), _Evidence())

    def unplaced(self, mac: str) -> EvpnRoute | None:
        """A route of the MAC whose VNI is not known."""
        return self._unplaced.get(mac.lower())

    def was_read(self, home: str | None) -> bool:
        """Whether a route of `home` would have been seen; without a home, of any node."""
        if home is None:
            return any(isinstance(node, NodeObservation) and _shows_macs(node) for node in self._nodes.values())
        node = self._nodes.get(home)
        return isinstance(node, NodeObservation) and (_shows_macs(node) or node.bgp_running is False)

    def is_old(self, evidence: _Evidence) -> bool:
        return evidence.sampled_at is not None and evidence.sampled_at < self._old_before

    def may_be(self, owner: str, home: str | None) -> bool:
        """Whether an owner is an address of no known node while that of `home` is not known."""
        known = self._vteps.values()
        return home is not None and home not in known and owner not in self._nodes and owner not in known

    def trouble(self, home: str | None) -> str:
        """Why `home` may not advertise anything, in one clause; empty if nothing speaks against it."""
        node = self._nodes.get(home or "")
        if isinstance(node, ObservationFailure):
            return f"{home} cannot be observed: {node.message}"
        if node is None:
            return f"{home} was not observed" if home else ""
        return f"bgpd is not running on {home}" if node.bgp_running is False else ""

    def in_grace(self, home: str | None) -> bool:
        """Whether what cannot be seen now was seen within the grace time."""
        nodes = self._nodes.values() if home is None else (self._nodes.get(home),)
        return any(isinstance(node, ObservationFailure) and not node.settled for node in nodes)

    def _owner(self, next_hop: str | None) -> str | None:
        return self._vteps.get(next_hop, next_hop) if next_hop else None

    def _claim(self, vni: int, mac: str, owner: str, observer: str) -> _Claim:
        claim = self._evidence[vni, mac].claims[owner]
        claim.seen_by.add(observer)
        return claim

    def _add_routes(self, node: NodeObservation) -> None:
        for route in node.routes or ():
            if route.route_type != 2 or route.mac is None:
                continue
            vni = self._vnis_by_rd.get(route.rd, route.vni)
            if vni is None:
                self._unplaced.setdefault(route.mac, route)
                continue
            owner = node.node if route.own else self._owner(route.next_hop)
            if owner is None:
                continue
            claim = self._claim(vni, route.mac, owner, node.node)
            claim.mobility = max(claim.mobility, route.mobility)
            if route.ip is not None:
                claim.ips.add(route.ip)

    def _add_macs(self, node: NodeObservation) -> None:
        for row in node.macs or ():
            evidence = self._evidence[row.vni, row.mac]
            evidence.duplicate |= row.duplicate
            if row.zombie:
                evidence.zombies.add(node.node)
            if node.routes is None:
                owner = node.node if row.type == "local" else self._owner(row.remote_vtep)
                if owner is not None:
                    claim = self._claim(row.vni, row.mac, owner, node.node)
                    sequence = row.local_sequence if row.type == "local" else row.remote_sequence
                    claim.mobility = max(claim.mobility, sequence)

    def _add_samples(self, node: NodeObservation, live: Collection[tuple[int, str]]) -> None:
        """Only the newest samples of a MAC count, and only where no node's own tables have it."""
        for row in node.mac_ips or ():
            vni, owner = self._vnet_vnis.get(row.vnet), self._owner(row.next_hop)
            if vni is None or owner is None or (vni, row.mac) in live:
                continue
            evidence = self._evidence[vni, row.mac]
            if evidence.sampled_at is None or evidence.sampled_at < row.at:
                evidence.claims.clear()
                evidence.sampled_at = row.at
            if evidence.sampled_at == row.at:
                self._claim(vni, row.mac, owner, node.node).ips.add(row.ip)


# --- one NIC ------------------------------------------------------------------------------------------------------


def assess_mac(nic: Nic, index: MacIndex, before: MacAssessment | None, now: datetime) -> MacAssessment:
    """The assessment of one NIC by the table above. `before`: what was reported last, ``None`` at first sight."""
    fresh = _assess(nic, index, before)
    if fresh is None:
        return before if before is not None else MacAssessment(MacState.UNKNOWN, now, message="not observed yet")
    unchanged = before is not None and (before.state, before.node) == (fresh.state, fresh.node)
    since = before.since if before is not None and unchanged and before.since is not None else now
    return MacAssessment(
        fresh.state, since, fresh.node, fresh.ips, fresh.mobility, fresh.seen_by, fresh.message, fresh.patience
    )


def while_waiting(fresh: MacAssessment, before: MacAssessment | None) -> MacAssessment:
    """What is reported while a state may still pass: what was reported before, else that it is not known yet."""
    if before is not None:
        return before
    return MacAssessment(MacState.UNKNOWN, fresh.since, message=f"{fresh.message}; this may pass by itself")


def _assess(nic: Nic, index: MacIndex, before: MacAssessment | None) -> MacAssessment | None:
    """The assessment without its time; ``None``: what was reported before still holds."""
    evidence = index.evidence(nic.vni, nic.mac)
    last = before.node if before is not None else None
    if evidence.claims and not (evidence.sampled_at and index.was_read(nic.home)):
        found = _advertised(nic, evidence, index, last)
        contradicts = found.state is not MacState.ADVERTISED
        return None if contradicts and index.is_old(evidence) else found
    if route := index.unplaced(nic.mac):
        return MacAssessment(MacState.UNKNOWN, node=last, message=_cannot_be_placed(route, nic.vni))
    trouble = index.trouble(nic.home)
    if not index.was_read(nic.home):
        if index.in_grace(nic.home):
            return None
        return MacAssessment(MacState.UNKNOWN, node=last, message=trouble or NOT_SHOWN)
    if not nic.running:
        trouble = "the guest is not running"
    if last is None:
        message = trouble or "no node has ever advertised this MAC: no frame came from it"
        return MacAssessment(MacState.NEVER_SEEN, message=message)
    message = trouble or f"{last} advertised this MAC and has withdrawn it: no frame came from it"
    return MacAssessment(MacState.SILENT, node=last, message=message)


def _cannot_be_placed(route: EvpnRoute, vni: int) -> str:
    targets = ", ".join(route.route_targets) or "none"
    return (
        f"{route.next_hop or 'a node'} advertises this MAC with route targets that no VNI is known to import "
        f"({targets}), so it cannot be told whether that is VNI {vni}"
    )


def _advertised(nic: Nic, evidence: _Evidence, index: MacIndex, last: str | None) -> MacAssessment:
    top = max(claim.mobility for claim in evidence.claims.values())
    owners = sorted(name for name, claim in evidence.claims.items() if claim.mobility == top)
    known = [owner for owner in owners if not index.may_be(owner, nic.home)]
    if not known:
        message = f"{owners[0]} advertises this MAC, which may be {nic.home}: its VTEP address is not known"
        return MacAssessment(MacState.UNKNOWN, node=last, message=message)
    owners = known if nic.home in known else owners
    zombies = [owner for owner in owners if owner in evidence.zombies]
    live = nic.home if nic.home in owners else owners[0]
    owner = zombies[0] if 0 < len(zombies) < len(owners) else live
    claim = evidence.claims[owner]
    state, message = _state(nic, evidence, owner, owners)
    passing = state is MacState.DUPLICATE and not evidence.duplicate
    return MacAssessment(
        state,
        node=owner,
        ips=tuple(sorted(claim.ips)),
        mobility=claim.mobility,
        seen_by=len(claim.seen_by),
        message=message,
        patience=DUPLICATE_PATIENCE if passing else timedelta(0),
    )


def _state(nic: Nic, evidence: _Evidence, owner: str, owners: list[str]) -> tuple[MacState, str]:
    zombie = owner in evidence.zombies
    if not (zombie and len(owners) > 1) and (evidence.duplicate or len(owners) > 1):
        who = f"by {', '.join(owners)} at once" if len(owners) > 1 else "in turn by several nodes"
        return MacState.DUPLICATE, f"this MAC is advertised {who}: two guests may have the same one"
    if zombie:
        return MacState.ZOMBIE, f"{owner} still advertises this MAC though it has no port for it any more"
    if not nic.running:
        return MacState.WRONG_NODE, f"{owner} advertises this MAC though the guest is not running"
    if nic.home is not None and owner != nic.home:
        return MacState.WRONG_NODE, f"{owner} advertises this MAC while the guest runs on {nic.home}"
    return MacState.ADVERTISED, f"advertised by {owner}"


def _shows_macs(node: NodeObservation) -> bool:
    return node.routes is not None or node.macs is not None


# --- in the status of a NicAttachment -----------------------------------------------------------------------------


def nic_health(expected: ExpectedNic, found: MacAssessment, context: HealthContext) -> Health:
    """The assessment as the NicAttachment's status has it."""
    status, reason, _ = MEANING[found.state]
    message = found.message
    nodes = context.observation.nodes
    home = nodes.get(expected.nic.home) if expected.nic.home else None
    if found.state is MacState.UNKNOWN and failure_in(home):
        reason = Reason.OBSERVATION_STALE
    if found.message == NOT_SHOWN and isinstance(home, NodeObservation):
        message = why_no_routes(home)
    if found.state in (MacState.SILENT, MacState.NEVER_SEEN) and not expected.advertises:
        status, reason = None, Reason.NOTHING_TO_ANNOUNCE
        message = "its link is down" if expected.nic.running else "the guest is not running"
    counted = found.advertised and any(map(_shows_macs, context.observation.answered().values()))
    part = NicAttachmentStatus(
        evpn=EvpnView(
            verdict=found.state,
            since=found.since,
            announced_by=found.node if found.advertised else None,
            last_announced_by=None if found.advertised else found.node,
            ips=list(found.ips) or None,
            mobility_sequence=found.mobility if counted else None,
            seen_by=found.seen_by if counted else None,
        ),
        source=context.source([expected.nic.home] if expected.nic.home else nodes),
    )
    return Health(
        operational(status, reason, message), dated(context.previous(expected.key), part, context.observation.at)
    )


def assessment_before(nic: Resource[Any] | None) -> MacAssessment | None:
    """The assessment that a NicAttachment's status carries; ``None`` if it has none yet."""
    evpn = nic.status.evpn if nic else None
    if nic is None or evpn is None:
        return None
    condition = nic.status.condition(ConditionType.OPERATIONAL)
    return MacAssessment(
        evpn.verdict,
        evpn.since,
        evpn.announced_by or evpn.last_announced_by,
        tuple(evpn.ips or ()),
        evpn.mobility_sequence or 0,
        evpn.seen_by or 0,
        condition.message if condition else "",
    )
