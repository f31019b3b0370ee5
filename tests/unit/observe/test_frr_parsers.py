"""What the parsers make of what FRR 8.4 and 10.3 really print, trap by trap."""

from __future__ import annotations

import gzip
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from pve_evpn.domain.observation import BgpVniRow, DefaultRoute, EvpnRoute, MacRow, VniRow
from pve_evpn.observe.frr import COMMANDS, FrrParseError, advertised, bgpd, observation, split, underlay, zebra
from pve_evpn.observe.frr.output import DEFAULTS, UNICAST
from pve_evpn.observe.frr.output import ISIS as ISIS_DOCUMENT
from tests.unit.observe.recorded import (
    AT,
    DOWN,
    FORMER,
    ISIS,
    L3_VNI,
    MOVED,
    NO_GUEST,
    OPENFABRIC,
    SILENT,
    SPEAKS,
    VERSIONS,
    VM1,
    answer,
    seen,
)

RECORDINGS = Path(__file__).parents[4] / "shared" / "frr" / "recordings"

both = pytest.mark.parametrize("version", VERSIONS)


@both
def test_sessions_of_a_healthy_node(version: str) -> None:
    look = seen(version, NO_GUEST, "pve1")
    assert (look.frr_version, look.router_id, look.asn, look.bgp_running) == (version, "192.168.16.1", 65001, True)
    assert look.peers is not None
    assert [(p.address, p.hostname, p.state) for p in look.peers] == [
        (f"192.168.16.{i}", f"pve{i}", "Established") for i in (2, 3, 4)
    ]
    assert all(p.established and p.since and p.remote_as == 65001 and p.last_error is None for p in look.peers)
    assert look.problems == ()


@both
def test_dead_peers_say_why_and_since_when(version: str) -> None:
    look = seen(version, DOWN, "pve1")
    assert look.peers is not None
    killed, fine, shut = look.peers
    assert not killed.established
    assert killed.last_error in ("BFD down received", "Peer closed the session")
    assert killed.since is not None
    assert fine.established
    assert (shut.state, shut.admin_down, shut.last_error) == ("Idle (Admin)", True, "Admin. shutdown")


@both
def test_a_node_without_bgpd_proves_nothing_about_macs(version: str) -> None:
    look = seen(version, DOWN, "pve2")
    assert look.bgp_running is False
    assert look.peers == ()
    assert (look.vnis, look.macs, look.routes) == (None, None, None)
    assert look.problems == ("bgpd is not running",)
    assert look.frr_version == version


@both
def test_an_l2_vni_without_guests(version: str) -> None:
    look = seen(version, NO_GUEST, "pve1")
    vteps = ("192.168.16.2", "192.168.16.3", "192.168.16.4")
    assert look.vnis == (VniRow(5001, "L2", "vxlan_EVPN1", 0, 0, vteps, 3, "default"),)
    assert look.macs == ()
    assert look.vteps == {"192.168.16.1"}


@both
def test_an_l3_vni_has_no_flood_list(version: str) -> None:
    look = seen(version, L3_VNI, "pve1")
    assert look.vnis is not None
    assert look.bgp_vnis is not None
    row = next(row for row in look.vnis if row.type == "L3")
    assert (row.vni, row.macs, row.arp_nd, row.remote_vteps, row.remote_vtep_count) == (9000, 3, 3, None, None)
    assert next(row.router_mac for row in look.bgp_vnis if row.vni == 9000)


@both
def test_a_guest_that_speaks(version: str) -> None:
    owner, onlooker = seen(version, SPEAKS, "pve4"), seen(version, SPEAKS, "pve1")
    assert owner.macs == (MacRow(5001, VM1, "local", interface="tap100i0"),)
    assert onlooker.macs == (MacRow(5001, VM1, "remote", remote_vtep="192.168.16.4"),)
    for look, own in ((owner, True), (onlooker, False)):
        routes = _routes(look.routes, 2)
        assert [(r.mac, r.ip, r.vni, r.next_hop, r.own, r.mobility) for r in routes] == [
            (VM1, None, 5001, "192.168.16.4", own, 0),
            (VM1, "10.60.0.100", 5001, "192.168.16.4", own, 0),
        ]


@both
def test_a_guest_that_fell_silent_has_no_mac_and_no_route(version: str) -> None:
    look = seen(version, SILENT, "pve4")
    assert look.macs == ()
    assert _routes(look.routes, 2) == []


@both
def test_a_move_counts_in_the_mobility_sequence(version: str) -> None:
    routes = _routes(seen(version, MOVED, "pve1").routes, 2)
    assert max((r.mobility, r.next_hop) for r in routes) == (1, "192.168.16.3")


@both
def test_routes_of_a_routed_vnet_name_both_vnis(version: str) -> None:
    look = seen(version, DOWN if version == "10.3" else L3_VNI, "pve4" if version == "10.3" else "pve1")
    mac_ip = [r for r in _routes(look.routes, 2) if r.ip]
    assert mac_ip
    assert {(r.vni, r.l3_vni) for r in mac_ip} == {(5001, 9000)}
    assert all(r.router_mac for r in mac_ip)
    prefixes = _routes(look.routes, 5)
    assert prefixes
    assert all(r.vni == 9000 and r.prefix_length == 24 for r in prefixes)


@both
def test_the_underlay(version: str) -> None:
    look = seen(version, SILENT, "pve1")
    assert look.bfd_peers is not None
    assert {peer.status for peer in look.bfd_peers} == {"up"}
    assert look.fabric_neighbours is not None
    # Two DROthers stay in 2-Way for good.
    assert ("192.168.16.2", "2-Way/DROther", True) in [(n.neighbour, n.state, n.up) for n in look.fabric_neighbours]
    fabric = [n for n in seen(version, OPENFABRIC, "pve4").fabric_neighbours or () if n.protocol == "openfabric"]
    assert [n.state for n in fabric] == ["Up"]


@both
def test_neighbours_of_isis(version: str) -> None:
    """FRR prints one of the two neighbours that pve1 has on eth0, under the level that comes last."""
    node = seen(version, ISIS, "pve1")
    assert node.isis_running is True
    assert node.isis_neighbours is not None
    (neighbour,) = node.isis_neighbours
    assert (neighbour.protocol, neighbour.fabric, neighbour.interface) == ("isis", "dc1", "eth0")
    assert (neighbour.neighbour, neighbour.state, neighbour.up) == ("pve3", "Up", True)
    assert node.problems == ()


@both
def test_a_node_without_isisd_has_no_neighbours_of_isis(version: str) -> None:
    node = seen(version, ISIS, "pve4")
    assert (node.isis_running, node.isis_neighbours) == (False, ())
    assert node.problems == ()


@both
def test_an_older_helper_leaves_isis_unknown(version: str) -> None:
    node = seen(version, SPEAKS, "pve4")
    assert (node.isis_running, node.isis_neighbours) == (None, None)


@pytest.mark.parametrize(
    "printed", ["", "{\n}\n", '{"areas":[]}', '{"areas":[{"area":"dc1","circuits":[{"circuit":3}]}]}']
)
def test_isisd_without_neighbours_has_none(printed: str) -> None:
    """Not configured; configured, and alone on its interface: such a circuit names not even the interface."""
    assert underlay.isis_neighbours(printed) == ()


def test_a_neighbour_has_a_system_id_before_it_has_a_name() -> None:
    circuit = '{"circuit":3,"adj":"1921.6801.6002","interface":"eno2","level":2,"state":"Initializing"}'
    (neighbour,) = underlay.isis_neighbours(f'{{"areas":[{{"area":"dc1","circuits":[{circuit}]}}]}}')
    assert (neighbour.neighbour, neighbour.state, neighbour.up) == ("1921.6801.6002", "Initializing", False)


def test_an_isisd_without_json_spoils_its_own_part_only() -> None:
    version = VERSIONS[0]
    document = answer(version, ISIS, "pve1").split("# show isis neighbor json\n")[1].rpartition("pve-evpn")[0]
    node = observation("pve1", AT, answer(version, ISIS, "pve1").replace(document, "% Unknown command: show isis\n"))
    assert (node.isis_neighbours, node.peers is not None) == (None, True)
    assert node.problems == ("show isis neighbor json: % Unknown command: show isis",)


def _routes(routes: tuple[EvpnRoute, ...] | None, kind: int) -> list[EvpnRoute]:
    return [route for route in routes or () if route.route_type == kind]


# --- traps, one by one -------------------------------------------------------------------------------------------


def test_an_empty_table_of_10_3_is_no_json_and_still_means_empty() -> None:
    assert bgpd.routes('{\n,"numPrefix":0,"numPaths":0}') == ()
    assert bgpd.routes('{"numPrefix":0,"numPaths":0}') == ()


@pytest.mark.parametrize("parse", [zebra.vnis, zebra.macs, bgpd.vnis, bgpd.routes, underlay.bfd_peers])
def test_nothing_printed_means_nothing_there(parse: Callable[[str], object]) -> None:
    assert parse("") == ()
    assert parse("{}") == ()


def test_zebra_without_bgpd_is_not_zebra_without_vnis() -> None:
    assert not zebra.evpn_is_on("")
    assert not zebra.evpn_is_on("{}")
    assert zebra.evpn_is_on('{"numVnis":0}')


def test_a_local_mac_without_port_is_a_zombie() -> None:
    printed = '{"5001":{"numMacs":1,"macs":{"BC:24:11:00:00:01":{"type":"local","localSequence":0}}}}'
    assert [(row.mac, row.zombie) for row in zebra.macs(printed)] == [("bc:24:11:00:00:01", True)]


def test_a_port_behind_the_firewall_is_no_zombie() -> None:
    printed = '{"5001":{"macs":{"bc:24:11:00:00:01":{"type":"local","intf":"fwpr100p0"}}}}'
    assert [(row.interface, row.zombie) for row in zebra.macs(printed)] == [("fwpr100p0", False)]


def test_remote_vteps_of_10_3_in_detail_are_objects_and_their_order_varies() -> None:
    row = '{"5001":{"vni":5001,"type":"L2","numRemoteVteps":2,"remoteVteps":[%s]}}'
    (objects,) = zebra.vnis(row % '{"ip":"192.168.16.4","flood":"HER"},{"ip":"192.168.16.2"}')
    (words,) = zebra.vnis(row % '"192.168.16.4","192.168.16.2"')
    assert objects.remote_vteps == words.remote_vteps == ("192.168.16.2", "192.168.16.4")


def table_with(prefix: str, path: str) -> str:
    """One route, and an RD without any, as 10.3 lists it."""
    routes = f'"rd":"192.168.16.4:2","{prefix}":{{"paths":[[{path}]]}}'
    return f'{{"192.168.16.4:2":{{{routes}}},"192.168.16.9:2":{{}}}}'


def test_a_sticky_mac_counts_its_mobility_too() -> None:
    path = (
        '{"valid":true,"routeType":2,"mac":"bc:24:11:00:00:01","weight":0,"peerId":"192.168.16.4",'
        '"extendedCommunity":{"string":"RT:65001:5001 ET:8 MM:3, sticky MAC"},"nexthops":[{"ip":"192.168.16.4"}]}'
    )
    (route,) = bgpd.routes(table_with("[2]:[0]:[48]:[bc:24:11:00:00:01]", path))
    assert (route.mobility, route.sticky, route.vni, route.own) == (3, True, 5001, False)


def test_a_route_with_two_unknown_targets_is_put_into_no_vni() -> None:
    path = (
        '{"routeType":2,"mac":"bc:24:11:00:00:01","ip":"10.0.0.1","peerId":"192.168.16.4",'
        '"extendedCommunity":{"string":"RT:65001:5001 RT:65001:9000"}}'
    )
    printed = table_with("[2]:[0]:[48]:[bc:24:11:00:00:01]:[32]:[10.0.0.1]", path)
    (route,) = bgpd.routes(printed)
    assert route.vni is None
    (route,) = bgpd.routes(printed, [BgpVniRow(9000, "L3", import_rts=("65001:9000",))])
    assert (route.vni, route.l3_vni) == (5001, 9000)


# --- which VNI a route belongs to ---------------------------------------------------------------------------------


def path_with(targets: str, *, own: bool = False, kind: int = 2) -> str:
    peer = '"weight":32768,"peerId":"(unspec)"' if own else '"weight":0,"peerId":"192.168.16.4"'
    mac = '"mac":"bc:24:11:00:00:01",' if kind == 2 else '"ip":"10.60.0.0","ipLen":24,'
    return f'{{"routeType":{kind},{mac}{peer},"extendedCommunity":{{"string":"{targets} ET:8"}}}}'


def vni_of(targets: str, *rows: BgpVniRow, own: bool = False, kind: int = 2) -> tuple[int | None, int | None]:
    printed = table_with(f"[{kind}]:[0]:[48]:[bc:24:11:00:00:01]", path_with(targets, own=own, kind=kind))
    (route,) = bgpd.routes(printed, rows)
    return route.vni, route.l3_vni


MANUAL = BgpVniRow(5001, "L2", rd="192.168.16.4:2", import_rts=("65000:100",))
OTHER = BgpVniRow(100, "L2", rd="192.168.16.4:3", import_rts=("65001:100",))


def test_a_manual_target_belongs_to_the_vni_that_imports_it() -> None:
    assert vni_of("RT:65000:100", MANUAL) == (5001, None)
    assert vni_of("RT:65000:100", MANUAL, OTHER) == (5001, None)
    assert vni_of("RT:65001:100", MANUAL, OTHER) == (100, None)


def test_an_automatic_target_of_rfc_8365_is_no_number_of_its_own() -> None:
    row = BgpVniRow(5001, "L2", import_rts=(f"65001:{0x10000000 + 5001}",))
    assert vni_of(f"RT:65001:{0x10000000 + 5001}", row) == (5001, None)
    assert vni_of(f"RT:65099:{0x10000000 + 5001}", row) == (5001, None)
    assert vni_of(f"RT:65001:{0x10000000 + 5001}", BgpVniRow(5001, "L2")) == (5001, None)


def test_bgpd_takes_an_automatic_target_of_any_as() -> None:
    row = BgpVniRow(5001, "L2", import_rts=("65001:5001",))
    assert vni_of("RT:65002:5001", row) == (5001, None)
    assert vni_of("RT:59905:5001", row) == (5001, None)  # what FRR makes of AS 4200000001
    assert vni_of("RT:65002:5001", BgpVniRow(5001, "L2", import_rts=("*:5001",))) == (5001, None)


def test_a_target_with_an_as_of_four_bytes() -> None:
    row = BgpVniRow(5001, "L2", import_rts=("4200000001:100",))
    assert vni_of("RT:4200000001:100", row) == (5001, None)
    assert vni_of("RT:4200000002:100", row) == (None, None)


def test_a_route_that_no_vni_imports_is_in_none_rather_than_in_a_wrong_one() -> None:
    assert vni_of("RT:65000:777", MANUAL) == (None, None)
    assert vni_of("RT:65000:777") == (None, None)


def test_where_all_targets_are_automatic_one_names_a_vni_the_node_does_not_have() -> None:
    assert vni_of("RT:65001:6001", BgpVniRow(5001, "L2", import_rts=("65001:5001",))) == (6001, None)


def test_the_nodes_own_routes_are_told_by_their_route_distinguisher() -> None:
    """Where the export target is not among the imported ones."""
    assert vni_of("RT:65000:777", MANUAL, own=True) == (5001, None)
    assert vni_of("RT:65000:777", MANUAL, own=False) == (None, None)


def test_of_two_vnis_that_import_a_target_none_is_chosen() -> None:
    assert vni_of("RT:65000:100", MANUAL, BgpVniRow(5002, "L2", import_rts=("65000:100",))) == (None, None)


def test_prefixes_belong_to_the_l3_vni_that_imports_them() -> None:
    row = BgpVniRow(9000, "L3", import_rts=("65001:9000", "65099:7"))
    assert vni_of("RT:65099:7", MANUAL, row, kind=5) == (9000, 9000)
    assert vni_of("RT:65000:100 RT:65099:7", MANUAL, row) == (5001, 9000)


@pytest.mark.parametrize("key", ["importRTs", "importRts"])
def test_import_targets_under_both_names_that_frr_has_given_them(key: str) -> None:
    printed = f'{{"numVnis":1,"5001":{{"vni":5001,"type":"L2","rd":"192.168.16.4:2","{key}":["65000:100"]}}}}'
    (row,) = bgpd.vnis(printed)
    assert row.import_rts == ("65000:100",)


def test_import_targets_of_no_readable_form_are_refused() -> None:
    with pytest.raises(FrrParseError, match="route targets"):
        bgpd.vnis('{"5001":{"vni":5001,"type":"L2","importRTs":["all of them"]}}')


def test_a_peer_that_was_never_up_has_no_time() -> None:
    printed = (
        '{"routerId":"192.168.16.1","as":65001,"peers":{"192.168.16.9":{"remoteAs":65001,"state":"Active",'
        '"peerState":"OK","peerUptime":"never","pfxRcd":0,"pfxSnt":0,"softwareVersion":"n/a"}}}'
    )
    (peer,) = bgpd.summary(printed).peers
    assert (peer.established, peer.since, peer.hostname) == (False, None, None)


_PEER = '{"remoteAs":%d,"state":"%s","peerState":"OK","pfxRcd":%d,"pfxSnt":%d,"peerUptimeEstablishedEpoch":1764000000}'


def test_routers_outside_are_peers_in_the_unicast_families() -> None:
    four, both, evpn = (
        _PEER % (65100, "Established", 3, 7),
        _PEER % (65101, "Established", 1, 2),
        _PEER % (1, "Idle", 0, 0),
    )
    printed = (
        f'{{"ipv4Unicast":{{"routerId":"10.0.0.1","as":65001,"peers":{{"192.0.2.1":{four},"2001:db8::1":{both}}}}},'
        f'"ipv6Unicast":{{"peers":{{"2001:db8::1":{_PEER % (65101, "Active", 0, 0)}}}}},'
        f'"l2VpnEvpn":{{"peers":{{"192.168.16.2":{evpn}}}}}}}'
    )
    one, other = bgpd.unicast_peers(printed)
    assert (one.address, one.remote_as, one.state) == ("192.0.2.1", 65100, "Established")
    assert (one.prefixes_received, one.prefixes_sent) == (3, 7)
    assert (other.address, other.state, other.prefixes_received) == ("2001:db8::1", "Active", 1)


@pytest.mark.parametrize("printed", ["{}", "{ }", '{"l2VpnEvpn":{"peers":{}}}'])
def test_without_routers_outside_there_are_no_unicast_peers(printed: str) -> None:
    assert bgpd.unicast_peers(printed) == ()


def test_the_command_that_kills_bgpd_is_never_sent() -> None:
    for command in (command for commands in COMMANDS.values() for command in commands):
        assert "route vni" not in command


# --- exit nodes --------------------------------------------------------------------------------------------------

#: A document per VRF that has the route, as FRR 8.4.4 prints them; keys that are not read are left out.
TWO_VRFS = """{
  "0.0.0.0/0":[
    {"prefix":"0.0.0.0/0", "protocol":"kernel", "vrfName":"default", "distance":0,
     "nexthops":[{"ip":"192.0.2.9", "interfaceName":"vmbr1"}]},
    {"prefix":"0.0.0.0/0", "protocol":"bgp", "vrfName":"default", "selected":true, "distance":20,
     "nexthops":[{"ip":"192.0.2.5", "interfaceName":"vmbr0"}, {"ip":"192.0.2.1", "interfaceName":"vmbr0"}]}
  ]
}
{
  "0.0.0.0/0":[
    {"prefix":"0.0.0.0/0", "protocol":"kernel", "vrfName":"vrf_tenants", "selected":true, "distance":255,
     "metric":8192, "nexthops":[{"flags":3, "fib":true, "unreachable":true, "reject":true, "active":true}]}
  ]
}
{}
"""


def test_default_routes_of_each_vrf() -> None:
    assert zebra.default_routes(TWO_VRFS) == {
        "default": DefaultRoute("bgp", ("192.0.2.1", "192.0.2.5")),
        "vrf_tenants": DefaultRoute("kernel", unreachable=True),
    }
    assert zebra.default_routes("{}\n") == zebra.default_routes("") == {}


def test_peers_that_networks_are_advertised_to() -> None:
    answer = """pve-evpn-observe 1
pve1# show bgp ipv4 unicast 10.50.1.0/24 json
{
  "prefix":"10.50.1.0/24",
  "advertisedTo":{
    "192.0.2.5":{
      "hostname":"world"
    },
    "192.0.2.1":{
    }
  },
  "paths":[]
}
pve1# show bgp ipv4 unicast 10.50.2.0/24 json
{
}
pve-evpn-observe end
"""
    assert advertised(answer) == {"10.50.1.0/24": ("192.0.2.1", "192.0.2.5"), "10.50.2.0/24": ()}


def test_what_the_helper_reads_itself() -> None:
    host = "pve-evpn-observe rp_filter all=0 vrfbr_tenants=1 odd=7 =2 x\npve-evpn-observe snat 10.50.1.0/24\n"
    seen = observation("pve1", AT, f"pve-evpn-observe 1\n{host}pve-evpn-observe end\n")
    assert (seen.rp_filter, seen.translated) == ({"all": 0, "vrfbr_tenants": 1}, ("10.50.1.0/24",))
    seen = observation("pve1", AT, "pve-evpn-observe 1\npve-evpn-observe snat\npve-evpn-observe end\n")
    assert (seen.rp_filter, seen.translated) == (None, ())


@both
def test_an_older_helper_leaves_exits_unknown(version: str) -> None:
    look = seen(version, SPEAKS, "pve4")
    assert (look.default_routes, look.rp_filter, look.translated, look.advertised) == (None, None, None, None)


# --- the answer as a whole ---------------------------------------------------------------------------------------


@both
def test_every_document_of_the_answer_is_found(version: str) -> None:
    parts = split(answer(version, L3_VNI, "pve1"))
    assert parts.down == {"fabricd"}
    wanted = {command for daemon, commands in COMMANDS.items() for command in commands if daemon != "fabricd"}
    wanted -= {DEFAULTS, UNICAST, ISIS_DOCUMENT}  # the helper of the time when these were recorded did not print them
    assert parts.documents.keys() == {*wanted, *FORMER}


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("", "forced command"),
        ("Linux pve1 6.8.12\nLast login: today\n", "forced command"),
        ("pve-evpn-observe 2\npve-evpn-observe end\n", "another version"),
        ("pve-evpn-observe 1\npve1# show version\nFRRouting 10.3 (pve1)", "cut off"),
    ],
)
def test_what_is_no_answer_is_refused_as_a_whole(text: str, complaint: str) -> None:
    with pytest.raises(FrrParseError, match=complaint):
        split(text)


@both
def test_one_bad_document_spoils_itself_only(version: str) -> None:
    broken = answer(version, SPEAKS, "pve4").replace('"remoteVteps"', "remoteVteps", 1)
    look = observation("pve4", AT, broken)
    assert look.vnis is None
    assert look.macs
    assert len(look.problems) == 1
    assert look.problems[0].startswith("show evpn vni json: not JSON")


# --- all that was ever recorded ----------------------------------------------------------------------------------

_PARSERS: dict[str, Callable[[str], object]] = {
    "show_version": zebra.version,
    "show_evpn_json": zebra.evpn_is_on,
    "show_evpn_vni_json": zebra.vnis,
    "show_evpn_mac_vni_all_json": zebra.macs,
    "show_bgp_l2vpn_evpn_summary_json": bgpd.summary,
    "show_bgp_summary_json": bgpd.summary,
    "show_bgp_l2vpn_evpn_vni_json": bgpd.vnis,
    "show_bgp_l2vpn_evpn_route_json": bgpd.routes,
    "show_bgp_l2vpn_evpn_route_detail_json": bgpd.routes,
    "show_bgp_l2vpn_evpn_route_type_macip_json": bgpd.routes,
    "show_bgp_l2vpn_evpn_route_type_multicast_json": bgpd.routes,
    "show_bgp_l2vpn_evpn_route_type_prefix_json": bgpd.routes,
    "show_bfd_peers_json": underlay.bfd_peers,
    "show_ip_ospf_neighbor_json": underlay.ospf_neighbours,
}


def _recordings() -> Iterator[tuple[Callable[[str], object], Path]]:
    for path in sorted(RECORDINGS.rglob("*")):
        if parse := _PARSERS.get(path.name.split(".")[0]):
            yield parse, path


@pytest.mark.skipif(not RECORDINGS.is_dir(), reason=f"left out: no recordings at {RECORDINGS}")
def test_every_recording_of_a_running_daemon_can_be_read() -> None:
    count = 0
    for parse, path in _recordings():
        text = gzip.decompress(path.read_bytes()).decode() if path.suffix == ".gz" else path.read_text()
        if text.startswith("bgpd is not running"):
            continue
        try:
            parse(text)
        except FrrParseError as problem:
            pytest.fail(f"{path.relative_to(RECORDINGS)}: {problem}")
        count += 1
    assert count > 600
