"""Whatever a node prints, parsers answer with records or with their own error."""

from __future__ import annotations

import contextlib
import json
import random
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pve_evpn.observe import frr_exporter
from pve_evpn.observe.frr import FrrParseError, bgpd, observation, split, underlay, zebra
from tests.unit.observe.recorded import documents

AT = datetime(2026, 11, 25, tzinfo=UTC)

PARSERS: list[Callable[[str], Any]] = [
    zebra.version,
    zebra.evpn_is_on,
    zebra.vnis,
    zebra.macs,
    bgpd.summary,
    bgpd.reset_reasons,
    bgpd.vnis,
    bgpd.routes,
    underlay.bfd_peers,
    underlay.ospf_neighbours,
    underlay.openfabric_neighbours,
    underlay.isis_neighbours,
    lambda text: frr_exporter.parse("pve1", AT, text),
    lambda text: observation("pve1", AT, text),
]

# Keys FRR uses, so that generated documents get past the first check.
_WORDS = """
    5001 9000 16777216 0 vni type vxlanIf numMacs numRemoteVteps remoteVteps tenantVrf macs intf remoteVtep
    localSequence isDuplicate peers state peerUptimeEstablishedEpoch pfxRcd routerId as rd paths routeType mac ip
    ipLen extendedCommunity string nexthops used weight peerId bestpath overall valid pmsi label originatorIp rmac
    importRTs inKernel neighbors nbrState areas circuits adj peer status numVnis l2VpnEvpn hostname lastResetDueTo
    bc:24:11:11:11:11 192.168.16.1 [2]:[0]:[48]:[bc:24:11:11:11:11] [5]: [x
"""
_KEYS = st.sampled_from(_WORDS.split())
_LEAVES = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(),
    st.floats(),
    st.text(max_size=12),
    st.sampled_from(["L2", "L3", "n/a", "local", "remote", "Established", "RT:65001:5001 MM:1", "(unspec)", "True"]),
    st.sampled_from(["bc:24:11:11:11:11", "192.168.16.1", "\ud800", "\x00", "9" * 400]),
)
_JSON = st.recursive(
    _LEAVES,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(_KEYS | st.text(max_size=6), inner, max_size=5),
    max_leaves=30,
)


def _survives(parse: Callable[[str], Any], text: str) -> None:
    with contextlib.suppress(FrrParseError):
        parse(text)


@pytest.mark.redteam
@given(_JSON)
def test_any_json(value: Any) -> None:
    text = json.dumps(value)
    for parse in PARSERS:
        _survives(parse, text)


@pytest.mark.redteam
@given(st.text())
def test_any_text(text: str) -> None:
    for parse in PARSERS:
        _survives(parse, text)


@pytest.mark.parametrize("text", ["[" * 100_000, '{"a":' * 50_000, '{"5001":' + "9" * 5000 + "}", "1e999999", "NaN"])
def test_documents_made_to_hurt(text: str) -> None:
    for parse in PARSERS:
        _survives(parse, text)


def test_recordings_with_bytes_lost_doubled_and_swapped() -> None:
    chance = random.Random(1)
    for document in documents():
        for _ in range(40):
            broken = _break(document, chance)
            with contextlib.suppress(FrrParseError):
                look = observation("pve1", AT, broken)
                assert look.node == "pve1"


def test_recordings_with_one_value_of_another_type() -> None:
    chance = random.Random(2)
    others: list[Any] = [None, True, -1, 2**70, "x", "n/a", [], {}, [[]], [None], {"5001": 1}, 1.5]
    for document in documents():
        for command, printed in split(document).documents.items():
            try:
                value = json.loads(printed)
            except ValueError:
                continue
            for _ in range(15):
                swapped = json.dumps(_swap(json.loads(printed), chance, others))
                for parse in PARSERS:
                    _survives(parse, swapped)
            assert value is not None, command


def _break(text: str, chance: random.Random) -> str:
    start = chance.randrange(len(text))
    end = min(len(text), start + chance.choice((1, 1, 1, 5, 50, 500)))
    return chance.choice(
        (
            text[:start] + text[end:],
            text[:start] + text[start:end] * 2 + text[end:],
            text[:start] + text[start:end][::-1] + text[end:],
            text[:start] + chr(chance.randrange(0x250)) + text[end:],
            text[:start],
        )
    )


def _swap(value: Any, chance: random.Random, others: list[Any]) -> Any:
    """Replace one value somewhere in a document."""
    places: list[tuple[Any, Any]] = []

    def walk(inner: Any) -> None:
        entries = inner.items() if isinstance(inner, dict) else enumerate(inner) if isinstance(inner, list) else ()
        for key, child in list(entries):
            places.append((inner, key))
            walk(child)

    walk(value)
    if places:
        container, key = chance.choice(places)
        container[key] = chance.choice(others)
    return value
