"""Which cluster-scoped objects a spec names.

Clusters, the controllers of zones, and what VNets and NICs refer to are not among them.
"""

from __future__ import annotations

from collections.abc import Iterator

from pve_evpn.api.controller import EvpnControllerSpec
from pve_evpn.api.fabric import FabricSpec
from pve_evpn.api.policy import RouteMapSpec
from pve_evpn.api.router import BgpControllerSpec
from pve_evpn.api.zone import EvpnZoneSpec
from pve_evpn.domain.plan import policies


def references(spec: object) -> Iterator[tuple[str, str, str]]:
    """Field, kind and name of each, those that must be in Proxmox first in front."""
    match spec:
        case RouteMapSpec():
            yield from policies.references(spec)
        case FabricSpec():
            yield from _of_fabric(spec)
        case EvpnControllerSpec() | BgpControllerSpec():
            for field, ref in (("routeMapInRef", spec.route_map_in_ref), ("routeMapOutRef", spec.route_map_out_ref)):
                if ref:
                    yield field, "RouteMap", ref.name
            if isinstance(spec, EvpnControllerSpec) and (fabric := spec.underlay.fabric_ref):
                yield "underlay.fabricRef", "Fabric", fabric.name
        case EvpnZoneSpec():
            yield from _of_zone(spec)


def _of_zone(spec: EvpnZoneSpec) -> Iterator[tuple[str, str, str]]:
    if spec.ipam_ref:
        yield "ipamRef", "Ipam", spec.ipam_ref.name
    if spec.dns and spec.dns.server_ref:
        yield "dns.serverRef", "DnsServer", spec.dns.server_ref.name
    if spec.dns and spec.dns.reverse_ref:
        yield "dns.reverseRef", "DnsServer", spec.dns.reverse_ref.name


def _of_fabric(spec: FabricSpec) -> Iterator[tuple[str, str, str]]:
    if spec.route_filter_ref:
        yield "routeFilterRef", "PrefixList", spec.route_filter_ref.name
    for entry in spec.redistribute or ():
        if entry.route_map_ref:
            yield f"redistribute[{entry.source}].routeMapRef", "RouteMap", entry.route_map_ref.name
