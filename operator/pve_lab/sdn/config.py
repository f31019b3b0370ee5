"""The SDN configuration: objects in two copies, the lock, and the rules between objects.

Modelled on measured behaviour of the real code: what is checked and what is not (exit nodes outside of the nodes,
an L3 VNI equal to an L2 one: accepted), the texts of refusals, and that everything semantic is a 500.
"""

from __future__ import annotations

import copy
import hashlib
import ipaddress
import json
import random
import re
import time
from typing import Any

from pve_lab.errors import bad_parameters, refused

Props = dict[str, Any]
Config = dict[str, dict[str, Props]]

KINDS = ("controllers", "zones", "vnets", "subnets")
ID_KEY = {"controllers": "controller", "zones": "zone", "vnets": "vnet", "subnets": "subnet"}
_SINGULAR = {"controllers": "controller", "zones": "zone", "vnets": "vnet", "subnets": "subnet"}
_ID = {
    "controllers": (re.compile(r"[a-zA-Z][a-zA-Z0-9_-]*[a-zA-Z0-9]"), 64),
    "zones": (re.compile(r"[a-zA-Z][a-zA-Z0-9]*[a-zA-Z0-9]"), 8),
    "vnets": (re.compile(r"[a-zA-Z][a-zA-Z0-9]*[a-zA-Z0-9]"), 8),
}
PARAMETERS: dict[str, dict[str, str]] = {
    "controllers": {
        "asn": "integer", "peers": "string", "fabric": "string", "nodes": "list", "bgp-mode": "string",
        "ebgp-multihop": "integer", "peer-group-name": "string", "route-map-in": "string", "route-map-out": "string",
        "node": "string", "ebgp": "boolean", "loopback": "string",
    },
    "zones": {
        "controller": "string", "secondary-controllers": "array", "vrf-vxlan": "integer", "nodes": "list",
        "exitnodes": "list", "exitnodes-primary": "string", "exitnodes-local-routing": "boolean",
        "advertise-subnets": "boolean", "disable-arp-nd-suppression": "boolean", "rt-import": "string",
        "mac": "string", "mtu": "integer", "vxlan-port": "integer", "bridge-disable-mac-learning": "boolean",
        "ipam": "string", "dns": "string", "reversedns": "string", "dnszone": "string", "bridge": "string",
        "tag": "integer", "peers": "string", "fabric": "string",
    },
    "vnets": {
        "zone": "string", "tag": "integer", "alias": "string", "isolate-ports": "boolean", "vlanaware": "boolean",
    },
    "subnets": {
        "gateway": "string", "snat": "boolean", "dhcp-range": "array", "dhcp-dns-server": "string",
        "dnszoneprefix": "string",
    },
}  # fmt: skip
_REQUIRED = {
    ("controllers", "evpn"): ("asn",),
    ("zones", "evpn"): ("controller", "vrf-vxlan"),
    ("vnets", "vnet"): ("zone",),
}


class SdnConfig:
    """Both copies and everything that writes to the edited one."""

    def __init__(self, seed: int = 0) -> None:
        self.edited: Config = {kind: {} for kind in KINDS}
        self.running: Config = {kind: {} for kind in KINDS}
        self.version = 0
        self.lock: str | None = None
        self.fabrics: dict[str, Props] = {}
        self.fabric_nodes: list[Props] = []
        self.multiple_controllers = True
        self._random = random.Random(seed)

    # --- the lock -----------------------------------------------------------------------------------------------

    def take_lock(self, allow_pending: bool) -> str:
        prefix = "could not acquire lock for SDN config"
        if self.lock is not None:
            raise refused(f"{prefix}: invalid lock token provided! at /usr/share/perl5/PVE/Network/SDN.pm line 391.\n")
        if not allow_pending and self.has_pending():
            raise refused(
                f"{prefix}: configuration has pending changes at /usr/share/perl5/PVE/API2/Network/SDN.pm line 158.\n"
            )
        stamp = f"{int(time.time() * 1000):012x}"
        tail = f"{self._random.getrandbits(76):019x}"
        self.lock = f"{stamp[:8]}-{stamp[8:]}-7{tail[:3]}-b{tail[3:6]}-{tail[6:18]}"
        return self.lock

    def release_lock(self, token: str | None, force: bool) -> None:
        if self.lock is not None and not force and token != self.lock:
            raise refused("could not release lock: invalid lock token provided! at SDN.pm line 415.\n")
        self.lock = None

    def check_lock(self, token: str | None, prefix: str) -> None:
        """While nobody holds the lock any token passes; that is Proxmox' behaviour, not an oversight."""
        if self.lock is not None and token != self.lock:
            raise refused(f"{prefix}: invalid lock token provided! at /usr/share/perl5/PVE/Network/SDN.pm line 391.\n")

    # --- reading ------------------------------------------------------------------------------------------------

    def digest(self, kind: str) -> str:
        """Of the whole file: the same for every object of a kind."""
        return hashlib.sha1(json.dumps(self.edited[kind], sort_keys=True).encode()).hexdigest()  # noqa: S324

    def item(self, kind: str, id_: str, view: str) -> Props:
        if view == "pending":
            return self._pending_item(kind, id_)
        source = self.running if view == "running" else self.edited
        if id_ not in source[kind]:
            word = {"vnets": "sdn vnet", "subnets": "sdn subnet"}.get(kind, "sdn")
            raise refused(f"{word} '{id_}' does not exist\n")
        return {**self._shown(kind, id_, source[kind][id_]), "digest": self.digest(kind) if view == "plain" else None}

    def listing(self, kind: str, view: str, vnet: str | None = None) -> list[Props]:
        if vnet is not None and vnet not in self.edited["vnets"]:
            raise refused(f"sdn vnet '{vnet}' does not exist\n")
        ids = set(self.edited[kind]) | set(self.running[kind])
        if view != "pending":
            ids = set((self.running if view == "running" else self.edited)[kind])
        rows = [self.item(kind, id_, view) for id_ in sorted(ids)]
        return [row for row in rows if vnet is None or row.get("vnet") == vnet]

    def _shown(self, kind: str, id_: str, props: Props) -> Props:
        shown = {ID_KEY[kind]: id_, **props}
        if kind == "subnets":
            zone, network, mask = id_.split("-", 2)
            shown |= {"id": id_, "zone": zone, "network": network, "mask": mask, "cidr": f"{network}/{mask}"}
            shown["dhcp-range"] = [dict(part.split("=") for part in r.split(",")) for r in props.get("dhcp-range", [])]
        return shown

    def _pending_item(self, kind: str, id_: str) -> Props:
        new, old = self.edited[kind].get(id_), self.running[kind].get(id_)
        if new is None and old is None:
            raise refused(f"sdn '{id_}' does not exist\n")
        if new is None:
            return {**self._shown(kind, id_, old or {}), "digest": None, "pending": {}, "state": "deleted"}
        if old is None:
            top: Props = {
                key: new[key] for key in ("type", "vnet") if key in new and (key == "type" or kind == "subnets")
            }
            rest = {key: value for key, value in new.items() if key not in top}
            shown = self._shown(kind, id_, top)
            return {**shown, "digest": None, "pending": rest, "state": "new"}
        changes = {key: new.get(key, "deleted") for key in new.keys() | old.keys() if new.get(key) != old.get(key)}
        shown = {**self._shown(kind, id_, old), "digest": None}
        return {**shown, "pending": changes, "state": "changed"} if changes else shown

    def has_pending(self) -> bool:
        return self.edited != self.running

    # --- writing ------------------------------------------------------------------------------------------------

    def create(self, kind: str, id_: str, type_: str, params: Props, token: str | None) -> None:
        props = {"type": type_, **self._read(kind, params)}
        if kind == "subnets":
            props["vnet"] = params["vnet"]
            zone = self.edited["vnets"][props["vnet"]]["zone"]
            network = ipaddress.ip_interface(id_)
            id_ = f"{zone}-{str(network).replace('/', '-')}"
        else:
            self._check_id(kind, id_)
        word = _SINGULAR[kind]
        for required in _REQUIRED.get((kind, type_), ()):
            if required not in props:
                raise refused(f"missing value for required option '{required}'\n")
        prefix = f"create sdn {word} object failed"
        self.check_lock(token, prefix)
        if id_ in self.edited[kind]:
            raise refused(f"{prefix}: sdn {word} object ID '{id_}' already defined\n")
        self._check(kind, id_, props, prefix)
        self._fill(kind, props)
        self.edited[kind][id_] = props

    def update(self, kind: str, id_: str, params: Props, token: str | None, digest: str | None, delete: str) -> None:
        word = _SINGULAR[kind]
        prefix = f"update sdn {word} object failed"
        changes = self._read(kind, params)
        self.check_lock(token, prefix)
        if digest and digest != self.digest(kind):
            raise refused(f"{prefix}: detected modified configuration - file changed by other user? Try again.\n")
        if id_ not in self.edited[kind]:
            raise refused(f"{prefix}: sdn '{id_}' does not exist\n")
        props = copy.deepcopy(self.edited[kind][id_])
        required = _REQUIRED.get((kind, props["type"]), ())
        for key in [key for key in re.split(r"[,; ]+", delete) if key]:
            if key in changes:
                raise refused(f"{prefix}: cannot set and delete property '{key}' at the same time!\n")
            if key in required:
                raise refused(f"{prefix}: unable to delete required option '{key}'\n")
            if key not in PARAMETERS[kind]:
                raise refused(f"{prefix}: no such option '{key}'\n")
            props.pop(key, None)
        props |= changes
        self._check(kind, id_, props, prefix)
        self._fill(kind, props)
        self.edited[kind][id_] = props

    def delete(self, kind: str, id_: str, token: str | None) -> None:
        word = _SINGULAR[kind]
        prefix = f"delete sdn {word} object failed"
        self.check_lock(token, prefix)
        if id_ not in self.edited[kind]:
            raise refused(f"{prefix}: sdn '{id_}' does not exist\n")
        if kind == "controllers":
            for zone, props in self.edited["zones"].items():
                if id_ in (props.get("controller"), *props.get("secondary-controllers", ())):
                    raise refused(f"{prefix}: controller {id_} is used by {zone} at EvpnPlugin.pm line 520.\n")
        if kind == "zones":
            for vnet, props in self.edited["vnets"].items():
                if props.get("zone") == id_:
                    raise refused(f"{prefix}: zone {id_} is used by vnet {vnet} at Plugin.pm line 60.\n")
        if kind == "vnets" and any(s.get("vnet") == id_ for s in self.edited["subnets"].values()):
            raise refused(f"{prefix}: vnet: Can't delete vnet if subnets exists\n")
        del self.edited[kind][id_]

    def commit(self) -> None:
        """What an apply publishes: everything, whoever staged it."""
        self.running = copy.deepcopy(self.edited)
        self.version += 1

    def rollback(self) -> None:
        self.edited = copy.deepcopy(self.running)

    # --- rules --------------------------------------------------------------------------------------------------

    def _check_id(self, kind: str, id_: str) -> None:
        pattern, longest = _ID[kind]
        if not pattern.fullmatch(id_):
            raise bad_parameters(**{ID_KEY[kind]: "value does not match the regex pattern"})
        if len(id_) > longest:
            raise bad_parameters(**{ID_KEY[kind]: f"value may only be {longest} characters long"})

    def _read(self, kind: str, params: Props) -> Props:
        """Typed values of the known parameters; unknown ones are a 400, all at once."""
        errors, props = {}, {}
        known = PARAMETERS[kind]
        for key, value in params.items():
            if key in ("lock-token", "digest", "delete", "type", ID_KEY[kind], "vnet"):
                continue
            if key not in known:
                errors[key] = "property is not defined in schema and the schema does not allow additional properties"
                continue
            try:
                typed = _typed(known[key], key, value)
            except ValueError as problem:
                errors[key] = str(problem)
                continue
            if typed not in ("", [], None):
                props[key] = typed
        if errors:
            raise bad_parameters(**errors)
        return props

    def _check(self, kind: str, id_: str, props: Props, prefix: str) -> None:
        if kind == "controllers" and props["type"] == "evpn":
            if bool(props.get("peers")) == bool(props.get("fabric")):
                raise refused(f"{prefix}: must have exactly one of peers / fabric defined at EvpnPlugin.pm line 497.\n")
            others = [o for o, p in self.edited[kind].items() if p["type"] == "evpn" and o != id_]
            if others and not self.multiple_controllers:
                raise refused(f"{prefix}: only 1 global evpn controller can be defined at EvpnPlugin.pm line 492.\n")
        if kind == "zones" and props["type"] == "evpn":
            if props["controller"] not in self.edited["controllers"]:
                raise refused(f"{prefix}: controller {props['controller']} don't exist at EvpnPlugin.pm line 357.\n")
            for other, there in self.edited["zones"].items():
                if other != id_ and there.get("vrf-vxlan") == props["vrf-vxlan"]:
                    raise refused(f"{prefix}: vrf-vxlan {props['vrf-vxlan']} is already declared in {other}\n")
        if kind == "vnets":
            zone = self.edited["zones"].get(props["zone"])
            if zone is None:
                raise refused(
                    "cannot lookup undefined type! at /usr/share/perl5/PVE/API2/Network/SDN/Vnets.pm line 49.\n"
                )
            wrapped = f"{prefix}: 400 Parameter verification failed.\n"
            if zone["type"] == "evpn" and not props.get("tag"):
                raise refused(f"{wrapped}tag: missing vxlan tag\n")
            for other, there in self.edited["vnets"].items():
                if other != id_ and there.get("tag") == props.get("tag") and there.get("tag"):
                    text = f"tag: vxlan tag {props['tag']} already exist in vnet {other} in zone {there['zone']} \n"
                    raise refused(wrapped + text)
        if kind == "subnets" and (gateway := props.get("gateway")):
            _, network, mask = id_.split("-", 2)
            if ipaddress.ip_address(gateway) not in ipaddress.ip_network(f"{network}/{mask}", strict=False):
                text = f"gateway: {gateway} is not in subnet {network}/{mask}\n"
                raise refused(f"{prefix}: 400 Parameter verification failed.\n{text}")

    def _fill(self, kind: str, props: Props) -> None:
        if kind == "zones" and props["type"] == "evpn" and "mac" not in props:
            tail = [f"{self._random.getrandbits(8):02X}" for _ in range(3)]
            props["mac"] = ":".join(["BC", "24", "11", *tail])


def _typed(type_: str, key: str, value: Any) -> Any:
    if type_ == "boolean":
        if str(value) in ("1", "0", "True", "False"):
            return int(str(value) in ("1", "True"))
        raise ValueError(f"type check ('boolean') failed - got '{value}'")
    if type_ == "integer":
        try:
            return int(str(value))
        except ValueError:
            raise ValueError(f"type check ('integer') failed - got '{value}'") from None
    if type_ == "array":
        return list(value) if isinstance(value, list) else [value]
    if type_ == "list":
        joined = ",".join(value) if isinstance(value, list) else str(value)
        return ",".join(sorted({part for part in re.split(r"[,; ]+", joined) if part}))
    text = ",".join(map(str, value)) if isinstance(value, list) else str(value)
    return text.strip() if key in ("alias", "peers") else text
