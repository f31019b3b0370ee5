"""The objects of a run: a cluster, a controller, a zone and a VNet to begin with, then VNets and NICs by thousands."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

GROUP = "pve-evpn.dev/v1alpha1"
TENANT = "default"
FIRST_VMID = 1000
#: L2 VNIs count from here, the zone's L3 VNI is below them.
VNIS, VRF_VNI = 10_001, 9_000


@dataclass(frozen=True, slots=True)
class Size:
    """How large a run is.

    Attributes:
        vnets: VNets beside the one that is there before.
        guests: VMs, spread over the nodes.
        nics: NICs of each guest, each of which has to be attached to a VNet.
        nodes: Proxmox nodes.
        subnets: Subnets of each VNet.
        task: Seconds that an apply, and every other task of Proxmox, takes.
        rest: Seconds for which the operator is measured at rest.
        interval: Seconds between two syncs, and between two polls of the nodes.
    """

    vnets: int = 1000
    guests: int = 500
    nics: int = 4
    nodes: int = 8
    subnets: int = 1
    task: float = 0.5
    rest: float = 60.0
    interval: int = 15

    @property
    def node_names(self) -> list[str]:
        return [f"pve{number}" for number in range(1, self.nodes + 1)]

    @property
    def vmids(self) -> range:
        return range(FIRST_VMID, FIRST_VMID + self.guests)

    @property
    def objects(self) -> int:
        """VNets and NICs."""
        return self.vnets + self.guests * self.nics


def document(kind: str, name: str, spec: dict[str, Any], namespace: str = "") -> dict[str, Any]:
    metadata = {"name": name, **({"namespace": namespace} if namespace else {})}
    return {"apiVersion": GROUP, "kind": kind, "metadata": metadata, "spec": spec}


def base(endpoint: str, interval: int) -> list[dict[str, Any]]:
    """The four objects that an idle operator holds."""
    guest_access = {
        "namespaces": {"matchLabels": {"kubernetes.io/metadata.name": TENANT}},
        "guests": {"vmids": [{"from": FIRST_VMID, "to": 999_999}]},
    }
    cluster = {
        "endpoints": [endpoint],
        "credentialsSecretRef": {"name": "pve-credentials"},
        "tls": {"caSecretRef": {"name": "pve-credentials", "key": "ca.crt"}},
        "guestAccess": [guest_access],
        "observe": {"intervalSeconds": interval},
    }
    reference = {"clusterRef": {"name": "pve"}}
    zone = {
        **reference, "controllerRef": {"name": "evpn1"}, "vrfVni": VRF_VNI, "allowedNamespaces": {"from": "All"},
    }  # fmt: skip
    return [
        document("ProxmoxCluster", "pve", cluster),
        document("EvpnController", "evpn1", {**reference, "asn": 65001, "underlay": {"fabric": "Fabric1"}}),
        document("EvpnZone", "zone1", zone),
        vnet(0, 1),
    ]


def vnet(number: int, subnets: int) -> dict[str, Any]:
    """One VNet. Its subnets are /26 networks below 10.0.0.0/8, so that a million fit in."""
    cidrs = (_cidr(number * subnets + each) for each in range(subnets))
    spec = {"zoneRef": {"name": "zone1"}, "vni": VNIS + number, "subnets": [{"cidr": cidr} for cidr in cidrs]}
    return document("VNet", f"n{number}", spec, TENANT)


def many(size: Size) -> Iterator[dict[str, Any]]:
    """The VNets, then the NICs."""
    for number in range(1, size.vnets + 1):
        yield vnet(number, size.subnets)
    for vmid in size.vmids:
        for device in range(size.nics):
            spec = {
                "clusterRef": {"name": "pve"},
                "guest": {"vmid": vmid},
                "device": f"net{device}",
                "vnetRef": {"name": f"n{_vnet_of(size, vmid, device)}"},
                "macAddress": mac(vmid, device).lower(),
            }
            yield document("NicAttachment", f"g{vmid}-net{device}", spec, TENANT)


def write_guests(size: Size, path: Path) -> None:
    """The guests as the lab reads them, every NIC on a plain bridge."""
    rows = [
        {
            "vmid": vmid,
            "kind": "qemu",
            "node": size.node_names[vmid % size.nodes],
            "name": f"vm{vmid}",
            "config": {f"net{device}": netn(vmid, device, "vmbr0") for device in range(size.nics)},
        }
        for vmid in size.vmids
    ]
    path.write_text(json.dumps(rows))


def netn(vmid: int, device: int, bridge: str) -> str:
    """One NIC as Proxmox stores it."""
    return f"virtio={mac(vmid, device)},bridge={bridge}"


def attached(size: Size, vmid: int) -> dict[str, str]:
    """The NICs of one guest, each on its VNet."""
    return {f"net{device}": netn(vmid, device, f"n{_vnet_of(size, vmid, device)}") for device in range(size.nics)}


def mac(vmid: int, device: int) -> str:
    return f"BC:24:11:{vmid >> 8 & 255:02X}:{vmid & 255:02X}:{device:02X}"


def _vnet_of(size: Size, vmid: int, device: int) -> int:
    return 1 + ((vmid - FIRST_VMID) * size.nics + device) % size.vnets


def _cidr(number: int) -> str:
    first = number * 64
    return f"10.{first >> 16 & 255}.{first >> 8 & 255}.{first & 255}/26"
