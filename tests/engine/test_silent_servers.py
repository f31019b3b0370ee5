"""An IPAM or DNS server that does not answer Proxmox: only what needs it waits, and it is asked rarely.

Proxmox asks it while it writes a subnet, and answers nobody for that time.
"""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest

from pve_evpn.domain.objects import ObjectKey
from pve_lab.faults import ServerHangs
from tests.engine.test_services import DNS_URL, URL, served
from tests.engine.world import CLUSTER, NET1, Killed, World, vnet, zone

pytestmark = pytest.mark.asyncio
ANSWER = 30.0
IPAM = ObjectKey("Ipam", "", "nb1")


def key(name: str) -> ObjectKey:
    return ObjectKey("VNet", "default", name)


class Hanging:
    """A world whose IPAM hangs, with a zone of its own for what needs no IPAM; the time that requests take passes."""

    def __init__(self, world: World, url: str = URL) -> None:
        self.world = world
        world.lab.sleep = self.pass_
        world.interrupt = self._note
        self.fault = world.lab.faults.add(ServerHangs(url=url, seconds=ANSWER))
        world.calls.clear()
        self.locked_at = 0.0
        self.longest = 0.0
        """The longest time for which the lock was held."""

    def pass_(self, seconds: float) -> None:
        self.world.skipped += seconds
        self.world.now += timedelta(seconds=seconds)

    def _note(self, when: str, method: str, path: str) -> None:
        if path != "/cluster/sdn/lock" or when != "after":
            return
        if method == "POST":
            self.locked_at = self.world.skipped
        else:
            self.longest = max(self.longest, self.world.skipped - self.locked_at)

    @property
    def hung(self) -> list[tuple[str, str]]:
        """The requests that Proxmox did not answer."""
        return [(method, path) for method, path, status in self.world.calls if status == 596]

    def repair(self) -> None:
        self.world.lab.faults.remove(self.fault)


async def with_two_zones(*vnets: dict[str, Any]) -> World:
    """A zone with an IPAM outside, and one without."""
    plain = zone("plain", vrfVni=100002)
    return await served(plain, *vnets, ipamRef={"name": "nb1"}, dns=None)


def on_plain(name: str, vni: int, cidr: str) -> dict[str, Any]:
    """A VNet of the zone without an IPAM."""
    return vnet(name, vni, cidr, zoneRef={"name": "plain"})


def there(world: World) -> set[str]:
    """The subnets in Proxmox."""
    return set(world.lab.sdn.running["subnets"])


async def test_one_hang_holds_up_its_vnets_alone_and_names_the_server_and_how_long_it_took() -> None:
    world = await with_two_zones(vnet("net1", 5001, "10.1.0.0/24"))
    hanging = Hanging(world)
    world.apply(vnet("aa", 5002, "10.2.0.0/24"), vnet("bb", 5003, "10.3.0.0/24"), on_plain("cc", 5004, "10.4.0.0/24"))
    await world.one_pass()
    assert len(hanging.hung) == 1, "not once for each VNet"
    assert world.ready(key("cc"))["status"] == "True", "in the same sync"
    assert world.ready(NET1)["status"] == "True"
    assert "plain-10.4.0.0-24" in there(world)
    for name in ("aa", "bb"):
        ready = world.ready(key(name))
        assert (ready["status"], ready["reason"]) == ("False", "StagingFailed")
        assert ready["message"].startswith("the IPAM nb1 did not answer Proxmox within 30 s")
    assert world.kube.condition(CLUSTER, "Reachable")["status"] == "True"
    assert world.lab.sdn.lock is None
    assert hanging.longest <= ANSWER + 2
    (event,) = [message for message in world.events("StagingFailed") if "10.2.0.0" in message or "10.3.0.0" in message]
    assert "the IPAM nb1 did not answer Proxmox within 30 s" in event


async def test_it_is_asked_less_and_less_whatever_comes_and_everything_follows_once_it_answers() -> None:
    world = await with_two_zones()
    hanging = Hanging(world)
    world.apply(vnet("aa", 5002, "10.2.0.0/24"))
    await world.one_pass()
    for number in range(30):  # an hour in which a tenant changes something every two minutes
        hanging.pass_(120)
        changed = vnet("aa", 5002, "10.2.0.0/24", f"10.9.{number}.0/24")
        world.apply(changed, vnet(f"v{number}", 6000 + number, f"10.8.{number}.0/24"))
        await world.one_pass()
    assert 5 <= len(hanging.hung) <= 8, "after 30 seconds, then 1, 2, 4, 8 and 15 minutes"
    assert hanging.longest <= ANSWER + 2
    assert world.lab.sdn.lock is None
    hanging.repair()
    hanging.pass_(900)
    await world.settle()
    assert world.complaints() == []
    assert len(there(world)) == 32


async def test_a_request_of_an_administrator_asks_at_once() -> None:
    world = await with_two_zones()
    hanging = Hanging(world)
    world.apply(vnet("aa", 5002, "10.2.0.0/24"))
    for _ in range(3):
        await world.one_pass()
    assert len(hanging.hung) == 1
    hanging.repair()
    world.kube.annotate(IPAM, "pve-evpn.dev/reconcile-requested-at", "now")
    await world.settle()
    assert world.complaints() == []


async def test_a_vnet_that_goes_waits_for_the_server_and_goes_then() -> None:
    world = await with_two_zones(vnet("net1", 5001, "10.1.0.0/24", "10.2.0.0/24"))
    hanging = Hanging(world)
    world.kube.delete(NET1)
    world.apply(on_plain("cc", 5004, "10.4.0.0/24"))
    await world.one_pass()
    assert [method for method, _ in hanging.hung] == ["DELETE"]
    assert "the IPAM nb1 did not answer Proxmox" in world.ready(NET1)["message"]
    assert world.ready(key("cc"))["status"] == "True"
    assert world.lab.sdn.lock is None
    hanging.repair()
    hanging.pass_(3600)
    await world.settle()
    assert NET1 not in world.kube.objects
    assert there(world) == {"plain-10.4.0.0-24"}


async def test_a_dns_server_that_hangs_does_the_same() -> None:
    world = await served()
    hanging = Hanging(world, DNS_URL)
    world.apply(vnet("aa", 5002, "10.2.0.0/24"))
    await world.one_pass()
    assert len(hanging.hung) == 1
    assert world.ready(key("aa"))["message"].startswith("the IPAM nb1 or the DNS server ns1 did not answer Proxmox")
    assert world.lab.sdn.lock is None


async def test_a_write_that_proxmox_executes_after_all_is_kept() -> None:
    world = await with_two_zones()
    hanging = Hanging(world)
    world.apply(vnet("aa", 5002, "10.2.0.0/24"))
    await world.one_pass()
    hanging.repair()
    world.by_hand("POST", "/cluster/sdn/vnets/aa/subnets", subnet="10.2.0.0/24", type="subnet")
    await world.settle()
    assert world.complaints() == []
    assert there(world) == {"zone1-10.2.0.0-24"}


async def test_a_death_during_the_hang_leaves_no_lock() -> None:
    world = await with_two_zones()
    hanging = Hanging(world)
    world.apply(vnet("aa", 5002, "10.2.0.0/24"), on_plain("cc", 5004, "10.4.0.0/24"))
    note = world.interrupt

    def die(when: str, method: str, path: str) -> None:
        note(when, method, path)
        if when == "after" and path.endswith("/aa/subnets"):
            world.interrupt = note
            raise Killed

    world.interrupt = die
    assert await world.run_until_killed()
    world.start()
    await world.one_pass()
    assert len(hanging.hung) == 2, "a new process has to find out"
    assert world.ready(key("cc"))["status"] == "True"
    assert world.lab.sdn.lock is None
