"""From the SDN configuration of a cluster to manifests, and to what they leave out. Pure."""

from __future__ import annotations

import ipaddress
from bisect import bisect_left
from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import Any, get_args

from pydantic import ValidationError

from pve_evpn.api.fabric import FabricNode
from pve_evpn.api.kinds import KINDS, Kind
from pve_evpn.api.vnet import Subnet
from pve_evpn.domain.export import rules
from pve_evpn.domain.export.firewall import described_firewall
from pve_evpn.domain.export.model import Export, Manifest, Request, Round, Source
from pve_evpn.domain.export.names import Names
from pve_evpn.domain.export.nics import NicDescriber, missing_grants
from pve_evpn.domain.export.resources import nothing_yet
from pve_evpn.domain.export.specification import CannotBeSaid, in_words, specification
from pve_evpn.domain.objects import Desired, ObjectKey, Resource, own_ref, sdn_kind_of
from pve_evpn.domain.plan import render
from pve_evpn.domain.plan.context import PlanContext
from pve_evpn.domain.plan.fabrics import redistribution_back
from pve_evpn.domain.plan.firewall import FirewallState
from pve_evpn.domain.plan.ownership import BUILT_IN, known_refs
from pve_evpn.domain.plan.policies import entries_back
from pve_evpn.domain.plan.subnets import network_of
from pve_evpn.domain.sdn import CREATION_ORDER, PART_OF, SdnKind, SdnObject, SdnRef, parents_of, pending_changes
from pve_evpn.domain.state import ClusterState

#: As many as a VNet's spec holds.
_MOST_SUBNETS = 32
#: The file of what belongs to no zone.
_GROUPS = {
    SdnKind.CONTROLLER: "controllers",
    SdnKind.FABRIC: "fabrics",
    SdnKind.IPAM: "services",
    SdnKind.DNS: "services",
}
_STAGED = "an edit of it is staged and not applied: apply it or roll it back, and export again"


class Describer:
    """Describes one cluster, again and again with more left out; names stay the same."""

    def __init__(self, state: ClusterState, firewalls: Mapping[str, FirewallState | None], request: Request) -> None:
        self._state = state
        self._firewalls = firewalls
        self._request = request
        self._edited = dict(sorted(state.sdn.edited.items()))
        self._staged = {change.ref for change in pending_changes(state.sdn.edited, state.sdn.running)}
        self._existing = _existing(request.existing)
        self._names = self._name_objects()
        self._nics = NicDescriber(state, request)
        before = request.existing
        self._context = PlanContext(
            before or nothing_yet(request.cluster, request.cluster_spec), state, frozenset(), {}, recovering=False
        )

    # --- names --------------------------------------------------------------------------------------------------

    def _name_objects(self) -> dict[SdnRef, str]:
        request, found = self._request, {}
        for kind in KINDS.values():
            taken = [r.key.name for r in request.existing or () if r.key.kind == kind.name and self._shares_names(r)]
            names = Names(taken)
            for ref, obj in self._edited.items():
                if kind_of(obj) is kind and ref not in self._existing:
                    alias = [str(obj.props["alias"])] if request.by_alias and "alias" in obj.props else []
                    found[ref] = names.give(*alias, ref.id)
        return found

    def _shares_names(self, resource: Resource[Any]) -> bool:
        return resource.key.namespace in ("", self._request.namespace)

    # --- one round ----------------------------------------------------------------------------------------------

    def describe(self, left_out: Mapping[Source, str]) -> Export:
        """Everything but what is left out, which is named with its reason."""
        made = Round(keys=dict(self._existing))
        for obj in self._in_order():
            if obj.ref not in self._existing and obj.ref != BUILT_IN:
                self._describe(obj, left_out, made)
        self._note_unseen(made)
        nics = list(self._nics.describe(left_out, made)) if self._request.guests else []
        first = self._first(nics, made)
        return Export((*first, *made.manifests, *nics), tuple(made.omissions))

    def _in_order(self) -> Iterator[SdnObject]:
        """What has manifests of its own, parents first; a route map after those that it calls."""
        for kind in CREATION_ORDER:
            waiting = {ref: obj for ref, obj in self._edited.items() if ref.kind is kind and kind not in PART_OF}
            while waiting:
                free = [ref for ref, obj in waiting.items() if not waiting.keys() & {*parents_of(obj)} - {ref}]
                for ref in free or list(waiting):  # what calls itself in a circle comes in any order
                    yield waiting.pop(ref)

    def _describe(self, obj: SdnObject, left_out: Mapping[Source, str], made: Round) -> None:
        ref = obj.ref
        if kind_of(obj) is None:
            made.leave_out(ref, f"its type is {obj.type!r}, and this API has no kind for it", foreign=True)
            return
        if self._is_in_foreign_zone(obj):
            made.leave_out(ref, f"its zone {obj.props.get('zone')} is no EVPN zone", foreign=True)
            return
        if ref in self._staged or ref in left_out:
            made.leave_out(ref, left_out.get(ref, _STAGED))
            return
        try:
            manifest = self._manifest(obj, made)
        except CannotBeSaid as error:
            made.leave_out(ref, str(error))
            return
        made.manifests.append(manifest)
        made.keys[ref] = manifest.key

    def _is_in_foreign_zone(self, obj: SdnObject) -> bool:
        zone = self._edited.get(SdnRef(SdnKind.ZONE, str(obj.props.get("zone"))))
        return obj.ref.kind is SdnKind.VNET and zone is not None and kind_of(zone) is None

    def _note_unseen(self, made: Round) -> None:
        if not self._state.sdn.complete:
            made.leave_out("what the credentials may not see", "they lack SDN.Audit on /sdn, so lists are not whole")
        for ref, obj in sorted(self._state.sdn.running.items()):
            if ref not in self._edited and (ref.kind in PART_OF or kind_of(obj)):
                made.leave_out(ref, "its deletion is staged and not applied")

    def _manifest(self, obj: SdnObject, made: Round) -> Manifest:
        """Raises CannotBeSaid."""
        kind, ref = kind_of(obj), obj.ref
        assert kind is not None
        base: dict[str, Any] = {"id": ref.id}
        if kind.scope == "Cluster":
            base = {"clusterRef": {"name": self._request.cluster}, **base}
        after = self._permissions() if kind.name == "EvpnZone" else {}
        spec = self._specification(kind, obj, {**base, **after}, made)
        spec |= {name: spec.pop(name) for name in after}
        name, group = self._names[ref], _GROUPS.get(ref.kind, "routing")
        if kind.name == "EvpnZone":
            spec = _with_references(spec, made)
            group = f"zone-{name}"
        elif kind.name == "VNet":
            made.groups[ref.id] = str(spec["zoneRef"]["name"])
            group = f"zone-{made.groups[ref.id]}"
            spec |= self._subnets(obj, made)
            spec |= described_firewall(ref, self._firewalls.get(ref.id, FirewallState()), made)
        namespace = self._request.namespace if kind.scope == "Namespaced" else ""
        return Manifest(ObjectKey(kind.name, namespace, name), group, {**spec, **self._request.policies}, ref)

    def _specification(self, kind: Kind, obj: SdnObject, base: dict[str, Any], made: Round) -> dict[str, Any]:
        """The spec without what belongs to parts of the object. Raises CannotBeSaid."""
        if kind.name == "RouteMap":
            return self._route_map(obj, base, made)
        if kind.name == "Fabric":
            obj, base = self._fabric(kind, obj, base, made)
        if kind.name == "Ipam":
            base = {**base, "type": obj.type}
        members = frozenset(self._state.nodes)
        form = render.FORMS.get((obj.ref.kind, obj.type))
        if form is None:
            raise CannotBeSaid(f"this API cannot say what a {obj.ref.kind} of type {obj.type} has")
        spec, unsaid = specification(
            form, obj, kind.spec_model, base, lambda checked: rules.of(checked, members), made.name_of
        )
        for key, why in unsaid:
            made.leave_out(f"{obj.ref} {key}", why)
        return spec

    def _route_map(self, obj: SdnObject, base: dict[str, Any], made: Round) -> dict[str, Any]:
        """Its properties are its entries, and all of them say what it does. Raises CannotBeSaid."""

        entries = {order: lines for order, lines in obj.props.items() if isinstance(lines, tuple)}
        try:
            spec = {**base, "entries": entries_back(entries, made.must_name)}
            checked = KINDS["RouteMap"].spec_model.model_validate(spec)
        except ValidationError as error:
            raise CannotBeSaid(": ".join(in_words(dict(error.errors(include_url=False)[0])))) from None
        except (KeyError, ValueError) as error:
            raise CannotBeSaid(f"this API cannot say {error}") from None
        for _, why in rules.of(checked, frozenset()):
            raise CannotBeSaid(why)
        return spec

    def _fabric(
        self, kind: Kind, obj: SdnObject, base: dict[str, Any], made: Round
    ) -> tuple[SdnObject, dict[str, Any]]:
        """The fabric without what needs names, and its base with that and with its nodes. Raises CannotBeSaid."""
        words = {word.lower(): word for word in get_args(kind.spec_model.model_fields["protocol"].annotation)}
        base = {**base, "protocol": words.get(obj.type, obj.type)}
        props = dict(obj.props)
        sources = props.pop("redistribute", ())
        if isinstance(sources, tuple) and sources:
            try:
                base["redistribute"] = redistribution_back(sources, made.must_name)
            except (KeyError, CannotBeSaid) as error:
                made.leave_out(f"{obj.ref} redistribute", f"this API cannot say {error}")
        nodes = [part for part in self._state.sdn.children_of(obj.ref) if part.kind is SdnKind.FABRIC_NODE]
        base["nodes"] = [node for part in sorted(nodes) if (node := self._fabric_node(part, made)) is not None]
        if not base["nodes"]:
            raise CannotBeSaid("it has no node that can be said")
        return replace(obj, props=props), base

    def _fabric_node(self, ref: SdnRef, made: Round) -> dict[str, Any] | None:
        node, name = self._edited[ref], ref.id.partition("/")[2]
        if ref in self._staged:
            made.leave_out(ref, _STAGED)
        elif name not in self._state.nodes and node.props.get("role") != "external":
            made.leave_out(ref, "the cluster has no such node")
        else:
            try:
                form = render.FORMS[ref.kind, node.type]
                spec, unsaid = specification(
                    form, node, FabricNode, {"name": name}, lambda _spec: (), lambda _ref: None
                )
            except CannotBeSaid as error:
                made.leave_out(ref, str(error))
                return None
            for key, why in unsaid:
                made.leave_out(f"{ref} {key}", why)
            return spec
        return None

    def _permissions(self) -> dict[str, Any]:
        """The zone's VNets may be those of the namespace, and may stand for what Proxmox has already."""
        selector = self._request.namespaces
        return {
            "allowedNamespaces": {"from": "Selector", "selector": selector},
            "adoption": {"namespaces": selector},
        }

    # --- subnets ------------------------------------------------------------------------------------------------

    def _subnets(self, vnet: SdnObject, made: Round) -> dict[str, Any]:
        found: list[dict[str, Any]] = []
        for ref in sorted(self._state.sdn.children_of(vnet.ref), key=lambda ref: ref.id):
            subnet = self._edited[ref]
            try:
                spec, unsaid = self._subnet(vnet, subnet)
            except CannotBeSaid as error:
                made.leave_out(ref, str(error))
                continue
            for key, why in unsaid:
                made.leave_out(f"{ref} {key}", why)
            found.append(spec)
        overlapping = set(rules.overlapping(spec["cidr"] for spec in found))
        apart = [spec for spec in found if spec["cidr"] not in overlapping]
        for spec in found:
            if spec not in apart[:_MOST_SUBNETS]:
                why = "it overlaps another one" if spec["cidr"] in overlapping else f"{_MOST_SUBNETS} are the most"
                made.leave_out(f"subnet {spec['cidr']} of {vnet.ref}", why)
        return {"subnets": apart[:_MOST_SUBNETS]} if apart else {}

    def _subnet(self, vnet: SdnObject, subnet: SdnObject) -> tuple[dict[str, Any], list[tuple[str, str]]]:
        """Raises CannotBeSaid."""
        ref, zone_id = subnet.ref, str(vnet.props.get("zone"))
        if ref in self._staged:
            raise CannotBeSaid(_STAGED)
        try:
            cidr = str(ipaddress.ip_network(render.subnet_cidr(ref)))
            usual = render.subnet_id(zone_id, cidr) == ref.id
        except ValueError:
            usual = False
        if not usual:
            raise CannotBeSaid("its id is not that of a network in its usual spelling in the VNet's zone")
        network = network_of(ref)
        others = [
            other
            for other in self._context.subnets.overlapping(zone_id, network)
            if other in self._edited and self._edited[other].parent != vnet.ref.id
        ]
        if others:
            raise CannotBeSaid(f"it overlaps {others[0]} of VNet {self._edited[others[0]].parent}")
        addresses = self._context.node_addresses[network.version]
        position = bisect_left(addresses, int(network.network_address))
        if position < len(addresses) and addresses[position] <= int(network.broadcast_address):
            raise CannotBeSaid("it has addresses of the Proxmox nodes themselves")
        return specification(render.SUBNET, subnet, Subnet, {"cidr": cidr}, rules.subnet, lambda _ref: None)

    # --- the cluster and the namespace ----------------------------------------------------------------------------

    def _first(self, nics: list[Manifest], made: Round) -> Iterator[Manifest]:
        request = self._request
        namespaced = nics or any(manifest.key.namespace for manifest in made.manifests)
        if namespaced and request.namespace != "default":
            yield Manifest(ObjectKey("Namespace", "", request.namespace), "cluster")
        grants = missing_grants(self._state, request, nics, made)
        if request.existing is not None and not grants:
            return
        spec = dict(request.cluster_spec)
        if grants:
            spec["guestAccess"] = [*(spec.get("guestAccess") or ()), *grants]
        if request.existing is None:
            spec |= self._request.policies
        yield Manifest(ObjectKey("ProxmoxCluster", "", request.cluster), "cluster", spec)


def kind_of(obj: SdnObject) -> Kind | None:
    """The kind of ours for an object of Proxmox; None if there is none. Parts of objects have none."""
    rows = (kind for kind in KINDS.values() if kind.sdn_kind and kind.sdn_kind == obj.ref.kind)
    return next((kind for kind in rows if kind.sdn_type in ("", obj.type)), None)


def _with_references(spec: Mapping[str, Any], made: Round) -> dict[str, Any]:
    """A zone's spec that names the services with manifests by these: they are made before it on an empty cluster."""
    named = dict(spec)
    if "dns" in named:
        named["dns"] = dict(named["dns"])
    for place, field_, kind in (
        (named, "ipam", SdnKind.IPAM),
        (named.get("dns", {}), "server", SdnKind.DNS),
        (named.get("dns", {}), "reverse", SdnKind.DNS),
    ):
        if (name := made.name_of(SdnRef(kind, place.get(field_, "")))) is not None:
            del place[field_]
            place[f"{field_}Ref"] = {"name": name}
    return named


def _existing(desired: Desired | None) -> dict[SdnRef, ObjectKey]:
    """The objects that stand for something in Proxmox already."""
    found: dict[SdnRef, ObjectKey] = {}
    for resource in desired or ():
        if sdn_kind_of(resource.key) and not resource.deleting:
            found |= dict.fromkeys((own_ref(resource), *known_refs(resource)), resource.key)
    return found
