"""examples/from-bare-nodes: from NICs without any configuration to guests behind exit nodes, and back to nothing."""

from __future__ import annotations

import random
from typing import Any

import pytest
import yaml

from pve_evpn.domain.objects import ObjectKey
from tests.engine.routing import bare
from tests.engine.test_examples import EXAMPLES
from tests.engine.world import World, key

FOLDER = EXAMPLES / "from-bare-nodes"
CLUSTER = ObjectKey("ProxmoxCluster", "", "pve")


def documents() -> list[dict[str, Any]]:
    texts = [path.read_text() for path in sorted(FOLDER.glob("*.yaml"))]
    return [document for text in texts for document in yaml.safe_load_all(text) if document]


async def applied(order: list[dict[str, Any]] | None = None) -> World:
    world = bare(World(4))
    world.kube.secrets["pve-credentials"] = {**world.kube.secrets["c"], "ca.crt": "not asked for here"}
    world.kube.namespaces["default"] = {"kubernetes.io/metadata.name": "default"}
    world.apply(*(order or documents()))
    await world.settle()
    assert world.complaints() == []
    assert world.lab.applies == 1
    return world


def sdn(world: World) -> dict[str, set[str]]:
    """Everything of SDN that Proxmox runs."""
    lab = world.lab
    files = {
        "fabrics": lab.fabrics.fabrics.running,
        "fabric nodes": lab.fabrics.nodes.running,
        "route maps": lab.route_maps.entries.running,
        "prefix lists": lab.prefix_lists.lists.running,
        **lab.sdn.running,
    }
    return {name: set(objects) for name, objects in files.items() if objects}


async def test_one_apply_makes_all_of_it() -> None:
    world = await applied()
    found = sdn(world)
    assert found == {
        "fabrics": {"under"},
        "fabric nodes": {f"under/pve{n}" for n in (1, 2, 3, 4)},
        "route maps": {f"{name}/{order}" for name in ("to-the-world", "to-the-world-standby") for order in (10, 20)},
        "prefix lists": {"tenants"},
        "controllers": {"evpn", "edge-pve1", "edge-pve2"},
        "zones": {"tenants"},
        "vnets": {"web", "data"},
        "subnets": {"tenants-10.50.1.0-24", "tenants-10.50.2.0-24"},
    }
    assert [world.kube.condition(one, "Effective") for one in world.kube.objects if one.kind == "Fabric"] == [{}]
    assert "bridge=web" in world.lab.guests[100].config["net0"]
    assert "bridge=data" in world.lab.guests[200].config["net0"]
    stages = [path.removeprefix("/cluster/sdn/").split("/")[0] for method, path in world.writes() if method == "POST"]
    order = [stage for stage in dict.fromkeys(stages) if stage not in ("lock", "subnets")]
    assert order[:6] == ["prefix-lists", "route-maps", "fabrics", "controllers", "zones", "vnets"]


async def test_rest_costs_no_write_and_few_calls() -> None:
    world = await applied()
    world.remembers = True
    await world.settle()
    before = len(world.calls)
    await world.one_pass()
    calls = world.calls[before:]
    assert {method for method, _, _ in calls} == {"GET"}
    routing = [path for _, path, _ in calls if any(part in path for part in ("fabrics", "route-maps", "prefix-lists"))]
    assert sorted(routing) == [
        "/cluster/sdn/fabrics/all",
        "/cluster/sdn/prefix-lists",
        "/cluster/sdn/route-maps/entries",
    ], "one call for each collection, whatever the number of nodes and objects"


@pytest.mark.parametrize("seed", range(6))
@pytest.mark.parametrize("at_once", [True, False], ids=["at once", "one by one"])
async def test_deleted_in_any_order_nothing_is_left(seed: int, at_once: bool) -> None:
    shuffled = documents()
    random.Random(seed).shuffle(shuffled)
    world = await applied(shuffled)
    going = [key(document) for document in shuffled if document["kind"] != "ProxmoxCluster"]
    random.Random(seed + 100).shuffle(going)
    for one in going:
        world.kube.delete(one)
        if not at_once:
            await world.settle_or_wait()
    await world.settle()
    world.kube.delete(CLUSTER)
    await world.settle()
    assert world.kube.objects == {}
    assert sdn(world) == {}
    assert world.lab.has_pending is False
    if at_once:
        assert world.lab.applies == 2
