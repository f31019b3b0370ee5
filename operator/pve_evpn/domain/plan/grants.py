"""Which guests a namespace may use: the grants of the ProxmoxCluster (``guestAccess``). Pure."""

from __future__ import annotations

from pve_evpn.api.guest_access import GuestSet
from pve_evpn.domain.objects import Desired, matches
from pve_evpn.domain.state import GuestState


class Grants:
    """The grants of one cluster."""

    def __init__(self, desired: Desired) -> None:
        spec = desired.cluster.spec
        self._grants = tuple(spec.guest_access or ()) if spec else ()
        self._labels = desired.namespaces
        self._granted: dict[str, tuple[GuestSet, ...]] = {}

    def permits(self, namespace: str, guest: GuestState) -> bool:
        """Whether any grant gives the namespace this guest. Without a grant nothing is permitted."""
        if namespace not in self._granted:
            labels = self._labels.get(namespace)
            self._granted[namespace] = tuple(
                grant.guests for grant in self._grants if labels is not None and matches(grant.namespaces, labels)
            )
        return any(_contains(guests, guest) for guests in self._granted[namespace])


def _contains(guests: GuestSet, guest: GuestState) -> bool:
    return (
        guest.pool in (guests.pools or ())
        or bool(guest.tags.intersection(guests.tags or ()))
        or any(span.from_ <= guest.vmid <= span.to for span in guests.vmids or ())
    )
