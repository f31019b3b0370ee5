"""Several clusters, several endpoints, changing tokens: over real HTTPS, with the real threads of the gateway."""

from __future__ import annotations

import asyncio
import contextlib
import socket
from collections.abc import Iterator
from functools import partial

import pytest

from pve_evpn.domain.objects import ObjectKey
from pve_evpn.engine.context import ClusterContext
from pve_evpn.engine.reconciler import Reconciler
from pve_evpn.engine.supervisor import Supervisor
from pve_evpn.pve.gateway import Gateway
from pve_lab.faults import GatewayError
from pve_lab.server import LabServer
from tests.engine.world import CLUSTER, INSTANT, NET1, SEED, Unseeing, World, cluster, vnet

TOKEN = "root@pam!tok"


@pytest.fixture
def world() -> Iterator[World]:
    made = World()
    made.lab.tokens[TOKEN] = "secret"
    made.gateway = Gateway
    yield made
    if made.operator:
        made.operator.close()


@contextlib.contextmanager
def served(world: World, *more: str) -> Iterator[LabServer]:
    """The lab behind HTTPS; ``more`` are further endpoints, asked before it."""
    with LabServer(world.lab) as server:
        world.apply(cluster(endpoints=[*more, server.url], tls={"caBundle": server.ca_pem}), *SEED[1:])
        yield server


def black_hole() -> socket.socket:
    """Takes connections and never says a word."""
    hole = socket.socket()
    hole.bind(("127.0.0.1", 0))
    hole.listen(16)
    return hole


def url(listening: socket.socket) -> str:
    return f"https://127.0.0.1:{listening.getsockname()[1]}"


async def test_a_dead_proxmox_does_not_delay_another(world: World) -> None:
    hole = black_hole()
    with LabServer(world.lab) as server:
        dead = cluster(endpoints=[url(hole)], credentialsSecretRef={"name": "dead"})
        world.kube.bind("dead", "dead")
        dead["metadata"]["name"] = "dead"
        world.apply(dead, cluster(endpoints=[server.url], tls={"caBundle": server.ca_pem}), *SEED[1:])
        cache = world.kube.fresh_cache()
        gateways = partial(Gateway, timeout=60.0)
        made: dict[str, Reconciler] = {}

        def make(name: str) -> Reconciler:
            made[name] = Reconciler(ClusterContext(name, cache, world.kube.ports, pace=INSTANT), Unseeing(), gateways)
            return made[name]

        supervisor = Supervisor(cache, world.kube.ports, make)
        running = asyncio.create_task(supervisor.run())
        while world.ready(NET1).get("status") != "True":
            assert not running.done()
            await asyncio.sleep(0.02)
        assert made["dead"].busy, "it is still waiting for its first answer"
        assert not world.kube.status(ObjectKey("ProxmoxCluster", "", "dead")).get("version")
        hole.close()
        running.cancel()
        for reconciler in made.values():
            reconciler.close()


async def test_a_dead_endpoint_is_passed_over(world: World) -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        dead = url(free)
        with served(world, dead) as server:
            await world.settle()
            assert world.complaints() == []
            assert world.kube.status(CLUSTER)["activeEndpoint"] == server.url


class Door:
    """An endpoint that can be shut with everything that is open through it."""

    def __init__(self, to: str) -> None:
        self._port = int(to.rsplit(":", 1)[1])
        self._open: list[asyncio.StreamWriter] = []

    async def __aenter__(self) -> Door:
        self._server = await asyncio.start_server(self._through, "127.0.0.1", 0)
        self.url = f"https://127.0.0.1:{self._server.sockets[0].getsockname()[1]}"
        return self

    async def __aexit__(self, *_: object) -> None:
        self.shut()

    def shut(self) -> None:
        self._server.close()
        for writer in self._open:
            writer.close()

    async def _through(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        back, forth = await asyncio.open_connection("127.0.0.1", self._port)
        self._open += [writer, forth]
        with contextlib.suppress(OSError):
            await asyncio.gather(_pump(reader, forth), _pump(back, writer))


async def _pump(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    while data := await reader.read(65536):
        writer.write(data)
        await writer.drain()
    writer.close()


async def test_an_endpoint_that_dies_is_replaced_without_a_restart(world: World) -> None:
    with LabServer(world.lab) as server:
        async with Door(server.url) as first, Door(server.url) as second:
            world.apply(cluster(endpoints=[first.url, second.url], tls={"caBundle": server.ca_pem}), *SEED[1:])
            await world.settle()
            assert world.kube.status(CLUSTER)["activeEndpoint"] == first.url
            first.shut()
            world.apply(vnet("net2", 5002))
            await world.settle()
            assert world.complaints() == []
            assert world.kube.status(CLUSTER)["activeEndpoint"] == second.url
            assert world.lab.applies == 2


async def test_an_endpoint_that_reads_well_and_writes_badly_is_left(world: World) -> None:
    """Its pvedaemon is gone: reads are answered by pveproxy, every write ends with 595."""
    with LabServer(world.lab) as server:
        async with Door(server.url) as first, Door(server.url) as second:
            world.apply(cluster(endpoints=[first.url, second.url], tls={"caBundle": server.ca_pem}), *SEED[1:])
            world.lab.faults.add(GatewayError(method="POST", path="/cluster/sdn/lock", status=595, times=1))
            await world.settle()
            assert world.complaints() == []
            assert world.kube.status(CLUSTER)["activeEndpoint"] == second.url


async def test_a_new_token_is_taken_without_a_restart(world: World) -> None:
    with served(world):
        await world.settle()
        assert world.complaints() == []
        world.lab.tokens[TOKEN] = "fresh"
        await world.one_pass()
        assert world.ready(CLUSTER)["reason"] == "AuthenticationFailed"
        world.kube.secrets["c"]["token"] = "fresh"
        await world.settle()
        assert world.complaints() == []
        assert "fresh" not in str(world.kube.objects)


async def test_with_two_tokens_in_the_secret_a_rotation_has_no_gap(world: World) -> None:
    with served(world):
        await world.settle()
        assert world.kube.status(CLUSTER)["activeCredential"] == "token"
        world.kube.secrets["c"]["tokenNext"] = "fresh"
        await world.settle()
        world.lab.tokens[TOKEN] = "fresh"
        world.apply(vnet("net2", 5002))
        await world.settle()
        assert world.complaints() == []
        assert world.lab.sdn.running["vnets"]["net2"]
        assert world.kube.status(CLUSTER)["activeCredential"] == "tokenNext"
