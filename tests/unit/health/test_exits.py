"""What an EvpnZone says of its exit nodes: what it shows, what loses packets, and what is unknown."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import pytest

from pve_evpn.api.zone import Exit, ExitNode
from pve_evpn.domain.health.expected import ExpectedExit, ExpectedRouter
from pve_evpn.domain.health.overlay import networks_to_advertise
from pve_evpn.domain.objects import ObjectKey
from pve_evpn.domain.observation import (
    ClusterObservation,
    DefaultRoute,
    EvpnRoute,
    IpVrfRoute,
    NodeObservation,
    PeerState,
)
from tests.unit.health.overlay import L3_VNI, START
from tests.unit.health.test_health import ZONE, Bench, resource

WEB, DB = "10.50.1.0/24", "10.50.2.0/24"
ROUTERS = {"pve1": "192.0.2.1", "pve2": "192.0.2.5"}
LEAVES = ExpectedExit(("pve1", "pve2"), "pve1", routed=(WEB,))


class Exits(Bench):
    """pve1 and pve2 leave to routers outside; all in order when made. A test changes what a node shows."""

    def __init__(self, leaves: ExpectedExit | None = LEAVES) -> None:
        super().__init__()
        self.shown: dict[str, NodeObservation] = {}
        self.vrf = "vrf_EZone1"
        by_evpn = DefaultRoute("bgp", ("192.168.16.1",))
        for name, node in self.overlay.seen().answered().items():
            vnis = tuple(replace(row, tenant_vrf=self.vrf) for row in node.vnis or ())
            defaults = {} if name == "pve1" else {self.vrf: by_evpn}
            extra: dict[str, Any] = {}
            if name in ROUTERS:
                router = ROUTERS[name]
                defaults |= {"default": DefaultRoute("bgp", (router,))}
                extra = {
                    "unicast_peers": (PeerState(router, "Established"),),
                    "advertised": {WEB: (router,), DB: (router,)},
                    "rp_filter": {"all": 0, "default": 2, "vrfbr_EZone1": 0},
                    "translated": (),
                }
            self.shown[name] = replace(node, vnis=vnis, default_routes=defaults, **extra)
        self.leave(leaves)

    def leave(self, leaves: ExpectedExit | None, **routers: str) -> None:
        """How the zone leaves; `routers`: by exit node the route map of its BgpController."""
        (zone,) = self.expected.zones
        self.expected = replace(
            self.expected,
            zones=(replace(zone, exit=leaves, exit_known=True),),
            routers=tuple(
                ExpectedRouter(ObjectKey("BgpController", "", f"edge-{name}"), name, (address,), routers.get(name, ""))
                for name, address in ROUTERS.items()
            ),
        )

        self.objects |= {router.key: resource(router.key) for router in self.expected.routers}

    def change(self, name: str, **changes: Any) -> None:
        self.shown[name] = replace(self.shown[name], **changes)

    def defaults(self, name: str, changes: Mapping[str, DefaultRoute | None]) -> None:
        before = self.shown[name].default_routes or {}
        self.change(name, default_routes={vrf: route for vrf, route in {**before, **changes}.items() if route})

    def offline(self, name: str) -> None:
        members = {**self.expected.members, name: replace(self.expected.members[name], online=False)}
        self.expected = replace(self.expected, members=members)

    def exit(self) -> Exit:
        status = self.poll(ClusterObservation(START, self.shown))[ZONE].status
        found = getattr(status, "exit", None)
        assert isinstance(found, Exit)
        return found

    def row(self, name: str) -> ExitNode:
        return next(row for row in self.exit().nodes or () if row.name == name)


def test_all_in_order() -> None:
    exits = Exits()
    exits.leave(replace(LEAVES, routed=(WEB, DB)), pve2="less-preferred")
    found = exits.exit()
    assert (found.summary, found.problems, found.risks, found.without_default_route) == ("2/2", None, None, [])
    one, two = found.nodes or ()
    assert (one.role, one.usable, one.rp_filter) == ("Primary", True, "Off")
    assert one.default_route is not None
    assert (one.default_route.protocol, one.default_route.next_hops) == ("bgp", ["192.0.2.1"])
    assert one.vrf_default_route is not None
    assert one.vrf_default_route.state == "Absent"
    assert [(peer.address, peer.advertised, peer.missing) for peer in one.peers or ()] == [("192.0.2.1", 2, None)]
    assert (two.role, two.usable) == ("Standby", True)
    assert two.vrf_default_route is not None
    assert (two.vrf_default_route.state, two.vrf_default_route.next_hops) == ("Present", ["192.168.16.1"])


def test_a_zone_without_exit_nodes_says_nothing() -> None:
    exits = Exits(None)
    status = exits.poll(ClusterObservation(START, exits.shown))[ZONE].status
    assert getattr(status, "exit", "unset") is None


def test_what_is_not_known_of_the_configuration_stays_as_it_was() -> None:
    """Before Proxmox has answered once after a start."""
    exits = Exits()
    (zone,) = exits.expected.zones
    exits.expected = replace(exits.expected, zones=(replace(zone, exit=None, exit_known=False),))
    status = exits.poll(ClusterObservation(START, exits.shown))[ZONE].status
    assert "exit" not in status.model_fields_set


@pytest.mark.parametrize("source", ["api", "frrExporter"])
def test_what_no_source_shows_is_absent_and_no_problem(source: Any) -> None:
    exits = Exits()
    exits.shown = {name: NodeObservation(name, source, START) for name in exits.shown}
    found = exits.exit()
    assert (found.summary, found.problems, found.risks, found.without_default_route) == (None, None, None, None)
    for row in found.nodes or ():
        assert row.model_dump(exclude_none=True).keys() == {"name", "role"}


def test_an_older_helper_shows_none_of_it() -> None:
    exits = Exits()
    for name in exits.shown:
        exits.change(name, default_routes=None, advertised=None, rp_filter=None, translated=None)
    found = exits.exit()
    assert (found.summary, found.problems, found.without_default_route) == (None, None, None)


def test_a_vrf_that_does_not_exist_has_no_route_that_could_be_missing() -> None:
    """As in a kernel without VRF devices, where the L3 VNI is in the default VRF."""
    exits = Exits()
    for name, node in exits.shown.items():
        vnis = tuple(replace(row, tenant_vrf="default") for row in node.vnis or ())
        exits.change(name, vnis=vnis)
        exits.defaults(name, {exits.vrf: None})
    found = exits.exit()
    assert (found.summary, found.without_default_route, found.problems) == ("2/2", None, None)


def test_the_api_shows_the_vrf() -> None:
    exits = Exits()
    connected = IpVrfRoute("EZone1", WEB, "connected", ("web",), START)
    default = IpVrfRoute("EZone1", "0.0.0.0/0", "bgp", ("192.168.16.1",), START)
    for name in exits.shown:
        rows = (connected,) if name == "pve1" else (connected, default)
        exits.shown[name] = NodeObservation(name, "api", START, ip_vrf=rows)
    found = exits.exit()
    assert [row.vrf_default_route and row.vrf_default_route.state for row in found.nodes or ()] == ["Absent", "Present"]
    assert (found.summary, found.without_default_route) == ("1/2, 1 unknown", [])
    exits.change("pve4", ip_vrf=(connected,))
    exits.change("pve1", ip_vrf=(connected, replace(default, protocol="kernel", next_hops=())))
    found = exits.exit()
    assert found.without_default_route == ["pve4"]
    assert [row.usable for row in found.nodes or ()] == [False, True]


def test_an_exit_node_without_a_default_route_of_its_own() -> None:
    exits = Exits()
    exits.defaults("pve1", {"default": None})
    found = exits.exit()
    assert found.summary == "1/2"
    assert found.problems == ["pve1 has no default route of its own, so packets that leave by it are dropped"]


def test_a_standby_without_a_default_route_is_a_risk() -> None:
    exits = Exits()
    exits.defaults("pve2", {"default": None})
    found = exits.exit()
    assert (found.summary, found.problems) == ("2/2", None)
    assert "pve2 has no default route of its own, so it cannot take over from pve1" in (found.risks or ())


def test_exit_nodes_that_send_packets_round() -> None:
    """Seen on FRR 8.4, whose prefix lists match no EVPN route: the primary takes the other's default route."""
    exits = Exits()
    to_the_other = DefaultRoute("bgp", ("192.168.16.2",))
    exits.defaults("pve1", {"default": to_the_other, exits.vrf: to_the_other})
    found = exits.exit()
    assert (found.nodes or ())[0].usable is False
    assert "its own default route leads to pve2 through vrf_EZone1" in (found.problems or [""])[0]


def test_a_standby_may_leave_by_the_primary_itself() -> None:
    """Its table imports the VRF's routes, and the imported default has the shorter AS path."""
    exits = Exits()
    exits.defaults("pve2", {"default": DefaultRoute("bgp", ("192.168.16.1",))})
    assert (exits.exit().summary, exits.exit().problems) == ("2/2", None)


def test_the_unreachable_route_that_a_former_exit_node_kept() -> None:
    """Its metric, 4278198272, makes it the last; on an exit node nothing else is there."""
    exits = Exits()
    exits.defaults("pve1", {exits.vrf: DefaultRoute("kernel", unreachable=True)})
    found = exits.exit()
    assert (found.nodes or ())[0].usable is False
    assert "the default route of vrf_EZone1 is unreachable" in (found.problems or [""])[0]


def test_nodes_that_have_no_default_route_in_the_vrf() -> None:
    exits = Exits()
    exits.defaults("pve3", {exits.vrf: None})
    exits.defaults("pve4", {exits.vrf: DefaultRoute("kernel", unreachable=True)})
    found = exits.exit()
    assert found.without_default_route == ["pve3", "pve4"]
    assert found.problems == ["pve3 and pve4: no default route in vrf_EZone1, so packets to the outside end there"]


@pytest.mark.parametrize(
    ("settings", "shown", "bad"),
    [
        ({"all": 1, "vrfbr_EZone1": 0}, "Strict", True),
        ({"all": 0, "vrfbr_EZone1": 1}, "Strict", True),
        ({"all": 1, "vrfbr_EZone1": 2}, "Loose", False),
        ({"all": 0, "vrfbr_EZone1": 0}, "Off", False),
        ({"all": 1}, None, False),
    ],
)
def test_the_larger_rp_filter_counts(settings: Mapping[str, int], shown: str | None, bad: bool) -> None:
    exits = Exits()
    exits.change("pve2", rp_filter=settings)
    found = exits.exit()
    assert (found.nodes or ())[1].rp_filter == shown
    assert any("pve2: rp_filter of vrfbr_EZone1 is 1" in text for text in found.problems or ()) is bad


def test_strict_rp_filter_is_right_on_a_sole_exit_node() -> None:
    exits = Exits(ExpectedExit(("pve1",), routed=(WEB,)))
    exits.change("pve1", rp_filter={"all": 1, "vrfbr_EZone1": 1})
    assert exits.exit().problems is None
    assert exits.row("pve1").role == "Only"


def test_subnets_that_the_outside_does_not_hear_of() -> None:
    exits = Exits()
    exits.leave(replace(LEAVES, routed=(WEB, DB)))
    exits.change("pve1", advertised={WEB: ("192.0.2.1",), DB: ()})
    exits.change("pve2", advertised={WEB: (), DB: ()})
    found = exits.exit()
    one, two = ((row.peers or [])[0] for row in found.nodes or ())
    assert (one.advertised, one.missing, one.missing_count) == (1, [DB], 1)
    assert (two.advertised, two.missing_count) == (0, 2)
    assert found.problems == [f"{DB}: advertised to no router outside, so answers need another route there or snat"]
    assert found.risks == [f"pve2 advertises {WEB} to no router outside, so answers come back by other exit nodes only"]


def test_local_routing_keeps_the_subnets_out_of_bgp() -> None:
    exits = Exits(replace(LEAVES, local_routing=True))
    for name in ROUTERS:
        exits.change(name, advertised={WEB: ()})
    assert "with localRouting Proxmox keeps" in (exits.exit().problems or [""])[0]


def test_many_missing_subnets_are_counted() -> None:
    many = tuple(f"10.50.{number}.0/24" for number in range(20))
    exits = Exits(replace(LEAVES, routed=many))
    for name in ROUTERS:
        exits.change(name, advertised=dict.fromkeys(many, ()))
    peer = (exits.row("pve1").peers or [])[0]
    assert (len(peer.missing or ()), peer.missing_count) == (8, 20)
    assert "; and 17 more: advertised to no router outside" in (exits.exit().problems or [""])[0]


def test_a_node_that_proxmox_gave_no_translation() -> None:
    exits = Exits(replace(LEAVES, translated=(DB,)))
    exits.change("pve1", translated=(DB,))
    found = exits.exit()
    assert [row.untranslated for row in found.nodes or ()] == [None, [DB]]
    assert f"pve2 does not translate source addresses of {DB}" in (found.problems or [""])[0]


def test_two_exit_nodes_without_a_primary() -> None:
    exits = Exits(replace(LEAVES, primary=""))
    exits.defaults("pve2", {exits.vrf: None})
    found = exits.exit()
    assert [row.role for row in found.nodes or ()] == ["Shared", "Shared"]
    assert (found.summary, found.problems) == ("2/2", None)
    assert "without a primary" in (found.risks or [""])[0]
    exits.leave(replace(LEAVES, primary="", routed=(), translated=(WEB,)))
    for name in ROUTERS:
        exits.change(name, translated=(WEB,))
    assert exits.exit().risks is None  # answers come to the node that translated


@pytest.mark.parametrize(("map_out", "risky"), [("", True), ("same", True), ("less-preferred", False)])
def test_a_router_outside_that_has_no_reason_to_prefer_the_primary(map_out: str, risky: bool) -> None:
    exits = Exits()
    exits.leave(LEAVES, pve1="same", pve2=map_out)
    risks = exits.exit().risks or []
    assert any("answers may come back by pve2" in risk for risk in risks) is risky


def test_a_primary_that_is_offline() -> None:
    exits = Exits()
    exits.offline("pve1")
    found = exits.exit()
    assert (found.summary, found.problems) == ("1/2", None)
    assert "pve1 is offline; the zone leaves by pve2" in (found.risks or ())
    exits.offline("pve2")
    assert "pve1 is offline, and no other exit node is online" in (exits.exit().problems or ())


def test_who_originates_the_default_route() -> None:
    exits = Exits()
    assert [row.originates for row in exits.exit().nodes or ()] == [False, False]
    for name in ("pve3", "pve4"):
        routes = exits.shown[name].routes or ()
        default = EvpnRoute(5, "[5]:[0]:[0]:[0.0.0.0]", "192.168.16.1:9", L3_VNI, L3_VNI, ip="0.0.0.0")
        default = default._replace(prefix_length=0, next_hop="192.168.16.1", best=True, valid=True)
        exits.change(name, routes=(*routes, default))
    assert [row.originates for row in exits.exit().nodes or ()] == [True, False]


def test_only_what_the_outside_needs_a_route_to_is_asked_for() -> None:
    exits = Exits(replace(LEAVES, routed=(WEB,), translated=(DB,)))
    assert networks_to_advertise(exits.expected) == {"pve1": (WEB,), "pve2": (WEB,)}
