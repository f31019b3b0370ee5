"""One small HTTP server for metrics and probes, in the operator's own event loop.

Alive means that the loop turns; ready means that everything has been listed. A Proxmox that is down fails neither:
restarting the operator would not bring it back.
"""

from __future__ import annotations

from collections.abc import Callable

from aiohttp import web
from prometheus_client import CONTENT_TYPE_LATEST, generate_latest

from pve_evpn import metrics


async def serve(host: str, port: int, is_ready: Callable[[], bool]) -> web.AppRunner:
    """Start serving; the caller cleans the runner up. Raises OSError if the port is taken."""

    async def alive(_request: web.Request) -> web.Response:
        return web.Response(text="ok\n")

    async def ready(_request: web.Request) -> web.Response:
        if is_ready():
            return web.Response(text="ok\n")
        return web.Response(status=503, text="not everything has been listed yet\n")

    async def exposition(_request: web.Request) -> web.Response:
        return web.Response(body=generate_latest(metrics.REGISTRY), headers={"Content-Type": CONTENT_TYPE_LATEST})

    app = web.Application()
    app.router.add_get("/healthz", alive)
    app.router.add_get("/readyz", ready)
    app.router.add_get("/metrics", exposition)
    runner = web.AppRunner(app, access_log=None)
    await runner.setup()
    await web.TCPSite(runner, host, port).start()
    return runner
