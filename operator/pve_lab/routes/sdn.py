"""``/cluster/sdn``: controllers, zones, VNets, subnets, the lock, apply and rollback."""

from __future__ import annotations

from typing import Any

from pve_lab.cluster import Lab
from pve_lab.dispatch import Call, route
from pve_lab.errors import bad_parameters

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


@route("POST", "/cluster/sdn/lock")
def lock(lab: Lab, call: Call) -> Any:
    return lab.sdn.take_lock(call.flag("allow-pending"))


@route("DELETE", "/cluster/sdn/lock")
def unlock(lab: Lab, call: Call) -> Any:
    lab.sdn.release_lock(call.params.get("lock-token"), call.flag("force"))


@route("POST", "/cluster/sdn/rollback")
def rollback(lab: Lab, call: Call) -> Any:
    lab.sdn.check_lock(call.params.get("lock-token"), "could not rollback SDN configuration")
    lab.rollback()


@route("PUT", "/cluster/sdn")
def apply(lab: Lab, call: Call) -> Any:
    lab.sdn.check_lock(call.params.get("lock-token"), "could not commit SDN config")
    upid = lab.apply(call.user)
    # The documented default of 1 is not applied by the real code: without the parameter the lock stays.
    if call.flag("release-lock"):
        lab.sdn.lock = None
    return upid
