"""``make demo TOPOLOGY=bare``: examples/from-bare-nodes, from NICs without configuration to guests and a way out."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from pve_lab.frr.topology import Topology
from pve_lab.lab import Lab
from tests.e2e.stack import Stack
from tests.waiting import await_

FOLDER = "from-bare-nodes"
#: The exit nodes' addresses towards the router outside, whose own are the peers of the example's BgpControllers.
UPLINKS = {"pve1": "192.0.2.2/30", "pve2": "192.0.2.6/30"}
#: OpenFabric needs half a minute from its first hello to its routes.
_SECONDS = 120.0
_ADJACENCIES = (
    r"""jsonpath={"NODE\tNEIGHBOURS\n"}{range .status.adjacencies[*]}{.name}{"\t"}"""
    r"""{range .neighbours[*]}{.neighbour} {.state}  {end}{"\n"}{end}"""
)
_EXIT = (
    r"""jsonpath={"EXIT NODE\tROLE\tUSABLE\tDEFAULT ROUTE\tADVERTISES TO\n"}{range .status.exit.nodes[*]}"""
    r"""{.name}{"\t"}{.role}{"\t"}{.usable}{"\t"}{.defaultRoute.protocol} via {.defaultRoute.nextHops[0]}{"\t"}"""
    r"""{range .peers[*]}{.address} ({.advertised})  {end}{"\n"}{end}"""
)


def tour(stack: Stack, frr: Topology | None, step: Callable[[str], None], shell: Callable[..., None]) -> int:
    """Apply the example, wait until all of it is Ready and seen, and show it; the number of applies."""
    documents = stack.example(FOLDER)
    stack.apply(*documents)
    step(f"kubectl apply -f examples/{FOLDER}/")
    for document in documents:
        try:
            stack.await_ready(document, seconds=_SECONDS)
        except AssertionError as error:
            raise AssertionError(f"{error}; it has {stack.get(document).get('status', {}).get('conditions')}") from None
        step(f"Ready: {document['kind']} {document['metadata']['name']}")
    await_fabric(stack)
    step("the fabric's adjacencies are up on all four nodes")
    shell(stack, "get", "pvec,pfl,rmap,fab,evpnc,bgpc,evpnz,vnet,nic", "-A")
    shell(stack, "get", "fab", "under", "-o", _ADJACENCIES)
    if frr:
        show(stack, frr, step, shell)
    calls, writes = len(stack.lab.journal), len(stack.writes())
    step(f"Proxmox was asked {calls} times, {writes} of them writes, with {stack.lab.applies} apply")
    return stack.lab.applies


def await_fabric(stack: Stack) -> None:
    def up() -> bool:
        fabric = next(one for one in stack.example(FOLDER) if one["kind"] == "Fabric")
        return stack.condition(fabric, "Operational").get("status") == "True"

    await_("the fabric is Operational", up, _SECONDS)


def show(stack: Stack, frr: Topology, step: Callable[[str], None], shell: Callable[..., None]) -> None:
    """FRR's own words beside the statuses: neighbours, routes, overlay sessions, and what the outside has learned."""
    assert frr.world is not None
    for command in ("show openfabric neighbor", "show ip route openfabric", "show bgp l2vpn evpn summary"):
        print(f"\npve1# {command}\n{frr.vtysh('pve1', command).strip()}", flush=True)
    world = frr.world
    await_("the outside has the VNets' networks", lambda: learned(world.vtysh("show ip route bgp")), _SECONDS)
    print(f"\nworld# show ip route bgp\n{world.vtysh('show ip route bgp').strip()}", flush=True)
    step("the router outside has both VNets' networks, by the primary, whose metric is the better one")
    await_("the zone says so", lambda: all_leave(stack), _SECONDS)
    shell(stack, "get", "evpnz", "tenants", "-o", _EXIT)
    step("both exit nodes have a default route and advertise both networks, as status.exit of the zone says")


def all_leave(stack: Stack) -> bool:
    """Whether status.exit shows both exit nodes usable, everything advertised, and no risk."""
    leaves = exit_of(stack)
    peers = [peer for node in leaves.get("nodes", ()) for peer in node.get("peers", ())]
    advertised = [peer["advertised"] for peer in peers]
    return (leaves.get("summary"), advertised, leaves.get("risks")) == ("2/2", [2, 2], None)


def exit_of(stack: Stack) -> dict[str, Any]:
    """What the zone says of its way out."""
    zone = next(one for one in stack.example(FOLDER) if one["kind"] == "EvpnZone")
    return dict(stack.get(zone).get("status", {}).get("exit") or {})


def learned(text: str) -> bool:
    return all(network in text for network in ("10.50.1.0/24", "10.50.2.0/24"))


def left(lab: Lab) -> dict[str, list[Any]]:
    """Everything of SDN that Proxmox still runs."""
    files = {
        "fabrics": lab.fabrics.fabrics.running,
        "fabric nodes": lab.fabrics.nodes.running,
        "route maps": lab.route_maps.entries.running,
        "prefix lists": lab.prefix_lists.lists.running,
        **lab.sdn.running,
    }
    return {name: list(objects) for name, objects in files.items() if objects}
