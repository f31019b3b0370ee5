"""The faults in effect, and how they meet requests, reloads, tasks and NICs."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator
from typing import TypeVar

from pve_lab.cluster import Cluster
from pve_lab.faults.fault import Fault
from pve_lab.faults.guests import HotplugFails
from pve_lab.faults.nodes import NodeHangs
from pve_lab.faults.pmxcfs import refused_without_quorum
from pve_lab.faults.reloads import ReloadFault
from pve_lab.faults.requests import Proceed, RequestFault
from pve_lab.faults.tasks import TaskFault
from pve_lab.ports import ReloadEffects, TaskEffects
from pve_lab.request import Answer, Request

F0 = TypeVar("F0", bound=Fault)
F1 = TypeVar("F1", bound=Fault)


class ActiveFaults:
    """The faults that are in effect, and two lists of hooks, called before and after every request."""

    def __init__(self, cluster: Cluster, seed: int = 0) -> None:
        self._cluster = cluster
        self.seed = seed
        self.active: list[Fault] = []
        self.before: list[Callable[[Request], None]] = []
        self.after: list[Callable[[Request, Answer], None]] = []
        self._numbers = itertools.count(1)

    # --- beginning and ending -----------------------------------------------------------------------------------

    def add(self, fault: F0) -> F0:
        """Begin a fault; it stays until :meth:`remove`."""
        with self._cluster.mutex:
            fault.id = next(self._numbers)
            fault.begin(self._cluster)
            self.active.append(fault)
        return fault

    def remove(self, fault: Fault | int) -> None:
        """End a fault, given itself or its number."""
        with self._cluster.mutex:
            found = next((f for f in self.active if f is fault or f.id == fault), None)
            if found is None:
                raise KeyError(f"there is no fault {fault}")
            self.active.remove(found)
            found.end(self._cluster)

    def clear(self) -> None:
        """End all faults, the newest first."""
        for fault in list(reversed(self.active)):
            self.remove(fault)

    # --- asked by the cluster -----------------------------------------------------------------------------------

    def with_reload(self, node: str) -> ReloadEffects:
        effects = ReloadEffects()
        for fault in self._of(ReloadFault):
            if fault.meets(node):
                fault.affect(effects)
        return effects

    def with_task(self, type_: str) -> TaskEffects:
        effects = TaskEffects()
        for fault in self._of(TaskFault):
            if fault.meets(type_):
                fault.affect(effects)
        return effects

    def with_hotplug(self, vmid: int) -> str:
        return next((fault.text for fault in self._of(HotplugFails) if fault.vmid == vmid), "")

    def _of(self, kind: type[F1]) -> Iterator[F1]:
        return (fault for fault in self.active if isinstance(fault, kind))

    # --- around every request -----------------------------------------------------------------------------------

    def intercept(self, request: Request, proceed: Proceed) -> Answer:
        """Answer a request with the hooks and every fault that meets it around it, the newest fault outermost."""
        with self._cluster.mutex:
            self._cluster.settle()
            met = [fault for fault in self._of(RequestFault) if fault.meets(request, self.seed)]
            hanging = any(fault.meets(request) for fault in self._of(NodeHangs))
        for hook in self.before:
            hook(request)
        for fault in met:
            proceed = _bound(fault, self._cluster, request, proceed)
        answer = self._checked(request, proceed, hanging)
        for later in self.after:
            later(request, answer)
        return answer

    def _checked(self, request: Request, proceed: Proceed, hanging: bool) -> Answer:
        if hanging:
            return Answer(596, "Connection timed out")
        if request.method != "GET" and not self._cluster.quorate and (refusal := refused_without_quorum(request)):
            return refusal
        return proceed()


def _bound(fault: RequestFault, cluster: Cluster, request: Request, proceed: Proceed) -> Proceed:
    return lambda: fault.around(cluster, request, proceed)
