"""Sessions and neighbours of IS-IS with routers outside: seen, down, missing, and not shown at all."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from pve_evpn.api.status import as_written
from pve_evpn.domain.health import assess
from pve_evpn.domain.health.expected import ExpectedIsis, ExpectedOverlay, ExpectedRouter
from pve_evpn.domain.health.object_health import Health
from pve_evpn.domain.health.overlay import expected_overlay, remembered_overlay
from pve_evpn.domain.nics import NicPlan
from pve_evpn.domain.objects import ObjectKey, Resource
from pve_evpn.domain.observation import (
    ClusterObservation,
    FabricNeighbour,
    NodeObservation,
    NodeResult,
    ObservationFailure,
    PeerState,
)
from pve_evpn.domain.plan import plan
from tests.unit.plan.world import NODES, desired, isis_controller, observed

AT = datetime(2026, 11, 25, 9, 0, tzinfo=UTC)
KEY = ObjectKey("BgpController", "", "bgp1")
ROUTER = ExpectedRouter(KEY, "pve1", ("192.0.2.1", "2001:db8::1"))


def seen(peers: tuple[PeerState, ...] | None, source: Any = "ssh") -> tuple[str, str, str, dict[str, Any]]:
    """Status, reason and message of Operational, and what the status gets."""
    node = NodeObservation("pve1", source, AT, unicast_peers=peers)
    expected = ExpectedOverlay(members=NODES, routers=(ROUTER,))
    health = assess(expected, ClusterObservation(AT, {"pve1": node}), {}).health[KEY]
    value = health.operational
    return value.word, value.reason.value, value.message, as_written(health.status)


def test_established_sessions_with_their_prefixes() -> None:
    peers = tuple(
        PeerState(address, "Established", remote_as=65100, since=AT, prefixes_received=3, prefixes_sent=7)
        for address in ("192.0.2.1", "2001:DB8::1")
    )
    word, reason, _, status = seen(peers)
    assert (word, reason, status["sessionsSummary"]) == ("True", "Operational", "2/2")
    assert status["peers"][1] == {
        "address": "2001:db8::1",
        "state": "Established",
        "remoteAs": 65100,
        "since": "2026-11-25T09:00:00Z",
        "prefixesReceived": 3,
        "prefixesSent": 7,
    }


def test_a_session_that_is_down_and_one_that_frr_does_not_have() -> None:
    word, reason, message, status = seen((PeerState("192.0.2.1", "Active"),))
    assert (word, reason) == ("False", "SessionDown")
    assert message == "pve1 to 192.0.2.1 is Active; pve1 to 2001:db8::1 is Missing"
    assert status["sessions"] == {"established": 0, "expected": 2}


@pytest.mark.parametrize(
    ("source", "words"),
    [("api", "seen by source ssh only"), ("frrExporter", "seen by source ssh only"), ("ssh", "its helper shows no")],
)
def test_what_no_source_shows_is_unknown(source: str, words: str) -> None:
    word, reason, message, status = seen(None, source)
    assert (word, reason) == ("Unknown", "SourceUnavailable")
    assert words in message
    assert "peers" not in status


# --- IS-IS -------------------------------------------------------------------------------------------------------

ISIS = ExpectedIsis(ObjectKey("IsisController", "", "isis1"), "pve1", ("eno2", "eno3"))
UP = (FabricNeighbour("isis", "pve2", "Up", "eno2"), FabricNeighbour("isis", "leaf1", "Up", "eno3"))


def isis(result: NodeResult, before: Resource[Any] | None = None, at: datetime = AT) -> Health:
    expected = ExpectedOverlay(members=NODES, isis=(ISIS,))
    reported = {ISIS.key: before} if before else {}
    return assess(expected, ClusterObservation(at, {"pve1": result}), reported).health[ISIS.key]


def shown(
    neighbours: tuple[FabricNeighbour, ...] | None, *, running: bool | None = True, **more: Any
) -> NodeObservation:
    fields: dict[str, Any] = {"source": "ssh", "isis_running": running, "isis_neighbours": neighbours, **more}
    return NodeObservation(node="pve1", at=AT, **fields)


def test_what_is_expected_of_a_controller_is_what_it_specifies() -> None:
    wanted = desired(isis_controller(interfaces=["eno3", "eno2"]))
    planned = expected_overlay(wanted, observed(), plan(wanted, observed()), NicPlan())
    assert planned.isis == remembered_overlay(wanted).isis == (ISIS,)
    broken = desired(isis_controller(), isis_controller("other", age=9))
    planned = expected_overlay(broken, observed(), plan(broken, observed()), NicPlan())
    assert [isis.key.name for isis in planned.isis] == ["isis1"], "one that is refused is not expected"


def test_every_interface_has_a_neighbour() -> None:
    health = isis(shown(UP))
    assert (health.operational.word, health.operational.reason.value) == ("True", "Operational")
    assert health.operational.message == "2 of 2 interfaces have a neighbour"
    status = as_written(health.status)
    assert (status["neighboursSummary"], status["source"]) == ("2/2", "ssh")
    assert status["neighbours"] == [
        {"interface": "eno2", "neighbour": "pve2", "state": "Up", "since": "2026-11-25T09:00:00Z"},
        {"interface": "eno3", "neighbour": "leaf1", "state": "Up", "since": "2026-11-25T09:00:00Z"},
    ]


@pytest.mark.parametrize(
    ("neighbours", "summary", "message"),
    [
        (UP[:1], "1/2", "pve1: interface eno3 has no neighbour"),
        ((), "0/2", "pve1: interface eno2 has no neighbour; pve1: interface eno3 has no neighbour"),
        (
            (UP[0], FabricNeighbour("isis", "1921.6801.6002", "Initializing", "eno3")),
            "1/2",
            "pve1 to 1921.6801.6002 on eno3 is Initializing",
        ),
        ((UP[0], FabricNeighbour("isis", "pve2", "Up", "eno9")), "1/2", "pve1: interface eno3 has no neighbour"),
    ],
)
def test_an_interface_without_a_neighbour_that_is_up_is_named(
    neighbours: tuple[FabricNeighbour, ...], summary: str, message: str
) -> None:
    health = isis(shown(neighbours))
    assert (health.operational.word, health.operational.reason.value) == ("False", "AdjacencyDown")
    assert health.operational.message == message
    assert as_written(health.status)["neighboursSummary"] == summary


def test_one_of_several_neighbours_that_is_up_is_enough() -> None:
    other = FabricNeighbour("isis", "leaf2", "Initializing", "eno3")
    assert isis(shown((*UP, other))).operational.word == isis(shown((other, *UP))).operational.word == "True"


def test_a_node_where_isisd_does_not_run_is_said_to_be_one() -> None:
    health = isis(shown((), running=False))
    assert (health.operational.word, health.operational.reason.value) == ("False", "AdjacencyDown")
    assert health.operational.message.startswith("isisd does not run on pve1")


@pytest.mark.parametrize(
    ("node", "words"),
    [
        (shown(None, running=None), "pve1: its helper does not read IS-IS; install the pve-evpn-observe"),
        (shown(None, problems=("show isis neighbor json: not JSON",)), "pve1: show isis neighbor json: not JSON"),
        (shown(None, running=None, source="api"), "neighbours of IS-IS are seen by source ssh only"),
        (shown(None, running=None, source="frrExporter"), "neighbours of IS-IS are seen by source ssh only"),
    ],
)
def test_isis_that_no_source_shows_is_unknown_and_never_down(node: NodeObservation, words: str) -> None:
    health = isis(node)
    assert (health.operational.word, health.operational.reason.value) == ("Unknown", "SourceUnavailable")
    assert words in health.operational.message
    assert "neighbours" not in as_written(health.status)


def test_a_node_that_cannot_be_read_is_unknown_once_the_grace_time_is_over() -> None:
    before = reported(isis(shown(UP)))
    failure = ObservationFailure("pve1", AT, "Timeout", "did not answer in time", "ssh", settled=False)
    assert isis(failure, before).operational.message == "not observed yet"
    value = isis(ObservationFailure("pve1", AT, "Timeout", "did not answer in time", "ssh"), before).operational
    assert (value.word, value.reason.value) == ("Unknown", "ObservationStale")


def test_since_is_when_the_state_was_first_seen() -> None:
    first = isis(shown(UP))
    later = isis(shown((UP[0],)), reported(first), AT + timedelta(minutes=1))
    last = isis(shown((UP[0],)), reported(later), AT + timedelta(minutes=2))
    assert [row["since"] for row in as_written(last.status)["neighbours"]] == [
        "2026-11-25T09:00:00Z",
        "2026-11-25T09:01:00Z",
    ]
    assert as_written(last.status)["observedAt"] == "2026-11-25T09:01:00Z", "nothing new, so nothing is written"


def reported(health: Health) -> Resource[Any]:
    """The controller with this as its status."""
    return replace(isis_controller(), status=health.status)
