"""``dry-run``: what an apply would change in a node's ``interfaces.d/sdn`` and ``frr.conf``.

The diffs are not Proxmox' letter by letter. They are there when Proxmox' are, and name the same objects.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterator

from pve_lab.frr.config import frr_conf
from pve_lab.frr.facts import NodeFacts, Tuning
from pve_lab.running_config import Network, RunningConfig, networks

_FRR, _INTERFACES = "/etc/frr/frr.conf", "/etc/network/interfaces.d/sdn"
#: The timers that Proxmox writes; the lab's own are shorter.
_PLAIN = Tuning(ospf_hello=10, ospf_dead=40, bfd="bfd")
_FRR_VERSION = "10.4.1"


def dry_run(
    node: str, address: str, loaded: RunningConfig, staged: RunningConfig, versions: tuple[int, int]
) -> dict[str, str]:
    """Unified diffs by name; a file that would stay as it is, is left out. ``versions``: loaded and running."""
    found = {}
    for name, path, old, new in (
        ("frr-diff", _FRR, frr(loaded, node, address), frr(staged, node, address)),
        (
            "interfaces-diff", _INTERFACES,
            interfaces(loaded, node, address, versions[0]), interfaces(staged, node, address, versions[1]),
        ),
    ):  # fmt: skip
        lines = difflib.unified_diff(old.splitlines(), new.splitlines(), path, f"{path}.new", lineterm="")
        if text := "".join(f"{line}\n" for line in lines):
            found[name] = text
    return found


def frr(running: RunningConfig, node: str, address: str) -> str:
    """The node's frr.conf; empty where nothing needs FRR."""
    if not running.controllers and not running.fabrics:
        return ""
    return frr_conf(running, NodeFacts(node, address, underlay="vmbr0", vrf=True), _FRR_VERSION, _PLAIN)


def interfaces(running: RunningConfig, node: str, address: str, version: int) -> str:
    """The node's interfaces.d/sdn, with the version that zone states are judged by in its first line."""
    if not version:
        return ""
    nets = networks(running, node, address)
    text = [f"#version:{version}\n"]
    for net in nets.values():
        text += [_vnet(running, net), _vxlan(net)]
    for net in {net.zone: net for net in nets.values() if net.l3_vni}.values():
        text += _vrf(net)
    return "\n".join(text)


def _stanza(name: str, *lines: str) -> str:
    return "\n".join([f"auto {name}", f"iface {name}", *(f"\t{line}" for line in lines)]) + "\n"


def _vnet(running: RunningConfig, net: Network) -> str:
    lines = [f"address {cidr}" for cidr in net.gateways]
    if net.mac:
        lines.append(f"hwaddress {net.mac}")
    lines += [f"bridge_ports vxlan_{net.name}", "bridge_stp off", "bridge_fd 0", f"mtu {net.mtu}"]
    if alias := running.vnets[net.name].get("alias"):
        lines.append(f"alias {alias}")
    if net.gateways:
        lines += ["ip-forward on", "arp-accept on"]
    return _stanza(net.name, *lines, f"vrf vrf_{net.zone}")


def _vxlan(net: Network) -> str:
    lines = [f"vxlan-id {net.vni}", f"vxlan-local-tunnelip {net.local}"]
    if net.port != 4789:
        lines.append(f"vxlan-port {net.port}")
    lines += [f"bridge-learning {'on' if net.learning else 'off'}"]
    if net.suppress:
        lines.append("bridge-arp-nd-suppress on")
    if net.isolate:
        lines.append("bridge-port-isolation off")
    return _stanza(f"vxlan_{net.name}", *lines, f"mtu {net.mtu}")


def _vrf(net: Network) -> Iterator[str]:
    """The zone's VRF with its L3 VNI; ``net`` is any VNet of it."""
    zone, default = net.zone, "unreachable default metric 4278198272"
    yield _stanza(f"vrf_{zone}", "vrf-table auto", f"post-up ip route add vrf vrf_{zone} {default}")
    bridge = ("bridge_stp off", "bridge_fd 0", f"mtu {net.mtu}", f"vrf vrf_{zone}")
    yield _stanza(f"vrfbr_{zone}", f"bridge-ports vrfvx_{zone}", *bridge)
    yield _stanza(
        f"vrfvx_{zone}", f"vxlan-id {net.l3_vni}", f"vxlan-local-tunnelip {net.local}", "bridge-learning off",
        "bridge-arp-nd-suppress on", f"mtu {net.mtu}",
    )  # fmt: skip
