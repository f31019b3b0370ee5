"""More nodes, peers and words than a status has room for: cut and counted, and no reason to write anew each time."""

from __future__ import annotations

from dataclasses import replace

from pve_evpn.api.controller import EvpnControllerStatus
from pve_evpn.api.node import EvpnNodeStatus
from pve_evpn.api.status import as_written, patch, updated
from pve_evpn.api.zone import EvpnZoneStatus, ZoneNode
from pve_evpn.domain.health.object_health import nodes_that_fit
from pve_evpn.domain.observation import ClusterObservation
from tests.unit.health.overlay import VM1
from tests.unit.health.test_health import CONTROLLER, NIC, VNET, ZONE, Bench, node_key, resource

SIZE = 135
LONG = "10.5-dev-MyOwnFRRVersion-g0123456789ab"


def large() -> Bench:
    bench = Bench(SIZE)
    bench.overlay.speak(VM1, "pve1")
    bench.home("pve1")
    bench.objects = {key: bench.objects[key] for key in (CONTROLLER, ZONE, VNET, NIC, node_key("pve1"))}
    return bench


def seen(bench: Bench) -> ClusterObservation:
    observation = bench.overlay.seen()
    named = {name: replace(look, frr_version=LONG) for name, look in observation.answered().items()}
    return replace(observation, nodes={**observation.nodes, **named})


def test_what_does_not_fit_is_cut_and_counted() -> None:
    bench = large()
    first = bench.poll(seen(bench))
    controller, node = first[CONTROLLER].status, first[node_key("pve1")].status
    assert isinstance(controller, EvpnControllerStatus)
    assert isinstance(node, EvpnNodeStatus)
    assert (len(controller.nodes or ()), controller.truncated) == (64, SIZE - 64)
    assert controller.sessions_summary == f"{SIZE * (SIZE - 1)}/{SIZE * (SIZE - 1)}"
    assert (len(node.peers or ()), node.truncated) == (128, SIZE - 1 - 128)
    assert (node.frr_version or "").startswith("10.5-dev-MyOwnFRRVersion")
    assert bench.poll(seen(bench)) == first


def test_unwell_nodes_are_shown_before_others() -> None:
    bench = large()
    names = bench.overlay.names
    bench.overlay.down = {frozenset((names[-1], names[-2]))}
    status = bench.assess().health[CONTROLLER].status
    assert isinstance(status, EvpnControllerStatus)
    rows = [row.name for row in status.nodes or ()]
    assert len(rows) == 64
    assert {names[-1], names[-2]} < set(rows)


def test_rows_stay_in_their_order() -> None:
    rows = [{"name": f"n{number}", "bad": number == 99} for number in range(100)]
    cut = nodes_that_fit(rows, lambda row: bool(row["bad"]))
    assert cut == ([*rows[:63], rows[99]], 36)
    assert nodes_that_fit(rows[:64], lambda row: True) == (rows[:64], None)


def test_what_is_written_fits_and_a_count_that_is_over_goes() -> None:
    zone = resource(ZONE)
    rows = [ZoneNode(name=f"n{number}", state="Available") for number in range(70)]
    written = [as_written(row) for row in rows]
    many = updated(zone.status, EvpnZoneStatus(nodes=rows, truncated=None))
    assert patch(zone.status, many)[0] == {"nodes": written[:64], "truncated": 6}
    assert patch(many, many) == ({}, {})
    few = updated(many, EvpnZoneStatus(nodes=rows[:3], truncated=None))
    assert patch(many, few)[0] == {"nodes": written[:3], "truncated": None}
