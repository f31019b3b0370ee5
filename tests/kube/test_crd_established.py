"""The API server takes our CRDs."""

from __future__ import annotations

import pytest

from pve_evpn.api.kinds import KINDS
from tests.kube.controlplane import ControlPlane

pytestmark = pytest.mark.kube


@pytest.mark.parametrize("kind", KINDS.values(), ids=lambda kind: kind.name)
def test_short_names_and_category_work(cluster: ControlPlane, kind) -> None:
    for name in (*kind.short_names, "pve-evpn"):
        cluster.kubectl("get", name, "-A")
