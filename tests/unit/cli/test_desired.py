"""What is read of Kubernetes with rights in some namespaces only."""

from __future__ import annotations

from typing import Any

import pytest
from kubernetes.aio.client.exceptions import ApiException

from pve_evpn.cli import desired
from pve_evpn.cli.failures import Refusal
from pve_evpn.domain.objects import ObjectKey


class Limited:
    """An API server that lets the caller see VNets, NicAttachments and the namespace itself, in ``allowed`` only."""

    allowed = frozenset({"team-a"})
    error = 403

    def __init__(self, _api: Any) -> None:
        pass

    def _check(self, kind: str, namespace: str) -> None:
        if namespace not in self.allowed or kind not in ("VNet", "NicAttachment", "Namespace"):
            raise ApiException(status=self.error)

    async def list_all(self, kind: str, namespace: str = "") -> tuple[list[dict[str, Any]], int]:
        self._check(kind, namespace)
        metadata = {"name": "blue", "namespace": namespace, "uid": "1", "resourceVersion": "1"}
        made = {"kind": kind, "metadata": {**metadata, "creationTimestamp": "2026-01-01T00:00:00Z"}, "spec": {}}
        return [made] if kind == "VNet" else [], 5

    async def namespaces(self) -> tuple[list[dict[str, Any]], int]:
        self._check("Namespace", "")
        return [], 1

    async def namespace(self, name: str) -> dict[str, Any]:
        self._check("Namespace", name)
        return {"kind": "Namespace", "metadata": {"name": name, "labels": {"tier": "gold"}}}


@pytest.fixture(autouse=True)
def limited(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(desired, "CustomObjects", Limited)


async def test_a_namespaces_own_objects_and_labels_are_read() -> None:
    read = await desired.read_cache(None, ["team-a"])  # type: ignore[arg-type]  no client is used
    assert read.cache.get(ObjectKey("VNet", "team-a", "blue")) is not None
    assert read.cache.namespaces["team-a"]["tier"] == "gold"
    assert read.partly == ("Namespace", "NicAttachment", "VNet")
    assert {"ProxmoxCluster", "EvpnZone"} <= set(read.unread)
    assert not read.is_whole


@pytest.mark.parametrize("namespaces", [[], ["team-b"], ["team-a", "team-b"]])
async def test_without_the_right_in_one_of_them_the_kind_is_unread(namespaces: list[str]) -> None:
    read = await desired.read_cache(None, namespaces)  # type: ignore[arg-type]
    assert read.partly == ()
    assert {"VNet", "NicAttachment", "Namespace"} <= set(read.unread)


async def test_another_error_ends_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Limited, "error", 500)
    with pytest.raises(ApiException):
        await desired.read_cache(None, ["team-b"])  # type: ignore[arg-type]


def test_no_cluster_because_none_may_be_seen_is_said_so() -> None:
    with pytest.raises(Refusal, match=r"no ProxmoxCluster \(you may not list EvpnZone\): name one with --cluster"):
        desired.one_cluster(set(), "", ["EvpnZone"])
