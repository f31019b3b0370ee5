"""``pve-evpn vni``: VNIs per node, as show evpn vni."""

from __future__ import annotations

import typer

from pve_evpn.cli import options
from pve_evpn.cli.full_tables import Ca, Full, Token, Url, Wanted
from pve_evpn.cli.installation import OPERATOR_NAMESPACE
from pve_evpn.cli.node_table import Node, show_per_node
from pve_evpn.cli.report.full_tables import full_vni_report
from pve_evpn.cli.report.tables import vni_report

app = typer.Typer(add_completion=False)


@app.command(epilog="Example: pve-evpn vni pve2")
def vni(
    node: Node = "",
    form: options.Output = "text",
    full: Full = None,
    url: Url = "",
    ca_file: Ca = "",
    token_file: Token = "",
    operator_namespace: options.OperatorNamespace = OPERATOR_NAMESPACE,
) -> int:
    """Show the VNIs per node, as show evpn vni does: every row where the operator serves
    full tables, else what the statuses of EvpnNodes hold.
    """
    wanted = Wanted(full, url, ca_file, token_file, operator_namespace)
    return show_per_node(node, form, wanted, "vnis", vni_report, full_vni_report)
