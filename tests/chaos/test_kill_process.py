"""kill -9 of the real process, on the real control plane, in the middle of a transaction over HTTPS.

A handful of the points that ``test_kill`` goes through one by one: what these add is the real journal, the real
finalizers, and a process that is really gone.
"""

from __future__ import annotations

import signal
import threading
from typing import Any

import pytest

from pve_lab.request import Answer, Request
from tests.e2e.stack import Stack
from tests.waiting import await_

pytestmark = pytest.mark.kube

POINTS = [
    ("after", "POST", "/cluster/sdn/vnets"),
    ("after", "PUT", "/cluster/sdn"),
    ("before", "DELETE", "/cluster/sdn/lock"),
]


class Assassin:
    """Kills the operator when a request arrives, before or after the lab has executed it."""

    def __init__(self, stack: Stack, when: str, method: str, path: str) -> None:
        self.stack, self.method, self.path = stack, method, path
        self.struck = threading.Event()
        hooks = stack.lab.faults.before if when == "before" else stack.lab.faults.after
        hooks.append(self._meet)

    def _meet(self, request: Request, _answer: Answer | None = None) -> None:
        if (request.method, request.path) == (self.method, self.path) and not self.struck.is_set():
            self.stack.operator.send(signal.SIGKILL)
            self.struck.set()


@pytest.mark.parametrize(("when", "method", "path"), POINTS)
def test_a_killed_process_is_made_good_by_the_next(stack: Stack, when: str, method: str, path: str) -> None:
    seed = stack.seed()
    stack.apply(*seed)
    stack.await_ready(*seed)
    writes = len(stack.writes())
    assassin = Assassin(stack, when, method, path)
    new = {**seed[3], "metadata": {"name": "new", "namespace": "default"}}
    new["spec"] = {**seed[3]["spec"], "id": "new", "vni": 7001, "subnets": [{"cidr": "10.77.0.0/24"}]}
    changed = {**seed[2], "spec": {**seed[2]["spec"], "mtu": 1400}}
    # Both in one transaction, however long kubectl takes between them.
    stack.plane.kubectl("annotate", "pvec", "pve", "pve-evpn.dev/paused=true")
    stack.apply(new, changed)
    await_("the operator has seen both", lambda: all(is_seen(stack, document) for document in (new, changed)))
    stack.plane.kubectl("annotate", "pvec", "pve", "pve-evpn.dev/paused-")
    await_("the operator is killed", assassin.struck.is_set)
    stack.stop_operator(signal.SIGKILL)
    stack.start_operator()
    stack.await_ready(*seed[:2], changed, *seed[3:], new)
    await_("the lock is given back", lambda: stack.lab.sdn.lock is None)
    assert stack.lab.sdn.edited == stack.lab.sdn.running
    assert stack.lab.sdn.running["vnets"]["new"]["tag"] == 7001
    assert stack.lab.sdn.running["zones"]["EZone1"]["mtu"] == 1400
    done = [(m, p) for m, p, status in stack.writes()[writes:] if status == 200]
    # Killed before the lab executes it, a request that has arrived is executed all the same.
    assert done.count(("POST", "/cluster/sdn/vnets")) == 1
    assert stack.lab.applies == 2


def is_seen(stack: Stack, document: dict[str, Any]) -> bool:
    """Whether its status is about its present spec."""
    whole = stack.get(document)
    return whole.get("status", {}).get("observedGeneration") == whole["metadata"]["generation"]
