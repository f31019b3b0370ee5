"""Tasks: list, status, log, stopping one."""

from __future__ import annotations

from typing import Any

from pve_lab.cluster import Lab
from pve_lab.dispatch import Call, Whole, node_of, route
from pve_lab.errors import bad_parameters
from pve_lab.tasks import Filter, Task

_NUMBERS = ("since", "until", "start", "limit")
_TEXTS = ("source", "typefilter", "statusfilter", "userfilter", "vmid")


def _task(lab: Lab, call: Call) -> Task:
    node_of(lab, call)
    task = lab.tasks.all.get(call.path["upid"])
    if task is None:
        raise bad_parameters(upid="no such task")
    return task


@route("GET", "/nodes/{node}/tasks")
def tasks(lab: Lab, call: Call) -> Any:
    node, given = node_of(lab, call), call.params
    values: dict[str, Any] = {key: int(given[key]) for key in _NUMBERS if key in given}
    values |= {key: str(given[key]) for key in _TEXTS if key in given}
    chosen = Filter(**values, errors=call.flag("errors"))
    found = lab.tasks.on(node.name)
    return Whole({"data": [task.row() for task in chosen.choose(found)], "total": len(found)})


@route("GET", "/cluster/tasks")
def recent(lab: Lab, _call: Call) -> Any:
    return [task.row() for task in reversed(lab.tasks.all.values())][:25]


@route("GET", "/nodes/{node}/tasks/{upid}")
def index(lab: Lab, call: Call) -> Any:
    _task(lab, call)
    return [{"name": "log"}, {"name": "status"}]


@route("DELETE", "/nodes/{node}/tasks/{upid}")
def stop(lab: Lab, call: Call) -> Any:
    """The worker is killed; what it has done stays done, and an apply goes no further."""
    lab.end_task(_task(lab, call), lab.now(), "interrupted by signal")


@route("GET", "/nodes/{node}/tasks/{upid}/status")
def status(lab: Lab, call: Call) -> Any:
    return _task(lab, call).status()


@route("GET", "/nodes/{node}/tasks/{upid}/log")
def log(lab: Lab, call: Call) -> Any:
    lines = _task(lab, call).lines()
    start, limit = int(call.params.get("start", 0)), int(call.params.get("limit", 50))
    rows = [{"n": n, "t": text} for n, text in enumerate(lines, 1)]
    chosen = rows[start : start + limit] if limit else rows[start:]
    return Whole({"data": chosen, "total": len(lines)})
