"""What the cluster asks of its surroundings: a data plane behind its nodes, and the faults that interfere."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from concurrent.futures import Future
from dataclasses import dataclass, field
from typing import Any, Protocol

from pve_lab.running_config import RunningConfig

Rows = list[dict[str, Any]]


class Dataplane(Protocol):
    """The nodes behind the lab. Rows are as the API answers them.

    All methods are called with the cluster's lock held and return soon; what takes its time is a future.
    """

    name: str

    @property
    def notes(self) -> Sequence[str]:
        """What a user has to know about this data plane: what is modelled, what is left out."""

    def reload(self, node: str, running: RunningConfig) -> Future[list[str]]:
        """Load a configuration on a node; lines for the task's log. Its exception is why the reload failed."""

    def follow(self) -> None:
        """Bring nodes and guests to the cluster's state, which may have changed."""

    def missing(self, node: str, vnet: str) -> str:
        """What a VNet lacks on a node that has loaded it; empty if nothing."""

    def mac_vrf(self, node: str, vnet: str) -> Rows: ...

    def ip_vrf(self, node: str, zone: str) -> Rows: ...

    def bridges(self, node: str, zone: str) -> Rows: ...

    def neighbours(self, node: str, fabric: str) -> Rows: ...

    def fabric_routes(self, node: str, fabric: str) -> Rows: ...

    def fabric_interfaces(self, node: str, fabric: str) -> Rows: ...

    def close(self) -> None: ...


@dataclass
class ReloadEffects:
    """What faults do to one reload. ``hold`` takes the function that lets the reload go on."""

    seconds: float | None = None
    error: str = ""
    warnings: list[str] = field(default_factory=list)
    hold: Callable[[Callable[[], None]], None] | None = None


@dataclass
class TaskEffects:
    """What faults do to the end of one task."""

    error: str = ""
    warnings: list[str] = field(default_factory=list)


class Interference(Protocol):
    """Asked by the cluster where a fault may change what happens."""

    def with_reload(self, node: str) -> ReloadEffects:
        """A node begins to reload its network."""

    def with_task(self, type_: str) -> TaskEffects:
        """A task of a type ends."""

    def with_hotplug(self, vmid: int) -> str:
        """A running guest's NIC is plugged: why that fails; empty if it does not."""


class NoInterference:
    """A cluster without faults."""

    def with_reload(self, node: str) -> ReloadEffects:
        return ReloadEffects()

    def with_task(self, type_: str) -> TaskEffects:
        return TaskEffects()

    def with_hotplug(self, vmid: int) -> str:
        return ""
