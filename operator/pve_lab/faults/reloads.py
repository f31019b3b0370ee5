"""Faults of a node's network reload, which every apply does node after node."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

from pve_lab.cluster import Cluster
from pve_lab.faults.fault import NodeFault
from pve_lab.ports import ReloadEffects


@dataclass(kw_only=True)
class ReloadFault(NodeFault):
    """Meets the network reloads of one node, ``times`` of them (0: all)."""

    times: int = 0
    _met: int = field(default=0, init=False)

    def meets(self, node: str) -> bool:
        if node != self.node or (self.times and self._met >= self.times):
            return False
        self._met += 1
        return True

    def affect(self, effects: ReloadEffects) -> None:
        """Change what becomes of a reload; every kind of fault defines it."""
        raise NotImplementedError


@dataclass(kw_only=True)
class ReloadFails(ReloadFault):
    """ifreload fails: FRR is not regenerated, the node keeps what it had."""

    name = "reload-fails"
    error: str = "command 'ifreload -a' failed: exit code 1"

    def affect(self, effects: ReloadEffects) -> None:
        effects.error = self.error


@dataclass(kw_only=True)
class ReloadWarns(ReloadFault):
    """The reload works, with a warning: ``frr-reload`` failed and FRR was restarted instead."""

    name = "reload-warns"
    text: str = "frr reload command fail. Restarting frr."

    def affect(self, effects: ReloadEffects) -> None:
        effects.warnings.append(self.text)


@dataclass(kw_only=True)
class ReloadSlow(ReloadFault):
    """The reload takes ``seconds``."""

    name = "reload-slow"
    seconds: float = 10.0

    def affect(self, effects: ReloadEffects) -> None:
        effects.seconds = self.seconds


@dataclass(kw_only=True)
class ReloadHangs(ReloadFault):
    """The reload does not end, nor does the apply that waits for it, until the fault ends."""

    name = "reload-hangs"
    _waiting: list[Callable[[], None]] = field(default_factory=list, init=False)

    def affect(self, effects: ReloadEffects) -> None:
        effects.hold = self._waiting.append

    def end(self, cluster: Cluster) -> None:
        while self._waiting:
            self._waiting.pop(0)()
