"""One small HTTP server for metrics and probes, in the operator's own event loop.

Alive means that the loop turns. Ready means, for the leader, that everything has been listed, and for a standby, that
it could take over. A Proxmox that is down fails neither: restarting the operator would not bring it back.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from aiohttp import web
from prometheus_client import CONTENT_TYPE_LATEST, generate_latest

from pve_evpn import metrics


@dataclass(frozen=True, slots=True)
class Readiness:
    """What /readyz answers: 200 or 503, and why."""

    ready: bool
    text: str


async def serve(host: str, port: int, readiness: Callable[[], Readiness]) -> web.AppRunner:
    """Start serving; the caller cleans the runner up.

    Arguments:
        host: an address of either family, or "" for all addresses of both. A kernel without IPv6 then gets IPv4 alone.

    Raises OSError if the port is taken.
    """

    async def alive(_request: web.Request) -> web.Response:
        return web.Response(text="ok\n")

    async def ready(_request: web.Request) -> web.Response:
        now = readiness()
        return web.Response(status=200 if now.ready else 503, text=now.text + "\n")

    async def exposition(_request: web.Request) -> web.Response:
        return web.Response(body=generate_latest(metrics.REGISTRY), headers={"Content-Type": CONTENT_TYPE_LATEST})

    app = web.Application()
    app.router.add_get("/healthz", alive)
    app.router.add_get("/readyz", ready)
    app.router.add_get("/metrics", exposition)
    runner = web.AppRunner(app, access_log=None)
    await runner.setup()
    await web.TCPSite(runner, host or None, port).start()
    return runner
