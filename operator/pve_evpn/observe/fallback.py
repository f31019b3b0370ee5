"""One poll of one cluster: every node side by side, each through the best source, filled up by the next ones.

The sources are asked in the order of the specification, per node, until sessions and MACs are seen; where the first
one sees both, no other is asked. What a source saw last is trusted for the grace time when it fails; only then have
the others to do without it, and what they see says why. Where none is left the node is *failed*, which is unknown and
not down. A poll never takes longer than its patience: a node that has not answered by then stays with what was known
of it, and its answer counts in the next poll.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta

from pve_evpn.domain.observation import ClusterObservation, NodeLook, NodeObservation, ObservationFailure, SourceName
from pve_evpn.observe.source import NodeTarget, NodeUnreadable, Source, now

log = logging.getLogger(__name__)

#: Nodes read at the same time. A poll of a large cluster must not open hundreds of connections at once.
PARALLEL = 32


@dataclass(slots=True)
class _Failing:
    """A source that fails on a node: since when, how it does now, and the reason that was logged."""

    since: datetime
    failure: ObservationFailure
    logged: str = ""


class Chain:
    """The sources of one cluster, one at least.

    `grace`: how long a failing source's last look is trusted. `patience`: seconds.
    """

    def __init__(
        self, sources: Sequence[Source], grace: timedelta, patience: float, clock: Callable[[], datetime] = now
    ) -> None:
        self._sources = tuple(sources)
        self._grace = grace
        self._patience = patience
        self._clock = clock
        self._gate = asyncio.Semaphore(PARALLEL)
        self._tasks: dict[str, asyncio.Task[list[NodeLook]]] = {}
        self._asking: dict[str, SourceName] = {}
        self._seen: dict[tuple[str, SourceName], NodeObservation] = {}
        self._failing: dict[tuple[str, SourceName], _Failing] = {}

    async def observe(self, nodes: Sequence[NodeTarget]) -> ClusterObservation:
        """Look at all of `nodes`."""
        self._forget_all_but({node.name for node in nodes})
        for node in nodes:
            if node.name not in self._tasks:
                self._asking[node.name] = self._sources[0].name
                self._tasks[node.name] = asyncio.create_task(self._look(node), name=f"look-{node.name}")
        if self._tasks:
            await asyncio.wait(self._tasks.values(), timeout=self._patience)
        at = self._clock()
        return ClusterObservation(at, {node.name: self._outcome(node.name, at) for node in nodes})

    async def close(self) -> None:
        """End the looks that are under way, and the sources."""
        tasks, self._tasks = list(self._tasks.values()), {}
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        await asyncio.gather(*(source.close() for source in self._sources), return_exceptions=True)

    # --- one node -----------------------------------------------------------------------------------------------

    async def _look(self, node: NodeTarget) -> list[NodeLook]:
        """What each source says of the node, or said a moment ago, as far as they had to be asked."""
        looks: list[NodeLook] = []
        async with self._gate:
            for source in self._sources:
                looks.append(await self._ask(node, source))
                if not _lacking(_together(looks)):
                    break
        for source in self._sources[len(looks) :]:  # whether one fails that nobody asks is not known
            self._failing.pop((node.name, source.name), None)
        return looks

    async def _ask(self, node: NodeTarget, source: Source) -> NodeLook:
        self._asking[node.name] = source.name
        try:
            look = await source.look(node)
        except NodeUnreadable as error:
            return self._failed(node.name, source.name, error.reason, str(error))
        except Exception as error:
            # A defect of ours must not end the polls of the whole cluster.
            log.exception("%s: source %s failed", node.name, source.name)
            return self._failed(node.name, source.name, "Unreadable", f"it failed with {type(error).__name__}")
        self._seen[node.name, source.name] = look
        failing = self._failing.pop((node.name, source.name), None)
        if failing and failing.logged:
            log.info("%s can be observed by %s again", node.name, source.name)
        return look

    def _failed(self, node: str, source: SourceName, reason: str, message: str) -> NodeLook:
        """Note that a source fails; what it saw last, while that counts, else the failure."""
        at = self._clock()
        failure = ObservationFailure(node, at, reason, message, source)
        known = self._failing.setdefault((node, source), _Failing(at, failure))
        known.failure = failure
        return self._last(node, source, at) or failure

    def _last(self, node: str, source: SourceName, at: datetime) -> NodeLook | None:
        """What this source saw last, if that is not too long ago; else why it does not see the node, if it was asked.

        The looks of the sources are kept apart: each part of an outcome is as old as its own source's.
        """
        last, failing = self._seen.get((node, source)), self._failing.get((node, source))
        if last is not None and at - last.at < self._grace:
            return last
        return failing.failure if failing else None

    # --- the outcome --------------------------------------------------------------------------------------------

    def _outcome(self, node: str, at: datetime) -> NodeLook:
        """What all sources say together. A failure is settled once it has lasted for the grace time."""
        if self._tasks[node].done():
            looks = self._tasks.pop(node).result()
        else:
            if (node, self._asking[node]) not in self._failing:  # else its own words of the last time say more
                self._failed(node, self._asking[node], "Timeout", f"no answer within {self._patience:g} s")
            looks = [look for source in self._sources if (look := self._last(node, source.name, at))]
        for look in looks:
            if isinstance(look, ObservationFailure):
                self._log(look)
        found, preferred = _together(looks), self._failing.get((node, self._sources[0].name))
        settled = preferred is None or at - preferred.since >= self._grace
        if isinstance(found, ObservationFailure):
            return replace(found, at=at, settled=settled)
        return replace(found, instead_of=found.instead_of and replace(found.instead_of, settled=settled))

    def _log(self, failure: ObservationFailure) -> None:
        """Say it once, and again when the reason is another. While the last look counts nothing is said yet."""
        known = self._failing.get((failure.node, failure.source)) if failure.source else None
        if known and known.logged != failure.reason:
            known.logged = failure.reason
            log.warning("%s cannot be observed by %s: %s", failure.node, failure.source, failure.message)

    def _forget_all_but(self, names: set[str]) -> None:
        for name in self._tasks.keys() - names:
            self._tasks.pop(name).cancel()
        self._asking = {name: source for name, source in self._asking.items() if name in names}
        self._seen = {key: look for key, look in self._seen.items() if key[0] in names}
        self._failing = {key: known for key, known in self._failing.items() if key[0] in names}


def _together(looks: Sequence[NodeLook]) -> NodeLook:
    """One look out of the sources' in their order: the first that saw the node, filled up by the next ones.

    Its problems say what failed on the way, the best source first. If nobody saw the node, the best one's failure.
    """
    found: NodeObservation | None = None
    problems: list[str] = []
    for look in looks:
        if found is not None and not found.lacks:
            break
        if isinstance(look, ObservationFailure):
            problems.append(f"{look.source}: {look.message}")
            continue
        problems.extend(look.problems)
        found = look if found is None else found.filled_from(look)
    if found is None:
        return looks[0]
    first = looks[0]
    return replace(found, problems=tuple(problems), instead_of=first if isinstance(first, ObservationFailure) else None)


def _lacking(look: NodeLook) -> bool:
    return isinstance(look, ObservationFailure) or look.lacks
