"""A node, its exporter, or a Proxmox that names other addresses as its nodes': what they answer costs little."""

from __future__ import annotations

import asyncio
import gzip
import time
from collections.abc import AsyncIterator, Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import asyncssh
import pytest
from aiohttp import web

from pve_evpn.api.observe import Observe
from pve_evpn.domain.observation import ObservationFailure
from pve_evpn.engine.ports import Secret
from pve_evpn.engine.secrets import ClusterSecrets
from pve_evpn.engine.sources import Sources
from pve_evpn.observe import frr_exporter
from pve_evpn.observe.frr import FrrParseError, observation
from pve_evpn.observe.frr_exporter import FrrExporterSource
from pve_evpn.observe.reach import Reach
from pve_evpn.observe.source import NodeTarget, NodeUnreadable

pytestmark = pytest.mark.redteam

AT = datetime(2026, 11, 25, tzinfo=UTC)
ENDPOINTS = ["https://198.51.100.1:8006", "https://[2001:db8::1]:8006", "https://pve1.example.com:8006"]
OWN = ["198.51.100.1", "2001:db8::1"]
ELSEWHERE = [
    "169.254.169.254", "127.0.0.1", "::1", "0.0.0.0", "::", "fe80::1", "::ffff:127.0.0.1", "8.8.8.8", "2001:db8::2",
    "198.51.100.2", "224.0.0.1", "localhost", "metadata.internal", "10.0.0.1/x", "10.0.0.1:80", "evil@10.0.0.1",
    "010.0.0.1", "10.1", "0x0a000001", "fd00::1%eth0", "10.0.0.1\n", " 10.0.0.1", "\u0661\u0660.0.0.1", "",
]  # fmt: skip


@pytest.mark.parametrize("address", ELSEWHERE)
async def test_an_address_outside_the_allowed_networks_is_not_asked(address: str) -> None:
    class Keys:
        namespace = "pve-evpn-system"

        async def read(self, _name: str) -> Secret:
            key = asyncssh.generate_private_key("ssh-ed25519").export_private_key().decode()
            return Secret({"ssh-privatekey": key}, {"pve-evpn.dev/cluster": "pve"})

    sources = Sources(ClusterSecrets("pve", Keys()), lambda: None)
    ssh = {"keySecretRef": {"name": "k"}, "knownHosts": ["* ssh-ed25519 AAAA"]}
    observe = Observe.model_validate({"sources": ["ssh", "frrExporter"], "ssh": ssh})
    chain = await sources.chain(observe, 15, timedelta(0), ENDPOINTS)
    result = (await chain.poll([NodeTarget("pve1", address)])).nodes["pve1"]
    assert isinstance(result, ObservationFailure)
    assert result.reason == "NotConfigured"
    assert result.message.isprintable()
    assert sources.ssh is not None
    with pytest.raises(NodeUnreadable) as refused:  # pins go the same way
        await sources.ssh.ask(NodeTarget("pve1", address), "pins", "")
    assert refused.value.reason == "NotConfigured"
    await sources.close()


@pytest.mark.parametrize(
    "address", ["10.1.2.3", "192.168.16.1", "fd00::1", "100.64.0.1", "198.51.100.1", "2001:db8::1"]
)
def test_private_addresses_and_the_endpoints_own_are_asked(address: str) -> None:
    assert Reach(None, ENDPOINTS)(NodeTarget("pve1", address)) == address


def test_named_networks_take_the_place_of_the_default() -> None:
    reach = Reach(["203.0.113.0/24"], ENDPOINTS)
    assert reach(NodeTarget("pve1", "203.0.113.9")) == "203.0.113.9"
    for address in ("10.1.2.3", "198.51.100.1"):
        with pytest.raises(NodeUnreadable):
            reach(NodeTarget("pve1", address))


# --- the exporter -------------------------------------------------------------------------------------------------

Handler = Callable[[web.Request], Any]


@pytest.fixture
async def ask() -> AsyncIterator[Callable[[Handler], Any]]:
    """Asks an exporter that answers so."""
    runners = []

    async def asked(handler: Handler, **options: Any) -> str:
        app = web.Application()
        app.router.add_get("/metrics", handler)
        runner = web.AppRunner(app)
        runners.append(runner)
        await runner.setup()
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        source = FrrExporterSource(port=runner.addresses[0][1], **options)
        with pytest.raises(NodeUnreadable) as refused:
            await source.read(NodeTarget("pve1", "127.0.0.1"))
        await source.close()
        return f"{refused.value.reason}: {refused.value}"

    yield asked
    for runner in runners:
        await runner.cleanup()


async def test_a_compressed_answer_of_an_exporter_is_refused_before_it_is_unpacked(ask: Any) -> None:
    async def bomb(_request: web.Request) -> web.Response:
        return web.Response(body=gzip.compress(b"a 1\n" * 50_000_000, 1), headers={"Content-Encoding": "gzip"})

    assert "compressed" in await ask(bomb)


async def test_an_exporter_without_end_is_cut_off(ask: Any) -> None:
    async def endless(request: web.Request) -> web.StreamResponse:
        response = web.StreamResponse()
        await response.prepare(request)
        while True:
            await response.write(b"a 1\n" * 65536)

    assert "more than" in await ask(endless)


async def test_an_exporter_that_sends_a_byte_at_a_time_ends_at_the_deadline(ask: Any) -> None:
    async def slow(request: web.Request) -> web.StreamResponse:
        response = web.StreamResponse()
        await response.prepare(request)
        while True:
            await response.write(b"#")
            await asyncio.sleep(0.02)

    assert (await ask(slow, timeout=0.5)).startswith("Timeout")


async def test_an_exporter_does_not_hold_up_the_event_loop(ask: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    def parse(*_: Any) -> Any:
        time.sleep(0.5)
        raise FrrParseError("late")

    monkeypatch.setattr(frr_exporter, "parse", parse)
    ticks = 0

    async def tick() -> None:
        nonlocal ticks
        while True:
            ticks += 1
            await asyncio.sleep(0.01)

    ticking = asyncio.create_task(tick())

    async def short(_request: web.Request) -> web.Response:
        return web.Response(text="a 1")

    assert "late" in await ask(short)
    ticking.cancel()
    assert ticks > 10


# --- what costs too much to read ------------------------------------------------------------------------------------

SIZE = 8_000_000
EXPORTED = {
    "one line of labels": "a{" + 'b="c",' * (SIZE // 6) + "} 1\n",
    "one line": "a" * SIZE,
    "a number": "a " + "9" * SIZE + "\n",
    "backslashes": 'a{b="' + "\\" * SIZE + '"} 1\n',
}
PRINTED = {
    "depth": "[" * SIZE,
    "objects": "[" + "{}," * (SIZE // 3) + "{}]",
    "lists": "[" + "[]," * (SIZE // 3) + "[]]",
    "words": "[" + '"aa",' * (SIZE // 5) + '""]',
    "documents": "0 " * (SIZE // 2),
    "a number": "9" * SIZE,
    "nan": "NaN",
    "spaces": " " * SIZE + "x",
}


def cheap(parse: Callable[[], Any]) -> None:
    began = time.process_time()
    with pytest.raises(FrrParseError):
        parse()
    assert time.process_time() - began < 4


@pytest.mark.parametrize("name", list(EXPORTED))
def test_what_an_exporter_prints_is_cheap_to_refuse(name: str) -> None:
    cheap(lambda: frr_exporter.parse("pve1", AT, EXPORTED[name]))


@pytest.mark.parametrize("name", list(PRINTED))
def test_what_a_node_prints_is_cheap_to_refuse(name: str) -> None:
    answer = f"pve-evpn-observe 1\npve1# show evpn json\n{PRINTED[name]}\npve-evpn-observe end\n"
    began = time.process_time()
    seen = observation("pve1", AT, answer)
    assert time.process_time() - began < 4
    (problem,) = [text for text in seen.problems if text.startswith("show evpn json")]
    assert len(problem) < 200
    assert problem.isprintable()


def test_an_answer_of_a_million_parts_is_cheap_to_refuse() -> None:
    cheap(lambda: observation("pve1", AT, "pve-evpn-observe 1\n" + "# show a\n" * 1_000_000 + "pve-evpn-observe end\n"))
