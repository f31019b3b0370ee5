"""What the status of a NicAttachment remembers of earlier writes.

It is read from the *status* alone: a tenant can write the annotations of its own objects, so neither whose guest it
was, nor whether the operator made the NIC, nor the bridge it goes back to may come from there.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from pve_evpn.api import kinds
from pve_evpn.api.conditions import ConditionType, Reason
from pve_evpn.api.nic import NicAttachmentSpec
from pve_evpn.domain.nics.guests import attached_to
from pve_evpn.domain.nics.netn import NetN
from pve_evpn.domain.objects import Origin, Resource
from pve_evpn.domain.state import GuestState


@dataclass(frozen=True, slots=True)
class NicMemory:
    """Earlier writes to one NIC of one guest.

    ``previous_bridge``: "" where the NIC was on no bridge, None where that is not known. ``vnets``: the ids of VNets it
    was put on. ``mac``: the address it had, "" if that is not known.
    """

    origin: Origin | None = None
    previous_bridge: str | None = None
    vnets: frozenset[str] = frozenset()
    mac: str = ""

    @classmethod
    def of(cls, nic: Resource[NicAttachmentSpec], guest: GuestState, config: NetN | None) -> NicMemory:
        """Nothing is remembered for another guest of the same name, nor for another NIC in the place of the one that
        was written: a number is given to a new guest once the old one is destroyed."""
        if attached_to(nic) != guest.vmid:
            return cls()
        mac = (nic.status.mac_address or "").lower()
        specified = (nic.spec.mac_address if nic.spec else None) or ""
        actual = (config.get("mac") if config else None) or ""
        if mac and actual and actual.lower() not in (mac, specified.lower()):
            return cls()
        vnets = (nic.status.vnet, nic.annotations.get(kinds.ANNOTATION_ATTACHED))
        return cls(nic.origin, nic.status.previous_bridge, frozenset(str(vnet) for vnet in vnets if vnet), mac)


def was_programmed(nic: Resource[Any]) -> bool:
    """Whether the present generation had been programmed when the status was written last."""
    if nic.status.observed_generation != nic.generation:
        return False
    programmed = nic.status.condition(ConditionType.PROGRAMMED)
    return programmed is not None and (
        programmed.status == "True" or programmed.reason in (Reason.FIELDS_DIFFER, Reason.MISSING_EXTERNALLY)
    )
