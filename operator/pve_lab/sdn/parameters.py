"""The parameters of every SDN kind, and which of them each plugin type takes.

Two layers, as in Proxmox: the API's schema (one table per kind; what it refuses is a 400) and the options of a
plugin type (what they refuse is a 500: a known parameter that this type does not take, a missing one that it needs).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from pve_lab.json_schema import Prop, Schema
from pve_lab.releases import V90, V92, Version

FLAG = Prop("boolean")
NUMBER = Prop("integer")
TEXT = Prop()
LOCK_TOKEN = Prop(since=V90)
SHORT_ID = Prop(optional=False, pattern=r"[a-zA-Z][a-zA-Z0-9]*[a-zA-Z0-9]", min_length=2, max_length=8)
LONG_ID = Prop(optional=False, pattern=r"[a-zA-Z][a-zA-Z0-9_-]*[a-zA-Z0-9]", min_length=2, max_length=64)
SERVICE_ID = Prop(optional=False, pattern=r"[a-zA-Z][a-zA-Z0-9]*[a-zA-Z0-9]", min_length=2)
IP = Prop(format="ip")
NODE = Prop(format="pve-node")
NODES = Prop(format="pve-node-list")
FABRIC = Prop(format="pve-sdn-fabric-id", since=V90)
FINGERPRINT = Prop(pattern=r"([A-Fa-f0-9]{2}:){31}[A-Fa-f0-9]{2}")
ROUTE_MAP = Prop(format="pve-sdn-route-map-id", since=V92)
DNS_NAME = Prop(format="dns-name")

CONTROLLER_TYPES = ("bgp", "evpn", "faucet", "isis")
ZONE_TYPES = ("evpn", "faucet", "qinq", "simple", "vlan", "vxlan")
IPAM_TYPES = ("netbox", "phpipam", "pve")
DNS_TYPES = ("powerdns",)

VIEWS: Schema = {"pending": FLAG, "running": FLAG}
UPDATE: Schema = {
    "delete": Prop(format="pve-configid-list", max_length=4096),
    "digest": Prop(max_length=64),
    "lock-token": LOCK_TOKEN,
}

CONTROLLER: Schema = {
    "asn": Prop("integer", minimum=0, maximum=4294967295),
    "bgp-mode": Prop(enum=("auto", "external", "internal"), since=V92),
    "bgp-multipath-as-path-relax": FLAG,
    "ebgp": FLAG,
    "ebgp-multihop": NUMBER,
    "fabric": FABRIC,
    "isis-domain": TEXT,
    "isis-ifaces": Prop(format="pve-iface-list"),
    "isis-net": Prop(format="pve-sdn-isis-net", min_length=20, max_length=50),
    "loopback": TEXT,
    "node": NODE,
    "nodes": Prop(format="pve-node-list", since=V92),
    "peer-group-name": Prop(format="pve-configid", since=V92),
    "peers": Prop(format="ip-list"),
    "route-map-in": ROUTE_MAP,
    "route-map-out": ROUTE_MAP,
}

ZONE: Schema = {
    "advertise-subnets": FLAG,
    "bridge": TEXT,
    "bridge-disable-mac-learning": FLAG,
    "controller": TEXT,
    "dhcp": Prop(enum=("dnsmasq",)),
    "disable-arp-nd-suppression": FLAG,
    "dns": TEXT,
    "dnszone": DNS_NAME,
    "dp-id": NUMBER,
    "exitnodes": NODES,
    "exitnodes-local-routing": FLAG,
    "exitnodes-primary": NODE,
    "fabric": FABRIC,
    "ipam": TEXT,
    "mac": Prop(format="mac-addr"),
    "mtu": NUMBER,
    "nodes": NODES,
    "peers": Prop(format="ip-list"),
    "reversedns": TEXT,
    "rt-import": Prop(format="pve-sdn-bgp-rt-list"),
    "secondary-controllers": Prop(
        "array",
        since=V92,
        items=Prop(pattern=r"[a-zA-Z][a-zA-Z0-9_-]*[a-zA-Z0-9]", min_length=2, max_length=64),
    ),
    "tag": Prop("integer", minimum=0),
    "vlan-protocol": Prop(enum=("802.1q", "802.1ad")),
    "vrf-vxlan": Prop("integer", minimum=1, maximum=16777215),
    "vxlan-port": Prop("integer", minimum=1, maximum=65536),
}

VNET: Schema = {
    # The range from `)` to `_` is Proxmox' own; it lets most of the punctuation in.
    "alias": Prop(pattern=r"(?:[\(\)-_.\w\d\sA-Za-z]{0,256})", max_length=256),
    "isolate-ports": FLAG,
    "tag": Prop("integer", minimum=1, maximum=16777215),
    "vlanaware": FLAG,
    "zone": TEXT,
}

SUBNET: Schema = {
    "dhcp-dns-server": IP,
    "dhcp-range": Prop("array", items=Prop(format="pve-sdn-dhcp-range")),
    "dnszoneprefix": DNS_NAME,
    "gateway": IP,
    "snat": FLAG,
}

IPAM: Schema = {"fingerprint": FINGERPRINT, "section": NUMBER, "token": TEXT, "url": TEXT}
DNS: Schema = {"fingerprint": FINGERPRINT, "key": TEXT, "reversemaskv6": NUMBER, "ttl": NUMBER, "url": TEXT}
# With one type only, what the type needs is what the schema needs; and one parameter is known that no type takes.
NEW_DNS: Schema = {**DNS, "key": TEXT.required(), "reversev6mask": NUMBER, "url": TEXT.required()}

ADDRESS: Schema = {
    "ip": IP.required(),
    "mac": Prop(format="mac-addr"),
    "vnet": SHORT_ID,
    "zone": SHORT_ID,
}


def type_of(values: tuple[str, ...]) -> Prop:
    """The ``type`` a POST has to name."""
    return Prop(optional=False, format="pve-configid", enum=values)


@dataclass(frozen=True)
class Options:
    """What a plugin type takes: required, optional, and since when."""

    required: tuple[str, ...] = ()
    optional: tuple[str, ...] = ()
    later: tuple[tuple[Version, tuple[str, ...]], ...] = ()

    def at(self, version: Version) -> dict[str, bool]:
        """Option -> is it optional, in a release."""
        known = dict.fromkeys(self.required, False) | dict.fromkeys(self.optional, True)
        for since, names in self.later:
            if since <= version:
                known |= dict.fromkeys(names, True)
        return known


_ZONE_COMMON = ("nodes", "mtu", "dns", "reversedns", "dnszone", "ipam")

OPTIONS: Mapping[str, Mapping[str, Options]] = {
    "controllers": {
        "evpn": Options(
            ("asn",),
            ("peers",),
            (
                (V90, ("fabric",)),
                (V92, ("nodes", "bgp-mode", "ebgp-multihop", "peer-group-name", "route-map-in", "route-map-out")),
            ),
        ),
        "bgp": Options(
            ("node", "asn", "peers"),
            ("bgp-multipath-as-path-relax", "ebgp", "ebgp-multihop", "loopback"),
            ((V92, ("route-map-in", "route-map-out")),),
        ),
        "isis": Options(("isis-domain", "isis-ifaces", "isis-net", "node"), ("loopback",)),
        "faucet": Options(),
    },
    "zones": {
        "simple": Options((), (*_ZONE_COMMON, "dhcp")),
        "vlan": Options(("bridge",), (*_ZONE_COMMON, "bridge-disable-mac-learning")),
        "qinq": Options(("tag", "bridge"), (*_ZONE_COMMON, "bridge-disable-mac-learning", "vlan-protocol")),
        "vxlan": Options((), (*_ZONE_COMMON, "peers", "vxlan-port"), ((V90, ("fabric",)),)),
        "evpn": Options(
            ("controller", "vrf-vxlan"),
            (
                *_ZONE_COMMON, "exitnodes", "exitnodes-local-routing", "exitnodes-primary", "advertise-subnets",
                "disable-arp-nd-suppression", "bridge-disable-mac-learning", "rt-import", "vxlan-port", "mac",
            ),
            ((V92, ("secondary-controllers",)),),
        ),
        "faucet": Options(("dp-id", "controller"), ("nodes", "dns", "reversedns", "dnszone", "ipam")),
    },
    "vnets": {"vnet": Options(("zone",), ("tag", "alias", "vlanaware", "isolate-ports"))},
    "subnets": {
        "subnet": Options(("vnet",), ("gateway", "snat", "dhcp-range", "dhcp-dns-server", "dnszoneprefix")),
    },
    "ipams": {
        "pve": Options(),
        "netbox": Options(("url", "token"), ("fingerprint",)),
        "phpipam": Options(("url", "token", "section"), ("fingerprint",)),
    },
    "dns": {
        "powerdns": Options(("url", "key"), ("ttl", "reversemaskv6", "fingerprint")),
    },
}  # fmt: skip

PROPERTIES: Mapping[str, Schema] = {
    "controllers": CONTROLLER,
    "zones": ZONE,
    "vnets": VNET,
    "subnets": {**SUBNET, "vnet": TEXT},
    "ipams": IPAM,
    "dns": DNS,
}
