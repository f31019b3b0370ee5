"""What the API server itself refuses: one valid object per kind, and everything that can be wrong with it.

Each case changes a valid base object in one place and names the words a user must read. Creation is a dry run;
rules about changes are shown on objects that exist.
"""

from __future__ import annotations

import copy
import json
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from kubernetes import client, config

from pve_evpn.api.kinds import GROUP, KINDS, VERSION
from tests.kube import routing_cases
from tests.kube.controlplane import ControlPlane
from tests.kube.routing_cases import GONE

pytestmark = pytest.mark.kube

NAMESPACE = "default"
FINGERPRINT = ":".join(["AB"] * 32)
PEM = "-----BEGIN CERTIFICATE-----\nMIIB\n-----END CERTIFICATE-----\n"

Manifest = dict[str, Any]

#: Every section of every kind is used once, so that a mutation is the only thing wrong.
BASES: dict[str, Manifest] = {
    "ProxmoxCluster": {
        "endpoints": ["https://192.168.16.1:8006", "https://pve2.example.com", "https://[2001:db8::2]:8006/"],
        "credentialsSecretRef": {"name": "pve-credentials"},
        "tls": {"caSecretRef": {"name": "pve-credentials", "key": "ca.crt"}},
        "managementPolicy": "Full",
        "drift": "Correct",
        "apply": {
            "policy": "Window",
            "windows": [
                {"schedule": "0 22 * * mon-fri", "timeZone": "Europe/Vienna", "durationMinutes": 120},
                {"schedule": "*/30 0-4,6 1,15 JAN-MAR/2 0", "durationMinutes": 15},
            ],
            "destructive": "Manual",
            "foreignPending": "Refuse",
            "onFailure": "Revert",
            "taskTimeoutSeconds": 300,
        },
        "observe": {
            "sources": ["ssh", "frrExporter", "api"],
            "intervalSeconds": 15,
            "graceSeconds": 60,
            "ssh": {
                "user": "root",
                "port": 22,
                "keySecretRef": {"name": "ssh"},
                "knownHosts": ["192.168.16.1 ssh-ed25519 AAAAC3Nz"],
                "addresses": {"pve1": "192.168.16.1"},
                "pinning": True,
            },
            "frrExporter": {"scheme": "http", "port": 9342, "path": "/metrics"},
        },
        "guestAccess": [
            {
                "namespaces": {
                    "matchLabels": {"team": "web"},
                    "matchExpressions": [{"key": "env", "operator": "In", "values": ["prod"]}],
                },
                "guests": {"pools": ["web"], "tags": ["web"], "vmids": [{"from": 100, "to": 199}]},
            }
        ],
    },
    "EvpnController": {
        "clusterRef": {"name": "pve"},
        "id": "evpn-ctl_1",
        "asn": 4200000001,
        "underlay": {"peers": ["192.168.16.1", "192.168.16.2", "2001:db8::3"]},
        "nodes": ["pve1", "pve2"],
        "bgpMode": "External",
        "ebgpMultihop": 3,
        "peerGroupName": "VTEP",
        "routeMapIn": "map-in",
        "routeMapOut": "map-out",
        "managementPolicy": "Full",
        "deletionPolicy": "Delete",
        "adoptionPolicy": "IfIdentical",
    },
    "EvpnZone": {
        "clusterRef": {"name": "pve"},
        "id": "EZone1",
        "controllerRef": {"name": "evpn1"},
        "secondaryControllerRefs": [{"name": "evpn2"}],
        "vrfVni": 100001,
        "vniRange": {"first": 5000, "last": 5999, "enforced": True},
        "nodes": ["pve1", "pve2", "pve3"],
        "exitNodes": {"nodes": ["pve1", "pve2"], "primary": "pve1", "localRouting": True},
        "advertiseSubnets": True,
        "arpNdSuppression": False,
        "routeTargetImports": ["65001:4294967295", "65002:100001"],
        "anycastMac": "bc:24:11:00:00:01",
        "mtu": 1450,
        "vxlanPort": 4789,
        "bridgeMacLearning": False,
        "ipam": "pve",
        "dns": {"server": "dns1", "reverse": "dns1", "zone": "example.com"},
        "allowedNamespaces": {
            "from": "Selector",
            "selector": {"matchLabels": {"team": "web"}},
            "limits": {"vnets": 10, "subnets": 20, "nics": 100},
        },
        "allowedSubnets": ["10.0.0.0/8", "fd00::/48"],
        "adoption": {"namespaces": {"matchLabels": {"team": "web"}}},
    },
    "VNet": {
        "zoneRef": {"name": "ezone1"},
        "id": "EVPN1",
        "vni": 5001,
        "alias": "Web servers (prod), rack [1]\\2: a^b_c-d",
        "isolatePorts": False,
        "subnets": [
            {
                "cidr": "10.1.0.0/24",
                "gateway": "10.1.0.1",
                "snat": True,
                "dhcpRanges": [{"start": "10.1.0.9", "end": "10.1.0.100"}],
                "dhcpDnsServer": "192.168.16.1",
                "dnsZonePrefix": "web",
            },
            {"cidr": "10.2.0.0/24", "gateway": "10.2.0.1"},
            {"cidr": "2001:db8:1::/64", "gateway": "2001:db8:1::1"},
        ],
        "firewall": {
            "enabled": True,
            "policyForward": "DROP",
            "logLevelForward": "info",
            "rules": [
                {"action": "ACCEPT", "proto": "tcp", "dport": "80,443", "source": "10.1.0.0/24", "log": "info"},
                {"action": "DROP", "proto": "icmp", "icmpType": "echo-request", "enabled": False},
                {"securityGroup": "web"},
            ],
        },
    },
    "NicAttachment": {
        "clusterRef": {"name": "pve"},
        "guest": {"vmid": 100},
        "type": "qemu",
        "device": "net0",
        "vnetRef": {"name": "evpn1"},
        "macAddress": "bc:24:11:11:11:11",
        "model": "virtio",
        "firewall": True,
        "linkDown": False,
        "mtu": 1,
        "queues": 4,
        "rateLimitMBps": 12.5,
        "tag": 7,
        "addresses": ["10.1.0.20", "2001:db8::20"],
        "silentHost": "Observe",
        "managementPolicy": "Full",
        "deletionPolicy": "Detach",
    },
    "EvpnNode": {"clusterRef": {"name": "pve"}, "node": "pve1"},
    **routing_cases.BASES,
}

#: Changes that turn the base NicAttachment into a container's.
CONTAINER: Manifest = {
    "type": "lxc",
    "model": GONE,
    "queues": GONE,
    "mtu": 1450,
    "name": "eth0",
    "ip": "10.1.0.20/24",
    "gw": "10.1.0.1",
    "ip6": "2001:db8:1::20/64",
    "gw6": "2001:db8:1::1",
}


def container(**changes: Any) -> Manifest:
    """The container with something else about it."""
    wanted = {**CONTAINER, **changes}
    return {path: value for path, value in wanted.items() if value is not GONE or path in BASES["NicAttachment"]}


def mutated(kind: str, changes: Manifest) -> Manifest:
    """The base's spec with ``a.b.0.c`` set to (or, for GONE, freed of) something."""
    spec = copy.deepcopy(BASES[kind])
    for path, value in changes.items():
        *way, last = [int(part) if part.isdigit() else part for part in path.split(".")]
        place: Any = spec
        for part in way:
            place = place[part]
        if value is GONE:
            del place[last]
        elif isinstance(place, list) and last == len(place):
            place.append(value)
        else:
            place[last] = value
    return spec


def manifest(kind: str, spec: Manifest, name: str = "case") -> Manifest:
    metadata = {"name": name} | ({"namespace": NAMESPACE} if KINDS[kind].scope == "Namespaced" else {})
    return {"apiVersion": f"{GROUP}/{VERSION}", "kind": kind, "metadata": metadata, "spec": spec}


class Api:
    """The API server, seen through the official client: what it says when it refuses."""

    def __init__(self, plane: ControlPlane) -> None:
        self._client = config.new_client_from_config(str(plane.kubeconfig))
        self._objects = client.CustomObjectsApi(self._client)

    def close(self) -> None:
        self._client.close()

    def create(self, kind: str, spec: Manifest, *, dry_run: bool = True, name: str = "case") -> str:
        extra = {"dry_run": "All"} if dry_run else {}
        return self._said(self._call(kind, "create"), manifest(kind, spec, name), field_validation="Strict", **extra)

    def patch(self, kind: str, change: Manifest, *, name: str = "case", part: str = "") -> str:
        call = self._call(kind, "patch", f"_{part}" if part else "")
        return self._said(call, name, change, _content_type="application/merge-patch+json")

    def delete(self, kind: str, name: str = "case") -> str:
        return self._said(self._call(kind, "delete"), name)

    def _call(self, kind: str, verb: str, part: str = "") -> Callable[..., Any]:
        namespaced = KINDS[kind].scope == "Namespaced"
        scope, where = ("namespaced", (NAMESPACE,)) if namespaced else ("cluster", ())
        method = getattr(self._objects, f"{verb}_{scope}_custom_object{part}")
        return lambda *rest, **extra: method(GROUP, VERSION, *where, KINDS[kind].plural, *rest, **extra)

    @staticmethod
    def _said(call: Callable[..., Any], *args: Any, **extra: Any) -> str:
        """Empty where it is accepted, else the message. Raises whatever is not about the object."""
        try:
            call(*args, **extra)
        except client.ApiException as error:
            if error.status not in (400, 422):
                raise
            return str(json.loads(error.body)["message"])
        return ""


@pytest.fixture(scope="module")
def api(cluster: ControlPlane) -> Iterator[Api]:
    made = Api(cluster)
    yield made
    made.close()


@pytest.mark.parametrize("kind", BASES)
def test_the_base_is_accepted(api: Api, kind: str) -> None:
    assert api.create(kind, BASES[kind]) == ""


def test_there_is_a_base_for_every_kind() -> None:
    assert BASES.keys() == KINDS.keys()


ACCEPTED: list[tuple[str, str, Manifest]] = [
    ("ProxmoxCluster", "only what is required", {k: GONE for k in BASES["ProxmoxCluster"] if k not in
                                                 ("endpoints", "credentialsSecretRef")}),
    ("ProxmoxCluster", "a fingerprint", {"tls": {"fingerprint": FINGERPRINT}}),
    ("ProxmoxCluster", "a CA bundle", {"tls": {"caBundle": PEM}}),
    ("ProxmoxCluster", "no verification, said explicitly", {"tls": {"insecureSkipVerify": True}}),
    ("ProxmoxCluster", "no skipping and a CA", {"tls.insecureSkipVerify": False}),
    ("ProxmoxCluster", "manual approval", {"apply": {"policy": "Manual"}}),
    ("ProxmoxCluster", "host keys in a Secret",
     {"observe.ssh.knownHosts": GONE, "observe.ssh.knownHostsSecretRef": {"name": "ssh"}}),
    ("ProxmoxCluster", "all namespaces", {"guestAccess.0.namespaces": {}}),
    ("EvpnController", "a fabric", {"underlay": {"fabric": "Fabric1"}}),
    ("EvpnController", "the cluster's nodes", {"underlay": {"clusterNodes": {}}}),
    ("EvpnController", "the cluster's nodes in a network", {"underlay": {"clusterNodes": {"cidr": "192.168.16.0/24"}}}),
    ("EvpnZone", "any namespace", {"allowedNamespaces": {"from": "All"}}),
    ("EvpnZone", "no namespace", {"allowedNamespaces": {"from": "None"}}),
    ("EvpnZone", "the L3 VNI from the range", {"vrfVni": GONE}),
    ("EvpnZone", "exit nodes on a zone of all nodes", {"nodes": GONE}),
    ("VNet", "only a zone", {k: GONE for k in BASES["VNet"] if k != "zoneRef"}),
    ("VNet", "a host route with a gateway outside", {"subnets": [{"cidr": "10.1.0.1/32", "gateway": "10.9.0.1"}]}),
    ("VNet", "a point-to-point subnet", {"subnets": [{"cidr": "10.1.0.0/31", "gateway": "10.1.0.0"}]}),
    ("VNet", "a DHCP range of IPv6", {"subnets.2.dhcpRanges": [{"start": "2001:db8:1::9", "end": "2001:db8:1::10"}]}),
    ("VNet", "two ranges", {"subnets.0.dhcpRanges.1": {"start": "10.1.0.101", "end": "10.1.0.120"}}),
    ("VNet", "a range of one address", {"subnets.0.dhcpRanges.0.end": "10.1.0.9"}),
    *[("VNet", f"a firewall rule for {source}", {"firewall.rules.0.source": source}) for source in (
        "10.1.0.0/24,10.2.0.1", "10.1.0.1-10.1.0.9", "2001:db8::/64,2001:db8:1::1", "2001:db8::1-2001:db8::9",
        "0.0.0.0/0", "office", "dc/Office_1", "+trusted", "+dc/trusted-1", "+sdn/EVPN1-all",
        ",".join(f"10.1.{n}.0/24" for n in range(40)))],
    ("VNet", "ports by number, range and service", {"firewall.rules.0.dport": "22,80:85,https,65535"}),
    ("VNet", "fifteen numbers of ports", {"firewall.rules.0.dport": "1:2,3:4,5:6,7:8,9:10,11:12,13:14,15,http"}),
    ("VNet", "a protocol by number", {"firewall.rules.0.proto": "17"}),
    ("VNet", "a protocol without ports", {"firewall.rules.1": {"action": "DROP", "proto": "esp"}}),
    ("VNet", "ICMPv6", {"firewall.rules.1": {"action": "DROP", "proto": "icmpv6", "icmpType": "packet-too-big",
                                             "source": "2001:db8::/64"}}),
    ("VNet", "a macro in another case", {"firewall.rules.1": {"action": "ACCEPT", "macro": "ssh", "source": "office"}}),
    ("VNet", "a macro with its protocol and a source port",
     {"firewall.rules.1": {"action": "ACCEPT", "macro": "SSH", "proto": "tcp", "sport": "1024:65535"}}),
    ("VNet", "a comment beside a security group",
     {"firewall.rules.2": {"securityGroup": "web", "comment": "Büro #1 – 日本", "enabled": False}}),
    ("VNet", "as many rules as there can be", {"firewall.rules": [
        {"action": "DROP", "proto": "tcp", "dport": "80:85,https", "source": "10.1.0.0/24", "dest": f"10.2.0.{n}"}
        for n in range(64)]}),
    ("NicAttachment", "no limit", {"rateLimitMBps": 0}),
    ("NicAttachment", "a small limit", {"rateLimitMBps": 0.001}),
    ("NicAttachment", "a container", CONTAINER),
    ("NicAttachment", "a container with DHCP", container(ip="dhcp", gw=GONE, ip6="auto", gw6=GONE)),
    ("NicAttachment", "trunks instead of a tag", {"tag": GONE, "trunks": [7, 8]}),
    ("NicAttachment", "a guest by name, its kind unsaid", {"guest": {"name": "web"}, "type": GONE}),
    ("NicAttachment", "the last device", {"device": "net31"}),
    *routing_cases.ACCEPTED,
]  # fmt: skip


@pytest.mark.parametrize(("kind", "changes"), [pytest.param(k, c, id=f"{k}: {t}") for k, t, c in ACCEPTED])
def test_accepted(api: Api, kind: str, changes: Manifest) -> None:
    assert api.create(kind, mutated(kind, changes)) == ""


SHORT_ID = "must be 2 to 8 letters and digits, a letter first"
IP = "must be an IP address in its usual spelling"
UNICAST = "must be a unicast address"
ONE_LINE = "must be one line without control characters"

INTERFACES = (
    "vmbr0", "lo", "eth0", "eno1", "ens18", "enp3s0f0", "enx0050b", "wlan0", "bond0", "tap100i0", "veth1i0", "fwbr1i0",
    "vrf1", "vxlan5", "dummy0", "docker0", "nic0", "all", "default",
)  # fmt: skip
REFUSED: list[tuple[str, Manifest, str]] = [
    # --- ProxmoxCluster
    ("ProxmoxCluster", {"endpoints": []}, "spec.endpoints in body should have at least 1 items"),
    ("ProxmoxCluster", {"endpoints": GONE}, "spec.endpoints: Required value"),
    ("ProxmoxCluster", {"endpoints.0": "http://192.168.16.1:8006"}, "must be https://host or https://host:port"),
    ("ProxmoxCluster", {"endpoints.0": "https://192.168.16.1:8006/api2/json"}, "without a path"),
    ("ProxmoxCluster", {"endpoints.0": "https://root:secret@pve1:8006"}, "must be https://host"),
    ("ProxmoxCluster", {"endpoints": [f"https://pve{i}" for i in range(17)]}, "must have at most 16 items"),
    ("ProxmoxCluster", {"credentialsSecretRef": GONE}, "spec.credentialsSecretRef: Required value"),
    ("ProxmoxCluster", {"credentialsSecretRef.namespace": "kube-system"}, 'unknown field "spec.credentialsSecretRef.'),
    ("ProxmoxCluster", {"credentialsSecretRef.name": "PVE"}, "must be a Kubernetes object's name"),
    ("ProxmoxCluster", {"token": "root@pam!x=1"}, 'unknown field "spec.token"'),
    ("ProxmoxCluster", {"tls.fingerprint": FINGERPRINT}, "set only one of caSecretRef, caBundle and fingerprint"),
    ("ProxmoxCluster", {"tls": {"caBundle": PEM, "fingerprint": FINGERPRINT}}, "set only one of caSecretRef"),
    ("ProxmoxCluster", {"tls.insecureSkipVerify": True}, "insecureSkipVerify makes caSecretRef"),
    ("ProxmoxCluster", {"tls": {"fingerprint": "ab:cd"}}, "must be a SHA-256 fingerprint: 32 pairs"),
    ("ProxmoxCluster", {"tls": {"caBundle": PEM + "\x1b[2J"}}, "control characters other than line breaks"),
    ("ProxmoxCluster", {"tls": {"caBundle": "/etc/pve/pve-root-ca.pem"}}, "must hold certificates in PEM form"),
    ("ProxmoxCluster", {"managementPolicy": "observe"}, 'supported values: "Full", "ObserveOnly"'),
    ("ProxmoxCluster", {"drift": "Ignore"}, 'supported values: "Correct", "Report"'),
    ("ProxmoxCluster", {"apply.windows": GONE}, "policy: Window needs at least one entry in windows"),
    ("ProxmoxCluster", {"apply.windows": []}, "policy: Window needs at least one entry in windows"),
    ("ProxmoxCluster", {"apply.policy": GONE}, "windows are used with policy: Window only"),
    ("ProxmoxCluster", {"apply.policy": "Manual"}, "windows are used with policy: Window only"),
    ("ProxmoxCluster", {"apply.policy": "Never"}, 'supported values: "Automatic", "Manual", "Window"'),
    ("ProxmoxCluster", {"apply.windows.0.schedule": "0 22 * *"}, "must be five cron fields"),
    ("ProxmoxCluster", {"apply.windows.0.schedule": "0 25 * * *"}, "must be five cron fields"),
    ("ProxmoxCluster", {"apply.windows.0.schedule": "@daily"}, "must be five cron fields"),
    ("ProxmoxCluster", {"apply.windows.0.timeZone": "UTC+1 (Vienna)"}, "must be an IANA time zone"),
    ("ProxmoxCluster", {"apply.windows.0.timeZone": "Europe/Nowhere"}, "must be the name of a time zone"),
    ("ProxmoxCluster", {"apply.windows.0.durationMinutes": 0}, "should be greater than or equal to 1"),
    ("ProxmoxCluster", {"apply.destructive": "Never"}, 'supported values: "Automatic", "Manual"'),
    ("ProxmoxCluster", {"apply.foreignPending": "Overwrite"}, 'supported values: "Refuse", "Include"'),
    ("ProxmoxCluster", {"apply.onFailure": "Retry"}, 'supported values: "Hold", "Revert"'),
    ("ProxmoxCluster", {"apply.taskTimeoutSeconds": 5}, "should be greater than or equal to 10"),
    ("ProxmoxCluster", {"observe.sources": ["api", "api"]}, "sources must not repeat a source"),
    ("ProxmoxCluster", {"observe.sources": ["snmp"]}, 'supported values: "ssh", "frrExporter", "api"'),
    ("ProxmoxCluster", {"observe.sources": []}, "should have at least 1 items"),
    ("ProxmoxCluster", {"observe.ssh": GONE}, "source ssh needs the section ssh with keySecretRef"),
    ("ProxmoxCluster", {"observe.ssh.keySecretRef": GONE}, "spec.observe.ssh.keySecretRef: Required value"),
    ("ProxmoxCluster", {"observe.ssh.knownHosts": GONE}, "host keys are always checked"),
    ("ProxmoxCluster", {"observe.ssh.knownHostsSecretRef": {"name": "ssh"}}, "set exactly one of knownHosts and"),
    ("ProxmoxCluster", {"observe.ssh.user": "Root User"}, "must be the name of a user"),
    ("ProxmoxCluster", {"observe.ssh.port": 0}, "should be greater than or equal to 1"),
    ("ProxmoxCluster", {"observe.ssh.addresses": {"pve1": "a b"}}, "must be an IP address or a host name"),
    ("ProxmoxCluster", {"observe.ssh.addresses": {"pve1.lan": "pve1"}}, "must be names of Proxmox nodes"),
    ("ProxmoxCluster", {"observe.intervalSeconds": 1}, "should be greater than or equal to 2"),
    ("ProxmoxCluster", {"observe.frrExporter.path": "metrics"}, "must be a path such as /metrics"),
    ("ProxmoxCluster", {"guestAccess.0.guests": {}}, "name guests by pools, tags or vmids"),
    ("ProxmoxCluster", {"guestAccess.0.guests": GONE}, "spec.guestAccess[0].guests: Required value"),
    ("ProxmoxCluster", {"guestAccess.0.namespaces": GONE}, "spec.guestAccess[0].namespaces: Required value"),
    ("ProxmoxCluster", {"guestAccess.0.guests.vmids.0.from": 200}, "from must not be above to"),
    ("ProxmoxCluster", {"guestAccess.0.guests.vmids.0.from": 99}, "should be greater than or equal to 100"),
    ("ProxmoxCluster", {"guestAccess.0.namespaces.matchExpressions.0.values": []},
     "values belong to the operators In and NotIn"),
    ("ProxmoxCluster", {"guestAccess.0.namespaces.matchExpressions.0.operator": "Exists"},
     "values belong to the operators In and NotIn"),
    ("ProxmoxCluster", {"guestAccess.0.guests.pools.0": "web\x7f"}, ONE_LINE),
    ("ProxmoxCluster", {"guestAccess.0.guests.tags.0": "we\tb"}, ONE_LINE),
    ("ProxmoxCluster", {"observe.ssh.knownHosts.0": "pve1 ssh-ed25519 AAAA\npve2 ssh-ed25519 BBBB"}, ONE_LINE),
    ("ProxmoxCluster", {"guestAccess.0.namespaces.matchLabels.team": "we\rb"}, "should match"),
    ("ProxmoxCluster", {"guestAccess.0.namespaces.matchExpressions.0.values.0": "\u061cprod"}, "should match"),
    # --- EvpnController
    ("EvpnController", {"clusterRef": GONE}, "spec.clusterRef: Required value"),
    ("EvpnController", {"clusterRef.name": ""}, "should be at least 1 chars long"),
    ("EvpnController", {"id": "1st"}, "must be 2 to 64 letters, digits, - and _"),
    ("EvpnController", {"id": "evpn-"}, "a letter first and a letter or digit last"),
    ("EvpnController", {"id": "e"}, "should be at least 2 chars long"),
    ("EvpnController", {"asn": GONE}, "spec.asn: Required value"),
    ("EvpnController", {"asn": 0}, "should be greater than or equal to 1"),
    ("EvpnController", {"asn": 4294967296}, "should be less than or equal to 4294967295"),
    ("EvpnController", {"asn": "65001"}, "must be of type integer"),
    ("EvpnController", {"underlay": {}}, "set exactly one of peers, fabric, fabricRef and clusterNodes"),
    ("EvpnController", {"underlay.fabric": "Fabric1"}, "set exactly one of peers, fabric, fabricRef and clusterNodes"),
    ("EvpnController", {"underlay.clusterNodes": {}}, "set exactly one of peers, fabric, fabricRef and clusterNodes"),
    ("EvpnController", {"underlay.peers": []}, "should have at least 1 items"),
    ("EvpnController", {"underlay.peers.0": "pve1.example.com"}, IP),
    ("EvpnController", {"underlay.peers.0": "192.168.16.0/24"}, IP),
    ("EvpnController", {"underlay.peers.2": "2001:DB8::3"}, "IPv6: lower case, shortest form"),
    ("EvpnController", {"underlay.peers.0": "127.0.0.1"}, "must be the address of a node"),
    ("EvpnController", {"underlay.peers.0": "0.0.0.0"}, "must be the address of a node"),
    ("EvpnController", {"underlay.peers.1": "192.168.16.1"}, "Duplicate value"),
    ("EvpnController", {"underlay": {"fabric": "-fab"}}, "must be a fabric's id"),
    ("EvpnController", {"underlay": {"fabric": "too-long-fabric"}}, "Too long: may not be more than 8 bytes"),
    ("EvpnController", {"underlay": {"clusterNodes": {"cidr": "192.168.16.1"}}}, "must be a network such as"),
    ("EvpnController", {"underlay": {"clusterNodes": {"cidr": "192.168.16.1/24"}}}, "no host bits"),
    ("EvpnController", {"nodes": ["pve1.example.com"]}, "must be a Proxmox node's name"),
    ("EvpnController", {"nodes": []}, "should have at least 1 items"),
    ("EvpnController", {"bgpMode": "auto"}, 'supported values: "Auto", "External", "Internal"'),
    ("EvpnController", {"bgpMode": "Internal"}, "ebgpMultihop has no meaning with bgpMode: Internal"),
    ("EvpnController", {"ebgpMultihop": 256}, "should be less than or equal to 255"),
    ("EvpnController", {"peerGroupName": "my group"}, "must be an id in Proxmox"),
    ("EvpnController", {"routeMapIn": "x"}, "should be at least 2 chars long"),
    ("EvpnController", {"adoptionPolicy": "Force"}, 'supported values: "Never", "IfIdentical", "Always"'),
    ("EvpnController", {"deletionPolicy": "Retain"}, 'supported values: "Delete", "Orphan"'),
    # --- EvpnZone
    ("EvpnZone", {"id": "E-Zone"}, SHORT_ID),
    ("EvpnZone", {"id": "1zone"}, SHORT_ID),
    ("EvpnZone", {"id": "EZone1234"}, "Too long: may not be more than 8 bytes"),
    ("EvpnZone", {"controllerRef": GONE}, "spec.controllerRef: Required value"),
    ("EvpnZone", {"controllerRef": "evpn1"}, "must be of type object"),
    ("EvpnZone", {"secondaryControllerRefs.0.name": "evpn1"}, "secondaryControllerRefs must not repeat controllerRef"),
    ("EvpnZone", {"secondaryControllerRefs.1": {"name": "evpn2"}}, "Duplicate value"),
    ("EvpnZone", {"vrfVni": GONE, "vniRange": GONE}, "set vrfVni, or vniRange to take one from"),
    ("EvpnZone", {"vrfVni": 0}, "should be greater than or equal to 1"),
    ("EvpnZone", {"vrfVni": 16777216}, "should be less than or equal to 16777215"),
    ("EvpnZone", {"vniRange.last": 4999}, "first must not be above last"),
    ("EvpnZone", {"vniRange.last": GONE}, "spec.vniRange.last: Required value"),
    ("EvpnZone", {"exitNodes.nodes.1": "pve4"}, "exitNodes.nodes must all be in nodes"),
    ("EvpnZone", {"exitNodes.primary": "pve3"}, "primary must be one of exitNodes.nodes"),
    ("EvpnZone", {"exitNodes": {"localRouting": True}}, "spec.exitNodes.nodes: Required value"),
    ("EvpnZone", {"exitNodes": {"nodes": [], "localRouting": True}}, "should have at least 1 items"),
    ("EvpnZone", {"exitNodes.nodes.1": "pve1"}, "Duplicate value"),
    ("EvpnZone", {"nodes.0": "pve_1"}, "must be a Proxmox node's name"),
    ("EvpnZone", {"routeTargetImports.0": "65001"}, "must be a route target such as 65001:100001"),
    ("EvpnZone", {"routeTargetImports.0": "192.0.2.1:1"}, "must be a route target such as 65001:100001"),
    ("EvpnZone", {"routeTargetImports.0": "65001:4294967296"}, "neither half of a route target may be above"),
    ("EvpnZone", {"anycastMac": "01:00:5e:00:00:01"}, UNICAST),
    ("EvpnZone", {"anycastMac": "00:00:00:00:00:00"}, UNICAST),
    ("EvpnZone", {"anycastMac": "bc-24-11-00-00-01"}, "must be a MAC address such as"),
    ("EvpnZone", {"mtu": 500}, "should be greater than or equal to 576"),
    ("EvpnZone", {"mtu": 65521}, "should be less than or equal to 65520"),
    ("EvpnZone", {"vxlanPort": 65536}, "should be less than or equal to 65535"),
    ("EvpnZone", {"vxlanPort": 0}, "should be greater than or equal to 1"),
    ("EvpnZone", {"ipam": "p v e"}, "must be an id in Proxmox"),
    ("EvpnZone", {"dns.server": GONE}, "set exactly one of server and serverRef"),
    ("EvpnZone", {"dns.zone": "-example.com"}, "must be a domain name"),
    ("EvpnZone", {"allowedNamespaces": GONE}, "spec.allowedNamespaces: Required value"),
    ("EvpnZone", {"allowedNamespaces.from": "Same"}, 'supported values: "All", "Selector", "None"'),
    ("EvpnZone", {"allowedNamespaces.selector": GONE}, "selector is needed with from: Selector, and only then"),
    ("EvpnZone", {"allowedNamespaces.from": "All"}, "selector is needed with from: Selector, and only then"),
    # --- VNet
    ("VNet", {"zoneRef": GONE}, "spec.zoneRef: Required value"),
    ("VNet", {"zoneRef.namespace": "other"}, 'unknown field "spec.zoneRef.namespace"'),
    ("VNet", {"id": "web-vnet"}, SHORT_ID),
    ("VNet", {"id": "v"}, "should be at least 2 chars long"),
    *(("VNet", {"id": name}, "must not be a name that the kernel") for name in INTERFACES),
    ("VNet", {"vni": 0}, "should be greater than or equal to 1"),
    ("VNet", {"vni": 16777216}, "should be less than or equal to 16777215"),
    ("VNet", {"alias": "Büro"}, "may hold ASCII letters, digits, spaces"),
    ("VNet", {"alias": "a & b"}, "may hold ASCII letters, digits, spaces"),
    ("VNet", {"alias": "line\nbreak"}, "may hold ASCII letters, digits, spaces"),
    ("VNet", {"alias": "trailing "}, "must not begin or end with a space"),
    ("VNet", {"alias": "a" * 257}, "Too long: may not be more than 256 bytes"),
    ("VNet", {"subnets.0.cidr": "10.1.0.5/24"}, "no host bits"),
    ("VNet", {"subnets.0.cidr": "10.1.0.0"}, "must be a network such as"),
    ("VNet", {"subnets.2.cidr": "2001:DB8:1::/64"}, "IPv6 in lower case and shortest form"),
    ("VNet", {"subnets.2.cidr": "2001:db8:1:0::/64"}, "IPv6 in lower case and shortest form"),
    ("VNet", {"subnets": [{"cidr": "0.0.0.0/0"}]}, "the prefix length must be at least 8"),
    ("VNet", {"subnets": [{"cidr": "10.0.0.0/7"}]}, "the prefix length must be at least 8"),
    ("VNet", {"subnets": [{"cidr": "fc00::/7"}]}, "the prefix length must be at least 8"),
    ("VNet", {"subnets.0.gateway": "10.2.0.1"}, "gateway must be inside the subnet"),
    ("VNet", {"subnets.0.gateway": "2001:db8::1"}, "gateway must be inside the subnet"),
    ("VNet", {"subnets.0.gateway": "10.1.0.0"}, "gateway must not be the address of the network itself"),
    ("VNet", {"subnets.0.gateway": "router"}, IP),
    ("VNet", {"subnets.0.gateway": GONE}, "snat needs a gateway"),
    ("VNet", {"subnets.1": {"cidr": "10.1.0.0/24"}}, "Duplicate value"),
    ("VNet", {"subnets.1": {"cidr": "10.1.0.128/25"}}, "subnets must not overlap each other"),
    ("VNet", {"subnets.1": {"cidr": "10.0.0.0/8"}}, "subnets must not overlap each other"),
    ("VNet", {"subnets.0.dhcpRanges.0.end": "10.2.0.1"}, "dhcpRanges must be inside the subnet"),
    ("VNet", {"subnets.0.dhcpRanges.0.end": "10.1.0.8"}, "start must not be above end"),
    ("VNet", {"subnets.0.dhcpRanges.1": {"start": "10.1.0.100", "end": "10.1.0.120"}}, "dhcpRanges must not overlap"),
    ("VNet", {"subnets.0.dhcpRanges.1": {"start": "10.1.0.9", "end": "10.1.0.100"}}, "dhcpRanges must not overlap"),
    ("VNet", {"subnets.0.dhcpRanges.0.end": "2001:db8:1::1"}, "start and end must both be IPv4 or both IPv6"),
    ("VNet", {"subnets.0.dhcpRanges.0.end": GONE}, "spec.subnets[0].dhcpRanges[0].end: Required value"),
    ("VNet", {"subnets.0.dhcpDnsServer": "dns.example.com"}, IP),
    ("VNet", {"subnets.0.dnsZonePrefix": "a_b"}, "must be a domain name"),
    ("VNet", {"firewall.policyForward": "REJECT"}, 'supported values: "ACCEPT", "DROP"'),
    ("VNet", {"firewall.rules.0.securityGroup": "web"}, "set exactly one of action and securityGroup"),
    ("VNet", {"firewall.rules.0.action": GONE}, "set exactly one of action and securityGroup"),
    ("VNet", {"firewall.rules.0.action": "allow"}, 'supported values: "ACCEPT", "DROP"'),
    ("VNet", {"firewall.rules.0.action": "REJECT"}, 'supported values: "ACCEPT", "DROP"'),
    *[("VNet", {f"firewall.rules.2.{field}": value}, "beside securityGroup only comment and enabled can be set")
      for field, value in {"macro": "SSH", "source": "10.0.0.1", "dest": "10.0.0.1", "proto": "tcp", "log": "info"}
      .items()],
    ("VNet", {"firewall.rules.2": {"securityGroup": "web", "proto": "tcp", "dport": "80"}}, "beside securityGroup"),
    ("VNet", {"firewall.rules.0.source": "10.1.0.1/24"}, "a network without host bits"),
    ("VNet", {"firewall.rules.0.source": "10.1.0.1, 10.1.0.2"}, "a list of them without blanks"),
    ("VNet", {"firewall.rules.0.source": "10.1.0.1,"}, "a list of them without blanks"),
    ("VNet", {"firewall.rules.0.source": "10.1.0.1,10.2.0.1-10.2.0.9"}, "a range a-b"),
    ("VNet", {"firewall.rules.0.source": "10.1.0.1,office"}, "a list of them without blanks"),
    ("VNet", {"firewall.rules.0.source": "10.1.0.1,2001:db8::1"}, "must not mix IPv4 and IPv6"),
    ("VNet", {"firewall.rules.0.source": "10.1.0.1-2001:db8::1"}, "must not mix IPv4 and IPv6"),
    ("VNet", {"firewall.rules.0.source": "+Trusted"}, "+ipset in lower case"),
    ("VNet", {"firewall.rules.0.source": "+guest/trusted"}, "an alias, or +ipset"),
    ("VNet", {"firewall.rules.0.source": "0"}, "must be an address, a network"),
    ("VNet", {"firewall.rules.0.dest": "-"}, "must be an address, a network"),
    ("VNet", {"firewall.rules.0.dest": "2001:db8::1"}, "source and dest must be of one IP version"),
    ("VNet", {"firewall.rules.0.dest": "10.1.0.0/24\nFORWARD ACCEPT"}, "must be an address, a network"),
    ("VNet", {"firewall.rules.1.source": "2001:db8::1"}, "proto icmp is that of IPv4"),
    ("VNet", {"firewall.rules.1.proto": "icmpv6", "firewall.rules.1.source": "10.0.0.1"}, "icmpv6 is that of IPv6"),
    ("VNet", {"firewall.rules.0.dport": "85:80"}, "a range begins with the lower port"),
    ("VNet", {"firewall.rules.0.dport": "80-85"}, "a range such as 80:85"),
    ("VNet", {"firewall.rules.0.dport": "80, 81"}, "a list of them without blanks"),
    ("VNet", {"firewall.rules.0.dport": "65536"}, "must be a port up to 65535"),
    ("VNet", {"firewall.rules.0.dport": "0"}, "Proxmox would drop port 0"),
    ("VNet", {"firewall.rules.0.dport": "1:2,3:4,5:6,7:8,9:10,11:12,13:14,15,16"}, "not have more than 15 numbers"),
    ("VNet", {"firewall.rules.0.source": "2001:db8::1::2"}, "must be an IPv6 address or network"),
    ("VNet", {"firewall.rules.0.source": "2001:db8::1/64"}, "must be a network without host bits"),
    ("VNet", {"firewall.rules.0.source": "10.1.0.256"}, "must be an address, a network"),
    ("VNet", {"firewall.rules.0.proto": "esp"}, "dport needs a protocol with ports"),
    ("VNet", {"firewall.rules.1": {"action": "DROP", "proto": "icmp", "sport": "80"}}, "sport needs a protocol with"),
    ("VNet", {"firewall.rules.0.proto": "TCP"}, "its name in lower case, or number"),
    ("VNet", {"firewall.rules.0.proto": "0"}, "its name in lower case, or number"),
    ("VNet", {"firewall.rules.0": {"action": "DROP", "proto": "any"}}, "leave proto out for any protocol"),
    ("VNet", {"firewall.rules.1.icmpType": "8"}, "must be the name of a type of ICMP for IPv4"),
    ("VNet", {"firewall.rules.1.icmpType": "packet-too-big"}, "must be the name of a type of ICMP for IPv4"),
    ("VNet", {"firewall.rules.1.proto": "icmpv6", "firewall.rules.1.icmpType": "any"}, "a type of ICMPv6"),
    ("VNet", {"firewall.rules.1.dport": "echo-request"}, "icmpType and dport exclude each other"),
    ("VNet", {"firewall.rules.1.macro": "SSH(web)"}, "must be the name of a macro"),
    ("VNet", {"firewall.rules.1.comment": " - "}, "Proxmox would drop a comment"),
    ("VNet", {"firewall.rules.1.comment": "0"}, "Proxmox would drop a comment"),
    ("VNet", {"firewall.rules.1.comment": "x\nFORWARD DROP"}, ONE_LINE),
    ("VNet", {"firewall.rules.1.comment": "x\u2028y"}, ONE_LINE),
    ("VNet", {"firewall.rules.1.comment": "allow \u202eeverything"}, ONE_LINE),
    ("VNet", {"firewall.rules.1.comment": "\x1b[31mred"}, ONE_LINE),
    ("VNet", {"firewall.rules.0.proto": GONE}, "sport and dport need proto"),
    ("VNet", {"firewall.rules.1.proto": "tcp"}, "icmpType needs proto"),
    # --- NicAttachment
    ("NicAttachment", {"guest": GONE}, "spec.guest: Required value"),
    ("NicAttachment", {"guest": {}}, "set exactly one of vmid and name"),
    ("NicAttachment", {"guest.name": "web"}, "set exactly one of vmid and name"),
    ("NicAttachment", {"guest.vmid": 99}, "should be greater than or equal to 100"),
    ("NicAttachment", {"type": "vm"}, 'supported values: "qemu", "lxc"'),
    ("NicAttachment", {"device": GONE}, "spec.device: Required value"),
    ("NicAttachment", {"device": "net32"}, "must be a network device: net0 to net31"),
    ("NicAttachment", {"device": "eth0"}, "must be a network device: net0 to net31"),
    ("NicAttachment", {"vnetRef.namespace": "other"}, 'unknown field "spec.vnetRef.namespace"'),
    ("NicAttachment", {"macAddress": "bd:24:11:11:11:11"}, UNICAST),
    ("NicAttachment", {"macAddress": "bc24.1111.1111"}, "must be a MAC address such as"),
    ("NicAttachment", {"model": "virtio-net"}, "supported values: "),
    ("NicAttachment", {"mtu": 0}, "should be greater than or equal to 1"),
    ("NicAttachment", {"mtu": 65521}, "the mtu of a VM must be at most 65520"),
    ("NicAttachment", {"queues": 65}, "should be less than or equal to 64"),
    ("NicAttachment", {"guest": {"name": "web\n"}}, ONE_LINE),
    ("NicAttachment", {"guest": {"name": "we\u2066b"}}, ONE_LINE),
    ("NicAttachment", {"name": "eth0\n"}, "must be the name of an interface"),
    ("NicAttachment", {"rateLimitMBps": 0.0000001}, "must be 0 (no limit) or at least 0.001"),
    ("NicAttachment", {"rateLimitMBps": -1}, "should be greater than or equal to 0"),
    ("NicAttachment", {"tag": 4095}, "should be less than or equal to 4094"),
    ("NicAttachment", {"trunks": [7, 8]}, "tag and trunks exclude each other"),
    ("NicAttachment", {"tag": GONE, "trunks": [0]}, "should be greater than or equal to 1"),
    ("NicAttachment", {"ip": "10.1.0.20/24"}, "exist for containers only: set type: lxc"),
    ("NicAttachment", {"name": "eth0", "type": GONE}, "exist for containers only: set type: lxc"),
    ("NicAttachment", container(queues=4), "model and queues exist for VMs only"),
    ("NicAttachment", container(model="virtio"), "model and queues exist for VMs only"),
    ("NicAttachment", container(mtu=63), "the mtu of a container must be at least 64"),
    ("NicAttachment", container(ip="10.1.0.20"), "must be an IPv4 address with prefix length (8 or more), or dhcp"),
    ("NicAttachment", container(ip="fd00::20/64"), "must be an IPv4 address with prefix length"),
    ("NicAttachment", container(ip="10.1.0.20/7"), "must be an IPv4 address with prefix length (8 or more)"),
    ("NicAttachment", container(ip6="2001:db8:1::20/7"), "must be an IPv6 address with prefix length (8 or more)"),
    ("NicAttachment", container(ip="dhcp"), "gw needs a static ip"),
    ("NicAttachment", container(ip=GONE), "gw needs a static ip"),
    ("NicAttachment", container(gw="fd00::1"), "must be an IPv4 address"),
    ("NicAttachment", container(ip6="slaac"), "must be an IPv6 address with prefix length (8 or more), or auto"),
    ("NicAttachment", container(ip6="auto"), "gw6 needs a static ip6"),
    ("NicAttachment", container(gw6="10.1.0.1"), "must be an IPv6 address"),
    ("NicAttachment", container(name="eth 0"), "must be the name of an interface"),
    ("NicAttachment", {"addresses.0": "10.1.0.20/24"}, "must be an IP address in its usual spelling"),
    ("NicAttachment", {"addresses.0": "2001:DB8::10"}, "must be an IP address in its usual spelling"),
    ("NicAttachment", {"addresses.0": "web.example.com"}, "must be an IP address in its usual spelling"),
    ("NicAttachment", {"addresses.1": "10.1.0.20"}, "Duplicate value"),
    ("NicAttachment", {"addresses": [f"10.1.0.{n}" for n in range(17)]}, "must have at most 16 items"),
    ("NicAttachment", {"silentHost": "Ping"}, 'supported values: "Observe", "Pin"'),
    ("NicAttachment", {"deletionPolicy": "Delete"}, 'supported values: "Detach", "LinkDown", "Orphan"'),
    # --- EvpnNode
    ("EvpnNode", {"node": GONE}, "spec.node: Required value"),
    ("EvpnNode", {"node": "pve1.example.com"}, "must be a Proxmox node's name"),
    *routing_cases.REFUSED,
]  # fmt: skip


def _label(kind: str, changes: Manifest) -> str:
    kept = {path: value for path, value in changes.items() if CONTAINER.get(path) != value}
    words = [f"{path} {'gone' if value is GONE else value}" for path, value in (kept or changes).items()]
    return f"{kind}: {' '.join(words)}"[:90].replace("\n", " ")


@pytest.mark.parametrize(
    ("kind", "changes", "message"), [pytest.param(*case, id=_label(case[0], case[1])) for case in REFUSED]
)
def test_refused(api: Api, kind: str, changes: Manifest, message: str) -> None:
    assert message in api.create(kind, mutated(kind, changes))


# --- rules about changes ----------------------------------------------------------------------------------------


@pytest.fixture
def existing(api: Api) -> Iterator[Callable[..., None]]:
    """Creates objects named ``case`` for real, and removes them."""
    made: list[str] = []

    def create(kind: str, changes: Manifest | None = None) -> None:
        assert api.create(kind, mutated(kind, changes or {}), dry_run=False) == ""
        made.append(kind)

    yield create
    for kind in made:
        assert api.delete(kind) == ""


IMMUTABLE: list[tuple[str, Manifest, Manifest, str]] = [
    ("EvpnController", {}, {"id": "other"}, "id is chosen at creation"),
    ("EvpnController", {}, {"id": None}, "id is chosen at creation"),
    ("EvpnController", {"id": GONE}, {"id": "evpn1"}, "id is chosen at creation"),
    ("EvpnController", {}, {"clusterRef": {"name": "other"}}, "clusterRef cannot change"),
    ("EvpnZone", {}, {"id": "other"}, "id is chosen at creation"),
    ("EvpnZone", {}, {"id": None}, "id is chosen at creation"),
    ("EvpnZone", {}, {"clusterRef": {"name": "other"}}, "clusterRef cannot change"),
    ("VNet", {}, {"id": "other"}, "id is chosen at creation"),
    ("VNet", {"id": GONE}, {"id": "web"}, "id is chosen at creation"),
    ("VNet", {}, {"zoneRef": {"name": "other"}}, "zoneRef cannot change"),
    ("VNet", {}, {"vni": 5002}, "vni cannot change or go once it is set"),
    ("VNet", {}, {"vni": None}, "vni cannot change or go once it is set"),
    ("NicAttachment", {}, {"clusterRef": {"name": "other"}}, "clusterRef cannot change"),
    ("NicAttachment", {}, {"guest": {"vmid": 101}}, "guest cannot change"),
    ("NicAttachment", {}, {"device": "net1"}, "device cannot change"),
    ("EvpnNode", {}, {"node": "pve2"}, "node cannot change"),
    *routing_cases.IMMUTABLE,
]


@pytest.mark.parametrize(
    ("kind", "base", "change", "message"),
    [pytest.param(*case, id=f"{case[0]}: {json.dumps(case[2])}") for case in IMMUTABLE],
)
def test_cannot_change(
    api: Api, existing: Callable[..., None], kind: str, base: Manifest, change: Manifest, message: str
) -> None:
    existing(kind, base)
    assert message in api.patch(kind, {"spec": change})


CHANGEABLE: list[tuple[str, Manifest]] = [
    ("ProxmoxCluster", {"endpoints": ["https://192.168.16.9:8006"]}),
    ("EvpnController", {"asn": 65002, "underlay": {"peers": None, "fabric": "Fabric1"}}),
    ("EvpnZone", {"controllerRef": {"name": "evpn3"}, "vrfVni": 100002, "nodes": None}),
    ("VNet", {"alias": "renamed", "subnets": None}),
    ("NicAttachment", {"vnetRef": {"name": "evpn2"}, "macAddress": "bc:24:11:22:22:22"}),
]


@pytest.mark.parametrize(("kind", "change"), CHANGEABLE, ids=[kind for kind, _ in CHANGEABLE])
def test_can_change(api: Api, existing: Callable[..., None], kind: str, change: Manifest) -> None:
    existing(kind)
    assert api.patch(kind, {"spec": change}) == ""


def test_an_allocated_vni_can_be_written_down_but_not_changed(api: Api, existing: Callable[..., None]) -> None:
    existing("VNet", {"vni": GONE})
    assert api.patch("VNet", {"status": {"vni": 5007}}, part="status") == ""
    assert "VNIs are never renumbered" in api.patch("VNet", {"spec": {"vni": 5008}})
    assert api.patch("VNet", {"spec": {"vni": 5007}}) == ""


def test_a_vni_can_be_chosen_while_none_is_allocated(api: Api, existing: Callable[..., None]) -> None:
    existing("VNet", {"vni": GONE})
    assert api.patch("VNet", {"spec": {"vni": 5008}}) == ""


def _reported(condition: str, status: str, reason: str) -> Manifest:
    found = {"type": condition, "status": status, "reason": reason, "message": "", "observedGeneration": 1}
    return {"status": {"conditions": [{**found, "lastTransitionTime": "2026-11-25T09:12:00Z"}]}}


@pytest.mark.parametrize("change", [{"vni": 5002}, {"vni": None}, {"id": "other"}, {"zoneRef": {"name": "other"}}])
@pytest.mark.parametrize(
    "report",
    [_reported("Accepted", "False", "VniConflict"), _reported("Programmed", "False", "AwaitingApproval")],
    ids=["refused", "waiting"],
)
def test_what_proxmox_never_had_can_be_corrected(
    api: Api, existing: Callable[..., None], report: Manifest, change: Manifest
) -> None:
    existing("VNet")
    assert api.patch("VNet", report, part="status") == ""
    assert api.patch("VNet", {"spec": change}) == ""


def test_an_object_that_was_programmed_and_is_refused_now_stays_as_it_is(
    api: Api, existing: Callable[..., None]
) -> None:
    existing("VNet")
    report = _reported("Accepted", "False", "RefNotFound")
    report["status"]["origin"] = "Created"
    assert api.patch("VNet", report, part="status") == ""
    assert "once it is set and the VNet is programmed" in api.patch("VNet", {"spec": {"vni": 5002}})
    assert "id is chosen at creation" in api.patch("VNet", {"spec": {"id": "other"}})
    assert "zoneRef cannot change" in api.patch("VNet", {"spec": {"zoneRef": {"name": "other"}}})


def test_a_vnet_is_not_named_like_an_interface_unless_it_has_an_id(api: Api) -> None:
    spec = mutated("VNet", {"id": GONE})
    assert "metadata.name would be the id in Proxmox" in api.create("VNet", spec, name="eno1")
    assert api.create("VNet", mutated("VNet", {}), name="eno1") == ""
    for harmless in ("tap-dance", "vrfoverview", "ethics", "web"):
        assert api.create("VNet", spec, name=harmless) == ""


def test_what_was_written_is_what_is_stored(cluster: ControlPlane, existing: Callable[..., None]) -> None:
    """No defaults: GitOps tools compare what they sent with what they get."""
    for kind in BASES:
        existing(kind)
        where = ("-n", NAMESPACE) if KINDS[kind].scope == "Namespaced" else ()
        stored = json.loads(cluster.kubectl("get", KINDS[kind].plural, "case", "-o", "json", *where))
        assert stored["spec"] == BASES[kind]


def test_the_table_is_worth_its_name() -> None:
    assert len(REFUSED) + len(IMMUTABLE) >= 60
    assert {kind for kind, _, _ in REFUSED} == set(KINDS)
