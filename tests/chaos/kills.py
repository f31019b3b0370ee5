"""Kills of the operator in this process, at one call: the call raises, and all that was in memory is gone."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass

from tests.engine.world import Killed, World


class Point:
    """Kills at the n-th call to Proxmox or Kubernetes; from then on every call of that process fails too."""

    def __init__(self, world: World, number: int, when: str) -> None:
        self.world, self.left, self.when = world, number, when
        self.dead = False
        self.at = ""

    def arm(self) -> None:
        self.world.interrupt = self._proxmox
        self.world.kube.around = self._kubernetes

    def disarm(self) -> None:
        self.world.interrupt = lambda *_: None
        self.world.kube.around = lambda _name: None

    def _proxmox(self, when: str, method: str, path: str) -> None:
        self._maybe(when, f"{method} {path}")

    def _kubernetes(self, name: str) -> None:
        self._maybe("kubernetes", name)

    def _maybe(self, when: str, what: str) -> None:
        if not self.dead and when == self.when:
            self.left -= 1
            if self.left < 0:
                self.dead, self.at = True, what
        if self.dead:
            raise Killed


@dataclass(frozen=True)
class Kill:
    """A world whose operator was killed. ``start``: how many calls there were before; ``at``: the call of the kill."""

    world: World
    start: int
    at: str
    where: str


def uninterrupted(
    before: Callable[[], World], change: Callable[[World], None]
) -> tuple[World, int, Counter[tuple[str, str]]]:
    """What a change ends in, how many calls it takes, and its writes, where nothing kills the operator."""
    world = before()
    start = len(world.calls)
    change(world)
    world.die()
    asyncio.run(world.settle())
    assert world.complaints() == []
    return world, len(world.calls) - start, Counter(staged(world, start))


def killed(before: Callable[[], World], change: Callable[[World], None], number: int, when: str) -> Kill | None:
    """The world after a kill at the n-th call of the change; None where there is no such call."""
    world = before()
    start, point = len(world.calls), Point(world, number, when)
    change(world)
    world.die()
    point.arm()
    if not asyncio.run(world.run_until_killed()):
        return None
    point.disarm()
    return Kill(world, start, point.at, f"killed {when} call {number}, {point.at}")


def staged(world: World, start: int) -> list[tuple[str, str]]:
    """The writes to objects: those of the lock and the apply itself are no edits."""
    return [
        (method, path)
        for method, path, status in world.calls[start:]
        if method != "GET" and path.startswith("/cluster/sdn/") and "/lock" not in path and status < 400
    ]
