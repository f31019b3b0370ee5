"""Source ssh against a real SSH server in this process: one command per look, one connection, pinned host keys."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator
from typing import Any

import asyncssh
import pytest

from pve_evpn.observe.source import NodeTarget, NodeUnreadable
from pve_evpn.observe.ssh import SshConfigError, SshSource
from tests.unit.observe.recorded import SPEAKS, VERSIONS, answer, seen

ADDRESS = "127.0.0.1"


class FakeNode:
    """An sshd whose one key has a forced command that says what it was told to."""

    def __init__(self) -> None:
        self.host_key = asyncssh.generate_private_key("ssh-ed25519")
        self.client_key = asyncssh.generate_private_key("ssh-ed25519")
        self.text = answer("10.3", SPEAKS, "pve4")
        self.others: dict[str, str] = {}
        """Answers to commands other than `read`."""
        self.status = 0
        self.hang = asyncio.Event()
        self.hang.set()
        self.commands: list[str | None] = []
        self.connections = 0
        self.port = 0
        self._server: asyncssh.SSHAcceptor | None = None
        self._open: list[asyncssh.SSHServerConnection] = []

    async def start(self) -> None:
        node = self

        class Server(asyncssh.SSHServer):
            def connection_made(self, connection: asyncssh.SSHServerConnection) -> None:
                node.connections += 1
                node._open.append(connection)

        self._server = await asyncssh.listen(
            ADDRESS,
            0,
            server_factory=Server,
            server_host_keys=[self.host_key],
            authorized_client_keys=asyncssh.import_authorized_keys(self.client_key.export_public_key().decode()),
            process_factory=self._process,
        )
        self.port = self._server.get_port()

    async def _process(self, process: asyncssh.SSHServerProcess[Any]) -> None:
        self.commands.append(process.command)
        await self.hang.wait()
        process.stdout.write(self.others.get(process.command or "", self.text))
        process.exit(self.status)

    @property
    def known_hosts(self) -> str:
        return f"pve4 {self.host_key.export_public_key().decode()}"

    def key(self) -> str:
        return self.client_key.export_private_key().decode()

    def cut(self) -> None:
        """Lose every connection."""
        for connection in self._open:
            connection.abort()
        self._open.clear()

    def close(self) -> None:
        """Listen no longer."""
        assert self._server is not None
        self.hang.set()
        self.cut()
        self._server.close()


@pytest.fixture
async def node() -> AsyncIterator[FakeNode]:
    node = FakeNode()
    await node.start()
    yield node
    node.close()


@pytest.fixture
async def source(node: FakeNode) -> AsyncIterator[SshSource]:
    source = make(node)
    yield source
    await source.close()


def make(node: FakeNode, **changes: Any) -> SshSource:
    settings: dict[str, Any] = {"private_key": node.key(), "known_hosts": node.known_hosts, "port": node.port}
    return SshSource(**{**settings, **changes})


TARGET = NodeTarget("pve4", ADDRESS)


@pytest.mark.parametrize("version", VERSIONS)
async def test_the_recorded_answer_arrives_as_it_was(node: FakeNode, source: SshSource, version: str) -> None:
    node.text = answer(version, SPEAKS, "pve4")
    look, wanted = await source.read(TARGET), seen(version, SPEAKS, "pve4")
    assert (look.node, look.source, look.frr_version) == ("pve4", "ssh", version)
    assert (look.peers, look.vnis, look.macs, look.routes) == (wanted.peers, wanted.vnis, wanted.macs, wanted.routes)


async def test_a_look_costs_one_command_and_the_connection_stays(node: FakeNode, source: SshSource) -> None:
    for _ in range(20):
        await source.read(TARGET)
    assert node.commands == ["read"] * 20
    assert node.connections == 1


ADVERTISED = """pve-evpn-observe 1
pve4# show bgp ipv4 unicast 10.50.1.0/24 json
{"advertisedTo":{"192.0.2.1":{}}}
pve-evpn-observe end
"""
OUTSIDE = """pve-evpn-observe 1
pve-evpn-observe also advertised
pve4# show bgp l2vpn evpn summary json
{"routerId":"192.168.16.4","as":65001,"peers":{}}
pve4# show bgp summary json
{"ipv4Unicast":{"peers":{"192.0.2.1":{"state":"Established"}}}}
pve-evpn-observe end
"""
NETWORKS = NodeTarget("pve4", ADDRESS, ("10.50.1.0/24", "10.50.2.0/24"))


async def test_an_exit_node_is_asked_what_it_advertises_by_one_more_command(node: FakeNode, source: SshSource) -> None:
    node.text, node.others = OUTSIDE, {"advertised 10.50.1.0/24 10.50.2.0/24": ADVERTISED}
    assert (await source.read(NETWORKS)).advertised == {"10.50.1.0/24": ("192.0.2.1",)}
    assert node.commands == ["read", "advertised 10.50.1.0/24 10.50.2.0/24"]
    assert node.connections == 1


@pytest.mark.parametrize(
    ("text", "target"),
    [
        (OUTSIDE.replace("pve-evpn-observe also advertised\n", ""), NETWORKS),
        (OUTSIDE.replace('"192.0.2.1":{"state":"Established"}', ""), NETWORKS),
        (OUTSIDE, TARGET),
    ],
    ids=["an older helper", "no router outside", "no exit node"],
)
async def test_others_are_not_asked_what_they_advertise(
    node: FakeNode, source: SshSource, text: str, target: NodeTarget
) -> None:
    node.text = text
    assert (await source.read(target)).advertised is None
    assert node.commands == ["read"]


async def test_what_is_advertised_stays_unknown_where_it_cannot_be_read(node: FakeNode, source: SshSource) -> None:
    node.text = OUTSIDE
    node.others = {"advertised 10.50.1.0/24 10.50.2.0/24": "pve-evpn-observe 1\npve-evpn-observe error no\n"}
    look = await source.read(NETWORKS)
    assert (look.advertised, look.bgp_running) == (None, True)
    assert look.problems[-1] == "advertised: the answer was cut off"


async def test_a_connection_that_broke_is_replaced_silently(node: FakeNode, source: SshSource) -> None:
    await source.read(TARGET)
    node.cut()
    await source.read(TARGET)
    assert node.connections == 2


async def test_another_host_key_is_not_talked_to(node: FakeNode) -> None:
    other = asyncssh.generate_private_key("ssh-ed25519").export_public_key().decode()
    source = make(node, known_hosts=f"pve4 {other}")
    assert await refusal(source) == "HostKeyMismatch"
    assert node.commands == []


@pytest.mark.parametrize("pattern", ["pve4", ADDRESS, "[127.0.0.1]:{port}"])
async def test_host_keys_are_pinned_by_name_or_address(node: FakeNode, pattern: str) -> None:
    key = node.host_key.export_public_key().decode()
    source = make(node, known_hosts=f"{pattern.format(port=node.port)} {key}")
    assert (await source.read(TARGET)).bgp_running
    await source.close()


@pytest.mark.parametrize("pattern", ["pve4", "localhost", "[localhost]:{port}", "local*"])
async def test_a_node_reached_by_a_host_name_is_pinned_by_that_or_its_own(node: FakeNode, pattern: str) -> None:
    key = node.host_key.export_public_key().decode()
    source = make(node, known_hosts=f"{pattern.format(port=node.port)} {key}", addresses={"pve4": "localhost"})
    assert (await source.read(TARGET)).bgp_running
    await source.close()


async def test_a_host_name_nobody_pinned_is_not_even_called(node: FakeNode) -> None:
    key = node.host_key.export_public_key().decode()
    source = make(node, known_hosts=f"127.0.0.1 {key}", addresses={"pve4": "localhost"})
    assert await refusal(source) == "HostKeyMismatch"
    assert node.connections == 0


async def test_a_node_without_a_pinned_key_is_not_even_called(node: FakeNode) -> None:
    key = node.host_key.export_public_key().decode()
    assert await refusal(make(node, known_hosts=f"pve9 {key}")) == "HostKeyMismatch"
    assert node.connections == 0


async def test_a_key_the_node_does_not_know(node: FakeNode) -> None:
    other = asyncssh.generate_private_key("ssh-ed25519").export_private_key().decode()
    assert await refusal(make(node, private_key=other)) == "AuthenticationFailed"


async def test_nobody_listens(node: FakeNode) -> None:
    source = make(node)
    node.close()
    assert await refusal(source) == "Unreachable"


async def test_a_node_that_hangs_costs_its_timeout_and_the_next_look_has_a_new_connection(node: FakeNode) -> None:
    source = make(node, read_timeout=0.2)
    node.hang.clear()
    assert await refusal(source) == "Timeout"
    node.hang.set()
    assert (await source.read(TARGET)).bgp_running
    assert node.connections == 2
    await source.close()


@pytest.mark.parametrize(
    ("status", "text", "reason"),
    [
        (126, "", "Refused"),
        (1, "", "Unreadable"),
        (0, "Welcome to pve4!\n", "Unreadable"),
        (0, "pve-evpn-observe 1\npve-evpn-observe error FRR is not installed\npve-evpn-observe end\n", "Unreadable"),
    ],
)
async def test_an_answer_that_is_none(node: FakeNode, source: SshSource, status: int, text: str, reason: str) -> None:
    node.status, node.text = status, text
    assert await refusal(source) == reason


@pytest.mark.redteam
async def test_an_endless_answer_is_cut(node: FakeNode, source: SshSource, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("pve_evpn.observe.ssh.MAX_ANSWER", 1000)
    assert await refusal(source) == "Unreadable"


@pytest.mark.parametrize("key", ["", "not a key", "-----BEGIN OPENSSH PRIVATE KEY-----\nAAAA\n-----END"])
async def test_a_bad_key_is_named_and_not_quoted(node: FakeNode, key: str) -> None:
    with pytest.raises(SshConfigError) as problem:
        make(node, private_key=key)
    assert "private key" in str(problem.value)
    assert "AAAA" not in str(problem.value)


async def test_an_encrypted_key_is_named(node: FakeNode) -> None:
    key = node.client_key.export_private_key("pkcs8-pem", passphrase="x").decode()
    with pytest.raises(SshConfigError, match="passphrase"):
        make(node, private_key=key)


async def test_the_key_reaches_neither_logs_nor_errors(node: FakeNode, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    source = make(node)
    await source.read(TARGET)
    await source.close()
    secret = node.key().splitlines()[1]
    assert secret not in caplog.text
    assert secret not in repr(source) + repr(vars(source))


async def refusal(source: SshSource) -> str:
    with pytest.raises(NodeUnreadable) as problem:
        await source.read(TARGET)
    await source.close()
    return problem.value.reason


async def test_another_command_is_asked_over_the_same_connection(node: FakeNode, source: SshSource) -> None:
    await source.read(TARGET)
    node.text = "an answer\n"
    assert await source.ask(TARGET, "pins", "look net1 100 0 bc:24:11:00:00:01\n") == "an answer\n"
    assert node.commands == ["read", "pins"]
    assert node.connections == 1


async def test_two_that_ask_at_once_share_one_connection(node: FakeNode, source: SshSource) -> None:
    await asyncio.gather(source.read(TARGET), source.ask(TARGET, "pins", "x\n"))
    assert node.connections == 1


async def test_a_helper_that_does_not_pin_refuses(node: FakeNode, source: SshSource) -> None:
    node.status = 126
    with pytest.raises(NodeUnreadable, match="refused 'pins'"):
        await source.ask(TARGET, "pins", "look net1 100 0 bc:24:11:00:00:01\n" * 1000)
