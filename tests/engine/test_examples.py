"""Each file of examples/, applied on its own beside the objects it refers to, ends as its text says."""

from __future__ import annotations

import re
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import asyncssh
import yaml

from pve_evpn.api.cluster import ProxmoxClusterSpec
from pve_evpn.domain.objects import ObjectKey
from pve_evpn.engine.secrets import ClusterSecrets
from pve_evpn.engine.sources import Sources
from pve_evpn.pve.credentials import Credentials
from pve_lab.guests import Guest
from tests.engine.world import CLUSTER, World

ROOT = Path(__file__).parents[2]
EXAMPLES = ROOT / "examples"


def documents(name: str) -> list[dict[str, Any]]:
    return [document for document in yaml.safe_load_all((EXAMPLES / name).read_text()) if document]


def seed(*names: str) -> list[dict[str, Any]]:
    """Files of the seed by the beginning of their names."""
    paths = sorted((EXAMPLES / "seed").glob("*.yaml"))
    return [document for path in paths if path.name.startswith(names) for document in documents(f"seed/{path.name}")]


def world_with(*names: str) -> World:
    """Four nodes and these files of the seed."""
    world = World(nodes=4)
    world.kube.secrets["pve-credentials"] = {**world.kube.secrets["c"], "ca.crt": "not asked for here"}
    world.kube.namespaces["default"] = {"kubernetes.io/metadata.name": "default"}
    world.apply(*seed(*names))
    return world


def stage(world: World, method: str, path: str, **params: Any) -> None:
    answer = world.by_hand(method, path, **params)
    assert answer.status == 200, answer


async def ends_ready(world: World, name: str) -> list[ObjectKey]:
    """Apply the example, wait, and have no complaint; the keys of its objects."""
    keys = world.apply(*documents(name))
    await world.settle()
    assert world.complaints() == []
    return keys


def running(world: World, kind: str, name: str) -> Mapping[str, Any]:
    props: Mapping[str, Any] = world.lab.sdn.running[kind][name]
    return props


async def test_the_seed() -> None:
    world = world_with("00", "10", "20", "30", "40")
    await world.settle()
    assert world.complaints() == []
    assert world.lab.applies == 1
    assert (running(world, "zones", "EZone1")["vrf-vxlan"], running(world, "vnets", "EVPN1")["tag"]) == (100001, 5001)
    assert "bridge=EVPN1" in world.lab.guests[100].config["net0"]


async def test_cluster_nodes_underlay() -> None:
    world = world_with("00")
    await ends_ready(world, "cluster-nodes-underlay.yaml")
    peers = running(world, "controllers", "mesh")["peers"]
    assert sorted(peers.split(",")) == [f"192.168.16.{number}" for number in range(1, 5)]


async def test_container() -> None:
    world = world_with("00", "10", "20", "30")
    before = "name=eth7,bridge=vmbr0,hwaddr=BC:24:11:22:22:23,ip=dhcp,rate=5,type=veth"
    world.lab.guests[110] = Guest(110, "lxc", "pve1", "ct110", {"net0": before})
    (nic,) = await ends_ready(world, "container.yaml")
    now = dict(part.split("=", 1) for part in world.lab.guests[110].config["net0"].split(","))
    assert now == {
        **dict(part.split("=", 1) for part in before.split(",")),
        "name": "eth0",
        "bridge": "EVPN1",
        "ip": "10.1.0.110/24",
        "gw": "10.1.0.1",
    }
    world.kube.delete(nic)
    await world.settle()
    assert "link_down=1" in world.lab.guests[110].config["net0"]


async def test_ebgp_peers() -> None:
    world = world_with("00")
    for name in ("from-tor", "to-tor"):
        entry = {"route-map-id": name, "order": "10", "action": "permit"}
        stage(world, "POST", "/cluster/sdn/route-maps/entries", **entry)
    stage(world, "PUT", "/cluster/sdn")
    await ends_ready(world, "ebgp-peers.yaml")
    assert running(world, "controllers", "rack1").items() >= {
        ("asn", 4200000001), ("bgp-mode", "external"), ("ebgp-multihop", 2),
        ("route-map-in", "from-tor"), ("route-map-out", "to-tor"), ("peers", "192.0.2.1,192.0.2.2"),
    }  # fmt: skip


async def test_exit_nodes() -> None:
    world = world_with("00", "10")
    _zone, vnet = await ends_ready(world, "exit-nodes.yaml")
    edge = running(world, "zones", "edge")
    assert (edge["exitnodes"], edge["exitnodes-primary"], edge["mtu"]) == ("pve1,pve2", "pve1", 1500)
    assert world.kube.status(vnet)["vni"] == 6000
    assert running(world, "vnets", "dmz")["tag"] == 6000


async def test_ipam_dns() -> None:
    world = world_with("00", "10")
    made = documents("ipam-dns.yaml")
    for secret in (document for document in made if document["kind"] == "Secret"):
        name, metadata = secret["metadata"]["name"], secret["metadata"]
        world.kube.secrets[name] = secret["stringData"]
        world.kube.bind(name, *metadata["labels"].values(), *metadata["annotations"].values())
    world.apply(*(document for document in made if document["kind"] != "Secret"))
    await world.settle()
    assert world.complaints() == []
    offices = running(world, "zones", "offices")
    assert (offices["ipam"], offices["dns"], offices["dnszone"]) == ("netbox", "ns1", "offices.example.com")


async def test_observe_only_import() -> None:
    world = world_with("00")
    peers = "192.168.16.1,192.168.16.2,192.168.16.3,192.168.16.4"
    stage(world, "POST", "/cluster/sdn/controllers", controller="evpnctl", type="evpn", asn="65001", peers=peers)
    zone = {"zone": "prod", "type": "evpn", "controller": "evpnctl", "vrf-vxlan": "10000", "ipam": "pve"}
    stage(world, "POST", "/cluster/sdn/zones", **zone)
    stage(world, "POST", "/cluster/sdn/vnets", vnet="prodnet", zone="prod", tag="10101")
    stage(world, "PUT", "/cluster/sdn")
    keys = world.apply(*documents("observe-only-import.yaml"))
    await world.settle()
    assert "10101" in world.kube.condition(keys[2], "Accepted")["message"]
    assert world.kube.condition(keys[2], "Accepted")["reason"] == "ForeignObject"
    stage(world, "PUT", "/cluster/sdn/vnets/prodnet", tag="10100")
    stage(world, "PUT", "/cluster/sdn")
    await world.settle()
    assert world.complaints() == []

    whole = documents("observe-only-import.yaml")
    for document in whole:
        document["spec"]["managementPolicy"] = "Full"
    world.apply(*whole)
    await world.settle()
    assert world.complaints() == []
    assert [world.kube.status(key)["origin"] for key in keys] == ["Adopted"] * 3
    for key in keys:
        world.kube.delete(key)
    await world.settle()
    assert not set(keys) & world.kube.objects.keys()
    assert world.writes() == []
    assert running(world, "vnets", "prodnet")["tag"] == 10100


async def test_observed_by_ssh() -> None:
    world = world_with()
    (document,) = documents("observed-by-ssh.yaml")
    observe = ProxmoxClusterSpec.model_validate(document["spec"]).observe
    assert observe is not None
    key = asyncssh.generate_private_key("ssh-ed25519")
    public = key.export_public_key().decode().strip()
    world.kube.secrets["pve-ssh"] = {
        "ssh-privatekey": key.export_private_key().decode(),
        "known_hosts": f"192.168.16.1 {public}\n",
    }
    world.kube.bound["pve-ssh"] = ("observed", "")
    sources = Sources(ClusterSecrets("observed", world.kube.ports.secrets), lambda: None)
    await sources.chain(observe, 10, timedelta(seconds=30))
    assert sources.ssh is not None, "the example and its kubectl line give a source that can be set up"
    await sources.close()


async def test_production_cluster() -> None:
    world = world_with("10", "20", "30")
    (document,) = documents("production-cluster.yaml")
    document["metadata"]["name"] = "pve"  # the cluster of the seed's other objects
    world.kube.secrets["prod-credentials"] = world.kube.secrets["pve-credentials"]
    world.now = datetime(2026, 1, 5, 12, 0, tzinfo=UTC)  # a Monday
    world.apply(document)
    await world.settle_or_wait()
    assert world.programmed()[0] == "OutsideWindow"
    assert world.writes() == []
    world.now = datetime(2026, 1, 5, 21, 30, tzinfo=UTC)  # 22:30 in Vienna
    await world.settle()
    assert world.complaints() == []

    vnet = ObjectKey("VNet", "default", "evpn1")
    world.kube.delete(vnet)
    await world.settle_or_wait()
    assert world.programmed()[0] == "AwaitingApproval"
    world.kube.annotate(CLUSTER, "pve-evpn.dev/approved-plan", world.kube.status(CLUSTER)["pendingPlan"]["hash"])
    await world.settle()
    assert vnet not in world.kube.objects


def test_secret() -> None:
    (document,) = documents("secret.example.yaml")
    (cluster,) = seed("00")
    assert document["metadata"]["name"] == cluster["spec"]["credentialsSecretRef"]["name"]
    assert cluster["spec"]["tls"]["caSecretRef"]["key"] in document["stringData"]
    assert Credentials.from_secret(document["stringData"]).user == "pve-evpn@pve"


async def test_several_subnets() -> None:
    world = world_with("00", "10", "20")
    await ends_ready(world, "several-subnets.yaml")
    subnets = {props["gateway"] for props in world.lab.sdn.running["subnets"].values() if props["vnet"] == "web"}
    assert subnets == {"10.10.0.1", "10.10.1.1", "2001:db8:10::1"}
    rules = world.by_hand("GET", "/cluster/sdn/vnets/web/firewall/rules").body["data"]
    assert [(rule["action"], rule.get("dport", ""), rule["enable"]) for rule in rules] == [
        ("ACCEPT", "80,443", 1), ("ACCEPT", "", 1), ("ACCEPT", "", 1),
    ]  # fmt: skip
    assert world.by_hand("GET", "/cluster/sdn/vnets/web/firewall/options").body["data"]["policy_forward"] == "DROP"


async def test_silent_appliance() -> None:
    world = world_with("00", "10", "20", "30")
    net0 = "virtio=BC:24:11:00:01:20,bridge=vmbr0"
    world.lab.guests[120] = Guest(120, "qemu", "pve2", "meter", {"net0": net0})
    _zone, nic = await ends_ready(world, "silent-appliance.yaml")
    assert running(world, "zones", "things")["bridge-disable-mac-learning"] == 1
    assert world.lab.guests[120].config["net0"] == net0.replace("vmbr0", "EVPN1")
    assert world.kube.status(nic)["pinned"] is False


async def test_tenant_namespace() -> None:
    world = world_with("00", "10")
    world.lab.guests[701] = Guest(701, "qemu", "pve3", "db1", {}, pool="blue")
    namespace, *objects = documents("tenant-namespace.yaml")
    world.kube.namespaces["blue"] = namespace["metadata"]["labels"]
    (cluster,) = seed("00")
    # What the kubectl line of its text adds.
    granted = re.search(r'"value":\n#\s+(\{.*\})\}\]', (EXAMPLES / "tenant-namespace.yaml").read_text())
    assert granted is not None
    cluster["spec"]["guestAccess"].append(yaml.safe_load(granted[1]))
    _zone, vnet, nic = world.apply(cluster, *objects)[1:]
    await world.settle()
    assert world.complaints() == []
    name = world.kube.status(vnet)["id"]
    assert (name, running(world, "vnets", name)["tag"]) == ("backend", 7000)
    assert f"bridge={name}" in world.lab.guests[701].config["net1"]
    assert world.kube.status(nic)["vnet"] == name


#: Folders that are applied as a whole, and who does it.
WHOLE = {
    "seed": "engine/test_examples.py",
    "from-bare-nodes": "engine/test_from_bare_nodes.py",
    "ci": "cli/test_ci_examples.py",
    "gitops/argocd": "gitops/test_argocd.py",
    "gitops/flux": "gitops/test_flux_example.py",
}


def test_every_example_has_a_test() -> None:
    files = [path.relative_to(EXAMPLES) for path in EXAMPLES.rglob("*") if path.is_file() and path.suffix != ".md"]
    assert {str(file.parent) for file in files} == {".", *WHOLE}
    assert [test for test in WHOLE.values() if not (ROOT / "tests" / test).exists()] == []
    alone = [file.name.partition(".")[0].replace("-", "_") for file in files if str(file.parent) == "."]
    assert [name for name in alone if f"test_{name}" not in globals()] == []
