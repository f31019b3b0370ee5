"""Fabrics: what a node must show to be well, what is unknown, and what a status says of it."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import pytest

from pve_evpn.api.status import as_written
from pve_evpn.domain.health import assess
from pve_evpn.domain.health.expected import ExpectedFabric, ExpectedOverlay
from pve_evpn.domain.health.object_health import Health
from pve_evpn.domain.objects import ObjectKey
from pve_evpn.domain.observation import (
    ClusterObservation,
    FabricLink,
    FabricNeighbour,
    FabricView,
    NodeObservation,
    ObservationFailure,
)
from tests.unit.plan.world import NODES

AT = datetime(2026, 11, 25, 9, 0, tzinfo=UTC)
KEY = ObjectKey("Fabric", "", "under")
FABRIC = ExpectedFabric(
    KEY,
    "under",
    "ospf",
    {"pve1": ("10.255.0.1",), "pve2": ("10.255.0.2",)},
    {"pve1": ("eno1",), "pve2": ("eno1",)},
)
MEMBERS = {name: NODES[name] for name in ("pve1", "pve2")}


def view(neighbour: str, state: str = "Full/-", link: str = "up", *routes: str) -> FabricView:
    return FabricView(
        (FabricNeighbour("", neighbour, state),), (FabricLink("eno1", link),), routes or (f"{neighbour}/32",)
    )


WELL = {"pve1": view("10.255.0.2"), "pve2": view("10.255.0.1")}


def health(views: dict[str, FabricView | None], fabric: ExpectedFabric = FABRIC, members: Any = MEMBERS) -> Health:
    nodes = {
        name: NodeObservation(name, "api", AT, fabrics=None if shown is None else {"under": shown})
        for name, shown in views.items()
    }
    return assess(ExpectedOverlay(members=members, fabrics=(fabric,)), ClusterObservation(AT, nodes), {}).health[KEY]


def test_all_is_well() -> None:
    found = health(WELL)
    assert (found.operational.word, found.operational.message) == ("True", "2 of 2 nodes have all their neighbours")
    assert as_written(found.status)["adjacenciesSummary"] == "2/2"


@pytest.mark.parametrize(
    ("shown", "message"),
    [
        (FabricView((), (FabricLink("eno1", "up"),), ()), "pve1 has no neighbour in the fabric"),
        (view("10.255.0.2", "ExStart/-"), "pve1 to 10.255.0.2 is ExStart/-"),
        (view("10.255.0.2", "Full/-", "down"), "pve1: interface eno1 is down"),
        (view("10.255.0.2", "Full/-", "up", "10.9.0.0/24"), "pve1 has no route to pve2 (10.255.0.2)"),
        (FabricView(WELL["pve1"].neighbours, (), ("10.255.0.0/24",)), "pve1: interface eno1 is missing"),
    ],
)
def test_what_is_wrong_is_said(shown: FabricView, message: str) -> None:
    found = health({**WELL, "pve1": shown})
    assert (found.operational.word, found.operational.reason) == ("False", "AdjacencyDown")
    assert found.operational.message == message
    assert as_written(found.status)["adjacenciesSummary"] == "1/2"


def test_a_summary_route_is_a_route() -> None:
    assert health({**WELL, "pve1": view("10.255.0.2", "Full/-", "up", "10.255.0.0/24")}).operational.word == "True"


def test_parts_that_were_not_read_yet_are_no_problem() -> None:
    found = health({**WELL, "pve1": replace(WELL["pve1"], links=None, routes=None)})
    assert found.operational.word == "True"


def test_what_no_source_shows_is_unknown() -> None:
    found = health({"pve1": None, "pve2": None})
    assert (found.operational.word, found.operational.reason) == ("Unknown", "SourceUnavailable")
    assert "adjacenciesSummary" not in as_written(found.status)
    half = health({**WELL, "pve1": None})
    assert half.operational.word == "Unknown"
    assert as_written(half.status)["adjacenciesSummary"] == "1/2"


def test_nothing_is_expected_of_or_with_a_node_that_is_off() -> None:
    off = {**MEMBERS, "pve2": replace(MEMBERS["pve2"], online=False)}
    alone = {"pve1": FabricView((), (FabricLink("eno1", "up"),), ())}
    assert health(alone, members=off).operational.word == "True"


def test_words_of_a_protocol_that_are_not_known_are_not_judged() -> None:
    found = health(
        {**WELL, "pve1": view("peer", "5 minutes ago", "up", "10.255.0.2/32")}, replace(FABRIC, protocol="wireguard")
    )
    assert found.operational.word == "True"


def test_a_node_within_its_grace_time_changes_nothing() -> None:
    failed = ObservationFailure("pve1", AT, "Timeout", "no answer", "ssh", settled=False)
    observation = ClusterObservation(AT, {"pve1": failed})
    found = assess(ExpectedOverlay(members=MEMBERS, fabrics=(FABRIC,)), observation, {}).health[KEY]
    assert found.operational.reason == "Pending"


def test_neighbours_that_frr_itself_shows_count_where_the_fabric_is_the_only_one_of_its_protocol() -> None:
    def seen(*fabrics: ExpectedFabric) -> str:
        nodes = {
            name: NodeObservation(name, "ssh", AT, fabric_neighbours=(FabricNeighbour("ospf", "x", "Full/-"),))
            for name in MEMBERS
        }
        expected = ExpectedOverlay(members=MEMBERS, fabrics=fabrics)
        return assess(expected, ClusterObservation(AT, nodes), {}).health[KEY].operational.word

    assert seen(FABRIC) == "True"
    assert seen(FABRIC, replace(FABRIC, key=ObjectKey("Fabric", "", "two"), id="two")) == "Unknown"
