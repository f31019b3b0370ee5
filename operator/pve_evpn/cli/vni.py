"""``pve-evpn vni``: VNIs per node, as show evpn vni."""

from __future__ import annotations

import argparse
from typing import Any

from pve_evpn.cli import output
from pve_evpn.cli.failures import Refusal, guarded
from pve_evpn.cli.reading import read_snapshot
from pve_evpn.cli.report.tables import nodes_named, vni_report


def add(commands: Any) -> None:
    """Its arguments."""
    parser = commands.add_parser(
        "vni",
        help="VNIs per node, as show evpn vni",
        description="Show the VNIs per node, as show evpn vni does, from the EvpnNodes' statuses.",
        epilog="example: pve-evpn vni pve2",
    )
    parser.add_argument("node", nargs="?", default="", metavar="NODE", help="one node only, by its name in Proxmox")
    output.add_arguments(parser)
    parser.set_defaults(do=lambda arguments: guarded(_vni(arguments)))


async def _vni(arguments: argparse.Namespace) -> int:
    snapshot = await read_snapshot(events=False)
    if not nodes_named(snapshot, arguments.node):
        raise Refusal(snapshot.unread.get("EvpnNode") or f"there is no EvpnNode {arguments.node or 'yet'}")
    output.write(vni_report(snapshot, arguments.node), arguments.output)
    return 0
