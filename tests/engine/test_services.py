"""IPAMs and DNS servers: written at once and apart from the apply, with secrets that nothing shows."""

from __future__ import annotations

import json
import logging
from datetime import timedelta
from typing import Any

import pytest

from pve_evpn.domain.objects import ObjectKey
from pve_lab.faults import kinds as faults
from tests.engine.test_export import applied, exported, kinds
from tests.engine.world import (
    CLUSTER,
    NET1,
    SEED,
    ZONE,
    Killed,
    World,
    cluster,
    controller,
    document,
    programmed,
    vnet,
    zone,
)

pytestmark = pytest.mark.asyncio
ON_PVE = {"clusterRef": {"name": "pve"}}
URL, DNS_URL = "https://netbox.example.com/api", "http://dns.example.com:8081/api/v1/servers/localhost"
TOKEN, KEY = "nb-token-0123456789abcdef", "dns-key-fedcba9876543210"
IPAM, DNS = ObjectKey("Ipam", "", "nb1"), ObjectKey("DnsServer", "", "ns1")


def ipam(name: str = "nb1", **spec: Any) -> dict[str, Any]:
    base = {**ON_PVE, "type": "netbox", "url": URL, "tokenSecretRef": {"name": "netbox"}}
    return document("Ipam", name, {**base, **spec})


def dns(name: str = "ns1", **spec: Any) -> dict[str, Any]:
    return document("DnsServer", name, {**ON_PVE, "url": DNS_URL, "keySecretRef": {"name": "dns"}, **spec})


def with_secrets(world: World) -> World:
    world.kube.secrets["netbox"] = {"token": TOKEN}
    world.kube.bind("netbox", "pve", URL)
    world.kube.secrets["dns"] = {"key": KEY}
    world.kube.bind("dns", "pve", DNS_URL)
    return world


async def served(*more: dict[str, Any], **zone_spec: Any) -> World:
    """The seed with an Ipam and a DnsServer that its zone names, all of it in sync."""
    world = with_secrets(World())
    names = {"ipamRef": {"name": "nb1"}, "dns": {"serverRef": {"name": "ns1"}, "zone": "example.com"}}
    world.apply(cluster(), controller(), ipam(), dns(), zone(**{**names, **zone_spec}), *more)
    await world.settle()
    assert world.complaints() == []
    return world


async def test_they_are_made_before_their_zone_and_one_apply_publishes_the_zone() -> None:
    world = await served(vnet("net1", 5001, "10.1.0.0/24"))
    services = world.lab.sdn.services
    assert services["ipams"]["nb1"] == {"type": "netbox", "url": URL, "token": TOKEN}
    assert services["dns"]["ns1"] == {"type": "powerdns", "url": DNS_URL, "key": KEY}
    running = world.lab.sdn.running["zones"]["zone1"]
    assert (running["ipam"], running["dns"], running["dnszone"]) == ("nb1", "ns1", "example.com")
    assert world.lab.applies == 1
    assert world.programmed(IPAM) == ("Programmed", "written, which takes effect without an apply")
    status = world.kube.objects[IPAM]["status"]
    assert (status["id"], status["origin"], status["usedBy"]) == ("nb1", "Created", ["zone zone1"])


async def test_no_poll_shows_services_at_work_so_they_have_no_operational() -> None:
    world = await served()
    for key in (IPAM, DNS):
        types = {condition["type"] for condition in world.kube.objects[key]["status"]["conditions"]}
        assert types == {"Ready", "Accepted", "Programmed", "Drifted", "Paused"}


async def test_at_rest_each_kind_costs_one_read_and_nothing_is_written() -> None:
    plain, world = await programmed(), await served()
    costs = []
    for each in (plain, world):
        before = len(each.calls)
        await each.one_pass()
        costs.append(each.calls[before:])
    assert [path for _, path, _ in costs[1] if "/ipams" in path or "/dns" in path] == [
        "/cluster/sdn/ipams", "/cluster/sdn/dns",
    ]  # fmt: skip
    assert not [path for _, path, _ in costs[0] if "/ipams" in path or "/dns" in path]
    assert all(method == "GET" for method, _, _ in costs[1])


async def test_a_change_of_a_service_alone_applies_nothing() -> None:
    world = await served()
    world.apply(ipam(url=f"{URL}/v2"), dns(ttlSeconds=60, reverseMask6=64))
    world.kube.bind("netbox", "pve", f"{URL}/v2")
    await world.settle()
    assert world.complaints() == []
    world.apply(ipam("own", type="pve", url=None, tokenSecretRef=None))
    await world.settle()
    assert world.kube.objects[ObjectKey("Ipam", "", "own")]["status"]["origin"] == "Created", (
        "without a transaction too"
    )
    assert world.lab.sdn.services["ipams"]["nb1"]["url"] == f"{URL}/v2"
    assert (
        world.lab.sdn.services["dns"]["ns1"] | {"ttl": 60, "reversemaskv6": 64} == world.lab.sdn.services["dns"]["ns1"]
    )
    assert world.lab.applies == 1


async def test_a_changed_secret_is_written_and_drift_of_it_is_corrected() -> None:
    world = await served()
    world.kube.secrets["netbox"] = {"token": "rotated-token-1"}
    await world.settle()
    assert world.lab.sdn.services["ipams"]["nb1"]["token"] == "rotated-token-1"
    assert world.events("Drifted") == []
    world.lab.sdn.services["dns"]["ns1"]["key"] = "by-hand-key"
    await world.settle()
    assert world.lab.sdn.services["dns"]["ns1"]["key"] == KEY
    assert world.lab.applies == 1
    assert len(world.events("Drifted")) == 1
    assert "by-hand-key" not in everything_that_is_shown(world)


async def test_a_client_that_writes_another_token_again_and_again_is_answered_less_and_less_often() -> None:
    world = await served()
    before = len(world.writes())
    for _ in range(20 * 12):
        world.lab.sdn.services["dns"]["ns1"]["key"] = "by-hand-key"
        await world.one_pass()
        world.now += timedelta(seconds=5)
    assert 3 <= len(world.writes()) - before <= 7
    assert world.ready(DNS)["reason"] == "DriftFight"
    assert "key is another one, specified that of the Secret" in world.ready(DNS)["message"]
    assert world.ready(ZONE)["status"] == "True"


def deaths() -> list[tuple[str, str, str]]:
    writes = [
        ("POST", "/cluster/sdn/ipams"), ("POST", "/cluster/sdn/dns"), ("PUT", "/cluster/sdn/ipams/nb1"),
        ("DELETE", "/cluster/sdn/ipams/nb1"), ("DELETE", "/cluster/sdn/dns/ns1"),
        ("DELETE", "/cluster/sdn/zones/zone1"),
    ]  # fmt: skip
    return [(when, *write) for write in writes for when in ("before", "after")]


@pytest.mark.parametrize("death", deaths(), ids=" ".join)
async def test_a_kill_around_any_write_loses_nothing_and_leaves_nothing_behind(death: tuple[str, str, str]) -> None:
    def die() -> None:
        killed.append(True)
        raise Killed

    killed: list[bool] = []
    world = with_secrets(World())
    world.once(*death, die)
    names = {"ipamRef": {"name": "nb1"}, "dns": {"serverRef": {"name": "ns1"}}}
    world.apply(cluster(), controller(), ipam(), dns(), zone(**names))
    await world.run_until_killed()
    await world.settle()
    world.kube.secrets["netbox"] = {"token": "rotated-token-1"}
    await world.run_until_killed()
    await world.settle()
    assert world.complaints() == []
    assert {world.kube.objects[each]["status"]["origin"] for each in (IPAM, DNS)} == {"Created"}
    assert world.lab.sdn.services["ipams"]["nb1"]["token"] == "rotated-token-1"
    for each in (IPAM, DNS, ZONE):
        world.kube.delete(each)
    await world.run_until_killed()
    await world.settle()
    assert killed
    assert {IPAM, DNS, ZONE} & world.kube.objects.keys() == set()
    assert world.lab.sdn.services == {"ipams": {"pve": {"type": "pve"}}, "dns": {}}
    assert world.lab.sdn.lock is None


async def test_a_proxmox_that_hides_its_tokens_gets_a_changed_one_once(monkeypatch: pytest.MonkeyPatch) -> None:
    world = await served()
    shown = world.lab.sdn.listing

    def without_tokens(kind: str, view: str, vnet: str | None = None) -> list[dict[str, Any]]:
        return [{k: v for k, v in row.items() if k not in ("token", "key")} for row in shown(kind, view, vnet)]

    monkeypatch.setattr(world.lab.sdn, "listing", without_tokens)
    writes = len(world.writes())
    world.die()
    await world.settle()
    assert len(world.writes()) == writes, "the status remembers which Secret Proxmox got"
    world.kube.secrets["netbox"] = {"token": "rotated-token-1"}
    await world.settle()
    await world.settle()
    assert world.writes()[writes:] == [("PUT", "/cluster/sdn/ipams/nb1")]
    assert world.lab.sdn.services["ipams"]["nb1"]["token"] == "rotated-token-1"
    assert world.complaints() == []


def everything_that_is_shown(world: World) -> str:
    """Objects with their statuses, Events, journal."""
    journals = [repr(entry) for entry in world.kube.journal.values()]
    events = [f"{event.message} {event.cause}" for event in world.kube.events]
    return "\n".join([*map(json.dumps, world.kube.objects.values()), *events, *journals])


@pytest.mark.redteam
async def test_no_secret_is_shown_anywhere(caplog: pytest.LogCaptureFixture) -> None:
    world = with_secrets(World())
    logging.getLogger("pve_evpn").setLevel(logging.DEBUG)
    with caplog.at_level(logging.DEBUG, "pve_evpn"):
        world.refuse("PUT", "/cluster/sdn/ipams/nb1", f"cannot use {TOKEN[:-1]}x or rotated-token-1 here", times=1)
        world.apply(cluster(), controller(), ipam(), dns(), zone(ipamRef={"name": "nb1"}))
        await world.settle()
        world.kube.secrets["netbox"] = {"token": "rotated-token-1"}
        await world.settle()
        world.kube.delete(DNS)
        await world.settle()
    text = everything_that_is_shown(world) + caplog.text + repr(world.operator._planner._first)
    for secret in (TOKEN, KEY, "rotated-token-1"):
        assert secret not in text
    assert "cannot use" in "".join(event.message for event in world.kube.events)


async def test_a_server_that_does_not_answer_fails_its_own_object_alone() -> None:
    world = with_secrets(World())
    fault = world.lab.faults.add(faults.make("server-fails", {"url": "https://netbox", "answer": "403 Forbidden"}))
    world.apply(*SEED, ipam(), dns(), zone("zone2", vrfVni=100002, ipamRef={"name": "nb1"}))
    await world.settle_or_wait()
    assert world.ready(IPAM)["reason"] == "StagingFailed"
    assert world.ready(IPAM)["message"].startswith(
        f"the IPAM at {URL} does not answer Proxmox as it should (403 Forbidden). Proxmox asks the server before it"
    )
    zone2 = ObjectKey("EvpnZone", "", "zone2")
    assert world.ready(zone2)["reason"] == "WaitingForDependencies"
    assert {key.name for key in (ZONE, NET1, DNS) if world.ready(key)["status"] != "True"} == set()
    world.lab.faults.remove(fault.id)
    world.now += timedelta(hours=1)
    await world.settle()
    assert world.complaints() == []


async def test_a_server_that_hangs_breaks_no_transaction_off() -> None:
    world = with_secrets(World())
    fault = world.lab.faults.add(faults.make("server-hangs", {}))
    world.apply(*SEED, ipam())
    await world.settle_or_wait()
    assert "most likely the IPAM at" in world.ready(IPAM)["message"]
    assert world.ready(NET1)["status"] == "True"
    assert world.lab.sdn.lock is None
    # Proxmox executes it after all: it is the operator's, and goes with the object.
    world.lab.faults.remove(fault.id)
    world.by_hand("POST", "/cluster/sdn/ipams", ipam="nb1", type="netbox", url=URL, token=TOKEN)
    world.die()
    await world.settle()
    assert world.kube.objects[IPAM]["status"]["origin"] == "Created"
    world.kube.delete(IPAM)
    await world.settle()
    assert world.lab.sdn.services["ipams"].keys() == {"pve"}


async def test_a_changed_secret_is_tried_at_once_after_a_failure() -> None:
    world = with_secrets(World())
    fault = world.lab.faults.add(faults.make("server-fails", {"url": "https://netbox", "answer": "403 Forbidden"}))
    world.apply(*SEED, ipam())
    await world.settle_or_wait()
    world.lab.faults.remove(fault.id)
    world.kube.secrets["netbox"] = {"token": "the-right-one"}
    await world.one_pass()
    assert world.lab.sdn.services["ipams"]["nb1"]["token"] == "the-right-one"


async def test_one_that_a_zone_uses_is_not_deleted_and_goes_with_the_last_zone() -> None:
    world = await served()
    world.kube.delete(IPAM)
    world.kube.delete(DNS)
    await world.settle_or_wait()
    assert world.programmed(IPAM) == (
        "DeletionBlocked", "ipam nb1 is still used by EvpnZone zone1 (zone zone1)",
    )  # fmt: skip
    assert "nb1" in world.lab.sdn.services["ipams"]
    world.kube.delete(ZONE)
    await world.settle()
    assert world.lab.sdn.services == {"ipams": {"pve": {"type": "pve"}}, "dns": {}}
    assert {IPAM, DNS} & world.kube.objects.keys() == set()
    paths = [path for method, path in world.writes() if method == "DELETE"]
    assert paths.index("/cluster/sdn/zones/zone1") < paths.index("/cluster/sdn/ipams/nb1")


async def test_a_zone_moves_from_one_ipam_to_another_that_takes_its_place() -> None:
    world = await served()
    world.kube.bind("netbox", "pve", f"{URL} {URL}/two")
    world.apply(ipam("nb2", url=f"{URL}/two"), zone(ipamRef={"name": "nb2"}))
    world.kube.delete(IPAM)
    await world.settle()
    assert world.lab.sdn.services["ipams"].keys() == {"pve", "nb2"}
    assert world.lab.sdn.running["zones"]["zone1"]["ipam"] == "nb2"


@pytest.mark.parametrize(
    ("documents", "key", "reason", "message"),
    [
        ([ipam(tokenSecretRef=None)], IPAM, "CredentialsMissing", "tokenSecretRef: needed, because ipam nb1 does not"),
        ([dns(keySecretRef=None)], DNS, "CredentialsMissing", "keySecretRef: needed, because dns ns1 does not exist"),
        ([ipam(tokenSecretRef={"name": "no"})], IPAM, "CredentialsMissing", "has no Secret 'no' for this cluster"),
        ([ipam(tokenSecretRef={"name": "c"})], IPAM, "CredentialsMissing", "to be sent to https://netbox.example.com"),
        ([ipam(url="https://evil.example.com")], IPAM, "CredentialsMissing", "to be sent to https://evil.example.com"),
        ([ipam(tokenSecretRef={"name": "netbox", "key": "no"})], IPAM, "CredentialsMissing", "the key 'no' of the Sec"),
        ([ipam(id="pve")], IPAM, "IdConflict", "id: pve is the built-in IPAM; create this object again"),
        ([ipam(), ipam("nb2", id="nb1")], ObjectKey("Ipam", "", "nb2"), "IdConflict", "already belongs to Ipam nb1"),
        ([zone(ipamRef={"name": "no"})], ZONE, "RefNotFound", "ipamRef: there is no Ipam 'no'"),
        ([zone(dns={"serverRef": {"name": "no"}})], ZONE, "RefNotFound", "dns.serverRef: there is no DnsServer 'no'"),
        ([dns(), zone(dns={"serverRef": {"name": "ns1"}, "reverseRef": {"name": "x"}})], ZONE, "RefNotFound",
         "dns.reverseRef: there is no DnsServer 'x'"),
    ],
)  # fmt: skip
async def test_bad_input_is_refused_with_what_to_do(
    documents: list[dict[str, Any]], key: ObjectKey, reason: str, message: str
) -> None:
    world = with_secrets(await programmed())
    world.apply(*documents)
    await world.settle_or_wait()
    assert world.ready(key)["reason"] == reason
    assert message in world.ready(key)["message"]
    assert world.ready(NET1)["status"] == "True" or key == ZONE
    assert "evil" not in str(world.lab.sdn.services)


@pytest.mark.redteam
async def test_what_is_there_is_adopted_without_its_secret_and_sent_nowhere_else() -> None:
    world = await programmed()
    world.by_hand("POST", "/cluster/sdn/ipams", ipam="nb1", type="netbox", url=URL, token="made-by-hand")
    writes = len(world.writes())
    world.apply(ipam(tokenSecretRef=None), document("Ipam", "pve", {**ON_PVE, "type": "pve"}))
    await world.settle()
    assert world.complaints() == []
    assert len(world.writes()) == writes
    assert world.kube.objects[IPAM]["status"]["origin"] == "Adopted"
    world.apply(ipam(tokenSecretRef=None, url="https://evil.example.com"))
    await world.settle_or_wait()
    assert world.ready(IPAM)["message"].startswith("tokenSecretRef: needed to change url, because Proxmox would send")
    assert world.lab.sdn.services["ipams"]["nb1"]["url"] == URL
    world.kube.delete(IPAM)
    world.kube.delete(ObjectKey("Ipam", "", "pve"))
    await world.settle()
    assert world.lab.sdn.services["ipams"].keys() == {"pve", "nb1"}, "adopted ones stay"


async def test_what_was_made_by_hand_is_exported_without_secrets_and_adopted_without_a_write() -> None:
    world = World()
    for path, made in (
        ("ipams", {"ipam": "nb1", "type": "netbox", "url": URL, "token": TOKEN}),
        ("ipams", {"ipam": "php1", "type": "phpipam", "url": "http://p/api/pve/", "token": TOKEN, "section": 3}),
        ("dns", {"dns": "ns1", "type": "powerdns", "url": DNS_URL, "key": KEY, "ttl": 60, "reversemaskv6": 64}),
        ("controllers", {"controller": "evpn1", "type": "evpn", "asn": 65001, "fabric": "Fabric1"}),
        ("zones", {"zone": "z1", "type": "evpn", "controller": "evpn1", "vrf-vxlan": 9, "ipam": "nb1", "dns": "ns1"}),
    ):
        assert world.by_hand("POST", f"/cluster/sdn/{path}", **made).status == 200
    world.by_hand("PUT", "/cluster/sdn")
    world.kube.secrets["c"] = {"tokenId": "root@pam!tok", "token": "secret"}
    found = await exported(world)
    assert [str(omission) for omission in found.unexpressed] == []
    assert kinds(found)["Ipam"] == 2
    assert kinds(found)["DnsServer"] == 1
    (exported_zone,) = (manifest for manifest in found.manifests if manifest.key.kind == "EvpnZone")
    assert exported_zone.spec["ipamRef"] == {"name": "nb1"}
    assert exported_zone.spec["dns"] == {"serverRef": {"name": "ns1"}}
    assert TOKEN not in str(found)
    assert KEY not in str(found)
    await applied(world, found)
    assert world.kube.objects[IPAM]["status"]["origin"] == "Adopted"


async def test_a_reverse_server_without_one_for_names_is_left_out_of_an_export_and_named() -> None:
    """Proxmox takes it, the API server does not."""
    world = World()
    world.by_hand("POST", "/cluster/sdn/dns", dns="ns1", type="powerdns", url=DNS_URL, key=KEY)
    world.by_hand("POST", "/cluster/sdn/controllers", controller="evpn1", type="evpn", asn=65001, fabric="Fabric1")
    props = {"controller": "evpn1", "vrf-vxlan": 9, "reversedns": "ns1"}
    world.by_hand("POST", "/cluster/sdn/zones", zone="z1", type="evpn", **props)
    world.by_hand("PUT", "/cluster/sdn")
    found = await exported(world)
    assert [str(omission) for omission in found.unexpressed] == [
        "zone z1 reversedns: 'ns1': it has no server for names"
    ]  # fmt: skip


async def test_another_clients_ipam_of_that_name_is_left_alone() -> None:
    world = with_secrets(await programmed())
    world.by_hand("POST", "/cluster/sdn/ipams", ipam="nb1", type="netbox", url=f"{URL}/theirs", token="theirs")
    world.apply(ipam())
    await world.settle_or_wait()
    assert world.ready(IPAM)["reason"] == "ForeignObject"
    assert "theirs-token" not in world.ready(IPAM)["message"]
    world.kube.delete(IPAM)
    await world.settle()
    assert world.lab.sdn.services["ipams"]["nb1"]["token"] == "theirs"


async def test_paused_and_observed_clusters_get_no_writes() -> None:
    world = with_secrets(World())
    world.apply(cluster(managementPolicy="ObserveOnly"), ipam())
    await world.settle_or_wait()
    assert world.writes() == []
    assert world.kube.objects[CLUSTER]
