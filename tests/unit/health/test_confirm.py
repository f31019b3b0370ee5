"""Commit confirmed: what counts as worse after an apply, and what never does."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from datetime import timedelta

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pve_evpn.domain.health.confirm import PATIENCE, Aspect, Comparison, compare, lasting
from pve_evpn.domain.health.expected import ExpectedNic, ExpectedOverlay, Nic
from pve_evpn.domain.health.network_record import NetworkRecord, record_network
from pve_evpn.domain.objects import ObjectKey
from pve_evpn.domain.observation import ClusterObservation, NodeResult, ObservationFailure
from pve_evpn.domain.sdn import Canonical, SdnKind, SdnObject, SdnRef
from pve_evpn.domain.state import NodeState
from tests.unit.health.overlay import L3_VNI, START, VM1, VNI, Overlay

Objects = Mapping[SdnRef, SdnObject]
CONTROLLER, ZONE, VNET = (
    SdnRef(SdnKind.CONTROLLER, "evpn1"),
    SdnRef(SdnKind.ZONE, "EZone1"),
    SdnRef(SdnKind.VNET, "EVPN1"),
)
LONG = max(PATIENCE.values()) + timedelta(seconds=1)
NAMES = ("pve1", "pve2", "pve3", "pve4")


def sdn(overlay: Overlay) -> dict[SdnRef, SdnObject]:
    """What Proxmox has behind an overlay."""
    peers = tuple(sorted(map(overlay.address, overlay.names)))
    props: dict[SdnRef, tuple[str, dict[str, Canonical]]] = {
        CONTROLLER: ("evpn", {"asn": "65001", "peers": peers}),
        ZONE: ("evpn", {"controller": "evpn1", "vrf-vxlan": str(L3_VNI)}),
        VNET: ("vnet", {"zone": "EZone1", "tag": str(VNI)}),
    }
    return {ref: SdnObject(ref, type_, values) for ref, (type_, values) in props.items()}


def with_props(objects: Objects, ref: SdnRef, **props: Canonical) -> Objects:
    obj = objects[ref]
    changed = {key.replace("_", "-"): value for key, value in props.items()}
    return {**objects, ref: replace(obj, props={**obj.props, **changed})}


class Change:
    """An overlay with one guest, and an apply to it."""

    def __init__(self) -> None:
        self.overlay = Overlay(4)
        self.overlay.speak(VM1, "pve4", "10.60.0.100")
        self.running = sdn(self.overlay)
        self.nodes = {name: NodeState(name, True, self.overlay.address(name)) for name in self.overlay.names}
        nic = ExpectedNic(ObjectKey("NicAttachment", "default", "vm1-net0"), Nic(VM1, VNI, "pve4"), "EVPN1")
        self.expected = ExpectedOverlay(members=self.nodes, nics=(nic,))

    def record(self, published: Objects | None = None) -> NetworkRecord:
        """Taken now, durable as the journal has it."""
        record = record_network(
            self.overlay.seen(), self.expected, self.running, self.running if published is None else published
        )
        return NetworkRecord.load(record.dump())

    def compare(self, record: NetworkRecord, after: timedelta = LONG) -> Comparison:
        self.overlay.now = START + after
        return compare(record, self.overlay.seen(), self.nodes, START)


@pytest.fixture
def change() -> Change:
    return Change()


def messages(comparison: Comparison) -> list[str]:
    return [worsening.message for worsening in comparison.worse]


# --- what is worse -----------------------------------------------------------------------------------------------


def test_nothing_has_changed(change: Change) -> None:
    record = change.record()
    assert not record.empty
    assert change.compare(record).complete


def test_a_session_that_does_not_come_back(change: Change) -> None:
    record = change.record()
    change.overlay.down = {frozenset(("pve1", "pve3"))}
    found = change.compare(record)
    assert "pve1 has lost its session with pve3 (BFD down received)" in messages(found)
    assert len([w for w in found.worse if w.aspect is Aspect.SESSION]) == 1


def test_an_interruption_within_its_patience_is_none_yet(change: Change) -> None:
    record = change.record()
    change.overlay.down = {frozenset(("pve1", "pve3"))}
    for aspect, patience in PATIENCE.items():
        early = change.compare(record, patience - timedelta(seconds=1))
        late = change.compare(record, patience)
        assert not [w for w in early.worse if w.aspect is aspect]
        assert not [w for w in late.interrupted if w.aspect is aspect]
    assert change.compare(record, timedelta(seconds=10)).interrupted


def test_bgpd_that_does_not_start_is_one_worsening_and_not_one_per_session(change: Change) -> None:
    record = change.record()
    change.overlay.stopped = {"pve2"}
    sessions = [w.message for w in change.compare(record).worse if w.aspect is Aspect.SESSION]
    assert sessions == ["BGP EVPN is not running on pve2 any more"]


def test_a_peer_list_that_lacks_a_node_is_no_intended_change(change: Change) -> None:
    peers = tuple(change.overlay.address(name) for name in NAMES[:3])
    record = change.record(with_props(change.running, CONTROLLER, peers=peers))
    change.overlay.strangers = {"pve4"}
    found = change.compare(record)
    assert {w.what for w in found.worse if w.aspect is Aspect.SESSION} == {f"{name} pve4" for name in NAMES[:3]}


def test_a_route_map_that_drops_everything(change: Change) -> None:
    """All sessions stand; VTEPs and routes are gone."""
    record = change.record()
    change.overlay.flood_gaps = {(one, other) for one in NAMES for other in NAMES if one != other}
    change.overlay.now = START + LONG
    seen = change.overlay.seen()
    nodes = {name: replace(node, routes=tuple(r for r in node.routes or () if r.own)) for name, node in
             seen.answered().items()}  # fmt: skip
    found = compare(record, replace(seen, nodes=nodes), change.nodes, START)
    assert {w.aspect for w in found.worse} == {Aspect.FLOODING, Aspect.MAC}
    (mac,) = [w.message for w in found.worse if w.aspect is Aspect.MAC]
    assert mac == (
        "pve1, pve2 and pve3 have no route any more to bc:24:11:11:11:11 (NicAttachment default/vm1-net0), which pve4 "
        "advertises"
    )


def test_a_vni_that_a_node_has_lost(change: Change) -> None:
    record = change.record()
    change.overlay.without = {("pve3", VNI)}
    found = change.compare(record)
    assert messages(found)[-1] == "pve3 no longer has VNI 5001 (VNet EVPN1)"
    assert {w.aspect for w in found.worse} == {Aspect.VNI}


def test_a_vnet_with_another_vni_is_still_compared(change: Change) -> None:
    """By what it is, not by its number."""
    record = change.record(with_props(change.running, VNET, tag="5002"))
    change.overlay.l2 = [5002]
    change.overlay.speakers[VM1].vni = 5002
    assert change.compare(record).complete
    change.overlay.flood_gaps = {("pve1", "pve2")}
    assert messages(change.compare(record)) == ["pve2 is no longer in the flood list of pve1 for VNI 5002 (VNet EVPN1)"]


def test_what_is_worse_in_one_poll_only_does_not_last(change: Change) -> None:
    record = change.record()
    change.overlay.down = {frozenset(("pve1", "pve3"))}
    first = change.compare(record)
    assert lasting(first, first) == first.worse
    change.overlay.down = {frozenset(("pve2", "pve3"))}
    second = change.compare(record)
    assert not any(w.aspect is Aspect.SESSION for w in lasting(first, second))


# --- what is not -------------------------------------------------------------------------------------------------


def test_what_was_bad_before_is_no_worsening(change: Change) -> None:
    change.overlay.down = {frozenset(("pve1", "pve3"))}
    change.overlay.without = {("pve2", L3_VNI)}
    assert change.compare(change.record()).complete


def test_a_zone_that_is_deleted(change: Change) -> None:
    published = {ref: obj for ref, obj in change.running.items() if ref not in (ZONE, VNET)}
    record = change.record(published)
    assert record.vnis == record.macs == ()
    change.overlay.without = {(name, vni) for name in NAMES for vni in (VNI, L3_VNI)}
    change.overlay.speakers.clear()
    assert change.compare(record).complete


def test_a_zone_that_leaves_a_node(change: Change) -> None:
    record = change.record(with_props(change.running, ZONE, nodes=("pve1", "pve2", "pve3")))
    change.overlay.without = {("pve4", VNI), ("pve4", L3_VNI)}
    change.overlay.flood_gaps = {(name, "pve4") for name in NAMES[:3]}
    assert change.compare(record).complete
    change.overlay.flood_gaps |= {("pve1", "pve2")}
    assert change.compare(record).worse


def test_a_controller_that_is_deleted(change: Change) -> None:
    record = change.record({})
    change.overlay.stopped = set(NAMES)
    assert change.compare(record).complete


def test_a_controller_that_leaves_a_node(change: Change) -> None:
    record = change.record(with_props(change.running, CONTROLLER, nodes=("pve1", "pve2", "pve3")))
    change.overlay.down = {frozenset((name, "pve4")) for name in NAMES[:3]}
    change.overlay.flood_gaps = set()
    sessions = [w for w in change.compare(record).worse if w.aspect is Aspect.SESSION]
    assert sessions == []


def test_a_node_that_leaves_the_peers_and_all_zones(change: Change) -> None:
    """Before 9.2, where a controller cannot name its nodes, this is how a node is taken out of an overlay."""
    three = NAMES[:3]
    fewer = with_props(change.running, CONTROLLER, peers=tuple(map(change.overlay.address, three)))
    record = change.record(with_props(fewer, ZONE, nodes=three))
    change.overlay.strangers = {"pve4"}
    change.overlay.without = {("pve4", VNI), ("pve4", L3_VNI)}
    change.overlay.speakers.clear()
    assert change.compare(record).complete
    change.overlay.down = {frozenset(("pve1", "pve2"))}
    assert {w.what for w in change.compare(record).worse if w.aspect is Aspect.SESSION} == {"pve1 pve2"}


@pytest.mark.parametrize(("zone_nodes", "lost"), [(NAMES[:3], set()), (NAMES, {f"{name} pve4" for name in NAMES[:3]})])
def test_a_node_that_leaves_the_fabric(change: Change, zone_nodes: tuple[str, ...], lost: set[str]) -> None:
    """On purpose, if no zone needs it there any more."""
    change.running = {
        **change.running,
        CONTROLLER: SdnObject(CONTROLLER, "evpn", {"asn": "65001", "fabric": "Fabric1"}),
        **{obj.ref: obj for obj in map(fabric_node, NAMES)},
    }
    three = {ref: obj for ref, obj in change.running.items() if ref != fabric_node("pve4").ref}
    record = change.record(with_props(three, ZONE, nodes=zone_nodes))
    change.overlay.strangers = {"pve4"}
    assert {w.what for w in change.compare(record).worse if w.aspect is Aspect.SESSION} == lost


def fabric_node(name: str) -> SdnObject:
    return SdnObject(SdnRef(SdnKind.FABRIC_NODE, f"Fabric1/{name}"), "ospf", {}, "Fabric1")


def test_a_node_that_leaves_all_zones_and_stays_among_the_peers_keeps_its_sessions(change: Change) -> None:
    record = change.record(with_props(change.running, ZONE, nodes=NAMES[:3]))
    change.overlay.down = {frozenset(("pve1", "pve4"))}
    assert {w.what for w in change.compare(record).worse if w.aspect is Aspect.SESSION} == {"pve1 pve4"}


def test_a_reflector_that_is_taken_off_the_list(change: Change) -> None:
    """A peer that is no node of the cluster is given up where it is no longer listed, and only there."""
    one, other = "10.0.0.1", "10.0.0.2"
    change.running = dict(with_props(change.running, CONTROLLER, peers=(one, other)))
    seen = change.overlay.seen()
    nodes: dict[str, NodeResult] = {}
    for name, node in seen.answered().items():
        (peer, *_) = node.peers or ()
        sessions = tuple(replace(peer, address=address, hostname=None) for address in (one, other))
        nodes[name] = replace(node, peers=sessions)
    observation = ClusterObservation(seen.at, nodes)
    published = with_props(change.running, CONTROLLER, peers=(other,))
    record = record_network(observation, change.expected, change.running, published)
    assert record.sessions.members == (other,)


def test_a_guest_that_moves(change: Change) -> None:
    record = change.record()
    change.overlay.speak(VM1, "pve2", mobility=1)
    assert change.compare(record).complete


def test_a_guest_that_falls_silent_is_stopped_or_taken_off_the_vnet(change: Change) -> None:
    record = change.record()
    change.overlay.speakers.clear()
    assert change.compare(record).complete


def test_a_node_that_is_switched_off(change: Change) -> None:
    record = change.record()
    change.nodes["pve4"] = replace(change.nodes["pve4"], online=False)
    change.overlay.fail("pve4")
    change.overlay.down = {frozenset((name, "pve4")) for name in NAMES[:3]}
    assert change.compare(record).complete


def test_a_node_that_cannot_be_read_is_unknown(change: Change) -> None:
    record = change.record()
    change.overlay.fail("pve4")
    found = change.compare(record)
    assert found.worse == found.interrupted == ()
    assert found.unread == ("pve4",)


def test_an_answer_from_before_the_end_of_the_apply_does_not_count(change: Change) -> None:
    record = change.record()
    change.overlay.down = {frozenset(("pve1", "pve3"))}
    seen = change.overlay.seen()
    late = replace(seen, at=START + LONG)
    assert compare(record, late, change.nodes, START).unread == NAMES


def test_new_vnets_and_nodes_are_no_worsening(change: Change) -> None:
    record = change.record()
    change.overlay.l2.append(6000)
    change.overlay.size = 5
    assert change.compare(record).complete


def test_nodes_that_get_other_addresses_are_known_by_their_names(change: Change) -> None:
    record = change.record()

    class Moved(Overlay):
        def address(self, name: str) -> str:
            return f"10.1.1.{name.removeprefix('pve')}"

    moved = Moved(4, now=START + LONG)
    moved.speak(VM1, "pve4")
    assert compare(record, moved.seen(), change.nodes, START).complete


# --- the record ---------------------------------------------------------------------------------------------------


def test_a_record_of_a_large_network_is_small(change: Change) -> None:
    change.overlay = Overlay(64, l2=list(range(5001, 5101)))
    change.running = {
        **sdn(change.overlay),
        **{
            SdnRef(SdnKind.VNET, f"v{vni}"): SdnObject(
                SdnRef(SdnKind.VNET, f"v{vni}"), "vnet", {"zone": "EZone1", "tag": str(vni)}
            )
            for vni in range(5002, 5101)
        },
    }
    members = {name: NodeState(name, True) for name in change.overlay.names}
    record = record_network(change.overlay.seen(), ExpectedOverlay(members=members), change.running, change.running)
    assert len(record.vnis) == 101
    assert len(record.dump()) < 200_000
    assert NetworkRecord.load(record.dump()) == record


@pytest.mark.parametrize("largest", [300, 700, 1000, 2000])
def test_what_does_not_fit_is_dropped_and_counted(change: Change, largest: int) -> None:
    record = change.record()
    text = record.dump(largest)
    assert len(text) <= largest
    small = NetworkRecord.load(text)
    assert small == record or small.dropped > 0
    assert change.compare(small).complete


# --- properties ---------------------------------------------------------------------------------------------------

_PAIRS = st.sampled_from([frozenset((one, other)) for one in NAMES for other in NAMES if one < other])


@st.composite
def _networks(draw: st.DrawFn) -> Change:
    """Any network, with whatever is wrong in it already."""
    change = Change()
    overlay = change.overlay
    overlay.down = draw(st.sets(_PAIRS, max_size=3))
    overlay.stopped = draw(st.sets(st.sampled_from(NAMES), max_size=1))
    overlay.without = {(name, draw(st.sampled_from([VNI, L3_VNI]))) for name in draw(st.sets(st.sampled_from(NAMES)))}
    overlay.flood_gaps = {tuple(pair) for pair in draw(st.sets(_PAIRS, max_size=2))}  # type: ignore[misc]
    if draw(st.booleans()):
        overlay.speakers.clear()
    return change


@settings(max_examples=150, deadline=None)
@given(_networks(), st.data())
def test_harmless_events_are_never_a_worsening(change: Change, data: st.DataObject) -> None:
    """Guests move and fall silent, nodes go off or cannot be read, objects are added: nothing to take back."""
    record = change.record()
    for _ in range(data.draw(st.integers(0, 4))):
        name = data.draw(st.sampled_from(NAMES))
        match data.draw(st.sampled_from(["move", "silent", "off", "unread", "vnet", "mend"])):
            case "move":
                change.overlay.speak(VM1, name, mobility=1)
            case "silent":
                change.overlay.speakers.clear()
            case "off":
                change.nodes[name] = replace(change.nodes[name], online=False)
                change.overlay.failed[name] = ObservationFailure(name, START, "Unreachable", "no route", "ssh")
                change.overlay.down |= {frozenset((name, other)) for other in NAMES if other != name}
            case "unread":
                change.overlay.fail(name)
            case "vnet":
                change.overlay.l2.append(6000)
            case "mend":
                change.overlay.down.clear()
                change.overlay.stopped.clear()
    found = change.compare(record, data.draw(st.sampled_from([timedelta(seconds=1), LONG])))
    assert found.worse == found.interrupted == ()


@settings(max_examples=150, deadline=None)
@given(_networks(), _PAIRS)
def test_a_lost_session_is_always_a_worsening(change: Change, pair: frozenset[str]) -> None:
    worked = change.overlay.connected(*sorted(pair))
    record = change.record()
    change.overlay.down = {*change.overlay.down, pair}
    sessions = {w.what for w in change.compare(record).worse if w.aspect is Aspect.SESSION}
    assert sessions == ({" ".join(sorted(pair))} if worked else set())
