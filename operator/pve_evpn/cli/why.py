"""``pve-evpn why``: the chain from an object to its cause, and what to do about it."""

from __future__ import annotations

import argparse
import asyncio
import time
from typing import Any

from pve_evpn.cli import output
from pve_evpn.cli.failures import NOT_GOOD, Refusal, guarded
from pve_evpn.cli.objects import kind_of
from pve_evpn.cli.reading import read_snapshot
from pve_evpn.cli.report.snapshot import Snapshot, alike
from pve_evpn.cli.report.why import why_report
from pve_evpn.domain.objects import ObjectKey

_INTERVAL = 2.0


def add(commands: Any) -> None:
    """Its arguments."""
    parser = commands.add_parser(
        "why",
        help="why an object is not Ready, and what to do",
        description="Show the chain of causes of one object: what it needs, its conditions, what holds it up, the last "
        "transaction, Events, and the remedy. Exit status 3: it is not Ready.",
        epilog="example: pve-evpn why vnet/blue -n team-a --follow",
    )
    parser.add_argument("object", metavar="KIND/NAME", help="e.g. vnet/blue, nic/vm1-net0 or pvec/pve")
    parser.add_argument("-n", "--namespace", default="", help="of the object (default: where its name is found)")
    output.add_arguments(parser)
    parser.add_argument("-f", "--follow", action="store_true", help="show it again at each change, until it is Ready")
    parser.add_argument(
        "--timeout", type=float, default=0.0, metavar="SECONDS", help="for --follow (default: without end)"
    )
    parser.set_defaults(do=lambda arguments: guarded(_why(arguments)))


async def _why(arguments: argparse.Namespace) -> int:
    began, last = time.monotonic(), ""
    while True:
        snapshot = await read_snapshot(arguments.namespace)
        report = why_report(snapshot, find(snapshot, arguments.object, arguments.namespace))
        # Ages move by themselves; only another state is worth another report.
        state = repr([(block.key, block.data()) for block in report.blocks])
        if state != last:
            output.write(report, arguments.output)
        last = state
        if report.good or not arguments.follow:
            return 0 if report.good else NOT_GOOD
        if arguments.timeout and time.monotonic() - began > arguments.timeout:
            return NOT_GOOD
        await asyncio.sleep(_INTERVAL)


def find(snapshot: Snapshot, text: str, namespace: str) -> ObjectKey:
    """The object that ``KIND/NAME`` names. Raises Refusal where there is none, or more than one."""
    word, _, name = text.partition("/")
    kind = kind_of(word)
    if not name:
        raise Refusal(f"name the object as KIND/NAME, such as {word}/NAME")
    scoped = kind.scope == "Namespaced"
    found = [
        key
        for key in snapshot.objects
        if key.kind == kind.name and key.name == name and (not scoped or namespace in ("", key.namespace))
    ]
    if len(found) == 1:
        return found[0]
    if found:
        places = ", ".join(sorted(key.namespace for key in found))
        raise Refusal(f"{kind.name} {name} is in the namespaces {places}: choose one with -n")
    if why := snapshot.unread.get(kind.name):
        raise Refusal(f"{kind.name} {name} cannot be read: {why}")
    missing = ObjectKey(kind.name, namespace if scoped else "", name)
    raise Refusal(f"there is no {missing}{alike(snapshot, missing)}")
