"""Real FRR for tests: four nodes in network namespaces, as `pve_lab.frr` makes them.

`frr_lab` is a running lab with the seed topology applied and converged, shared by the tests of a module. A test finds
in it what it needs and puts back what it breaks:

* ``lab.vtysh("pve1", "show ...")`` is FRR's own text, ``lab.tables("pve1")`` the same as values: ``established()``,
  ``flood_list(vni)``, ``macs(vni)``, ``mac_route(mac)``;
* ``lab.plug("pve4", Nic(100, 0, "EVPN1", mac, firewall=True, ip="10.50.1.11"))``, ``lab.speak(100)``,
  ``lab.move(100, "pve3")``, ``lab.unplug(100)``; a guest says nothing that it is not told to;
* ``lab.nodes["pve2"].kill_daemon("bgpd")`` and ``start_daemon``, ``lab.cut("pve2")`` and ``mend``,
  ``lab.power_off`` and ``power_on``; ``lab.nodes[n].fail_reload = "text"``; ``lab.nodes[n].space.run(...)`` runs any
  program on the node, ``.space.bridge(...)`` and ``.space.ip(...)`` read and write its interfaces;
* ``lab.apply(seed(...))`` reloads all nodes with another configuration;
* ``lab.ssh`` has what the operator's ssh source needs: ``private_key``, ``known_hosts``, ``addresses``, ``port``,
  ``user``; ``lab.ssh.force("/usr/local/sbin/pve-evpn-observe ...")`` changes what that key may do.

A test that takes long is marked ``frr_long``: `make test` leaves it out, `make e2e-frr` does not. One that needs VRF
devices is marked ``frr_vrf``: where the kernel has none it is skipped, and `make e2e-frr-vm` runs it.

The bridges forget a silent MAC after `world.AGEING` seconds; ``lab.set_ageing(300)`` keeps it.
"""

from __future__ import annotations

import contextlib
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from pve_lab.dataplane.frr import FrrDataplane
from pve_lab.frr import install
from pve_lab.frr.topology import Topology
from pve_lab.lab import Lab
from pve_lab.lab import seed as seed_lab
from tests.e2e.stack import KINDS, NAMESPACE, Stack
from tests.frr.by_ssh import await_agreement, observe_by_ssh
from tests.frr.world import AGEING, NODES, await_full_mesh, seed
from tests.kube.controlplane import ControlPlane

#: Files in which the operator's ssh source reads all nodes again and again. In user-mode Linux a shell that starts a
#: program takes a quarter of a second (measured; 3 ms on its host), and one reading by ssh eight seconds and more.
POLLED_BY_SSH = {
    "test_cli.py", "test_confirmed.py", "test_evidence.py", "test_isis.py", "test_operator.py", "test_pins.py",
}  # fmt: skip
TOO_SLOW = "a poll of four nodes by ssh does not end within its 20 seconds in user-mode Linux"


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Everything beside this file needs real FRR; where it cannot be had each test says why it was left out."""
    here = [item for item in items if "/tests/frr/" in str(item.path)]
    if not here:
        return
    why = install.missing()
    marked = any(item.get_closest_marker("frr_vrf") for item in here)
    flat = marked and not why and not kernel_has_vrf()
    slow = is_user_mode_linux()
    for item in here:
        item.add_marker(pytest.mark.frr)
        if "observing" in getattr(item, "fixturenames", ()) and not why:
            item.add_marker(pytest.mark.kube)
        if why:
            item.add_marker(pytest.mark.skip(reason=f"LEFT OUT, real FRR cannot be had here: {why}"))
        elif flat and item.get_closest_marker("frr_vrf"):
            item.add_marker(pytest.mark.skip(reason="LEFT OUT, no VRF devices in this kernel: make e2e-frr-vm"))
        elif slow and item.path.name in POLLED_BY_SSH:
            item.add_marker(pytest.mark.skip(reason=f"LEFT OUT, {TOO_SLOW}: make e2e-frr, or e2e-frr-vm MACHINE=qemu"))


def is_user_mode_linux(cpuinfo: Path = Path("/proc/cpuinfo")) -> bool:
    return "User Mode Linux" in cpuinfo.read_text()


def kernel_has_vrf() -> bool:
    probe = ["unshare", "--net", "ip", "link", "add", "name", "probe0", "type", "vrf", "table", "9"]
    return subprocess.run(probe, capture_output=True, check=False).returncode == 0


@dataclass
class Observing:
    """The operator on a real control plane, reading real FRR by ssh; the seed topology applied and Ready."""

    stack: Stack
    frr: Topology
    lab: Lab
    documents: list[dict[str, Any]]

    def document(self, kind: str) -> dict[str, Any]:
        return next(document for document in self.documents if document["kind"] == kind)

    def status(self, kind: str) -> dict[str, Any]:
        return dict(self.stack.get(self.document(kind)).get("status", {}))

    def reason(self, kind: str, type_: str = "Operational") -> str:
        return str(self.stack.condition(self.document(kind), type_).get("reason"))

    def agree(self) -> None:
        """Wait until the statuses say what vtysh says."""
        nic, vnet = self.document("NicAttachment"), self.document("VNet")
        await_agreement(self.stack, self.frr, nic, vnet)


@pytest.fixture(scope="module")
def observing(cluster: ControlPlane, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Observing]:
    """For a module: guests forget after `world.AGEING` seconds, VM 100 on pve4 speaks until told otherwise."""
    lab = Lab(list(NODES), task_seconds=0.2)
    seed_lab(lab)
    with contextlib.ExitStack() as stop:
        plane = FrrDataplane(lab, ageing_seconds=AGEING)
        stop.callback(plane.close)
        lab.dataplane = plane
        stack = Stack(cluster, lab, tmp_path_factory.mktemp("operator"))
        stop.callback(stack.close)
        stack.prepare()
        stack.start_operator()
        observe_by_ssh(stack, plane.frr)
        documents = stack.seed()
        stop.callback(_take_away, stack)
        stack.apply(*documents)
        stack.await_ready(*documents)
        await_full_mesh(plane.frr)
        yield Observing(stack, plane.frr, lab, documents)
        # pytest shows this where a test of the module failed
        print(cluster.kubectl("get", ",".join(KINDS), "-A", "-o", "wide", check=False))
        print("\n".join(stack.log.read_text().splitlines()[-60:]))


def _take_away(stack: Stack) -> None:
    for kind in KINDS[::-1]:
        stack.plane.kubectl("delete", kind, "--all", "-A", "--wait=false", check=False)
    for kind in KINDS:
        stack.plane.kubectl("wait", "--for=delete", kind, "--all", "-A", "--timeout=40s", check=False)
    stack.plane.kubectl("delete", "secret", "-n", NAMESPACE, "--all", check=False)


@pytest.fixture(scope="module")
def frr_lab() -> Iterator[Topology]:
    with Topology(NODES, ageing_seconds=AGEING) as lab:
        lab.apply(seed())
        await_full_mesh(lab)
        yield lab
