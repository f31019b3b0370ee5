"""What works in the network before an apply and has to work after it: the first half of commit confirmed. Pure.

BGP sessions, VNIs, flood lists, and which nodes know the MACs of attached NICs. What the change takes away on purpose
is left out, so the record alone says what to expect, also after a restart of the operator (`dump`, `load`):

* a session, VTEP or VNI of an object that the change deletes, moves to other nodes or takes off a controller;
* a session between two nodes that share no zone after the change, where one is no longer among the peers.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime

from pydantic import BaseModel, ConfigDict

from pve_evpn.domain.health.expected import ExpectedOverlay
from pve_evpn.domain.health.vnis import vnis_by_rd
from pve_evpn.domain.observation import ClusterObservation, NodeObservation
from pve_evpn.domain.sdn import SdnKind, SdnObject, SdnRef
from pve_evpn.domain.state import same_form

#: Bytes that a record may take as JSON; it is kept in the journal, which is one Kubernetes object.
LARGEST = 200_000


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
    names = names_by_address(observation)
    on = _nodes_of_vnis(running, published, members)
    sessions = {
        node.node: found
        for node in observation.answered().values()
        if node.peers is not None and (found := _kept_sessions(node, names, running, published))
    }
    macs = known_macs(observation)
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


def names_by_address(observation: ClusterObservation) -> dict[str, str]:
    """By address the node that uses it in BGP: its VTEPs, its router id, and what its peers call it."""
    answered = observation.answered()
    found: dict[str, str] = {}
    for node in answered.values():
        for peer in node.peers or ():
            if peer.hostname in observation.nodes:
                found[same_form(peer.address)] = str(peer.hostname)
    for name, node in answered.items():
        for address in node.own_addresses:
            found[same_form(address)] = name
    return found


class MacTable:
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


def known_macs(observation: ClusterObservation) -> MacTable:
    table, by_rd = MacTable(), vnis_by_rd(observation)
    for node in observation.answered().values():
        table.add(node, by_rd)
    return table
