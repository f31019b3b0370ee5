"""The cache: what objects share in memory."""

from __future__ import annotations

from typing import Any

from pve_evpn.api.nic import NicAttachmentStatus
from pve_evpn.api.status import as_written
from pve_evpn.domain.objects import ObjectKey, Resource
from pve_evpn.engine.cache import Cache

KEY = ObjectKey("NicAttachment", "team-a", "vm1-net0")
STATUS = NicAttachmentStatus(observed_generation=1, source="ssh")


def spec(vnet: str = "blue") -> dict[str, Any]:
    return {
        "clusterRef": {"name": "pve"},
        "vnetRef": {"name": vnet},
        "guest": {"type": "qemu", "vmid": 100},
        "device": "net0",
    }


def raw(version: int, *, uid: str = "u1", generation: int = 1, status: Any = None, vnet: str = "blue") -> Any:
    return {
        "kind": KEY.kind,
        "metadata": {
            "name": KEY.name,
            "namespace": KEY.namespace,
            "uid": uid,
            "resourceVersion": str(version),
            "generation": generation,
            "creationTimestamp": "2026-01-01T00:00:00Z",
        },
        "spec": spec(vnet),
        "status": status or {},
    }


def known(cache: Cache) -> Resource[Any]:
    resource = cache.get(KEY)
    assert resource is not None
    assert resource.invalid is None
    return resource


def test_a_status_that_comes_back_is_the_one_that_was_written() -> None:
    cache, stored = Cache(), as_written(STATUS)
    cache.upsert(raw(1))
    with cache.writing_status(KEY, STATUS, stored):
        cache.upsert(raw(2, status=dict(stored)))
    assert known(cache).status is STATUS


def test_a_status_that_comes_back_otherwise_is_read() -> None:
    cache, stored = Cache(), as_written(STATUS)
    cache.upsert(raw(1))
    with cache.writing_status(KEY, STATUS, stored):
        cache.upsert(raw(2, status={**stored, "source": "api"}))
    assert known(cache).status.source == "api"
    cache.upsert(raw(3, status=stored))
    assert known(cache).status == STATUS
    assert known(cache).status is not STATUS, "no status is being written"


def test_a_spec_is_read_once_per_generation() -> None:
    cache = Cache()
    cache.upsert(raw(1))
    before = known(cache).spec
    cache.upsert(raw(2, status={"source": "api"}))
    assert known(cache).spec is before
    cache.upsert(raw(3, generation=2, vnet="red"))
    assert known(cache).spec.vnet_ref.name == "red"


def test_a_namesake_is_read_anew() -> None:
    cache = Cache()
    cache.upsert(raw(1))
    cache.upsert(raw(9, uid="u2", vnet="red"))
    assert known(cache).spec.vnet_ref.name == "red"
