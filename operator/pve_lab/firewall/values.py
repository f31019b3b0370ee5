"""The values of a firewall rule: addresses, ports, protocols and ICMP types, as pve-firewall checks them.

Each check returns what follows from the value and raises ValueError with Proxmox' text. Addresses are read as Perl's
Net::IP reads them: short forms (``10.1``) are fine, host bits are not, and what follows the slash is checked only if it
is a number.
"""

from __future__ import annotations

import ipaddress
import re

from pve_lab.firewall.names import ICMP_TYPES, PROTOCOLS, SERVICES

_NAME = r"[A-Za-z][A-Za-z0-9_-]+"
_IPSET = re.compile(rf"\+(guest/|dc/|sdn/)?({_NAME})")
_ALIAS = re.compile(rf"(guest/|dc/)?({_NAME})")
_LONGEST_NAME = 64
#: How many numbers iptables' multiport takes; a range counts two.
_MOST_PORTS = 15
_HIGHEST_PORT = 65535


def ipset_name(text: str) -> tuple[str, str] | None:
    """Scope and name of ``+scope/name``; None if it is no reference to an IP set."""
    match = _IPSET.fullmatch(text)
    return (match[1] or "", match[2]) if match else None


def alias_name(text: str) -> tuple[str, str] | None:
    """Scope and name of an alias; None if the text is something else."""
    match = _ALIAS.fullmatch(text)
    return (match[1] or "", match[2]) if match else None


def address_version(text: str) -> int | None:
    """The IP version of an address, network, range or list; None where the text refers to an IP set or alias."""
    if re.fullmatch(r"\+\S+", text, re.ASCII):
        if len(text) > _LONGEST_NAME + 1:
            raise ValueError("ipset name too long")
        return None
    if alias_name(text):
        if len(text) > _LONGEST_NAME:
            raise ValueError("alias name too long")
        return None
    elements = _elements(text)
    version = None
    for element in elements:
        try:
            found = _one_address(element)
        except ValueError as problem:
            raise ValueError(f"invalid IP address: {problem}") from None
        if version and found != version:
            raise ValueError(f"detected mixed ipv4/ipv6 addresses in address list '{text}'")
        version = found
    if len(elements) > 1 and any("-" in element for element in elements):
        raise ValueError("you can't use a range in a list")
    return version


def check_ports(text: str, *, icmp: bool) -> None:
    """A list of ports, ranges and services; with ``icmp`` the names of ICMP types too."""
    numbers, icmp_types = 0, False
    for item in _elements(text):
        if match := re.fullmatch(r"([0-9]+)(?::([0-9]+))?", item):
            ends = [end for end in match.groups() if end is not None]
            for end in ends:
                if int(end) > _HIGHEST_PORT:
                    raise ValueError(f"invalid port '{end}'")
            if int(ends[0]) > int(ends[-1]):
                low, high = ends
                raise ValueError(f"backwards range '{low}:{high}' not allowed, did you mean '{high}:{low}'?")
            numbers += len(ends)
        elif icmp and (item in ICMP_TYPES[4] or item in ICMP_TYPES[6]):
            icmp_types = True
        elif item not in SERVICES:
            raise ValueError(f"invalid port '{item}'")
    if icmp_types and numbers:
        raise ValueError("ICMP ports not allowed in port range")
    if numbers > _MOST_PORTS:
        raise ValueError(f"too many entries in port list (> {_MOST_PORTS} numbers)")


def check_protocol(text: str) -> None:
    """A name or number of ``/etc/protocols``; what Perl takes for false is not checked."""
    known = text in PROTOCOLS or text in {str(number) for number in PROTOCOLS.values()}
    if text not in ("", "0") and not known:
        raise ValueError(f"unknown protocol '{text}'")


def check_icmp_type(text: str) -> None:
    """A type of either IP version, by name."""
    if text and text not in ICMP_TYPES[4] and text not in ICMP_TYPES[6]:
        raise ValueError(f"invalid icmp-type value '{text}'")


def _elements(text: str) -> list[str]:
    """The list's elements. Perl drops empty ones at the end, and Proxmox notices it."""
    elements = text.split(",")
    if len(elements) > 1 and not elements[-1]:
        raise ValueError("extraneous commas in list")
    return elements if text else []


# --- what Net::IP takes ---------------------------------------------------------------------------------------------


def _one_address(text: str) -> int:
    if match := re.fullmatch(r"(\S+?)/(\S+)", text, re.ASCII):
        version, number = _read(match[1])
        length = match[2]
        if length.isdecimal():
            _check_host_bits(number, int(length), 32 if version == 4 else 128)
        return version
    if match := re.fullmatch(r"(.+?)\s*-\s*(.+)", text, re.ASCII):
        (version, first), (other, last) = _read(match[1]), _read(match[2])
        if other != version:
            raise ValueError("")
        if first > last:
            raise ValueError(f"Begin address is greater than End address {match[1]} - {match[2]}")
        return version
    return _read(text)[0]


def _check_host_bits(number: int, length: int, bits: int) -> None:
    if length > bits:
        raise ValueError(f"Prefix length {length} is longer than IP address ({bits})")
    if number & ((1 << (bits - length)) - 1):
        raise ValueError(f"Invalid prefix {number:0{bits}b}/{length}")


def _read(text: str) -> tuple[int, int]:
    """Version and number of one address."""
    if ":" not in text:
        return 4, _ipv4(text)
    try:
        address = ipaddress.IPv6Address(text)
    except ValueError:
        address = None
    if address is None or address.scope_id:
        raise ValueError(f"Invalid IP address {text}")
    return 6, int(address)


def _ipv4(text: str) -> int:
    """Quads that are missing are zero."""
    if not re.fullmatch(r"[0-9.]+", text):
        raise ValueError(f"Invalid chars in IP {text}")
    if text.startswith("."):
        raise ValueError(f"Invalid IP {text} - starts with a dot")
    if text.endswith("."):
        raise ValueError(f"Invalid IP {text} - ends with a dot")
    quads = text.split(".")
    if len(quads) > 4:
        raise ValueError(f"Invalid IP address {text}")
    if "" in quads:
        raise ValueError(f"Empty quad in IP address {text}")
    for quad in quads:
        if int(quad) > 255:
            raise ValueError(f"Invalid quad in IP address {text} - {quad}")
    number = 0
    for quad in [*quads, "0", "0", "0"][:4]:
        number = number << 8 | int(quad)
    return number
