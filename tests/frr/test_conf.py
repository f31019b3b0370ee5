"""FRR's own judgement of the frr.conf texts a lab node may get, the ones this machine's kernel cannot run too."""

from __future__ import annotations

import subprocess
from pathlib import Path
from typing import Any

import pytest

from pve_lab.frr.config import NodeFacts, Tuning, frr_conf
from pve_lab.frr.topology import frr_version
from pve_lab.running_config import RunningConfig
from tests.frr.world import NODES, seed

_PEERS = ",".join(NODES.values())


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
    ],
)
def test_vtysh_accepts(config: RunningConfig, vrf: bool, tmp_path: Path) -> None:
    assert check(frr_conf(config, NodeFacts("pve1", NODES["pve1"], vrf=vrf), frr_version(), Tuning()), tmp_path) == ""


def test_vtysh_would_complain(tmp_path: Path) -> None:
    """The check above can fail."""
    text: Any = frr_conf(seed(), NodeFacts("pve1", NODES["pve1"]), frr_version(), Tuning())
    assert check(text.replace("advertise-all-vni", "advertise-all-vnis"), tmp_path) != ""
