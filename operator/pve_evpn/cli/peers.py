"""``pve-evpn peers``: BGP EVPN sessions per node, as show bgp l2vpn evpn summary."""

from __future__ import annotations

from typing import Any

from pve_evpn.cli.node_table import add_node_table
from pve_evpn.cli.report.tables import peers_report


def add(commands: Any) -> None:
    """Its arguments."""
    add_node_table(
        commands, "peers", shows="BGP EVPN sessions per node, as show bgp l2vpn evpn summary", report=peers_report
    )
