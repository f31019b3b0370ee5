"""The checks of an object that is to stay: each says why the object is refused, or None.

The lists below give their order; the first problem counts, and a check may rely on those before it. A refused object is
left out of the plan and blocks nothing else; what it has in Proxmox already stays as it is.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from pve_evpn.domain.conditions import Problem
from pve_evpn.domain.plan.candidates import (
    BgpControllerCandidate,
    ControllerCandidate,
    FabricCandidate,
    IsisControllerCandidate,
    PrefixListCandidate,
    RouteMapCandidate,
    ServiceCandidate,
    VNetCandidate,
    ZoneCandidate,
)
from pve_evpn.domain.plan.checks.common import (
    id_is_free,
    may_be_owned,
    names_no_interface,
    nodes_exist,
    references_exist,
    release_has_fields,
    release_has_kind,
    vni_is_free,
)
from pve_evpn.domain.plan.checks.controllers import (
    controllers_agree,
    fabric_exists,
    node_has_no_other,
    peers_have_addresses,
    release_has_room,
)
from pve_evpn.domain.plan.checks.fabrics import fabrics_agree, nodes_have_addresses, release_has_fabric
from pve_evpn.domain.plan.checks.policies import calls_end, lists_have_the_family
from pve_evpn.domain.plan.checks.services import built_in_stays_built_in, secret_goes_with_url, secret_is_usable
from pve_evpn.domain.plan.checks.zones import (
    controllers_exist,
    limits_hold,
    subnets_are_apart,
    zone_admits,
    zone_allows_firewall_names,
    zone_allows_subnets,
    zone_allows_vni,
)

SERVICE: Sequence[Callable[[ServiceCandidate], Problem | None]] = (
    built_in_stays_built_in,
    secret_is_usable,
    secret_goes_with_url,
    id_is_free,
    may_be_owned,
)


PREFIX_LIST: Sequence[Callable[[PrefixListCandidate], Problem | None]] = (
    release_has_kind,
    id_is_free,
    may_be_owned,
)


ROUTE_MAP: Sequence[Callable[[RouteMapCandidate], Problem | None]] = (
    release_has_kind,
    references_exist,
    calls_end,
    lists_have_the_family,
    id_is_free,
    may_be_owned,
)


FABRIC: Sequence[Callable[[FabricCandidate], Problem | None]] = (
    release_has_fabric,
    references_exist,
    nodes_exist,
    nodes_have_addresses,
    fabrics_agree,
    id_is_free,
    may_be_owned,
)


CONTROLLER: Sequence[Callable[[ControllerCandidate], Problem | None]] = (
    release_has_fields,
    references_exist,
    release_has_room,
    fabric_exists,
    nodes_exist,
    peers_have_addresses,
    controllers_agree,
    id_is_free,
    may_be_owned,
)


BGP_CONTROLLER: Sequence[Callable[[BgpControllerCandidate], Problem | None]] = (
    release_has_fields,
    references_exist,
    nodes_exist,
    node_has_no_other,
    controllers_agree,
    id_is_free,
    may_be_owned,
)


ISIS_CONTROLLER: Sequence[Callable[[IsisControllerCandidate], Problem | None]] = (
    nodes_exist,
    node_has_no_other,
    id_is_free,
    may_be_owned,
)


ZONE: Sequence[Callable[[ZoneCandidate], Problem | None]] = (
    release_has_fields,
    controllers_exist,
    references_exist,
    nodes_exist,
    vni_is_free,
    names_no_interface,
    id_is_free,
    may_be_owned,
)


VNET: Sequence[Callable[[VNetCandidate], Problem | None]] = (
    zone_admits,
    vni_is_free,
    zone_allows_vni,
    zone_allows_subnets,
    zone_allows_firewall_names,
    subnets_are_apart,
    names_no_interface,
    id_is_free,
    may_be_owned,
    limits_hold,
)
