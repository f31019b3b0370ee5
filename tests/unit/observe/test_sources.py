"""From a specification and Secrets to sources: what is made, when anew, and what is said where it cannot be."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import asyncssh
import pytest

from pve_evpn.api.kinds import LABEL_CLUSTER
from pve_evpn.api.observe import Observe
from pve_evpn.domain.observation import ObservationFailure
from pve_evpn.engine.ports import Secret
from pve_evpn.engine.secrets import ClusterSecrets
from pve_evpn.engine.sources import Sources
from pve_evpn.observe.fallback import Chain
from pve_evpn.observe.source import NodeTarget

NODES = [NodeTarget("pve1", "127.0.0.1")]


class Secrets:
    """The operator's namespace."""

    def __init__(self) -> None:
        key = asyncssh.generate_private_key("ssh-ed25519").export_private_key().decode()
        self.data: dict[str, dict[str, str]] = {"ssh": {"ssh-privatekey": key, "known_hosts": HOSTS}}
        self.reads = 0
        self.down = False
        self.bound_to = "pve"

    namespace = "pve-evpn-system"

    async def read(self, name: str) -> Secret | None:
        self.reads += 1
        if self.down:
            raise ConnectionError("the API server does not answer")
        data = self.data.get(name)
        return None if data is None else Secret(data, {LABEL_CLUSTER: self.bound_to})


HOSTS = "pve1 " + asyncssh.generate_private_key("ssh-ed25519").export_public_key().decode()
SSH = {"keySecretRef": {"name": "ssh"}, "knownHostsSecretRef": {"name": "ssh"}, "port": 1}


def spec(**changes: Any) -> Observe:
    return Observe.model_validate({"sources": ["ssh"], "ssh": SSH, "allowedNetworks": ["127.0.0.0/8"], **changes})


class Bench:
    def __init__(self) -> None:
        self.secrets = Secrets()
        self.sources = Sources(ClusterSecrets("pve", self.secrets), lambda: None)

    async def chain(self, observe: Observe) -> Chain:
        return await self.sources.chain(observe, 15, timedelta(0))

    async def complaint(self, observe: Observe) -> str:
        look = (await (await self.chain(observe)).poll(NODES)).nodes["pve1"]
        assert isinstance(look, ObservationFailure)
        return f"{look.reason}: {look.message}"


@pytest.fixture
def bench() -> Bench:
    return Bench()


async def test_the_chain_stays_while_nothing_changes(bench: Bench) -> None:
    first = await bench.chain(spec())
    assert await bench.chain(spec()) is first
    await bench.sources.close()


@pytest.mark.parametrize(
    "change", [{"sources": ["ssh", "api"]}, {"ssh": {**SSH, "port": 2}}, {"ssh": {**SSH, "user": "evpn"}}]
)
async def test_another_specification_gives_another_chain_and_ends_the_old_one(
    bench: Bench, change: dict[str, Any]
) -> None:
    first = await bench.chain(spec())
    source = bench.sources.ssh
    assert source is not None
    closed: list[bool] = []
    original = source.close

    async def close() -> None:
        closed.append(True)
        await original()

    source.close = close  # type: ignore[method-assign]
    assert await bench.chain(spec(**change)) is not first
    assert closed == [True]
    await bench.sources.close()


async def test_a_new_key_in_the_secret_gives_another_chain(bench: Bench) -> None:
    first = await bench.chain(spec())
    other = asyncssh.generate_private_key("ssh-ed25519").export_private_key().decode()
    bench.secrets.data["ssh"]["ssh-privatekey"] = other
    second = await bench.chain(spec())
    assert second is not first
    bench.secrets.data["ssh"]["known_hosts"] = HOSTS.replace("pve1", "pve2")
    assert await bench.chain(spec()) is not second
    await bench.sources.close()


async def test_while_the_secret_cannot_be_read_the_chain_stays(bench: Bench) -> None:
    first = await bench.chain(spec())
    bench.secrets.down = True
    assert await bench.chain(spec()) is first
    await bench.sources.close()
    with pytest.raises(ConnectionError):
        await bench.chain(spec())


async def test_sources_without_secrets_read_none(bench: Bench) -> None:
    await bench.chain(Observe())
    await bench.chain(Observe.model_validate({"sources": ["frrExporter", "api"]}))
    assert bench.secrets.reads == 0
    await bench.sources.close()


@pytest.mark.parametrize(
    ("break_", "complaint"),
    [
        (lambda data: data.clear(), "NotConfigured: ssh.keySecretRef: the operator's namespace has no Secret 'ssh'"),
        (lambda data: data["ssh"].pop("ssh-privatekey"), "NotConfigured: ssh.keySecretRef: there is no key 'ssh-"),
        (lambda data: data["ssh"].pop("known_hosts"), "NotConfigured: ssh.knownHostsSecretRef: there is no key"),
        (lambda data: data["ssh"].update({"ssh-privatekey": "no key"}), "NotConfigured: the SSH private key cannot"),
        (lambda data: data["ssh"].update({"known_hosts": ""}), "HostKeyMismatch: no host key is pinned for pve1"),
    ],
)  # fmt: skip
async def test_what_is_missing_is_said_for_every_node(bench: Bench, break_: Any, complaint: str) -> None:
    break_(bench.secrets.data)
    assert (await bench.complaint(spec())).startswith(complaint)
    await bench.sources.close()


async def test_a_source_that_cannot_be_set_up_leaves_its_turn_to_the_next(bench: Bench) -> None:
    bench.secrets.data.clear()
    chain = await bench.chain(spec(sources=["ssh", "frrExporter"], frrExporter={"port": 1}))
    look = (await chain.poll(NODES)).nodes["pve1"]
    assert isinstance(look, ObservationFailure)
    assert look.source == "ssh"  # both failed, and the preferred one is what the user wants to hear about
    await bench.sources.close()


async def test_host_keys_in_the_specification(bench: Bench) -> None:
    ssh = {"keySecretRef": {"name": "ssh"}, "knownHosts": [HOSTS.strip()], "port": 1}
    assert (await bench.complaint(spec(ssh=ssh))).startswith("Unreachable: no SSH connection to 127.0.0.1 port 1")
    await bench.sources.close()


async def test_addresses_of_the_specification_count_more_than_the_clusters(bench: Bench) -> None:
    ssh = {**SSH, "addresses": {"pve1": "127.0.0.9"}}
    assert "127.0.0.9" in await bench.complaint(spec(ssh=ssh))
    await bench.sources.close()
