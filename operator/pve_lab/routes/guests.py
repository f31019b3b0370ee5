"""VMs and containers: configuration, and writes to it."""

from __future__ import annotations

import random
import re
from typing import Any

from pve_lab.cluster import Guest, Lab
from pve_lab.dispatch import Call, node_of, route
from pve_lab.errors import ApiError, refused

_GUEST = "/nodes/{node}/{kind}/{vmid}"
_MODEL = re.compile(r"^(model=)?(virtio|e1000e?|rtl8139|vmxnet3)(?=,|$)")


def _guest(lab: Lab, call: Call) -> Guest:
    guest = lab.guests.get(int(call.path["vmid"]))
    node_of(lab, call)
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
