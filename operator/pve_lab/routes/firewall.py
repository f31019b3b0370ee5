"""``/cluster/sdn/vnets/{vnet}/firewall``: there for VNets of the running configuration, whatever is staged."""

from __future__ import annotations

from typing import Any

from pve_lab.cluster import Cluster
from pve_lab.errors import died, refused
from pve_lab.firewall.vnet import VnetFirewall
from pve_lab.json_schema import split_list
from pve_lab.request import Call


def _firewall(cluster: Cluster, call: Call, *privileges: str) -> VnetFirewall:
    """That of a VNet which is applied and may be seen (or changed). Its file is there before and after the VNet."""
    vnet = call.path["vnet"]
    file, running = cluster.firewall(vnet), cluster.sdn.running["vnets"].get(vnet)
    if running is None:
        raise refused(died("invalid vnet specified", "API2/Firewall/Helpers.pm", 54))
    cluster.access.demand_any(call.user, f"/sdn/zones/{running.get('zone', '')}/{vnet}", privileges)
    return file


def _seen(cluster: Cluster, call: Call) -> VnetFirewall:
    return _firewall(cluster, call, "SDN.Audit", "SDN.Allocate")


def _changed(cluster: Cluster, call: Call) -> VnetFirewall:
    return _firewall(cluster, call, "SDN.Allocate")


def _digest(call: Call) -> str:
    return call.text("digest") or ""


def _delete(call: Call) -> list[str]:
    return split_list(call.text("delete") or "")


def index(cluster: Cluster, call: Call) -> Any:
    """Needs no VNet. Empty for a VNet that is only staged until its firewall is asked for otherwise.

    The latter is one answer of the SDN recordings, whose Proxmox had no firewall module; it is kept because it harms
    no client and lets both sets of recordings be replayed whole.
    """
    vnet = call.path["vnet"]
    only_staged = vnet in cluster.sdn.edited["vnets"] and vnet not in cluster.sdn.running["vnets"]
    if only_staged and vnet not in cluster.firewalls:
        return []
    return [{"name": "rules"}, {"name": "options"}]


def options(cluster: Cluster, call: Call) -> Any:
    found = _seen(cluster, call)
    return {**found.options, "digest": found.options_digest}


def set_options(cluster: Cluster, call: Call) -> Any:
    _changed(cluster, call).set_options(_texts(call), _delete(call), _digest(call))


def rules(cluster: Cluster, call: Call) -> Any:
    found = _seen(cluster, call)
    digest = found.rules_digest
    return [{**rule, "pos": place, "digest": digest} for place, rule in enumerate(found.rules)]


def create_rule(cluster: Cluster, call: Call) -> Any:
    """Position and digest are checked for their form and count for nothing."""
    _changed(cluster, call).insert(_texts(call))


def rule(cluster: Cluster, call: Call) -> Any:
    """The position is answered as it was asked for."""
    found = _seen(cluster, call)
    return {**found.rule(int(call.path["pos"])), "pos": call.path["pos"], "digest": found.rules_digest}


def change_rule(cluster: Cluster, call: Call) -> Any:
    """A rule that really moves only moves, whatever else is given."""
    found, place, target = _changed(cluster, call), int(call.path["pos"]), call.text("moveto")
    if target is not None and int(target) != place:
        found.move(place, int(target), _digest(call))
    else:
        found.change(place, _texts(call), _delete(call), _digest(call))


def delete_rule(cluster: Cluster, call: Call) -> Any:
    _changed(cluster, call).remove(int(call.path["pos"]), _digest(call))


def _texts(call: Call) -> dict[str, str]:
    return {key: text for key in call.params if (text := call.text(key)) is not None}
