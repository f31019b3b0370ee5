"""Real FRR for tests: four nodes in network namespaces, as `pve_lab.dataplane.frr` makes them.

`frr_lab` is a running lab with the seed topology applied and converged, shared by the tests of a module. A test finds
in it what it needs and puts back what it breaks:

* ``lab.vtysh("pve1", "show ...")`` is FRR's own text, ``lab.look("pve1")`` the same as values: ``established()``,
  ``flood_list(vni)``, ``macs(vni)``, ``mac_route(mac)``;
* ``lab.plug("pve4", Nic(100, 0, "EVPN1", mac, firewall=True, ip="10.50.1.11"))``, ``lab.speak(100)``,
  ``lab.move(100, "pve3")``, ``lab.unplug(100)``; a guest says nothing that it is not told to;
* ``lab.nodes["pve2"].kill_daemon("bgpd")`` and ``start_daemon``, ``lab.cut("pve2")`` and ``mend``,
  ``lab.power_off`` and ``power_on``; ``lab.nodes[n].fail_reload = "text"``; ``lab.nodes[n].space.run(...)`` runs any
  program on the node, ``.space.bridge(...)`` and ``.space.ip(...)`` read and write its interfaces;
* ``lab.apply(seed(...))`` reloads all nodes with another configuration;
* ``lab.ssh`` has what the operator's ssh source needs: ``private_key``, ``known_hosts``, ``addresses``, ``port``,
  ``user``; ``lab.ssh.force("/usr/local/sbin/pve-evpn-observe ...")`` changes what that key may do.

The bridges forget a silent MAC after `world.AGEING` seconds; ``lab.set_ageing(300)`` keeps it.
"""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from pve_lab.dataplane.frr import install
from pve_lab.dataplane.frr.lab import FrrDataplane
from tests.frr.world import AGEING, NODES, await_full_mesh, seed


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Everything beside this file needs real FRR; where it cannot be had each test says why it was left out."""
    here = [item for item in items if "/tests/frr/" in str(item.path)]
    if not here:
        return
    why = install.missing()
    for item in here:
        item.add_marker(pytest.mark.frr)
        if why:
            item.add_marker(pytest.mark.skip(reason=f"LEFT OUT, real FRR cannot be had here: {why}"))


@pytest.fixture(scope="module")
def frr_lab() -> Iterator[FrrDataplane]:
    with FrrDataplane(NODES, ageing_seconds=AGEING) as lab:
        lab.apply(seed())
        await_full_mesh(lab)
        yield lab
