"""What is decided about guests' NICs. Values only; :func:`pve_evpn.domain.nics.plan_nics` makes them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from pve_evpn.domain.conditions import Problem
from pve_evpn.domain.nics.netn import NetN
from pve_evpn.domain.objects import ObjectKey, Origin
from pve_evpn.domain.state import GuestState


@dataclass(frozen=True, slots=True)
class NicWrite:
    """The ``netN`` string one NIC gets; ``text`` None removes the NIC."""

    text: str | None


@dataclass(frozen=True, slots=True)
class GuestWrite:
    """One write to one guest: the new string per device (None removes it), and the objects that want it."""

    guest: GuestState
    changes: Mapping[str, str | None]
    keys: Mapping[str, ObjectKey]

    def without(self, devices: frozenset[str]) -> GuestWrite:
        """The same write, leaving some devices alone."""
        changes = {device: text for device, text in self.changes.items() if device not in devices}
        return GuestWrite(self.guest, changes, {device: self.keys[device] for device in changes})

    def only(self, device: str) -> GuestWrite:
        """The same write for one device."""
        return self.without(frozenset(self.changes) - {device})


@dataclass(frozen=True, slots=True)
class NicDecision:
    """What is to be done for one NicAttachment, and what its status says.

    ``refused``, ``waiting``, ``blocked``, ``release``, ``in_sync``, ``managed``, ``drift``: as in
    :class:`pve_evpn.domain.plan.model.Decision`. ``config``: the NIC as it is now. ``attached``: it is, or was once
    written, as ``origin`` says. ``previous_bridge``: the bridge it was on before, "" for none, None if that is not
    known. ``write``: what is to be written now. ``restart``: fields that are written and wait for a restart of the
    guest. ``misplaced``: connected on a node that its zone does not have. ``warnings``: shown whatever the conditions
    say. ``changes``: what a write changes, in words, whether or not it is carried out now. ``left``: the NIC that stays
    connected when the object goes, though its policy is to detach it. ``kept``: its policy leaves the guest as it is.
    """

    key: ObjectKey
    guest: GuestState | None = None
    device: str = ""
    vnet_id: str = ""
    zone_id: str = ""
    config: NetN | None = None
    origin: Origin | None = None
    attached: bool = False
    previous_bridge: str | None = None
    refused: Problem | None = None
    waiting: Problem | None = None
    blocked: Problem | None = None
    misplaced: Problem | None = None
    release: bool = False
    left: str = ""
    kept: bool = False
    in_sync: bool = False
    managed: bool = True
    missing: bool = False
    restart: tuple[str, ...] = ()
    drift: tuple[str, ...] = ()
    changes: tuple[str, ...] = ()
    warnings: tuple[str, ...] = ()
    write: NicWrite | None = None

    @property
    def mac(self) -> str | None:
        """The MAC address of the NIC as it is now."""
        return self.config.get("mac") if self.config else None


@dataclass(frozen=True, slots=True)
class NicPlan:
    """A decision for each NicAttachment, and the writes that follow from them, one per guest."""

    decisions: Mapping[ObjectKey, NicDecision] = field(default_factory=dict)
    writes: tuple[GuestWrite, ...] = ()
