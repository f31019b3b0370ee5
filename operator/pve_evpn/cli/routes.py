"""``pve-evpn routes``: the EVPN routes of a VNet, every one the nodes have, or as far as the statuses hold them."""

from __future__ import annotations

from typing import Annotated

import typer

from pve_evpn.cli import complete, options, output
from pve_evpn.cli.failures import Refusal, guarded
from pve_evpn.cli.full_tables import Wanted, vnet_tables_of
from pve_evpn.cli.reading import snapshot_through
from pve_evpn.cli.report.full_tables import full_routes_report, with_reason
from pve_evpn.cli.report.tables import routes_report
from pve_evpn.cli.why import find
from pve_evpn.kube.client import api_client

app = typer.Typer(add_completion=False)


@app.command(epilog="Example: pve-evpn routes blue -n team-a")
@options.grouped
def routes(
    vnet: Annotated[str, typer.Argument(metavar="VNET", autocompletion=complete.vnets, help="Name of the VNet.")],
    namespace: options.OwnNamespace = "",
    form: options.Output = "text",
    *,
    wanted: Wanted,
) -> int:
    """Show the EVPN routes of a VNet, each with the node that advertises it and where it is missing. Every route where
    the operator serves full tables; else its type-3 routes and the type-2 routes of its NicAttachments, from statuses.
    """
    return guarded(_routes(vnet, namespace, form, wanted))


async def _routes(name: str, namespace: str, form: options.Form, wanted: Wanted) -> int:
    async with api_client() as api:
        snapshot = await snapshot_through(api, namespace, events=False)
        vnet = snapshot.objects[find(snapshot, f"vnet/{name.removeprefix('vnet/')}", namespace)]
        if vnet.status.vni is None:
            raise Refusal(f"{vnet.key} has no VNI yet: pve-evpn why vnet/{vnet.key.name} says why")
        answer = await vnet_tables_of(api, snapshot, wanted, vnet, ["routes"])
    if isinstance(answer, str):
        output.write(with_reason(routes_report(snapshot, vnet), answer), form)
    else:
        output.write(full_routes_report(vnet, answer), form)
    return 0
