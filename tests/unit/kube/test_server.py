"""The server of metrics and probes on each family of addresses."""

from __future__ import annotations

import aiohttp
import pytest

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
