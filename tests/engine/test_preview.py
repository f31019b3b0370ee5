"""What a preview says is what the operator then does: the same manifests, planned first and applied then."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Mapping
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from pve_evpn.api.kinds import GROUP, VERSION
from pve_evpn.cli.manifests import Manifests, apply_to, pruned
from pve_evpn.cli.proxmox import evpn_vnets, read_firewalls, read_state
from pve_evpn.domain.objects import ObjectKey
from pve_evpn.domain.plan.step_class import StepClass
from pve_evpn.domain.preview import Preview, Stage, preview
from pve_evpn.pve.credentials import Credentials
from pve_evpn.pve.transport import Trust
from tests.engine.world import (
    CLUSTER,
    NET1,
    SEED,
    DirectGateway,
    World,
    cluster,
    controller,
    key,
    programmed,
    vnet,
    zone,
)
from tests.engine.world import document as manifest

LABELS = {"kubernetes.io/metadata.name": "default"}
_SDN = re.compile(r"/cluster/sdn/(controllers|zones|vnets)/[^/]+(/subnets/.+)?")


def nic(name: str = "vm1-net0", vmid: int = 100, **spec: Any) -> dict[str, Any]:
    base = {"clusterRef": {"name": "pve"}, "guest": {"vmid": vmid}, "device": "net0", "vnetRef": {"name": "net1"}}
    return {"kind": "NicAttachment", "metadata": {"name": name}, "spec": {**base, **spec}}


GRANT = {"guestAccess": [{"namespaces": {}, "guests": {"vmids": [{"from": 100, "to": 300}]}}]}


async def previewed(world: World, *documents: Mapping[str, Any], prune: bool = False) -> Preview:
    """Plan as `pve-evpn plan` does, on what Kubernetes and Proxmox have."""
    made = type("Gateway", (DirectGateway,), {"world": world})
    gateway = made("pve", ["https://pve1:8006"], Credentials("root@pam", "tok", "secret"), Trust())
    state = await read_state(gateway, guests=True)
    firewalls = await read_firewalls(gateway, evpn_vnets(state))
    world.kube.namespaces["default"] = LABELS
    cache, watched = world.kube.fresh_cache(), world.cache
    world.kube.cache = watched
    objects = {key(doc): {"apiVersion": f"{GROUP}/{VERSION}", **doc} for doc in documents}
    apply_to(cache, Manifests(objects, (), 0, {}))
    desired = cache.desired("pve")
    assert desired is not None
    if prune:
        desired, _ = pruned(desired, objects)
    return preview(desired, state, firewalls, world.now)


async def carried_out(
    world: World, *documents: Mapping[str, Any], prune: bool = False, patient: bool = False
) -> Preview:
    """Preview, apply, and hold the operator's writes against the preview.

    ``patient``: objects may be left that never become Ready.
    """
    said = await previewed(world, *documents, prune=prune)
    before = len(world.writes())
    world.apply(*documents)
    for there in list(world.kube.objects) if prune else ():
        if there not in {key(doc) for doc in documents} and there.kind != "EvpnNode":
            world.kube.delete(there)
    if world.operator is None:
        world.start()
    await (world.settle_or_wait() if patient else world.settle())
    writes = world.writes()[before:]
    staged = [path for method, path in writes if _SDN.fullmatch(path)]
    due = [change for change in said.due if change.held is None]
    assert len(staged) == sum(change.stage is Stage.APPLY for change in due), (staged, due)
    nics = [path for _, path in writes if path.endswith("/config")]
    assert bool(nics) is any(change.stage is Stage.NIC for change in due)
    firewalls = [path for _, path in writes if "/firewall/" in path]
    assert bool(firewalls) is any(change.stage is Stage.FIREWALL for change in due)
    assert {each for each in said.refused if world.ready(each).get("status") == "True"} == set()
    return said


async def test_the_seed_from_nothing() -> None:
    world = World()
    said = await carried_out(world, cluster(**GRANT), *SEED[1:], nic())
    assert [change.words for change in said.changes] == [
        "create controller evpn1",
        "create zone zone1",
        "create vnet net1",
        "create subnet zone1-10.1.0.0-24 in vnet net1",
        "change net0 of VM 100 (vm1): vnetRef is vmbr0, becomes net1",
    ]
    assert {change.why for change in said.changes[:4]} == {"it is new"}
    again = await previewed(world, cluster(**GRANT), *SEED[1:], nic())
    assert (again.changes, again.refused, again.waiting, again.unchanged) == ((), {}, {}, 4)


async def test_changes_have_a_class_and_the_property_that_decides_it() -> None:
    world = await programmed()
    said = await carried_out(
        world, zone(mtu=1400), vnet("net1", 5001, "10.1.0.0/24", alias="web"), vnet("net2", 5002, "10.2.0.0/24")
    )
    assert [(change.words.split(":")[0], str(change.step_class), change.why) for change in said.changes] == [
        ("update zone zone1", "disruptive", "mtu"),
        ("update vnet net1", "none", "alias"),
        ("create vnet net2", "reload", "it is new"),
        ("create subnet zone1-10.2.0.0-24 in vnet net2", "reload", "it is new"),
    ]
    assert said.changes[0].key == ObjectKey("EvpnZone", "", "zone1")


async def test_firewalls_and_nics_of_networks_that_are_not_there_yet() -> None:
    world = await programmed(**GRANT)
    rules = [{"action": "ACCEPT", "macro": "SSH"}, {"action": "DROP"}]
    new = vnet("net2", 5002, firewall={"enabled": True, "rules": rules})
    said = await carried_out(world, new, nic(vnetRef={"name": "net2"}))
    assert [change.words for change in said.changes if change.stage is not Stage.APPLY] == [
        "firewall of net2: insert rule forward DROP enable=0",
        "firewall of net2: insert rule forward ACCEPT macro=SSH enable=0",
        "firewall of net2: set options enable=1",
        "change net0 of VM 100 (vm1): vnetRef is vmbr0, becomes net2",
    ]


async def test_conflicts_are_refused_with_the_operators_words() -> None:
    world = await programmed()
    said = await carried_out(world, vnet("net2", 5001), vnet("net3", 5003, "10.1.0.0/25"))
    assert {each.name: str(problem.reason) for each, problem in said.refused.items()} == {
        "net2": "VniConflict",
        "net3": "SubnetOverlap",
    }
    assert said.changes == ()


async def test_what_waits_for_what_another_gives_up_comes_in_another_apply() -> None:
    world = await programmed()
    await carried_out(world, vnet("net2", 5002, "10.1.0.0/25"), patient=True)
    said = await carried_out(world, vnet("net1", 5001))
    assert [(change.words, change.why) for change in said.changes] == [
        ("delete subnet zone1-10.1.0.0-24", "it is deleted"),
        ("create vnet net2", "in another apply, once the first one is done"),
        ("create subnet zone1-10.1.0.0-25 in vnet net2", "in another apply, once the first one is done"),
    ]
    assert said.refused == {}


async def test_prune_shows_what_is_deleted_and_what_stays() -> None:
    world = await programmed(vnet("net2", 5002, "10.2.0.0/24", deletionPolicy="Orphan"))
    said = await carried_out(world, cluster(), controller(), zone(), prune=True)
    assert [change.words for change in said.changes] == ["delete subnet zone1-10.1.0.0-24", "delete vnet net1"]
    assert {str(change.step_class) for change in said.changes} == {"destructive"}


async def test_a_subnet_of_a_deleted_vnet_has_its_turn_in_the_next_apply() -> None:
    world = await programmed(vnet("net2", 5002))
    kept = (cluster(), controller(), zone(), vnet("net2", 5002, "10.1.0.0/24"))
    said = await carried_out(world, *kept, prune=True, patient=True)
    assert [(change.words, change.apply) for change in said.changes] == [
        ("delete subnet zone1-10.1.0.0-24", 1),
        ("delete vnet net1", 1),
        ("create subnet zone1-10.1.0.0-24 in vnet net2", 2),
    ]
    assert (said.refused, said.waiting) == ({}, {})


async def test_a_deleted_vnet_goes_after_the_nic_that_is_on_it() -> None:
    world = await programmed(nic(), **GRANT)
    said = await carried_out(world, cluster(**GRANT), controller(), zone(), prune=True)
    assert [change.words for change in said.changes] == [
        "change net0 of VM 100 (vm1): vnetRef is net1, becomes vmbr0",
        "delete subnet zone1-10.1.0.0-24",
        "delete vnet net1",
    ]
    assert said.waiting == {}


@pytest.mark.parametrize(
    ("spec", "reason", "due"),
    [
        ({"apply": {"policy": "Manual"}}, "AwaitingApproval", 1),
        ({"managementPolicy": "ObserveOnly"}, "FieldsDiffer", 0),
    ],
    ids=str,
)
async def test_what_is_not_done_at_once_says_why(spec: dict[str, Any], reason: str, due: int) -> None:
    world = await programmed()
    said = await previewed(world, cluster(**spec), vnet("net1", 5001, "10.1.0.0/24", alias="web"))
    [change] = said.changes
    assert change.held is not None
    assert (change.held.reason, len(said.due)) == (reason, due)
    assert change.key == NET1


async def test_foreign_edits_hold_the_apply_and_not_the_preview() -> None:
    world = await programmed()
    world.by_hand("POST", "/cluster/sdn/vnets", vnet="theirs", zone="zone1", tag=99)
    said = await previewed(world, vnet("net1", 5001, "10.1.0.0/24", alias="web"))
    assert said.held is not None
    assert (said.held.reason, said.foreign) == ("ForeignPendingChanges", ("vnet theirs new",))
    assert len(said.due) == 1
    assert CLUSTER not in said.refused


# --- at random --------------------------------------------------------------------------------------------------------


@st.composite
def repositories(draw: st.DrawFn) -> list[dict[str, Any]]:
    """What somebody keeps in Git: it may be wrong, conflict or be incomplete."""
    documents = [cluster(**GRANT), controller()]
    for name, vni in (("zone1", 100001), ("zone2", draw(st.sampled_from([100002, 100001])))):
        spec = draw(st.fixed_dictionaries({}, optional={"mtu": st.sampled_from([1400, 1450]), "nodes": _NODES}))
        documents.append(zone(name, vrfVni=vni, **spec))
    for number in range(draw(st.integers(0, 3))):
        cidrs = draw(st.lists(st.sampled_from(["10.1.0.0/24", "10.2.0.0/24", "10.2.0.0/25"]), max_size=2, unique=True))
        spec = draw(
            st.fixed_dictionaries(
                {"zoneRef": st.sampled_from([{"name": "zone1"}, {"name": "zone2"}, {"name": "zone3"}])},
                optional={
                    "alias": st.sampled_from(["a", "b"]),
                    "firewall": st.sampled_from([{"enabled": True}, {"rules": [{"action": "DROP"}]}]),
                },
            )
        )
        vni = draw(st.sampled_from([5001, 5002, 5003]))
        documents.append(vnet(f"net{number + 1}", vni, *cidrs, **spec))
    for vmid in draw(st.sets(st.sampled_from([100, 200, 300]))):
        target = draw(st.sampled_from(["net1", "net2"]))
        documents.append(nic(f"nic{vmid}", vmid, vnetRef={"name": target}))
    return documents


_NODES = st.sampled_from([["pve1"], ["pve1", "pve2", "pve3"]])


@settings(max_examples=40, suppress_health_check=[HealthCheck.too_slow])
@given(repositories(), repositories(), st.booleans())
def test_a_preview_of_whatever_git_holds_is_what_happens(
    first: list[dict[str, Any]], second: list[dict[str, Any]], prune: bool
) -> None:
    before = {key(document): document["spec"] for document in first}
    for document in second:  # what the API server lets nobody change
        for field in {"vni", "zoneRef", "vrfVni"} & document["spec"].keys() & before.get(key(document), {}).keys():
            document["spec"][field] = before[key(document)][field]

    async def both() -> None:
        world = World()
        await carried_out(world, *first, patient=True)
        await carried_out(world, *second, prune=prune, patient=True)

    asyncio.run(both())


async def test_services_are_said_to_be_written_at_once_and_before_the_zone_that_names_them() -> None:
    world = await programmed()
    own = {"clusterRef": {"name": "pve"}}
    ipam = manifest("Ipam", "nb1", {**own, "type": "netbox", "url": "https://n", "tokenSecretRef": {"name": "t"}})
    found = await previewed(world, ipam, zone("zone2", vrfVni=100002, ipamRef={"name": "nb1"}))
    assert [(change.words, change.stage, change.step_class) for change in found.due] == [
        ("create ipam nb1 (at once, without an apply)", Stage.SERVICE, None),
        ("create zone zone2", Stage.APPLY, StepClass.RELOAD),
    ]
    assert (found.refused, found.waiting) == ({}, {})
    world.kube.secrets["t"] = {"token": "word"}
    world.kube.bind("t", "pve", "https://n")
    world.apply(ipam)
    await world.settle()
    gone = await previewed(world, cluster(), *SEED[1:], prune=True)
    assert [change.words for change in gone.due] == ["delete ipam nb1 (at once, without an apply)"]
