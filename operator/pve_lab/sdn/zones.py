"""Zones: what each type needs of the objects around it, and what it makes of itself.

Only what Proxmox checks is checked. It accepts exit nodes outside of the nodes, nodes that do not exist, a VRF VNI
equal to a VNet's tag and any MTU; so does this.
"""

from __future__ import annotations

from pve_lab.errors import bad_parameters, died, refused
from pve_lab.sdn.objects import SdnObjects
from pve_lab.sdn.section_config import Props

_EVPN = "Network/SDN/Zones/EvpnPlugin.pm"


def check(config: SdnObjects, id_: str, props: Props, request: Props) -> None:
    """Services named in the request have to exist, then the type's own rules; fills in the MAC of an EVPN zone."""
    for key in ("dns", "reversedns"):
        if (server := request.get(key)) and server not in config.services["dns"]:
            raise bad_parameters(**{key: f"{server} don't exist"})
    # The server has to be named in the same request, not only in the zone.
    if request.get("dnszone") and not request.get("dns"):
        raise bad_parameters(dnszone="missing dns server")
    if (ipam := request.get("ipam")) and ipam not in config.services["ipams"]:
        raise bad_parameters(ipam=f"{ipam} not existing")
    if props["type"] == "evpn":
        _check_evpn(config, id_, props)
    if props["type"] == "vxlan" and bool(props.get("peers")) == bool(props.get("fabric")):
        words = "must have exactly one of peers / fabric defined"
        raise bad_parameters(peers=words, fabric=words)


def check_ipam_change(config: SdnObjects, id_: str, old: Props, new: Props) -> None:
    """The IPAM of a zone with subnets cannot change."""
    if (old.get("ipam") or "") != (new.get("ipam") or "") and any(
        config.zone_of_subnet(subnet) == id_ for subnet in config.edited["subnets"]
    ):
        raise bad_parameters(ipam="can't change ipam if a subnet is already defined in this zone")


def check_delete(config: SdnObjects, id_: str) -> None:
    """VNets of the edited copy keep their zone."""
    for vnet, props in sorted(config.edited["vnets"].items()):
        if props.get("zone") == id_:
            raise refused(died(f"zone {id_} is used by vnet {vnet}", "Network/SDN/Zones/Plugin.pm", 149))


def _check_evpn(config: SdnObjects, id_: str, props: Props) -> None:
    controllers = config.edited["controllers"]
    for controller in (props["controller"], *props.get("secondary-controllers", ())):
        if controller not in controllers:
            raise refused(died(f"controller {controller} don't exist", _EVPN, 354))
        if controllers[controller]["type"] != "evpn":
            raise refused(died(f"{controller} is not a evpn controller type", _EVPN, 357))
    for other, there in sorted(config.edited["zones"].items()):
        if other != id_ and there.get("vrf-vxlan") == props["vrf-vxlan"]:
            raise refused(died(f"vrf-vxlan {props['vrf-vxlan']} is already declared in {other}", _EVPN, 368))
    if not props.get("mac"):
        props["mac"] = config.new_mac()
