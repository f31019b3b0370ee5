"""Small makers of what Kubernetes holds, for the reports that people read."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from typing import Any

from pve_evpn.cli.report.snapshot import RecordedEvent, Snapshot
from pve_evpn.domain.objects import Resource
from tests.unit.plan.world import EPOCH, cluster, controller, resource, vnet, with_status, zone

NOW = EPOCH + timedelta(hours=1)
MAC = "bc:24:11:11:11:11"


def judged(item: Resource[Any], status: str, reason: str, message: str = "", **more: Any) -> Resource[Any]:
    """The resource with a Ready condition; ``stalled`` adds that one; the rest are fields of its status."""
    stalled = more.pop("stalled", False)
    moment = EPOCH.isoformat()
    conditions = [
        {"type": "Ready", "status": status, "reason": reason, "message": message, "lastTransitionTime": moment}
    ]
    if stalled:
        conditions.append({**conditions[0], "type": "Stalled", "status": "True"})
    return with_status(item, {"conditions": conditions, **more})


def ready(item: Resource[Any], **more: Any) -> Resource[Any]:
    return judged(item, "True", "Ready", **more)


def nic(name: str = "nic1", **spec: Any) -> Resource[Any]:
    base = {
        "clusterRef": {"name": "pve"}, "guest": {"vmid": 100}, "device": "net0", "vnetRef": {"name": "net1"},
    }  # fmt: skip
    return resource("NicAttachment", name, {**base, **spec})


def node(name: str, **status: Any) -> Resource[Any]:
    made = resource("EvpnNode", f"pve-{name}", {"clusterRef": {"name": "pve"}, "node": name})
    return judged(made, status.pop("ready", "True"), status.pop("reason", "Operational"), **status)


def snapshot(*changed: Resource[Any], events: tuple[RecordedEvent, ...] = (), **more: Any) -> Snapshot:
    """A cluster, controller, zone, VNet and NIC that are Ready, with ``changed`` in their place or beside them."""
    whole = {item.key: item for item in map(ready, (cluster(), controller(), zone(), vnet(), nic()))}
    whole |= {item.key: item for item in changed}
    return Snapshot(whole, NOW, events, **more)


def without(made: Snapshot, *gone: Resource[Any]) -> Snapshot:
    keys = {item.key for item in gone}
    return replace(made, objects={key: item for key, item in made.objects.items() if key not in keys})
