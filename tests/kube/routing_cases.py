"""Cases of the CRD tests for routing objects: their bases, and what is accepted and refused of each."""

from __future__ import annotations

from typing import Any

GONE = object()
Manifest = dict[str, Any]

_FINGERPRINT = ":".join(["AB"] * 32)
_MANAGED = {"managementPolicy": "Full", "deletionPolicy": "Delete", "adoptionPolicy": "IfIdentical"}

BASES: dict[str, Manifest] = {
    "Ipam": {
        "clusterRef": {"name": "pve"},
        "id": "netbox1",
        "type": "netbox",
        "url": "https://netbox.example.com:8443/api",
        "tokenSecretRef": {"name": "netbox", "key": "api-token"},
        "fingerprint": _FINGERPRINT,
        **_MANAGED,
    },
    "DnsServer": {
        "clusterRef": {"name": "pve"},
        "id": "ns1",
        "url": "https://[2001:db8::53]:8081/api/v1/servers/localhost",
        "keySecretRef": {"name": "powerdns", "key": "key"},
        "ttlSeconds": 3600,
        "reverseMask6": 48,
        "fingerprint": _FINGERPRINT,
        **_MANAGED,
    },
    "PrefixList": {
        "clusterRef": {"name": "pve"},
        "id": "own-networks_1",
        "entries": [
            {"seq": 5, "action": "Permit", "prefix": "10.0.0.0/8", "ge": 16, "le": 24},
            {"seq": 10, "action": "Deny", "prefix": "2001:db8::/32", "le": 128},
            {"seq": 4294967295, "action": "Deny", "prefix": "0.0.0.0/0"},
        ],
        **_MANAGED,
    },
    "RouteMap": {
        "clusterRef": {"name": "pve"},
        "id": "to-the-world",
        "entries": [
            {
                "order": 10,
                "action": "Permit",
                "match": {
                    "routeType": "Prefix",
                    "vni": 5001,
                    "prefixListRef": {"name": "own"},
                    "prefixList6Ref": {"name": "own6"},
                    "nextHopPrefixListRef": {"name": "own"},
                    "nextHopPrefixList6Ref": {"name": "own6"},
                    "nextHop": "10.0.0.1",
                    "nextHop6": "2001:db8::1",
                    "metric": 0,
                    "localPreference": 100,
                    "peer": "eth0.5",
                    "tag": "untagged",
                },
                "set": {
                    "nextHop": "10.0.0.2",
                    "nextHop6": "2001:db8::2",
                    "nextHop6PreferGlobal": True,
                    "localPreference": "+10",
                    "tag": "7",
                    "weight": 20,
                    "metric": "-rtt",
                    "src": "10.0.0.3",
                },
                "callRef": {"name": "other"},
                "exit": {"action": "GoTo", "order": 30},
            },
            {"order": 20, "action": "Deny", "exit": {"action": "Next"}},
        ],
        **_MANAGED,
    },
    "Fabric": {
        "clusterRef": {"name": "pve"},
        "id": "under-1",
        "protocol": "OpenFabric",
        "prefix": "10.255.0.0/24",
        "prefix6": "2001:db8::/64",
        "helloIntervalSeconds": 3,
        "csnpIntervalSeconds": 10,
        "routeFilterRef": {"name": "own"},
        "nodes": [
            {
                "name": "pve1",
                "ip": "10.255.0.1",
                "ip6": "2001:db8::1",
                "interfaces": [
                    {"name": "eno1", "ip": "10.0.0.0/31", "ip6": "2001:db8:1::/127", "helloMultiplier": 10},
                    {"name": "eno2"},
                ],
            },
            {"name": "pve2", "ip": "10.255.0.2"},
        ],
        "allNodes": {"interfaces": [{"name": "eno1"}]},
        **_MANAGED,
    },
    "BgpController": {
        "clusterRef": {"name": "pve"},
        "id": "bgp-pve1",
        "node": "pve1",
        "asn": 65001,
        "peers": ["192.0.2.1", "2001:db8::1"],
        "ebgp": True,
        "ebgpMultihop": 2,
        "loopback": "dummy0",
        "multipathAsPathRelax": True,
        "routeMapInRef": {"name": "from-the-world"},
        "routeMapOutRef": {"name": "to-the-world"},
        **_MANAGED,
    },
    "IsisController": {
        "clusterRef": {"name": "pve"},
        "id": "isis-pve1",
        "node": "pve1",
        "domain": "dc1",
        "interfaces": ["eno1", "eno2"],
        "net": "49.0001.1921.6801.6001.00",
        "loopback": "lo",
        **_MANAGED,
    },
}

#: Changes that turn the base Fabric into one of another protocol.
_NO_OPENFABRIC = {
    "helloIntervalSeconds": GONE,
    "csnpIntervalSeconds": GONE,
    "nodes.0.interfaces.0.helloMultiplier": GONE,
}
OSPF: Manifest = {
    **_NO_OPENFABRIC,
    "protocol": "OSPF",
    "area": "0.0.0.1",
    "prefix6": GONE,
    "nodes.0.ip6": GONE,
    "nodes.0.interfaces.0.ip6": GONE,
    "nodes.0.interfaces.0.networkType": "PointToPoint",
    "redistribute": [{"source": "BGP", "routeMapRef": {"name": "to-the-world"}}, {"source": "Static"}],
}
BGP: Manifest = {
    **_NO_OPENFABRIC,
    "protocol": "BGP",
    "nodes.0.interfaces": [{"name": "eno1"}],
    "redistribute": [{"source": "OSPF"}],
}
del BGP["nodes.0.interfaces.0.helloMultiplier"]
WIREGUARD: Manifest = {
    "helloIntervalSeconds": GONE,
    "csnpIntervalSeconds": GONE,
    "routeFilterRef": GONE,
    "protocol": "WireGuard",
    "persistentKeepaliveSeconds": 25,
    "nodes": [
        {
            "name": "pve1",
            "endpoint": "[2001:db8::9]:51820",
            "interfaces": [{"name": "wg0", "listenPort": 51820, "ip": "10.0.0.1/31"}],
            "allowedIps": ["10.7.0.0/24", "2001:db8:7::/48"],
            "peers": [{"interface": "wg0", "node": "far", "endpoint": "far.example.com:51820", "skipRoutes": True}],
        },
        {"name": "far", "external": True, "endpoint": "203.0.113.1", "publicKey": "A" * 43 + "="},
    ],
}


def with_(protocol: Manifest, **changes: Any) -> Manifest:
    """Another protocol with something else about it; ``__`` stands for a dot."""
    return {**protocol, **{path.replace("__", "."): value for path, value in changes.items()}}


_PHPIPAM = {"type": "phpipam", "url": "http://ipam.example.com/api/pve/", "section": 3, "fingerprint": GONE}
_PVE = dict.fromkeys(("url", "tokenSecretRef", "fingerprint"), GONE) | {"type": "pve"}

ACCEPTED: list[tuple[str, str, Manifest]] = [
    ("Ipam", "phpIPAM", _PHPIPAM),
    ("Ipam", "Proxmox' own", _PVE),
    ("Ipam", "the built-in one", {**_PVE, "id": "pve", "deletionPolicy": "Orphan"}),
    ("Ipam", "one that is adopted with its token", {"tokenSecretRef": GONE}),
    ("DnsServer", "only what is required", dict.fromkeys((
        "id", "ttlSeconds", "reverseMask6", "fingerprint", "keySecretRef"), GONE)),
    ("EvpnZone", "services by name", {"ipam": GONE, "ipamRef": {"name": "netbox"}, "dns": {
        "serverRef": {"name": "ns1"}, "zone": "example.com", "reverseRef": {"name": "ns2"}}}),
    ("PrefixList", "as many entries as there can be", {"entries": [
        {"seq": n, "action": "Permit", "prefix": f"2001:db8:{n:x}::/48", "ge": 49, "le": 64} for n in range(1, 65)]}),
    ("PrefixList", "every network",
     {"entries": [{"seq": 1, "action": "Permit", "prefix": "::/0", "ge": 0, "le": 128}]}),
    ("RouteMap", "one entry for everything", {"entries": [{"order": 0, "action": "Permit"}]}),
    ("RouteMap", "the next hop left alone", {"entries.0.set": {"nextHopUnchanged": True, "metric": "+10"}}),
    ("RouteMap", "two switches of which one is off",
     {"entries.0.set": {"nextHopUnchanged": False, "nextHopPeerAddress": True}}),
    ("RouteMap", "a peer by its address", {"entries.0.match.peer": "2001:db8::1"}),
    ("RouteMap", "as many entries as there can be", {"entries": [
        {"order": n, "action": "Permit", "match": {"prefixListRef": {"name": "a" * 253}, "nextHop": "10.0.0.1"},
         "set": {"metric": "+rtt"}, "callRef": {"name": "b" * 253}} for n in range(64)]}),
    ("Fabric", "OSPF", OSPF),
    ("Fabric", "BGP", BGP),
    ("Fabric", "WireGuard", WIREGUARD),
    ("Fabric", "all nodes and nothing else", {"nodes": GONE, "allNodes": {}}),
    ("Fabric", "IPv6 only", {"prefix": GONE, "nodes": [{"name": "pve1", "ip6": "2001:db8::1"}]}),
    ("Fabric", "an area as a number", with_(OSPF, area="4294967295")),
    ("Fabric", "as many nodes and interfaces as there can be", {"nodes": [
        {"name": f"pve{n}", "ip": f"10.255.0.{n}", "interfaces": [
            {"name": f"eno{i}", "ip": f"10.{n}.{i}.1/31", "helloMultiplier": 3} for i in range(16)]}
        for n in range(1, 65)]}),
    ("BgpController", "iBGP", {"ebgp": False, "ebgpMultihop": GONE}),
    ("BgpController", "only what is required", dict.fromkeys((
        "id", "ebgp", "ebgpMultihop", "loopback", "multipathAsPathRelax", "routeMapInRef", "routeMapOutRef"), GONE)),
    ("BgpController", "route maps by id", {
        "routeMapInRef": GONE, "routeMapOutRef": GONE, "routeMapIn": "in", "routeMapOut": "out"}),
    ("IsisController", "without a loopback", {"loopback": GONE}),
    ("IsisController", "the longest title", {"net": "49" + ".0001" * 9 + ".00"}),
    ("EvpnController", "route maps by name", {
        "routeMapIn": GONE, "routeMapOut": GONE, "routeMapInRef": {"name": "a"}, "routeMapOutRef": {"name": "b"}}),
]  # fmt: skip

_ID = "must be 1 to 32 letters, digits, - and _"
REFUSED: list[tuple[str, Manifest, str]] = [
    # --- Ipam
    ("Ipam", {"clusterRef": GONE}, "spec.clusterRef: Required value"),
    ("Ipam", {"type": GONE}, "spec.type: Required value"),
    ("Ipam", {"type": "infoblox"}, "supported values"),
    ("Ipam", {"id": "net-box"}, "must be an id in Proxmox: letters and digits, a letter first"),
    ("Ipam", {"url": GONE, "fingerprint": GONE}, "types netbox and phpipam need a url"),
    ("Ipam", {"url": "netbox.example.com/api"}, "must be http://host:port/path or https://host:port/path"),
    ("Ipam", {"url": "https://user:word@netbox.example.com/api"}, "without user, password and query"),
    ("Ipam", {"url": "https://netbox.example.com/api?token=x"}, "without user, password and query"),
    ("Ipam", {"url": "http://netbox.example.com/api"}, "fingerprint needs a url with https"),
    ("Ipam", {"fingerprint": "AB:CD"}, "must be a SHA-256 fingerprint: 32 pairs of hex digits"),
    ("Ipam", {"section": 3}, "section belongs to type phpipam"),
    ("Ipam", {path: value for path, value in _PHPIPAM.items() if path != "section"}, "type phpipam needs a section"),
    ("Ipam", {**_PHPIPAM, "section": 0}, "should be greater than or equal to 1"),
    ("Ipam", {**_PVE, "url": "http://netbox"}, "url belongs to type netbox or phpipam"),
    ("Ipam", {**_PVE, "tokenSecretRef": {"name": "t"}}, "tokenSecretRef belongs to type netbox or phpipam"),
    ("Ipam", {"id": "pve"}, "id pve is the built-in IPAM: type pve"),
    ("Ipam", {**_PVE, "id": "pve"}, "the built-in IPAM pve cannot be deleted: remove deletionPolicy: Delete"),
    ("Ipam", {"tokenSecretRef.name": "Upper"}, "must be a Kubernetes object's name"),
    ("Ipam", {"tokenSecretRef.key": "a key"}, "must be a key of a Secret"),
    # --- DnsServer
    ("DnsServer", {"clusterRef": GONE}, "spec.clusterRef: Required value"),
    ("DnsServer", {"url": GONE}, "spec.url: Required value"),
    ("DnsServer", {"url": "ftp://dns.example.com"}, "must be http://host:port/path or https://host:port/path"),
    ("DnsServer", {"url": "http://dns.example.com"}, "fingerprint needs a url with https"),
    ("DnsServer", {"id": "1ns"}, "must be an id in Proxmox: letters and digits, a letter first"),
    ("DnsServer", {"ttlSeconds": 0}, "should be greater than or equal to 1"),
    ("DnsServer", {"reverseMask6": 50}, "must be a multiple of 4: a zone ends at a digit"),
    ("DnsServer", {"reverseMask6": 128}, "should be less than or equal to 124"),
    ("DnsServer", {"keySecretRef": {}}, "keySecretRef.name: Required value"),
    # --- what names them
    ("EvpnZone", {"ipam": "pve", "ipamRef": {"name": "a"}}, "set at most one of ipam and ipamRef"),
    ("EvpnZone", {"dns": {"server": "a", "serverRef": {"name": "a"}}}, "set exactly one of server and serverRef"),
    ("EvpnZone", {"dns": {"zone": "example.com"}}, "set exactly one of server and serverRef"),
    (
        "EvpnZone",
        {"dns": {"server": "a", "reverse": "b", "reverseRef": {"name": "b"}}},
        "set at most one of reverse and reverseRef",
    ),
    # --- PrefixList
    ("PrefixList", {"clusterRef": GONE}, "spec.clusterRef: Required value"),
    ("PrefixList", {"id": "-own"}, _ID),
    ("PrefixList", {"id": "own list"}, _ID),
    ("PrefixList", {"id": "a" * 33}, "may not be more than 32 bytes"),
    ("PrefixList", {"entries": []}, "spec.entries in body should have at least 1 items"),
    ("PrefixList", {"entries": GONE}, "spec.entries: Required value"),
    ("PrefixList", {"entries.0.seq": GONE}, "spec.entries[0].seq: Required value"),
    ("PrefixList", {"entries.0.seq": 0}, "should be greater than or equal to 1"),
    ("PrefixList", {"entries.0.seq": 10}, "Duplicate value"),
    ("PrefixList", {"entries.0.action": "permit"}, 'supported values: "Permit", "Deny"'),
    ("PrefixList", {"entries.0.prefix": "10.0.0.1/8"}, "must be the network itself"),
    ("PrefixList", {"entries.0.prefix": "10.0.0.0"}, "must be a network such as"),
    ("PrefixList", {"entries.0.prefix": GONE}, "spec.entries[0].prefix: Required value"),
    ("PrefixList", {"entries.0.ge": 7}, "ge must not be below the prefix's own length"),
    ("PrefixList", {"entries.0.ge": 25}, "le must not be below ge"),
    ("PrefixList", {"entries.0.le": 33}, "ge and le must not be above 32 for an IPv4 prefix"),
    ("PrefixList", {"entries.1.le": 31}, "le must not be below the prefix's own length"),
    ("PrefixList", {"entries.1.le": 129}, "should be less than or equal to 128"),
    # --- RouteMap
    ("RouteMap", {"clusterRef": GONE}, "spec.clusterRef: Required value"),
    ("RouteMap", {"id": "map_"}, _ID),
    ("RouteMap", {"entries": []}, "spec.entries in body should have at least 1 items"),
    ("RouteMap", {"entries.0.order": 65536}, "should be less than or equal to 65535"),
    ("RouteMap", {"entries.0.order": -1}, "should be greater than or equal to 0"),
    ("RouteMap", {"entries.0.order": 20}, "Duplicate value"),
    ("RouteMap", {"entries.0.action": GONE}, "spec.entries[0].action: Required value"),
    ("RouteMap", {"entries.0.match.routeType": "prefix"}, "supported values"),
    ("RouteMap", {"entries.0.match.vni": 16777216}, "should be less than or equal to 16777215"),
    ("RouteMap", {"entries.0.match.nextHop": "2001:db8::1"}, "must be an IPv4 address"),
    ("RouteMap", {"entries.0.match.nextHop6": "10.0.0.1"}, "must be an IPv6 address"),
    ("RouteMap", {"entries.0.match.peer": "a,b"}, "must be an IP address, or the name of an interface or a peer group"),
    ("RouteMap", {"entries.0.match.tag": "seven"}, "must be a number or the word untagged"),
    ("RouteMap", {"entries.0.match.metric": -1}, "should be greater than or equal to 0"),
    ("RouteMap", {"entries.0.match.prefixListRef": {}}, "prefixListRef.name: Required value"),
    ("RouteMap", {"entries.0.set.metric": "fast"}, "must be a number, + or - and a number, rtt"),
    ("RouteMap", {"entries.0.set.localPreference": "high"}, "must be a number, or + or - and a number"),
    ("RouteMap", {"entries.0.set.nextHopUnchanged": True}, "set at most one of nextHop, nextHopPeerAddress and"),
    ("RouteMap", {"entries.0.set.nextHop6PeerAddress": True}, "set at most one of nextHop6 and nextHop6PeerAddress"),
    ("RouteMap", {"entries.0.set.src": "10.0.0.3/32"}, "must be an IP address in its usual spelling"),
    ("RouteMap", {"entries.0.exit": {"action": "GoTo"}}, "order belongs to the actions GoTo and Continue"),
    ("RouteMap", {"entries.0.exit": {"action": "Next", "order": 30}}, "order belongs to the actions GoTo and Continue"),
    ("RouteMap", {"entries.0.exit.order": 10}, "exit.order must be above the entry's own order"),
    # --- Fabric
    ("Fabric", {"clusterRef": GONE}, "spec.clusterRef: Required value"),
    ("Fabric", {"protocol": GONE}, "spec.protocol: Required value"),
    ("Fabric", {"protocol": "openfabric"}, "supported values"),
    ("Fabric", {"id": "-under"}, "must be a fabric's id"),
    ("Fabric", {"id": "underlay1"}, "may not be more than 8 bytes"),
    ("Fabric", {"prefix": GONE, "prefix6": GONE}, "set prefix, prefix6 or both"),
    ("Fabric", {"prefix": "10.255.0.1/24"}, "must be the network itself"),
    ("Fabric", {"nodes": GONE, "allNodes": GONE}, "set nodes, allNodes or both"),
    ("Fabric", {"nodes": []}, "spec.nodes in body should have at least 1 items"),
    ("Fabric", {"area": "0"}, "area belongs to protocol OSPF"),
    ("Fabric", {"redistribute": [{"source": "Static"}]}, "redistribute belongs to protocol OSPF or BGP"),
    ("Fabric", {"persistentKeepaliveSeconds": 5}, "persistentKeepaliveSeconds belongs to protocol WireGuard"),
    ("Fabric", {"helloIntervalSeconds": 0}, "should be greater than or equal to 1"),
    ("Fabric", {"csnpIntervalSeconds": 601}, "should be less than or equal to 600"),
    ("Fabric", {"nodes.0.name": "pve2"}, "Duplicate value"),
    ("Fabric", {"nodes.0.name": "pve1.example.com"}, "must be a Proxmox node's name"),
    ("Fabric", {"nodes.0.ip": "10.254.0.1"}, "every ip of a node must be inside prefix"),
    ("Fabric", {"nodes.0.ip": "2001:db8::1"}, "must be an IPv4 address"),
    ("Fabric", {"nodes.0.ip6": "2001:db8:1::1"}, "every ip6 of a node must be inside prefix6"),
    ("Fabric", {"nodes.0.ip": "10.255.0.2"}, "every node needs an ip of its own"),
    ("Fabric", {"nodes.0.interfaces.0.name": "eno2"}, "Duplicate value"),
    ("Fabric", {"nodes.0.interfaces.0.name": "eno 1"}, "must be the name of an interface, such as eno1"),
    ("Fabric", {"nodes.0.interfaces.0.ip": "10.0.0.1"}, "must be an IPv4 address with its prefix length"),
    ("Fabric", {"nodes.0.interfaces.0.ip": "2001:db8::1/64"}, "must be an IPv4 address with its prefix length"),
    ("Fabric", {"nodes.0.interfaces.0.ip6": "10.0.0.1/31"}, "must be an IPv6 address with its prefix length"),
    ("Fabric", {"nodes.0.interfaces.0.helloMultiplier": 1}, "should be greater than or equal to 2"),
    (
        "Fabric",
        {"nodes.0.interfaces.0.networkType": "Broadcast"},
        "networkType of an interface belongs to protocol OSPF",
    ),
    ("Fabric", {"allNodes.interfaces.0.listenPort": 5}, "listenPort of an interface belongs to protocol WireGuard"),
    ("Fabric", {"nodes.0.endpoint": "far"}, "endpoint, allowedIps and peers belong to protocol WireGuard"),
    ("Fabric", {path: value for path, value in OSPF.items() if path != "area"}, "protocol OSPF needs an area"),
    ("Fabric", with_(OSPF, area="backbone"), "must be a number, or look like an IPv4 address"),
    ("Fabric", with_(OSPF, prefix6="2001:db8::/64"), "protocol OSPF knows IPv4 only"),
    ("Fabric", with_(OSPF, helloIntervalSeconds=3), "helloIntervalSeconds belongs to protocol OpenFabric"),
    ("Fabric", with_(OSPF, redistribute=[{"source": "OSPF"}]), "must not name the fabric's own protocol"),
    ("Fabric", with_(OSPF, redistribute=[{"source": "Static"}, {"source": "Static"}]), "Duplicate value"),
    ("Fabric", with_(OSPF, allNodes__interfaces__0__helloMultiplier=3), "helloMultiplier of an interface belongs to"),
    (
        "Fabric",
        with_(BGP, nodes__0__interfaces=[{"name": "eno1", "ip": "10.0.0.1/31"}]),
        "ip of an interface belongs to",
    ),
    ("Fabric", with_(BGP, redistribute=[{"source": "BGP"}]), "must not name the fabric's own protocol"),
    ("Fabric", with_(WIREGUARD, routeFilterRef={"name": "own"}), "routeFilterRef belongs to protocol OpenFabric, OSPF"),
    ("Fabric", with_(WIREGUARD, nodes__1__publicKey=GONE), "an external node needs publicKey and endpoint"),
    ("Fabric", with_(WIREGUARD, nodes__1__publicKey="A" * 44), "must be a WireGuard public key"),
    ("Fabric", with_(WIREGUARD, nodes__1__endpoint="far away"), "must be host, or host:port"),
    ("Fabric", with_(WIREGUARD, nodes__1__interfaces=[{"name": "wg0"}]), "not of an external node"),
    ("Fabric", with_(WIREGUARD, nodes__0__allowedIps__0="10.7.0.1/24"), "must be the network itself"),
    ("Fabric", with_(WIREGUARD, nodes__0__peers__0={"interface": "wg0"}), "peers[0].node: Required value"),
    (
        "EvpnController",
        {"underlay": {"fabric": "Fabric1", "fabricRef": {"name": "under"}}},
        "set exactly one of peers,",
    ),
    # --- BgpController
    ("BgpController", {"clusterRef": GONE}, "spec.clusterRef: Required value"),
    ("BgpController", {"node": GONE}, "spec.node: Required value"),
    ("BgpController", {"node": "pve1.example.com"}, "must be a Proxmox node's name"),
    ("BgpController", {"id": "1bgp"}, "must be 2 to 64 letters, digits, - and _, a letter first"),
    ("BgpController", {"asn": 0}, "should be greater than or equal to 1"),
    ("BgpController", {"asn": 4294967296}, "should be less than or equal to 4294967295"),
    ("BgpController", {"peers": []}, "spec.peers in body should have at least 1 items"),
    ("BgpController", {"peers.0": "router.example.com"}, "must be an IP address in its usual spelling"),
    ("BgpController", {"peers.0": "192.0.2.1/24"}, "must be an IP address in its usual spelling"),
    ("BgpController", {"peers.0": "127.0.0.1"}, "must be the address of a router"),
    ("BgpController", {"peers.2": "192.0.2.1"}, "Duplicate value"),
    ("BgpController", {"ebgp": False}, "ebgpMultihop needs ebgp: true"),
    ("BgpController", {"ebgp": GONE}, "ebgpMultihop needs ebgp: true"),
    ("BgpController", {"ebgpMultihop": 256}, "should be less than or equal to 255"),
    ("BgpController", {"loopback": "dummy 0"}, "must be the name of an interface, such as eno1"),
    ("BgpController", {"loopback": "a" * 16}, "may not be more than 15 bytes"),
    ("BgpController", {"routeMapIn": "a"}, "set at most one of routeMapIn and routeMapInRef"),
    ("BgpController", {"routeMapOutRef": {"name": "Upper"}}, "must be a Kubernetes object's name"),
    # --- IsisController
    ("IsisController", {"node": GONE}, "spec.node: Required value"),
    ("IsisController", {"domain": GONE}, "spec.domain: Required value"),
    ("IsisController", {"domain": "dc 1"}, "must be a word of letters, digits, _, . and -"),
    ("IsisController", {"interfaces": []}, "spec.interfaces in body should have at least 1 items"),
    ("IsisController", {"interfaces.0": "eno1,eno2"}, "must be the name of an interface, such as eno1"),
    ("IsisController", {"interfaces.0": "eno2"}, "Duplicate value"),
    ("IsisController", {"net": "49.0001.1921.6801.6001"}, "must be a network entity title such as"),
    ("IsisController", {"net": "49.0001.00"}, "should be at least 20 chars long"),
    ("IsisController", {"net": "zz.0001.1921.6801.6001.00"}, "must be a network entity title such as"),
    # --- what names them
    ("EvpnController", {"routeMapInRef": {"name": "a"}}, "set at most one of routeMapIn and routeMapInRef"),
    ("EvpnController", {"routeMapOutRef": {"name": "a"}}, "set at most one of routeMapOut and routeMapOutRef"),
]

IMMUTABLE: list[tuple[str, Manifest, Manifest, str]] = [
    ("Ipam", {}, {"id": "other"}, "id is chosen at creation"),
    ("Ipam", {}, {"clusterRef": {"name": "other"}}, "clusterRef cannot change"),
    ("Ipam", _PHPIPAM, {"type": "netbox", "section": None}, "type cannot change once the IPAM is programmed"),
    ("DnsServer", {}, {"id": "other"}, "id is chosen at creation"),
    ("DnsServer", {}, {"clusterRef": {"name": "other"}}, "clusterRef cannot change"),
    ("PrefixList", {}, {"id": "other"}, "id is chosen at creation"),
    ("PrefixList", {}, {"clusterRef": {"name": "other"}}, "clusterRef cannot change"),
    ("RouteMap", {}, {"id": None}, "id is chosen at creation"),
    ("RouteMap", {}, {"clusterRef": {"name": "other"}}, "clusterRef cannot change"),
    ("Fabric", {}, {"id": "other"}, "id is chosen at creation"),
    ("Fabric", OSPF, {"protocol": "BGP", "area": None}, "protocol cannot change once the fabric is programmed"),
    ("Fabric", {}, {"clusterRef": {"name": "other"}}, "clusterRef cannot change"),
    ("BgpController", {}, {"id": "other"}, "id is chosen at creation"),
    ("BgpController", {}, {"clusterRef": {"name": "other"}}, "clusterRef cannot change"),
    ("IsisController", {}, {"id": "other"}, "id is chosen at creation"),
    ("IsisController", {}, {"clusterRef": {"name": "other"}}, "clusterRef cannot change"),
]
