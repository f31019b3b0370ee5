"""What observation says about one object: its ``Operational`` condition and what it adds to the status."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from pve_evpn.api.conditions import ConditionType, Reason
from pve_evpn.domain.conditions import ConditionValue

#: Rows per node in a status.
MOST_NODES = 64


@dataclass(frozen=True, slots=True)
class Health:
    """What observation says about one object: its ``Operational`` condition and its part of the status.

    `rows`: what it adds, by node, to the rows of ``status.nodes`` that Proxmox fills.
    """

    verdict: ConditionValue
    status: Mapping[str, Any] = field(default_factory=dict)
    rows: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)


NO_BGP_SOURCE = "the Proxmox API shows no BGP sessions; spec.observe.sources of the ProxmoxCluster names others"


def unobserved(message: str = "no source can see this") -> Health:
    """No source: unknown, which is not down."""
    return Health(ConditionValue(ConditionType.OPERATIONAL, None, Reason.SOURCE_UNAVAILABLE, message))


def nodes_that_fit(rows: list[dict[str, Any]], unwell: Callable[[Mapping[str, Any]], bool]) -> dict[str, Any]:
    """The rows there is room for, those of unwell nodes before others, and how many more there are."""
    shown = sorted(range(len(rows)), key=lambda n: not unwell(rows[n]))[:MOST_NODES]
    return {"nodes": [rows[n] for n in sorted(shown)], "truncated": len(rows) - len(shown) or None}
