"""``pve-evpn trace``: a MAC, IP address, NIC or guest through the fabric, in the nodes' tables or from statuses."""

from __future__ import annotations

from typing import Annotated, Any

import typer
from kubernetes.aio import client

from pve_evpn.cli import options, output
from pve_evpn.cli.failures import Refusal, guarded
from pve_evpn.cli.full_tables import Wanted, tables_of, vnet_tables_of
from pve_evpn.cli.reading import snapshot_through
from pve_evpn.cli.report.full_tables import has_mac, mac_blocks, with_reason
from pve_evpn.cli.report.model import Block, Report
from pve_evpn.cli.report.snapshot import Snapshot
from pve_evpn.cli.report.trace import mac_of, matching, trace_report, vnet_key
from pve_evpn.domain.objects import ObjectKey, Resource
from pve_evpn.kube.client import api_client

app = typer.Typer(add_completion=False)
_TABLES = ("routes", "macs")
#: VNets whose tables are asked for: a number or a name may mean many NICs.
_MOST = 8


@app.command(epilog="Example: pve-evpn trace bc:24:11:11:11:11")
@options.grouped
def trace(
    what: Annotated[
        str,
        typer.Argument(metavar="MAC|IP|NIC|VMID", help="For example bc:24:11:11:11:11, 10.1.0.5, vm1-net0 or 100."),
    ],
    namespace: options.Namespace = "",
    form: options.Output = "text",
    *,
    wanted: Wanted,
) -> int:
    """Show where a NIC is, which node advertises its MAC, how each node has its VNI, and its history. Where the
    operator serves full tables, also its routes and how each node has the MAC, of any MAC in the fabric.
    """
    return guarded(_trace(what, namespace, form, wanted))


async def _trace(what: str, namespace: str, form: options.Form, wanted: Wanted) -> int:
    async with api_client() as api:
        snapshot = await snapshot_through(api, namespace)
        nics = matching(snapshot, what)
        report = await (_of_nics(api, snapshot, nics, wanted) if nics else _of_mac(api, snapshot, what, wanted))
    output.write(report, form)
    return 0


async def _of_nics(api: client.ApiClient, snapshot: Snapshot, nics: list[Resource[Any]], wanted: Wanted) -> Report:
    answers: dict[ObjectKey, Any] = {}
    for key in list(dict.fromkeys(map(vnet_key, nics)))[:_MOST]:
        if vnet := snapshot.objects.get(key):
            answers[key] = await vnet_tables_of(api, snapshot, wanted, vnet, _TABLES)
    tables = {key: answer for key, answer in answers.items() if not isinstance(answer, str)}
    report = trace_report(snapshot, nics, tables)
    reasons = [answer for answer in answers.values() if isinstance(answer, str)]
    return with_reason(report, reasons[0]) if reasons else report


async def _of_mac(api: client.ApiClient, snapshot: Snapshot, what: str, wanted: Wanted) -> Report:
    """A MAC that no NicAttachment has, in the tables of every cluster. Raises Refusal where it is in none."""
    why = snapshot.unread.get("NicAttachment") or "statuses hold the MACs of NicAttachments only"
    blocks: list[Block] = []
    if mac := mac_of(what):
        for cluster in snapshot.of_kind("ProxmoxCluster"):
            name = cluster.key.name
            answer = await tables_of(api, wanted, name, f"proxmoxclusters/{name}", _TABLES)
            if isinstance(answer, str):
                why = f"{why}; no full tables: {answer}"
                continue
            if has_mac(answer, mac):
                blocks += mac_blocks(answer, mac, f"{name}/{mac}")
            why = "and no table of the nodes that were read has it"
    if not blocks:
        raise Refusal(f"no NicAttachment has {what!r}: {why}")
    return Report(tuple(blocks))
