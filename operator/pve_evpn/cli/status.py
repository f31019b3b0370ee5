"""``pve-evpn status``: clusters, nodes, sessions, zones, VNets, NICs, what is wrong and what waits, on one screen."""

from __future__ import annotations

import asyncio
import sys
from typing import Annotated

import typer

from pve_evpn.cli import options, output
from pve_evpn.cli.failures import NOT_GOOD, guarded
from pve_evpn.cli.reading import read_snapshot
from pve_evpn.cli.report.status import status_report

_CLEAR = "\x1b[H\x1b[2J\x1b[3J"


app = typer.Typer(add_completion=False)


@app.command(epilog="Example: pve-evpn status --watch")
def status(
    namespace: options.Namespace = "",
    form: options.Output = "text",
    everything: Annotated[bool, typer.Option("--all", "-a", help="Show every row of long tables.")] = False,
    watch: Annotated[
        bool, typer.Option("--watch", "-w", help="Show it again every few seconds, until Ctrl-C.")
    ] = False,
    interval: Annotated[float, typer.Option(metavar="SECONDS", help="For --watch.")] = 5.0,
) -> int:
    """Show clusters, nodes, BGP sessions, zones, VNets and NICs, and what is wrong and what waits. Exit status 3:
    something is not Ready.
    """
    return guarded(_status(namespace, form, everything, interval if watch else None))


async def _status(namespace: str, form: options.Form, everything: bool, interval: float | None) -> int:
    while True:
        snapshot = await read_snapshot(namespace, events=False)
        report = status_report(snapshot, everything=everything)
        if interval is not None and sys.stdout.isatty() and form == "text":
            sys.stdout.write(_CLEAR)
        output.write(report, form)
        if interval is None:
            return 0 if report.good else NOT_GOOD
        await asyncio.sleep(max(1.0, interval))
