"""What a poll costs the operator's own CPU. Times are limits on one core of a plain machine; run with `make bench`.

The answer is built in FRR's own form: 200 VNIs, 1,000 MACs, 1,800 routes, seen by a node that has few of them itself.
"""

from __future__ import annotations

import json
from datetime import UTC, datetime
from typing import Any

import pytest

from pve_evpn.domain.health import assess
from pve_evpn.domain.health.expected import ExpectedController, ExpectedNic, ExpectedOverlay, ExpectedVNet, Nic
from pve_evpn.domain.objects import ObjectKey
from pve_evpn.domain.observation import ClusterObservation
from pve_evpn.domain.state import NodeState
from pve_evpn.observe.frr import COMMANDS, observation
from tests.bench.measuring import best_of

AT = datetime(2026, 11, 25, tzinfo=UTC)
VNIS, MACS, NODES = 200, 1000, 4
ROUTES = 1800


def address(node: int) -> str:
    return f"192.168.16.{node}"


def mac(number: int) -> str:
    return f"bc:24:11:00:{number >> 8:02x}:{number & 255:02x}"


def _route(node: int, kind: int, vni: int, **more: Any) -> dict[str, Any]:
    return {
        "valid": True, "bestpath": True, "selectionReason": "First path received", "pathFrom": "internal",
        "routeType": kind, "ethTag": 0, "locPrf": 100, "weight": 0, "peerId": address(node), "path": "",
        "origin": "IGP", "extendedCommunity": {"string": f"RT:65001:{vni} ET:8"},
        "nexthops": [{"ip": address(node), "hostname": f"pve{node}", "afi": "ipv4", "used": True}], **more,
    }  # fmt: skip


def answer() -> str:
    """One node's answer, as the helper prints it."""
    vnis = {
        str(6000 + n): {
            "vni": 6000 + n, "type": "L2", "vxlanIf": f"vxlan_n{n}", "numMacs": MACS // VNIS, "numArpNd": 0,
            "numRemoteVteps": 3, "tenantVrf": "vrf_z", "remoteVteps": [address(i) for i in (2, 3, 4)],
        }
        for n in range(VNIS)
    }  # fmt: skip
    macs: dict[str, Any] = {str(6000 + n): {"numMacs": MACS // VNIS, "macs": {}} for n in range(VNIS)}
    routes: dict[str, Any] = {}
    for number in range(MACS):
        vni, owner = 6000 + number % VNIS, 2 + number % 3
        macs[str(vni)]["macs"][mac(number)] = {
            "type": "remote", "remoteVtep": address(owner), "localSequence": 0, "remoteSequence": 0,
            "detectionCount": 0, "isDuplicate": False,
        }  # fmt: skip
        rd = f"{address(owner)}:{number % VNIS + 2}"
        prefix = f"[2]:[0]:[48]:[{mac(number)}]"
        path = _route(owner, 2, vni, macLen=48, mac=mac(number))
        routes.setdefault(rd, {"rd": rd})[prefix] = {"prefix": prefix, "prefixLen": 352, "paths": [[path]]}
    for number in range(ROUTES - MACS):
        vni, owner = 6000 + number % VNIS, 1 + number // VNIS
        rd = f"{address(owner)}:{number % VNIS + 2}"
        prefix = f"[3]:[0]:[32]:[{address(owner)}]"
        path = _route(owner, 3, vni, ipLen=32, ip=address(owner))
        routes.setdefault(rd, {"rd": rd})[prefix] = {"prefix": prefix, "prefixLen": 352, "paths": [[path]]}
    peers = {
        address(i): {"hostname": f"pve{i}", "remoteAs": 65001, "state": "Established", "pfxRcd": 600, "pfxSnt": 2}
        for i in (2, 3, 4)
    }
    printed = {
        "show version": "FRRouting 10.3 (pve1) on Linux.",
        "show evpn json": {"numVnis": VNIS},
        "show evpn vni json": vnis,
        "show evpn mac vni all json": macs,
        "show bgp l2vpn evpn summary json": {"routerId": address(1), "as": 65001, "peers": peers},
        "show bgp l2vpn evpn route json": {**routes, "numPrefix": ROUTES, "numPaths": ROUTES},
        "show bfd peers json": [],
    }
    lines = ["pve-evpn-observe 1"]
    for command in (command for commands in COMMANDS.values() for command in commands):
        value = printed.get(command, {})
        lines += [f"pve1# {command}", value if isinstance(value, str) else json.dumps(value, indent=1)]
    return "\n".join([*lines, "pve-evpn-observe end", ""])


@pytest.fixture(scope="module")
def text() -> str:
    return answer()


def test_one_node_of_1000_macs_and_1800_routes_is_read_in_50_ms(text: str) -> None:
    look = observation("pve1", AT, text)
    assert look.macs is not None
    assert look.routes is not None
    assert (len(look.macs), len(look.routes), look.problems) == (MACS, ROUTES, ())
    took = best_of(20, lambda: observation("pve1", AT, text))
    print(f"\nparsing {len(text) / 1e6:.1f} MB, {MACS} MACs, {ROUTES} routes: {took:.1f} ms")
    assert took < 50


def test_a_poll_of_four_nodes_with_1000_nics_is_assessed_in_150_ms(text: str) -> None:
    looks = {f"pve{i}": observation(f"pve{i}", AT, text) for i in range(1, NODES + 1)}
    names = tuple(looks)
    addresses = {name: (address(int(name[3:])),) for name in names}
    expected = ExpectedOverlay(
        members={name: NodeState(name, True, address(int(name[3:]))) for name in names},
        controllers=(ExpectedController(ObjectKey("EvpnController", "", "c"), "c", None, addresses),),
        vnets=tuple(ExpectedVNet(ObjectKey("VNet", "d", f"n{n}"), f"n{n}", 6000 + n, "z", names) for n in range(VNIS)),
        nics=tuple(
            ExpectedNic(ObjectKey("NicAttachment", "d", f"v{n}"), Nic(mac(n), 6000 + n % VNIS, f"pve{2 + n % 3}"), "n")
            for n in range(MACS)
        ),
    )
    poll = ClusterObservation(AT, looks)
    assessed = assess(expected, poll, {})
    assert len(assessed.macs) == MACS
    took = best_of(5, lambda: assess(expected, poll, {}))
    print(f"\nassessing {NODES} nodes, {VNIS} VNets, {MACS} NICs: {took:.1f} ms")
    assert took < 150
