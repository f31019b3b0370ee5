"""``pve-evpn why``: the chain from an object to its cause, and what to do about it."""

from __future__ import annotations

import asyncio
import time
from typing import Annotated

import typer

from pve_evpn.cli import complete, options, output
from pve_evpn.cli.failures import NOT_GOOD, Refusal, guarded
from pve_evpn.cli.objects import kind_of
from pve_evpn.cli.reading import read_snapshot
from pve_evpn.cli.report.snapshot import Snapshot, alike
from pve_evpn.cli.report.why import why_report
from pve_evpn.domain.objects import ObjectKey

_INTERVAL = 2.0


app = typer.Typer(add_completion=False)


@app.command(epilog="Example: pve-evpn why vnet/blue -n team-a --follow")
def why(
    object_: Annotated[
        str,
        typer.Argument(
            metavar="KIND/NAME",
            autocompletion=complete.objects,
            help="For example vnet/blue, nic/vm1-net0 or pvec/pve.",
        ),
    ],
    namespace: options.OwnNamespace = "",
    form: options.Output = "text",
    follow: Annotated[
        bool, typer.Option("--follow", "-f", help="Show it again at each change, until it is Ready.")
    ] = False,
    timeout: Annotated[float, typer.Option(metavar="SECONDS", help="For --follow.", show_default="without end")] = 0.0,
) -> int:
    """Show the chain of causes of one object: what it needs, its conditions, what holds it up, Events, and the remedy.
    Exit status 3: it is not Ready.
    """
    return guarded(_why(object_, namespace, form, follow=follow, seconds=timeout))


async def _why(name: str, namespace: str, form: options.Form, *, follow: bool, seconds: float) -> int:
    began, last = time.monotonic(), ""
    while True:
        snapshot = await read_snapshot(namespace)
        report = why_report(snapshot, find(snapshot, name, namespace))
        # Ages move by themselves; only another state is worth another report.
        state = repr([(block.key, block.data()) for block in report.blocks])
        if state != last:
            output.write(report, form)
        last = state
        if report.good or not follow:
            return 0 if report.good else NOT_GOOD
        if seconds and time.monotonic() - began > seconds:
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
