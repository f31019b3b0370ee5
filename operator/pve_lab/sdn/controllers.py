"""Controllers: one for EVPN per cluster before 9.2, several after; BGP and IS-IS ones for single nodes."""

from __future__ import annotations

from pve_lab.errors import died, refused
from pve_lab.json_schema import split_list
from pve_lab.releases import V92
from pve_lab.sdn.objects import SdnObjects
from pve_lab.sdn.section_config import Props

_EVPN = "Network/SDN/Controllers/EvpnPlugin.pm"
_PLUGIN = "Network/SDN/Controllers/Plugin.pm"
_PEER_GROUP = "VTEP"


def check(config: SdnObjects, id_: str, props: Props) -> None:
    """The rules between controllers."""
    others = {name: other for name, other in config.edited["controllers"].items() if name != id_}
    if props["type"] == "evpn":
        if config.pve >= V92:
            _check_several(config, id_, props, others)
        elif any(other["type"] == "evpn" for other in others.values()):
            raise refused(died("only 1 global evpn controller can be defined", _EVPN, 491))
        if bool(props.get("peers")) == bool(props.get("fabric")):
            raise refused(died("must have exactly one of peers / fabric defined", _EVPN, 498))
    if props["type"] in ("bgp", "isis"):
        # Proxmox compares with the node that answers only, and accepts a second one.
        alike = [o for o in others.values() if o["type"] == props["type"] and o.get("node") == config.local_node]
        if len(alike) > 1:
            what = "bgp or isis" if props["type"] == "isis" else "bgp"
            module = f"Network/SDN/Controllers/{props['type'].capitalize()}Plugin.pm"
            raise refused(died(f"only 1 {what} controller can be defined", module, 182))
    _check_route_maps(config, props)


def _check_several(config: SdnObjects, id_: str, props: Props, others: dict[str, Props]) -> None:
    """Since 9.2 there may be several: one ASN per node, and peer groups with names of their own."""
    everyone = {**others, id_: props}
    for node in split_list(props.get("nodes", "")) or config.nodes:
        _check_asn(node, everyone)
    own = props.get("peer-group-name", _PEER_GROUP)
    for other in others.values():
        if other["type"] == "evpn" and other.get("peer-group-name", _PEER_GROUP) == own:
            text = f"cannot have two controllers with same peer-group-name configured ({own})"
            raise refused(died(text, _EVPN, 640))


def _check_asn(node: str, controllers: dict[str, Props]) -> None:
    """All EVPN controllers of a node have one ASN, and so have its sessions within an AS."""
    bgp = next((c for c in controllers.values() if c["type"] == "bgp" and c.get("node") == node), None)
    internal = bgp["asn"] if bgp is not None and not bgp.get("ebgp") else None
    evpn = None
    for _, controller in sorted(controllers.items()):
        nodes = split_list(controller.get("nodes", ""))
        if controller["type"] != "evpn" or (nodes and node not in nodes):
            continue
        if evpn not in (None, controller["asn"]):
            raise refused(died("all EVPN controllers on a node must have the same ASN configured", _PLUGIN, 190))
        evpn = controller["asn"]
        if controller.get("bgp-mode") == "external":
            continue
        if internal not in (None, controller["asn"]):
            raise refused(died("cannot have two different ASNs for iBGP sessions configured", _PLUGIN, 201))
        internal = controller["asn"]


def _check_route_maps(config: SdnObjects, props: Props) -> None:
    for key in ("route-map-in", "route-map-out"):
        if (name := props.get(key)) and name not in config.route_maps():
            raise refused(died(f"route map {name} does not exist!", _EVPN, 650))


def check_delete(config: SdnObjects, id_: str) -> None:
    """Zones of the edited copy keep their controller; what runs does not count."""
    for zone, props in sorted(config.edited["zones"].items()):
        if id_ in (props.get("controller"), *props.get("secondary-controllers", ())):
            raise refused(died(f"controller {id_} is used by {zone}", _EVPN, 476))
