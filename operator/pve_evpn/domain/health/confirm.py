"""Commit confirmed: whether the network is worse after an apply than the change itself explains.

Before an apply, `record_network` notes what works and has to work afterwards too: BGP sessions, VNIs, flood lists, and
which nodes know the MACs of attached NICs. What the change takes away on purpose is left out, so the record alone says
what to expect, also after a restart of the operator (`dump`, `load`). After the apply, `compare` says what is gone.

Pure. What was bad before is no worsening, what cannot be read is unknown and no worsening, and neither is:

* a session, VTEP or VNI of an object that the change deletes, moves to other nodes or takes off a controller;
* a session between two nodes that share no zone after the change, where one is no longer among the peers;
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

from pydantic import BaseModel, ConfigDict

from pve_evpn.domain.health.context import listed, names_of
from pve_evpn.domain.health.expected import ExpectedOverlay
from pve_evpn.domain.health.vnis import vnis_by_rd
from pve_evpn.domain.observation import ClusterObservation, NodeObservation, VniRow
from pve_evpn.domain.sdn import SdnKind, SdnObject, SdnRef
from pve_evpn.domain.state import NodeState, same_form

#: Bytes that a record may take as JSON; it is kept in the journal, which is one Kubernetes object.
LARGEST = 200_000


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


class _Model(BaseModel):
    model_config = ConfigDict(frozen=True, extra="ignore")


class Reach(_Model):
    """Which of `members` each of `nodes` reaches: all but itself and those in `absent`.

    Members are node names; addresses where no node of the cluster is known to have them.
    """

    members: tuple[str, ...] = ()
    nodes: tuple[str, ...] = ()
    absent: dict[str, tuple[str, ...]] = {}

    @classmethod
    def of(cls, reached: Mapping[str, frozenset[str]]) -> Reach:
        """From what each node reaches."""
        members = frozenset().union(*reached.values()) if reached else frozenset()
        absent = {
            node: tuple(sorted(gone)) for node, found in sorted(reached.items()) if (gone := members - found - {node})
        }
        return cls(members=tuple(sorted(members)), nodes=tuple(sorted(reached)), absent=absent)

    def reached_by(self, node: str) -> frozenset[str]:
        if node not in self.nodes:
            return frozenset()
        return frozenset(self.members) - {node} - frozenset(self.absent.get(node, ()))


class RecordedVni(_Model):
    """One VNI that has to be there after the apply. `vni`: its number then. `owner`: the VNet or zone, for messages."""

    vni: int
    owner: str
    nodes: tuple[str, ...]
    flooding: Reach = Reach()


class RecordedMac(_Model):
    """The MAC of one attached NIC: the nodes that had it as their own, and all that had a route to it."""

    mac: str
    vni: int
    nic: str
    owners: tuple[str, ...]
    known_by: tuple[str, ...]


class NetworkRecord(_Model):
    """What worked before an apply, as far as the apply is not meant to take it away.

    `names` has the node by each address in BGP, for nodes that cannot be read afterwards. `dropped` counts the entries
    that did not fit: they are not compared.
    """

    at: datetime
    names: dict[str, str] = {}
    sessions: Reach = Reach()
    vnis: tuple[RecordedVni, ...] = ()
    macs: tuple[RecordedMac, ...] = ()
    dropped: int = 0

    @property
    def empty(self) -> bool:
        """Whether nothing was seen that could become worse."""
        return not (self.sessions.nodes or self.vnis or self.macs)

    def dump(self, largest: int = LARGEST) -> str:
        """As JSON of at most `largest` bytes. MACs are left out first, then VNIs, sessions last."""
        record = self
        while len(text := record.model_dump_json(exclude_defaults=True)) > largest:
            if record.macs:
                kept = len(record.macs) // 2
                record = record.model_copy(
                    update={"macs": record.macs[:kept], "dropped": record.dropped + len(record.macs) - kept}
                )
            elif record.vnis:
                kept = len(record.vnis) // 2
                record = record.model_copy(
                    update={"vnis": record.vnis[:kept], "dropped": record.dropped + len(record.vnis) - kept}
                )
            else:
                dropped = record.dropped + len(record.sessions.nodes)
                return NetworkRecord(at=self.at, dropped=dropped).model_dump_json(exclude_defaults=True)
        return text

    @classmethod
    def load(cls, text: str) -> NetworkRecord:
        """From `dump`. Raises pydantic's ValidationError for anything else."""
        return cls.model_validate_json(text)


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


# --- before the apply ---------------------------------------------------------------------------------------------


def record_network(
    observation: ClusterObservation,
    expected: ExpectedOverlay,
    running: Mapping[SdnRef, SdnObject],
    published: Mapping[SdnRef, SdnObject],
) -> NetworkRecord:
    """What works now and has to work after the apply.

    Args:
        observation: The last poll before the apply.
        expected: What should be seen now; its NICs are the attached ones.
        running: Proxmox' running configuration before the apply.
        published: The configuration that the apply publishes.
    """
    members = frozenset(expected.members)
    names = _names_by_address(observation)
    on = _nodes_of_vnis(running, published, members)
    sessions = {
        node.node: found
        for node in observation.answered().values()
        if node.peers is not None and (found := _kept_sessions(node, names, running, published))
    }
    macs = _known_by(observation)
    return NetworkRecord(
        at=observation.at,
        names=names,
        sessions=Reach.of(sessions),
        vnis=tuple(_recorded_vnis(observation, names, on)),
        macs=tuple(
            RecordedMac(
                mac=nic.nic.mac,
                vni=on[nic.nic.vni].number,
                nic=str(nic.key),
                owners=tuple(sorted(owners)),
                known_by=tuple(sorted(known)),
            )
            for nic in expected.nics
            if nic.nic.vni in on
            and (owners := macs.own(nic.nic.vni, nic.nic.mac))
            and (known := macs.known_by(nic.nic.vni, nic.nic.mac) & on[nic.nic.vni].nodes)
        ),
    )


@dataclass(frozen=True, slots=True)
class _Place:
    """Where a VNI is after the apply."""

    number: int
    owner: str
    nodes: frozenset[str]


def _nodes_of_vnis(
    running: Mapping[SdnRef, SdnObject], published: Mapping[SdnRef, SdnObject], members: frozenset[str]
) -> dict[int, _Place]:
    """By running VNI what becomes of it; VNIs that the apply takes away are not in it."""
    found: dict[int, _Place] = {}
    for ref, obj in running.items():
        after = published.get(ref)
        number, later = _vni(obj), _vni(after) if after else None
        if number is None or later is None or after is None:
            continue
        zone_before, zone_after = _zone_of(obj, running), _zone_of(after, published)
        if zone_before is None or zone_after is None:
            continue
        nodes = _on(zone_before, members) & _on(zone_after, members)
        found[number] = _Place(later, f"{'VNet' if ref.kind is SdnKind.VNET else 'zone'} {ref.id}", nodes)
    return found


def _vni(obj: SdnObject) -> int | None:
    key = {SdnKind.ZONE: "vrf-vxlan", SdnKind.VNET: "tag"}.get(obj.ref.kind)
    value = obj.props.get(key) if key else None
    return int(value) if isinstance(value, str) and value.isdigit() else None


def _zone_of(obj: SdnObject, objects: Mapping[SdnRef, SdnObject]) -> SdnObject | None:
    if obj.ref.kind is SdnKind.ZONE:
        return obj
    return objects.get(SdnRef(SdnKind.ZONE, str(obj.props.get("zone", ""))))


def _on(obj: SdnObject, members: frozenset[str]) -> frozenset[str]:
    """The nodes that an object is on."""
    only = obj.props.get("nodes")
    return members & frozenset(only) if only else members


def _kept_sessions(
    node: NodeObservation,
    names: Mapping[str, str],
    running: Mapping[SdnRef, SdnObject],
    published: Mapping[SdnRef, SdnObject],
) -> frozenset[str]:
    """The other ends of a node's established sessions that no controller gives up on purpose.

    A peer that is a node of the cluster is kept while some controller is on both nodes, even if one of the two is no
    longer listed: a list that lacks a node is a fault to be found. But where no zone is on both nodes any more, it was
    shortened on purpose: before Proxmox VE 9.2, where a controller cannot name its nodes, there is no other way to take
    a node out of an overlay. Any other peer is kept while it is listed.
    """
    before, after = _controllers(running), _controllers(published)
    zones = [obj for ref, obj in published.items() if ref.kind is SdnKind.ZONE and obj.type == "evpn"]
    listed_nodes = {controller.ref: _listed_nodes(controller, names, published) for controller in after}
    kept = set()
    for peer in node.peers or ():
        if not peer.established:
            continue
        address = same_form(peer.address)
        name = names.get(address)
        if name is not None:
            both = [controller for controller in after if _has(controller, node.node) and _has(controller, name)]
            shared = any(_has(zone, node.node) and _has(zone, name) for zone in zones)
            if both and (shared or any({node.node, name} <= listed_nodes[controller.ref] for controller in both)):
                kept.add(name)
        elif not any(address in _peers(controller) for controller in before) or any(
            address in _peers(controller) and _has(controller, node.node) for controller in after
        ):
            kept.add(address)
    return frozenset(kept) if after else frozenset()


def _controllers(objects: Mapping[SdnRef, SdnObject]) -> list[SdnObject]:
    return [obj for ref, obj in objects.items() if ref.kind is SdnKind.CONTROLLER and obj.type == "evpn"]


def _has(obj: SdnObject, node: str) -> bool:
    """Whether a controller or a zone is on the node."""
    only = obj.props.get("nodes")
    return not only or node in only


def _listed_nodes(
    controller: SdnObject, names: Mapping[str, str], published: Mapping[SdnRef, SdnObject]
) -> frozenset[str]:
    """The nodes among a controller's peers; those of a fabric are its nodes."""
    fabric = controller.props.get("fabric")
    if not fabric:
        return frozenset(name for peer in _peers(controller) if (name := names.get(peer)))
    of_fabric = (ref for ref, obj in published.items() if ref.kind is SdnKind.FABRIC_NODE and obj.parent == fabric)
    return frozenset(ref.id.rpartition("/")[2] for ref in of_fabric)


def _peers(controller: SdnObject) -> frozenset[str]:
    return frozenset(map(same_form, controller.props.get("peers") or ()))


def _recorded_vnis(
    observation: ClusterObservation, names: Mapping[str, str], on: Mapping[int, _Place]
) -> Iterable[RecordedVni]:
    answered = observation.answered()
    for number, place in sorted(on.items()):
        rows = {
            name: row
            for name, node in answered.items()
            for row in node.vnis or ()
            if row.vni == number and name in place.nodes
        }
        if not rows:
            continue
        reached = {
            name: frozenset(
                label
                for vtep in row.remote_vteps
                if (label := names.get(same_form(vtep), same_form(vtep))) in place.nodes or label not in names.values()
            )
            for name, row in rows.items()
            if row.remote_vteps is not None
        }
        yield RecordedVni(vni=place.number, owner=place.owner, nodes=tuple(sorted(rows)), flooding=Reach.of(reached))


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
    names = record.names | _names_by_address(observation)
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

    macs = _known_by(ClusterObservation(record.at, dict(read)))
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


# --- both ---------------------------------------------------------------------------------------------------------


def _names_by_address(observation: ClusterObservation) -> dict[str, str]:
    """By address the node that uses it in BGP: its VTEPs, its router id, and what its peers call it."""
    answered = observation.answered()
    found: dict[str, str] = {}
    for node in answered.values():
        for peer in node.peers or ():
            if peer.hostname in observation.nodes:
                found[same_form(peer.address)] = str(peer.hostname)
    for name, node in answered.items():
        for address in (*node.vteps, *((node.router_id,) if node.router_id else ())):
            found[same_form(address)] = name
    return found


class _MacTable:
    """Which nodes have a route to each MAC, and which have it as their own."""

    def __init__(self) -> None:
        self._known: dict[tuple[int, str], set[str]] = {}
        self._own: dict[tuple[int, str], set[str]] = {}
        self._unplaced: set[tuple[str, str]] = set()

    def add(self, node: NodeObservation, by_rd: Mapping[str, int]) -> None:
        for route in node.routes or ():
            if route.route_type != 2 or route.mac is None:
                continue
            vni = by_rd.get(route.rd, route.vni)
            if vni is None:
                self._unplaced.add((node.node, route.mac))
                continue
            self._known.setdefault((vni, route.mac), set()).add(node.node)
            if route.own:
                self._own.setdefault((vni, route.mac), set()).add(node.node)
        for row in node.macs or ():
            if row.type == "local" and not row.zombie:
                self._own.setdefault((row.vni, row.mac), set()).add(node.node)

    def known_by(self, vni: int, mac: str) -> frozenset[str]:
        return frozenset(self._known.get((vni, mac.lower()), ()))

    def own(self, vni: int, mac: str) -> frozenset[str]:
        return frozenset(self._own.get((vni, mac.lower()), ()))

    def unplaced(self, node: str, mac: str) -> bool:
        return (node, mac.lower()) in self._unplaced


def _known_by(observation: ClusterObservation) -> _MacTable:
    table, by_rd = _MacTable(), vnis_by_rd(observation)
    for node in observation.answered().values():
        table.add(node, by_rd)
    return table
