"""One small HTTP server for metrics and probes, in the operator's own event loop.

Alive means that the loop turns. Ready means, for the leader, that everything has been listed, and for a standby, that
it could take over. A Proxmox that is down fails neither: restarting the operator would not bring it back.

Whoever reaches the port can hold up nobody else: a connection serves one request and ends after ``LIFETIME`` seconds,
and of more than ``CONNECTIONS`` the oldest is closed.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable
from dataclasses import dataclass

from aiohttp import web
from aiohttp.http import HttpProcessingError
from prometheus_client import CONTENT_TYPE_LATEST, generate_latest

from pve_evpn import metrics

log = logging.getLogger(__name__)

#: Seconds until a request must have come, and until its connection ends, however it is read.
HEADER_SECONDS, LIFETIME = 10.0, 60.0
#: Connections that are open at once.
CONNECTIONS = 64
#: Bytes of a line or field of a request, and how many fields it may have. Prometheus and kubelet send a tenth of it.
_LINE, _FIELDS = 4096, 64


@dataclass(frozen=True, slots=True)
class Readiness:
    """What /readyz answers: 200 or 503, and why."""

    ready: bool
    text: str


class BoundedServer(web.Server):
    """Connections of a bounded number and age; the library bounds their requests.

    Args:
        answer: Answers a request.
        line: Bytes of a line or field of a request.
    """

    def __init__(self, answer: Callable[[web.BaseRequest], Awaitable[web.StreamResponse]], line: int = _LINE) -> None:
        log.addFilter(_is_ours)
        super().__init__(
            answer,
            access_log=None,
            logger=log,
            keepalive_timeout=HEADER_SECONDS,
            lingering_time=0,
            max_line_size=line,
            max_field_size=line,
            max_headers=_FIELDS,
        )
        self._open: dict[web.RequestHandler, tuple[asyncio.Transport, asyncio.TimerHandle]] = {}

    def connection_made(self, handler: web.RequestHandler, transport: asyncio.Transport) -> None:
        super().connection_made(handler, transport)
        self._open[handler] = transport, asyncio.get_running_loop().call_later(LIFETIME, transport.abort)
        for oldest, _ in [*self._open.values()][:-CONNECTIONS]:
            oldest.abort()

    def connection_lost(self, handler: web.RequestHandler, exc: BaseException | None = None) -> None:
        super().connection_lost(handler, exc)
        _, timer = self._open.pop(handler)
        timer.cancel()


def _is_ours(record: logging.LogRecord) -> bool:
    """Whether something of the operator is wrong, and not a request: the library logs both with a traceback."""
    return not (record.exc_info and isinstance(record.exc_info[1], HttpProcessingError))


async def serve(host: str, port: int, readiness: Callable[[], Readiness]) -> web.ServerRunner:
    """Start serving; the caller cleans the runner up.

    Arguments:
        host: an address of either family, or "" for all addresses of both. A kernel without IPv6 then gets IPv4 alone.

    Raises OSError if the port is taken.
    """

    scraping = asyncio.Lock()

    async def alive() -> web.Response:
        return web.Response(text="ok\n")

    async def ready() -> web.Response:
        now = readiness()
        return web.Response(status=200 if now.ready else 503, text=now.text + "\n")

    async def exposition() -> web.Response:
        # Thousands of objects take a tenth of a second. One at a time: callers occupy one thread, however many.
        async with scraping:
            body = await asyncio.to_thread(generate_latest, metrics.REGISTRY)
        return web.Response(body=body, headers={"Content-Type": CONTENT_TYPE_LATEST})

    pages = {"/healthz": alive, "/readyz": ready, "/metrics": exposition}

    async def answer(request: web.BaseRequest) -> web.Response:
        page = pages.get(request.path)
        if page is None:
            response = web.Response(status=404)
        elif request.method not in ("GET", "HEAD"):
            response = web.Response(status=405, headers={"Allow": "GET, HEAD"})
        else:
            response = await page()
        response.force_close()
        return response

    runner = web.ServerRunner(BoundedServer(answer))
    await runner.setup()
    await web.TCPSite(runner, host or None, port).start()
    return runner
