"""Tasks: list, status, log, stopping one."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from pve_lab.cluster import Cluster
from pve_lab.errors import bad_parameters
from pve_lab.request import Call, Envelope
from pve_lab.tasks import Filter, Task

_NUMBERS = ("since", "until", "start", "limit")
#: Tasks of a node that ``/cluster/tasks`` lists.
_RECENT = 25
_TEXTS = ("source", "typefilter", "statusfilter", "userfilter", "vmid")


def _task(cluster: Cluster, call: Call, privilege: str = "Sys.Audit") -> Task:
    """The task of the path. One of another user or token needs the privilege on the node; a token is not its user."""
    node = cluster.reachable_node(call.path["node"])
    task = cluster.tasks.all.get(call.path["upid"])
    if task is None:
        raise bad_parameters(upid="no such task")
    if task.user != call.user:
        cluster.access.demand(call.user, f"/nodes/{node.name}", privilege)
    return task


def _visible(cluster: Cluster, call: Call, tasks: Iterable[Task]) -> list[Task]:
    return [
        task
        for task in tasks
        if task.user == call.user or cluster.access.allowed(call.user, f"/nodes/{task.node}", ("Sys.Audit",))
    ]


def tasks(cluster: Cluster, call: Call) -> Any:
    node, given = cluster.reachable_node(call.path["node"]), call.params
    values: dict[str, Any] = {key: int(given[key]) for key in _NUMBERS if key in given}
    values |= {key: str(given[key]) for key in _TEXTS if key in given}
    chosen = Filter(**values, errors=call.flag("errors"))
    found = _visible(cluster, call, cluster.tasks.on(node.name))
    return Envelope({"data": [task.row() for task in chosen.choose(found)], "total": len(found)})


def recent(cluster: Cluster, call: Call) -> Any:
    """Of each node the tasks that run, then those that ended last, so many in all (pve-common, RESTEnvironment.pm)."""
    sees_all = cluster.access.allowed(call.user, "/", ("Sys.Audit",))
    lists = (cluster.tasks.newest_on(node, _RECENT) for node in cluster.nodes)
    return [task.row() for tasks in lists for task in tasks if sees_all or task.user == call.user]


def index(cluster: Cluster, call: Call) -> Any:
    _task(cluster, call)
    return [{"name": "log"}, {"name": "status"}]


def stop(cluster: Cluster, call: Call) -> Any:
    """The worker is killed; what it has done stays done, and an apply goes no further."""
    cluster.end_task(_task(cluster, call, "Sys.Modify"), cluster.now(), "interrupted by signal")


def status(cluster: Cluster, call: Call) -> Any:
    return _task(cluster, call).status()


def log(cluster: Cluster, call: Call) -> Any:
    lines = _task(cluster, call).lines()
    start, limit = int(call.params.get("start", 0)), int(call.params.get("limit", 50))
    rows = [{"n": n, "t": text} for n, text in enumerate(lines, 1)]
    chosen = rows[start : start + limit] if limit else rows[start:]
    return Envelope({"data": chosen, "total": len(lines)})
