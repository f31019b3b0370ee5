"""Proxmox' clock is minutes away from the operator's: reloads are found all the same, and none is taken for another."""

from __future__ import annotations

from datetime import timedelta

import pytest

from pve_evpn.pve.credentials import Credentials
from pve_evpn.pve.session import PveSession
from pve_evpn.pve.transport import Trust
from pve_lab.faults import ReloadFails
from pve_lab.lab import Lab
from pve_lab.server import LabServer
from tests.engine.world import SEED, Killed, World, vnet

OFFSETS = [-600.0, -90.0, 90.0, 600.0]


async def made(offset: float) -> World:
    world = World(clock_offset=offset)
    world.apply(*SEED)
    await world.settle()
    return world


@pytest.mark.parametrize("offset", OFFSETS)
async def test_reloads_are_found(offset: float) -> None:
    world = await made(offset)
    assert world.complaints() == []
    assert world.lab.applies == 1
    assert world.events("PartiallyApplied") == []


@pytest.mark.parametrize("offset", OFFSETS)
async def test_an_earlier_reload_is_not_taken_for_that_of_an_apply_that_was_cut_off(offset: float) -> None:
    world = await made(offset)
    world.now += timedelta(seconds=30)
    fault = world.lab.faults.add(ReloadFails(node="pve2"))
    world.apply(vnet("net2", 5002))

    def die(when: str, method: str, path: str) -> None:
        if (when, method, path) == ("after", "PUT", "/cluster/sdn"):
            world.interrupt = lambda *_: None
            raise Killed

    world.interrupt = die
    assert await world.run_until_killed()
    world.start()
    await world.one_pass()
    assert world.programmed()[0] == "PartiallyApplied"
    world.lab.faults.remove(fault)
    await world.settle()
    assert world.complaints() == []


def test_the_date_of_an_answer_tells_the_offset() -> None:
    lab = Lab(["pve1"], clock_offset=600.0)
    lab.tokens["root@pam!tok"] = "secret"
    with LabServer(lab) as server:
        session = PveSession(server.url, Credentials("root@pam", "tok", "secret"), Trust(server.ca_pem), 10.0)
        session.call("GET", "/version", {})
        assert abs(session.clock_offset - 600.0) < 5.0
        session.close()
