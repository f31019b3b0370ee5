"""The SDN configuration: objects in two copies, the lock, and what a write goes through.

Writes change the edited copy; an apply makes it the running one. Everything a handler refuses inside the lock becomes
a 500 with a prefix, whatever it was. Modelled on measured behaviour of the real code, oddities included.
"""

from __future__ import annotations

import copy
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from pve_lab.errors import ApiError, died, refused, wrapped
from pve_lab.json_schema import split_list
from pve_lab.sdn import controllers, pending, section_config, subnets, vnets, zones
from pve_lab.sdn.ipam import Entry
from pve_lab.sdn.objects import KINDS, Config, SdnObjects, absent
from pve_lab.sdn.section_config import Props

ID_KEY = {
    "controllers": "controller", "zones": "zone", "vnets": "vnet", "subnets": "subnet", "ipams": "ipam", "dns": "dns",
}  # fmt: skip
_NO_TOKEN = died("invalid lock token provided!", "Network/SDN.pm", 291)
_MODIFIED = "detected modified configuration - file changed by other user? Try again.\n"


class SdnConfig(SdnObjects):
    """The SDN objects with the lock, the views of the API, and the writes."""

    def __init__(self, seed: int = 0, version: str = "9.2.3", nodes: Sequence[str] = ("pve1",)) -> None:
        super().__init__(seed, version, nodes)
        self.version = 0
        self.lock: str | None = None

    # --- the lock -----------------------------------------------------------------------------------------------

    def take_lock(self, allow_pending: bool) -> str:
        """The lock has no owner and no expiry, and Proxmox does not say who holds it."""
        with self.locked("could not acquire lock for SDN config", None):
            if not allow_pending and self.has_pending():
                raise refused(died("configuration has pending changes", "API2/Network/SDN.pm", 150))
        # A UUID of version 7, as the real one.
        stamp = f"{int(time.time() * 1000):012x}"
        tail = f"{self.random.getrandbits(72):018x}"
        self.lock = f"{stamp[:8]}-{stamp[8:]}-7{tail[:3]}-b{tail[3:6]}-{tail[6:]}"
        return self.lock

    def release_lock(self, token: str | None, force: bool) -> None:
        if not force:
            self.check_lock(token, "could not release lock")
        self.lock = None

    def check_lock(self, token: str | None, prefix: str) -> None:
        with self.locked(prefix, token):
            pass

    @contextmanager
    def locked(self, prefix: str, token: str | None) -> Iterator[None]:
        """Every refusal inside gets the prefix. While the lock is free, any token is accepted."""
        try:
            if self.lock is not None and token != self.lock:
                raise refused(_NO_TOKEN)
            yield
        except ApiError as problem:
            raise wrapped(prefix, problem) from None

    # --- reading ------------------------------------------------------------------------------------------------

    def digest(self, kind: str) -> str:
        """Of the whole file: the same for every object of a kind."""
        if kind == "ipams":
            # The built-in one is in no file.
            return section_config.digest({id_: p for id_, p in self.services["ipams"].items() if id_ != "pve"})
        return section_config.digest(self.file(kind))

    def item(self, kind: str, id_: str, view: str) -> Props:
        if view == "pending":
            old, new = self.running[kind].get(id_), self.edited[kind].get(id_)
            if old is not None or new is not None:
                return self._shown(kind, id_, pending.merged(old, new), None)
            raise absent(kind, id_)
        found = self.running[kind] if view == "running" else self.file(kind)
        if id_ not in found:
            raise absent(kind, id_)
        return self._shown(kind, id_, found[id_], self.digest(kind) if view == "plain" else None)

    def listing(self, kind: str, view: str, vnet: str | None = None) -> list[Props]:
        """Sorted by id as bytes; subnets of one VNet, which has to be in the edited copy."""
        if vnet is not None and vnet not in self.edited["vnets"]:
            raise absent("vnets", vnet)
        if view == "pending":
            old, new = self.running[kind], self.edited[kind]
            # Chosen before they are merged: a client asks once for each VNet, and there may be thousands of subnets.
            ids = [i for i in old.keys() | new.keys() if vnet is None or (new.get(i) or old[i]).get("vnet") == vnet]
            found = {id_: pending.merged(old.get(id_), new.get(id_)) for id_ in ids}
        else:
            found = self.running[kind] if view == "running" else self.file(kind)
        digest = self.digest(kind) if view == "plain" else None
        return [
            self._shown(kind, id_, props, digest)
            for id_, props in sorted(found.items())
            if vnet is None or props.get("vnet") == vnet
        ]

    def has_pending(self) -> bool:
        """Of the four kinds; Proxmox leaves fabrics out here."""
        return any(pending.differ(self.running[kind], self.edited[kind]) for kind in KINDS)

    def vnet_around(self, zone: str, address: str) -> str:
        """The VNet of a zone that runs with a subnet around an address; empty if none does."""
        for id_, props in sorted(self.running["subnets"].items()):
            shown = subnets.derived(id_)
            if shown["zone"] == zone and subnets.inside(address, shown["cidr"]):
                return str(props["vnet"])
        return ""

    def _shown(self, kind: str, id_: str, props: Props, digest: str | None) -> Props:
        shown: Props = {ID_KEY[kind]: id_, **props, "digest": digest}
        if kind == "subnets":
            shown |= subnets.derived(id_)
            shown["dhcp-range"] = subnets.ranges(props.get("dhcp-range", []))
        return shown

    # --- writing ------------------------------------------------------------------------------------------------

    def create(self, kind: str, id_: str, type_: str, params: Props, token: str | None = None) -> None:
        """``id_`` of a subnet is its CIDR, and ``params`` name its VNet."""
        word = _WORD[kind]
        early = kind not in ("vnets", "subnets")
        new: Props = {}
        # What a type does not take is found before the lock for most kinds, and inside of it for the rest.
        if early:
            new = section_config.accepted(kind, type_, params, self.pve, create=True)
        with self.locked(f"create sdn {word} object failed", token):
            zone = self._zone_of(params.get("vnet"))
            if kind == "subnets":
                id_ = subnets.subnet_id(zone["zone"], id_)
            if not early:
                new = section_config.accepted(kind, type_, params, self.pve, create=True)
            if id_ in self.file(kind):
                raise refused(f"sdn {word} object ID '{id_}' already defined\n")
            props = {"type": type_, **new}
            self._check(kind, id_, props, new, None, zone)
            if kind in self.services:
                self.outside.verify(type_, props)
            self._check_file(kind, id_, props)
            self.file(kind)[id_] = section_config.as_read(kind, props)

    def update(
        self, kind: str, id_: str, params: Props, token: str | None = None, digest: str | None = None, delete: str = ""
    ) -> None:
        with self.locked(f"update sdn {_WORD[kind]} object failed", token):
            if kind == "subnets" and id_ not in self.edited[kind]:
                raise absent(kind, id_)
            if digest and digest != self.digest(kind):
                raise refused(_MODIFIED)
            old = self.file(kind).get(id_)
            if old is None:
                raise absent(kind, id_)
            new = section_config.accepted(kind, old["type"], params, self.pve, create=False)
            props = copy.deepcopy(old)
            section_config.remove(kind, old["type"], props, new, split_list(delete), self.pve)
            props |= new
            self._check(kind, id_, props, new, old, self._zone_of(params.get("vnet")))
            if kind in self.services:
                self.outside.verify(old["type"], props)
            self._check_file(kind, id_, props)
            self.file(kind)[id_] = section_config.as_read(kind, props)

    def delete(self, kind: str, id_: str, token: str | None = None, vnet: str | None = None) -> None:
        """Deleting a subnet that does not exist works, unless the IPAM lacks it; ``vnet`` is that of the path."""
        with self.locked(f"delete sdn {_WORD[kind]} object failed", token):
            there = self.file(kind)
            if kind == "subnets":
                asked = vnet or there.get(id_, {}).get("vnet")
                subnets.unregister(self, self._zone_of(asked), id_, id_ in there)
                there.pop(id_, None)
                return
            if id_ not in there:
                raise absent(kind, id_)
            if kind == "controllers":
                controllers.check_delete(self, id_)
            elif kind == "zones":
                zones.check_delete(self, id_)
            elif kind == "vnets":
                vnets.check_delete(self, id_)
            # Proxmox does not check whether a zone still uses an IPAM or a name server. The built-in IPAM is in no
            # file, so it is still there afterwards.
            self._check_file(kind, id_)
            if (kind, id_) != ("ipams", "pve"):
                del there[id_]

    # --- addresses ----------------------------------------------------------------------------------------------

    def add_address(self, vnet: str, ip: str, mac: str) -> None:
        if place := self._place_of(vnet, ip):
            self.ipam.add(*place, ip, Entry(mac=mac))
        elif url := self._outside_of(vnet):
            self.outside.register(url, ip, mac)

    def change_address(self, vnet: str, ip: str, mac: str, vmid: str) -> None:
        """The MAC moves to another address; if that one is taken, it stays where it was.

        Without DHCP in the zone Proxmox does not search for the old address, which stays. Its errors end with a second
        line feed (both from the published source).
        """
        try:
            if place := self._place_of(vnet, ip):
                write = self.ipam.move if self.edited["zones"][place[0]].get("dhcp") else self.ipam.add
                write(*place, ip, Entry(mac=mac, vmid=vmid))
        except ApiError as problem:
            raise refused(f"{problem.message}\n") from None

    def delete_address(self, vnet: str, ip: str) -> None:
        if place := self._place_of(vnet, ip):
            self.ipam.delete(*place, ip)
        elif url := self._outside_of(vnet):
            self.outside.release(url, ip)

    def _outside_of(self, vnet: str) -> str:
        """The URL of the IPAM outside that the VNet's zone has; empty if it has none."""
        zone = self.edited["zones"].get(self.edited["vnets"].get(vnet, {}).get("zone", ""), {})
        return str(self.services["ipams"].get(zone.get("ipam") or "", {}).get("url", ""))

    def servers_of(self, vnet: str, *, names: bool) -> list[str]:
        """The URLs of the servers outside that the VNet's zone has: its IPAM, and with ``names`` its DNS servers."""
        zone = self.edited["zones"].get(self.edited["vnets"].get(vnet, {}).get("zone", ""), {})
        dns = [self.services["dns"].get(zone.get(key) or "", {}).get("url") for key in ("dns", "reversedns")]
        return [str(url) for url in (self._outside_of(vnet), *(dns if names else ())) if url]

    def _place_of(self, vnet: str, ip: str) -> tuple[str, str] | None:
        """Zone and CIDR of an address in Proxmox' IPAM; None if the zone has another one or none.

        The subnet is one of the running copy, VNet and zone are those of the edited copy. So an address of a subnet
        that is only in the running copy is missing in the IPAM, and one of a VNet that is only there is ignored
        (published source).
        """
        for id_, props in sorted(self.running["subnets"].items()):
            shown = subnets.derived(id_)
            if props.get("vnet") == vnet and subnets.inside(ip, shown["cidr"]):
                zone = self.edited["zones"].get(self.edited["vnets"].get(vnet, {}).get("zone", ""), {})
                return (shown["zone"], shown["cidr"]) if self.ipam_type(zone) == "pve" else None
        raise refused(died(f"can't find any subnet for ip {ip}", "Network/SDN/Subnets.pm", 87))

    # --- publishing ---------------------------------------------------------------------------------------------

    def commit(self) -> None:
        """Make the edited copy the running one, as an apply does."""
        self.running = _copied(self.edited)
        self.version += 1

    def rollback(self) -> None:
        self.edited = _copied(self.running)

    def _check(self, kind: str, id_: str, props: Props, new: Props, old: Props | None, zone: Props) -> None:
        if kind == "controllers":
            controllers.check(self, id_, props)
        elif kind == "zones":
            if old is not None:
                zones.check_ipam_change(self, id_, old, props)
            zones.check(self, id_, props, new)
        elif kind == "vnets":
            if old is not None:
                vnets.check_move(self, id_, old, props)
            vnets.check(self, id_, props, create=old is None)
        elif kind == "subnets":
            subnets.check(self, zone, id_, props, old)

    def _check_file(self, kind: str, id_: str, props: Props | None = None) -> None:
        """The file is written as a whole: refused while any other section lacks an option that its type needs.

        A required option that was given empty is accepted and gone for the next reader, so it comes to that. The
        section itself may be deleted, or written with the option (published source of PVE::SectionConfig).
        """
        if kind not in ("zones", "controllers"):
            return
        for other, there in {**self.file(kind), id_: props}.items():
            needed = section_config.required(kind, there["type"], self.pve) if there is not None else ()
            for key in needed:
                if there is not None and key not in there:
                    raise refused(f"section '{other}' - missing value for required option '{key}'\n")

    def _zone_of(self, vnet: Any) -> Props:
        """The zone of a VNet, with its name; empty if there is none."""
        zone = self.edited["vnets"].get(vnet, {}).get("zone", "")
        return {**self.edited["zones"].get(zone, {}), "zone": zone}


def _copied(config: Config) -> Config:
    """Objects are copied, their values are not: a write replaces values, it never changes one."""
    return {kind: {id_: dict(props) for id_, props in objects.items()} for kind, objects in config.items()}


_WORD = {
    "controllers": "controller", "zones": "zone", "vnets": "vnet", "subnets": "subnet", "ipams": "ipam", "dns": "dns",
}  # fmt: skip
