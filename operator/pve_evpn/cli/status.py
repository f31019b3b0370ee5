"""``pve-evpn status``: clusters, nodes, sessions, zones, VNets, NICs, what is wrong and what waits, on one screen."""

from __future__ import annotations

import argparse
import asyncio
import sys
from typing import Any

from pve_evpn.cli import output
from pve_evpn.cli.failures import NOT_GOOD, guarded
from pve_evpn.cli.reading import add_namespace, read_snapshot
from pve_evpn.cli.report.status import status_report

_CLEAR = "\x1b[H\x1b[2J\x1b[3J"


def add(commands: Any) -> None:
    """Its arguments."""
    parser = commands.add_parser(
        "status",
        help="everything on one screen, and each cause once",
        description="Show clusters, nodes, BGP sessions, zones, VNets and NICs, and what is wrong and what waits. "
        "Exit status 3: something is not Ready.",
        epilog="example: pve-evpn status --watch",
    )
    add_namespace(parser)
    output.add_arguments(parser)
    parser.add_argument("-a", "--all", action="store_true", help="show every row of long tables")
    parser.add_argument("-w", "--watch", action="store_true", help="show it again every few seconds, until Ctrl-C")
    parser.add_argument("--interval", type=float, default=5.0, metavar="SECONDS", help="for --watch (default: 5)")
    parser.set_defaults(do=lambda arguments: guarded(_status(arguments)))


async def _status(arguments: argparse.Namespace) -> int:
    while True:
        snapshot = await read_snapshot(arguments.namespace, events=False)
        report = status_report(snapshot, everything=arguments.all)
        if arguments.watch and sys.stdout.isatty() and arguments.output == "text":
            sys.stdout.write(_CLEAR)
        output.write(report, arguments.output)
        if not arguments.watch:
            return 0 if report.good else NOT_GOOD
        await asyncio.sleep(max(1.0, arguments.interval))
