"""An HTTPS endpoint of the operator's own for full tables: EVPN routes, BGP peers, VNIs and MACs, per node.

It answers from the last poll in memory: a request costs the nodes and Proxmox nothing. It only reads.

* ``GET /tables/v1/namespaces/{namespace}/vnets/{name}`` needs the right ``get vnets/tables`` there, and shows the
  rows of that VNet;
* ``GET /tables/v1/proxmoxclusters/{name}`` needs ``get proxmoxclusters/tables``, and shows all rows of its nodes.

``?table=routes&table=macs`` chooses tables, ``?node=pve1`` nodes of a cluster. Callers send a bearer token
(``kube.reviews``). Refusals are Kubernetes' ``Status`` objects. The replica that leads for a cluster has its poll;
another one answers 421 and names that replica.

A client that reaches the port holds up nothing else: handshakes, connections and answers are bounded in number and
time, callers in their rate.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import logging
import re
import socket
from collections import Counter, OrderedDict
from collections.abc import AsyncIterator, Callable, Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from http import HTTPStatus
from typing import Any

from aiohttp import web

from pve_evpn import metrics
from pve_evpn.api.kinds import GROUP
from pve_evpn.domain.health.tables import TABLES, VNET_TABLES, TableName, cluster_tables, vnet_tables
from pve_evpn.domain.objects import ObjectKey
from pve_evpn.engine.cache import Cache
from pve_evpn.engine.confirm import NetworkView
from pve_evpn.kube import server
from pve_evpn.kube.certificate import Certificate
from pve_evpn.kube.members import ANNOTATION_FINGERPRINT, ANNOTATION_PORT
from pve_evpn.kube.reviews import Access, Bucket, Busy, Caller, ReviewFailed, Reviews
from pve_evpn.text import from_outside

log = logging.getLogger(__name__)

SUBRESOURCE = "tables"
#: Seconds that a TLS handshake may take, and how many there are at once.
HANDSHAKE_SECONDS, HANDSHAKES = 5.0, 64
#: Answers that are written at once, in all and to one caller.
ANSWERS, ANSWERS_EACH = 4, 2
#: Requests of one caller per second in the long run, and at once.
RATE, BURST = 5.0, 20.0
#: Seconds until a renewed certificate is used.
REFRESH_SECONDS = 60.0
#: Bytes of a line or field: tokens of an identity provider may carry many groups.
_LINE = 16384
_TOKEN = re.compile(r"[\x21-\x7e]{1,15000}")
_NAME = r"[a-z0-9]([-a-z0-9.]{0,251}[a-z0-9])?"
_VNET = re.compile(rf"/tables/v1/namespaces/(?P<namespace>{_NAME})/vnets/(?P<name>{_NAME})")
_CLUSTER = re.compile(rf"/tables/v1/proxmoxclusters/(?P<name>{_NAME})")
_CALLERS = 512
_HEADERS = {"Content-Type": "application/json", "Cache-Control": "no-store", "X-Content-Type-Options": "nosniff"}


@dataclass(frozen=True)
class Holdings:
    """What a replica has, and who has what it has not.

    Attributes:
        cache: Every object.
        serves: Whether this replica works for a cluster.
        holder: The pod of the replica that does, as far as this one knows; "" if it does not.
        view: The last poll of a cluster's nodes.
    """

    cache: Cache
    serves: Callable[[str], bool]
    holder: Callable[[str], str]
    view: Callable[[str], NetworkView | None]


class Refused(Exception):
    """An answer that is no table."""

    def __init__(self, code: HTTPStatus, reason: str, message: str, **headers: str) -> None:
        super().__init__(message)
        self.code, self.reason, self.message = code, reason, message
        self.headers = {name.replace("_", "-"): value for name, value in headers.items()}


class TableServer:
    """The listener. ``annotations``: those of the replica's Lease, by which callers find it."""

    def __init__(
        self, holdings: Holdings, reviews: Reviews, certificate: Certificate, annotations: dict[str, str] | None = None
    ) -> None:
        self._holdings = holdings
        self._reviews = reviews
        self._certificate = certificate
        self._annotations = {} if annotations is None else annotations
        self._buckets: OrderedDict[str, Bucket] = OrderedDict()
        self._answers = asyncio.Semaphore(ANSWERS)
        self._answers_of: Counter[str] = Counter()
        self._handshakes: dict[asyncio.Task[None], None] = {}

    # --- listening ----------------------------------------------------------------------------------------------

    @contextlib.asynccontextmanager
    async def listening(self, host: str, port: int) -> AsyncIterator[int]:
        """Serve until left; the port. Raises OSError if it is taken.

        Arguments:
            host: an address of either family, or "" for all addresses of both.
        """
        listener = _socket(host, port)
        port = listener.getsockname()[1]
        connections = server.BoundedServer(self._answer, _LINE)
        tasks = [asyncio.create_task(self._accept(listener, connections)), asyncio.create_task(self._refresh())]
        self._publish(port)
        log.info("full tables at port %d, certificate %s", port, self._certificate.fingerprint)
        try:
            yield port
        finally:
            for task in [*tasks, *self._handshakes]:
                task.cancel()
            await asyncio.gather(*tasks, *self._handshakes, return_exceptions=True)
            listener.close()
            await connections.shutdown(1.0)

    def _publish(self, port: int) -> None:
        self._annotations[ANNOTATION_PORT] = str(port)
        self._annotations[ANNOTATION_FINGERPRINT] = self._certificate.fingerprint

    async def _refresh(self) -> None:
        while True:
            await asyncio.sleep(REFRESH_SECONDS)
            await asyncio.to_thread(self._certificate.refresh)
            self._annotations[ANNOTATION_FINGERPRINT] = self._certificate.fingerprint

    async def _accept(self, listener: socket.socket, connections: server.BoundedServer) -> None:
        """Accept here: the library would bound connections only after their handshakes."""
        loop = asyncio.get_running_loop()
        while True:
            try:
                accepted, _ = await loop.sock_accept(listener)
            except OSError as error:  # no more files
                log.warning("the endpoint for full tables accepts nothing: %s", error.strerror)
                await asyncio.sleep(1.0)
                continue
            task = asyncio.create_task(self._shake_hands(accepted, connections))
            self._handshakes[task] = None
            task.add_done_callback(lambda done: self._handshakes.pop(done, None))
            for oldest in [*self._handshakes][:-HANDSHAKES]:
                oldest.cancel()

    async def _shake_hands(self, accepted: socket.socket, connections: server.BoundedServer) -> None:
        # OSError: no TLS, or another end. asyncio closes the socket, then and where this is cancelled.
        with contextlib.suppress(OSError):
            await asyncio.get_running_loop().connect_accepted_socket(
                connections, accepted, ssl=self._certificate.context, ssl_handshake_timeout=HANDSHAKE_SECONDS
            )

    # --- answering ----------------------------------------------------------------------------------------------

    async def _answer(self, request: web.BaseRequest) -> web.StreamResponse:
        try:
            response = await self._tables(request)
        except Refused as refused:
            response = _status(refused)
        except Busy:
            response = _status(_too_many())
        except ReviewFailed:
            message = "the API server did not answer who you are and what you may do"
            response = _status(Refused(HTTPStatus.SERVICE_UNAVAILABLE, "ServiceUnavailable", message, Retry_After="5"))
        metrics.TABLES_REQUESTS.labels(str(response.status)).inc()
        response.force_close()
        return response

    async def _tables(self, request: web.BaseRequest) -> web.StreamResponse:
        access = _access(request)
        if request.method != "GET":
            message = "this endpoint is for reading"
            raise Refused(HTTPStatus.METHOD_NOT_ALLOWED, "MethodNotAllowed", message, Allow="GET")
        caller = await self._reviews.caller(_token(request))
        if caller is None:
            raise _unauthorised()
        if not self._bucket(caller.name).take():
            raise _too_many()
        if not await self._reviews.may(caller, access):
            raise Refused(HTTPStatus.FORBIDDEN, "Forbidden", _forbidden(caller, access))
        pieces = self._pieces(access, request.rel_url.query.getall)
        async with self._turn(caller.name):
            response = web.StreamResponse(headers=_HEADERS)
            response.force_close()
            await response.prepare(request)
            for piece in pieces:
                await response.write(piece.encode())
                await asyncio.sleep(0)  # a client that reads fast must not hold up the loop
            await response.write_eof()
        return response

    def _bucket(self, caller: str) -> Bucket:
        bucket = self._buckets.setdefault(caller, Bucket(RATE, BURST))
        self._buckets.move_to_end(caller)
        if len(self._buckets) > _CALLERS:
            self._buckets.popitem(last=False)
        return bucket

    @contextlib.asynccontextmanager
    async def _turn(self, caller: str) -> AsyncIterator[None]:
        """One of the answers that are written at once. Raises Refused where the caller has its share."""
        if self._answers_of[caller] >= ANSWERS_EACH:
            raise _too_many()
        self._answers_of[caller] += 1
        try:
            async with self._answers:
                yield
        finally:
            self._answers_of[caller] -= 1
            self._answers_of += Counter()  # forgets who has none

    def _pieces(self, access: Access, asked: Callable[[str, list[str]], list[str]]) -> Iterator[str]:
        now = datetime.now(UTC)
        if access.resource == "proxmoxclusters":
            view = self._view(access, access.name)
            tables = _chosen(asked("table", []), TABLES)
            return cluster_tables(view.observation, view.expected, now, tables, asked("node", []))
        tables = _chosen(asked("table", []), VNET_TABLES)
        key = ObjectKey("VNet", access.namespace, access.name)
        resource = self._holdings.cache.get(key)
        cluster = self._holdings.cache.cluster_of(resource) if resource else None
        if resource is None or cluster is None:
            raise _not_found(access)
        view = self._view(access, cluster)
        vnet = next((vnet for vnet in view.expected.vnets if vnet.key == key), None)
        # The status decides too: users write specs, and only the operator writes statuses.
        if vnet is None or resource.status.vni != vnet.vni:
            raise _not_found(access, ": it has no VNI in Proxmox' running configuration")
        return vnet_tables(view.observation, view.expected, vnet, now, tables)

    def _view(self, access: Access, cluster: str) -> NetworkView:
        if self._holdings.cache.get(ObjectKey("ProxmoxCluster", "", cluster)) is None:
            raise _not_found(access)
        if not self._holdings.serves(cluster):
            holder = self._holdings.holder(cluster)
            raise Refused(
                HTTPStatus.MISDIRECTED_REQUEST,
                "MisdirectedRequest",
                f"{holder or 'another replica'} has the tables of ProxmoxCluster {cluster}"
                if access.resource == "proxmoxclusters"
                else "another replica has these tables",
                Retry_After="1",
            )
        view = self._holdings.view(cluster)
        if view is None:
            message = "the nodes have not been polled yet"
            raise Refused(HTTPStatus.SERVICE_UNAVAILABLE, "ServiceUnavailable", message, Retry_After="5")
        return view


def _socket(host: str, port: int) -> socket.socket:
    if not host and socket.has_dualstack_ipv6():
        made = socket.create_server(("", port), family=socket.AF_INET6, dualstack_ipv6=True)
    else:
        made = socket.create_server((host, port), family=socket.AF_INET6 if ":" in host else socket.AF_INET)
    made.setblocking(False)
    return made


def _access(request: web.BaseRequest) -> Access:
    if found := _VNET.fullmatch(request.path):
        return Access("vnets", SUBRESOURCE, found["name"], found["namespace"])
    if found := _CLUSTER.fullmatch(request.path):
        return Access("proxmoxclusters", SUBRESOURCE, found["name"])
    raise Refused(HTTPStatus.NOT_FOUND, "NotFound", "there is no such table")


def _token(request: web.BaseRequest) -> str:
    fields = request.headers.getall("Authorization", [])
    if len(fields) == 1:
        scheme, _, token = fields[0].partition(" ")
        if scheme.lower() == "bearer" and _TOKEN.fullmatch(token):
            return token
    raise _unauthorised()


def _chosen(asked: list[str], known: tuple[TableName, ...]) -> list[TableName]:
    """Those that were asked for; all of them where none was."""
    if unknown := [table for table in asked if table not in known]:
        message = f"{from_outside(unknown[0], longest=40)!r} is none of {', '.join(known)}"
        raise Refused(HTTPStatus.BAD_REQUEST, "BadRequest", message)
    return [table for table in known if table in asked or not asked]


def _status(refused: Refused) -> web.Response:
    """https://kubernetes.io/docs/reference/kubernetes-api/common-definitions/status/"""
    body: Mapping[str, Any] = {
        "kind": "Status",
        "apiVersion": "v1",
        "metadata": {},
        "status": "Failure",
        "message": refused.message,
        "reason": refused.reason,
        "code": refused.code.value,
    }
    text = json.dumps(body) + "\n"
    return web.Response(body=text.encode(), status=refused.code, headers={**_HEADERS, **refused.headers})


def _unauthorised() -> Refused:
    return Refused(HTTPStatus.UNAUTHORIZED, "Unauthorized", "Unauthorized", WWW_Authenticate="Bearer")


def _too_many() -> Refused:
    message = "there are too many requests, please try again later"
    return Refused(HTTPStatus.TOO_MANY_REQUESTS, "TooManyRequests", message, Retry_After="1")


def _not_found(access: Access, why: str = "") -> Refused:
    return Refused(HTTPStatus.NOT_FOUND, "NotFound", f'{access.resource}.{GROUP} "{access.name}" not found{why}')


def _forbidden(caller: Caller, access: Access) -> str:
    """In the API server's words."""
    where = f'in the namespace "{access.namespace}"' if access.namespace else "at the cluster scope"
    return (
        f'{access.resource}.{GROUP} "{access.name}" is forbidden: User "{from_outside(caller.name)}" cannot get '
        f'resource "{access.resource}/{access.subresource}" in API group "{GROUP}" {where}'
    )
