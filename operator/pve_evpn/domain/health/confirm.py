"""Commit confirmed: whether the network is worse after an apply than the change itself explains.

Before an apply, `network_record.record_network` notes what works and has to work afterwards too. After the apply,
`compare` says what is gone.

Pure. What was bad before is no worsening, what cannot be read is unknown and no worsening, and neither is:

* anything of a node that the Proxmox cluster does not see any more: taking the change back does not bring it up;
* a MAC that no node has as its own any more: its guest fell silent, was stopped, or its NIC was taken off the VNet;
* a MAC that another node has now: its guest was moved;
* an interruption that an apply causes anyway, until the patience of its kind has passed.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from enum import StrEnum

from pve_evpn.domain.health.context import listed, names_of
from pve_evpn.domain.health.network_record import NetworkRecord, known_macs, names_by_address
from pve_evpn.domain.observation import ClusterObservation, NodeObservation, VniRow
from pve_evpn.domain.state import NodeState, same_form


class Aspect(StrEnum):
    """What can become worse."""

    SESSION = "session"
    VNI = "vni"
    FLOODING = "flooding"
    MAC = "mac"


#: How long an apply may interrupt each aspect. A node reloads its interfaces and FRR; with FRR's datacenter profile
#: bgpd tries a peer again every 10 seconds, and routes follow within seconds of the session (measured: 1 to 6).
PATIENCE: Mapping[Aspect, timedelta] = {
    Aspect.VNI: timedelta(seconds=30),
    Aspect.SESSION: timedelta(seconds=45),
    Aspect.FLOODING: timedelta(seconds=60),
    Aspect.MAC: timedelta(seconds=60),
}


@dataclass(frozen=True, slots=True, order=True)
class Worsening:
    """One thing that worked before and does not now. `what` says which; the message may change from poll to poll."""

    aspect: Aspect
    what: str
    message: str = field(compare=False)


@dataclass(frozen=True, slots=True)
class Comparison:
    """What became of the network.

    Attributes:
        worse: What has not come back within the patience of its kind.
        interrupted: What is gone at the moment and may still come back.
        unread: Nodes that were recorded and cannot be read now.
    """

    worse: tuple[Worsening, ...] = ()
    interrupted: tuple[Worsening, ...] = ()
    unread: tuple[str, ...] = ()

    @property
    def complete(self) -> bool:
        """Whether everything that was recorded is there."""
        return not (self.worse or self.interrupted or self.unread)

    @property
    def message(self) -> str:
        """What is worse, in one sentence."""
        return listed(worsening.message for worsening in self.worse)


def lasting(earlier: Comparison, later: Comparison) -> tuple[Worsening, ...]:
    """What was worse in two polls: one poll may fall into a moment that has nothing to do with the apply."""
    return tuple(worsening for worsening in later.worse if worsening in earlier.worse)


# --- after the apply ----------------------------------------------------------------------------------------------


def compare(
    record: NetworkRecord,
    observation: ClusterObservation,
    nodes: Mapping[str, NodeState],
    applied_at: datetime,
) -> Comparison:
    """What of the record is gone.

    Args:
        record: What worked before the apply.
        observation: A poll after it. Nodes that were read before its end are not counted.
        nodes: The Proxmox cluster's nodes as they are now.
        applied_at: When the apply ended, on all nodes.
    """
    offline = {name for name in record_nodes(record) if name not in nodes or not nodes[name].online}
    read = {
        name: node
        for name, node in observation.answered().items()
        if name not in offline and node.at > applied_at and node.instead_of is None
    }
    names = record.names | names_by_address(observation)
    found = [
        *_stopped(record, read),
        *_sessions(record, read, names, offline),
        *_missing_vnis(record, read),
        *_flood_gaps(record, read, names, offline),
        *_unknown_macs(record, read),
    ]
    elapsed = observation.at - applied_at
    return Comparison(
        worse=tuple(sorted(worsening for worsening in found if elapsed >= PATIENCE[worsening.aspect])),
        interrupted=tuple(sorted(worsening for worsening in found if elapsed < PATIENCE[worsening.aspect])),
        unread=tuple(sorted(record_nodes(record) - offline - read.keys())),
    )


def record_nodes(record: NetworkRecord) -> frozenset[str]:
    """The nodes of which something was recorded."""
    return frozenset(record.sessions.nodes).union(*(vni.nodes for vni in record.vnis))


def _stopped(record: NetworkRecord, read: Mapping[str, NodeObservation]) -> Iterable[Worsening]:
    for name, node in read.items():
        if node.bgp_running is False and name in record_nodes(record):
            yield Worsening(Aspect.SESSION, name, f"BGP EVPN is not running on {name} any more")


def _sessions(
    record: NetworkRecord, read: Mapping[str, NodeObservation], names: Mapping[str, str], offline: set[str]
) -> Iterable[Worsening]:
    """Each lost session once, though both ends miss it."""
    lost: dict[tuple[str, ...], str] = {}
    for name in record.sessions.nodes:
        node = read.get(name)
        if node is None or node.peers is None or node.bgp_running is False:
            continue
        peers = {names.get(same_form(peer.address), same_form(peer.address)): peer for peer in node.peers}
        up = {label for label, peer in peers.items() if peer.established}
        for label in record.sessions.reached_by(name) - up - offline:
            if label in read and read[label].bgp_running is False:
                continue
            peer = peers.get(label)
            why = f" ({peer.last_error})" if peer and peer.last_error else ""
            ends = (name, label) if label not in record.sessions.nodes else tuple(sorted((name, label)))
            lost.setdefault(ends, f"{name} has lost its session with {label}{why}")
    for ends, message in lost.items():
        yield Worsening(Aspect.SESSION, " ".join(ends), message)


def _missing_vnis(record: NetworkRecord, read: Mapping[str, NodeObservation]) -> Iterable[Worsening]:
    for recorded in record.vnis:
        gone = [
            name
            for name in recorded.nodes
            if (vnis := _vnis_on(read.get(name))) is not None and recorded.vni not in vnis
        ]
        if gone:
            verb = "has" if len(gone) == 1 else "have"
            message = f"{names_of(gone)} no longer {verb} VNI {recorded.vni} ({recorded.owner})"
            yield Worsening(Aspect.VNI, recorded.owner, message)


def _vnis_on(node: NodeObservation | None) -> frozenset[int] | None:
    """The VNIs of a node; None if they cannot be read, which bgpd's end makes them too."""
    return None if node is None or node.vnis is None else frozenset(row.vni for row in node.vnis)


def _flood_gaps(
    record: NetworkRecord, read: Mapping[str, NodeObservation], names: Mapping[str, str], offline: set[str]
) -> Iterable[Worsening]:
    """Each missing VTEP once per VNI. A node that does not have the VNI, or no bgpd, is another worsening."""
    for recorded in record.vnis:
        missed: dict[str, list[str]] = {}
        for name in recorded.flooding.nodes:
            row = next((row for row in _rows(read.get(name)) if row.vni == recorded.vni), None)
            if row is None or row.remote_vteps is None:
                continue
            reached = {names.get(same_form(vtep), same_form(vtep)) for vtep in row.remote_vteps}
            for label in recorded.flooding.reached_by(name) - reached - offline:
                other = read.get(label)
                if other is not None and recorded.vni not in (_vnis_on(other) or ()):
                    continue
                missed.setdefault(label, []).append(name)
        for label, by in sorted(missed.items()):
            message = (
                f"{label} is no longer in the flood list of {names_of(by)} for VNI {recorded.vni} ({recorded.owner})"
            )
            yield Worsening(Aspect.FLOODING, f"{recorded.owner} {label}", message)


def _rows(node: NodeObservation | None) -> Iterable[VniRow]:
    return (node.vnis if node else None) or ()


def _unknown_macs(record: NetworkRecord, read: Mapping[str, NodeObservation]) -> Iterable[Worsening]:
    """MACs that a node has as its own and the others have no route to any more.

    Of a guest that was moved only those nodes count that reached its new node before.
    """
    flooding = {recorded.vni: recorded.flooding for recorded in record.vnis}

    def reached(vni: int, name: str) -> frozenset[str]:
        return flooding[vni].reached_by(name) if vni in flooding else frozenset()

    macs = known_macs(ClusterObservation(record.at, dict(read)))
    for recorded in record.macs:
        owners = macs.own(recorded.vni, recorded.mac)
        if not owners:
            continue
        known = macs.known_by(recorded.vni, recorded.mac)
        blind = [
            name
            for name in recorded.known_by
            if name not in known
            and (owners <= set(recorded.owners) or owners <= reached(recorded.vni, name))
            and (node := read.get(name)) is not None
            and node.routes is not None
            and recorded.vni in (_vnis_on(node) or ())
            and not macs.unplaced(name, recorded.mac)
        ]
        if blind:
            message = (
                f"{names_of(blind)} {'has' if len(blind) == 1 else 'have'} no route any more to {recorded.mac} "
                f"({recorded.nic}), which {names_of(sorted(owners))} advertises"
            )
            yield Worsening(Aspect.MAC, recorded.nic, message)
