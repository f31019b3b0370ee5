"""Addresses of guests in the IPAM of their zone: registered once, shown, released, and nothing else ever removed."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest

from pve_evpn.domain.objects import ObjectKey
from pve_evpn.engine.addresses import IN_ALL
from pve_lab.faults import DropAfter, GatewayError, ServerFails
from pve_lab.guests import Guest
from tests.engine.world import Killed, World, cluster, controller, document, vnet, zone

pytestmark = pytest.mark.asyncio
ACCESS = [{"namespaces": {}, "guests": {"vmids": [{"from": 100, "to": 9999}]}}]
IPS = "/cluster/sdn/vnets/net1/ips"
MAC = "BC:24:11:00:01:{:02X}"


def nic(vmid: int = 500, *addresses: str, **spec: Any) -> dict[str, Any]:
    base = {"clusterRef": {"name": "pve"}, "guest": {"vmid": vmid}, "device": "net0", "vnetRef": {"name": "net1"}}
    return document("NicAttachment", f"n{vmid}", {**base, "addresses": list(addresses) or None, **spec})


def key(vmid: int = 500) -> ObjectKey:
    return ObjectKey("NicAttachment", "default", f"n{vmid}")


class Booked(World):
    """A zone with Proxmox' own IPAM, a VNet with two subnets, VMs 500 to 503 and container 600."""

    def __init__(self, **zone_spec: Any) -> None:
        super().__init__(2)
        for n in range(4):
            text = f"virtio={MAC.format(n)},bridge=vmbr0"
            self.lab.guests[500 + n] = Guest(500 + n, "qemu", "pve1", f"g{n}", {"net0": text})
        text = "name=eth0,bridge=vmbr0,hwaddr=BC:24:11:00:02:00,ip=dhcp,type=veth"
        self.lab.guests[600] = Guest(600, "lxc", "pve1", "ct", {"net0": text})
        subnets = [{"cidr": "10.1.0.0/24", "gateway": "10.1.0.1"}, {"cidr": "2001:db8::/64"}]
        self.apply(
            cluster(guestAccess=ACCESS),
            controller(),
            zone(**{"ipam": "pve", **zone_spec}),
            vnet("net1", 5001, subnets=subnets),
        )

    def book(self, zone_id: str = "zone1") -> dict[str, str]:
        """Address to MAC, without gateways."""
        subnets = self.lab.sdn.ipam.zones.get(zone_id, {}).values()
        return {ip: entry.mac for addresses in subnets for ip, entry in addresses.items() if not entry.gateway}

    def shown(self, vmid: int = 500) -> list[str]:
        return [
            row["address"] for row in self.kube.objects[key(vmid)].get("status", {}).get("ipam", ()) if "since" in row
        ]

    def asked(self) -> list[str]:
        """The requests about addresses."""
        return [method for method, path, _ in self.calls if "/ips" in path]


async def test_addresses_are_registered_once_shown_and_released_with_the_object() -> None:
    world = Booked()
    world.apply(nic(500, "10.1.0.10", "2001:db8::10"))
    await world.settle()
    assert world.complaints() == []
    assert world.book() == {"10.1.0.10": MAC.format(0), "2001:db8::10": MAC.format(0)}
    (first, _) = world.kube.objects[key()]["status"]["ipam"]
    assert first == {
        "address": "10.1.0.10", "macAddress": MAC.format(0).lower(), "zone": "zone1", "vnet": "net1",
        "since": "2026-01-05T12:00:00Z",
    }  # fmt: skip
    assert len(world.events("Registered")) == 2
    world.die()
    await world.settle()
    await world.settle()
    assert world.asked() == ["POST", "POST"], "at rest nothing is asked, after a restart neither"
    world.kube.delete(key())
    await world.settle()
    assert key() not in world.kube.objects
    assert world.book() == {}
    assert world.asked() == ["POST", "POST", "DELETE", "DELETE"]


async def test_at_rest_a_registered_address_costs_no_call() -> None:
    costs = []
    for addresses in ((), ("10.1.0.10", "10.1.0.11")):
        world = Booked()
        world.apply(nic(500, *addresses), *(nic(n, f"10.1.0.{n - 480}") for n in (501, 502) if addresses))
        await world.settle()
        began = len(world.calls)
        await world.one_pass()
        costs.append(len(world.calls) - began)
    assert costs[1] == costs[0]


async def test_a_static_address_of_a_container_is_registered_where_it_is_listed() -> None:
    """Else an upgrade, or an import, would register addresses that nobody asked for."""
    world = Booked()
    container = {"type": "lxc", "ip": "10.1.0.60/24", "gw": "10.1.0.1"}
    world.apply(nic(600, **container))
    await world.settle()
    assert world.asked() == []
    world.apply(nic(600, "10.1.0.60", **container))
    await world.settle()
    assert world.book() == {"10.1.0.60": "BC:24:11:00:02:00"}


async def test_a_changed_list_mac_or_vnet_moves_the_entries() -> None:
    world = Booked()
    world.apply(vnet("net2", 5002, "10.2.0.0/24"), nic(500, "10.1.0.10", "10.1.0.11"))
    await world.settle()
    world.apply(nic(500, "10.1.0.11", "10.1.0.12", macAddress="bc:24:11:00:09:09"))
    await world.settle()
    assert world.book() == {"10.1.0.11": "BC:24:11:00:09:09", "10.1.0.12": "BC:24:11:00:09:09"}
    world.apply(nic(500, "10.2.0.11", macAddress="bc:24:11:00:09:09", vnetRef={"name": "net2"}))
    await world.settle()
    assert world.book() == {"10.2.0.11": "BC:24:11:00:09:09"}
    assert world.shown() == ["10.2.0.11"]


async def test_a_zone_without_an_ipam_registers_nothing() -> None:
    world = Booked(ipam=None, dns={"server": "ns1"})
    world.by_hand("POST", "/cluster/sdn/dns", dns="ns1", type="powerdns", url="http://d", key="k")
    world.apply(nic(500, "10.1.0.10"))
    await world.settle()
    assert world.complaints() == []
    assert world.asked() == []
    said = [world.kube.condition(each, "Effective") for each in (key(), ObjectKey("EvpnZone", "", "zone1"))]
    assert [condition["reason"] for condition in said] == ["NoIpam", "NoIpam"]
    assert said[0]["message"].startswith("addresses: EvpnZone zone1 has no IPAM to register them in")
    assert said[1]["message"].startswith("dns: Proxmox registers a name with its address in an IPAM")


async def test_everything_goes_in_one_go_and_the_subnets_are_empty_by_then() -> None:
    world = Booked()
    world.apply(nic(500, "10.1.0.10"), nic(501, "10.1.0.11"))
    await world.settle()
    for each in list(world.kube.objects):
        if each.kind in ("NicAttachment", "VNet", "EvpnZone", "EvpnController"):
            world.kube.delete(each)
    await world.settle()
    assert {each.kind for each in world.kube.objects} <= {"ProxmoxCluster", "EvpnNode"}
    assert world.lab.sdn.running["subnets"] == {}
    assert world.lab.applies == 2


async def test_a_subnet_that_the_vnet_has_no_more_is_left_by_its_addresses() -> None:
    world = Booked()
    world.apply(nic(500, "10.1.0.10", "2001:db8::10"))
    await world.settle()
    world.apply(vnet("net1", 5001, subnets=[{"cidr": "2001:db8::/64"}]))
    await world.settle()
    assert world.lab.sdn.running["subnets"].keys() == {"zone1-2001:db8::-64"}
    assert world.book() == {"2001:db8::10": MAC.format(0)}


@pytest.mark.parametrize("orphan", ["deletionPolicy", "force"])
async def test_what_is_left_on_purpose_keeps_its_entry(orphan: str) -> None:
    world = Booked()
    world.apply(nic(500, "10.1.0.10", deletionPolicy="Orphan" if orphan == "deletionPolicy" else None))
    await world.settle()
    if orphan == "force":
        world.refuse("DELETE", IPS, "no")
        world.kube.annotate(key(), "pve-evpn.dev/force-orphan", world.kube.objects[key()]["metadata"]["uid"])
    world.kube.delete(key())
    await world.settle()
    assert key() not in world.kube.objects
    assert world.book() == {"10.1.0.10": MAC.format(0)}


@pytest.mark.redteam
async def test_an_address_of_another_client_is_refused_alone_and_never_removed() -> None:
    world = Booked()
    world.apply(nic(501, "10.1.0.11"))
    await world.settle()
    world.by_hand("POST", IPS, zone="zone1", ip="10.1.0.10", mac="BC:24:11:99:99:99")
    world.apply(nic(500, "10.1.0.10"))
    await world.settle_or_wait()
    ready = world.ready(key(500))
    assert ready["reason"] == "AddressInUse"
    assert (
        "10.1.0.10 is in the IPAM of zone zone1 already, by another client (Proxmox: IP '10.1.0.10'" in ready["message"]
    )
    assert "may be its own" not in ready["message"]
    assert world.ready(key(501))["status"] == "True"
    tried = len(world.asked())
    for _ in range(3):
        await world.one_pass()
    assert len(world.asked()) == tried, "it waits longer each time"
    world.kube.delete(key(500))
    await world.settle()
    assert world.book() == {"10.1.0.10": "BC:24:11:99:99:99", "10.1.0.11": MAC.format(1)}
    assert "DELETE" not in world.asked()


async def test_it_is_registered_once_the_other_entry_is_gone() -> None:
    world = Booked()
    await world.settle()
    world.by_hand("POST", IPS, zone="zone1", ip="10.1.0.10", mac="BC:24:11:99:99:99")
    world.apply(nic(500, "10.1.0.10"))
    await world.settle_or_wait()
    world.by_hand("DELETE", IPS, zone="zone1", ip="10.1.0.10", mac="BC:24:11:99:99:99")
    world.now += timedelta(hours=1)
    await world.settle()
    assert world.complaints() == []
    assert world.book() == {"10.1.0.10": MAC.format(0)}


@pytest.mark.redteam
@pytest.mark.parametrize(
    ("address", "message"),
    [
        ("10.1.0.1", "addresses: 10.1.0.1 is the gateway of its subnet; choose another one"),
        ("10.1.0.11", "addresses: 10.1.0.11 is registered in the zone's IPAM for NicAttachment default/n501; choose"),
    ],
)
async def test_whose_an_address_is_is_said_where_it_is_known(address: str, message: str) -> None:
    world = Booked()
    world.apply(nic(501, "10.1.0.11"))
    await world.settle()
    world.apply(nic(500, address))
    await world.settle_or_wait()
    assert world.ready(key(500))["reason"] == "AddressInUse"
    assert world.ready(key(500))["message"].startswith(message)
    assert world.asked() == ["POST"], "Proxmox is not asked for it"


@pytest.mark.redteam
async def test_an_address_outside_of_all_subnets_is_said_and_not_asked_for() -> None:
    world = Booked()
    world.apply(nic(500, "192.0.2.7"))
    await world.settle()
    assert world.asked() == []
    effective = world.kube.condition(key(), "Effective")
    assert effective["reason"] == "AddressOutsideSubnets"
    assert effective["message"].startswith("addresses: 192.0.2.7 is in no subnet of its VNet, which has 10.1.0.0/24")


async def test_a_crash_before_proxmox_got_the_request_loses_nothing() -> None:
    world = Booked()
    world.apply(nic(500, "10.1.0.10"))

    def die() -> None:
        raise Killed

    world.once("before", "POST", IPS, die)
    assert await world.run_until_killed()
    assert world.shown() == []
    await world.settle()
    assert world.complaints() == []
    assert world.shown() == ["10.1.0.10"]


async def test_a_crash_after_proxmox_took_it_claims_nothing_that_is_not_proven() -> None:
    world = Booked()
    world.apply(nic(500, "10.1.0.10"))

    def die() -> None:
        raise Killed

    world.once("after", "POST", IPS, die)
    assert await world.run_until_killed()
    await world.settle_or_wait()
    own = f"so the entry may be its own: if the MAC there is {MAC.format(0)}, free it"
    assert own in world.ready(key())["message"]
    world.now += timedelta(hours=1)
    await world.settle_or_wait()
    assert own in world.ready(key())["message"], "it is said as long as it is so"
    world.by_hand("DELETE", IPS, zone="zone1", ip="10.1.0.10")
    world.now += timedelta(hours=1)
    await world.settle()
    assert world.complaints() == []
    assert world.shown() == ["10.1.0.10"]


async def test_what_was_only_asked_for_is_forgotten_with_the_address_and_not_released() -> None:
    world = Booked()
    world.apply(nic(500, "10.1.0.10"))
    world.once("after", "POST", IPS, lambda: (_ for _ in ()).throw(Killed))
    assert await world.run_until_killed()
    world.apply(nic(500, "10.1.0.20"))
    await world.settle()
    assert world.shown() == ["10.1.0.20"]
    assert [row["address"] for row in world.kube.objects[key()]["status"]["ipam"]] == ["10.1.0.20"]
    assert "DELETE" not in world.asked()


async def test_an_ipam_that_hangs_is_asked_once_and_not_for_every_guest() -> None:
    """Each request to it costs 30 seconds in Proxmox, for which the cluster's sync waits."""
    world = Booked()
    await world.settle()
    fault = world.lab.faults.add(GatewayError(method="POST", path=IPS, status=596, outcome="lost"))
    world.apply(*(nic(500 + n, f"10.1.0.{10 + n}") for n in range(4)), nic(600, "10.1.0.60", type="lxc"))
    for _ in range(6):
        await world.one_pass()
    assert len(world.asked()) <= IN_ALL, "those that were under way at once"
    assert all(world.ready(key(500 + n))["status"] == "False" for n in range(4))
    assert "did not answer Proxmox, so" in "".join(world.ready(each)["message"] for each in map(key, (503, 600)))
    assert world.ready(ObjectKey("VNet", "default", "net1"))["status"] == "True"
    world.lab.faults.remove(fault.id)
    world.now += timedelta(hours=1)
    world.skipped += 3600
    await world.settle()
    assert world.complaints() == []
    assert len(world.book()) == 5


async def test_an_answer_that_is_lost_is_no_registration() -> None:
    world = Booked()
    fault = world.lab.faults.add(DropAfter(method="POST", path=IPS, times=1))
    world.apply(nic(500, "10.1.0.10"))
    await world.settle_or_wait()
    assert fault
    assert world.shown() == []
    assert world.ready(key())["status"] == "False"


async def test_a_release_that_proxmox_refuses_holds_the_object_and_says_so() -> None:
    world = Booked()
    world.apply(nic(500, "10.1.0.10"))
    await world.settle()
    fault = world.refuse("DELETE", IPS, "the disk is full")
    world.kube.delete(key())
    await world.settle_or_wait()
    assert world.kube.condition(key(), "Programmed")["reason"] == "DeletionBlocked"
    assert "10.1.0.10 (BC:24:11:00:01:00) in VNet net1 is still registered" in world.ready(key())["message"]
    world.lab.faults.remove(fault.id)
    world.now += timedelta(hours=1)
    await world.settle()
    assert key() not in world.kube.objects
    assert world.book() == {}


async def test_an_entry_that_another_client_removed_ends_no_deletion() -> None:
    world = Booked()
    world.apply(nic(500, "10.1.0.10"))
    await world.settle()
    world.by_hand("DELETE", IPS, zone="zone1", ip="10.1.0.10")
    world.kube.delete(key())
    await world.settle()
    assert key() not in world.kube.objects


async def test_an_ipam_outside_has_the_addresses_with_proxmox_words_where_it_refuses() -> None:
    url = "https://netbox.example.com/api"
    world = Booked(ipam="nb1")
    world.by_hand("POST", "/cluster/sdn/ipams", ipam="nb1", type="netbox", url=url, token="t")
    world.apply(nic(500, "10.1.0.10"))
    await world.settle()
    assert world.lab.sdn.outside.addresses == {url: {"10.1.0.10": MAC.format(0)}}
    fault = world.lab.faults.add(ServerFails(url=url, answer="503 Service Unavailable"))
    world.apply(nic(501, "10.1.0.11"))
    await world.settle_or_wait()
    assert (
        "Proxmox: error add subnet ip to ipam: ip already exist: Invalid response from server: 503"
        in (world.ready(key(501))["message"])
    )
    world.lab.faults.remove(fault.id)
    world.now += timedelta(hours=1)
    await world.settle()
    world.kube.delete(key(500))
    await world.settle()
    assert world.lab.sdn.outside.addresses == {url: {"10.1.0.11": MAC.format(1)}}


async def test_a_paused_object_and_one_that_is_only_observed_register_nothing() -> None:
    world = Booked()
    observed = nic(500, "10.1.0.10", managementPolicy="ObserveOnly")
    world.apply(observed, document("NicAttachment", "n501", nic(501, "10.1.0.11")["spec"], paused="true"))
    await world.settle_or_wait()
    assert world.asked() == []
