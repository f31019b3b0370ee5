"""What every source of observations is: asked for some nodes, it answers for each of them.

The protocol only. Which source is asked when is decided in `chain`, what the answers mean in `domain.verdicts`.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Protocol

from pve_evpn.domain.evpn import NodeLook, ObservationFailure, SourceName

#: Nodes read at the same time by one source. A poll of a large cluster must not open hundreds of connections at once.
PARALLEL = 32


@dataclass(frozen=True, slots=True)
class NodeTarget:
    """A node to look at, and the address it is reached by."""

    name: str
    address: str


class Source(Protocol):
    """One way of looking at nodes."""

    @property
    def name(self) -> SourceName: ...

    async def observe(self, nodes: Sequence[NodeTarget]) -> Mapping[str, NodeLook]:
        """A look at each of `nodes`, by name: an observation, or why there is none. Never raises for a node's sake.

        Each node is read once. A dead node costs its own timeout and holds up no other.
        """

    async def close(self) -> None:
        """Give up connections; the source is not used afterwards."""


class NodeUnreadable(Exception):
    """A node could not be read: `reason` as in `ObservationFailure.reason`, the text for people, without secrets."""

    def __init__(self, reason: str, message: str) -> None:
        super().__init__(message)
        self.reason = reason


def now() -> datetime:
    """The time, to the second: finer is noise in a status."""
    return datetime.now(UTC).replace(microsecond=0)


async def look_at_each(
    nodes: Sequence[NodeTarget], source: SourceName, look: Callable[[NodeTarget], Awaitable[NodeLook]]
) -> dict[str, NodeLook]:
    """Runs `look` for all nodes side by side and turns `NodeUnreadable` into failures."""
    gate = asyncio.Semaphore(PARALLEL)

    async def one(node: NodeTarget) -> NodeLook:
        async with gate:
            try:
                return await look(node)
            except NodeUnreadable as error:
                return ObservationFailure(node.name, now(), error.reason, str(error), source)

    looks = await asyncio.gather(*(one(node) for node in nodes))
    return {look.node: look for look in looks}
