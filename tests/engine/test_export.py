"""Exported manifests change nothing: they are applied to the engine, and nothing is written to Proxmox."""

from __future__ import annotations

import asyncio
from typing import Any

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from pve_evpn.cli.proxmox import evpn_vnets, read_firewalls, read_state
from pve_evpn.domain.export import Export, Request, export
from pve_evpn.domain.sdn import SdnKind, SdnRef
from pve_evpn.pve.credentials import Credentials
from pve_evpn.pve.transport import Trust
from tests.brownfield import RECIPES, brownfield, cook
from tests.engine.world import DirectGateway, World

#: Of the ProxmoxCluster that is exported.
SPEC = {"endpoints": ["https://pve1:8006"], "credentialsSecretRef": {"name": "c"}}
LABELS = {"kubernetes.io/metadata.name": "default"}


async def exported(world: World, *, nics: bool = False, **options: Any) -> Export:
    """Read the lab as `pve-evpn export` does."""
    made = type("Gateway", (DirectGateway,), {"world": world})
    gateway = made("pve", ["https://pve1:8006"], Credentials("root@pam", "tok", "secret"), Trust())
    state = await read_state(gateway, guests=nics)
    firewalls = await read_firewalls(gateway, evpn_vnets(state))
    guests = (lambda _guest: True) if nics else None
    return export(state, firewalls, Request("pve", SPEC, guests=guests, **options))


async def applied(world: World, found: Export) -> None:
    """Apply the manifests in one go and let the operator come to rest: nothing was written, all is Ready."""
    world.kube.namespaces["default"] = LABELS
    before = world.writes()
    world.apply(*(manifest.document() for manifest in found.manifests))
    await world.settle()
    assert world.complaints() == []
    assert world.writes() == before


def kinds(found: Export) -> dict[str, int]:
    names = [manifest.key.kind for manifest in found.manifests]
    return {name: names.count(name) for name in dict.fromkeys(names)}


async def test_a_brownfield_cluster_is_taken_over_without_a_write() -> None:
    world = World(4)
    brownfield(world.lab)
    found = await exported(world, nics=True)
    assert [str(omission) for omission in found.unexpressed] == []
    assert kinds(found) == {
        "ProxmoxCluster": 1, "Fabric": 1, "EvpnController": 3, "EvpnZone": 5, "VNet": 40, "NicAttachment": 50
    }  # fmt: skip
    assert sum(len(manifest.spec.get("subnets", ())) for manifest in found.manifests) == 60
    foreign = {omission.what for omission in found.omissions if omission.foreign}
    assert foreign == {"zone plain", "zone vl", "zone vx", "vnet s1", "vnet vl7", "vnet vx9"}
    await applied(world, found)


@settings(max_examples=80, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(RECIPES, st.sampled_from(["9.0.10", "9.1.4", "9.2.3"]))
def test_an_export_changes_nothing_whatever_proxmox_holds(recipe: dict[str, Any], release: str) -> None:
    world = World(3, version=release)
    cook(world.lab, recipe)
    asyncio.run(comes_to_rest(world))


async def comes_to_rest(world: World) -> None:
    """Whatever is said is exactly so, and everything that is not said is named."""
    found = await exported(world, nics=True)
    await applied(world, found)
    said = {manifest.source for manifest in found.manifests}
    named = " ".join(omission.what for omission in found.omissions)
    for kind in ("controllers", "zones", "vnets"):
        for id_ in world.lab.sdn.edited[kind]:
            ref = SdnRef(SdnKind(kind.removesuffix("s")), id_)
            assert ref in said or str(ref) in named
