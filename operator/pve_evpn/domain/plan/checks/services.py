"""Checks of Ipams and DnsServers."""

from __future__ import annotations

from pve_evpn.api.conditions import Reason
from pve_evpn.domain.conditions import Problem
from pve_evpn.domain.plan.candidates import ServiceCandidate
from pve_evpn.domain.plan.ownership import BUILT_IN


def built_in_stays_built_in(candidate: ServiceCandidate) -> Problem | None:
    """The id of the IPAM that every Proxmox has is of no other one."""
    if candidate.ref != BUILT_IN or getattr(candidate.spec, "type", "") == BUILT_IN.id:
        return None
    message = "id: pve is the built-in IPAM; create this object again with another spec.id, or with type: pve"
    return Problem(Reason.ID_CONFLICT, message)


def secret_is_usable(candidate: ServiceCandidate) -> Problem | None:
    """The Secret that the spec names is there, and bound to the cluster and to the server's address."""
    given = candidate.given
    if given is None or not given.unusable:
        return None
    return Problem(Reason.CREDENTIALS_MISSING, f"{candidate.secret_field}: {given.unusable}", retryable=True)


def secret_goes_with_url(candidate: ServiceCandidate) -> Problem | None:
    """Proxmox makes no such service without a secret, and the one it has is sent to no other address than before.

    Who may write the object need not be allowed to read the secret: only the Secret says where that may be sent.
    """
    if candidate.given is not None or getattr(candidate.spec, "type", "") == BUILT_IN.id:
        return None
    there = candidate.context.sdn.edited.get(candidate.ref)
    if there is None:
        message = f"{candidate.secret_field}: needed, because {candidate.ref} does not exist in Proxmox yet"
        return Problem(Reason.CREDENTIALS_MISSING, message)
    for key in ("url", "fingerprint"):
        (itself,) = candidate.objects
        if itself.props.get(key) != there.props.get(key) and (key in itself.props or key in there.props):
            message = (
                f"{candidate.secret_field}: needed to change {key}, because Proxmox would send the secret it has to "
                "another server"
            )
            return Problem(Reason.CREDENTIALS_MISSING, message)
    return None
