"""``pve-evpn graph``: nodes, sessions, fabrics, zones, VNets and NICs as a picture for a document or a ticket."""

from __future__ import annotations

import sys
from typing import Annotated, Literal

import typer

from pve_evpn.cli import options
from pve_evpn.cli.failures import Refusal, guarded
from pve_evpn.cli.page.offline import as_html
from pve_evpn.cli.reading import read_snapshot
from pve_evpn.cli.report.drawing import WRITERS
from pve_evpn.cli.report.graph import collapsed, graph_of, of_cluster

#: VNets per zone, and policies per cluster, that are drawn one by one.
VNETS = 25
_FORMATS = {**WRITERS, "html": as_html}


app = typer.Typer(add_completion=False)


@app.command(epilog="Example: pve-evpn graph -o svg > network.svg")
def graph(
    form: Annotated[Literal["svg", "dot", "mermaid", "html"], typer.Option("--output", "-o", help="The form.")] = "svg",
    cluster: options.Cluster = "",
    everything: Annotated[bool, typer.Option("--all", "-a", help=f"Draw every VNet and policy, not {VNETS}.")] = False,
    namespace: options.Namespace = "",
) -> int:
    """Draw nodes with their BGP sessions, fabrics, controllers, zones with exit nodes, VNets, NICs, services and the
    policies in use. Of a zone with many VNets those that are not Ready come first, and one vertex counts the others;
    so do policies.
    """
    return guarded(_graph(form, cluster, namespace, everything=everything))


async def _graph(form: str, cluster: str, namespace: str, *, everything: bool) -> int:
    snapshot = await read_snapshot(namespace, events=False)
    found = graph_of(snapshot)
    if cluster:
        found = of_cluster(found, cluster)
    if not found.vertices:
        where = f" of ProxmoxCluster {cluster}" if cluster else ""
        raise Refusal(f"there is nothing to draw{where}")
    drawn = found if everything else collapsed(found, VNETS)
    sys.stdout.write(_FORMATS[form](drawn))
    return 0
