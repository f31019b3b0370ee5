"""Parameters as declarations, and the check of a whole request against them.

A ``Prop`` says what Proxmox' own schema says of one parameter: type, format, pattern, bounds. ``check`` finds
everything that is wrong with a request at once and says it in Proxmox' words, which is what a client has to parse.
The odd cases are Proxmox' own: a scalar given for an array is wrapped, a list given for a ``-list`` format is joined,
``1``/``0`` are the only booleans of a form, ``007`` and ``+5`` are integers, a JSON null counts as absent.
"""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any

from pve_lab.firewall import values
from pve_lab.releases import Version

#: ``net[n]`` and its like stand for this many.
MOST_NUMBERED = 32
MISSING = "property is missing and it is not optional"
UNKNOWN = "property is not defined in schema and the schema does not allow additional properties"


@dataclass(frozen=True)
class Prop:
    """One parameter. ``since`` is the first PVE release that knows it."""

    type: str = "string"
    optional: bool = True
    format: str = ""
    pattern: str = ""
    enum: tuple[str, ...] = ()
    minimum: int | None = None
    maximum: int | None = None
    min_length: int | None = None
    max_length: int | None = None
    items: Prop | None = None
    since: Version = (0, 0)

    def required(self) -> Prop:
        return replace(self, optional=False)


Schema = Mapping[str, Prop]


def check(params: Mapping[str, Any], schema: Schema, version: Version = (99, 0)) -> dict[str, str]:
    """Everything that is wrong, by parameter (``name[0]`` for an element of an array)."""
    errors: dict[str, str] = {}
    for name, prop in schema.items():
        if prop.since <= version:
            _check_value(name, params.get(name), prop, errors)
    for name in params:
        if name not in schema or schema[name].since > version:
            errors[name] = UNKNOWN
    return errors


def normalised(params: Mapping[str, Any], schema: Schema) -> dict[str, Any]:
    """Parameters in the shape the schema wants: lists joined or wrapped, whole JSON numbers as integers."""
    return {name: _shaped(value, schema.get(name)) for name, value in params.items()}


def _shaped(value: Any, prop: Prop | None) -> Any:
    if isinstance(value, float) and value.is_integer():
        value = int(value)
    if prop is None:
        return value
    if isinstance(value, list) and prop.type == "string" and prop.format.endswith("-list"):
        return ",".join(text_of(part) for part in value)
    if prop.type == "array" and not isinstance(value, list | dict) and value not in (None, "", "0", 0):
        return [value]
    return value


def text_of(value: Any) -> str:
    """How Perl prints a scalar."""
    return str(int(value)) if isinstance(value, bool) else str(value)


# --- one value --------------------------------------------------------------------------------------------------


def _check_value(path: str, value: Any, prop: Prop, errors: dict[str, str]) -> None:
    if value is None:
        if not prop.optional:
            errors[path] = MISSING
        return
    if problem := _wrong_type(value, prop.type):
        errors[path] = problem
    elif isinstance(value, list):
        for number, part in enumerate(value):
            if prop.items is not None:
                _check_value(f"{path}[{number}]", part, prop.items, errors)
    elif problem := _wrong_text(path, text_of(value), prop):
        errors[path] = problem


def _wrong_type(value: Any, wanted: str) -> str:
    if wanted == "array":
        return "" if isinstance(value, list) else "type check ('array') failed"
    if isinstance(value, dict | list) or (isinstance(value, bool) and wanted != "boolean"):
        word = {dict: "HASH", list: "ARRAY", bool: "JSON::PP::Boolean"}[type(value)]
        return f"type check ('{wanted}') failed - got {word}"
    text = text_of(value)
    if wanted == "boolean":
        right = text in ("0", "1")
    elif wanted == "integer":
        right = re.fullmatch(r"[+-]?\d+\n?", text) is not None
    elif wanted == "number":
        right = re.fullmatch(r"[+-]?(\d+(\.\d*)?|\.\d+)([eE][+-]?\d+)?\n?", text) is not None
    else:
        right = True
    return "" if right else f"type check ('{wanted}') failed - got '{text}'"


def _wrong_text(path: str, text: str, prop: Prop) -> str:
    if prop.format and (problem := format_problem(prop.format, text, path)):
        return f"invalid format - {problem}"
    if prop.pattern and not re.match(rf"(?:{prop.pattern})\Z", text.removesuffix("\n")):
        return "value does not match the regex pattern"
    if prop.max_length is not None and len(text) > prop.max_length:
        return f"value may only be {prop.max_length} characters long"
    if prop.min_length is not None and len(text) < prop.min_length:
        return f"value must be at least {prop.min_length} characters long"
    if prop.type in ("integer", "number"):
        number = float(text)
        if prop.maximum is not None and number > prop.maximum:
            return f"value must have a maximum value of {prop.maximum}"
        if prop.minimum is not None and number < prop.minimum:
            return f"value must have a minimum value of {prop.minimum}"
    if prop.enum and text not in prop.enum:
        return f"value '{text}' does not have a value in the enumeration '{', '.join(prop.enum)}'"
    return ""


# --- formats ----------------------------------------------------------------------------------------------------


def split_list(text: str) -> list[str]:
    """Comma, semicolon and space separate; empty elements vanish."""
    return [part for part in re.split(r"[,;\s]+", text) if part]


def is_ip(text: str) -> bool:
    try:
        ipaddress.ip_address(text)
    except ValueError:
        return False
    return "%" not in text


def is_cidr(text: str) -> bool:
    """Masks shorter than /8 are refused, host bits are not."""
    address, slash, mask = text.partition("/")
    if not slash or not is_ip(address) or not re.fullmatch(r"[0-9]+", mask):
        return False
    return 8 <= int(mask) <= ipaddress.ip_address(address).max_prefixlen


def subnet_cidr(text: str) -> str:
    """The CIDR in a subnet's id (``zone-address-mask``) or in what was given as one."""
    if "/" in text:
        return text
    _, _, rest = text.partition("-")
    address, _, mask = rest.partition("-")
    return f"{address}/{mask.partition('-')[0]}"


def _pattern(regex: str, words: str) -> Callable[[str, str], str]:
    compiled = re.compile(regex)
    return lambda text, _path: "" if compiled.fullmatch(text.removesuffix("\n")) else words.replace("%s", text)


def _test(test: Callable[[str], bool], words: str) -> Callable[[str, str], str]:
    return lambda text, _path: "" if test(text) else words


def _route_target(text: str) -> bool:
    match = re.fullmatch(r"([0-9]+):([0-9]+)", text)
    return match is not None and all(int(half) <= 0xFFFFFFFF for half in match.groups())


def _checked(check: Callable[[str], object]) -> Callable[[str, str], str]:
    """A format whose check raises ValueError."""

    def problem(text: str, _path: str) -> str:
        try:
            check(text)
        except ValueError as wrong:
            return f"{wrong}\n"
        return ""

    return problem


_LABEL = r"[a-zA-Z0-9](?:[a-zA-Z0-9-]*[a-zA-Z0-9])?"
_FORMATS: dict[str, Callable[[str, str], str]] = {
    "ip": _test(is_ip, "value does not look like a valid IP address\n"),
    "ipv4": _test(lambda text: is_ip(text) and ":" not in text, "value does not look like a valid IPv4 address\n"),
    "ipv6": _test(lambda text: is_ip(text) and ":" in text, "value does not look like a valid IPv6 address\n"),
    "IPorCIDR": _test(
        lambda text: is_ip(text) or is_cidr(text), "value does not look like a valid IP address or CIDR network\n"
    ),
    "CIDR": _test(is_cidr, "value does not look like a valid CIDR network\n"),
    "CIDRv4": _test(
        lambda text: is_cidr(text) and ":" not in text, "value does not look like a valid IPv4 CIDR network\n"
    ),
    "CIDRv6": _test(lambda text: is_cidr(text) and ":" in text, "value does not look like a valid IPv6 CIDR network\n"),
    "pve-node": _pattern(_LABEL, "value does not look like a valid node name\n"),
    "dns-name": _pattern(rf"(?:{_LABEL}\.)*{_LABEL}", "value does not look like a valid DNS name\n"),
    "pve-configid": _pattern(r"[A-Za-z][A-Za-z0-9_-]+", "invalid configuration ID '%s'\n"),
    "pve-iface": _pattern(r"[A-Za-z][A-Za-z0-9_]{1,20}(?:[:.][0-9]+)?", "invalid network interface name '%s'\n"),
    "mac-addr": _pattern(
        r"[0-9A-Fa-f][02468ACEace](?::[0-9A-Fa-f]{2}){5}", "value does not look like a valid unicast MAC address\n"
    ),
    "pve-bridge-id": _pattern(r"[-_.\w\d]+", "invalid bridge ID '%s'\n"),
    "pve-ipv4-config": _test(
        lambda text: text in ("dhcp", "manual") or (is_cidr(text) and ":" not in text),
        "value does not look like a valid ipv4 network configuration\n",
    ),
    "pve-ipv6-config": _test(
        lambda text: text in ("auto", "dhcp", "manual") or (is_cidr(text) and ":" in text),
        "value does not look like a valid ipv6 network configuration\n",
    ),
    "pve-sdn-fabric-id": _pattern(
        r"[a-zA-Z0-9](?:[a-zA-Z0-9-]{0,6}[a-zA-Z0-9])?", "Fabric ID '%s' contains illegal characters\n"
    ),
    "pve-sdn-route-map-id": _pattern(
        r"[a-zA-Z0-9](?:[a-zA-Z0-9_-]{0,30}[a-zA-Z0-9])?", "value does not look like a valid route map id\n"
    ),
    "pve-sdn-isis-net": _pattern(
        r"[a-fA-F0-9]{2}(?:\.[a-fA-F0-9]{4}){3,9}\.[a-fA-F0-9]{2}", "value does not look like a valid isis net\n"
    ),
    "pve-sdn-bgp-rt": _test(_route_target, "value does not look like a valid bgp route-target\n"),
    "pve-fw-addr-spec": _checked(values.address_version),
    "pve-fw-sport-spec": _checked(lambda text: values.check_ports(text, icmp=False)),
    "pve-fw-dport-spec": _checked(lambda text: values.check_ports(text, icmp=True)),
    "pve-fw-protocol-spec": _checked(values.check_protocol),
    "pve-fw-icmp-type-spec": _checked(values.check_icmp_type),
    "pve-sdn-subnet-id": _test(
        lambda text: is_cidr(subnet_cidr(text)), "value does not look like a valid CIDR network\n"
    ),
}


def knows_format(name: str) -> bool:
    """Whether texts of this format can be checked."""
    return name in _PROPERTY_STRINGS or name.removesuffix("-list") in _FORMATS


def format_problem(name: str, text: str, path: str) -> str:
    """What is wrong with a text of this format; empty if nothing is."""
    if name in _PROPERTY_STRINGS:
        try:
            _PROPERTY_STRINGS[name].parse(text, path)
        except ValueError as wrong:
            return str(wrong)
        return ""
    if name.endswith("-list"):
        test = _FORMATS[name.removesuffix("-list")]
        return next((problem for part in split_list(text) if (problem := test(part, path))), "")
    return _FORMATS[name](text, path)


@dataclass(frozen=True)
class PropertyString:
    """A format that is a text of its own, ``key=value,key=value``.

    A part without ``=`` is the value of ``default_key``. An ``alias`` is a key whose value goes to another one and
    whose name is itself the value of a third: ``virtio=MAC`` is ``model=virtio,macaddr=MAC``.
    """

    schema: Schema
    default_key: str = ""
    aliases: frozenset[str] = frozenset()
    alias_value: str = ""
    alias_name: str = ""

    def parse(self, text: str, path: str) -> dict[str, str]:
        """The values by key, unknown ones included; raises ValueError with what Proxmox says of a wrong text.

        The first fault of the form ends it; wrong values, unknown keys and missing ones are listed below ``path``.
        """
        values: dict[str, str] = {}
        for part in text.split(","):
            if not part.strip():
                continue
            match = re.fullmatch(r"([^=]+)=(.+)\n?", part)
            if match is None and "=" in part:
                raise ValueError("missing key in comma-separated list property\n")
            if match is None and not self.default_key:
                raise ValueError("value without key, but schema does not define a default key\n")
            key, value = (match[1], match[2]) if match else (self.default_key, part.removesuffix("\n"))
            if key in values:
                raise ValueError(f"duplicate key in comma-separated list property: {key}\n")
            if key in self.aliases:
                if self.alias_name in values:
                    raise ValueError(f"key alias '{self.alias_name}' is already defined\n")
                values[self.alias_name] = key
                key = self.alias_value
            known = self.schema.get(key)
            values[key] = boolean(value) if known is not None and known.type == "boolean" else value
        if errors := check(values, self.schema):
            lines = (f"{path}.{key}: {problem}\n" for key, problem in sorted(errors.items()))
            raise ValueError("".join(["format error\n", *lines]))
        return values


def boolean(text: str) -> str:
    """1 or 0 for the words that property strings have for them, in any case; any other text as it is."""
    word = text.lower()
    return "1" if word in ("1", "on", "yes", "true") else "0" if word in ("0", "off", "no", "false") else text


# Formats that are property strings.
_PROPERTY_STRINGS = {
    "pve-sdn-dhcp-range": PropertyString({"start-address": Prop(optional=False), "end-address": Prop(optional=False)}),
}
