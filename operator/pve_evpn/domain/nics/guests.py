"""Which guest a NicAttachment means, and whether its namespace may use it. Pure.

A guest that a namespace may not use looks like one that does not exist: the same reason, the same message. Only an
object that was attached to the guest before says that the permission is gone: it knew of the guest anyway.
"""

from __future__ import annotations

from collections import defaultdict
from typing import Any

from pve_evpn.api.conditions import Reason
from pve_evpn.api.nic import Guest, NicAttachmentSpec
from pve_evpn.domain.conditions import Problem
from pve_evpn.domain.objects import Desired, Resource
from pve_evpn.domain.plan.grants import Grants
from pve_evpn.domain.state import ClusterState, GuestState
from pve_evpn.text import meant


class GuestDirectory:
    """The guests of one cluster, found by number or name on behalf of a namespace."""

    def __init__(self, desired: Desired, state: ClusterState) -> None:
        self._by_vmid = dict(state.guests or {})
        self._by_name: defaultdict[str, list[GuestState]] = defaultdict(list)
        for guest in self._by_vmid.values():
            self._by_name[guest.name].append(guest)
        self.permits = Grants(desired).permits

    def find(
        self, nic: Resource[NicAttachmentSpec], spec: NicAttachmentSpec
    ) -> tuple[GuestState | None, Problem | None]:
        """The guest the spec names, or why there is none for this object."""
        asked = _asked(spec.guest)
        named = [guest for guest in self._named(nic, spec.guest) if spec.type is None or guest.kind == spec.type]
        usable = [guest for guest in named if self.permits(nic.key.namespace, guest)]
        if not usable:
            if any(guest.vmid == attached_to(nic) for guest in named):
                message = "guest: this namespace may no longer use it; its NIC was left as it is"
                return None, Problem(Reason.REF_NOT_PERMITTED, message)
            if others := [guest for guest in self._named(nic, spec.guest) if self.permits(nic.key.namespace, guest)]:
                message = f"type: the spec says {spec.type}, and the guest with {asked} is {others[0].label}"
                return None, Problem(Reason.INVALID_SPEC, message)
            message = f"guest: there is no guest with {asked} that this object may use{self._meant(nic, spec.guest)}"
            return None, Problem(Reason.REF_NOT_FOUND, message, retryable=True)
        if len(usable) > 1:
            listed = ", ".join(str(guest.vmid) for guest in usable)
            message = f"guest: several guests have {asked} ({listed}); use vmid"
            return None, Problem(Reason.REF_NOT_FOUND, message, retryable=True)
        if usable[0].template:
            message = f"guest: {usable[0].label} is a template, which has no running NIC"
            return None, Problem(Reason.INVALID_SPEC, message)
        return usable[0], None

    def _meant(self, nic: Resource[Any], wanted: Guest) -> str:
        """A guest of nearly that name, of those that the namespace may use."""
        if wanted.name is None:
            return ""
        return meant(wanted.name, (g.name for g in self._by_vmid.values() if self.permits(nic.key.namespace, g)))

    def attached(self, nic: Resource[NicAttachmentSpec]) -> GuestState | None:
        """The guest the object was attached to, whatever it is called by now, if it may still be touched."""
        guest = self._by_vmid.get(attached_to(nic) or 0)
        return guest if guest and self.permits(nic.key.namespace, guest) else None

    def _named(self, nic: Resource[Any], wanted: Guest) -> list[GuestState]:
        if wanted.vmid is not None:
            guest = self._by_vmid.get(wanted.vmid)
            return [guest] if guest else []
        before = self._by_vmid.get(attached_to(nic) or 0)
        if before and not before.known and not before.name:
            return [before]  # it still has its name: Proxmox does not know it at present
        return self._by_name.get(wanted.name or "", [])


def attached_to(nic: Resource[Any]) -> int | None:
    """The number of the guest the object was attached to; None if it never was, as far as is known.

    Read from the status alone: through an annotation a tenant could ask for any number, and learn which guests exist.
    """
    known = nic.status.vmid if nic.origin_confirmed else None
    return int(known) if known else None


def _asked(guest: Guest) -> str:
    return f"vmid {guest.vmid}" if guest.vmid is not None else f"name {guest.name!r}"
