"""Whether an operator is running, as far as Leases tell: ``release-finalizers`` must not believe it gone too soon."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from kubernetes.aio import client
from kubernetes.aio.client.exceptions import ApiException

from pve_evpn.cli.failures import Refusal
from pve_evpn.cli.release_finalizers import _refuse_if_running
from pve_evpn.kube.leader import SHARED

pytestmark = pytest.mark.asyncio


def lease(renewed: datetime | None, holder: str = "pod-1", name: str = "evpn-pve-evpn-operator") -> client.V1Lease:
    return client.V1Lease(
        metadata=client.V1ObjectMeta(name=name, namespace="net"),
        spec=client.V1LeaseSpec(holder_identity=holder, renew_time=renewed, lease_duration_seconds=15),
    )


class Leases:
    """Answers with one list after the other, the last one for ever."""

    def __init__(self, *answers: list[client.V1Lease]) -> None:
        self.answers = list(answers)
        self.asked = 0

    async def list_lease_for_all_namespaces(self, *, label_selector: str) -> Any:
        assert "app.kubernetes.io/name=pve-evpn-operator" in label_selector
        self.asked += 1
        items = self.answers.pop(0) if len(self.answers) > 1 else self.answers[0]
        return client.V1LeaseList(items=items)


@pytest.fixture(autouse=True)
def no_waiting(monkeypatch: pytest.MonkeyPatch) -> None:
    real = asyncio.sleep
    monkeypatch.setattr(asyncio, "sleep", lambda _seconds: real(0))


NOW = datetime.now(UTC)


async def test_a_lease_that_is_renewed_in_any_namespace_is_an_operator_that_runs() -> None:
    leases: Any = Leases([lease(NOW)], [lease(NOW)], [lease(NOW + timedelta(seconds=2))])
    with pytest.raises(Refusal, match="pod-1 renews the Lease net/evpn-pve-evpn-operator"):
        await _refuse_if_running(leases)


async def test_one_that_appears_meanwhile_too() -> None:
    leases: Any = Leases([lease(NOW)], [lease(NOW), lease(NOW, name="other")])
    with pytest.raises(Refusal, match="net/other"):
        await _refuse_if_running(leases)


@pytest.mark.parametrize("renewed", [NOW - timedelta(days=1), NOW + timedelta(hours=1)], ids=["long ago", "in future"])
async def test_a_lease_nobody_renews_is_watched_for_its_duration(renewed: datetime) -> None:
    """The clock here may be wrong by hours, so that it is not asked."""
    leases: Any = Leases([lease(renewed)])
    await _refuse_if_running(leases)
    assert leases.asked == 1 + 15


async def test_without_a_holder_nobody_is_waited_for() -> None:
    leases: Any = Leases([lease(NOW, holder="")])
    await _refuse_if_running(leases)
    assert leases.asked == 1


async def test_who_may_not_look_is_not_told_that_nobody_runs() -> None:
    class Forbidden:
        async def list_lease_for_all_namespaces(self, **_: Any) -> None:
            raise ApiException(status=403, reason="Forbidden")

    forbidden: Any = Forbidden()
    with pytest.raises(Refusal, match="is unknown"):
        await _refuse_if_running(forbidden)


async def test_the_lease_that_replicas_share_is_not_waited_for() -> None:
    """It lasts four times as long as the Lease of each replica, which ends with it."""
    leases: Any = Leases([lease(NOW, holder=SHARED)])
    await _refuse_if_running(leases)
    assert leases.asked == 1
