"""The page's server: what it shows, whom it refuses, and what it approves."""

from __future__ import annotations

import asyncio
import json
import logging
from collections.abc import AsyncIterator, Mapping
from typing import Any

import aiohttp
import pytest

from pve_evpn.cli.page.content import parts_of
from pve_evpn.cli.page.server import Served, served
from pve_evpn.cli.report.snapshot import RecordedEvent, Snapshot
from pve_evpn.domain.objects import ObjectKey
from tests.unit.cli.people import MAC, NOW, judged, nic, node, ready, snapshot
from tests.unit.plan.world import EPOCH, cluster, vnet

PLAN = {
    "hash": "abc123", "summary": ["create vnet web", "delete vnet old"], "classes": ["reload", "destructive"],
    "reasons": ["AnnotationPaused", "OutsideWindow"],
    "class": "destructive", "destructive": True, "since": EPOCH.isoformat(),
}  # fmt: skip


class Live:
    """A live snapshot that a test changes by hand, and the patches that the page wrote."""

    def __init__(self) -> None:
        self.now = snapshot(
            judged(cluster(), "False", "AwaitingApproval", pendingPlan=PLAN),
            ready(nic(), macAddress=MAC, node="pve1", vmid=100, evpn={"verdict": "Advertised", "announcedBy": "pve1"}),
            node("pve1", peers=[]),
            events=(
                RecordedEvent(NOW, ObjectKey("NicAttachment", "default", "nic1"), "MacMoved", "from pve2\nto pve1"),
            ),
        )
        self.version = 1
        self.changed = asyncio.Event()
        self.patches: list[tuple[ObjectKey, Mapping[str, Any]]] = []
        self.custom = self

    def snapshot(self) -> Snapshot:
        return self.now

    async def newer_than(self, version: int) -> int:
        while self.version <= version:
            self.changed.clear()
            await self.changed.wait()
        return self.version

    def put(self, changed: Snapshot) -> None:
        self.now, self.version = changed, self.version + 1
        self.changed.set()

    async def patch(self, key: ObjectKey, body: Mapping[str, Any], *, status: bool) -> dict[str, Any]:
        assert not status
        self.patches.append((key, body))
        return {}


@pytest.fixture
def live() -> Live:
    return Live()


@pytest.fixture
async def page(live: Live, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Served]:
    monkeypatch.setattr("pve_evpn.cli.page.server.UPDATE_SECONDS", 0.0)
    async with served(live) as made:  # type: ignore[arg-type]
        yield made


def by_page(page: Served, **more: str) -> dict[str, str]:
    """The headers the page itself sends."""
    return {"Authorization": f"Bearer {page.secret}", **more}


async def answer(method: str, url: str, headers: Mapping[str, str], **more: Any) -> tuple[int, Mapping[str, str], Any]:
    async with aiohttp.ClientSession() as session, session.request(method, url, headers=headers, **more) as response:
        text = await response.text()
        return response.status, response.headers, json.loads(text) if response.content_type.endswith("json") else text


async def test_the_page_is_its_own_files_under_a_strict_policy(page: Served) -> None:
    for name in ("", "page.css", "page.js", "picture.js", "blocks.js", "cytoscape.min.js", "cytoscape.css"):
        status, headers, _ = await answer("GET", f"{page.origin}/{name}", {})
        assert status == 200, name
        policy = headers["Content-Security-Policy"]
        assert policy.startswith("default-src 'none'")
        assert "unsafe" not in policy
        assert headers["Referrer-Policy"] == "no-referrer"
    for name in ("server.py", "..%2fserver.py", "cytoscape.LICENSE"):
        assert (await answer("GET", f"{page.origin}/{name}", {}))[0] == 404


@pytest.mark.parametrize("path", ["live", "why?about=VNet/default/net1", f"find?query={MAC}"])
async def test_nothing_is_answered_without_the_secret(page: Served, path: str) -> None:
    for headers in ({}, {"Authorization": "Bearer wrong"}, {"Cookie": f"secret={page.secret}"}):
        status, _, told = await answer("GET", f"{page.origin}/api/{path}", headers)
        assert status == 401
        assert page.secret not in str(told)


@pytest.mark.parametrize("host", ["evil.example", "evil.example:80", "127.0.0.1:1", "[::1]:80", ""])
async def test_another_name_for_this_address_is_refused(page: Served, host: str) -> None:
    for path in ("", "page.js", f"api/find?query={MAC}"):
        status, _, _ = await answer("GET", f"{page.origin}/{path}", by_page(page, Host=host))
        assert status == 421


async def test_another_page_cannot_approve(page: Served, live: Live) -> None:
    sent = json.dumps({"cluster": "pve", "hash": "abc123"})
    form = {"Content-Type": "text/plain", "Origin": page.origin}
    for headers, expected in (
        ({"Content-Type": "application/json", "Origin": page.origin}, 401),
        (by_page(page, **{"Content-Type": "application/json"}), 403),
        (by_page(page, **{"Content-Type": "application/json", "Origin": "https://evil.example"}), 403),
        (by_page(page, **{"Content-Type": "application/json", "Origin": "null"}), 403),
        (by_page(page, **form), 415),
    ):
        assert (await answer("POST", f"{page.origin}/api/approve", headers, data=sent))[0] == expected
    assert live.patches == []


async def test_the_plan_that_was_shown_is_approved_and_no_other(page: Served, live: Live) -> None:
    headers = by_page(page, Origin=page.origin)

    async def approve(**sent: str) -> tuple[int, Any]:
        status, _, told = await answer("POST", f"{page.origin}/api/approve", headers, json=sent)
        return status, told

    status, told = await approve(cluster="pve", hash="older")
    assert (status, told["error"]) == (409, "the plan has changed: read the new one first")
    assert (await approve(cluster="other", hash="abc123"))[0] == 409
    assert (await approve(cluster="pve"))[0] == 400
    assert live.patches == []
    assert await approve(cluster="pve", hash="abc123") == (200, {"approved": "abc123"})
    [(key, body)] = live.patches
    assert key.name == "pve"
    assert body == {"metadata": {"annotations": {"pve-evpn.dev/approved-plan": "abc123"}}}


@pytest.mark.parametrize(
    ("reasons", "can"),
    [(["SdnLocked", "ClusterPaused"], False), (["SdnLocked", "AwaitingApproval"], True), (None, True)],
)
def test_only_what_waits_for_it_can_be_approved(reasons: list[str] | None, can: bool) -> None:
    plan = {**PLAN, "reasons": reasons}
    waiting = snapshot(judged(cluster(), "False", "AwaitingApproval", pendingPlan=plan))
    assert parts_of(waiting)["plans"][0]["approvable"] is can


async def test_a_stream_sends_everything_once_and_then_what_changed(page: Served, live: Live) -> None:
    async with aiohttp.ClientSession() as session:
        response = await session.get(f"{page.origin}/api/live", headers=by_page(page))
        first = json.loads(await response.content.readline())
        assert set(first) == {"summary", "graph", "plans", "timeline", "tables"}
        assert first["plans"][0]["approvable"]
        assert first["plans"][0]["steps"][1] == {
            "text": "delete vnet old",
            "class": "destructive",
            "reason": "OutsideWindow",
        }
        [event] = first["timeline"]
        assert (event["topic"], event["message"]) == ("mac", "from pve2 | to pve1")
        live.put(live.now)  # nothing that the page shows
        live.put(snapshot(*live.now.objects.values(), judged(vnet(), "False", "VtepMissing", "pve1 lacks pve2"),
                          events=live.now.events))  # fmt: skip
        second = json.loads(await response.content.readline())
        assert set(second) == {"summary", "graph", "tables"}


async def test_a_search_shows_the_trace_and_its_path(page: Served) -> None:
    status, _, told = await answer("GET", f"{page.origin}/api/find?query=BC-24-11-11-11-11", by_page(page))
    assert status == 200
    assert set(told["path"]) == {
        "NicAttachment/default/nic1", "VNet/default/net1", "EvpnZone//zone1", "EvpnNode//pve-pve1",
    }  # fmt: skip
    assert told["blocks"][0]["rows"][0] == ["NIC", {"text": "default/nic1", "tone": "plain"}]
    status, _, told = await answer("GET", f"{page.origin}/api/find?query=none", by_page(page))
    assert (status, told["path"]) == (200, [])
    assert "no NicAttachment has this MAC" in told["error"]


async def test_why_answers_for_an_object_and_says_where_there_is_none(page: Served) -> None:
    status, _, told = await answer("GET", f"{page.origin}/api/why?about=ProxmoxCluster//pve", by_page(page))
    assert (status, told["title"]) == (200, "ProxmoxCluster pve")
    assert any(block["key"] == "remedy" for block in told["blocks"])
    for about in ("", "VNet", "VNet/a/b/c", "Secret/default/x"):
        _, _, told = await answer("GET", f"{page.origin}/api/why?about={about}", by_page(page))
        assert told["error"].startswith("there is no ")


async def test_the_secret_is_in_no_log(page: Served, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    await answer("GET", f"{page.origin}/api/why?about=VNet/default/net1", by_page(page))
    await answer("GET", f"{page.origin}/api/nothing", by_page(page))
    assert page.secret not in caplog.text


async def test_a_browser_that_stays_open_does_not_hold_the_command_up(live: Live) -> None:
    async with aiohttp.ClientSession() as session:
        async with served(live) as page:  # type: ignore[arg-type]
            response = await session.get(f"{page.origin}/api/live", headers=by_page(page))
            await response.content.readline()
        with pytest.raises(aiohttp.ClientError):
            await session.get(page.origin)
