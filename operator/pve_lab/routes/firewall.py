"""``/cluster/sdn/vnets/{vnet}/firewall``."""

from __future__ import annotations

from typing import Any

from pve_lab.cluster import Lab
from pve_lab.declared import declared
from pve_lab.dispatch import Call
from pve_lab.firewall import VnetFirewall
from pve_lab.schema import split_list

_BASE = "/cluster/sdn/vnets/{vnet}/firewall"
_STEERING = ("digest", "delete", "pos", "moveto")


def _firewall(lab: Lab, call: Call, *privileges: str) -> VnetFirewall:
    """That of a VNet which is there and may be seen (or changed)."""
    vnet = call.path["vnet"]
    lab.access.demand_any(call.user, f"/sdn/zones/{lab.sdn.zone_of_vnet(vnet)}/{vnet}", privileges)
    return lab.firewalls.setdefault(vnet, VnetFirewall())


def _seen(lab: Lab, call: Call) -> VnetFirewall:
    return _firewall(lab, call, "SDN.Audit", "SDN.Allocate")


def _changed(lab: Lab, call: Call) -> VnetFirewall:
    found = _firewall(lab, call, "SDN.Allocate")
    found.check_digest(call.text("digest"))
    return found


def _values(call: Call) -> dict[str, Any]:
    return {key: value for key, value in call.params.items() if key not in _STEERING}


@declared("GET", _BASE + "/options")
def options(lab: Lab, call: Call) -> Any:
    return {**_seen(lab, call).options, "digest": _seen(lab, call).digest}


@declared("PUT", _BASE + "/options")
def set_options(lab: Lab, call: Call) -> Any:
    _changed(lab, call).set_options(_values(call), split_list(call.text("delete") or ""))


@declared("GET", _BASE + "/rules")
def rules(lab: Lab, call: Call) -> Any:
    found = _seen(lab, call)
    return [{**row, "digest": found.digest} for row in found.shown()]


@declared("POST", _BASE + "/rules")
def create_rule(lab: Lab, call: Call) -> Any:
    _changed(lab, call).insert(_values(call), int(call.params.get("pos") or 0))


@declared("GET", _BASE + "/rules/{pos}")
def rule(lab: Lab, call: Call) -> Any:
    found = _seen(lab, call)
    return {**found.rule(int(call.path["pos"])), "digest": found.digest}


@declared("PUT", _BASE + "/rules/{pos}")
def change_rule(lab: Lab, call: Call) -> Any:
    """With ``moveto`` the rule only moves, whatever else is given."""
    found, place = _changed(lab, call), int(call.path["pos"])
    if (target := call.params.get("moveto")) is not None:
        found.move(place, int(target))
    else:
        found.change(place, _values(call), split_list(call.text("delete") or ""))


@declared("DELETE", _BASE + "/rules/{pos}")
def delete_rule(lab: Lab, call: Call) -> Any:
    _changed(lab, call).remove(int(call.path["pos"]))
