"""Configurations that a Proxmox cluster has before the operator comes: a large one, and whatever Proxmox takes.

They are made through the lab's API, so that only what Proxmox accepts is there.
"""

from __future__ import annotations

from typing import Any

from hypothesis import strategies as st

from pve_lab.dispatch import answer_without_faults
from pve_lab.guests import Guest
from pve_lab.lab import Lab
from pve_lab.request import Answer, Request


def post(lab: Lab, path: str, **params: Any) -> None:
    underscored = {"policy_forward", "log_level_forward"}
    named = {key if key in underscored else key.replace("_", "-"): value for key, value in params.items()}
    answer = _ask(lab, "POST", path, **named)
    assert answer.status == 200, (path, params, answer.body)


def sdn(lab: Lab, path: str, **params: Any) -> None:
    post(lab, f"/cluster/sdn/{path}", **params)


def brownfield(lab: Lab) -> None:
    """5 zones, 40 VNets, 60 subnets, 3 controllers, firewalls, 50 NICs; and vlan, vxlan and simple zones of others."""
    nodes = list(lab.nodes)
    sdn(lab, "controllers", controller="main-evpn", type="evpn", asn=65001, fabric="Fabric1")
    sdn(
        lab, "controllers", controller="edge_1", type="evpn", asn=65001, peers="192.168.16.1 192.168.16.2",
        nodes="pve1,pve2", peer_group_name="EDGE", bgp_mode="external", ebgp_multihop=3,
    )  # fmt: skip
    core = {"peers": "FD00::01,fd00::2", "peer_group_name": "CORE"}
    sdn(lab, "controllers", controller="Core", type="evpn", asn=65001, **core)
    sdn(lab, "zones", zone="Prod", type="evpn", controller="main-evpn", vrf_vxlan=100001, mtu=1450, ipam="pve")
    sdn(
        lab, "zones", zone="prod", type="evpn", controller="main-evpn", vrf_vxlan=100002, exitnodes="pve2,pve1",
        exitnodes_primary="pve1", advertise_subnets=1, exitnodes_local_routing=1, secondary_controllers=["edge_1"],
    )  # fmt: skip
    sdn(lab, "zones", zone="z3", type="evpn", controller="edge_1", vrf_vxlan=100003, nodes="pve1,pve2")
    sdn(
        lab, "zones", zone="z4", type="evpn", controller="Core", vrf_vxlan=100004, rt_import="65001:1,65001:2",
        disable_arp_nd_suppression=1, mac="BC:24:11:AA:BB:CC", vxlan_port=4790,
    )  # fmt: skip
    sdn(lab, "zones", zone="z5", type="evpn", controller="Core", vrf_vxlan=100005, bridge_disable_mac_learning=1)
    sdn(lab, "zones", zone="plain", type="simple")
    sdn(lab, "zones", zone="vl", type="vlan", bridge="vmbr0")
    sdn(lab, "zones", zone="vx", type="vxlan", peers="192.168.16.1,192.168.16.2")
    sdn(lab, "vnets", vnet="s1", zone="plain")
    sdn(lab, "vnets", vnet="vl7", zone="vl", tag=7)
    sdn(lab, "vnets", vnet="vx9", zone="vx", tag=9)
    zones = ("Prod", "prod", "z3", "z4", "z5")
    for number in range(40):
        zone = zones[number % 5]
        more = {"alias": f"Team {number} (web)"} if number % 3 else {}
        sdn(lab, "vnets", vnet=f"vn{number}", zone=zone, tag=5000 + number, **more, isolate_ports=number % 2)
    for number in range(60):
        first = f"10.{number}.0"
        more: dict[str, Any] = {"gateway": f"{first}.1"} if number % 2 else {}
        if number % 4 == 1:
            more |= {"snat": 1, "dhcp_range": f"start-address={first}.10,end-address={first}.99"}
        sdn(lab, f"vnets/vn{number % 40}/subnets", subnet=f"{first}.0/24", type="subnet", **more)
    _ask(lab, "PUT", "/cluster/sdn")
    for number in range(10):
        firewall = f"/cluster/sdn/vnets/vn{number}/firewall"
        post(lab, f"{firewall}/rules", type="forward", action="DROP", log="info", comment="the rest", enable=1)
        post(
            lab, f"{firewall}/rules", type="forward", action="ACCEPT", macro="SSH", source="10.0.0.0/8",
            enable=number % 2,
        )  # fmt: skip
        _ask(lab, "PUT", f"{firewall}/options", enable=1, policy_forward="DROP")
    for number in range(50):
        mac, vnet, node = f"BC:24:11:00:01:{number:02X}", f"vn{number % 40}", nodes[number % 2]
        if number % 5:
            text = f"virtio={mac},bridge={vnet},firewall=1,queues=4"
            guest = Guest(1000 + number, "qemu", node, f"web {number}", {"net0": text, "net1": "e1000,bridge=vmbr0"})
        else:
            text = f"name=eth0,bridge={vnet},hwaddr={mac},ip=10.0.0.{number + 2}/24,gw=10.0.0.1,type=veth"
            guest = Guest(1000 + number, "lxc", node, f"ct{number}", {"net3": text})
        lab.guests[guest.vmid] = guest


def _ask(lab: Lab, method: str, path: str, **params: Any) -> Answer:
    """A person at Proxmox."""
    return answer_without_faults(lab, Request(method, path, params))


# --- whatever Proxmox takes -------------------------------------------------------------------------------------------

_FLAG = st.sampled_from(["0", "1"])
_NODES = st.sampled_from(["pve1", "pve1,pve2", "pve3 pve2", "pve2,pve9"])
_CIDRS = ["10.1.0.0/24", "10.1.0.0/25", "10.1.0.9/24", "10.1.0.7/32", "10.0.0.0/8", "8.0.0.0/7", "192.168.16.0/24"]
_CIDRS += ["2001:db8::/64", "2001:DB8:0::/64", "fd00:1::/48", "::ffff:10.9.0.0/112", "10.2.0.0/16"]
_GATEWAYS = ["10.1.0.1", "10.1.0.0", "10.9.9.9", "2001:DB8::1", "fd00:1::1", "10.2.0.1", "10.1.0.127"]
_RANGES = [
    "start-address=10.1.0.5,end-address=10.1.0.9",
    "end-address=10.1.0.30,start-address=10.1.0.20",
    "start-address=2001:DB8::5,end-address=2001:db8::9",
    "start-address=10.2.0.5,end-address=10.2.0.9",
]


def _some(**values: st.SearchStrategy[Any]) -> st.SearchStrategy[dict[str, Any]]:
    """Some of the properties."""
    return st.fixed_dictionaries({}, optional=values)


_CONTROLLERS = st.tuples(
    st.sampled_from(["c1", "C1", "c_2", "x-3"]),
    st.sampled_from(
        [
            {"peers": "192.168.16.1"},
            {"peers": "FD00::1 fd00::2"},
            {"peers": "0.0.0.0"},
            {"fabric": "Fabric1"},
            {"peers": "127.0.0.1,10.0.0.1"},
        ]
    ),
    _some(
        asn=st.sampled_from([0, 65001, 65002, 4294967295]),
        nodes=_NODES,
        bgp_mode=st.sampled_from(["auto", "external", "internal"]),
        ebgp_multihop=st.sampled_from([0, 1, 255, 300]),
        peer_group_name=st.sampled_from(["A", "BB", "C_c", "DD"]),
    ),
)
_ZONES = st.tuples(
    st.sampled_from(["z1", "Z1", "zone2", "vmbr0"]),
    st.sampled_from(["evpn", "evpn", "evpn", "simple", "vlan", "vxlan"]),
    _some(
        controller=st.sampled_from(["c1", "C1", "c_2", "x-3"]),
        secondary_controllers=st.lists(st.sampled_from(["c1", "C1", "c_2"]), max_size=2),
        vrf_vxlan=st.sampled_from([1, 5000, 16777215, 7]),
        nodes=_NODES,
        exitnodes=_NODES,
        exitnodes_primary=st.sampled_from(["pve1", "pve3"]),
        exitnodes_local_routing=_FLAG,
        advertise_subnets=_FLAG,
        disable_arp_nd_suppression=_FLAG,
        bridge_disable_mac_learning=_FLAG,
        rt_import=st.sampled_from(["65000:1", "65000:1,192.0.2.1:5", "4294967296:1", "1:1 2:2"]),
        mac=st.sampled_from(["BC:24:11:00:00:01", "01:00:5E:00:00:01", "00:00:00:00:00:00", "bc:24:11:00:00:02"]),
        mtu=st.sampled_from([100, 1450, 9000, 70000]),
        vxlan_port=st.sampled_from([1, 4789, 65536]),
        ipam=st.just("pve"),
        dns=st.just("pdns"),
        dnszone=st.just("Example.COM"),
        reversedns=st.just("pdns"),
        bridge=st.just("vmbr0"),
        peers=st.just("10.0.0.1"),
        fabric=st.just("Fabric1"),
    ),
)
_VNETS = st.tuples(
    st.sampled_from(["v1", "V1", "vn2", "eth0", "all"]),
    _some(
        zone=st.sampled_from(["z1", "Z1", "zone2"]),
        tag=st.sampled_from([1, 5000, 7, 16777215, 100]),
        isolate_ports=_FLAG,
        vlanaware=_FLAG,
        alias=st.sampled_from(["Web servers", " x ", "a_b[c]", "Grün", "v1"]),
    ),
)
_SUBNETS = st.tuples(
    st.sampled_from(["v1", "V1", "vn2"]),
    st.sampled_from(_CIDRS),
    _some(
        gateway=st.sampled_from(_GATEWAYS),
        snat=_FLAG,
        dhcp_range=st.lists(st.sampled_from(_RANGES), max_size=2, unique=True),
        dhcp_dns_server=st.sampled_from(["1.1.1.1", "FD00::1"]),
        dnszoneprefix=st.just("Adm"),
    ),
)
_RULES = st.tuples(
    st.sampled_from(["v1", "V1", "vn2"]),
    _some(
        type=st.sampled_from(["forward", "group"]),
        action=st.sampled_from(["ACCEPT", "DROP", "webs"]),
        enable=_FLAG,
        macro=st.sampled_from(["SSH", "ssh", "Ping"]),
        source=st.sampled_from(["10.0.0.0/8", "+guests", "dc/alias", "10.0.0.1-10.0.0.9", "FD00::1"]),
        dest=st.sampled_from(["10.0.0.1,10.0.0.2", "2001:db8::/64"]),
        proto=st.sampled_from(["tcp", "udp", "icmp", "any", "6", "TCP"]),
        dport=st.sampled_from(["80", "85:80", "ssh", "1,2,3", "0"]),
        sport=st.sampled_from(["1024:65535", "1"]),
        comment=st.sampled_from(["a", "two words", "# x", "Grün"]),
        log=st.sampled_from(["info", "nolog"]),
    ),
)
_NICS = st.tuples(
    st.sampled_from(["v1", "V1", "vn2", "vmbr0"]),
    st.sampled_from(["pve1", "pve3"]),
    st.sampled_from(
        [
            ("qemu", "virtio=BC:24:11:00:02:01,bridge={}"),
            ("qemu", "e1000=01:00:5e:00:00:01,bridge={},firewall=on,rate=0.0001"),
            ("qemu", "model=virtio,macaddr=bc:24:11:00:02:02,bridge={},mtu=1,queues=4,link_down=1"),
            ("qemu", "virtio,bridge={},tag=5"),
            ("qemu", "virtio=BC:24:11:00:02:03,bridge={},trunks=1;2-4,unknown=1"),
            ("qemu", "virtio=BC:24:11:00:02:01,bridge={},mtu=9000"),
            ("lxc", "name=eth0,bridge={},hwaddr=BC:24:11:00:02:05,ip=dhcp,gw=10.0.0.1,type=veth"),
            (
                "lxc",
                "name=_x,bridge={},hwaddr=BC:24:11:00:02:06,ip=10.0.0.5/24,gw=10.0.0.1,ip6=auto,rate=1.5,host-managed=1",
            ),
            ("lxc", "name=eth1,bridge={},hwaddr=BC:24:11:00:02:07,ip6=fd00::5/64,gw6=FD00::1,mtu=1400,link_down=0"),
        ]
    ),
)

_ENTRIES = [
    "action=permit,prefix=10.0.0.0/8,seq=5",
    "seq=10,prefix=10.1.0.0/16,action=deny,ge=24,le=32",
    "action=permit,prefix=::/0,seq=20,le=48",
    "action=permit,prefix=10.0.0.0/8,seq=30,ge=4",
    "action=permit,prefix=10.0.0.9/8,seq=40",
]
_LISTS = st.tuples(
    st.sampled_from(["pl1", "PL1", "pl_2"]), st.lists(st.sampled_from(_ENTRIES), max_size=3, unique=True)
)
_MAPS = st.tuples(
    st.sampled_from(["rm1", "rm2"]),
    st.sampled_from([5, 10, 20]),
    _some(
        match=st.lists(
            st.sampled_from(
                [
                    "key=vni,value=5001",
                    "key=ip-address-prefix-list,value=pl1",
                    "key=route-type,value=macip",
                    "key=ip-next-hop-address,value=10.0.0.1",
                    "key=tag,value=untagged",
                ]
            ),
            max_size=2,
            unique=True,
        ),
        set=st.lists(
            st.sampled_from(
                [
                    "key=weight,value=20",
                    "key=ip-next-hop-unchanged",
                    "key=ip-next-hop,value=10.0.0.1",
                    "key=metric,value=+5",
                    "key=local-preference,value=100",
                ]
            ),
            max_size=3,
            unique=True,
        ),
        call=st.sampled_from(["rm1", "rm2", "gone"]),
        exit_action=st.sampled_from(["key=on-match-next", "key=on-match-goto,value=7", "key=continue,value=20"]),
    ),
)
_ROUTERS = st.tuples(
    st.sampled_from(["bgppve1", "isispve1", "bgppve2"]),
    st.sampled_from(["bgp", "isis"]),
    st.sampled_from(["pve1", "pve2", "pve9"]),
    _some(
        ebgp=_FLAG,
        ebgp_multihop=st.sampled_from([1, 5, 300]),
        loopback=st.just("dummy1"),
        bgp_multipath_as_path_relax=_FLAG,
        route_map_in=st.sampled_from(["rm1", "rm2"]),
        peers=st.sampled_from(["192.0.2.1", "2001:DB8::1,192.0.2.2", "127.0.0.1"]),
    ),
)
_FABRICS = st.tuples(
    st.sampled_from(["fab1", "Fab-2"]),
    st.sampled_from(["openfabric", "ospf", "bgp"]),
    _some(
        ip_prefix=st.sampled_from(["10.255.0.0/24", "192.168.16.0/24"]),
        ip6_prefix=st.just("2001:DB8:9::/64"),
        area=st.sampled_from(["0", "0.0.0.5", "7"]),
        hello_interval=st.sampled_from([1, 600, 900]),
        route_filter=st.just("pl1"),
        redistribute=st.lists(
            st.sampled_from(["source=connected", "source=bgp", "route-map=rm1,source=static"]), max_size=2
        ),
    ),
    st.lists(
        st.tuples(
            st.sampled_from(["pve1", "pve2", "pve3"]),
            _some(
                ip=st.sampled_from(["10.255.0.1", "10.255.0.2", "192.168.16.9", "10.255.0.3"]),
                ip6=st.sampled_from(["2001:DB8:9::1", "2001:db8:9::2"]),
                interfaces=st.lists(
                    st.sampled_from(["name=eno1", "name=eno2,ip=10.7.0.1/31", "hello_multiplier=5,name=eno3"]),
                    max_size=2,
                    unique=True,
                ),
            ),
        ),
        max_size=3,
    ),
)

#: Whose requests leave a state. Properties are set one by one, so that one that Proxmox refuses takes no other with it.
RECIPES = st.fixed_dictionaries(
    {
        "lists": st.lists(_LISTS, max_size=2),
        "maps": st.lists(_MAPS, max_size=3),
        "fabrics": st.lists(_FABRICS, max_size=2),
        "routers": st.lists(_ROUTERS, max_size=2),
        "controllers": st.lists(_CONTROLLERS, max_size=2),
        "zones": st.lists(_ZONES, max_size=4),
        "vnets": st.lists(_VNETS, max_size=4),
        "subnets": st.lists(_SUBNETS, max_size=6),
        "staged": st.none() | st.tuples(_VNETS, _ZONES),
        "rules": st.lists(_RULES, max_size=4),
        "nics": st.lists(_NICS, max_size=4),
    }
)
_FIRST = {"c1": {"peers": "192.168.16.1,192.168.16.2"}, "z1": 100001, "v1": 5001}


def cook(lab: Lab, recipe: dict[str, Any]) -> None:
    """Make the configuration: a sane one first, then what the recipe adds; ``staged`` is edited and not applied."""
    lab.firewall_names.aliases["alias"] = "10.3.0.0/16"
    lab.firewall_names.ipsets.add("guests")
    _ask(lab, "POST", "/cluster/sdn/dns", dns="pdns", type="powerdns", url="http://10.0.0.3", key="k")
    for id_, entries in recipe["lists"]:
        _ask(lab, "POST", "/cluster/sdn/prefix-lists", id=id_, entries=entries)
    for id_, order, props in recipe["maps"]:
        least = {"route_map_id": id_, "order": order, "action": "permit"}
        _ask(lab, "POST", "/cluster/sdn/route-maps/entries", **_dashed({**least, **props}))
    for id_, protocol, props, nodes in recipe["fabrics"]:
        least = {"ip_prefix": "10.255.0.0/24", **({"area": "3"} if protocol == "ospf" else {})}
        _make_alike(lab, "/cluster/sdn/fabrics/fabric", {"id": id_, "protocol": protocol, **least}, id_, props)
        for number, (node, more) in enumerate(nodes, 1):
            path = f"/cluster/sdn/fabrics/node/{id_}"
            row = {"node_id": node, "protocol": protocol, "ip": f"10.255.0.10{number}", "interfaces": []}
            _make_alike(lab, path, row, node, more)
    for id_, underlay, props in (("c1", _FIRST["c1"], {}), *recipe["controllers"]):
        _make(lab, "controllers", {"controller": id_, "type": "evpn", "asn": 65001, **underlay}, props)
    for id_, type_, node, props in recipe["routers"]:
        isis = {"isis_domain": "dc1", "isis_ifaces": "eno1", "isis_net": "49.0001.1921.6801.6001.00"}
        more = isis if type_ == "isis" else {"asn": 65001, "peers": "192.0.2.1"}
        _make(lab, "controllers", {"controller": id_, "type": type_, "node": node, **more}, props)
    for number, (id_, type_, props) in enumerate((("z1", "evpn", {}), *recipe["zones"])):
        evpn = {"controller": "c1", "vrf_vxlan": 100001 + number} if type_ == "evpn" else {}
        more = {"vlan": {"bridge": "vmbr0"}, "vxlan": {"peers": "192.168.16.1"}}.get(type_, {})
        _make(lab, "zones", {"zone": id_, "type": type_, **evpn, **more}, props)
    for number, (id_, props) in enumerate((("v1", {}), *recipe["vnets"])):
        _make(lab, "vnets", {"vnet": id_, "zone": props.get("zone", "z1"), "tag": 5001 + number}, props)
    for vnet, cidr, props in recipe["subnets"]:
        zone = lab.sdn.edited["vnets"].get(vnet, {}).get("zone")
        _make(
            lab, f"vnets/{vnet}/subnets", {"subnet": cidr, "type": "subnet"}, props, f"{zone}-{cidr.replace('/', '-')}"
        )
    _ask(lab, "PUT", "/cluster/sdn")
    for path, row in zip(("vnets/v1", "zones/z1"), recipe["staged"] or (), strict=False):
        _set(lab, path, row[-1])
    for vnet, props in recipe["rules"]:
        firewall = f"/cluster/sdn/vnets/{vnet}/firewall"
        _ask(lab, "POST", f"{firewall}/rules", **{"type": "forward", "action": "DROP", **_dashed(props)})
        _ask(lab, "PUT", f"{firewall}/options", enable=1)
    for number, (vnet, node, (kind, text)) in enumerate(recipe["nics"]):
        lab.guests[300 + number] = Guest(300 + number, kind, node, f"g {number}", {"net0": text.format(vnet)})


def _make(lab: Lab, path: str, least: dict[str, Any], props: dict[str, Any], id_: str = "") -> None:
    """Create an object with what it needs, then set each property that Proxmox takes."""
    _ask(lab, "POST", f"/cluster/sdn/{path}", **_dashed(least))
    _set(lab, f"{path}/{id_ or next(iter(least.values()))}", props)


def _make_alike(lab: Lab, path: str, least: dict[str, Any], id_: str, props: dict[str, Any]) -> None:
    """The same for fabrics, whose writes all name the protocol."""
    _ask(lab, "POST", path, **least)
    for key, value in props.items():
        _ask(lab, "PUT", f"{path}/{id_}", protocol=least["protocol"], **{key: value})


def _set(lab: Lab, path: str, props: dict[str, Any]) -> None:
    for key, value in props.items():
        _ask(lab, "PUT", f"/cluster/sdn/{path}", **_dashed({key: value}))


def _dashed(params: dict[str, Any]) -> dict[str, Any]:
    return {key.replace("_", "-"): value if isinstance(value, list) else str(value) for key, value in params.items()}
