"""Tasks of the nodes, and the task lists of the API."""

from __future__ import annotations

import itertools
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

#: Log lines with this prefix are counted: a task with any ends with "WARNINGS: n".
_WARNING = "WARNING: "


@dataclass
class Task:
    """One task on one node; it runs until ``exitstatus`` is set."""

    upid: str
    node: str
    type: str
    id: str
    user: str
    starttime: int
    pid: int
    pstart: int
    log: list[str] = field(default_factory=list)
    exitstatus: str = ""
    endtime: int = 0

    def warn(self, text: str) -> None:
        """A warning of the kind that is counted (a plain Perl ``warn`` is not)."""
        self.log.append(_WARNING + text)

    def end(self, now: float, error: str = "") -> None:
        """End OK, with the count of warnings if there were any, or with ``error``; a task ends once."""
        if self.exitstatus:
            return
        warnings = sum(line.startswith(_WARNING) for line in self.log)
        self.exitstatus = error or (f"WARNINGS: {warnings}" if warnings else "OK")
        self.endtime = int(now)

    @property
    def running(self) -> bool:
        return not self.exitstatus

    @property
    def failed(self) -> bool:
        return not self.running and self.exitstatus != "OK" and not self.exitstatus.startswith("WARNINGS")

    def status(self) -> dict[str, Any]:
        """As ``.../tasks/{upid}/status`` answers."""
        user, _, token = self.user.partition("!")
        row = {**self._common(), "user": user, "status": "running" if self.running else "stopped"}
        if token:
            row["tokenid"] = token
        return row if self.running else {**row, "exitstatus": self.exitstatus}

    def row(self) -> dict[str, Any]:
        """As the task lists show it: there ``status`` is how it ended."""
        user, _, token = self.user.partition("!")
        row = {**self._common(), "user": user}
        if token:
            row["tokenid"] = token
        if self.running:
            return {**row, "status": "RUNNING"}
        return {**row, "status": self.exitstatus, "endtime": self.endtime}

    def lines(self) -> list[str]:
        """The log; its last line says how the task ended."""
        if self.running:
            return self.log
        if self.failed:
            return [*self.log, f"TASK ERROR: {self.exitstatus}"]
        return [*self.log, f"TASK {self.exitstatus}"]

    def _common(self) -> dict[str, Any]:
        names = ("upid", "node", "type", "id", "starttime", "pid", "pstart")
        return {name: getattr(self, name) for name in names}


class Tasks:
    """All tasks of the cluster, oldest first."""

    def __init__(self) -> None:
        self.all: dict[str, Task] = {}
        self._pids = itertools.count(1000, 7)

    def start(self, node: str, type_: str, user: str, now: float, id_: str = "") -> Task:
        """A new task, which runs until ``Task.end``."""
        pid, pstart, start = next(self._pids), int(now * 100) % 0xFFFFFFFF, int(now)
        upid = f"UPID:{node}:{pid:08X}:{pstart:08X}:{start:08X}:{type_}:{id_}:{user}:"
        task = self.all[upid] = Task(upid, node, type_, id_, user, start, pid, pstart)
        return task

    def on(self, node: str) -> list[Task]:
        """One node's tasks, newest first."""
        return [task for task in reversed(self.all.values()) if task.node == node]

    def newest_on(self, node: str, count: int) -> list[Task]:
        """One node's running tasks, and of those that ended the newest, so many in all."""
        tasks = self.on(node)
        running = [task for task in tasks if task.running]
        return running + [task for task in tasks if not task.running][: max(0, count - len(running))]

    def of_type(self, type_: str) -> list[Task]:
        return [task for task in self.all.values() if task.type == type_]


@dataclass(frozen=True)
class Filter:
    """The query of a task list. ``source`` is archive (ended ones), active or all."""

    source: str = "archive"
    typefilter: str = ""
    statusfilter: str = ""
    userfilter: str = ""
    vmid: str = ""
    since: int = 0
    until: int = 0
    errors: bool = False
    start: int = 0
    limit: int = 50

    def choose(self, tasks: Iterable[Task]) -> list[Task]:
        chosen = [task for task in tasks if self._takes(task)]
        return chosen[self.start : self.start + self.limit] if self.limit else chosen[self.start :]

    def _takes(self, task: Task) -> bool:
        wanted = {"archive": not task.running, "active": task.running, "all": True}[self.source]
        return (
            wanted
            and self.typefilter in ("", task.type)
            and self.userfilter in task.user
            and self.vmid in ("", task.id)
            and task.starttime >= self.since
            and (not self.until or task.starttime <= self.until)
            and (not self.errors or task.failed)
            and (not self.statusfilter or _kind(task) in self.statusfilter.split(","))
        )


def _kind(task: Task) -> str:
    """The values of ``statusfilter``."""
    if task.exitstatus.startswith("WARNINGS"):
        return "warning"
    return {"OK": "ok", "": "unknown"}.get(task.exitstatus, "error")
