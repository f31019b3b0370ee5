"""Clients that reach the endpoint for full tables, and callers with some rights: they read no table but their own."""

from __future__ import annotations

import asyncio
import contextlib
import json
import logging
import ssl
from collections.abc import AsyncIterator, Mapping
from pathlib import Path
from typing import Any

import pytest
from aiohttp import ClientSession, Fingerprint, TCPConnector
from kubernetes.aio.client.exceptions import ApiException

from pve_evpn import metrics
from pve_evpn.domain.health.expected import ExpectedOverlay, ExpectedVNet, ExpectedZone
from pve_evpn.domain.objects import ObjectKey
from pve_evpn.engine.cache import Cache
from pve_evpn.engine.confirm import NetworkView
from pve_evpn.kube import certificate, reviews, server, tables
from pve_evpn.kube.certificate import Certificate
from pve_evpn.kube.members import ANNOTATION_FINGERPRINT, ANNOTATION_PORT
from pve_evpn.kube.reviews import Reviews
from pve_evpn.kube.tables import Holdings, TableServer
from tests.engine.world import cluster, vnet, zone
from tests.unit.health.overlay import Overlay

pytestmark = [pytest.mark.redteam, pytest.mark.asyncio]

HOST = "127.0.0.1"
BLUE, RED = "/tables/v1/namespaces/team-a/vnets/blue", "/tables/v1/namespaces/team-b/vnets/red"
WHEN = "2026-01-01T00:00:00Z"
ALL = "/tables/v1/proxmoxclusters/pve"
#: By token: the user, and what it may get.
USERS: dict[str, tuple[str, set[tuple[str, str, str]]]] = {
    "alices-token": (
        "alice",
        {("team-a", "vnets", "blue"), ("team-a", "vnets", "stolen"), ("team-a", "vnets", "gone")},
    ),
    "bobs-token": ("bob", {("team-b", "vnets", "red")}),
    "admins-token": ("admin", {("", "proxmoxclusters", "pve"), ("", "proxmoxclusters", "other")}),
}
BLUE_MAC, RED_MAC = "bc:24:11:00:00:01", "bc:24:11:00:00:02"


class ApiServer:
    """Answers reviews as the API server does: a token is authenticated for the audiences that it has."""

    def __init__(self) -> None:
        self.asked: list[str] = []
        self.audiences = ["https://kubernetes.default.svc"]
        self.is_away = False
        self.delay = 0.0

    async def review(self, path: str, body: Mapping[str, Any]) -> dict[str, Any]:
        self.asked.append(path.rpartition("/")[2])
        await asyncio.sleep(self.delay)
        spec = body["spec"]
        if self.is_away:
            raise ApiException(status=500, reason=f"no answer to {spec}")
        if "token" in spec:
            user = USERS.get(spec["token"])
            if user is None or not set(spec.get("audiences", self.audiences)) & set(self.audiences):
                return {"status": {"authenticated": False, "error": f"{spec['token']} is not known"}}
            status = {"authenticated": True, "user": {"username": user[0]}, "audiences": self.audiences}
            return {"status": status}
        asked = spec["resourceAttributes"]
        rights = next(rights for name, rights in USERS.values() if name == spec["user"])
        wanted = (asked.get("namespace", ""), asked["resource"], asked["name"])
        allowed = asked["verb"] == "get" and asked["subresource"] == "tables" and wanted in rights
        return {"status": {"allowed": allowed}}


class World:
    """A cluster with a VNet of each of two tenants, its nodes polled, and the endpoint before them."""

    def __init__(self) -> None:
        self.api = ApiServer()
        self.annotations: dict[str, str] = {}
        self.served = {"pve"}
        self.cache = Cache()
        objects = [
            cluster(),
            {**cluster(), "metadata": {"name": "other"}},
            zone(),
            _in("team-a", vnet("blue", 5001), vni=5001, id="blue"),
            _in("team-b", vnet("red", 5002), vni=5002, id="red"),
            # Another tenant's VNI in the spec, which is the tenant's own; the operator refused it.
            _in("team-a", vnet("stolen", 5002)),
        ]
        for number, each in enumerate(objects):
            metadata = {**each["metadata"], "uid": str(number), "resourceVersion": "1", "creationTimestamp": WHEN}
            self.cache.upsert({**each, "metadata": metadata})
        overlay = Overlay(l2=[5001, 5002])
        overlay.speak(BLUE_MAC, "pve1", "10.1.0.1", vni=5001)
        overlay.speak(RED_MAC, "pve2", "10.2.0.1", vni=5002)
        overlay.fail("pve4")
        nodes = tuple(overlay.names)
        expected = ExpectedOverlay(
            zones=(ExpectedZone(ObjectKey("EvpnZone", "", "zone1"), "zone1", 100001, nodes),),
            vnets=tuple(
                ExpectedVNet(ObjectKey("VNet", namespace, name), name, vni, "zone1", nodes)
                for namespace, name, vni in (("team-a", "blue", 5001), ("team-b", "red", 5002))
            ),
            names={5001: "blue", 5002: "red"},
        )
        self.poll: NetworkView | None = NetworkView(expected, overlay.seen())
        self.holdings = Holdings(
            self.cache, lambda name: name in self.served, lambda _name: "operator-1", lambda _name: self.poll
        )
        self.port = 0
        self.fingerprint = ""

    @contextlib.asynccontextmanager
    async def serving(self, audiences: tuple[str, ...] = ()) -> AsyncIterator[None]:
        made = TableServer(self.holdings, Reviews(self.api, audiences), Certificate(), self.annotations)
        async with made.listening(HOST, 0) as self.port:
            self.fingerprint = self.annotations[ANNOTATION_FINGERPRINT]
            assert self.annotations[ANNOTATION_PORT] == str(self.port)
            yield

    async def ask(self, path: str, token: str | None = None, method: str = "GET", **headers: str) -> tuple[int, Any]:
        """Status and JSON of the answer."""
        if token is not None:
            headers["Authorization"] = f"Bearer {token}"
        connector = TCPConnector(ssl=Fingerprint(bytes.fromhex(self.fingerprint)))
        url = f"https://{HOST}:{self.port}{path}"
        async with (
            ClientSession(connector=connector) as session,
            session.request(method, url, headers=headers) as answer,
        ):
            text = await answer.text()
            return answer.status, json.loads(text) if text else None

    async def raw(self, sent: bytes, *, tls: bool = True) -> bytes:
        """What comes until the server closes, which it does soon."""
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
        reader, writer = await asyncio.open_connection(HOST, self.port, ssl=context if tls else None)
        try:
            writer.write(sent)
            async with asyncio.timeout(5):
                return await reader.read()
        except (ConnectionResetError, ssl.SSLError):
            return b""
        finally:
            writer.close()


def _in(namespace: str, made: dict[str, Any], **status: Any) -> dict[str, Any]:
    return {**made, "metadata": {**made["metadata"], "namespace": namespace}, "status": status}


@pytest.fixture
async def world() -> AsyncIterator[World]:
    made = World()
    async with made.serving():
        yield made


def macs(answer: Any) -> set[str]:
    """Every MAC in the answer's tables."""
    rows = [row for node in answer["nodes"] for table in node.get("tables", {}).values() for row in table or ()]
    return {row["mac"] for row in rows if "mac" in row}


# --- who may read what --------------------------------------------------------------------------------------------


async def test_a_tenant_reads_the_rows_of_its_own_vnet_and_no_others(world: World) -> None:
    status, answer = await world.ask(BLUE, "alices-token")
    assert status == 200
    assert macs(answer) == {BLUE_MAC}
    assert {row["vni"] for node in answer["nodes"][:3] for rows in node["tables"].values() for row in rows} == {5001}
    text = json.dumps(answer)
    assert RED_MAC not in text
    assert "10.2.0.1" not in text
    assert answer["nodes"][3] == {"name": "pve4", "failure": {"reason": "Unreachable"}}, "no address of a node's sshd"
    assert answer["nodes"][0]["ageSeconds"] > 0


async def test_a_tenant_reads_neither_another_ones_vnet_nor_the_cluster(world: World) -> None:
    for path in (RED, ALL, "/tables/v1/namespaces/team-b/vnets/nothing"):
        status, answer = await world.ask(path, "alices-token")
        assert (status, answer["kind"], answer["reason"]) == (403, "Status", "Forbidden")
        assert 'User "alice" cannot get resource' in answer["message"]


async def test_a_spec_with_another_tenants_vni_shows_nothing(world: World) -> None:
    status, answer = await world.ask("/tables/v1/namespaces/team-a/vnets/stolen", "alices-token")
    assert (status, answer["reason"]) == (404, "NotFound")
    status, _ = await world.ask("/tables/v1/namespaces/team-a/vnets/gone", "alices-token")
    assert status == 404


async def test_an_administrator_reads_all_rows_of_a_cluster(world: World) -> None:
    status, answer = await world.ask(ALL, "admins-token")
    assert status == 200
    assert macs(answer) == {BLUE_MAC, RED_MAC}
    assert len(answer["nodes"][0]["tables"]["peers"]) == 3
    _, answer = await world.ask(f"{ALL}?table=peers&node=pve2", "admins-token")
    assert [(node["name"], list(node["tables"])) for node in answer["nodes"]] == [("pve2", ["peers"])]
    assert (await world.ask(f"{ALL}?table=secrets", "admins-token"))[0] == 400


@pytest.mark.parametrize(
    "headers",
    [
        {},
        {"Authorization": "Bearer"},
        {"Authorization": "Bearer "},
        {"Authorization": "Basic YWxpY2U6eA=="},
        {"Authorization": "Bearer not-a-token"},
        {"Authorization": "Bearer alices-token extra"},
        {"Authorization": "alices-token"},
        {"X-Remote-User": "admin", "X-Remote-Group": "system:masters"},
        {"Impersonate-User": "admin"},
    ],
    ids=["none", "scheme", "empty", "basic", "unknown", "two words", "no scheme", "proxy", "impersonation"],
)
async def test_without_a_token_that_is_known_nothing_is_answered(world: World, headers: dict[str, str]) -> None:
    for path in (BLUE, ALL):
        status, answer = await world.ask(path, **headers)
        assert (status, answer["reason"], answer["message"]) == (401, "Unauthorized", "Unauthorized")
    assert "subjectaccessreviews" not in world.api.asked


async def test_a_client_certificate_is_not_asked_for(world: World, tmp_path: Path) -> None:
    certificate._make(tmp_path)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    context.load_cert_chain(tmp_path / "tls.crt", tmp_path / "tls.key")
    for headers, expected in (({}, 401), ({"Authorization": "Bearer admins-token"}, 200)):
        async with ClientSession(connector=TCPConnector(ssl=context)) as session:
            answer = await session.get(f"https://{HOST}:{world.port}{ALL}", headers=headers)
            assert answer.status == expected


async def test_a_token_for_another_audience_is_refused(world: World) -> None:
    world.api.audiences = ["vault"]
    assert (await world.ask(ALL, "admins-token"))[0] == 200, "TokenReview decides where no audience is set"
    async with world.serving(("pve-evpn-tables",)):
        assert (await world.ask(ALL, "admins-token"))[0] == 401
    world.api.audiences = ["pve-evpn-tables"]
    async with world.serving(("pve-evpn-tables", "other")):
        assert (await world.ask(ALL, "admins-token"))[0] == 200


async def test_an_authenticator_without_audiences_does_not_count_for_one(world: World) -> None:
    class Careless(ApiServer):
        async def review(self, path: str, body: Mapping[str, Any]) -> dict[str, Any]:
            answer = await super().review(path, {**body, "spec": {**body["spec"], "audiences": self.audiences}})
            answer["status"].pop("audiences", None)
            return answer

    world.api = Careless()
    async with world.serving(("pve-evpn-tables",)):
        assert (await world.ask(ALL, "admins-token"))[0] == 401


@pytest.mark.parametrize("method", ["HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "TRACE"])
async def test_it_only_reads(world: World, method: str) -> None:
    assert (await world.ask(ALL, "admins-token", method))[0] == 405
    assert world.api.asked == []


@pytest.mark.parametrize(
    "path",
    ["/", "/metrics", "/tables/v1/", f"{ALL}/", f"{ALL}/../other", "/tables/v1/namespaces/team-a/vnets/blue%2f..%2fred",
     "/tables/v1/namespaces//vnets/blue", "/tables/v1/namespaces/team-a/vnets/" + "a" * 300],
)  # fmt: skip
async def test_other_paths_are_none(world: World, path: str) -> None:
    assert b"HTTP/1.1 404" in await world.raw(f"GET {path} HTTP/1.1\r\nHost: x\r\n\r\n".encode())


async def test_the_replica_without_the_tables_names_the_one_that_has_them(world: World) -> None:
    world.served.clear()
    status, answer = await world.ask(ALL, "admins-token")
    assert (status, answer["reason"]) == (421, "MisdirectedRequest")
    assert "operator-1 has" in answer["message"]
    status, answer = await world.ask(BLUE, "alices-token")
    assert status == 421
    assert "operator-1" not in answer["message"], "a tenant learns no pod's name"
    world.served.add("pve")
    world.poll = None
    assert (await world.ask(BLUE, "alices-token"))[0] == 503


# --- what it costs ------------------------------------------------------------------------------------------------


async def test_a_flood_of_one_token_is_one_review(world: World) -> None:
    world.api.delay = 0.2
    await asyncio.gather(*(world.ask(BLUE, "not-a-token") for _ in range(30)))
    assert world.api.asked == ["tokenreviews"]


async def test_a_flood_of_tokens_ends_here(world: World) -> None:
    answers = await asyncio.gather(*(world.ask(BLUE, f"guess-{number}") for number in range(50)))
    statuses = [status for status, _ in answers]
    assert set(statuses) == {401, 429}
    assert len(world.api.asked) < 35
    assert (await world.ask(BLUE, "guess-1"))[0] in (401, 429)


async def test_a_caller_that_is_known_is_answered_during_the_flood(world: World) -> None:
    assert (await world.ask(BLUE, "alices-token"))[0] == 200
    await asyncio.gather(*(world.ask(BLUE, f"guess-{number}") for number in range(50)))
    assert (await world.ask(BLUE, "alices-token"))[0] == 200


async def test_one_callers_requests_are_limited_and_leave_others_alone(world: World) -> None:
    assert (await world.ask(RED, "bobs-token"))[0] == 200
    statuses = [status for status, _ in [await world.ask(BLUE, "alices-token") for _ in range(40)]]
    assert statuses.count(200) >= 20
    assert 429 in statuses
    assert (await world.ask(RED, "bobs-token"))[0] == 200


async def test_what_was_taken_away_counts_for_seconds_only(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(reviews, "KEPT_SECONDS", 0.0)
    assert (await world.ask(BLUE, "alices-token"))[0] == 200
    monkeypatch.setitem(USERS, "alices-token", ("alice", set()))
    assert (await world.ask(BLUE, "alices-token"))[0] == 403
    monkeypatch.delitem(USERS, "alices-token")
    assert (await world.ask(BLUE, "alices-token"))[0] == 401


async def test_an_api_server_that_does_not_answer_opens_nothing(world: World) -> None:
    world.api.is_away = True
    status, answer = await world.ask(BLUE, "alices-token")
    assert (status, answer["reason"]) == (503, "ServiceUnavailable")
    world.api.is_away = False
    assert (await world.ask(BLUE, "alices-token"))[0] == 200, "a failure is not kept"


async def test_no_token_reaches_the_log_or_an_answer(world: World, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    world.api.is_away = True
    answers = [await world.ask(BLUE, "alices-token")]
    world.api.is_away = False
    answers += [await world.ask(BLUE, token) for token in ("alices-token", "a-wrong-token", "bobs-token")]
    answers.append(await world.ask("/nothing?token=alices-token", "alices-token"))
    shown = "\n".join([record.getMessage() + str(record.exc_info) for record in caplog.records])
    for token in ("alices-token", "a-wrong-token", "bobs-token"):
        assert token not in shown
        assert token not in json.dumps(answers)


async def test_requests_are_counted_by_status(world: World) -> None:
    before = metrics.REGISTRY.get_sample_value("pve_evpn_tables_requests_total", {"code": "401"}) or 0
    await world.ask(ALL)
    assert metrics.REGISTRY.get_sample_value("pve_evpn_tables_requests_total", {"code": "401"}) == before + 1


# --- who reaches the port -----------------------------------------------------------------------------------------


async def test_who_does_not_speak_tls_gets_nothing(world: World) -> None:
    assert b"HTTP" not in await world.raw(f"GET {ALL} HTTP/1.1\r\nHost: x\r\n\r\n".encode(), tls=False)
    assert (await world.ask(BLUE, "alices-token"))[0] == 200


async def test_handshakes_that_do_not_end_are_closed_and_keep_no_caller_out(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tables, "HANDSHAKES", 8)
    monkeypatch.setattr(tables, "HANDSHAKE_SECONDS", 1.0)
    idle = [await asyncio.open_connection(HOST, world.port) for _ in range(40)]
    assert (await world.ask(BLUE, "alices-token"))[0] == 200
    async with asyncio.timeout(5):
        await asyncio.gather(*(_end_of(reader) for reader, _ in idle))
    for _, writer in idle:
        writer.close()


async def _end_of(reader: asyncio.StreamReader) -> None:
    with contextlib.suppress(ConnectionResetError):
        await reader.read()


async def test_a_client_that_reads_nothing_ends(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(server, "LIFETIME", 1.0)
    world = World()

    def endless(*_arguments: object) -> Any:
        while True:
            yield "x" * 100_000

    monkeypatch.setattr(tables, "cluster_tables", endless)
    async with world.serving():
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
        request = f"GET {ALL} HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer admins-token\r\n\r\n".encode()
        slow = []
        for _ in range(tables.ANSWERS_EACH):
            _, writer = await asyncio.open_connection(HOST, world.port, ssl=context, limit=1)
            writer.write(request)
            slow.append(writer)
        async with asyncio.timeout(5):
            while (await world.ask(ALL, "admins-token"))[0] != 429:
                pass
        # Another caller has its turn meanwhile, and the slow one after its connections have ended.
        assert (await world.ask(BLUE, "alices-token"))[0] == 200
        monkeypatch.setattr(tables, "cluster_tables", lambda *_arguments: iter(["{}"]))
        async with asyncio.timeout(5):
            while (await world.ask(ALL, "admins-token"))[0] != 200:
                await asyncio.sleep(0.2)
        for writer in slow:
            writer.close()


@pytest.mark.parametrize(
    "sent",
    [
        b"GET /" + b"a" * 100_000 + b" HTTP/1.1\r\nHost: x\r\n\r\n",
        b"GET /x HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer " + b"a" * 100_000 + b"\r\n\r\n",
        b"GET /x HTTP/1.1\r\nHost: x\r\n" + b"a: b\r\n" * 10_000 + b"\r\n",
        b"GET /x HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer a\r\nAuthorization: Bearer b\r\n\r\n",
        b"\xff" * 1000,
    ],
    ids=["path", "token", "fields", "two tokens", "bytes"],
)
async def test_a_wrong_request_is_refused_without_a_traceback(
    world: World, sent: bytes, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    assert (await world.raw(sent))[9:12] in (b"400", b"401", b"404", b"")
    assert [record for record in caplog.records if record.exc_info or record.levelno >= logging.ERROR] == []
    assert (await world.ask(BLUE, "alices-token"))[0] == 200
