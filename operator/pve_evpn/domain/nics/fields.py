"""The fields of a NIC: what the API calls them, what Proxmox calls them inside a ``netN`` string."""

from __future__ import annotations

from pve_evpn.domain.nics.netn import NetN
from pve_evpn.domain.state import GuestKind
from pve_evpn.text import from_outside

#: The API's field names to Proxmox' keys, by kind of guest.
_COMMON = {
    "firewall": "firewall",
    "link_down": "link_down",
    "mtu": "mtu",
    "rate_limit_m_bps": "rate",
    "tag": "tag",
}
QEMU = {**_COMMON, "model": "model", "queues": "queues"}
LXC = {**_COMMON, "name": "name", "ip": "ip", "gw": "gw", "ip6": "ip6", "gw6": "gw6"}
#: Proxmox' keys to the names our API has for them, where they differ.
_API_NAME = {"bridge": "vnetRef", "mac": "macAddress", "link_down": "linkDown", "rate": "rateLimitMBps"}


def api_name(key: str) -> str:
    """What our API calls a field of the ``netN`` string."""
    return _API_NAME.get(key, key)


def is_virtio(config: NetN) -> bool:
    """Whether it is the one model of a VM's NIC that takes an MTU."""
    return config.kind == GuestKind.QEMU and config.get("model") == "virtio"


def differences(actual: NetN, desired: NetN, wanted: str = "specified") -> tuple[str, ...]:
    """What differs, one phrase per field, for a person; ``wanted`` says how the desired value came about."""
    return tuple(
        f"{api_name(key)} is {_shown(actual.get(key))}, {wanted} {_shown(desired.get(key))}"
        for key in actual.differing(desired)
    )


def _shown(text: str | None) -> str:
    return from_outside(text or "not set", longest=64)
