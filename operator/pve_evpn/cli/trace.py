"""``pve-evpn trace``: a MAC, IP address, NIC or guest through the fabric, as far as the statuses hold it."""

from __future__ import annotations

from typing import Annotated

import typer

from pve_evpn.cli import options, output
from pve_evpn.cli.failures import Refusal, guarded
from pve_evpn.cli.reading import read_snapshot
from pve_evpn.cli.report.trace import matching, trace_report

app = typer.Typer(add_completion=False)


@app.command(epilog="Example: pve-evpn trace bc:24:11:11:11:11")
def trace(
    what: Annotated[
        str,
        typer.Argument(metavar="MAC|IP|NIC|VMID", help="For example bc:24:11:11:11:11, 10.1.0.5, vm1-net0 or 100."),
    ],
    namespace: options.Namespace = "",
    form: options.Output = "text",
) -> int:
    """Show where a NIC is, which node advertises its MAC, how each node has its VNI, and its history."""
    return guarded(_trace(what, namespace, form))


async def _trace(what: str, namespace: str, form: options.Form) -> int:
    snapshot = await read_snapshot(namespace)
    nics = matching(snapshot, what)
    if not nics:
        why = snapshot.unread.get("NicAttachment") or "statuses hold the MACs of NicAttachments only"
        raise Refusal(f"no NicAttachment has {what!r}: {why}")
    output.write(trace_report(snapshot, nics), form)
    return 0
