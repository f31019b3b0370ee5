"""A CRD that goes away while the operator runs: it says so, waits, and goes on when the CRD is back."""

from __future__ import annotations

import pytest

from tests.e2e.stack import ROOT, Stack
from tests.waiting import await_

pytestmark = pytest.mark.kube
CRD = "nicattachments.pve-evpn.dev"


def test_a_crd_that_goes_away_is_waited_for(stack: Stack) -> None:
    seed = stack.seed()[:-1]  # without the NIC, whose kind goes
    stack.apply(*seed)
    stack.await_ready(*seed)
    try:
        stack.plane.kubectl("delete", "crd", CRD, "--timeout=30s")
        await_("the log names the CRD", lambda: f"does not serve the CRDs {CRD}" in stack.log.read_text(), 60)
        assert stack.operator.ended is None
        assert not stack.operator.leads
    finally:
        stack.plane.kubectl("apply", "--server-side", "-f", str(ROOT / "crds"))
        stack.plane.kubectl("wait", "--for=condition=Established", "crd", "--all", "--timeout=30s")
    await_("it leads again", lambda: stack.operator.leads, 30)
    assert "Traceback" not in stack.log.read_text()
    applies = stack.lab.applies
    changed = dict(seed[-1], spec={**seed[-1]["spec"], "alias": "after"})
    stack.apply(changed)
    await_("changes are applied again", lambda: stack.lab.applies > applies, 30)
