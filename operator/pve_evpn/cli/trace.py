"""``pve-evpn trace``: a MAC, IP address, NIC or guest through the fabric, as far as the statuses hold it."""

from __future__ import annotations

import argparse
from typing import Any

from pve_evpn.cli import output
from pve_evpn.cli.failures import Refusal, guarded
from pve_evpn.cli.reading import add_namespace, read_snapshot
from pve_evpn.cli.report.trace import matching, trace_report


def add(commands: Any) -> None:
    """Its arguments."""
    parser = commands.add_parser(
        "trace",
        help="where a MAC, IP address, NIC or guest is, and who advertises it",
        description="Show where a NIC is, which node advertises its MAC, how each node has its VNI, and its history.",
        epilog="example: pve-evpn trace bc:24:11:11:11:11",
    )
    parser.add_argument("what", metavar="MAC|IP|NIC|VMID", help="e.g. bc:24:11:11:11:11, 10.1.0.5, vm1-net0, 100")
    add_namespace(parser)
    output.add_arguments(parser)
    parser.set_defaults(do=lambda arguments: guarded(_trace(arguments)))


async def _trace(arguments: argparse.Namespace) -> int:
    snapshot = await read_snapshot(arguments.namespace)
    nics = matching(snapshot, arguments.what)
    if not nics:
        why = snapshot.unread.get("NicAttachment") or "statuses hold the MACs of NicAttachments only"
        raise Refusal(f"no NicAttachment has {arguments.what!r}: {why}")
    output.write(trace_report(snapshot, nics), arguments.output)
    return 0
