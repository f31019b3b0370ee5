"""Manifests for what Proxmox has already, such that applying them changes nothing. Pure.

The inverse of planning, and held by it: what is described (:mod:`~pve_evpn.domain.export.describe`) is planned with
the operator's own code (:mod:`~pve_evpn.domain.export.confirm`), and an object that would be refused, would wait or
would be written is left out with the reason, until nothing is left to object to.
"""

from __future__ import annotations

from collections.abc import Mapping

from pve_evpn.domain.export.confirm import objections
from pve_evpn.domain.export.describe import Describer
from pve_evpn.domain.export.model import Export, Manifest, Omission, Request, Source
from pve_evpn.domain.plan.firewall import FirewallState
from pve_evpn.domain.state import ClusterState

__all__ = ["Export", "Manifest", "Omission", "Request", "export"]


def export(state: ClusterState, firewalls: Mapping[str, FirewallState | None], request: Request) -> Export:
    """Describe the EVPN networks of a cluster.

    Args:
        state: The cluster, with its guests where NICs are asked for.
        firewalls: By VNet; None where it could not be read.
    """
    describer = Describer(state, firewalls, request)
    left_out: dict[Source, str] = {}
    while True:
        described = describer.describe(left_out)
        found = objections(described.manifests, state, request)
        if not found:
            return described
        left_out |= found
