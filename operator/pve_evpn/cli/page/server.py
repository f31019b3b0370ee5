"""The page's HTTP server: this machine only, one secret, nothing that another page of the browser could use.

* It listens on 127.0.0.1 and refuses requests whose Host is another name (DNS rebinding).
* The secret is in the fragment of the page's address: browsers send a fragment to no server and to no other page. The
  page sends it as ``Authorization``, which no form and no foreign page can (CSRF); a write must come from the page's
  own origin as well.
* The content security policy allows the page's own files and nothing else. No request is logged.
"""

from __future__ import annotations

import asyncio
import contextlib
import hmac
import json
import secrets
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass
from typing import Any

from aiohttp import web
from kubernetes.aio.client.exceptions import ApiException

from pve_evpn.api.kinds import ANNOTATION_APPROVED_PLAN
from pve_evpn.cli.page import static_file
from pve_evpn.cli.page.content import found, parts_of, report_data
from pve_evpn.cli.page.live import LiveSnapshot
from pve_evpn.cli.report.snapshot import CLUSTER
from pve_evpn.cli.report.why import why_report
from pve_evpn.domain.objects import ObjectKey

HOST = "127.0.0.1"
#: Seconds between two updates of one browser: a storm of changes is drawn once.
UPDATE_SECONDS = 1.0
#: Seconds after which an unchanged stream sends an empty line, so that a browser sees that the command still runs.
HEARTBEAT_SECONDS = 10.0
_LARGEST_REQUEST = 64 * 1024
_FILES = {
    "": ("page.html", "text/html"), "page.css": ("page.css", "text/css"), "page.js": ("page.js", "text/javascript"),
    "picture.js": ("picture.js", "text/javascript"), "blocks.js": ("blocks.js", "text/javascript"),
    "cytoscape.css": ("cytoscape.css", "text/css"),
    "cytoscape.min.js": ("cytoscape.min.js", "text/javascript"),
}  # fmt: skip
_HEADERS = {
    "Content-Security-Policy": "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; "
    "connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
    "Cache-Control": "no-store",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
}
_Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


@dataclass(frozen=True, slots=True)
class Served:
    """Where the page is. ``address`` is for people and holds the secret; ``origin`` does not."""

    origin: str
    secret: str

    @property
    def address(self) -> str:
        return f"{self.origin}/#{self.secret}"


@contextlib.asynccontextmanager
async def served(live: LiveSnapshot, port: int = 0) -> AsyncIterator[Served]:
    """Serve the page while the context is open.

    Args:
        live: What it shows.
        port: Of 127.0.0.1; 0 takes a free one. Raises OSError where it is taken.
    """
    secret = secrets.token_urlsafe(32)
    guard = _Guard(secret)
    app = web.Application(middlewares=[guard.middleware], client_max_size=_LARGEST_REQUEST)
    page = _Page(live)
    app.router.add_get("/api/live", page.stream)
    app.router.add_get("/api/why", page.why)
    app.router.add_get("/api/find", page.find)
    app.router.add_post("/api/approve", page.approve)
    app.router.add_get("/{name:[a-z.]*}", _static)
    runner = web.AppRunner(app, access_log=None, shutdown_timeout=1.0)
    await runner.setup()
    try:
        site = web.TCPSite(runner, HOST, port)
        await site.start()
        guard.port = runner.addresses[0][1]
        yield Served(guard.origins[0], secret)
    finally:
        page.close()
        await runner.cleanup()


class _Guard:
    """Refuses what does not come from the page itself."""

    def __init__(self, secret: str) -> None:
        self._secret = f"Bearer {secret}".encode()
        self.port = 0

    @property
    def origins(self) -> tuple[str, str]:
        return f"http://{HOST}:{self.port}", f"http://localhost:{self.port}"

    @property
    def middleware(self) -> Any:
        @web.middleware
        async def guard(request: web.Request, handler: _Handler) -> web.StreamResponse:
            refused = self._refused(request)
            response = refused or await self._answered(request, handler)
            if not response.prepared:  # a stream has set them itself
                response.headers.update(_HEADERS)
            return response

        return guard

    def _refused(self, request: web.Request) -> web.Response | None:
        if f"http://{request.headers.get('Host', '')}" not in self.origins:
            return _error(421, "this address is not the page's: open the one that pve-evpn ui printed")
        if not request.path.startswith("/api/"):
            return None
        given = request.headers.get("Authorization", "").encode()
        if not hmac.compare_digest(given, self._secret):
            return _error(401, "the secret is wrong or missing: open the address that pve-evpn ui printed")
        if request.method != "GET":
            if request.headers.get("Origin") not in self.origins:
                return _error(403, "only the page itself may change something")
            if request.content_type != "application/json":
                return _error(415, "send JSON")
        return None

    @staticmethod
    async def _answered(request: web.Request, handler: _Handler) -> web.StreamResponse:
        try:
            return await handler(request)
        except web.HTTPException as error:
            return _error(error.status, error.reason)
        except ApiException as error:
            return _error(502, f"Kubernetes says {error.status} {error.reason}")


class _Page:
    """The page's questions."""

    def __init__(self, live: LiveSnapshot) -> None:
        self._live = live
        self._streams: set[asyncio.Task[Any]] = set()

    def close(self) -> None:
        """End the streams: a browser that stays open must not hold the command up."""
        for task in self._streams:
            task.cancel()

    async def stream(self, request: web.Request) -> web.StreamResponse:
        """Lines of JSON: one object per update, with the parts of the page that have changed."""
        response = web.StreamResponse(headers={**_HEADERS, "Content-Type": "application/x-ndjson"})
        await response.prepare(request)
        task = asyncio.current_task()
        assert task is not None
        self._streams.add(task)
        sent: dict[str, str] = {}
        version = -1
        try:
            while True:
                try:
                    async with asyncio.timeout(HEARTBEAT_SECONDS):
                        version = await self._live.newer_than(version)
                except TimeoutError:
                    await response.write(b"\n")
                    continue
                parts = await asyncio.to_thread(_serialised, self._live)
                changed = {name: text for name, text in parts.items() if sent.get(name) != text}
                sent = parts
                if changed:
                    body = ", ".join(f"{json.dumps(name)}: {text}" for name, text in changed.items())
                    await response.write(f"{{{body}}}\n".encode())
                await asyncio.sleep(UPDATE_SECONDS)
        except ConnectionResetError:  # the browser has gone
            return response
        finally:
            self._streams.discard(task)

    async def why(self, request: web.Request) -> web.Response:
        """The chain of causes of the object in ``about`` (KIND/NAMESPACE/NAME)."""
        snapshot = self._live.snapshot()
        kind, _, rest = request.query.get("about", "").partition("/")
        namespace, _, name = rest.partition("/")
        key = ObjectKey(kind, namespace, name)
        if key not in snapshot.objects:
            return _nothing(str(key), f"there is no {key}")
        return web.json_response({"title": str(key), "blocks": report_data(why_report(snapshot, key))})

    async def find(self, request: web.Request) -> web.Response:
        """What ``trace`` says of ``query``."""
        query = request.query.get("query", "").strip()
        answer = found(self._live.snapshot(), query)
        if answer is None:
            return _nothing(query, "no NicAttachment has this MAC, IP address, guest or name")
        return web.json_response({"title": query, **answer})

    async def approve(self, request: web.Request) -> web.Response:
        """Approve the plan with the hash that the page showed, and no other."""
        try:
            asked = await request.json()
            name, shown = str(asked["cluster"]), str(asked["hash"])
        except (ValueError, KeyError, TypeError):
            return _error(400, "send cluster and hash")
        cluster = self._live.snapshot().objects.get(ObjectKey(CLUSTER, "", name))
        plan = cluster.status.pending_plan if cluster else None
        if cluster is None or plan is None:
            return _error(409, f"no plan of ProxmoxCluster {name} waits any more")
        if plan.hash != shown:
            return _error(409, "the plan has changed: read the new one first")
        body = {"metadata": {"annotations": {ANNOTATION_APPROVED_PLAN: plan.hash}}}
        if await self._live.custom.patch(cluster.key, body, status=False) is None:
            return _error(409, "the ProxmoxCluster has changed meanwhile: try again")
        return web.json_response({"approved": plan.hash})


def _serialised(live: LiveSnapshot) -> dict[str, str]:
    return {name: json.dumps(part, ensure_ascii=False) for name, part in parts_of(live.snapshot()).items()}


async def _static(request: web.Request) -> web.Response:
    name, content_type = _FILES.get(request.match_info["name"], ("", ""))
    if not name:
        return _error(404, "there is no such page")
    return web.Response(body=static_file(name), content_type=content_type, charset="utf-8")


def _nothing(title: str, text: str) -> web.Response:
    """Not an HTTP error: the question was right, and its answer is that there is none."""
    return web.json_response({"title": title, "blocks": [], "path": [], "error": text})


def _error(status: int, text: str) -> web.Response:
    return web.json_response({"error": text}, status=status)
