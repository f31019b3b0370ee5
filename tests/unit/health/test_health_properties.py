"""Two promises over generated overlays: unknown is never down, and what does not change says nothing new."""

from __future__ import annotations

from dataclasses import dataclass, field, replace

from hypothesis import given, settings
from hypothesis import strategies as st

from pve_evpn.domain.health.macs import DUPLICATE_PATIENCE
from pve_evpn.domain.objects import ObjectKey, Resource
from pve_evpn.domain.observation import ClusterObservation, NodeObservation, NodeResult
from tests.unit.health.overlay import L3_VNI, VM1, VNI
from tests.unit.health.test_health import Bench

NAMES = ("pve1", "pve2", "pve3", "pve4")
_PARTS = ("peers", "vnis", "bgp_vnis", "macs", "routes")
_PAIRS = st.sampled_from([(a, b) for a in NAMES for b in NAMES if a < b])


@dataclass
class Blindness:
    """What the sources do not see, of a healthy overlay."""

    failed: dict[str, bool] = field(default_factory=dict)
    """Nodes that cannot be read, and whether that is settled."""
    missing: set[str] = field(default_factory=set)
    """Nodes that were not looked at."""
    parts: dict[str, set[str]] = field(default_factory=dict)
    """Parts of a node's answer that could not be read."""

    def observation(self, bench: Bench) -> ClusterObservation:
        for name, settled in self.failed.items():
            bench.overlay.fail(name, settled=settled)
        nodes: dict[str, NodeResult] = {}
        for name, look in bench.overlay.seen().nodes.items():
            if name in self.missing:
                continue
            if isinstance(look, NodeObservation):
                look = replace(look, **dict.fromkeys(self.parts.get(name, ())))
            nodes[name] = look
        bench.overlay.failed.clear()
        return ClusterObservation(bench.overlay.now, nodes)


_BLIND = st.builds(
    Blindness,
    failed=st.dictionaries(st.sampled_from(NAMES), st.booleans()),
    missing=st.sets(st.sampled_from(NAMES)),
    parts=st.dictionaries(st.sampled_from(NAMES), st.sets(st.sampled_from(_PARTS))),
)


@settings(max_examples=200)
@given(st.lists(_BLIND, min_size=1, max_size=4))
def test_what_cannot_be_seen_is_never_down(sights: list[Blindness]) -> None:
    """The overlay is well all the time; whatever is not seen of it, nothing is said to be down."""
    bench = Bench()
    bench.overlay.speak(VM1, "pve4", "10.60.0.100")
    for sight in sights:
        for key, health in bench.poll(sight.observation(bench)).items():
            assert health.operational.status is not False, (key, health.operational)


@st.composite
def _broken(draw: st.DrawFn) -> Bench:
    """An overlay with anything wrong in it."""
    bench = Bench()
    overlay = bench.overlay
    overlay.down = {frozenset(pair) for pair in draw(st.sets(_PAIRS, max_size=3))}
    overlay.stopped = draw(st.sets(st.sampled_from(NAMES), max_size=2))
    overlay.flood_gaps = draw(st.sets(_PAIRS, max_size=3))
    overlay.without = {(name, draw(st.sampled_from([VNI, L3_VNI]))) for name in draw(st.sets(st.sampled_from(NAMES)))}
    for name in draw(st.sets(st.sampled_from(NAMES), max_size=2)):
        overlay.fail(name, settled=draw(st.booleans()))
    if owners := draw(st.sets(st.sampled_from(NAMES), max_size=2)):
        overlay.speak(VM1, min(owners), "10.60.0.100")
        speaker = overlay.speakers[VM1]
        speaker.nodes = tuple(sorted(owners))
        speaker.zombie, speaker.duplicate = draw(st.booleans()), draw(st.booleans())
    bench.home(draw(st.sampled_from([None, *NAMES])), running=draw(st.booleans()), advertises=draw(st.booleans()))
    return bench


def _statuses(bench: Bench) -> dict[ObjectKey, Resource[object]]:
    return dict(bench.objects)


@settings(max_examples=200)
@given(_broken(), _broken())
def test_the_same_network_seen_again_changes_no_status(first: Bench, then: Bench) -> None:
    first.poll()
    # Another network with the memory of the first one: what is new is reported once it has lasted, then nothing is.
    then.objects, then.suspects = first.objects, first.suspects
    then.poll()
    then.poll(seconds=DUPLICATE_PATIENCE.seconds)
    before = _statuses(then)
    for _ in range(3):
        then.poll()
        assert _statuses(then) == before
