"""One poll of one cluster: every node side by side, each through the best source that has something to say.

The sources are asked in the order of the specification, per node. What a source saw last is trusted for the grace
time when it fails; only then has the next source the word, and where none is left the node is *failed*, which is
unknown and not down. A poll never takes longer than its patience: a node that has not answered by then stays with
what was known of it, and its answer counts in the next poll.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Sequence
from datetime import datetime, timedelta

from pve_evpn.domain.evpn import ClusterObservation, NodeLook, NodeObservation, ObservationFailure, SourceName
from pve_evpn.observe.source import NodeTarget, NodeUnreadable, Source, now

log = logging.getLogger(__name__)

#: Nodes read at the same time. A poll of a large cluster must not open hundreds of connections at once.
PARALLEL = 32


class Chain:
    """The sources of one cluster. `grace`: how long a failing source's last look is trusted. `patience`: seconds."""

    def __init__(
        self, sources: Sequence[Source], grace: timedelta, patience: float, clock: Callable[[], datetime] = now
    ) -> None:
        self._sources = tuple(sources)
        self._grace = grace
        self._patience = patience
        self._clock = clock
        self._gate = asyncio.Semaphore(PARALLEL)
        self._tasks: dict[str, asyncio.Task[NodeLook]] = {}
        self._seen: dict[tuple[str, SourceName], NodeObservation] = {}
        self._failing: dict[str, tuple[datetime, str]] = {}

    async def observe(self, nodes: Sequence[NodeTarget]) -> ClusterObservation:
        """Look at all of `nodes`."""
        self._forget_all_but({node.name for node in nodes})
        for node in nodes:
            if node.name not in self._tasks:
                self._tasks[node.name] = asyncio.create_task(self._look(node), name=f"look-{node.name}")
        if self._tasks:
            await asyncio.wait(self._tasks.values(), timeout=self._patience)
        at = self._clock()
        return ClusterObservation(at, {node.name: self._outcome(node, at) for node in nodes})

    async def close(self) -> None:
        """End the looks that are under way, and the sources."""
        tasks, self._tasks = list(self._tasks.values()), {}
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        await asyncio.gather(*(source.close() for source in self._sources), return_exceptions=True)

    def _outcome(self, node: NodeTarget, at: datetime) -> NodeLook:
        if self._tasks[node.name].done():
            look = self._tasks.pop(node.name).result()
        else:
            seconds = f"{self._patience:g} s"
            failure = ObservationFailure(node.name, at, "Timeout", f"no answer within {seconds}")
            look = next((kept for source in self._sources if (kept := self._kept(node, source, at))), failure)
        return self._judged(look, at)

    def _judged(self, look: NodeLook, at: datetime) -> NodeLook:
        """A failure is settled once it has lasted for the grace time."""
        if isinstance(look, NodeObservation):
            if self._failing.pop(look.node, None):
                log.info("%s can be observed again (%s)", look.node, look.source)
            return look
        since, reason = self._failing.get(look.node, (look.at, ""))
        if reason != look.reason:
            log.warning("%s cannot be observed: %s", look.node, look.message)
        self._failing[look.node] = (since, look.reason)
        settled = at - since >= self._grace
        return ObservationFailure(look.node, at, look.reason, look.message, look.source, settled)

    async def _look(self, node: NodeTarget) -> NodeLook:
        """The first source that sees the node or saw it a moment ago; else why the preferred one does not."""
        first: ObservationFailure | None = None
        async with self._gate:
            for source in self._sources:
                try:
                    look = await source.look(node)
                except NodeUnreadable as problem:
                    at = self._clock()
                    first = first or ObservationFailure(node.name, at, problem.reason, str(problem), source.name)
                    if kept := self._kept(node, source, at):
                        return kept
                except Exception as problem:
                    # A defect of ours must not end the polls of the whole cluster.
                    log.exception("%s: source %s failed", node.name, source.name)
                    text = f"source {source.name} failed ({type(problem).__name__})"
                    first = first or ObservationFailure(node.name, self._clock(), "Unreadable", text, source.name)
                else:
                    self._seen[node.name, source.name] = look
                    return look
        return first or ObservationFailure(node.name, self._clock(), "NotConfigured", "no source is configured")

    def _kept(self, node: NodeTarget, source: Source, at: datetime) -> NodeObservation | None:
        """What this source saw last, if that is not too long ago."""
        last = self._seen.get((node.name, source.name))
        return last if last is not None and at - last.at < self._grace else None

    def _forget_all_but(self, names: set[str]) -> None:
        for name in self._tasks.keys() - names:
            self._tasks.pop(name).cancel()
        self._seen = {key: look for key, look in self._seen.items() if key[0] in names}
        self._failing = {name: since for name, since in self._failing.items() if name in names}
