"""What `peers` and `vni` share: a table per node, from the operator's last poll or the EvpnNodes' statuses."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Annotated, Any

import typer

from pve_evpn.cli import complete, options, output
from pve_evpn.cli.failures import Refusal, guarded
from pve_evpn.cli.full_tables import Wanted, tables_of
from pve_evpn.cli.reading import snapshot_through
from pve_evpn.cli.report.full_tables import with_reason
from pve_evpn.cli.report.model import Report
from pve_evpn.cli.report.snapshot import Snapshot
from pve_evpn.cli.report.status import node_name
from pve_evpn.cli.report.tables import nodes_named
from pve_evpn.domain.health.tables import TableName
from pve_evpn.domain.objects import Resource
from pve_evpn.kube.client import api_client

Node = Annotated[
    str,
    typer.Argument(
        metavar="[NODE]",
        autocompletion=complete.nodes,
        show_default="all",
        help="One node only, by its name in Proxmox.",
    ),
]
ReportOf = Callable[[Snapshot, str], Report]
FullReportOf = Callable[[Snapshot, Sequence[Resource[Any]], Mapping[str, Any]], Report]


def show_per_node(
    node: str, form: options.Form, wanted: Wanted, table: TableName, report: ReportOf, full_report: FullReportOf
) -> int:
    """Print a report of one node, or of all; the exit status.

    Args:
        node: A node's name; "" for all.
        form: Of the output.
        wanted: Whether and how to read full tables.
        table: Which one of them.
        report: Made from statuses.
        full_report: Made from full tables.
    """
    return guarded(_show(node, form, wanted, table, report, full_report))


async def _show(
    name: str, form: options.Form, wanted: Wanted, table: TableName, report: ReportOf, full_report: FullReportOf
) -> int:
    async with api_client() as api:
        snapshot = await snapshot_through(api, events=False)
        nodes = nodes_named(snapshot, name)
        if not nodes:
            raise Refusal(snapshot.unread.get("EvpnNode") or f"there is no EvpnNode {name or 'yet'}")
        clusters = sorted({node.spec.cluster_ref.name for node in nodes if node.spec})
        only = [node_name(node) for node in nodes] if name else []
        answers = {
            cluster: await tables_of(api, wanted, cluster, f"proxmoxclusters/{cluster}", [table], only)
            for cluster in clusters
        }
    if reasons := [answer for answer in answers.values() if isinstance(answer, str)]:
        output.write(with_reason(report(snapshot, name), reasons[0]), form)
    else:
        output.write(full_report(snapshot, nodes, answers), form)
    return 0
