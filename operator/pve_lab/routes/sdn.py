"""``/cluster/sdn``: controllers, zones, VNets, subnets, IPAMs, name servers, the lock, apply and rollback."""

from __future__ import annotations

from typing import Any

from pve_lab.cluster import Cluster
from pve_lab.errors import bad_parameters, died, refused
from pve_lab.json_schema import Prop, Schema
from pve_lab.releases import V90, V92
from pve_lab.request import Call
from pve_lab.sdn import parameters as table
from pve_lab.sdn.config import ID_KEY
from pve_lab.sdn.section_config import Props

_SEE = ("SDN.Audit", "SDN.Allocate")
_CHANGE = ("SDN.Allocate",)
# Parameters that control a write and are not stored.
_CONTROL = frozenset({"type", "lock-token", "digest", "delete"})


def _may_see(cluster: Cluster, call: Call, path: str) -> bool:
    return cluster.access.allowed(call.user, path, _SEE)


def _settings(call: Call, id_key: str) -> Props:
    return {key: value for key, value in call.params.items() if key not in _CONTROL and key != id_key}


def _update(cluster: Cluster, call: Call, kind: str, id_: str, settings: Props) -> None:
    token, digest, delete = call.text("lock-token"), call.text("digest"), call.text("delete") or ""
    cluster.sdn.update(kind, id_, settings, token, digest, delete)


def index(cluster: Cluster, _call: Call) -> Any:
    names = ["vnets", "zones", "controllers", "ipams", "dns"]
    names += ["fabrics"] if cluster.sdn.pve >= V90 else []
    names += ["prefix-lists", "route-maps"] if cluster.sdn.pve >= V92 else []
    return [{"id": name} for name in names]


# --- controllers, zones, and the services they use --------------------------------------------------------------


class Collection:
    """Handlers and parameters of a kind whose objects have types.

    ``created`` is the schema of a new object where it is not that of a change.
    """

    def __init__(
        self,
        kind: str,
        id_prop: Prop,
        schema: Schema,
        types: tuple[str, ...],
        views: Schema,
        created: Schema | None = None,
    ) -> None:
        self._kind = kind
        self._key = key = ID_KEY[kind]
        self.filters: Schema = {**views, "type": Prop(enum=types)}
        self.new: Schema = {
            key: id_prop, "type": table.type_of(types), "lock-token": table.LOCK_TOKEN, **(created or schema),
        }  # fmt: skip
        self.one: Schema = {key: id_prop, **views}
        self.change: Schema = {key: id_prop, **schema, **table.UPDATE}
        self.removal: Schema = {key: id_prop, "lock-token": table.LOCK_TOKEN}

    def listing(self, cluster: Cluster, call: Call) -> Any:
        only = call.text("type")
        rows = [row for row in cluster.sdn.listing(self._kind, call.view) if not only or row["type"] == only]
        return [row for row in rows if _may_see(cluster, call, f"/sdn/{self._kind}/{row[self._key]}")]

    def create(self, cluster: Cluster, call: Call) -> Any:
        id_, type_ = str(call.params[self._key]), str(call.params["type"])
        cluster.sdn.create(self._kind, id_, type_, _settings(call, self._key), call.text("lock-token"))

    def item(self, cluster: Cluster, call: Call) -> Any:
        return cluster.sdn.item(self._kind, call.path[self._key], call.view)

    def update(self, cluster: Cluster, call: Call) -> Any:
        _update(cluster, call, self._kind, call.path[self._key], _settings(call, self._key))

    def delete(self, cluster: Cluster, call: Call) -> Any:
        cluster.sdn.delete(self._kind, call.path[self._key], call.text("lock-token"))


CONTROLLERS = Collection("controllers", table.LONG_ID, table.CONTROLLER, table.CONTROLLER_TYPES, table.VIEWS)
ZONES = Collection("zones", table.SHORT_ID, table.ZONE, table.ZONE_TYPES, table.VIEWS)
IPAMS = Collection("ipams", table.SERVICE_ID, table.IPAM, table.IPAM_TYPES, {})
DNS = Collection("dns", table.SERVICE_ID, table.DNS, table.DNS_TYPES, {}, table.NEW_DNS)
IPAM_STATUS: Schema = {"ipam": table.SERVICE_ID}


def ipam_status(cluster: Cluster, call: Call) -> Any:
    """Only zones that run with this IPAM and with DHCP; so never an EVPN zone, though the IPAM has its addresses."""
    if call.path["ipam"] != "pve":
        raise refused(died("Currently only PVE IPAM is supported!", "API2/Network/SDN/Ipams.pm", 291))
    rows = []
    for zone, book in sorted(cluster.sdn.ipam.zones.items()):
        running = cluster.sdn.running["zones"].get(zone, {})
        if running.get("ipam") != "pve" or not running.get("dhcp"):
            continue
        for cidr, addresses in sorted(book.items()):
            vnet = cluster.sdn.vnet_around(zone, cidr.partition("/")[0])
            if vnet and _may_see(cluster, call, f"/sdn/zones/{zone}/{vnet}"):
                place = {"zone": zone, "vnet": vnet, "subnet": cidr}
                rows += [{**place, "ip": ip, **entry.row()} for ip, entry in sorted(addresses.items())]
    return rows


# --- VNets ------------------------------------------------------------------------------------------------------

VNET: Schema = {"vnet": table.SHORT_ID, **table.VIEWS}
NEW_VNET: Schema = {
    "vnet": table.SHORT_ID, "type": Prop(enum=("vnet",)), "lock-token": table.LOCK_TOKEN, **table.VNET,
    "zone": table.VNET["zone"].required(),
}  # fmt: skip
VNET_CHANGE: Schema = {"vnet": table.SHORT_ID, **table.VNET, **table.UPDATE}
VNET_REMOVAL: Schema = {"vnet": table.SHORT_ID, "lock-token": table.LOCK_TOKEN}


def _demand_vnet(cluster: Cluster, call: Call, privileges: tuple[str, ...]) -> None:
    """By the zone of the edited copy, so 500 for a VNet that does not exist comes first."""
    vnet = call.path["vnet"]
    cluster.access.demand_any(call.user, f"/sdn/zones/{cluster.sdn.zone_of_vnet(vnet)}/{vnet}", privileges)


def vnets(cluster: Cluster, call: Call) -> Any:
    return [row for row in cluster.sdn.listing("vnets", call.view) if _may_see(cluster, call, _vnet_rights(row))]


def _vnet_rights(row: Props) -> str:
    zone = row.get("zone") or row.get("pending", {}).get("zone", "")
    return f"/sdn/zones/{zone}/{row['vnet']}"


def create_vnet(cluster: Cluster, call: Call) -> Any:
    cluster.sdn.create("vnets", str(call.params["vnet"]), "vnet", _settings(call, "vnet"), call.text("lock-token"))


def vnet(cluster: Cluster, call: Call) -> Any:
    _demand_vnet(cluster, call, _SEE)
    return cluster.sdn.item("vnets", call.path["vnet"], call.view)


def update_vnet(cluster: Cluster, call: Call) -> Any:
    _demand_vnet(cluster, call, _CHANGE)
    _update(cluster, call, "vnets", call.path["vnet"], _settings(call, "vnet"))


def delete_vnet(cluster: Cluster, call: Call) -> Any:
    _demand_vnet(cluster, call, _CHANGE)
    cluster.sdn.delete("vnets", call.path["vnet"], call.text("lock-token"))


# --- addresses in a VNet ----------------------------------------------------------------------------------------

ADDRESS_CHANGE: Schema = {**table.ADDRESS, "vmid": Prop("integer", minimum=100, maximum=999999999)}


def add_address(cluster: Cluster, call: Call) -> Any:
    cluster.sdn.add_address(call.path["vnet"], str(call.params["ip"]), call.text("mac") or "")


def delete_address(cluster: Cluster, call: Call) -> Any:
    cluster.sdn.delete_address(call.path["vnet"], str(call.params["ip"]))


def change_address(cluster: Cluster, call: Call) -> Any:
    ip, mac, vmid = str(call.params["ip"]), call.text("mac") or "", call.text("vmid") or ""
    cluster.sdn.change_address(call.path["vnet"], ip, mac, vmid)


# --- subnets ----------------------------------------------------------------------------------------------------

_SUBNET_ID = Prop(optional=False, format="pve-sdn-subnet-id")
# Reading and deleting check the id of the VNet; writing searches it at once.
_OF_VNET: Schema = {"vnet": table.SHORT_ID}
_BELOW_VNET: Schema = {"vnet": table.TEXT}
SUBNETS: Schema = {**_OF_VNET, **table.VIEWS}
SUBNET: Schema = {**_OF_VNET, "subnet": _SUBNET_ID, **table.VIEWS}
NEW_SUBNET: Schema = {
    **_BELOW_VNET, "subnet": _SUBNET_ID, "type": Prop(optional=False, enum=("subnet",)),
    "lock-token": table.LOCK_TOKEN, **table.SUBNET,
}  # fmt: skip
SUBNET_CHANGE: Schema = {**_BELOW_VNET, "subnet": _SUBNET_ID, **table.SUBNET, **table.UPDATE}
SUBNET_REMOVAL: Schema = {**_OF_VNET, "subnet": _SUBNET_ID, "lock-token": table.LOCK_TOKEN}


def subnets(cluster: Cluster, call: Call) -> Any:
    _demand_vnet(cluster, call, _SEE)
    return cluster.sdn.listing("subnets", call.view, call.path["vnet"])


def create_subnet(cluster: Cluster, call: Call) -> Any:
    _demand_vnet(cluster, call, _CHANGE)
    settings = {**_settings(call, "subnet"), "vnet": call.path["vnet"]}
    cluster.sdn.create("subnets", str(call.params["subnet"]), "subnet", settings, call.text("lock-token"))


def subnet(cluster: Cluster, call: Call) -> Any:
    _demand_vnet(cluster, call, _SEE)
    found = cluster.sdn.item("subnets", call.path["subnet"], call.view)
    if found["vnet"] != call.path["vnet"]:
        raise bad_parameters(vnet="wrong vnet")
    return found


def update_subnet(cluster: Cluster, call: Call) -> Any:
    """The VNet of the URL is stored: asking another one moves the subnet there."""
    _demand_vnet(cluster, call, _CHANGE)
    _update(cluster, call, "subnets", call.path["subnet"], {**_settings(call, "subnet"), "vnet": call.path["vnet"]})


def delete_subnet(cluster: Cluster, call: Call) -> Any:
    _demand_vnet(cluster, call, _CHANGE)
    cluster.sdn.delete("subnets", call.path["subnet"], call.text("lock-token"), call.path["vnet"])


# --- lock, apply, rollback --------------------------------------------------------------------------------------

LOCK: Schema = {"allow-pending": table.FLAG}
UNLOCK: Schema = {"lock-token": table.LOCK_TOKEN, "force": table.FLAG}
RELEASE: Schema = {"lock-token": table.LOCK_TOKEN, "release-lock": Prop("boolean", since=V90)}


def lock(cluster: Cluster, call: Call) -> Any:
    return cluster.sdn.take_lock(call.flag("allow-pending"))


def unlock(cluster: Cluster, call: Call) -> Any:
    cluster.sdn.release_lock(call.text("lock-token"), call.flag("force"))


def rollback(cluster: Cluster, call: Call) -> Any:
    cluster.sdn.check_lock(call.text("lock-token"), "could not rollback SDN configuration")
    cluster.rollback()
    _release(cluster, call)


def apply(cluster: Cluster, call: Call) -> Any:
    cluster.sdn.check_lock(call.text("lock-token"), "could not commit SDN config")
    return cluster.apply(call.user, published=lambda: _release(cluster, call))


def _release(cluster: Cluster, call: Call) -> None:
    """The documented default of 1 is not applied by the real code: without the parameter the lock stays."""
    if call.flag("release-lock") and call.text("lock-token"):
        cluster.sdn.lock = None
