"""``pve-evpn vni``: VNIs per node, as show evpn vni."""

from __future__ import annotations

from typing import Any

from pve_evpn.cli.node_table import add_node_table
from pve_evpn.cli.report.tables import vni_report


def add(commands: Any) -> None:
    """Its arguments."""
    add_node_table(commands, "vni", shows="VNIs per node, as show evpn vni", report=vni_report)
