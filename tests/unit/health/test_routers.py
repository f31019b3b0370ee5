"""Sessions with routers outside: seen, down, missing, and not shown at all."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest

from pve_evpn.api.status import as_written
from pve_evpn.domain.health import assess
from pve_evpn.domain.health.expected import ExpectedOverlay, ExpectedRouter
from pve_evpn.domain.objects import ObjectKey
from pve_evpn.domain.observation import ClusterObservation, NodeObservation, PeerState
from tests.unit.plan.world import NODES

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
