"""The protocol of a source: asked for a node, it answers with what it sees there, or says why it cannot.

Which source is asked when is decided in `fallback`, what the answers mean in `domain.health`.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Protocol

from pve_evpn.domain.observation import NodeObservation, SourceName


@dataclass(frozen=True, slots=True)
class NodeTarget:
    """A node to read, and the address the Proxmox cluster knows it by (empty if it is not known).

    ``networks``: IPv4 networks of which it should be read, where a source can, to which peers the node advertises them.
    """

    name: str
    address: str
    networks: tuple[str, ...] = ()


class Source(Protocol):
    """One way of reading nodes."""

    @property
    def name(self) -> SourceName: ...

    async def read(self, node: NodeTarget) -> NodeObservation:
        """Read one node once. Raises `NodeUnreadable` within the source's own timeouts."""

    async def close(self) -> None:
        """Close connections; the source is not used afterwards."""


class NodeUnreadable(Exception):
    """A node could not be read: `reason` as in `ObservationFailure.reason`, the text for people, without secrets."""

    def __init__(self, reason: str, message: str) -> None:
        super().__init__(message)
        self.reason = reason


def now() -> datetime:
    """The time, to the second: finer is noise in a status."""
    return datetime.now(UTC).replace(microsecond=0)
