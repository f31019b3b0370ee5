"""VNets: the tag rules of their zone's type, and what subnets forbid."""

from __future__ import annotations

from collections.abc import Callable

from pve_lab.errors import bad_parameters, died, refused, wrong_parameters
from pve_lab.sdn.objects import SdnObjects
from pve_lab.sdn.section_config import Props

_API = "API2/Network/SDN/Vnets.pm"


def check(config: SdnObjects, id_: str, props: Props, *, create: bool) -> None:
    """The rules of the zone's type; a zone that is not there has no type, and Proxmox says just that."""
    zone = config.edited["zones"].get(props["zone"])
    if zone is None:
        raise refused(died("cannot lookup undefined type!", _API, 326 if create else 402))
    if rule := _RULES.get(zone["type"]):
        rule(config, id_, props)
    if props.get("vlanaware") and config.subnets_of(id_):
        raise bad_parameters(vlanaware="vlanaware vnet is not compatible with subnets")


def check_move(config: SdnObjects, id_: str, old: Props, new: Props) -> None:
    """Subnets carry the zone in their id."""
    if not new.get("zone"):
        raise bad_parameters(zone="cannot delete zone")
    if old.get("zone") != new.get("zone") and config.subnets_of(id_):
        raise bad_parameters(zone="can't change zone if subnets exist")


def check_delete(config: SdnObjects, id_: str) -> None:
    if config.subnets_of(id_):
        raise bad_parameters(vnet="Can't delete vnet if subnets exists")


def _simple(_config: SdnObjects, _id: str, props: Props) -> None:
    if "tag" in props:
        raise bad_parameters(tag="vlan tag is not allowed on simple zone")


def _vlan(config: SdnObjects, id_: str, props: Props) -> None:
    if "tag" not in props:
        raise bad_parameters(tag="missing vlan tag")
    tag: int = props["tag"]
    if tag > 4096:
        raise bad_parameters(tag="vlan tag max value is 4096")
    for other, there in sorted(config.edited["vnets"].items()):
        if other != id_ and there["zone"] == props["zone"] and there.get("tag") == tag:
            raise bad_parameters(tag=f"tag {tag} already exist in vnet {other}")


def _qinq(config: SdnObjects, id_: str, props: Props) -> None:
    """The inner tag may be missing, in one VNet of a zone."""
    tag = props.get("tag")
    if tag is not None and tag > 4096:
        raise bad_parameters(tag="VLAN tag maximal value is 4096")
    what = "tag-less vnet already exists" if tag is None else f"tag {tag} already exist"
    for other, there in sorted(config.edited["vnets"].items()):
        if other != id_ and there["zone"] == props["zone"] and there.get("tag") == tag:
            raise bad_parameters(tag=f"{what} in zone {props['zone']} vnet {other}")


def _vxlan(config: SdnObjects, id_: str, props: Props) -> None:
    """VNIs are unique over all VXLAN and EVPN zones, and over nothing else."""
    if "tag" not in props:
        raise bad_parameters(tag="missing vxlan tag")
    zones = config.edited["zones"]
    for other, there in sorted(config.edited["vnets"].items()):
        overlay = zones.get(there["zone"], {}).get("type") in ("vxlan", "evpn")
        if other != id_ and overlay and there.get("tag") == props["tag"]:
            text = f"vxlan tag {props['tag']} already exist in vnet {other} in zone {there['zone']} "
            raise bad_parameters(tag=text)


def _evpn(config: SdnObjects, id_: str, props: Props) -> None:
    if "tag" in props and props.get("vlanaware"):
        raise wrong_parameters({"vlan-aware": "vlan-aware option can't be enabled with evpn"})
    _vxlan(config, id_, props)


_RULES: dict[str, Callable[[SdnObjects, str, Props], None]] = {
    "simple": _simple,
    "vlan": _vlan,
    "faucet": _vlan,
    "qinq": _qinq,
    "vxlan": _vxlan,
    "evpn": _evpn,
}
