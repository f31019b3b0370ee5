"""Tasks: list, status, log, stopping one."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from pve_lab.cluster import Lab
from pve_lab.declared import declared
from pve_lab.dispatch import Call, Whole, node_of
from pve_lab.errors import bad_parameters
from pve_lab.tasks import Filter, Task

_NUMBERS = ("since", "until", "start", "limit")
_TEXTS = ("source", "typefilter", "statusfilter", "userfilter", "vmid")


def _task(lab: Lab, call: Call, privilege: str = "Sys.Audit") -> Task:
    """One's own task, or anybody's with the privilege on the node. A token's task is the token's, not its user's."""
    node = node_of(lab, call)
    task = lab.tasks.all.get(call.path["upid"])
    if task is None:
        raise bad_parameters(upid="no such task")
    if task.user != call.user:
        lab.access.demand(call.user, f"/nodes/{node.name}", privilege)
    return task


def _visible(lab: Lab, call: Call, tasks: Iterable[Task]) -> list[Task]:
    return [
        task
        for task in tasks
        if task.user == call.user or lab.access.allowed(call.user, f"/nodes/{task.node}", ("Sys.Audit",))
    ]


@declared("GET", "/nodes/{node}/tasks")
def tasks(lab: Lab, call: Call) -> Any:
    node, given = node_of(lab, call), call.params
    values: dict[str, Any] = {key: int(given[key]) for key in _NUMBERS if key in given}
    values |= {key: str(given[key]) for key in _TEXTS if key in given}
    chosen = Filter(**values, errors=call.flag("errors"))
    found = _visible(lab, call, lab.tasks.on(node.name))
    return Whole({"data": [task.row() for task in chosen.choose(found)], "total": len(found)})


@declared("GET", "/cluster/tasks")
def recent(lab: Lab, call: Call) -> Any:
    return [task.row() for task in _visible(lab, call, reversed(lab.tasks.all.values()))][:25]


@declared("GET", "/nodes/{node}/tasks/{upid}")
def index(lab: Lab, call: Call) -> Any:
    _task(lab, call)
    return [{"name": "log"}, {"name": "status"}]


@declared("DELETE", "/nodes/{node}/tasks/{upid}")
def stop(lab: Lab, call: Call) -> Any:
    """The worker is killed; what it has done stays done, and an apply goes no further."""
    lab.end_task(_task(lab, call, "Sys.Modify"), lab.now(), "interrupted by signal")


@declared("GET", "/nodes/{node}/tasks/{upid}/status")
def status(lab: Lab, call: Call) -> Any:
    return _task(lab, call).status()


@declared("GET", "/nodes/{node}/tasks/{upid}/log")
def log(lab: Lab, call: Call) -> Any:
    lines = _task(lab, call).lines()
    start, limit = int(call.params.get("start", 0)), int(call.params.get("limit", 50))
    rows = [{"n": n, "t": text} for n, text in enumerate(lines, 1)]
    chosen = rows[start : start + limit] if limit else rows[start:]
    return Whole({"data": chosen, "total": len(lines)})
