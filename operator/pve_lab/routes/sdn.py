"""``/cluster/sdn``: controllers, zones, VNets, subnets, address books, the lock, apply and rollback."""

from __future__ import annotations

from typing import Any

from pve_lab.cluster import Lab
from pve_lab.dispatch import Call, Needs, route
from pve_lab.errors import bad_parameters, died, refused
from pve_lab.schema import Prop, Schema
from pve_lab.sdn import parameters as table
from pve_lab.sdn.config import ID_KEY
from pve_lab.sdn.section import Props

_SEE = ("SDN.Audit", "SDN.Allocate")
_CHANGE = ("SDN.Allocate",)
# Parameters that steer a write and are not stored.
_STEERING = frozenset({"type", "lock-token", "digest", "delete"})


def _allocate(path: str) -> Needs:
    return Needs(path, _CHANGE)


def _may_see(lab: Lab, call: Call, path: str) -> bool:
    return lab.access.allowed(call.user, path, _SEE)


def _settings(call: Call, id_key: str) -> Props:
    return {key: value for key, value in call.params.items() if key not in _STEERING and key != id_key}


def _update(lab: Lab, call: Call, kind: str, id_: str, settings: Props) -> None:
    token, digest, delete = call.text("lock-token"), call.text("digest"), call.text("delete") or ""
    lab.sdn.update(kind, id_, settings, token, digest, delete)


@route("GET", "/cluster/sdn", parameters={}, needs=Needs("/sdn", ("SDN.Audit",)))
def index(lab: Lab, _call: Call) -> Any:
    names = ["vnets", "zones", "controllers", "ipams", "dns"]
    names += ["fabrics"] if lab.sdn.pve >= table.V90 else []
    names += ["prefix-lists", "route-maps"] if lab.sdn.pve >= table.V92 else []
    return [{"id": name} for name in names]


# --- controllers, zones, and the services they use --------------------------------------------------------------


def _collection(
    kind: str,
    id_prop: Prop,
    schema: Schema,
    types: tuple[str, ...],
    write: str,
    views: Schema,
    created: Schema | None = None,
) -> None:
    """The five verbs of a kind whose objects have types. ``write`` is where one may change an object.

    ``created`` is the schema of a new one where it is not that of a change.
    """
    base, key = f"/cluster/sdn/{kind}", ID_KEY[kind]
    rights = f"/sdn/{kind}"

    @route("GET", base, parameters={**views, "type": Prop(enum=types)})
    def listing(lab: Lab, call: Call) -> Any:
        only = call.text("type")
        rows = lab.sdn.listing(kind, call.view)
        return [r for r in rows if (not only or r["type"] == only) and _may_see(lab, call, f"{rights}/{r[key]}")]

    new: Schema = {key: id_prop, "type": table.type_of(types), "lock-token": table.LOCK_TOKEN, **(created or schema)}

    @route("POST", base, parameters=new, needs=_allocate(rights))
    def create(lab: Lab, call: Call) -> Any:
        id_, type_ = str(call.params[key]), str(call.params["type"])
        lab.sdn.create(kind, id_, type_, _settings(call, key), call.text("lock-token"))

    one = f"{base}/{{{key}}}"

    @route("GET", one, parameters={key: id_prop, **views}, needs=_allocate(f"{rights}/{{{key}}}"))
    def item(lab: Lab, call: Call) -> Any:
        return lab.sdn.item(kind, call.path[key], call.view)

    @route("PUT", one, parameters={key: id_prop, **schema, **table.UPDATE}, needs=_allocate(write))
    def update(lab: Lab, call: Call) -> Any:
        _update(lab, call, kind, call.path[key], _settings(call, key))

    @route("DELETE", one, parameters={key: id_prop, "lock-token": table.LOCK_TOKEN}, needs=_allocate(write))
    def delete(lab: Lab, call: Call) -> Any:
        lab.sdn.delete(kind, call.path[key], call.text("lock-token"))


_collection(
    "controllers", table.LONG_ID, table.CONTROLLER, table.CONTROLLER_TYPES, "/sdn/controllers", table.VIEWS
)  # fmt: skip
_collection("zones", table.SHORT_ID, table.ZONE, table.ZONE_TYPES, "/sdn/zones/{zone}", table.VIEWS)
_collection("ipams", table.SERVICE_ID, table.IPAM, table.IPAM_TYPES, "/sdn/ipams", {})
_collection("dns", table.SERVICE_ID, table.DNS, table.DNS_TYPES, "/sdn/dns", {}, table.NEW_DNS)


@route("GET", "/cluster/sdn/ipams/{ipam}/status", parameters={"ipam": table.SERVICE_ID})
def ipam_status(lab: Lab, call: Call) -> Any:
    """Only zones that run with this address book and with DHCP; so never an EVPN zone, though its addresses are in."""
    if call.path["ipam"] != "pve":
        raise refused(died("Currently only PVE IPAM is supported!", "API2/Network/SDN/Ipams.pm", 291))
    rows = []
    for zone, book in sorted(lab.sdn.ipam.zones.items()):
        running = lab.sdn.running["zones"].get(zone, {})
        if running.get("ipam") != "pve" or not running.get("dhcp"):
            continue
        for cidr, addresses in sorted(book.items()):
            vnet = lab.sdn.vnet_around(zone, cidr.partition("/")[0])
            if vnet and _may_see(lab, call, f"/sdn/zones/{zone}/{vnet}"):
                place = {"zone": zone, "vnet": vnet, "subnet": cidr}
                rows += [{**place, "ip": ip, **entry.row()} for ip, entry in sorted(addresses.items())]
    return rows


# --- VNets ------------------------------------------------------------------------------------------------------

_VNETS = "/cluster/sdn/vnets"
_VNET = _VNETS + "/{vnet}"


def _demand_vnet(lab: Lab, call: Call, privileges: tuple[str, ...]) -> None:
    """By the zone of the edited copy, so a VNet that is not there is not found before anything else."""
    vnet = call.path["vnet"]
    lab.access.demand_any(call.user, f"/sdn/zones/{lab.sdn.zone_of_vnet(vnet)}/{vnet}", privileges)


@route("GET", _VNETS, parameters=table.VIEWS)
def vnets(lab: Lab, call: Call) -> Any:
    return [row for row in lab.sdn.listing("vnets", call.view) if _may_see(lab, call, _vnet_rights(row))]


def _vnet_rights(row: Props) -> str:
    zone = row.get("zone") or row.get("pending", {}).get("zone", "")
    return f"/sdn/zones/{zone}/{row['vnet']}"


_NEW_VNET: Schema = {
    "vnet": table.SHORT_ID, "type": Prop(enum=("vnet",)), "lock-token": table.LOCK_TOKEN, **table.VNET,
    "zone": table.VNET["zone"].required(),
}  # fmt: skip


@route("POST", _VNETS, parameters=_NEW_VNET, needs=_allocate("/sdn/zones/{zone}"))
def create_vnet(lab: Lab, call: Call) -> Any:
    lab.sdn.create("vnets", str(call.params["vnet"]), "vnet", _settings(call, "vnet"), call.text("lock-token"))


@route("GET", _VNET, parameters={"vnet": table.SHORT_ID, **table.VIEWS})
def vnet(lab: Lab, call: Call) -> Any:
    _demand_vnet(lab, call, _SEE)
    return lab.sdn.item("vnets", call.path["vnet"], call.view)


@route("PUT", _VNET, parameters={"vnet": table.SHORT_ID, **table.VNET, **table.UPDATE})
def update_vnet(lab: Lab, call: Call) -> Any:
    _demand_vnet(lab, call, _CHANGE)
    _update(lab, call, "vnets", call.path["vnet"], _settings(call, "vnet"))


@route("DELETE", _VNET, parameters={"vnet": table.SHORT_ID, "lock-token": table.LOCK_TOKEN})
def delete_vnet(lab: Lab, call: Call) -> Any:
    _demand_vnet(lab, call, _CHANGE)
    lab.sdn.delete("vnets", call.path["vnet"], call.text("lock-token"))


# --- addresses in a VNet ----------------------------------------------------------------------------------------


@route("POST", _VNET + "/ips", parameters=table.ADDRESS, needs=_allocate("/sdn/zones/{zone}/{vnet}"))
def add_address(lab: Lab, call: Call) -> Any:
    lab.sdn.add_address(call.path["vnet"], str(call.params["ip"]), call.text("mac") or "")


@route("DELETE", _VNET + "/ips", parameters=table.ADDRESS, needs=_allocate("/sdn/zones/{zone}/{vnet}"))
def delete_address(lab: Lab, call: Call) -> Any:
    lab.sdn.delete_address(call.path["vnet"], str(call.params["ip"]))


@route(
    "PUT", _VNET + "/ips", parameters={**table.ADDRESS, "vmid": Prop("integer", minimum=100, maximum=999999999)},
    needs=_allocate("/sdn/zones/{zone}/{vnet}"),
)  # fmt: skip
def change_address(lab: Lab, call: Call) -> Any:
    ip, mac, vmid = str(call.params["ip"]), call.text("mac") or "", call.text("vmid") or ""
    lab.sdn.change_address(call.path["vnet"], ip, mac, vmid)


# --- subnets ----------------------------------------------------------------------------------------------------

_SUBNETS = _VNET + "/subnets"
_SUBNET = _SUBNETS + "/{subnet}"
# Reading and deleting check the id of the VNet; writing looks it up at once.
_OF_VNET: Schema = {"vnet": table.SHORT_ID}
_BELOW_VNET: Schema = {"vnet": table.TEXT}
_SUBNET_ID = Prop(optional=False, format="pve-sdn-subnet-id")


@route("GET", _SUBNETS, parameters={**_OF_VNET, **table.VIEWS})
def subnets(lab: Lab, call: Call) -> Any:
    _demand_vnet(lab, call, _SEE)
    return lab.sdn.listing("subnets", call.view, call.path["vnet"])


_NEW_SUBNET: Schema = {
    **_BELOW_VNET, "subnet": _SUBNET_ID, "type": Prop(optional=False, enum=("subnet",)),
    "lock-token": table.LOCK_TOKEN, **table.SUBNET,
}  # fmt: skip


@route("POST", _SUBNETS, parameters=_NEW_SUBNET)
def create_subnet(lab: Lab, call: Call) -> Any:
    _demand_vnet(lab, call, _CHANGE)
    settings = {**_settings(call, "subnet"), "vnet": call.path["vnet"]}
    lab.sdn.create("subnets", str(call.params["subnet"]), "subnet", settings, call.text("lock-token"))


@route("GET", _SUBNET, parameters={**_OF_VNET, "subnet": _SUBNET_ID, **table.VIEWS})
def subnet(lab: Lab, call: Call) -> Any:
    _demand_vnet(lab, call, _SEE)
    found = lab.sdn.item("subnets", call.path["subnet"], call.view)
    if found["vnet"] != call.path["vnet"]:
        raise bad_parameters(vnet="wrong vnet")
    return found


@route("PUT", _SUBNET, parameters={**_BELOW_VNET, "subnet": _SUBNET_ID, **table.SUBNET, **table.UPDATE})
def update_subnet(lab: Lab, call: Call) -> Any:
    """The VNet of the URL is stored: asking another one moves the subnet there."""
    _demand_vnet(lab, call, _CHANGE)
    _update(lab, call, "subnets", call.path["subnet"], {**_settings(call, "subnet"), "vnet": call.path["vnet"]})


@route("DELETE", _SUBNET, parameters={**_OF_VNET, "subnet": _SUBNET_ID, "lock-token": table.LOCK_TOKEN})
def delete_subnet(lab: Lab, call: Call) -> Any:
    _demand_vnet(lab, call, _CHANGE)
    lab.sdn.delete("subnets", call.path["subnet"], call.text("lock-token"), call.path["vnet"])


# --- lock, apply, rollback --------------------------------------------------------------------------------------

_EVERYTHING = _allocate("/sdn")
_RELEASE: Schema = {"lock-token": table.LOCK_TOKEN, "release-lock": Prop("boolean", since=table.V90)}


@route(
    "POST", "/cluster/sdn/lock", parameters={"allow-pending": table.FLAG}, needs=_EVERYTHING, since=table.V90
)  # fmt: skip
def lock(lab: Lab, call: Call) -> Any:
    return lab.sdn.take_lock(call.flag("allow-pending"))


@route(
    "DELETE", "/cluster/sdn/lock", parameters={"lock-token": table.LOCK_TOKEN, "force": table.FLAG},
    needs=_EVERYTHING, since=table.V90,
)  # fmt: skip
def unlock(lab: Lab, call: Call) -> Any:
    lab.sdn.release_lock(call.text("lock-token"), call.flag("force"))


@route("POST", "/cluster/sdn/rollback", parameters=_RELEASE, needs=_EVERYTHING, since=table.V90)
def rollback(lab: Lab, call: Call) -> Any:
    lab.sdn.check_lock(call.text("lock-token"), "could not rollback SDN configuration")
    lab.rollback()
    _release(lab, call)


@route("PUT", "/cluster/sdn", parameters=_RELEASE, needs=_EVERYTHING)
def apply(lab: Lab, call: Call) -> Any:
    lab.sdn.check_lock(call.text("lock-token"), "could not commit SDN config")
    upid = lab.apply(call.user)
    _release(lab, call)
    return upid


def _release(lab: Lab, call: Call) -> None:
    """The documented default of 1 is not applied by the real code: without the parameter the lock stays."""
    if call.flag("release-lock") and call.text("lock-token"):
        lab.sdn.lock = None
