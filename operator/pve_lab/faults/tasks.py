"""Faults of tasks: how they end."""

from __future__ import annotations

from dataclasses import dataclass, field

from pve_lab.faults.fault import Fault
from pve_lab.ports import TaskEffects


@dataclass(kw_only=True)
class TaskFault(Fault):
    """Meets tasks of a type (``reloadnetworkall``, ``srvreload``, ``qmconfig``, ``qmigrate``...), ``times`` of them."""

    type: str
    times: int = 0
    _met: int = field(default=0, init=False)

    def meets(self, type_: str) -> bool:
        if type_ != self.type or (self.times and self._met >= self.times):
            return False
        self._met += 1
        return True

    def affect(self, effects: TaskEffects) -> None:
        """Change how a task ends; every kind of fault defines it."""
        raise NotImplementedError


@dataclass(kw_only=True)
class TaskWarns(TaskFault):
    """The task ends with ``WARNINGS: 1``."""

    name = "task-warns"
    text: str = "something is not quite right"

    def affect(self, effects: TaskEffects) -> None:
        effects.warnings.append(self.text)


@dataclass(kw_only=True)
class TaskFails(TaskFault):
    """The task ends with an error, though it did its work."""

    name = "task-fails"
    error: str = "unexpected status"

    def affect(self, effects: TaskEffects) -> None:
        effects.error = effects.error or self.error
