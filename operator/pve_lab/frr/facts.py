"""What a node's ``frr.conf`` depends on beside the SDN configuration."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Tuning:
    """Where a lab differs from Proxmox' defaults, so that tests need not wait for them."""

    ospf_hello: int = 1
    ospf_dead: int = 4
    bfd: str = "bfd 8 250 250"
    """Proxmox writes plain ``bfd``: three losses of 300 ms, which a busy machine takes for a dead peer."""


@dataclass(frozen=True)
class NodeFacts:
    """The node the text is for."""

    name: str
    address: str
    underlay: str = "eth0"
    vrf: bool = False
    loopback: str = "lo"
    """Where a fabric address is put that is not the node's own."""
