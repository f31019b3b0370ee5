"""Events at a real API server: it takes a series, and kubectl shows how often and since when."""

from __future__ import annotations

import json
import uuid

import pytest
from kubernetes.aio import client, config

from pve_evpn.domain.objects import ObjectKey
from pve_evpn.kube.events import KubeEvents
from tests.kube.controlplane import ControlPlane

pytestmark = pytest.mark.kube


async def test_a_repetition_is_a_series_of_the_event_that_is_there(control_plane: ControlPlane, namespace: str) -> None:
    configuration = client.Configuration()
    await config.load_kube_config(str(control_plane.kubeconfig), client_configuration=configuration)
    key, uid = ObjectKey("VNet", namespace, "web"), str(uuid.uuid4())
    async with client.ApiClient(configuration) as api:
        events = KubeEvents(api, namespace, "pod-1")
        for _ in range(3):
            await events.post(key, uid, "Warning", "Drifted", "alias is theirs, specified ours")
        await events.post(key, uid, "Normal", "Updated", "update vnet web: alias theirs -> ours")
    found = json.loads(control_plane.kubectl("get", "events.events.k8s.io", "-n", namespace, "-o", "json"))["items"]
    shown = {event["reason"]: (event["note"], event.get("series", {}).get("count", 1)) for event in found}
    assert shown == {
        "Drifted": ("alias is theirs, specified ours", 3),
        "Updated": ("update vnet web: alias theirs -> ours", 1),
    }
    assert "(x3 over" in control_plane.kubectl("events", "-n", namespace)
