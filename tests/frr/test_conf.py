"""FRR's own judgement of the frr.conf texts a lab node may get, the ones this machine's kernel cannot run too."""

from __future__ import annotations

import subprocess
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from pve_lab.frr.config import frr_conf
from pve_lab.frr.facts import NodeFacts, Tuning
from pve_lab.frr.topology import frr_version
from pve_lab.running_config import RunningConfig
from tests.frr.world import NODES, seed

_PEERS = ",".join(NODES.values())
_MATCHED = {
    "route-type": "prefix", "vni": "5001", "ip-address-prefix-list": "PL", "ip6-address-prefix-list": "PL",
    "ip-next-hop-prefix-list": "PL", "ip-next-hop-address": "10.0.0.1", "ip6-next-hop-address": "fd00::1",
    "metric": "7", "local-preference": "100", "peer": "10.0.0.1", "tag": "3",
}  # fmt: skip
_SET = {
    "ip-next-hop": "10.0.0.1", "ip6-next-hop-prefer-global": "", "ip6-next-hop": "fd00::1",
    "local-preference": "100", "tag": "3", "weight": "5", "metric": "7", "src": "10.0.0.1",
}  # fmt: skip


def check(text: str, folder: Path) -> str:
    """What vtysh complains about; empty if nothing."""
    path = folder / "frr.conf"
    path.write_text(text)
    done = subprocess.run(["vtysh", "-C", "-f", str(path)], capture_output=True, text=True, check=False)
    return "" if done.returncode == 0 else done.stdout + done.stderr


@pytest.mark.parametrize("vrf", [False, True], ids=["default VRF", "VRFs"])
@pytest.mark.parametrize(
    "config",
    [
        pytest.param(RunningConfig(), id="nothing"),
        pytest.param(seed(), id="seed"),
        pytest.param(
            seed(**{"exitnodes": "pve1", "advertise-subnets": 1, "rt-import": "65001:7,65001:8"}), id="exit node"
        ),
        *(
            pytest.param(
                replace(
                    seed(**{"exitnodes": "pve1,pve2", "exitnodes-primary": primary, "exitnodes-local-routing": local}),
                    subnets={"EZone1-10.50.1.0-24": {"vnet": "EVPN1", "gateway": "10.50.1.1"}},
                ),
                id=f"two exit nodes, {primary} is the primary",
            )
            for primary, local in (("pve1", 0), ("pve2", 1))
        ),
        pytest.param(
            RunningConfig(
                controllers={
                    "evpn1": {"type": "evpn", "asn": 65001, "peers": _PEERS},
                    "evpn2": {"type": "evpn", "asn": 65001, "peers": "10.0.0.9", "peer-group-name": "SITE2"},
                    "bgp1": {"type": "bgp", "asn": 65011, "node": "pve1", "peers": "10.0.0.1"},
                },
                zones={"z1": {"type": "evpn", "controller": "evpn1", "vrf-vxlan": 100001}},
            ),
            id="two controllers, own AS",
        ),
        pytest.param(
            RunningConfig(
                controllers={
                    "isispve1": {
                        "type": "isis",
                        "node": "pve1",
                        "isis-domain": "dc1",
                        "isis-ifaces": "eno2,eno3",
                        "isis-net": "49.0001.1921.6801.6001.00",
                        "loopback": "lo",
                    }
                }
            ),
            id="IS-IS controller",
        ),
        pytest.param(
            replace(
                seed(),
                route_map_entries=(
                    {
                        "route-map-id": "OUT",
                        "order": 10,
                        "action": "permit",
                        "call": "MAP_VTEP_OUT",
                        "match": [f"key={key},value={value}" for key, value in _MATCHED.items()],
                        "set": [f"key={key},value={value}" if value else f"key={key}" for key, value in _SET.items()],
                        "exit-action": "key=on-match-goto,value=20",
                    },
                    {"route-map-id": "OUT", "order": 20, "action": "deny", "exit-action": "key=continue,value=30"},
                ),
                prefix_lists={
                    "PL": ("action=permit,prefix=10.0.0.0/8,ge=16,le=24,seq=5", "action=deny,prefix=fd00::/8,seq=10")
                },
            ),
            id="route maps",
        ),
        *(
            pytest.param(
                replace(
                    seed(exitnodes="pve1"),
                    controllers={
                        "evpn1": {"type": "evpn", "asn": 65001, "fabric": "Fabric1"},
                        "edge": {"type": "bgp", "asn": 65001, "node": "pve1", "peers": "192.0.2.1", "ebgp": 1},
                    },
                    subnets={"EZone1-10.50.1.0-24": {"vnet": "EVPN1", "gateway": "10.50.1.1"}},
                    fabrics={"Fabric1": {"protocol": protocol, "area": "0", "ip_prefix": "10.9.0.0/24", **more}},
                    fabric_nodes=(
                        {
                            "fabric_id": "Fabric1",
                            "node_id": "pve1",
                            "ip": "10.9.0.1",
                            "ip6": "fd00:9::1",
                            "interfaces": ["name=eno2"],
                        },
                    ),
                ),
                id=f"{protocol} underlay",
            )
            for protocol, more in (
                ("ospf", {"redistribute": ["source=static"]}),
                ("openfabric", {"hello_interval": 3, "csnp_interval": 5, "ip6_prefix": "fd00:9::/64"}),
                ("bgp", {"redistribute": ["source=connected"]}),
            )
        ),
    ],
)
def test_vtysh_accepts(config: RunningConfig, vrf: bool, tmp_path: Path) -> None:
    assert check(frr_conf(config, NodeFacts("pve1", NODES["pve1"], vrf=vrf), frr_version(), Tuning()), tmp_path) == ""


def test_vtysh_would_complain(tmp_path: Path) -> None:
    """The check above can fail."""
    text: Any = frr_conf(seed(), NodeFacts("pve1", NODES["pve1"]), frr_version(), Tuning())
    assert check(text.replace("advertise-all-vni", "advertise-all-vnis"), tmp_path) != ""
