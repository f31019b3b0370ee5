"""IPAM ``pve``: Proxmox' own IPAM, a file beside the SDN configuration.

A write changes it at once, nothing of it is pending, and a rollback leaves it as it is. So a subnet that a rollback
restored is not in it, and can then neither be deleted nor get another gateway.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from pve_lab.errors import refused


@dataclass
class Entry:
    """One address that is taken."""

    gateway: bool = False
    mac: str = ""
    vmid: str = ""
    hostname: str = ""

    def row(self) -> dict[str, Any]:
        row: dict[str, Any] = {"gateway": 1} if self.gateway else {}
        return row | {k: v for k in ("mac", "vmid", "hostname") if (v := getattr(self, k))}


@dataclass
class Ipam:
    """zone -> CIDR -> address -> entry."""

    zones: dict[str, dict[str, dict[str, Entry]]] = field(default_factory=dict)

    def add_subnet(self, zone: str, cidr: str) -> None:
        self.zones.setdefault(zone, {}).setdefault(cidr, {})

    def delete_subnet(self, zone: str, cidr: str) -> None:
        """Refused while anything but one gateway is registered in it."""
        addresses = self._subnet(zone, cidr)
        only_gateway = len(addresses) == 1 and all(entry.gateway for entry in addresses.values())
        if addresses and not only_gateway:
            raise refused(f"cannot delete subnet '{cidr}', not empty\n")
        del self.zones[zone][cidr]

    def add(self, zone: str, cidr: str, ip: str, entry: Entry) -> None:
        addresses = self._subnet(zone, cidr)
        there = addresses.get(ip)
        if there is not None and not (entry.gateway and there.gateway):
            raise refused(f"IP '{ip}' already exist\n")
        addresses[ip] = entry

    def move(self, zone: str, cidr: str, ip: str, entry: Entry) -> None:
        addresses = self._subnet(zone, cidr)
        before = {there: old for there, old in addresses.items() if entry.mac and old.mac == entry.mac}
        if ip in addresses and ip not in before:
            raise refused(f"IP '{ip}' already exist\n")
        for there in before:
            del addresses[there]
        addresses[ip] = entry

    def delete(self, zone: str, cidr: str, ip: str) -> None:
        addresses = self._subnet(zone, cidr)
        if ip not in addresses:
            raise refused(f"IP '{ip}' does not exist in IPAM DB\n")
        del addresses[ip]

    def _subnet(self, zone: str, cidr: str) -> dict[str, Entry]:
        if zone not in self.zones:
            raise refused(f"zone '{zone}' doesn't exist in IPAM DB\n")
        if cidr not in self.zones[zone]:
            raise refused(f"subnet '{cidr}' doesn't exist in IPAM DB\n")
        return self.zones[zone][cidr]
