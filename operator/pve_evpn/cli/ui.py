"""``pve-evpn ui``: the network as a live picture in a browser of this machine. Nothing is installed anywhere."""

from __future__ import annotations

import argparse
import asyncio
import signal
import webbrowser
from typing import Any

from pve_evpn.cli.failures import Refusal, guarded
from pve_evpn.cli.page.live import live_snapshot
from pve_evpn.cli.page.server import HOST, served
from pve_evpn.cli.reading import add_namespace


def add(commands: Any) -> None:
    """Its arguments."""
    parser = commands.add_parser(
        "ui",
        help="the network as a live picture, in the browser",
        description="Serve a page on 127.0.0.1 that shows nodes, sessions, zones, VNets and NICs live, what is wrong, "
        "the plan that waits, and the path of a MAC. It reads and approves with your own kubeconfig. Ctrl-C ends it.",
        epilog="example: pve-evpn ui --no-browser --port 8765",
    )
    add_namespace(parser)
    parser.add_argument("--port", type=int, default=0, help="port of 127.0.0.1 (default: a free one)")
    parser.add_argument("--no-browser", action="store_true", help="only print the address")
    parser.set_defaults(do=lambda arguments: guarded(_ui(arguments)))


async def _ui(arguments: argparse.Namespace) -> int:
    ended = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, ended.set)
    async with live_snapshot(arguments.namespace) as live:
        try:
            async with served(live, arguments.port) as page:
                print(f"The page is at {page.address} (the part after # is a secret). Ctrl-C ends it.", flush=True)
                if not arguments.no_browser:
                    await asyncio.to_thread(webbrowser.open, page.address)
                await ended.wait()
        except OSError as error:
            raise Refusal(f"port {arguments.port} of {HOST} cannot be used: {error.strerror or error}") from None
    return 0
