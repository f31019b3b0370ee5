"""Whoever reaches the port for metrics and probes: they hold up nobody, and end no request with a traceback."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Awaitable, Callable

import pytest
from aiohttp import web

from pve_evpn.kube import server
from pve_evpn.kube.server import Readiness, serve
from tests.kube.ports import free_ports

pytestmark = pytest.mark.redteam

HOST = "127.0.0.1"
PROBE = b"GET /readyz HTTP/1.1\r\nHost: x\r\n\r\n"
Connect = Callable[[bytes], Awaitable[tuple[asyncio.StreamReader, asyncio.StreamWriter]]]
REFUSED = (b"", b"HTTP/1.0 400", b"HTTP/1.1 400", b"HTTP/1.1 404", b"HTTP/1.1 405")


@pytest.fixture
async def runner(monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[web.ServerRunner]:
    """A server with short limits."""
    monkeypatch.setattr(server, "HEADER_SECONDS", 0.5)
    monkeypatch.setattr(server, "LIFETIME", 2.0)
    (port,) = free_ports(1)
    made = await serve(HOST, port, lambda: Readiness(True, "leads"))
    yield made
    await made.cleanup()


@pytest.fixture
async def connect(runner: web.ServerRunner) -> AsyncIterator[Connect]:
    """Connects to the server and sends the bytes."""
    opened: list[asyncio.StreamWriter] = []

    async def connected(sent: bytes) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        reader, writer = await asyncio.open_connection(*runner.addresses[0][:2])
        opened.append(writer)
        writer.write(sent)
        return reader, writer

    yield connected
    for writer in opened:
        writer.close()


async def answer(connect: Connect, sent: bytes) -> bytes:
    """Everything that comes until the server closes the connection, which it does soon."""
    reader, _ = await connect(sent)
    async with asyncio.timeout(5):
        try:
            return await reader.read()
        except ConnectionResetError:
            return b""


@pytest.mark.parametrize(
    "sent", [b"", b"GET", b"GET /metrics HTTP/1.1\r\nHost: x\r\n", b"POST /x HTTP/1.1\r\nContent-Length: 9999\r\n\r\nx"]
)
async def test_a_request_that_never_ends_is_closed(connect: Connect, sent: bytes) -> None:
    assert b"200 OK" not in await answer(connect, sent)


async def test_a_client_that_reads_nothing_is_closed(
    connect: Connect, runner: web.ServerRunner, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(server, "generate_latest", lambda _registry: b"x" * 50_000_000)
    await connect(b"GET /metrics HTTP/1.1\r\nHost: x\r\n\r\n")
    assert runner.server is not None
    async with asyncio.timeout(5):
        while runner.server.requests_count == 0 or runner.server.connections:
            await asyncio.sleep(0.02)


async def test_many_idle_connections_do_not_keep_a_probe_out(connect: Connect) -> None:
    idle = [await connect(b"") for _ in range(3 * server.CONNECTIONS)]
    assert b"200 OK" in await answer(connect, PROBE)
    closed = [reader for reader, _ in idle if reader.at_eof() or reader.exception()]
    assert len(closed) >= 2 * server.CONNECTIONS


@pytest.mark.parametrize(
    "sent",
    [
        b"GET /" + b"a" * 100_000 + b" HTTP/1.1\r\nHost: x\r\n\r\n",
        b"GET /metrics HTTP/1.1\r\nHost: x\r\nCookie: " + b"a" * 100_000 + b"\r\n\r\n",
        b"GET /metrics HTTP/1.1\r\nHost: x\r\n" + b"a: b\r\n" * 10_000 + b"\r\n",
        b"GET /metrics HTTP/1.1\r\nContent-Length: x\r\n\r\n",
        b"\x16\x03\x01" + b"\xff" * 1000,
        b"GET /metrics HTTP/9.9\r\n\r\n",
        b"GET /nowhere HTTP/1.1\r\nHost: x\r\n\r\n",
        b"DELETE /metrics HTTP/1.1\r\nHost: x\r\n\r\n",
    ],
    ids=["path", "field", "fields", "length", "tls", "version", "unknown", "method"],
)
async def test_a_wrong_request_is_refused_without_a_traceback(
    connect: Connect, sent: bytes, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    assert (await answer(connect, sent))[:12] in (
        b"HTTP/1.0 400",
        b"HTTP/1.1 400",
        b"HTTP/1.1 404",
        b"HTTP/1.1 405",
        b"",
    )
    assert [record for record in caplog.records if record.exc_info or record.levelno >= logging.ERROR] == []
    assert b"200 OK" in await answer(connect, PROBE)


async def test_a_fault_of_the_operators_own_is_logged(
    connect: Connect, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(_registry: object) -> bytes:
        raise RuntimeError("no metrics")

    monkeypatch.setattr(server, "generate_latest", broken)
    assert b"500 Internal" in await answer(connect, b"GET /metrics HTTP/1.1\r\nHost: x\r\n\r\n")
    assert any(record.exc_info for record in caplog.records)
