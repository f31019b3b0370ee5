"""The server of metrics and probes on each family of addresses."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Iterable

import aiohttp
import pytest
from prometheus_client import CollectorRegistry
from prometheus_client.core import Metric
from prometheus_client.registry import Collector

from pve_evpn import metrics
from pve_evpn.kube.server import Readiness, serve
from tests.kube.ports import free_ports, has_ipv6


@pytest.mark.parametrize(
    ("host", "answering"),
    [
        ("", ["127.0.0.1", "[::1]"]),
        ("::1", ["[::1]"]),
        ("127.0.0.1", ["127.0.0.1"]),
    ],
)
async def test_it_answers_on(host: str, answering: list[str]) -> None:
    if not has_ipv6():  # then the families that are there, of which the empty host still serves all
        answering = [address for address in answering if ":" not in address]
        if not answering:
            pytest.skip("LEFT OUT: this machine has no IPv6")
    (port,) = free_ports(1)
    runner = await serve(host, port, lambda: Readiness(True, "leads"))
    try:
        async with aiohttp.ClientSession() as session:
            for address in answering:
                async with session.get(f"http://{address}:{port}/readyz") as answer:
                    assert (answer.status, await answer.text()) == (200, "leads\n")
    finally:
        await runner.cleanup()


class _Slow(Collector):
    """A collector that ends when it is let go, and counts how many scrapes are in it at once."""

    def __init__(self) -> None:
        self.let_go, self.began = threading.Event(), threading.Event()
        self.inside, self.most = 0, 0

    def collect(self) -> Iterable[Metric]:
        self.inside += 1
        self.most = max(self.most, self.inside)
        self.began.set()
        assert self.let_go.wait(10)
        self.inside -= 1
        return ()

    def describe(self) -> Iterable[Metric]:
        return ()


async def test_a_scrape_holds_up_neither_probes_nor_more_than_one_thread(monkeypatch: pytest.MonkeyPatch) -> None:
    slow, registry = _Slow(), CollectorRegistry()
    registry.register(slow)
    monkeypatch.setattr(metrics, "REGISTRY", registry)
    (port,) = free_ports(1)
    runner = await serve("127.0.0.1", port, lambda: Readiness(True, "leads"))
    try:
        async with aiohttp.ClientSession(f"http://127.0.0.1:{port}") as session:
            scrapes = [asyncio.create_task(session.get("/metrics")) for _ in range(3)]
            await asyncio.to_thread(slow.began.wait, 10)
            async with session.get("/healthz") as answer:
                assert answer.status == 200
            slow.let_go.set()
            assert [(await scrape).status for scrape in scrapes] == [200, 200, 200]
        assert slow.most == 1
    finally:
        slow.let_go.set()
        await runner.cleanup()
