"""Controllers: one for EVPN per cluster before 9.2, BGP and IS-IS ones for single nodes."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pve_lab.errors import died, refused

if TYPE_CHECKING:
    from pve_lab.sdn.config import SdnConfig
    from pve_lab.sdn.section import Props

_EVPN = "Network/SDN/Controllers/EvpnPlugin.pm"


def check(config: SdnConfig, id_: str, props: Props) -> None:
    """The rules between controllers."""
    others = [other for name, other in config.edited["controllers"].items() if name != id_]
    if props["type"] == "evpn":
        if not config.multiple_controllers and any(other["type"] == "evpn" for other in others):
            raise refused(died("only 1 global evpn controller can be defined", _EVPN, 491))
        if bool(props.get("peers")) == bool(props.get("fabric")):
            raise refused(died("must have exactly one of peers / fabric defined", _EVPN, 498))
    if props["type"] in ("bgp", "isis"):
        # Proxmox looks at the node that answers only, and lets a second one through.
        alike = [o for o in others if o["type"] == props["type"] and o.get("node") == config.local_node]
        if len(alike) > 1:
            module = f"Network/SDN/Controllers/{props['type'].capitalize()}Plugin.pm"
            raise refused(died(f"only 1 {props['type']} controller can be defined", module, 182))


def check_delete(config: SdnConfig, id_: str) -> None:
    """Zones of the edited copy keep their controller; what runs does not count."""
    for zone, props in sorted(config.edited["zones"].items()):
        if id_ in (props.get("controller"), *props.get("secondary-controllers", ())):
            raise refused(died(f"controller {id_} is used by {zone}", _EVPN, 476))
