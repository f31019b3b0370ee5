"""What a scrape says is what the statuses say."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

from prometheus_client import CollectorRegistry

from pve_evpn.engine.cache import Cache
from pve_evpn.engine.collector import StatusCollector

NOW = datetime(2026, 11, 25, 12, 0, tzinfo=UTC)
ZONE = {
    "clusterRef": {"name": "pve"},
    "controllerRef": {"name": "c"},
    "vrfVni": 100001,
    "allowedNamespaces": {"from": "All"},
}
KIND_PREFIX = "pve_evpn_"


def scraped(*objects: dict[str, Any], holds: Callable[[str], bool] = lambda _cluster: True) -> CollectorRegistry:
    cache = Cache()
    for number, raw in enumerate(objects, 1):
        meta = {
            "uid": str(number),
            "resourceVersion": str(number),
            "creationTimestamp": "2026-11-25T00:00:00Z",
            **raw["metadata"],
        }
        cache.upsert({**raw, "metadata": meta})
    registry = CollectorRegistry()
    registry.register(StatusCollector(cache, lambda: NOW, holds))
    return registry


def conditions(**words: str) -> list[dict[str, str]]:
    return [{"type": type_, "status": word, "reason": "Why", **SINCE} for type_, word in words.items()]


SINCE = {"lastTransitionTime": "2026-01-01T00:00:00Z"}


def cluster(**status: Any) -> dict[str, Any]:
    spec = {"endpoints": ["https://pve1:8006"], "credentialsSecretRef": {"name": "s"}}
    return {"kind": "ProxmoxCluster", "metadata": {"name": "pve"}, "spec": spec, "status": status}


def nic(name: str, **status: Any) -> dict[str, Any]:
    spec = {"clusterRef": {"name": "pve"}, "guest": {"vmid": 100}, "device": "net0", "vnetRef": {"name": "v"}}
    return {"kind": "NicAttachment", "metadata": {"name": name, "namespace": "n"}, "spec": spec, "status": status}


def value(registry: CollectorRegistry, name: str, **labels: str) -> float | None:
    return registry.get_sample_value(KIND_PREFIX + name, labels)


def test_a_cluster_has_zeros_from_the_start() -> None:
    registry = scraped(cluster())
    assert value(registry, "objects", cluster="pve", kind="VNet", ready="False") == 0
    assert value(registry, "objects_stalled", cluster="pve", kind="VNet") == 0
    assert value(registry, "objects", cluster="pve", kind="ProxmoxCluster", ready="Unknown") == 1


def test_objects_are_counted_by_what_ready_says_and_whether_they_wait_for_the_user() -> None:
    registry = scraped(
        cluster(conditions=conditions(Ready="True", Reachable="True")),
        nic("a", conditions=conditions(Ready="False", Stalled="True", Drifted="False")),
        nic("b", conditions=conditions(Ready="True", Drifted="True")),
    )
    assert value(registry, "objects", cluster="pve", kind="NicAttachment", ready="False") == 1
    assert value(registry, "objects", cluster="pve", kind="NicAttachment", ready="True") == 1
    assert value(registry, "objects_stalled", cluster="pve", kind="NicAttachment") == 1
    assert value(registry, "objects_drifted", cluster="pve", kind="NicAttachment") == 1


def test_nics_are_counted_by_vnet_verdict_and_pin() -> None:
    silent = {"vnet": "EVPN1", "evpn": {"verdict": "Silent"}}
    off = {
        **silent,
        "conditions": [{"type": "Operational", "status": "Unknown", "reason": "NothingToAnnounce", **SINCE}],
    }
    nics = nic("a", **silent), nic("b", **silent), nic("c", **silent, pinned=True), nic("d"), nic("e", **off)
    registry = scraped(cluster(), *nics)
    assert value(registry, "nics", cluster="pve", vnet="EVPN1", verdict="Silent", pinned="false") == 2
    assert value(registry, "nics", cluster="pve", vnet="EVPN1", verdict="Silent", pinned="true") == 1
    assert value(registry, "nics", cluster="pve", vnet="", verdict="Unknown", pinned="false") == 1
    assert value(registry, "nics", cluster="pve", vnet="EVPN1", verdict="NothingToAnnounce", pinned="false") == 1


def test_vnets_say_their_vni_and_how_many_nodes_have_them() -> None:
    nodes = [{"name": "pve1", "state": "Available"}, {"name": "pve2", "state": "Available"}]
    status = {"id": "EVPN1", "vni": 5001, "zone": "EZone1", "nodes": [*nodes, {"name": "pve3", "state": "Error"}]}
    vnet = {
        "kind": "VNet",
        "metadata": {"name": "v", "namespace": "n"},
        "spec": {"zoneRef": {"name": "z"}, "vni": 5001},
    }
    zone = {"kind": "EvpnZone", "metadata": {"name": "z"}, "spec": ZONE}
    registry = scraped(cluster(), zone, {**vnet, "status": status})
    assert value(registry, "vnet_info", cluster="pve", vnet="EVPN1", vni="5001", zone="EZone1") == 1
    assert value(registry, "vnet_nodes", cluster="pve", vnet="EVPN1", state="Available") == 2
    assert value(registry, "vnet_nodes", cluster="pve", vnet="EVPN1", state="Error") == 1


def test_exit_nodes_of_a_zone_as_far_as_they_are_known() -> None:
    nodes = [
        {"name": f"pve{n}", "role": "Shared", "usable": usable} for n, usable in ((1, True), (2, False), (3, None))
    ]
    status = {"id": "EZone1", "exit": {"nodes": nodes}}
    zone = {"kind": "EvpnZone", "metadata": {"name": "z"}, "spec": ZONE, "status": status}
    registry = scraped(cluster(), zone)
    found = [value(registry, "exit_node_usable", cluster="pve", zone="EZone1", node=f"pve{n}") for n in (1, 2, 3)]
    assert found == [1, 0, None]


def test_what_a_reachable_cluster_says_of_itself() -> None:
    registry = scraped(
        cluster(
            conditions=conditions(Reachable="True"),
            nodes=[{"name": "pve1", "online": True, "programmed": False}, {"name": "pve2", "online": False}],
            pending={"own": 2, "foreign": ["a", "b"], "truncated": 3, "hostNetwork": ["pve1"]},
            lock={"holder": "Other", "since": "2026-11-25T11:50:00Z"},
            lastTransaction={
                "outcome": "Applied",
                "changes": 1,
                "startedAt": "2026-11-25T10:59:00Z",
                "finishedAt": "2026-11-25T11:00:00Z",
            },
            tokenExpiresAt="2026-11-26T12:00:00Z",
        )
    )
    assert value(registry, "node_online", cluster="pve", node="pve1") == 1
    assert value(registry, "node_online", cluster="pve", node="pve2") == 0
    assert value(registry, "node_programmed", cluster="pve", node="pve1") == 0
    assert value(registry, "node_programmed", cluster="pve", node="pve2") is None
    assert value(registry, "pending_objects", cluster="pve", owner="self") == 2
    assert value(registry, "pending_objects", cluster="pve", owner="foreign") == 5
    assert value(registry, "pending_objects", cluster="pve", owner="host-network") == 1
    assert value(registry, "sdn_lock_held_seconds", cluster="pve") == 600
    hour_ago = NOW.timestamp() - 3600
    assert value(registry, "last_transaction_timestamp_seconds", cluster="pve", outcome="Applied") == hour_ago
    assert value(registry, "token_expiry_timestamp_seconds", cluster="pve") == NOW.timestamp() + 86400


def failed(word: str) -> list[dict[str, str]]:
    return [{"type": "Programmed", "status": "False", "reason": word, **SINCE}]


def test_a_failed_transaction_counts_while_an_object_says_so() -> None:
    at_rest = cluster(conditions=conditions(Reachable="True"), lastTransaction={"outcome": "StagingFailed"})
    zone = {"kind": "EvpnZone", "metadata": {"name": "z"}, "spec": ZONE}
    suffering = scraped(at_rest, {**zone, "status": {"conditions": failed("StagingFailed")}})
    assert value(suffering, "transaction_failed", cluster="pve", outcome="StagingFailed") == 1
    assert value(suffering, "transaction_failed", cluster="pve", outcome="Reverted") == 0
    assert value(scraped(at_rest, zone), "transaction_failed", cluster="pve", outcome="StagingFailed") == 0


def test_it_counts_while_something_of_it_is_still_staged() -> None:
    status = {
        "conditions": conditions(Reachable="True"),
        "lastTransaction": {"outcome": "ApplyFailed", "changes": 1, "startedAt": "2026-11-25T00:00:00Z"},
    }
    registry = scraped(cluster(**status, pending={"own": 1}))
    assert value(registry, "transaction_failed", cluster="pve", outcome="ApplyFailed") == 1
    assert value(registry, "transaction_failed", cluster="pve", outcome="StagingFailed") == 0
    assert value(scraped(cluster(**status)), "transaction_failed", cluster="pve", outcome="ApplyFailed") == 0


def test_a_guest_that_refused_its_nic_is_no_failed_transaction() -> None:
    registry = scraped(cluster(conditions=conditions(Reachable="True")), nic("a", conditions=failed("ApplyFailed")))
    assert value(registry, "transaction_failed", cluster="pve", outcome="ApplyFailed") == 0


def test_what_waits_as_planned_is_counted_apart_with_the_nics_that_wait_for_it() -> None:
    def unready(reason: str) -> list[dict[str, str]]:
        return [{"type": "Ready", "status": "False", "reason": reason, **SINCE}]

    zone = {"kind": "EvpnZone", "metadata": {"name": "z"}, "spec": ZONE}
    vnet = {"kind": "VNet", "spec": {"zoneRef": {"name": "z"}, "vni": 5001}}
    for reason, counted in (("OutsideWindow", 1), ("AwaitingApproval", 1), ("SdnLocked", 0)):
        registry = scraped(
            cluster(conditions=unready(reason)),
            zone,
            {**vnet, "metadata": {"name": "v", "namespace": "n"}, "status": {"conditions": unready(reason)}},
            {**vnet, "metadata": {"name": "v", "namespace": "other"}, "status": {"conditions": unready("SdnLocked")}},
            nic("a", conditions=unready("WaitingForDependencies")),
            nic("b", conditions=unready("GuestLocked")),
            nic("c", conditions=conditions(Ready="True")),
        )
        waiting = {
            kind: value(registry, "objects_waiting", cluster="pve", kind=kind)
            for kind in ("ProxmoxCluster", "EvpnZone", "VNet", "NicAttachment")
        }
        assert waiting == {"ProxmoxCluster": counted, "EvpnZone": 0, "VNet": counted, "NicAttachment": counted}, reason


def test_our_own_lock_is_in_nobodys_way() -> None:
    lock = {"holder": "Self", "since": "2026-11-25T11:50:00Z"}
    registry = scraped(cluster(conditions=conditions(Reachable="True"), lock=lock))
    assert value(registry, "sdn_lock_held_seconds", cluster="pve") == 0


def test_a_cluster_that_cannot_be_reached_reports_no_past() -> None:
    lock = {"holder": "Other", "since": "2026-11-25T11:50:00Z"}
    registry = scraped(cluster(conditions=conditions(Reachable="False"), lock=lock, nodes=[{"name": "pve1"}]))
    assert value(registry, "sdn_lock_held_seconds", cluster="pve") is None
    assert value(registry, "node_online", cluster="pve", node="pve1") is None


def test_of_a_cluster_that_another_replica_leads_for_only_that_is_said() -> None:
    other = cluster(conditions=conditions(Reachable="True"), nodes=[{"name": "pve9", "online": True}])
    other["metadata"]["name"] = "other"
    stray = nic("stray")
    stray["spec"]["clusterRef"]["name"] = "gone"
    registry = scraped(cluster(), other, nic("mine"), stray, holds=lambda name: name == "pve")
    assert value(registry, "cluster_leader", cluster="pve") == 1
    assert value(registry, "cluster_leader", cluster="other") == 0
    assert value(registry, "objects", cluster="pve", kind="NicAttachment", ready="Unknown") == 1
    assert value(registry, "objects", cluster="other", kind="ProxmoxCluster", ready="Unknown") is None
    assert value(registry, "node_online", cluster="other", node="pve9") is None
    assert value(registry, "objects", cluster="gone", kind="NicAttachment", ready="Unknown") is None


def test_what_belongs_to_no_cluster_is_said_by_the_replica_that_reports_it() -> None:
    stray = nic("stray")
    stray["spec"]["clusterRef"]["name"] = "gone"
    registry = scraped(cluster(), stray, holds=lambda name: name == "")
    assert value(registry, "objects", cluster="gone", kind="NicAttachment", ready="Unknown") == 1
    assert value(registry, "objects", cluster="pve", kind="ProxmoxCluster", ready="Unknown") is None
