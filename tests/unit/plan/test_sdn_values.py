"""What Proxmox' properties mean, whatever their spelling."""

from __future__ import annotations

from typing import Any

import pytest

from pve_evpn.domain.sdn import canonical

RANGE = {"start-address": "10.0.0.5", "end-address": "10.0.0.9"}


@pytest.mark.parametrize(
    ("key", "stored", "meant"),
    [
        ("gateway", "FD00::01", "fd00::1"),
        ("dhcp-dns-server", "2001:DB8:0::1", "2001:db8::1"),
        ("gateway", "no address", "no address"),
        ("ip6", "2001:DB8::1", "2001:db8::1"),
        ("ip6_prefix", "2001:DB8::/64", "2001:db8::/64"),
        ("ip_prefix", "10.0.0.1/24", "10.0.0.1/24"),
        ("peers", "FD00::2,10.0.0.1 FD00:0::2", ("10.0.0.1", "fd00::2")),
        ("dhcp-range", ["end-address=10.0.0.9,start-address=10.0.0.5"], [RANGE]),
        ("dhcp-range", ["start-address=FD00::01, end-address=fd00::2"], ["start-address=fd00::1,end-address=fd00::2"]),
        ("dhcp-range", ["start-address=10.0.0.1"], ["start-address=10.0.0.1"]),
    ],
    ids=str,
)  # fmt: skip
def test_a_value_means_the_same_in_every_spelling(key: str, stored: Any, meant: Any) -> None:
    assert canonical(key, stored) == canonical(key, meant)
