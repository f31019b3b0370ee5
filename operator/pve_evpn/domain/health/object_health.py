"""What observation says about one object, in the shape that `domain.status` puts into the object's status."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import TypeVar

from pve_evpn.api.conditions import ConditionType, ObservedStatus, Reason
from pve_evpn.api.vnet import VniOnNode
from pve_evpn.domain.conditions import ConditionValue

RowT = TypeVar("RowT")

#: Rows per node in a status.
MOST_NODES = 64
NO_BGP_SOURCE = "the Proxmox API shows no BGP sessions; spec.observe.sources of the ProxmoxCluster names others"


@dataclass(frozen=True, slots=True)
class Health:
    """What observation says about one object.

    Attributes:
        operational: Condition ``Operational``.
        status: The observed part of the status: the fields that are set are reported, all others stay.
        rows: By node name what is added to the rows of a VNet's ``status.nodes`` that Proxmox fills.
    """

    operational: ConditionValue
    status: ObservedStatus = field(default_factory=ObservedStatus)
    rows: Mapping[str, VniOnNode] = field(default_factory=dict)


def unobserved(message: str = "no source can see this") -> Health:
    """No source shows the object: Unknown, which is not down."""
    return Health(ConditionValue(ConditionType.OPERATIONAL, None, Reason.SOURCE_UNAVAILABLE, message))


def nodes_that_fit(rows: list[RowT], unwell: Callable[[RowT], bool]) -> tuple[list[RowT], int | None]:
    """The first `MOST_NODES` rows, unwell nodes before others, and how many more there are."""
    shown = sorted(range(len(rows)), key=lambda n: not unwell(rows[n]))[:MOST_NODES]
    return [rows[n] for n in sorted(shown)], len(rows) - len(shown) or None
