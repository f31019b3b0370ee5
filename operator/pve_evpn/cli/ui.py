"""``pve-evpn ui``: the network as a live picture in a browser of this machine. Nothing is installed anywhere."""

from __future__ import annotations

import asyncio
import signal
import webbrowser
from typing import Annotated

import typer

from pve_evpn.cli import options, output
from pve_evpn.cli.failures import Refusal, guarded
from pve_evpn.cli.page.live import LiveSnapshot, live_snapshot
from pve_evpn.cli.page.server import HOST, served

#: Seconds after which the page is served although something has not been read yet.
_PATIENCE = 10.0

app = typer.Typer(add_completion=False)


@app.command(epilog="Example: pve-evpn ui --no-browser --port 8765")
def ui(
    namespace: options.Namespace = "",
    port: Annotated[int, typer.Option(help="Port of 127.0.0.1.", show_default="a free one")] = 0,
    no_browser: Annotated[bool, typer.Option("--no-browser", help="Only print the address.")] = False,
) -> int:
    """Serve a page on 127.0.0.1 that shows the network live: nodes, sessions, zones, VNets and NICs. Also what is
    wrong, the plan that waits, and the path of a MAC. It reads and approves with your own kubeconfig. Ctrl-C ends it.
    """
    return guarded(_ui(namespace, port, browser=not no_browser))


async def _ui(namespace: str, port: int, *, browser: bool) -> int:
    ended = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, ended.set)
    async with live_snapshot(namespace) as live:
        with output.working("reading Kubernetes"):
            await _first_read(live, ended)
        try:
            async with served(live, port) as page:
                print(f"The page is at {page.address} (the part after # is a secret). Ctrl-C ends it.", flush=True)
                if browser:
                    await asyncio.to_thread(webbrowser.open, page.address)
                await ended.wait()
        except OSError as error:
            raise Refusal(f"port {port} of {HOST} cannot be used: {error.strerror or error}") from None
    return 0


async def _first_read(live: LiveSnapshot, ended: asyncio.Event) -> None:
    """Wait until everything was read or refused, the user ended the command, or the patience is over."""
    waiting = {asyncio.create_task(live.newer_than(0)), asyncio.create_task(ended.wait())}
    _, late = await asyncio.wait(waiting, timeout=_PATIENCE, return_when=asyncio.FIRST_COMPLETED)
    for task in late:
        task.cancel()
