"""IS-IS between two nodes: what an IsisController says while it comes up, when a link is cut, and afterwards."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Iterator
from datetime import timedelta

import pytest

from pve_evpn.api.router import IsisControllerStatus
from pve_evpn.domain.health import assess
from pve_evpn.domain.health.expected import ExpectedIsis, ExpectedOverlay
from pve_evpn.domain.health.object_health import Health
from pve_evpn.domain.objects import ObjectKey
from pve_evpn.domain.state import NodeState
from pve_evpn.observe.fallback import Chain
from pve_evpn.observe.source import NodeTarget
from pve_evpn.observe.ssh import SshSource
from pve_lab.frr.topology import Topology, ring
from pve_lab.running_config import RunningConfig
from tests.waiting import await_

pytestmark = pytest.mark.frr_long

NODES = {"pve1": "192.168.16.1", "pve2": "192.168.16.2"}
LINKS = ("eno2", "eno3")
KEYS = {name: ObjectKey("IsisController", "", f"isis-{name}") for name in NODES}


def controllers(*nodes: str) -> RunningConfig:
    return RunningConfig(
        controllers={
            f"isis{name}": {
                "type": "isis",
                "node": name,
                "isis-domain": "dc1",
                "isis-ifaces": ",".join(LINKS),
                "isis-net": f"49.0001.1921.6801.600{name[-1]}.00",
            }
            for name in nodes
        }
    )


class Reader:
    """Reads both nodes by ssh, as the operator does."""

    def __init__(self, lab: Topology) -> None:
        self._loop = asyncio.new_event_loop()
        access = lab.ssh
        ssh = SshSource(
            access.private_key, access.known_hosts, user=access.user, port=access.port, addresses=access.addresses
        )
        self._chain = Chain([ssh], timedelta(0), 20)
        self._expected = ExpectedOverlay(
            members={name: NodeState(name, True, address) for name, address in NODES.items()},
            isis=tuple(ExpectedIsis(key, name, LINKS) for name, key in KEYS.items()),
        )

    def close(self) -> None:
        self._loop.run_until_complete(self._chain.close())
        self._loop.close()

    def health(self, name: str) -> Health:
        targets = [NodeTarget(name, address) for name, address in NODES.items()]
        observation = self._loop.run_until_complete(self._chain.poll(targets))
        assert observation.failed() == {}
        assert observation.answered()[name].problems == ("bgpd has no EVPN configured",)
        return assess(self._expected, observation, {}).health[KEYS[name]]

    def message(self, name: str) -> str:
        return self.health(name).operational.message


@pytest.fixture(scope="module")
def lab() -> Iterator[Topology]:
    """Two links between the nodes, both with addresses: IS-IS needs them."""
    with Topology(NODES, cables=ring(dict.fromkeys(NODES, LINKS))) as lab:
        for number, name in enumerate(NODES, 1):
            for link in LINKS:
                # A cable leads from one node's first NIC to the other's last one.
                network = number if link == LINKS[0] else 3 - number
                lab.nodes[name].space.ip("addr", "add", f"10.77.{network}.{number}/24", "dev", link)
        yield lab


@pytest.fixture(scope="module")
def reader(lab: Topology) -> Iterator[Reader]:
    with contextlib.closing(Reader(lab)) as reader:
        yield reader


def await_well(reader: Reader) -> None:
    for name in NODES:
        await_(f"{name} is well", lambda name=name: reader.health(name).operational.status is True, 60)


def test_a_node_whose_isisd_does_not_run_is_named(lab: Topology, reader: Reader) -> None:
    lab.apply(RunningConfig())
    assert reader.message("pve1").startswith("isisd does not run on pve1")


def test_a_cut_link_is_named_and_comes_back(lab: Topology, reader: Reader) -> None:
    lab.apply(controllers(*NODES))
    await_well(reader)
    status = reader.health("pve1").status
    assert isinstance(status, IsisControllerStatus)
    assert status.neighbours_summary == "2/2"
    assert [(row.interface, row.state) for row in status.neighbours or ()] == [("eno2", "Up"), ("eno3", "Up")]

    lab.nodes["pve2"].space.ip("link", "set", "dev", "eno3", "down")
    try:
        await_("pve2 is named", lambda: reader.message("pve2") == "pve2: interface eno3 has no neighbour")
        # The cable's other end stays up, so pve1 only misses the hellos: 30 seconds.
        await_("pve1 is named", lambda: reader.message("pve1") == "pve1: interface eno2 has no neighbour", 45)
        assert reader.health("pve1").operational.status is False
    finally:
        lab.nodes["pve2"].space.ip("link", "set", "dev", "eno3", "up")
    await_well(reader)


def test_a_killed_isisd_is_named(lab: Topology, reader: Reader) -> None:
    lab.apply(controllers(*NODES))
    await_well(reader)
    lab.nodes["pve1"].kill_daemon("isisd")
    assert reader.message("pve1").startswith("isisd does not run on pve1")
    lab.nodes["pve1"].start_daemon("isisd")
    await_well(reader)


def test_without_controllers_nothing_of_it_is_left(lab: Topology) -> None:
    lab.apply(controllers(*NODES))
    lab.apply(RunningConfig())
    assert "isis" not in lab.vtysh("pve1", "show running-config")
    assert not (lab.nodes["pve1"].space.folder / "run" / "isisd.pid").exists()
