"""One poll of one cluster: every node in parallel, each through the best source, filled up by the next ones.

The sources are asked in the order of the specification, per node, until sessions and MACs are seen; where the first
one sees both, no other is asked. What a source saw last is used for the grace time when it fails. Only then the others
have to do without it, and what they see says why. Where none is left the node has *failed*, which is unknown and not
down. A poll never takes longer than its timeout: a node that has not answered by then stays with what was known of it,
and its answer counts in the next poll.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta

from pve_evpn.domain.observation import ClusterObservation, NodeObservation, NodeResult, ObservationFailure, SourceName
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

    Args:
        sources: The preferred one first.
        grace: How long a failing source's last answer is used.
        timeout: Seconds that a poll waits for its slowest node.
        clock: Gives the time.
    """

    def __init__(
        self, sources: Sequence[Source], grace: timedelta, timeout: float, clock: Callable[[], datetime] = now
    ) -> None:
        self._sources = tuple(sources)
        self._grace = grace
        self._timeout = timeout
        self._clock = clock
        self._slots = asyncio.Semaphore(PARALLEL)
        self._tasks: dict[str, asyncio.Task[list[NodeResult]]] = {}
        self._asking: dict[str, SourceName] = {}
        self._seen: dict[tuple[str, SourceName], NodeObservation] = {}
        self._failing: dict[tuple[str, SourceName], _Failing] = {}

    async def poll(self, nodes: Sequence[NodeTarget]) -> ClusterObservation:
        """Read all of `nodes`."""
        self._forget_all_but({node.name for node in nodes})
        for node in nodes:
            if node.name not in self._tasks:
                self._asking[node.name] = self._sources[0].name
                self._tasks[node.name] = asyncio.create_task(self._read(node), name=f"read-{node.name}")
        if self._tasks:
            await asyncio.wait(self._tasks.values(), timeout=self._timeout)
        at = self._clock()
        return ClusterObservation(at, {node.name: self._outcome(node.name, at) for node in nodes})

    async def close(self) -> None:
        """Cancel the reads that are under way, and close the sources."""
        tasks, self._tasks = list(self._tasks.values()), {}
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        await asyncio.gather(*(source.close() for source in self._sources), return_exceptions=True)

    # --- one node -----------------------------------------------------------------------------------------------

    async def _read(self, node: NodeTarget) -> list[NodeResult]:
        """What each source shows of the node, or did within the grace time, as far as they had to be asked."""
        results: list[NodeResult] = []
        async with self._slots:
            for source in self._sources:
                results.append(await self._ask(node, source))
                if not _lacking(_together(results)):
                    break
        for source in self._sources[len(results) :]:  # whether a source fails that is not asked is not known
            self._failing.pop((node.name, source.name), None)
        return results

    async def _ask(self, node: NodeTarget, source: Source) -> NodeResult:
        self._asking[node.name] = source.name
        try:
            observation = await source.read(node)
        except NodeUnreadable as error:
            return self._failed(node.name, source.name, error.reason, str(error))
        except Exception as error:
            # A defect of the operator must not end the polls of the whole cluster.
            log.exception("%s: source %s failed", node.name, source.name)
            return self._failed(node.name, source.name, "Unreadable", f"it failed with {type(error).__name__}")
        self._seen[node.name, source.name] = observation
        failing = self._failing.pop((node.name, source.name), None)
        if failing and failing.logged:
            log.info("%s can be observed by %s again", node.name, source.name)
        return observation

    def _failed(self, node: str, source: SourceName, reason: str, message: str) -> NodeResult:
        """Note that a source fails; what it saw last, while that counts, else the failure."""
        at = self._clock()
        failure = ObservationFailure(node, at, reason, message, source)
        known = self._failing.setdefault((node, source), _Failing(at, failure))
        known.failure = failure
        return self._last(node, source, at) or failure

    def _last(self, node: str, source: SourceName, at: datetime) -> NodeResult | None:
        """What this source saw last, within the grace time; else why it does not see the node, if it was asked.

        The answers of the sources are kept apart: each part of an outcome is as old as its own source's.
        """
        last, failing = self._seen.get((node, source)), self._failing.get((node, source))
        if last is not None and at - last.at < self._grace:
            return last
        return failing.failure if failing else None

    # --- the outcome --------------------------------------------------------------------------------------------

    def _outcome(self, node: str, at: datetime) -> NodeResult:
        """What all sources show together. A failure is settled once it has lasted for the grace time."""
        if self._tasks[node].done():
            results = self._tasks.pop(node).result()
        else:
            if (node, self._asking[node]) not in self._failing:  # else its own message of the last time says more
                self._failed(node, self._asking[node], "Timeout", f"no answer within {self._timeout:g} s")
            results = [result for source in self._sources if (result := self._last(node, source.name, at))]
        for result in results:
            if isinstance(result, ObservationFailure):
                self._log(result)
        found, preferred = _together(results), self._failing.get((node, self._sources[0].name))
        settled = preferred is None or at - preferred.since >= self._grace
        if isinstance(found, ObservationFailure):
            return replace(found, at=at, settled=settled)
        return replace(found, instead_of=found.instead_of and replace(found.instead_of, settled=settled))

    def _log(self, failure: ObservationFailure) -> None:
        """Log it once, and again when the reason is another. While the last answer counts nothing is logged yet."""
        known = self._failing.get((failure.node, failure.source)) if failure.source else None
        if known and known.logged != failure.reason:
            known.logged = failure.reason
            log.warning("%s cannot be observed by %s: %s", failure.node, failure.source, failure.message)

    def _forget_all_but(self, names: set[str]) -> None:
        for name in self._tasks.keys() - names:
            self._tasks.pop(name).cancel()
        self._asking = {name: source for name, source in self._asking.items() if name in names}
        self._seen = {key: seen for key, seen in self._seen.items() if key[0] in names}
        self._failing = {key: known for key, known in self._failing.items() if key[0] in names}


def _together(results: Sequence[NodeResult]) -> NodeResult:
    """One result out of the sources' in their order: the first that saw the node, filled up by the next ones.

    Its problems are what failed on the way, the best source first. If no source saw the node, the best one's failure.
    """
    found: NodeObservation | None = None
    problems: list[str] = []
    for result in results:
        if found is not None and not found.lacks:
            break
        if isinstance(result, ObservationFailure):
            problems.append(f"{result.source}: {result.message}")
            continue
        problems.extend(result.problems)
        found = result if found is None else found.filled_from(result)
    if found is None:
        return results[0]
    first = results[0]
    return replace(found, problems=tuple(problems), instead_of=first if isinstance(first, ObservationFailure) else None)


def _lacking(result: NodeResult) -> bool:
    return isinstance(result, ObservationFailure) or result.lacks
