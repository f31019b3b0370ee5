"""Events as Kubernetes gets them: one per cause, a series where it happens again, and never an error."""

from __future__ import annotations

from typing import Any

from kubernetes.aio.client.exceptions import ApiException

from pve_evpn.domain.objects import ObjectKey
from pve_evpn.kube.events import SERIES, SIMILAR, KubeEvents

KEY = ObjectKey("VNet", "team-a", "web")


class Api:
    """As much of the Events API as is used: ``created`` by name, with the series that were patched in."""

    def __init__(self) -> None:
        self.created: dict[str, dict[str, Any]] = {}
        self.requests = 0
        self.forbidden = False

    async def create_namespaced_event(self, namespace: str, body: dict[str, Any]) -> None:
        self.requests += 1
        assert body["metadata"]["namespace"] == namespace
        assert body["metadata"]["name"] not in self.created
        self.created[body["metadata"]["name"]] = body

    async def patch_namespaced_event(self, name: str, _namespace: str, body: dict[str, Any], **_: Any) -> None:
        self.requests += 1
        if self.forbidden or name not in self.created:
            raise ApiException(status=403 if self.forbidden else 404)
        self.created[name] |= body


class Recorder:
    def __init__(self) -> None:
        self.now = 1_800_000_000.0
        self.events = KubeEvents(None, "own", "pod-1", lambda: self.now)  # type: ignore[arg-type]  # replaced below
        self.api = self.events._events = Api()  # type: ignore[assignment]

    async def post(self, message: str, reason: str = "Drifted", cause: str = "", uid: str = "u") -> None:
        self.now += 1
        await self.events.post(KEY, uid, "Warning", reason, message, cause)

    @property
    def shown(self) -> list[tuple[str, int]]:
        """Note and count of each Event."""
        return [(event["note"], event.get("series", {}).get("count", 1)) for event in self.api.created.values()]


async def test_what_happens_again_is_counted_with_its_first_and_last_time() -> None:
    recorder = Recorder()
    for _ in range(5):
        await recorder.post("alias is x")
    assert recorder.shown == [("alias is x", 5)]
    (event,) = recorder.api.created.values()
    assert event["eventTime"] == "2027-01-15T08:00:01.000000Z"
    assert event["series"]["lastObservedTime"] == "2027-01-15T08:00:05.000000Z"


async def test_each_cause_has_its_own() -> None:
    recorder = Recorder()
    await recorder.post("alias is x")
    await recorder.post("alias is y")
    await recorder.post("alias is x", reason="Stalled")
    await recorder.post("alias is x", uid="another object of that name")
    assert [count for _, count in recorder.shown] == [1, 1, 1, 1]


async def test_a_cause_may_be_less_than_the_text() -> None:
    recorder = Recorder()
    await recorder.post("refused (transaction a)", cause="refused")
    await recorder.post("refused (transaction b)", cause="refused")
    assert recorder.shown == [("refused (transaction a)", 2)]


async def test_after_an_hour_without_it_kubernetes_may_have_forgotten_it() -> None:
    recorder = Recorder()
    await recorder.post("alias is x")
    recorder.now += SERIES
    await recorder.post("alias is x")
    assert recorder.shown == [("alias is x", 1)] * 2


async def test_an_event_that_is_gone_or_may_not_be_changed_is_made_anew() -> None:
    recorder = Recorder()
    await recorder.post("alias is x")
    recorder.api.created.clear()
    await recorder.post("alias is x")
    assert recorder.shown == [("alias is x", 1)]
    recorder.api.forbidden = True
    await recorder.post("alias is x")
    assert recorder.shown == [("alias is x", 1)] * 2


async def test_many_that_differ_in_their_text_are_combined() -> None:
    recorder = Recorder()
    for number in range(100):
        await recorder.post(f"alias is {number}")
    assert len(recorder.shown) == SIMILAR + 1
    assert recorder.shown[-1] == (f"(combined from similar events): alias is {SIMILAR}", 100 - SIMILAR)
