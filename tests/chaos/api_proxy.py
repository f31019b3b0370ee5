"""Between an operator and the real API server: every request passes here, and some meet a fault.

It ends TLS with the API server's own certificate, so the operator notices nothing. Of the Lease it keeps who renewed it
and when, which says until when each replica may write.
"""

from __future__ import annotations

import asyncio
import json
import re
import ssl
import threading
import time
from collections.abc import Callable, Coroutine
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar

import aiohttp
from aiohttp import web

T = TypeVar("T")

_HOP = {"connection", "keep-alive", "transfer-encoding", "content-length", "host", "upgrade", "te", "trailer"}
_GONE = {
    "kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Failure", "code": 410, "reason": "Expired",
    "message": "too old resource version",
}  # fmt: skip


@dataclass
class Fault:
    """What happens to the next ``left`` requests whose ``METHOD path?query`` matches.

    ``kind``: ``status`` answers with ``status`` instead of asking; ``cut before`` closes the connection without asking
    the API server, ``cut after`` when it has carried the request out; ``gone`` tells a watch that its version is old.
    """

    kind: str
    pattern: str
    left: int
    status: int = 500

    def meets(self, request: web.Request) -> bool:
        """Whether it happens to this request, which then counts."""
        what = f"{request.method} {request.path_qs}"
        if self.left <= 0 or not re.search(self.pattern, what):
            return False
        if self.kind == "gone" and not _is_watch(request):
            return False
        self.left -= 1
        return True


@dataclass
class Renewals:
    """When each identity renewed the Lease, as seen on the way: seconds of the monotonic clock."""

    began: dict[str, list[float]] = field(default_factory=dict)

    def held_by(self, moment: float, deadline: float) -> list[str]:
        """Who may have written at a moment."""
        return [
            name for name, times in self.began.items() if any(began <= moment <= began + deadline for began in times)
        ]


class ApiProxy:
    """``with ApiProxy(url, folder) as proxy``: ``proxy.url`` leads to the API server whose certificates are there."""

    def __init__(self, url: str, folder: Path) -> None:
        self._target = url
        self._folder = folder
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, daemon=True)
        self._mutex = threading.Lock()
        self._faults: list[Fault] = []
        self._watches: set[asyncio.BaseTransport] = set()
        self._is_away = False
        self.renewals = Renewals()
        self.met: dict[str, int] = {}
        """How many requests met a fault, by its kind."""
        self.url = ""

    def __enter__(self) -> ApiProxy:
        self._thread.start()
        self.url = self._do(self._start())
        return self

    def __exit__(self, *_: object) -> None:
        self._do(self._stop())
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(10)

    # --- what a test does -------------------------------------------------------------------------------------------

    def add(self, fault: Fault) -> None:
        with self._mutex:
            self._faults.append(fault)

    def drop_watches(self) -> None:
        """Cut every watch that is open."""
        self._do(self._drop_watches())

    def away(self, is_away: bool) -> None:
        """Refuse everything, open watches included, until called with False."""
        self._is_away = is_away
        if is_away:
            self.drop_watches()

    def heal(self) -> None:
        """No more faults."""
        with self._mutex:
            self._faults.clear()
        self.away(False)

    # --- inside -----------------------------------------------------------------------------------------------------

    def _do(self, work: Coroutine[Any, Any, T]) -> T:
        return asyncio.run_coroutine_threadsafe(work, self._loop).result(20)

    async def _start(self) -> str:
        there = ssl.create_default_context(cafile=str(self._folder / "ca.crt"))
        connector = aiohttp.TCPConnector(ssl=there, limit=0)
        self._session = aiohttp.ClientSession(
            connector=connector, auto_decompress=False, timeout=aiohttp.ClientTimeout(total=None)
        )
        app = web.Application(client_max_size=64 << 20)
        app.router.add_route("*", "/{path:.*}", self._serve)
        self._runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.1)
        await self._runner.setup()
        here = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        here.load_cert_chain(self._folder / "server.crt", self._folder / "server.key")
        site = web.TCPSite(self._runner, "127.0.0.1", 0, ssl_context=here)
        await site.start()
        return f"https://127.0.0.1:{self._runner.addresses[0][1]}"

    async def _stop(self) -> None:
        await self._drop_watches()
        await self._runner.cleanup()
        await self._session.close()
        others = [task for task in asyncio.all_tasks() if task is not asyncio.current_task()]
        for task in others:
            task.cancel()
        await asyncio.gather(*others, return_exceptions=True)

    async def _drop_watches(self) -> None:
        for transport in list(self._watches):
            if isinstance(transport, asyncio.WriteTransport):
                transport.abort()

    def _fault(self, request: web.Request) -> Fault | None:
        with self._mutex:
            found = next((fault for fault in self._faults if fault.meets(request)), None)
            if found:
                self.met[found.kind] = self.met.get(found.kind, 0) + 1
        return found

    async def _serve(self, request: web.Request) -> web.StreamResponse:
        began = time.monotonic()
        body = await request.read()
        fault = self._fault(request)
        if self._is_away or (fault and fault.kind == "cut before"):
            _cut(request)
            return web.Response(status=503)
        if fault and fault.kind == "status":
            status = {
                "kind": "Status",
                "apiVersion": "v1",
                "status": "Failure",
                "code": fault.status,
                "reason": "Chaos",
            }
            headers = {"Retry-After": "1"} if fault.status == 429 else {}
            return web.json_response(status, status=fault.status, headers=headers)
        if fault and fault.kind == "gone":
            return web.Response(
                body=json.dumps({"type": "ERROR", "object": _GONE}) + "\n", content_type="application/json"
            )
        headers = {name: value for name, value in request.headers.items() if name.lower() not in _HOP}
        try:
            async with self._session.request(
                request.method,
                self._target + request.path_qs,
                headers=headers,
                data=body or None,
                allow_redirects=False,
            ) as answer:
                if _is_watch(request):
                    return await self._stream(request, answer)
                data = await answer.read()
        except aiohttp.ClientError:
            _cut(request)
            return web.Response(status=503)
        self._note(request, answer.status, body, began)
        if fault and fault.kind == "cut after":
            _cut(request)
        kept = {name: value for name, value in answer.headers.items() if name.lower() not in _HOP}
        return web.Response(status=answer.status, headers=kept, body=data)

    async def _stream(self, request: web.Request, answer: aiohttp.ClientResponse) -> web.StreamResponse:
        kept = {name: value for name, value in answer.headers.items() if name.lower() not in _HOP}
        response = web.StreamResponse(status=answer.status, headers=kept)
        await response.prepare(request)
        transport = request.transport
        if transport is None:
            return response
        self._watches.add(transport)
        try:
            async for data in answer.content.iter_any():
                await response.write(data)
        except (ConnectionError, aiohttp.ClientError):
            _cut(request)
        finally:
            self._watches.discard(transport)
        return response

    def _note(self, request: web.Request, status: int, body: bytes, began: float) -> None:
        if "/leases" in request.path and request.method in ("PUT", "POST") and status < 300:
            holder = json.loads(body)["spec"].get("holderIdentity")
            if holder:
                self.renewals.began.setdefault(holder, []).append(began)


def _is_watch(request: web.Request) -> bool:
    return request.query.get("watch") in ("true", "1")


def _cut(request: web.Request) -> None:
    if request.transport is not None:
        request.transport.abort()


#: Makes a fault from chance; the names are those of a run's report.
Maker = Callable[[Any], Fault]
ANY, LEASE, STATUS, METADATA = ".", "/leases", "PATCH .*/status", r"PATCH .*/(vnets|evpnzones|evpncontrollers)/[^/]+$"
SECRETS, LISTS, WATCHES = "/secrets", "^GET .*limit=", "[?&]watch="
FAULTS: dict[str, Maker] = {
    "429": lambda chance: Fault(
        "status", chance.choice([ANY, STATUS, METADATA, LISTS, LEASE]), chance.randint(1, 6), 429
    ),
    "500": lambda chance: Fault("status", chance.choice([ANY, STATUS, METADATA, SECRETS, LEASE]), chance.randint(1, 6)),
    "503 to watches": lambda chance: Fault("status", WATCHES, chance.randint(1, 4), 503),
    "cut before": lambda chance: Fault("cut before", chance.choice([ANY, STATUS, METADATA, SECRETS, LEASE]), 2),
    "cut after": lambda chance: Fault("cut after", chance.choice([STATUS, METADATA, SECRETS, LEASE]), 2),
    "410": lambda chance: Fault("gone", WATCHES, chance.randint(1, 4)),
}
