"""Tasks: list, status, log."""

from __future__ import annotations

import time
from typing import Any

from pve_lab.cluster import Lab
from pve_lab.dispatch import Call, node_of, route
from pve_lab.errors import bad_parameters


@route("GET", "/nodes/{node}/tasks")
def tasks(lab: Lab, call: Call) -> Any:
    node, now = node_of(lab, call), time.time()
    since, type_ = int(call.params.get("since", 0)), call.params.get("typefilter")
    chosen = [
        t for t in lab.tasks.values() if t.node == node.name and t.starts >= since and (not type_ or t.type == type_)
    ]
    return [task.row(now) for task in reversed(chosen)]


@route("GET", "/nodes/{node}/tasks/{upid}/status")
def task_status(lab: Lab, call: Call) -> Any:
    task = lab.tasks.get(call.path["upid"])
    if task is None:
        raise bad_parameters(upid="no such task")
    return task.row(time.time())


@route("GET", "/nodes/{node}/tasks/{upid}/log")
def task_log(lab: Lab, call: Call) -> Any:
    task = lab.tasks.get(call.path["upid"])
    if task is None:
        raise bad_parameters(upid="no such task")
    return [{"n": n, "t": text} for n, text in enumerate([*task.log, f"TASK {task.exitstatus}"], 1)]
