"""``pve-evpn routes``: the EVPN routes of a VNet, as far as the statuses hold them."""

from __future__ import annotations

from typing import Annotated

import typer

from pve_evpn.cli import complete, options, output
from pve_evpn.cli.failures import Refusal, guarded
from pve_evpn.cli.reading import read_snapshot
from pve_evpn.cli.report.tables import routes_report
from pve_evpn.cli.why import find

app = typer.Typer(add_completion=False)


@app.command(epilog="Example: pve-evpn routes blue -n team-a")
def routes(
    vnet: Annotated[str, typer.Argument(metavar="VNET", autocompletion=complete.vnets, help="Name of the VNet.")],
    namespace: options.OwnNamespace = "",
    form: options.Output = "text",
) -> int:
    """Show the type-2 routes of the VNet's NicAttachments and its type-3 routes. Each with the node that advertises it
    and where it is missing.
    """
    return guarded(_routes(vnet, namespace, form))


async def _routes(name: str, namespace: str, form: options.Form) -> int:
    snapshot = await read_snapshot(namespace, events=False)
    vnet = snapshot.objects[find(snapshot, f"vnet/{name.removeprefix('vnet/')}", namespace)]
    if vnet.status.vni is None:
        raise Refusal(f"{vnet.key} has no VNI yet: pve-evpn why vnet/{vnet.key.name} says why")
    output.write(routes_report(snapshot, vnet), form)
    return 0
