"""Reading FRR over SSH: one command per node and poll (two on exit nodes), on a connection that stays.

The key can do nothing on the node but run `pve-evpn-observe` (its forced command), which prints everything in one
answer. Host keys are pinned: a node whose key is not known is not talked to. Nothing from the user's own SSH
configuration, agent or key files is used. Neither the key nor the library's own words reach an error message.
"""

from __future__ import annotations

import asyncio
import contextlib
import ipaddress
from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any

import asyncssh

from pve_evpn.domain.observation import NodeObservation, SourceName
from pve_evpn.observe.frr import FrrParseError, advertised, observation, reads_advertised
from pve_evpn.observe.reach import anywhere
from pve_evpn.observe.source import NodeTarget, NodeUnreadable, now

#: The helper's word for "everything".
COMMAND = "read"
#: Its word for the peers that networks are advertised to, and how many it takes.
ADVERTISED, MOST_NETWORKS = "advertised", 256
#: 10,000 MAC/IP routes are about 5 MB; a node that sends much more is not answering the question.
MAX_ANSWER = 16 * 1024 * 1024
_MAX_COMPLAINT = 2048
_CHUNK = 256 * 1024
_REFUSED = 126


class SshConfigError(ValueError):
    """The key or the host keys cannot be used. The text says which, and nothing of what is in them."""


class SshSource:
    """Reads FRR on nodes over SSH.

    `private_key`: text of an unencrypted private key. `known_hosts`: text in the format of that file; host patterns
    are node names or addresses. `addresses`: where a node is not reached by the address the cluster knows. `reach`
    gives that address, or refuses it. Timeouts are in seconds. Raises `SshConfigError`.
    """

    def __init__(
        self,
        private_key: str,
        known_hosts: str,
        *,
        user: str = "root",
        port: int = 22,
        addresses: Mapping[str, str] | None = None,
        reach: Callable[[NodeTarget], str] = anywhere,
        connect_timeout: float = 5,
        read_timeout: float = 10,
    ) -> None:
        try:
            self._key = asyncssh.import_private_key(private_key)
        except (asyncssh.KeyImportError, asyncssh.KeyEncryptionError, ValueError):
            raise SshConfigError(
                "the SSH private key cannot be read: is it a complete key without passphrase?"
            ) from None
        try:
            self._known_hosts = asyncssh.import_known_hosts(known_hosts)
        except ValueError:
            raise SshConfigError("the known_hosts text cannot be read") from None
        self._user = user
        self._port = port
        self._addresses = dict(addresses or {})
        self._reach = reach
        self._parsing = asyncio.Lock()
        self._connect_timeout = connect_timeout
        self._read_timeout = read_timeout
        self._connections: dict[str, asyncssh.SSHClientConnection] = {}
        self._connecting: defaultdict[str, asyncio.Lock] = defaultdict(asyncio.Lock)

    @property
    def name(self) -> SourceName:
        return "ssh"

    async def close(self) -> None:
        connections, self._connections = list(self._connections.values()), {}
        for connection in connections:
            connection.abort()
        await asyncio.gather(*(connection.wait_closed() for connection in connections), return_exceptions=True)

    async def read(self, node: NodeTarget) -> NodeObservation:
        located = self._located(node)
        answer = await self._answer(located)
        try:
            # In a thread, because a node with thousands of routes takes long enough to hold up everybody else; one
            # after the other, because a hostile answer takes some hundred MiB.
            async with self._parsing:
                seen = await asyncio.to_thread(observation, node.name, now(), answer)
        except FrrParseError as error:
            raise NodeUnreadable("Unreadable", str(error)) from None
        if seen.bgp_running is None and seen.vnis is None:
            raise NodeUnreadable("Unreadable", "; ".join(seen.problems) or "the answer holds nothing of EVPN")
        if node.networks and seen.unicast_peers and reads_advertised(answer):
            return await self._with_advertised(located, seen, node.networks[:MOST_NETWORKS])
        return seen

    async def _with_advertised(
        self, node: NodeTarget, seen: NodeObservation, networks: tuple[str, ...]
    ) -> NodeObservation:
        """With the peers that networks are advertised to; without them where they cannot be read."""
        try:
            answer = await self._answer(node, " ".join([ADVERTISED, *networks]))
            return replace(seen, advertised=await asyncio.to_thread(advertised, answer))
        except (NodeUnreadable, FrrParseError) as error:
            return replace(seen, problems=(*seen.problems, f"{ADVERTISED}: {error}"))

    async def ask(self, node: NodeTarget, command: str, request: str) -> str:
        """The answer to another of the helper's commands, with ``request`` on its standard input."""
        return await self._answer(self._located(node), command, request)

    def _located(self, node: NodeTarget) -> NodeTarget:
        """The node with the address it is asked at. Raises `NodeUnreadable`."""
        return replace(node, address=self._addresses.get(node.name) or self._reach(node))

    async def _answer(self, node: NodeTarget, command: str = COMMAND, request: str = "") -> str:
        """The helper's answer. A connection that died since the last poll is replaced once, silently."""
        kept = self._connections.get(node.name)
        if kept is not None and not kept.is_closed():
            try:
                return await self._run(kept, node, command, request)
            except (OSError, asyncssh.Error):
                await self._drop(node.name)
        connection = await self._connected(node)
        try:
            return await self._run(connection, node, command, request)
        except (OSError, asyncssh.Error):
            await self._drop(node.name)
            raise NodeUnreadable("Unreachable", f"the SSH connection to {node.address} broke") from None

    async def _connected(self, node: NodeTarget) -> asyncssh.SSHClientConnection:
        """The node's one connection: reading and pinning at the same time share it."""
        async with self._connecting[node.name]:
            kept = self._connections.get(node.name)
            if kept is None or kept.is_closed():
                kept = self._connections[node.name] = await self._connect(node)
            return kept

    async def _connect(self, node: NodeTarget) -> asyncssh.SSHClientConnection:
        try:
            async with asyncio.timeout(self._connect_timeout):
                return await asyncssh.connect(
                    node.address,
                    self._port,
                    username=self._user,
                    client_keys=[self._key],
                    known_hosts=self._pinned(node),
                    preferred_auth="publickey",
                    agent_path=None,
                    config=None,
                    gss_host=None,
                    compression_algs=["none"],  # a packet could unpack to a thousand times its size
                    keepalive_interval=15,
                )
        except TimeoutError:
            raise NodeUnreadable("Timeout", f"no SSH connection to {node.address} in time") from None
        except asyncssh.HostKeyNotVerifiable:
            raise NodeUnreadable("HostKeyMismatch", f"{node.address} does not have the pinned host key") from None
        except asyncssh.PermissionDenied:
            message = f"{node.address} does not accept the SSH key for user {self._user}"
            raise NodeUnreadable("AuthenticationFailed", message) from None
        except (OSError, asyncssh.Error):
            raise NodeUnreadable("Unreachable", f"no SSH connection to {node.address} port {self._port}") from None

    def _pinned(self, node: NodeTarget) -> tuple[Sequence[Any], ...]:
        """Host keys pinned for the node's name or for where it is reached, with or without the port."""
        places = [(node.name, node.address)] if _is_ip(node.address) else [(node.name, ""), (node.address, "")]
        found = [self._known_hosts.match(*place, port) for place in places for port in (None, self._port)]
        pinned = tuple([key for keys in kind for key in keys] for kind in zip(*found, strict=True))
        if not any(pinned):
            raise NodeUnreadable("HostKeyMismatch", f"no host key is pinned for {node.name} ({node.address})")
        return pinned

    async def _run(self, connection: asyncssh.SSHClientConnection, node: NodeTarget, command: str, request: str) -> str:
        try:
            async with asyncio.timeout(self._read_timeout):
                return await self._read(connection, node, command, request)
        except TimeoutError:
            await self._drop(node.name)
            raise NodeUnreadable("Timeout", f"{node.address} did not answer in time") from None

    async def _read(
        self, connection: asyncssh.SSHClientConnection, node: NodeTarget, command: str, request: str
    ) -> str:
        parts: list[bytes] = []
        size = 0
        async with connection.create_process(command, encoding=None) as process:
            if request:
                # A helper that refuses has ended by now; its exit status says so below.
                with contextlib.suppress(BrokenPipeError):
                    process.stdin.write(request.encode())
                    process.stdin.write_eof()
            while chunk := await process.stdout.read(_CHUNK):
                size += len(chunk)
                if size > MAX_ANSWER:
                    raise NodeUnreadable(
                        "Unreadable", f"the answer of {node.address} is larger than {MAX_ANSWER} bytes"
                    )
                parts.append(chunk)
            await process.stderr.read(_MAX_COMPLAINT)
            await process.wait_closed()
            status = process.exit_status
        if status == _REFUSED:
            raise NodeUnreadable("Refused", f"the helper on {node.address} refused {command!r}; is it of this release?")
        if status:
            raise NodeUnreadable("Unreadable", f"the helper on {node.address} ended with status {status}")
        return b"".join(parts).decode("utf-8", errors="replace")

    async def _drop(self, name: str) -> None:
        if (connection := self._connections.pop(name, None)) is not None:
            connection.abort()


def _is_ip(address: str) -> bool:
    try:
        ipaddress.ip_address(address)
    except ValueError:
        return False
    return True
