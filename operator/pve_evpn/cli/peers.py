"""``pve-evpn peers``: BGP EVPN sessions per node, as show bgp l2vpn evpn summary."""

from __future__ import annotations

import argparse
from typing import Any

from pve_evpn.cli import output
from pve_evpn.cli.failures import Refusal, guarded
from pve_evpn.cli.reading import read_snapshot
from pve_evpn.cli.report.tables import nodes_named, peers_report


def add(commands: Any) -> None:
    """Its arguments."""
    parser = commands.add_parser(
        "peers",
        help="BGP EVPN sessions per node, as show bgp l2vpn evpn summary",
        description="Show the BGP EVPN sessions per node, as show bgp l2vpn evpn summary does, from the statuses of "
        "EvpnNodes.",
        epilog="example: pve-evpn peers pve2",
    )
    parser.add_argument("node", nargs="?", default="", metavar="NODE", help="one node only, by its name in Proxmox")
    output.add_arguments(parser)
    parser.set_defaults(do=lambda arguments: guarded(_peers(arguments)))


async def _peers(arguments: argparse.Namespace) -> int:
    snapshot = await read_snapshot(events=False)
    if not nodes_named(snapshot, arguments.node):
        raise Refusal(snapshot.unread.get("EvpnNode") or f"there is no EvpnNode {arguments.node or 'yet'}")
    output.write(peers_report(snapshot, arguments.node), arguments.output)
    return 0
