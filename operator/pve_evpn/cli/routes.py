"""``pve-evpn routes``: the EVPN routes of a VNet, as far as the statuses hold them."""

from __future__ import annotations

import argparse
from typing import Any

from pve_evpn.cli import output
from pve_evpn.cli.failures import Refusal, guarded
from pve_evpn.cli.reading import read_snapshot
from pve_evpn.cli.report.tables import routes_report
from pve_evpn.cli.why import find


def add(commands: Any) -> None:
    """Its arguments."""
    parser = commands.add_parser(
        "routes",
        help="EVPN routes of a VNet, as show bgp l2vpn evpn route",
        description="Show the type-2 routes of the VNet's NicAttachments and its type-3 routes, with the node that "
        "advertises each and where it is missing.",
        epilog="example: pve-evpn routes blue -n team-a",
    )
    parser.add_argument("vnet", metavar="VNET", help="name of the VNet")
    parser.add_argument("-n", "--namespace", default="", help="of the VNet (default: where its name is found)")
    output.add_arguments(parser)
    parser.set_defaults(do=lambda arguments: guarded(_routes(arguments)))


async def _routes(arguments: argparse.Namespace) -> int:
    snapshot = await read_snapshot(arguments.namespace, events=False)
    vnet = snapshot.objects[find(snapshot, f"vnet/{arguments.vnet.removeprefix('vnet/')}", arguments.namespace)]
    if vnet.status.vni is None:
        raise Refusal(f"{vnet.key} has no VNI yet: pve-evpn why vnet/{vnet.key.name} says why")
    output.write(routes_report(snapshot, vnet), arguments.output)
    return 0
