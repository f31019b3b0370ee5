"""docs/observing.md names every observed field, every verdict, every Event and every metric, and no others."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from pve_evpn import metrics
from pve_evpn.api.controller import ControllerNode, EvpnControllerStatus, Sessions
from pve_evpn.api.nic import EvpnView, MacState
from pve_evpn.api.node import EvpnNodeStatus, FabricNeighbour, Peer, VniStatus
from pve_evpn.api.vnet import Routes, VNetNode
from pve_evpn.api.zone import DefaultRoute, Exit, ExitNode, ExitPeer, IpVrf, NodeVrf, ZoneNode
from pve_evpn.domain.health import macs, transitions

PAGE = (Path(__file__).parents[3] / "docs" / "observing.md").read_text()
ROOT = Path(__file__).parents[3]


def names(model: type, *without: type) -> set[str]:
    """JSON names of a model's own fields."""
    inherited = {name for parent in without for name in parent.model_fields}  # type: ignore[attr-defined]
    fields = model.model_fields  # type: ignore[attr-defined]
    return {field.alias or name for name, field in fields.items() if name not in inherited}


def words(*headings: str) -> set[str]:
    """Names in code in the first column of the table's parts with these headings; ``a.b[].c`` counts as its parts."""
    found: set[str] = set()
    part = ""
    for line in PAGE.splitlines():
        if heading := re.match(r"\| \*\*(\w+)\*\*", line):
            part = heading[1]
        elif part in headings and line.startswith("| `"):
            for code in re.findall(r"`([^`]+)`", line.split("|")[1]):
                found |= set(re.split(r"\.|\[\]\.?", code)) - {""}
        elif not line.startswith("|"):
            part = ""
    return found


REPORTED = {"observedGeneration", "lastHandledReconcileAt", "conditions", "source", "observedAt"}


@pytest.mark.parametrize(
    ("heading", "fields"),
    [
        ("EvpnNode", names(EvpnNodeStatus) | names(Peer) | names(VniStatus) | names(FabricNeighbour)),
        ("EvpnController", names(EvpnControllerStatus) | names(Sessions) | names(ControllerNode)),
        (
            "EvpnZone",
            {"ipVrf", "exit"}
            | {name for model in (IpVrf, NodeVrf, Exit, ExitNode, ExitPeer, DefaultRoute) for name in names(model)},
        ),
        ("VNet", {"nodes", "routes"} | names(VNetNode, ZoneNode) | names(Routes)),
        ("NicAttachment", {"evpn"} | names(EvpnView)),
    ],
)
def test_every_observed_field_says_where_it_comes_from(heading: str, fields: set[str]) -> None:
    # Names and ids are not observed.
    documented = words(heading)
    known = fields - REPORTED - {"name", "id", "origin", "programmedHash"}
    if heading in ("EvpnController", "VNet"):
        known -= {"truncated"}
    assert documented == known


def test_every_verdict_is_explained() -> None:
    assert [verdict for verdict in MacState if f"\n| {verdict} |" not in PAGE] == []


def test_every_event_is_listed() -> None:
    reasons = {word for pair in transitions._REASONS.values() for word in pair}
    reasons |= {meaning.event for meaning in macs.MEANING.values() if meaning.event} | {"MacMoved"}
    section = PAGE.split("## Events and metrics")[1]
    assert reasons == {reason for reason in re.findall(r"\b[A-Z]\w+[a-z]\b", section) if reason in reasons}


def test_every_metric_of_the_nodes_is_listed() -> None:
    section = PAGE.split("## Events and metrics")[1]
    listed = set(re.findall(r"`(pve_evpn_\w+)`", section))
    gauges = (
        metrics.SESSION_UP, metrics.SESSION_SINCE, metrics.PREFIXES, metrics.VNI_MACS, metrics.VNI_ARP_ND,
        metrics.VNI_REMOTE_VTEPS, metrics.VNI_MISSING_VTEPS, metrics.LAST_OBSERVATION,
    )  # fmt: skip
    assert listed == {gauge._name for gauge in gauges}


def test_links_lead_somewhere() -> None:
    links = re.findall(r"\]\((?!https?:)([^)#]+)", PAGE)
    assert links
    assert [link for link in links if not (ROOT / "docs" / link).exists()] == []
