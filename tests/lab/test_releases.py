"""Endpoints, parameters and shapes of answers by release."""

from __future__ import annotations

import itertools

import pytest

from tests.lab.clients import CONTROLLER, VNET, ZONE, LabClient

RELEASES = ("8.4", "9.0", "9.1", "9.2")
SINCE = {
    ("GET", "/cluster/sdn/zones"): "8.4",
    ("GET", "/cluster/sdn/vnets/v1/firewall/rules"): "8.4",
    ("GET", "/nodes/pve1/sdn/zones/z1/content"): "8.4",
    ("POST", "/cluster/sdn/lock"): "9.0",
    ("POST", "/cluster/sdn/rollback"): "9.0",
    ("GET", "/cluster/sdn/fabrics/all"): "9.0",
    ("GET", "/nodes/pve1/sdn/zones/z1/bridges"): "9.1",
    ("GET", "/nodes/pve1/sdn/zones/z1/ip-vrf"): "9.1",
    ("GET", "/nodes/pve1/sdn/vnets/v1/mac-vrf"): "9.1",
    ("GET", "/nodes/pve1/sdn/fabrics/Fabric1/neighbors"): "9.1",
    ("GET", "/cluster/sdn/dry-run"): "9.1",
    ("GET", "/cluster/sdn/route-maps/entries"): "9.2",
    ("GET", "/cluster/sdn/prefix-lists"): "9.2",
}


@pytest.mark.parametrize(("release", "asked"), list(itertools.product(RELEASES, SINCE)), ids=str)
def test_endpoints_come_with_their_release(release: str, asked: tuple[str, str]) -> None:
    pve = LabClient(release)
    pve.overlay()
    params = {"node": "pve1"} if asked[1].endswith("dry-run") else {}
    given = pve.ask(*asked, **params)
    assert given.status == (200 if release >= SINCE[asked] else 501), given


@pytest.mark.parametrize("release", RELEASES)
def test_a_release_says_which_it_is(release: str) -> None:
    answer = LabClient(release).get("/version")
    assert answer["release"] == release
    assert answer["version"].startswith(release + ".")
    assert LabClient(release).get("/nodes/pve1/version") == answer


@pytest.mark.parametrize(
    ("method", "path", "params", "newest_without", "first_with"),
    [
        ("PUT", "/cluster/sdn", {"lock-token": "x"}, "8.4", "9.0"),
        ("POST", "/cluster/sdn/zones", {"zone": "s1", "type": "simple", "lock-token": "x"}, "8.4", "9.0"),
        ("PUT", "/nodes/pve1/network", {"regenerate-frr": "1"}, "8.4", "9.0"),
        ("PUT", "/cluster/sdn/controllers/c1", {"bgp-mode": "external"}, "9.1", "9.2"),
        ("PUT", "/cluster/sdn/controllers/c1", {"peer-group-name": "GROUP"}, "9.1", "9.2"),
    ],
)
def test_parameters_come_with_their_release(
    method: str, path: str, params: dict[str, str], newest_without: str, first_with: str
) -> None:
    for release, known in ((newest_without, False), (first_with, True)):
        pve = LabClient(release)
        pve.overlay()
        given = pve.ask(method, path, **params)
        assert given.status == (200 if known else 400), (release, given)


def test_several_evpn_controllers_are_a_matter_of_the_release() -> None:
    for release in RELEASES:
        pve = LabClient(release)
        pve.overlay()
        params = {**CONTROLLER, "controller": "c2"} | ({"peer-group-name": "OTHER"} if release >= "9.2" else {})
        given = pve.ask("POST", "/cluster/sdn/controllers", **params)
        assert (given.status == 200) == (release >= "9.2"), (release, given)


def test_how_nodes_report_zones_depends_on_the_release() -> None:
    for release in RELEASES:
        pve = LabClient(release)
        pve.overlay()
        rows = [row for row in pve.get("/cluster/resources") if row["type"] not in ("node", "qemu", "lxc")]
        assert {row["type"] for row in rows} == ({"sdn"} if release < "9.1" else {"network"})
        assert len(pve.get("/cluster/resources", type="sdn")) == (4 if release < "9.1" else 0)
        assert pve.ask("GET", "/cluster/resources", type="network").status == 400


def test_before_9_2_a_zone_of_some_nodes_has_no_routes_to_show() -> None:
    """Proxmox dies of it: a client must not take this for a network that is down."""
    for release, status in (("9.1", 500), ("9.2", 200)):
        pve = LabClient(release)
        pve.post("/cluster/sdn/controllers", **CONTROLLER)
        pve.post("/cluster/sdn/zones", **ZONE, nodes="pve1,pve2")
        pve.post("/cluster/sdn/vnets", **VNET)
        pve.put("/cluster/sdn")
        pve.wait()
        assert pve.ask("GET", "/nodes/pve1/sdn/zones/z1/ip-vrf").status == status
        given = pve.ask("GET", "/nodes/pve1/sdn/vnets/v1/mac-vrf")
        assert given.status == status
        assert status == 200 or "Not an ARRAY reference" in given.reason


def test_8_4_has_no_fabric_from_the_start() -> None:
    pve = LabClient("8.4")
    assert pve.lab.fabrics.fabrics.running == {}
    params = {**CONTROLLER, "fabric": "Fabric1"}
    assert "fabric" in pve.errors("POST", "/cluster/sdn/controllers", **params)


def test_fabrics_of_9_2_are_not_there_before() -> None:
    bgp = {"id": "b1", "protocol": "bgp", "ip_prefix": "10.9.0.0/24"}
    assert "bgp" in LabClient("9.1").message("POST", "/cluster/sdn/fabrics/fabric", **bgp)
    LabClient("9.2").post("/cluster/sdn/fabrics/fabric", **bgp)
