"""More nodes, peers and words than a status has room for: cut and counted, and no reason to write anew each time."""

from __future__ import annotations

from dataclasses import replace

from pve_evpn.api.kinds import KINDS
from pve_evpn.api.limits import fit
from pve_evpn.domain.health.record import nodes_that_fit
from pve_evpn.domain.observation import ClusterObservation
from pve_evpn.domain.status.sdn import patch_for
from tests.unit.health.overlay import VM1
from tests.unit.health.test_health import CONTROLLER, NIC, VNET, ZONE, Bench, node_key, resource
from tests.unit.plan_world import with_status

SIZE = 135
LONG = "10.5-dev-MyOwnFRRVersion-g0123456789ab"


def large() -> Bench:
    bench = Bench(SIZE)
    bench.overlay.speak(VM1, "pve1")
    bench.home("pve1")
    bench.objects = {key: bench.objects[key] for key in (CONTROLLER, ZONE, VNET, NIC, node_key("pve1"))}
    return bench


def seen(bench: Bench) -> ClusterObservation:
    looks = bench.overlay.seen()
    named = {name: replace(look, frr_version=LONG) for name, look in looks.answered().items()}
    return replace(looks, nodes={**looks.nodes, **named})


def test_what_does_not_fit_is_cut_and_counted() -> None:
    bench = large()
    first = bench.poll(seen(bench))
    controller, node = first[CONTROLLER].status, first[node_key("pve1")].status
    assert (len(controller["nodes"]), controller["truncated"]) == (64, SIZE - 64)
    assert controller["sessionsSummary"] == f"{SIZE * (SIZE - 1)}/{SIZE * (SIZE - 1)}"
    assert (len(node["peers"]), node["truncated"]) == (128, SIZE - 1 - 128)
    assert node["frrVersion"].startswith("10.5-dev-MyOwnFRRVersion")
    for key, health in first.items():
        assert key.kind in KINDS
        assert fit(key.kind, health.status) == health.status
    assert bench.poll(seen(bench)) == first


def test_unwell_nodes_are_shown_before_others() -> None:
    bench = large()
    names = bench.overlay.names
    bench.overlay.down = {frozenset((names[-1], names[-2]))}
    rows = [row["name"] for row in bench.judge().health[CONTROLLER].status["nodes"]]
    assert len(rows) == 64
    assert {names[-1], names[-2]} < set(rows)


def test_rows_stay_in_their_order() -> None:
    rows = [{"name": f"n{number}", "bad": number == 99} for number in range(100)]
    cut = nodes_that_fit(rows, lambda row: bool(row["bad"]))
    assert cut == {"nodes": [*rows[:63], rows[99]], "truncated": 36}
    assert nodes_that_fit(rows[:64], lambda row: True) == {"nodes": rows[:64], "truncated": None}


def test_what_is_written_fits_and_a_count_that_is_over_goes() -> None:
    zone = resource(ZONE)
    rows = [{"name": f"n{number}", "state": "Available"} for number in range(70)]
    status = nodes_that_fit(rows, lambda row: False)
    assert patch_for(zone, status) == {"nodes": rows[:64], "truncated": 6}
    written = with_status(zone, status)
    assert patch_for(written, status) == {}
    assert patch_for(written, nodes_that_fit(rows[:3], lambda row: False)) == {"nodes": rows[:3], "truncated": None}
