"""Subnets: the id that is made of zone, address and mask; gateway and DHCP ranges; their entries in the IPAM.

Nothing is made canonical: host bits, capital hex digits and zeros stay as given, so one network can exist several
times. What is checked is that the gateway is inside (a /32 with an IPv4 gateway excepted) and that ranges are.
"""

from __future__ import annotations

import ipaddress
from typing import Any

from pve_lab.errors import ApiError, bad_parameters
from pve_lab.json_schema import is_ip, subnet_cidr
from pve_lab.sdn.ipam import Entry
from pve_lab.sdn.objects import SdnObjects
from pve_lab.sdn.section_config import Props


def subnet_id(zone: str, given: str) -> str:
    return f"{zone}-{given.replace('/', '-', 1)}"


def derived(id_: str) -> Props:
    """What the API shows of an id."""
    zone, _, rest = id_.partition("-")
    network, _, mask = rest.partition("-")
    return {"id": id_, "zone": zone, "network": network, "mask": mask, "cidr": f"{network}/{mask}"}


def ranges(values: list[str]) -> list[dict[str, str]]:
    """DHCP ranges as objects."""
    return [dict(part.split("=", 1) for part in text.split(",") if part.strip()) for text in values]


def check(config: SdnObjects, zone: Props, id_: str, props: Props, old: Props | None) -> None:
    """The rules, then the IPAM of the zone of the request's VNet."""
    vnet = config.edited["vnets"][props["vnet"]]
    if vnet.get("vlanaware"):
        raise bad_parameters(vnet="you can't add a subnet on a vlanaware vnet")
    cidr = subnet_cidr(id_)
    gateway = props.get("gateway", "")
    point_to_point = bool(gateway) and ":" not in gateway and cidr.endswith("/32")
    if gateway and not point_to_point and not inside(gateway, cidr):
        raise bad_parameters(gateway=f"{gateway} is not in subnet {cidr}")
    _check_ranges(ranges(props.get("dhcp-range", [])), cidr)
    if config.ipam_type(zone) == "pve":
        _register(config, id_, gateway, old, point_to_point)


def unregister(config: SdnObjects, zone: Props, id_: str, known: bool) -> None:
    """Remove a subnet from the IPAM; one that is not configured has no zone there."""
    if config.ipam_type(zone) == "pve":
        shown = derived(id_) if known else {"zone": "", "cidr": ""}
        config.ipam.delete_subnet(shown["zone"], shown["cidr"])


def _register(config: SdnObjects, id_: str, gateway: str, old: Props | None, point_to_point: bool) -> None:
    shown = derived(id_)
    place = (shown["zone"], shown["cidr"])
    if old is None:
        config.ipam.add_subnet(*place)
    if point_to_point:
        return
    before = (old or {}).get("gateway", "")
    if gateway and gateway != before:
        config.ipam.add(*place, gateway, Entry(gateway=True))
    if before and gateway != before:
        # The real code warns in its log and goes on.
        try:
            config.ipam.delete(*place, before)
        except ApiError:
            return


def _check_ranges(values: list[dict[str, str]], cidr: str) -> None:
    taken: list[tuple[int, int]] = []
    for value in values:
        start, end = value["start-address"], value["end-address"]
        for key in ("start-address", "end-address"):
            if not is_ip(value[key]):
                network = is_ip(value[key].partition("/")[0])
                problem = "must be a singular IP" if network else f"is not a valid IP {value[key]}"
                raise _bad_range(f"{key} {problem}")
        first, last = ipaddress.ip_address(start), ipaddress.ip_address(end)
        if first.version == last.version and int(last) < int(first):
            raise _bad_range(f"start-address {start} must be smaller than end-address {end}")
        for key in ("start-address", "end-address"):
            if not inside(value[key], cidr):
                raise _bad_range(f"{key} {value[key]} is not in subnet {cidr}")
        if any(int(first) <= there_last and int(last) >= there for there, there_last in taken):
            raise _bad_range("dhcp ranges must not overlap")
        taken.append((int(first), int(last)))


def _bad_range(text: str) -> ApiError:
    return bad_parameters(dhcp_range=text)


def inside(address: str, cidr: str) -> bool:
    """Nothing is inside of what is no network, as an id that was given for a CIDR and got the zone's name twice."""
    try:
        network: Any = ipaddress.ip_network(cidr, strict=False)
    except ValueError:
        return False
    return ipaddress.ip_address(address) in network
