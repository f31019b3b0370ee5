"""Servers outside of the cluster that Proxmox asks: NetBox, phpIPAM and PowerDNS.

The lab opens no connection to them. They all answer, except where a fault says otherwise; and an IPAM outside has the
addresses that were registered in it.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from pve_lab.errors import refused

#: What Proxmox puts before the error of the server it asks when one of its objects is written (the plugins'
#: ``on_update_hook``; type pve asks nobody).
_PREFIX = {
    "netbox": "Can't connect to netbox api: ",
    "phpipam": "Can't connect to phpipam api: ",
    "powerdns": "dns api error: ",
}


class Outside:
    """``failing``: the beginning of a URL, and how a request to it ends. ``addresses``: by URL, with their MACs."""

    def __init__(self) -> None:
        self.failing: dict[str, str] = {}
        self.addresses: dict[str, dict[str, str]] = {}

    def answer(self, url: str) -> str:
        """How a request to a URL ends: empty if well, else Proxmox' words."""
        return next(
            (f"Invalid response from server: {why}\n" for at, why in self.failing.items() if url.startswith(at)), ""
        )

    def verify(self, type_: str, props: Mapping[str, Any]) -> None:
        """What Proxmox does before it writes the object."""
        if (prefix := _PREFIX.get(type_)) and (error := self.answer(str(props.get("url", "")))):
            raise refused(f"{prefix}{error}")

    def register(self, url: str, ip: str, mac: str) -> None:
        """Whatever goes wrong, Proxmox says that the address is there already (NetboxPlugin.pm, PhpIpamPlugin.pm)."""
        book = self.addresses.setdefault(url, {})
        error = self.answer(url) or ("Invalid response from server: 400 Bad Request\n" if ip in book else "")
        if error:
            raise refused(f"error add subnet ip to ipam: ip already exist: {error}")
        book[ip] = mac

    def release(self, url: str, ip: str) -> None:
        """An address that is not there is no error."""
        if error := self.answer(url):
            raise refused(f"error delete ip {ip} : {error}")
        self.addresses.get(url, {}).pop(ip, None)
