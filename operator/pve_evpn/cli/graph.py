"""``pve-evpn graph``: nodes, sessions, zones, VNets and NICs as a picture for a document or a ticket."""

from __future__ import annotations

import argparse
import sys
from typing import Any

from pve_evpn.cli.failures import Refusal, guarded
from pve_evpn.cli.page.offline import as_html
from pve_evpn.cli.reading import add_namespace, read_snapshot
from pve_evpn.cli.report.drawing import WRITERS
from pve_evpn.cli.report.graph import collapsed, graph_of, of_cluster

#: VNets per zone that are drawn one by one.
VNETS = 25
_FORMATS = {**WRITERS, "html": as_html}


def add(commands: Any) -> None:
    """Its arguments."""
    parser = commands.add_parser(
        "graph",
        help="the network as svg, dot, mermaid or html",
        description="Draw nodes with their BGP sessions, zones, VNets and NICs. Of a zone with many VNets those that "
        "are not Ready come first, and one vertex counts the others.",
        epilog="example: pve-evpn graph -o svg > network.svg",
    )
    parser.add_argument("-o", "--output", choices=tuple(_FORMATS), default="svg", help="the form (default: svg)")
    parser.add_argument("--cluster", default="", help="only this ProxmoxCluster (default: all)")
    parser.add_argument("-a", "--all", action="store_true", help=f"draw every VNet (default: {VNETS} per zone)")
    add_namespace(parser)
    parser.set_defaults(do=lambda arguments: guarded(_graph(arguments)))


async def _graph(arguments: argparse.Namespace) -> int:
    snapshot = await read_snapshot(arguments.namespace, events=False)
    graph = graph_of(snapshot)
    if arguments.cluster:
        graph = of_cluster(graph, arguments.cluster)
    if not graph.vertices:
        where = f" of ProxmoxCluster {arguments.cluster}" if arguments.cluster else ""
        raise Refusal(f"there is nothing to draw{where}")
    drawn = graph if arguments.all else collapsed(graph, VNETS)
    sys.stdout.write(_FORMATS[arguments.output](drawn))
    return 0
