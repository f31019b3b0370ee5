"""The API below ``/api2/json``: one function per path and verb, in the order of the tree."""

from __future__ import annotations

import random
import re
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from pve_lab.cluster import Guest, Lab, Node
from pve_lab.errors import ApiError, bad_parameters, refused


@dataclass
class Call:
    """One request: path parameters, all parameters, and who asks."""

    path: dict[str, str]
    params: dict[str, Any]
    user: str

    def flag(self, name: str) -> bool:
        return str(self.params.get(name, "0")) == "1"

    @property
    def view(self) -> str:
        return "pending" if self.flag("pending") else "running" if self.flag("running") else "plain"


@dataclass
class Whole:
    """An answer with keys beside ``data``."""

    body: dict[str, Any]


Handler = Callable[[Lab, Call], Any]
_ROUTES: list[tuple[str, re.Pattern[str], Handler]] = []


def route(method: str, path: str) -> Callable[[Handler], Handler]:
    """Register a handler; ``{name}`` in the path becomes a path parameter."""
    pattern = re.compile(re.sub(r"\{(\w+)\}", r"(?P<\1>[^/]+)", path))

    def register(handler: Handler) -> Handler:
        _ROUTES.append((method, pattern, handler))
        return handler

    return register


def find(method: str, path: str) -> tuple[Handler, dict[str, str]]:
    """The handler of a request, or the 501 Proxmox gives for what it does not have."""
    for verb, pattern, handler in _ROUTES:
        if verb == method and (match := pattern.fullmatch(path)):
            return handler, match.groupdict()
    raise ApiError(501, f"Method '{method} {path}' not implemented")


@route("GET", "/version")
def version(lab: Lab, _call: Call) -> Any:
    return {"version": lab.version, "release": lab.version.rsplit(".", 1)[0], "repoid": "lab"}


@route("GET", "/access/permissions")
def permissions(_lab: Lab, _call: Call) -> Any:
    everything = ("SDN.Allocate", "SDN.Audit", "SDN.Use", "Sys.Audit", "Sys.Modify", "VM.Audit", "VM.Config.Network")
    return {path: dict.fromkeys(everything, 1) for path in ("/", "/sdn", "/nodes", "/vms", "/access")}


@route("GET", "/cluster/status")
def cluster_status(lab: Lab, _call: Call) -> Any:
    nodes = list(lab.nodes.values())
    online = sum(node.online for node in nodes)
    head = {"type": "cluster", "id": "cluster", "name": "lab", "version": 1, "nodes": len(nodes)}
    rows: list[dict[str, Any]] = [{**head, "quorate": int(online * 2 > len(nodes))}]
    for number, node in enumerate(nodes, 1):
        row = {"type": "node", "id": f"node/{node.name}", "name": node.name, "ip": node.address, "nodeid": number}
        rows.append({**row, "online": int(node.online), "local": int(number == 1), "level": ""})
    return rows


@route("GET", "/cluster/resources")
def resources(lab: Lab, call: Call) -> Any:
    guests: list[dict[str, Any]] = [
        {
            "id": f"{g.kind}/{g.vmid}", "type": g.kind, "vmid": g.vmid, "name": g.name, "node": g.node,
            "status": "running" if g.running else "stopped", "template": 0,
        }
        for g in lab.guests.values()
    ]  # fmt: skip
    if call.params.get("type") == "vm":
        return guests
    return [{"id": f"node/{n}", "type": "node", "node": n, "status": "online"} for n in lab.nodes] + guests


# --- SDN --------------------------------------------------------------------------------------------------------

_PLURAL = {"controllers": "controller", "zones": "zone", "vnets": "vnet"}


def _collection(kind: str, id_key: str) -> None:
    """The five verbs every kind has."""
    base = f"/cluster/sdn/{kind}"

    @route("GET", base)
    def listing(lab: Lab, call: Call) -> Any:
        return lab.sdn.listing(kind, call.view)

    @route("POST", base)
    def create(lab: Lab, call: Call) -> Any:
        if id_key not in call.params:
            raise bad_parameters(**{id_key: "property is missing and it is not optional"})
        type_ = call.params.get("type", "vnet" if kind == "vnets" else "")
        lab.sdn.create(kind, call.params[id_key], type_, call.params, call.params.get("lock-token"))

    @route("GET", base + "/{id}")
    def item(lab: Lab, call: Call) -> Any:
        return lab.sdn.item(kind, call.path["id"], call.view)

    @route("PUT", base + "/{id}")
    def update(lab: Lab, call: Call) -> Any:
        params = call.params
        lab.sdn.update(
            kind, call.path["id"], params, params.get("lock-token"), params.get("digest"), params.get("delete", "")
        )

    @route("DELETE", base + "/{id}")
    def delete(lab: Lab, call: Call) -> Any:
        lab.sdn.delete(kind, call.path["id"], call.params.get("lock-token"))


for _kind, _key in _PLURAL.items():
    _collection(_kind, _key)

_SUBNETS = "/cluster/sdn/vnets/{vnet}/subnets"


@route("GET", _SUBNETS)
def subnets(lab: Lab, call: Call) -> Any:
    return lab.sdn.listing("subnets", call.view, call.path["vnet"])


@route("POST", _SUBNETS)
def create_subnet(lab: Lab, call: Call) -> Any:
    params = {**call.params, "vnet": call.path["vnet"]}
    lab.sdn.create("subnets", call.params["subnet"], "subnet", params, call.params.get("lock-token"))


@route("GET", _SUBNETS + "/{id}")
def subnet(lab: Lab, call: Call) -> Any:
    return lab.sdn.item("subnets", call.path["id"], call.view)


@route("PUT", _SUBNETS + "/{id}")
def update_subnet(lab: Lab, call: Call) -> Any:
    params = call.params
    lab.sdn.update(
        "subnets", call.path["id"], params, params.get("lock-token"), params.get("digest"), params.get("delete", "")
    )


@route("DELETE", _SUBNETS + "/{id}")
def delete_subnet(lab: Lab, call: Call) -> Any:
    lab.sdn.delete("subnets", call.path["id"], call.params.get("lock-token"))


@route("GET", "/cluster/sdn/fabrics/all")
def fabrics(lab: Lab, _call: Call) -> Any:
    return {"fabrics": list(lab.sdn.fabrics.values()), "nodes": lab.sdn.fabric_nodes}


@route("GET", "/cluster/sdn/route-maps/entries")
def route_maps(_lab: Lab, _call: Call) -> Any:
    return []


@route("GET", "/cluster/sdn/prefix-lists")
def prefix_lists(_lab: Lab, _call: Call) -> Any:
    return []


@route("POST", "/cluster/sdn/lock")
def lock(lab: Lab, call: Call) -> Any:
    return lab.sdn.take_lock(call.flag("allow-pending"))


@route("DELETE", "/cluster/sdn/lock")
def unlock(lab: Lab, call: Call) -> Any:
    lab.sdn.release_lock(call.params.get("lock-token"), call.flag("force"))


@route("POST", "/cluster/sdn/rollback")
def rollback(lab: Lab, call: Call) -> Any:
    lab.sdn.check_lock(call.params.get("lock-token"), "could not rollback SDN configuration")
    lab.sdn.rollback()


@route("PUT", "/cluster/sdn")
def apply(lab: Lab, call: Call) -> Any:
    lab.sdn.check_lock(call.params.get("lock-token"), "could not commit SDN config")
    upid = lab.apply(call.user)
    # The documented default of 1 is not applied by the real code: without the parameter the lock stays.
    if call.flag("release-lock"):
        lab.sdn.lock = None
    return upid


# --- nodes ------------------------------------------------------------------------------------------------------


def _node(lab: Lab, call: Call) -> Node:
    node = lab.nodes.get(call.path["node"])
    if node is None:
        raise ApiError(500, f"hostname lookup '{call.path['node']}' failed")
    if not node.online:
        raise ApiError(595, "No route to host")
    return node


@route("GET", "/nodes/{node}/network")
def network(lab: Lab, call: Call) -> Any:
    node = _node(lab, call)
    bridge = {"iface": "vmbr0", "type": "bridge", "method": "static", "cidr": f"{node.address}/24", "active": 1}
    body: dict[str, Any] = {"data": [bridge]}
    return Whole({**body, "changes": node.network_changes} if node.network_changes else body)


@route("PUT", "/nodes/{node}/network")
def reload(lab: Lab, call: Call) -> Any:
    return lab.reload(_node(lab, call), call.user)


@route("GET", "/nodes/{node}/tasks")
def tasks(lab: Lab, call: Call) -> Any:
    node, now = _node(lab, call), time.time()
    since, type_ = int(call.params.get("since", 0)), call.params.get("typefilter")
    chosen = [
        t for t in lab.tasks.values() if t.node == node.name and t.starts >= since and (not type_ or t.type == type_)
    ]
    return [task.row(now) for task in reversed(chosen)]


@route("GET", "/nodes/{node}/tasks/{upid}/status")
def task_status(lab: Lab, call: Call) -> Any:
    task = lab.tasks.get(call.path["upid"])
    if task is None:
        raise bad_parameters(upid="no such task")
    return task.row(time.time())


@route("GET", "/nodes/{node}/tasks/{upid}/log")
def task_log(lab: Lab, call: Call) -> Any:
    task = lab.tasks.get(call.path["upid"])
    if task is None:
        raise bad_parameters(upid="no such task")
    return [{"n": n, "t": text} for n, text in enumerate([*task.log, f"TASK {task.exitstatus}"], 1)]


@route("GET", "/nodes/{node}/sdn/zones")
def node_zones(lab: Lab, call: Call) -> Any:
    return lab.zone_rows(_node(lab, call))


@route("GET", "/nodes/{node}/sdn/zones/{zone}/content")
def content(lab: Lab, call: Call) -> Any:
    node = _node(lab, call)
    rows = []
    for vnet, props in sorted(lab.sdn.running["vnets"].items()):
        if props.get("zone") != call.path["zone"]:
            continue
        if node.applied_version == lab.sdn.version:
            rows.append({"vnet": vnet, "status": "available"})
        else:
            text = "local sdn network configuration is too old, please reload"
            rows.append({"vnet": vnet, "status": "pending", "statusmsg": text})
    return rows


@route("GET", "/nodes/{node}/sdn/vnets/{vnet}/mac-vrf")
def mac_vrf(lab: Lab, call: Call) -> Any:
    _node(lab, call)
    return lab.mac_vrf(call.path["vnet"])


# --- guests -----------------------------------------------------------------------------------------------------

_GUEST = "/nodes/{node}/{kind}/{vmid}"
_MODEL = re.compile(r"^(model=)?(virtio|e1000e?|rtl8139|vmxnet3)(?=,|$)")


def _guest(lab: Lab, call: Call) -> Guest:
    guest = lab.guests.get(int(call.path["vmid"]))
    _node(lab, call)
    if guest is None or guest.node != call.path["node"] or guest.kind != call.path["kind"]:
        folder = "qemu-server" if call.path["kind"] == "qemu" else "lxc"
        path = f"nodes/{call.path['node']}/{folder}/{call.path['vmid']}.conf"
        raise refused(f"Configuration file '{path}' does not exist\n")
    return guest


@route("GET", _GUEST + "/config")
def guest_config(lab: Lab, call: Call) -> Any:
    guest = _guest(lab, call)
    return {**guest.config, "name": guest.name, "digest": guest.digest}


@route("GET", _GUEST + "/pending")
def guest_pending(lab: Lab, call: Call) -> Any:
    return [{"key": key, "value": value} for key, value in sorted(_guest(lab, call).config.items())]


def _write(lab: Lab, call: Call) -> Guest:
    guest = _guest(lab, call)
    if lock := guest.config.get("lock"):
        raise refused(f"{'VM' if guest.kind == 'qemu' else 'CT'} is locked ({lock})\n")
    if call.params.get("digest") not in (None, "", guest.digest):
        raise refused("checksum mismatch (file change by other user?)\n")
    for key in [key for key in str(call.params.get("delete", "")).split(",") if key]:
        guest.config.pop(key, None)
    for key, value in call.params.items():
        if re.fullmatch(r"net\d+", key):
            guest.config[key] = _with_mac(guest.kind, value)
    return guest


def _with_mac(kind: str, text: str) -> str:
    """Proxmox invents a MAC on every write that has none."""
    mac = ":".join(["BC", "24", "11", *(f"{random.getrandbits(8):02X}" for _ in range(3))])
    if kind == "qemu":
        return _MODEL.sub(rf"\2={mac}", text)
    return text if "hwaddr=" in text else f"{text},hwaddr={mac}"


@route("POST", _GUEST + "/config")
def write_config_task(lab: Lab, call: Call) -> Any:
    guest = _write(lab, call)
    if guest.kind != "qemu":
        raise ApiError(501, "Method 'POST' not implemented")
    return lab.start_task(guest.node, "qmconfig", call.user, lab.task_seconds, id_=str(guest.vmid)).upid


@route("PUT", _GUEST + "/config")
def write_config(lab: Lab, call: Call) -> Any:
    _write(lab, call)
