"""What stands behind the lab's API: what an apply does to nodes, and where routes and neighbours come from.

`Dataplane` is what the lab asks and tells. `model.Model`, the default, computes the answers from the lab's own state;
`frr.plane.FrrPlane` has real FRR do the work and reads the answers from it.
"""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import Future
from typing import Any, Protocol

from pve_lab.dataplane.running import Running

Rows = list[dict[str, Any]]


class Dataplane(Protocol):
    """The nodes behind the lab. Rows are as the API answers them.

    All methods are called with the lab's lock held and return soon; what takes its time is a future.
    """

    name: str

    @property
    def notes(self) -> Sequence[str]:
        """What somebody looking at the lab must know about it: what is modelled, what is left out."""

    def reload(self, node: str, running: Running) -> Future[list[str]]:
        """Load a configuration on a node; lines for the task's log. Its exception is why the reload failed."""

    def follow(self) -> None:
        """Guests and nodes have changed, or may have: be as the lab's own state says."""

    def missing(self, node: str, vnet: str) -> str:
        """Why a VNet that a node has loaded is not there; empty if it is."""

    def mac_vrf(self, node: str, vnet: str) -> Rows: ...

    def ip_vrf(self, node: str, zone: str) -> Rows: ...

    def bridges(self, node: str, zone: str) -> Rows: ...

    def neighbours(self, node: str, fabric: str) -> Rows: ...

    def fabric_routes(self, node: str, fabric: str) -> Rows: ...

    def fabric_interfaces(self, node: str, fabric: str) -> Rows: ...

    def close(self) -> None: ...
