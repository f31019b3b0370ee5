"""What EVPN makes of one NIC: is its MAC announced, by the right node, and since when.

Pure: observations in, `MacAssessment` out. It is not a memory (the verdict before is handed in, usually from the
object's status) and writes no conditions. Nothing in a verdict ticks: asked again about an unchanged network, it
answers with an equal value.

Truth table, first match wins. *Announced* means: some node's BGP table holds a type-2 route for MAC and VNI (where
that table cannot be seen: zebra's MAC table). The *home* is the node the guest runs on. *Looked* means: the home's own
tables were seen, or its bgpd was seen not running. Where not looked, and no table of any node has the MAC, a row of
Proxmox's ``mac-vrf`` is as good, which is a *sample*; it is *old* if it was read longer than one poll ago.

=====================================================================================  ============
evidence                                                                               verdict
=====================================================================================  ============
announced by an address of no known node, which may be the home's, not known either    Unknown
announced otherwise than by the home in an old sample: the guest may have moved since  as before
announced, and zebra says duplicate; or by several nodes with equal mobility           Duplicate
announced by a node whose zebra has the MAC local without a port                       Zombie
announced, the guest is stopped                                                        WrongNode
announced by another node than the home                                                WrongNode
announced (by the home, or where the guest runs is unknown)                            Advertised
not announced, not looked, and the home's source failed within its grace time          as before
not announced, not looked                                                              Unknown
not announced, looked, was announced before                                            Silent
not announced, looked, never announced before                                          NeverSeen
=====================================================================================  ============

Of several announcing nodes the one with the highest MAC mobility sequence has it (RFC 7432, 15): the other routes are
on their way out. bgpd's own ``bestpath`` does not tell, because it chooses per route distinguisher.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from enum import StrEnum

from pve_evpn.domain.observation import ClusterObservation, NodeObservation, ObservationFailure

#: Why nothing is known where nothing is wrong with the sources.
NOT_SHOWN = "no source shows the EVPN routes of any node"


class MacState(StrEnum):
    """The verdicts."""

    ADVERTISED = "Advertised"
    SILENT = "Silent"
    NEVER_SEEN = "NeverSeen"
    WRONG_NODE = "WrongNode"
    DUPLICATE = "Duplicate"
    ZOMBIE = "Zombie"
    UNKNOWN = "Unknown"


@dataclass(frozen=True, slots=True)
class Nic:
    """The NIC in question. `home`: the node its guest runs on, ``None`` if not known. `running`: the guest."""

    mac: str
    vni: int
    home: str | None
    running: bool = True


@dataclass(frozen=True, slots=True)
class MacAssessment:
    """What EVPN makes of a NIC."""

    word: MacState
    since: datetime | None = None
    """Since when `word` and `node` have been what they are, as far as was seen."""
    node: str | None = None
    """Who announces the MAC; with Silent and Unknown who did last; ``None``: nobody ever did."""
    ips: tuple[str, ...] = ()
    mobility: int = 0
    """MAC mobility sequence; FRR begins anew at 0 once a MAC has been withdrawn."""
    seen_by: int = 0
    """Nodes whose tables hold the route, the announcing one included."""
    message: str = ""


@dataclass(slots=True)
class _Claim:
    """What is known of one node's announcement of one MAC."""

    mobility: int = 0
    ips: set[str] = field(default_factory=set)
    seen_by: set[str] = field(default_factory=set)


@dataclass(slots=True)
class _Evidence:
    claims: defaultdict[str, _Claim] = field(default_factory=lambda: defaultdict(_Claim))
    zombies: set[str] = field(default_factory=set)
    duplicate: bool = False
    sampled_at: datetime | None = None
    """When the claims were read, where they are samples."""


class MacIndex:
    """Every MAC of one cluster observation, by VNI and MAC. Build it once per poll; it never changes then.

    `vteps`: node by its VTEP address, as far as the configuration tells (what the nodes say of themselves is added).
    `vnet_vnis`: VNI by VNet id, for rows that name a VNet only (Proxmox's ``mac-vrf``).
    `interval`: between two polls.
    """

    def __init__(
        self,
        cluster: ClusterObservation,
        vteps: Mapping[str, str] | None = None,
        vnet_vnis: Mapping[str, int] | None = None,
        interval: timedelta = timedelta(seconds=15),
    ) -> None:
        self._looks = cluster.nodes
        self._vteps = dict(vteps or {})
        self._vnet_vnis = vnet_vnis or {}
        # Those of this poll and the one before are younger, however long reading takes.
        self._old_before = cluster.at - 1.5 * interval
        self._evidence: defaultdict[tuple[int, str], _Evidence] = defaultdict(_Evidence)
        for look in cluster.answered().values():
            self._vteps.update(dict.fromkeys(look.vteps, look.node))
        for look in cluster.answered().values():
            self._add_routes(look)
            self._add_macs(look)
        live = {key for key, evidence in self._evidence.items() if evidence.claims}
        for look in cluster.answered().values():
            self._add_samples(look, live)

    def evidence(self, vni: int, mac: str) -> _Evidence:
        return self._evidence.get((vni, mac.lower()), _Evidence())

    def looked(self, home: str | None) -> bool:
        """Whether an announcement by `home` would have been seen; without one, by any node."""
        if home is None:
            return any(isinstance(look, NodeObservation) and _sees_macs(look) for look in self._looks.values())
        look = self._looks.get(home)
        return isinstance(look, NodeObservation) and (_sees_macs(look) or look.bgp_running is False)

    def is_old(self, evidence: _Evidence) -> bool:
        return evidence.sampled_at is not None and evidence.sampled_at < self._old_before

    def may_be(self, owner: str, home: str | None) -> bool:
        """Whether an owner is an address of nobody known while that of `home` is not known."""
        nodes = self._vteps.values()
        return home is not None and home not in nodes and owner not in self._looks and owner not in nodes

    def trouble(self, home: str | None) -> str:
        """Why an announcement by `home` could not be there, in one clause; empty if nothing speaks against it."""
        look = self._looks.get(home or "")
        if isinstance(look, ObservationFailure):
            return f"{home} cannot be observed: {look.message}"
        if look is None:
            return f"{home} was not observed" if home else ""
        return f"bgpd is not running on {home}" if look.bgp_running is False else ""

    def in_grace(self, home: str | None) -> bool:
        """Whether what cannot be seen now was seen a moment ago."""
        looks = self._looks.values() if home is None else (self._looks.get(home),)
        return any(isinstance(look, ObservationFailure) and not look.settled for look in looks)

    def _owner(self, next_hop: str | None) -> str | None:
        return self._vteps.get(next_hop, next_hop) if next_hop else None

    def _claim(self, vni: int, mac: str, owner: str, observer: str) -> _Claim:
        claim = self._evidence[vni, mac].claims[owner]
        claim.seen_by.add(observer)
        return claim

    def _add_routes(self, look: NodeObservation) -> None:
        for route in look.routes or ():
            if route.route_type != 2 or route.mac is None or route.vni is None:
                continue
            owner = look.node if route.own else self._owner(route.next_hop)
            if owner is None:
                continue
            claim = self._claim(route.vni, route.mac, owner, look.node)
            claim.mobility = max(claim.mobility, route.mobility)
            if route.ip is not None:
                claim.ips.add(route.ip)

    def _add_macs(self, look: NodeObservation) -> None:
        for row in look.macs or ():
            evidence = self._evidence[row.vni, row.mac]
            evidence.duplicate |= row.duplicate
            if row.zombie:
                evidence.zombies.add(look.node)
            if look.routes is None:
                owner = look.node if row.type == "local" else self._owner(row.remote_vtep)
                if owner is not None:
                    claim = self._claim(row.vni, row.mac, owner, look.node)
                    sequence = row.local_sequence if row.type == "local" else row.remote_sequence
                    claim.mobility = max(claim.mobility, sequence)

    def _add_samples(self, look: NodeObservation, live: Collection[tuple[int, str]]) -> None:
        """Only the newest samples of a MAC count, and only where no node's own tables have it."""
        for row in look.mac_ips or ():
            vni, owner = self._vnet_vnis.get(row.vnet), self._owner(row.next_hop)
            if vni is None or owner is None or (vni, row.mac) in live:
                continue
            evidence = self._evidence[vni, row.mac]
            if evidence.sampled_at is None or evidence.sampled_at < row.at:
                evidence.claims.clear()
                evidence.sampled_at = row.at
            if evidence.sampled_at == row.at:
                self._claim(vni, row.mac, owner, look.node).ips.add(row.ip)


def judge(nic: Nic, index: MacIndex, before: MacAssessment | None, now: datetime) -> MacAssessment:
    """The verdict on one NIC; see the module for the rules. `before`: what was said last, ``None`` at first sight."""
    fresh = _judge(nic, index, before)
    if fresh is None:
        return before if before is not None else MacAssessment(MacState.UNKNOWN, now, message="not observed yet")
    unchanged = before is not None and (before.word, before.node) == (fresh.word, fresh.node)
    since = before.since if before is not None and unchanged and before.since is not None else now
    return MacAssessment(fresh.word, since, fresh.node, fresh.ips, fresh.mobility, fresh.seen_by, fresh.message)


def _judge(nic: Nic, index: MacIndex, before: MacAssessment | None) -> MacAssessment | None:
    """The verdict without its time; ``None``: what was said before still stands."""
    evidence = index.evidence(nic.vni, nic.mac)
    last = before.node if before is not None else None
    if evidence.claims and not (evidence.sampled_at and index.looked(nic.home)):
        found = _announced(nic, evidence, index, last)
        contradicts = found.word is not MacState.ADVERTISED
        return None if contradicts and index.is_old(evidence) else found
    trouble = index.trouble(nic.home)
    if not index.looked(nic.home):
        if index.in_grace(nic.home):
            return None
        return MacAssessment(MacState.UNKNOWN, node=last, message=trouble or NOT_SHOWN)
    if not nic.running:
        trouble = "the guest is not running"
    if last is None:
        return MacAssessment(
            MacState.NEVER_SEEN, message=trouble or "no node has ever announced this MAC: no frame came from it"
        )
    return MacAssessment(
        MacState.SILENT,
        node=last,
        message=trouble or f"{last} announced this MAC and has withdrawn it: no frame came from it",
    )


def _announced(nic: Nic, evidence: _Evidence, index: MacIndex, last: str | None) -> MacAssessment:
    top = max(claim.mobility for claim in evidence.claims.values())
    owners = sorted(name for name, claim in evidence.claims.items() if claim.mobility == top)
    known = [owner for owner in owners if not index.may_be(owner, nic.home)]
    if not known:
        message = f"{owners[0]} announces this MAC, which may be {nic.home}: its VTEP address is not known"
        return MacAssessment(MacState.UNKNOWN, node=last, message=message)
    owners = known if nic.home in known else owners
    owner = nic.home if nic.home in owners else owners[0]
    claim = evidence.claims[owner]
    word, message = _word(nic, evidence, owner, owners)
    return MacAssessment(
        word,
        node=owner,
        ips=tuple(sorted(claim.ips)),
        mobility=top,
        seen_by=len(claim.seen_by),
        message=message,
    )


def _word(nic: Nic, evidence: _Evidence, owner: str, owners: list[str]) -> tuple[MacState, str]:
    if evidence.duplicate or len(owners) > 1:
        who = f"by {', '.join(owners)} at once" if len(owners) > 1 else "in turn by several nodes"
        return MacState.DUPLICATE, f"this MAC is announced {who}: two guests may have the same one"
    if owner in evidence.zombies:
        return MacState.ZOMBIE, f"{owner} still announces this MAC though it has no port for it any more"
    if not nic.running:
        return MacState.WRONG_NODE, f"{owner} announces this MAC though the guest is not running"
    if nic.home is not None and owner != nic.home:
        return MacState.WRONG_NODE, f"{owner} announces this MAC while the guest runs on {nic.home}"
    return MacState.ADVERTISED, f"announced by {owner}"


def _sees_macs(look: NodeObservation) -> bool:
    return look.routes is not None or look.macs is not None
