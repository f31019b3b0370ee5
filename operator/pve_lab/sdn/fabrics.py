"""Fabrics and their nodes: the underlay's routing, staged and applied with the rest of the SDN configuration.

Checked on every write, as Proxmox does: addresses inside of the prefix and unlike each other, one OSPF area per
fabric, interfaces in one fabric only, prefixes that do not overlap. Not checked, as there: whether a controller names
a fabric that exists. The lock's check for pending changes leaves fabrics out, a rollback does not.
"""

from __future__ import annotations

import base64
import hashlib
import ipaddress
import itertools
from collections.abc import Iterator
from typing import Any

from pve_lab.errors import died, refused
from pve_lab.releases import V92
from pve_lab.sdn.config_file import ConfigFile, updated
from pve_lab.sdn.objects import SdnObjects
from pve_lab.sdn.section_config import Props

#: What a fabric of each protocol takes beside its prefixes.
_OPTIONS = {
    "openfabric": ("hello_interval", "csnp_interval", "route_filter"),
    "ospf": ("area", "redistribute", "route_filter"),
    "bgp": ("redistribute", "route_filter"),
    "wireguard": ("persistent_keepalive",),
}
_NODE_OPTIONS = {
    "openfabric": ("interfaces",),
    "ospf": ("interfaces",),
    "bgp": ("interfaces",),
    "wireguard": ("interfaces", "role", "public_key", "endpoint", "allowed_ips", "peers"),
}
#: What each interface of a node may say.
_IFACE_KEYS = {
    "openfabric": {"name", "ip", "ip6", "hello_multiplier"},
    "ospf": {"name", "ip", "network_type"},
    "bgp": {"name"},
    "wireguard": {"name", "ip", "ip6", "listen_port", "public_key"},
}
_NUMBERS = ("hello_interval", "csnp_interval", "persistent_keepalive")
_NEW_IN_92 = ("bgp", "wireguard")


class Fabrics:
    """Both sorts of objects in one file; a node's id here is ``fabric/node``."""

    def __init__(self, sdn: SdnObjects) -> None:
        self._sdn = sdn
        self.fabrics = ConfigFile()
        self.nodes = ConfigFile()

    @property
    def digest(self) -> str:
        both = ConfigFile()
        both.edited = {**self.fabrics.edited, **self.nodes.edited}
        return both.digest

    @property
    def has_pending(self) -> bool:
        return self.fabrics.has_pending or self.nodes.has_pending

    def commit(self) -> None:
        self.fabrics.commit()
        self.nodes.commit()

    def rollback(self) -> None:
        self.fabrics.rollback()
        self.nodes.rollback()

    # --- fabrics ------------------------------------------------------------------------------------------------

    def create(self, params: Props) -> None:
        """``params`` hold ``id`` and ``protocol``."""
        id_, protocol = params["id"], params["protocol"]
        if protocol in _NEW_IN_92 and self._sdn.pve < V92:
            raise refused(f"unknown variant `{protocol}`, expected `openfabric` or `ospf`\n")
        if id_ in self.fabrics.edited:
            raise refused(f"fabric '{id_}' already exists in config\n")
        self._store_fabric(id_, _typed(params), protocol)

    def update(self, id_: str, params: Props, delete: list[str]) -> None:
        old = self.fabric(id_)
        _same_protocol(old, params)
        self._store_fabric(id_, updated(old, _typed(params), delete), old["protocol"])

    def delete(self, id_: str) -> None:
        """With its nodes; refused while an EVPN controller or a VXLAN zone has it."""
        self.fabric(id_)
        for name, props in sorted(self._sdn.edited["controllers"].items()):
            if props["type"] == "evpn" and props.get("fabric") == id_:
                text = f'this fabric is still used in the EVPN controller "{name}"'
                raise refused(died(text, "API2/Network/SDN/Fabrics/Fabric.pm", 243))
        for name, props in sorted(self._sdn.edited["zones"].items()):
            if props["type"] == "vxlan" and props.get("fabric") == id_:
                text = f'this fabric is still used in the VXLAN zone "{name}"'
                raise refused(died(text, "API2/Network/SDN/Fabrics/Fabric.pm", 252))
        del self.fabrics.edited[id_]
        for key in [key for key, props in self.nodes.edited.items() if props["fabric_id"] == id_]:
            del self.nodes.edited[key]

    def fabric(self, id_: str) -> Props:
        if id_ not in self.fabrics.edited:
            raise refused(f"fabric '{id_}' does not exist in configuration\n")
        return self.fabrics.edited[id_]

    def _store_fabric(self, id_: str, props: Props, protocol: str) -> None:
        allowed = {"id", "protocol", "ip_prefix", "ip6_prefix", *_OPTIONS[protocol]}
        _known(props, allowed)
        if protocol == "ospf":
            if "area" not in props:
                raise refused("missing field `area`\n")
            if "ip6_prefix" in props:
                raise refused("IPv6 is currently not supported for protocol ospf\n")
        if not ("ip_prefix" in props or "ip6_prefix" in props):
            raise refused(f"fabric '{id_}' does not have an IP prefix configured\n")
        others = {key: value for key, value in self.fabrics.edited.items() if key != id_}
        if protocol == "ospf" and any(o["protocol"] == "ospf" and o["area"] == props["area"] for o in others.values()):
            raise refused("duplicate OSPF area\n")
        for other, there in sorted(others.items()):
            for key, word in (("ip_prefix", "IPv4"), ("ip6_prefix", "IPv6")):
                if key in props and key in there and _network(props[key]).overlaps(_network(there[key])):
                    first = "IP prefix" if word == "IPv4" else "IPv6 prefix"
                    text = f"{first} {props[key]} in fabric '{id_}' overlaps with {word} prefix {there[key]}"
                    raise refused(f"{text} in fabric '{other}'\n")
        for node in self._of(id_):
            _check_addresses(node, props)
        self.fabrics.edited[id_] = props

    # --- nodes --------------------------------------------------------------------------------------------------

    def create_node(self, params: Props) -> None:
        """``params`` hold ``fabric_id``, ``node_id`` and ``protocol``."""
        fabric_id, node_id = params["fabric_id"], params["node_id"]
        fabric = self.fabric(fabric_id)
        _same_protocol(fabric, params)
        key = f"{fabric_id}/{node_id}"
        if key in self.nodes.edited:
            raise refused(f"node '{node_id}' already exists in config for fabric {fabric_id}\n")
        self._store_node(key, {"interfaces": [], **params}, fabric)

    def update_node(self, fabric_id: str, node_id: str, params: Props, delete: list[str]) -> None:
        old = self.node(fabric_id, node_id)
        _same_protocol(old, params)
        new = updated(old, params, delete)
        self._store_node(f"{fabric_id}/{node_id}", {"interfaces": [], **new}, self.fabric(fabric_id))

    def delete_node(self, fabric_id: str, node_id: str) -> None:
        self.node(fabric_id, node_id)
        del self.nodes.edited[f"{fabric_id}/{node_id}"]

    def node(self, fabric_id: str, node_id: str) -> Props:
        self.fabric(fabric_id)
        if f"{fabric_id}/{node_id}" not in self.nodes.edited:
            raise refused(f"node '{node_id}' does not exist in fabric '{fabric_id}'\n")
        return self.nodes.edited[f"{fabric_id}/{node_id}"]

    def _of(self, fabric_id: str) -> list[Props]:
        return [props for props in self.nodes.edited.values() if props["fabric_id"] == fabric_id]

    def _store_node(self, key: str, props: Props, fabric: Props) -> None:
        protocol = fabric["protocol"]
        _known(props, {"fabric_id", "node_id", "protocol", "ip", "ip6", *_NODE_OPTIONS[protocol]})
        if protocol == "wireguard":
            props = {**props, "interfaces": [self._with_key(key, text) for text in props.get("interfaces") or ()]}
        _check_addresses(props, fabric)
        names = {iface["name"] for iface in _interfaces(props, protocol)}
        for other, there in self.nodes.edited.items():
            if other == key:
                continue
            if there["fabric_id"] == fabric["id"] and _addresses(there) & _addresses(props):
                raise refused(f"fabric {fabric['id']} contains nodes with duplicated IPs\n")
            if there["node_id"] == props["node_id"] and names & {i["name"] for i in _interfaces(there)}:
                raise refused("interface is already in use by another fabric\n")
        self.nodes.edited[key] = props

    def _with_key(self, node: str, interface: str) -> str:
        """Proxmox makes the keys of an interface that comes without one, and shows the public half."""
        if "public_key=" in interface:
            return interface
        digest = hashlib.sha256(f"{node} {interface} {self._sdn.random.random()}".encode()).digest()
        return f"{interface},public_key={base64.b64encode(digest).decode()}"


def _same_protocol(there: Props, params: Props) -> None:
    """Which options there are depends on it, so that every write names it."""
    if params["protocol"] != there["protocol"]:
        raise refused("node has a different protocol than the referenced fabric\n")


def _known(props: Props, allowed: set[str]) -> None:
    if unknown := sorted(props.keys() - allowed):
        listed = ", ".join(f"`{key}`" for key in sorted(allowed))
        raise refused(f"unknown field `{unknown[0]}`, expected one of {listed}\n")


def _typed(params: Props) -> Props:
    return {key: int(value) if key in _NUMBERS else value for key, value in params.items()}


def _network(text: Any) -> ipaddress.IPv4Network | ipaddress.IPv6Network:
    return ipaddress.ip_network(str(text), strict=False)


def _addresses(node: Props) -> set[str]:
    return {str(node[key]) for key in ("ip", "ip6") if node.get(key)}


def _check_addresses(node: Props, fabric: Props) -> None:
    """A node needs an address in a prefix of the fabric, and none without one."""
    for key, prefix in (("ip", "ip_prefix"), ("ip6", "ip6_prefix")):
        if key not in node:
            continue
        if prefix not in fabric:
            text = f"fabric '{fabric['id']}' does not have an IP prefix configured for the node IP {node[key]}"
            raise refused(text + "\n")
        if ipaddress.ip_address(node[key]) not in _network(fabric[prefix]):
            raise refused(f"node IP {node[key]} is outside the IP prefix {fabric[prefix]} of the fabric\n")
    if "ip" not in node and "ip6" not in node and node.get("role") != "external":
        raise refused(f"node '{node['node_id']}' does not have an IP configured\n")


def _interfaces(node: Props, protocol: str = "") -> Iterator[dict[str, str]]:
    """A node's interfaces, which are strings like ``name=eth1,ip=10.0.0.1/31``."""
    for text in itertools.chain(node.get("interfaces") or ()):
        values = dict(part.partition("=")[::2] for part in str(text).split(","))
        if protocol and (unknown := sorted(values.keys() - _IFACE_KEYS[protocol])):
            raise refused(f"unknown field `{unknown[0]}` of an interface\n")
        if "name" not in values:
            raise refused("missing field `name` of an interface\n")
        yield values
