"""What zebra says of EVPN: VNIs and MAC addresses.

Each function takes the printed text of the command it names and raises `FrrParseError` only.
"""

from __future__ import annotations

import re
from typing import Literal

from pve_evpn.domain.observation import DefaultRoute, MacRow, VniRow
from pve_evpn.observe.frr.json import (
    FrrParseError,
    Row,
    as_ip,
    as_mac,
    by_vni,
    documents,
    flag,
    mapping,
    number_or_none,
    number_or_zero,
    sequence,
    table,
    text,
    text_or_none,
)

_VERSION = re.compile(r"^FRRouting ([0-9A-Za-z][0-9A-Za-z.+~_-]{0,62})", re.MULTILINE)


def version(printed: str) -> str:
    """``show version``: ``8.4.4``, ``10.3``, ``10.4.1-1+pve1`` ... There is no JSON form of it."""
    if found := _VERSION.search(printed):
        return found[1]
    raise FrrParseError("no version of FRRouting in the text")


def evpn_is_on(printed: str) -> bool:
    """``show evpn json``: whether zebra has any EVPN state.

    It forgets all of it as soon as bgpd is gone or has no EVPN, and then answers nothing (8.4) or ``{}`` (10).
    Empty MAC tables are evidence only while this is true.
    """
    return "numVnis" in table(printed)


def default_routes(printed: str) -> dict[str, DefaultRoute]:
    """``show ip route vrf all 0.0.0.0/0 json``: the selected default route of each VRF that has one.

    FRR prints a document per VRF, without a separator, and leaves VRFs without the route out.
    """
    found = {}
    for document in documents(printed):
        for row in sequence(mapping(document, "a VRF").get("0.0.0.0/0", []), "0.0.0.0/0"):
            route = mapping(row, "a route")
            if flag(route, "selected"):
                hops = [mapping(hop, "a next hop") for hop in sequence(route.get("nexthops", []), "nexthops")]
                unreachable = bool(hops) and all(flag(hop, "unreachable") or flag(hop, "blackhole") for hop in hops)
                found[text(route, "vrfName")] = DefaultRoute(
                    text(route, "protocol"), tuple(sorted(filter(None, map(_hop, hops)))), unreachable
                )
    return found


def _hop(hop: Row) -> str | None:
    """Its address; its interface where there is none."""
    return text_or_none(hop, "ip") or text_or_none(hop, "interfaceName")


def vnis(printed: str) -> tuple[VniRow, ...]:
    """``show evpn vni json``, by VNI. An L3 VNI has ``n/a`` remote VTEPs."""
    return tuple(sorted((_vni(vni, row) for vni, row in by_vni(table(printed))), key=lambda row: row.vni))


def _vni(vni: int, row: Row) -> VniRow:
    kind = text(row, "type")
    if kind not in ("L2", "L3"):
        raise FrrParseError(f"a VNI of type {kind!a}")
    listed = row.get("remoteVteps")
    vteps = tuple(sorted(_vtep(entry) for entry in sequence(listed, "remoteVteps"))) if listed is not None else None
    count = number_or_none(row, "numRemoteVteps")
    if kind == "L2" and vteps is None and not count:
        vteps = ()  # FRR leaves the list out where it is empty
    return VniRow(
        vni=vni,
        type="L2" if kind == "L2" else "L3",
        vxlan_interface=text_or_none(row, "vxlanIf"),
        macs=number_or_none(row, "numMacs"),
        arp_nd=number_or_none(row, "numArpNd"),
        remote_vteps=vteps if kind == "L2" else None,
        remote_vtep_count=(len(vteps) if vteps is not None else count) if kind == "L2" else None,
        tenant_vrf=text_or_none(row, "tenantVrf"),
    )


def _vtep(entry: object) -> str:
    """``"192.168.16.4"``, or ``{"ip": ..., "flood": ...}`` as the detailed form of FRR 10 has it."""
    if isinstance(entry, dict):
        entry = entry.get("ip")
    return as_ip(entry, "a remote VTEP")


def macs(printed: str) -> tuple[MacRow, ...]:
    """``show evpn mac vni all json``. A VNI without MACs is not in it; a local MAC without ``intf`` is a zombie."""
    found: list[MacRow] = []
    for vni, entry in by_vni(table(printed)):
        for mac, value in mapping(entry.get("macs", {}), "macs").items():
            row = mapping(value, "a MAC's entry")
            if (kind := _kind(row)) is None:
                continue
            found.append(
                MacRow(
                    vni=vni,
                    mac=as_mac(mac, "a MAC table's key"),
                    type=kind,
                    interface=text_or_none(row, "intf") if kind == "local" else None,
                    remote_vtep=text_or_none(row, "remoteVtep") if kind == "remote" else None,
                    local_sequence=number_or_zero(row, "localSequence"),
                    remote_sequence=number_or_zero(row, "remoteSequence"),
                    detection_count=number_or_zero(row, "detectionCount"),
                    duplicate=flag(row, "isDuplicate"),
                )
            )
    return tuple(found)


def _kind(row: Row) -> Literal["local", "remote"] | None:
    """``None``: an entry zebra made only because a neighbour entry names the MAC (``auto``)."""
    kind = text(row, "type")
    if kind == "local":
        return "local"
    return "remote" if kind == "remote" else None
