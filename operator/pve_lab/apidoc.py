"""Proxmox' own API schema in the project's compact form: every method's parameters, privileges and answer.

The table beside this file, ``apidoc-9.2.json``, holds names, types and bounds, one method a line, and no prose. It
is made from the official schema of a release by

    python -m pve_lab.apidoc SCHEMA.json > operator/pve_lab/apidoc-9.2.json

where SCHEMA.json is the API viewer's tree as JSON (``{"paths": [{"path", "methods": [{"verb", "parameters",
"returns", "permissions"}]}]}``). Tests hold the lab's answers and the operator's requests against it.

``apidoc-datacenter.json`` has the same of methods that such a schema may lack; they were read in the source of
pve-firewall and pve-manager.
"""

from __future__ import annotations

import functools
import ipaddress
import json
import re
import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

TABLE = Path(__file__).with_name("apidoc-9.2.json")
_BESIDE = Path(__file__).with_name("apidoc-datacenter.json")
#: What the table keeps of a schema, and its name there. The table leaves out two defaults: the type "string", and that
#: a property is optional.
_KEPT = {
    "format": "format", "pattern": "pattern", "enum": "enum", "minimum": "min", "maximum": "max",
    "min_length": "shortest", "max_length": "longest",
}  # fmt: skip
Spec = Mapping[str, Any]
_ANYTHING: Spec = {"type": "any"}


# --- making the table -------------------------------------------------------------------------------------------------


def compact(schema: Mapping[str, Any]) -> dict[str, Any]:
    """The table of a whole schema, by ``VERB /path``."""
    table = {}
    for path in schema["paths"]:
        for method in path["methods"]:
            entry: dict[str, Any] = {}
            if params := {p["name"]: _spec(p["definition"]) for p in method.get("parameters") or ()}:
                entry["params"] = params
            if needs := _needs((method.get("permissions") or {}).get("expression")):
                entry["needs"] = needs
            if method.get("protected"):
                entry["protected"] = 1
            entry["returns"] = _spec(method.get("returns") or {})
            table[f"{method['verb']} {path['path']}"] = entry
    return dict(sorted(table.items(), key=lambda pair: pair[0].split(" ")[::-1]))


def _spec(definition: Mapping[str, Any]) -> dict[str, Any]:
    spec: dict[str, Any] = {}
    if (type_ := definition.get("type", "any")) != "string":
        spec["type"] = type_
    # The schema flattens alternatives, so that an array of one of them counts as required in all.
    if not definition.get("optional") and type_ != "array":
        spec["required"] = 1
    for key, name in _KEPT.items():
        value = definition.get(key)
        # A format given as an object describes a property string, which is text to the schema of the method.
        if value is not None and not isinstance(value, dict):
            spec[name] = value
    if items := definition.get("items"):
        spec["items"] = _spec(items)
    if properties := definition.get("properties"):
        spec["properties"] = {name: _spec(inner) for name, inner in sorted(properties.items())}
    return spec


def _needs(expression: Any) -> list[Any]:
    """The permission check: ``["perm", path, [privileges], "any"?]`` or ``["and"|"or", check, ...]``."""
    check = (expression or {}).get("check") or []
    return [] if check and check[0] not in ("perm", "and", "or") else check


def dump(table: Mapping[str, Any]) -> str:
    """One method a line, so that a diff shows what a release changed."""
    lines = [
        f"{json.dumps(key)}: {json.dumps(value, sort_keys=True, separators=(',', ':'))}" for key, value in table.items()
    ]
    return "{\n" + ",\n".join(lines) + "\n}\n"


# --- reading it -------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, eq=False)
class Method:
    """One method of the API as Proxmox declares it."""

    verb: str
    path: str
    params: Mapping[str, Spec] = field(default_factory=dict)
    needs: tuple[Any, ...] = ()
    returns: Spec = field(default_factory=dict)

    @functools.cached_property
    def pattern(self) -> re.Pattern[str]:
        return re.compile(re.sub(r"\\\{([^}]+)\\\}", r"[^/]+", re.escape(self.path)))

    def spec(self, name: str) -> Spec | None:
        """A parameter's declaration; ``net3`` is declared as ``net[n]``."""
        return self.params.get(name) or self.params.get(re.sub(r"\d+$", "[n]", name))


@functools.cache
def methods() -> Mapping[str, Method]:
    """The whole table."""
    table = json.loads(TABLE.read_text()) | json.loads(_BESIDE.read_text())
    found = {}
    for key, entry in table.items():
        verb, _, path = key.partition(" ")
        found[key] = Method(verb, path, entry.get("params", {}), tuple(entry.get("needs", ())), entry["returns"])
    return found


def method_of(verb: str, path: str) -> Method | None:
    """The method a request is for; fixed segments win over parameters."""
    matching = [m for m in methods().values() if m.verb == verb and m.pattern.fullmatch(path)]
    return min(matching, key=lambda m: m.path.count("{"), default=None)


# --- checking ---------------------------------------------------------------------------------------------------------


def wrong_request(verb: str, path: str, params: Mapping[str, Any]) -> list[str]:
    """What the schema refuses of a request; ``params`` are without those of the path."""
    method = method_of(verb, path)
    if method is None:
        return [f"{verb} {path}: there is no such method"]
    found = []
    in_path = set(re.findall(r"\{([^}]+)\}", method.path))
    for name, value in params.items():
        spec = method.spec(name)
        if spec is None:
            found.append(f"{name}: not declared")
        else:
            found += wrong_value(name, value, spec, text=True)
    for name, spec in method.params.items():
        if spec.get("required") and name not in params and name not in in_path:
            found.append(f"{name}: missing")
    return found


def wrong_answer(verb: str, path: str, data: Any) -> list[str]:
    """Where an answer's ``data`` is not as the schema declares it."""
    method = method_of(verb, path)
    if method is None:
        return [f"{verb} {path}: there is no such method"]
    if data is None and not method.returns.get("required"):
        return []
    return wrong_value("data", data, method.returns)


def wrong_value(name: str, value: Any, spec: Spec, *, text: bool = False) -> list[str]:
    """``text``: the value came as a parameter, where numbers and flags may be strings."""
    return list(_wrong(name, value, spec, text))


def _wrong(name: str, value: Any, spec: Spec, text: bool) -> Iterator[str]:
    type_ = spec.get("type", "string")
    if not _is_a(type_, value, text):
        yield f"{name}: {value!r} is no {type_}"
        return
    if isinstance(value, dict):
        properties = spec.get("properties")
        for key, inner in (properties or {}).items():
            if key in value:
                yield from _wrong(f"{name}.{key}", value[key], inner, text)
            elif inner.get("required"):
                yield f"{name}.{key}: missing"
        if properties:
            for key in value.keys() - properties.keys():
                if re.sub(r"\d+$", "[n]", key) not in properties:
                    yield f"{name}.{key}: not declared"
        return
    if isinstance(value, list):
        if type_ == "string":
            return
        for number, part in enumerate(value):
            yield from _wrong(f"{name}[{number}]", part, spec.get("items", _ANYTHING), text)
        return
    yield from _out_of_bounds(name, value, spec)


def _is_a(type_: str, value: Any, text: bool) -> bool:
    match type_:
        case "null":
            return value is None
        case "string":
            # A parameter that is a list may be given as one; Proxmox joins it.
            return isinstance(value, str) or (text and isinstance(value, int | float | list))
        case "boolean":
            # Perl's JSON writes 1 and 0.
            return value in (0, 1, True, False) or (text and value in ("0", "1"))
        case "integer":
            return (isinstance(value, int) and not isinstance(value, bool)) or (text and _matches(r"-?\d+", value))
        case "number":
            number = isinstance(value, int | float) and not isinstance(value, bool)
            return number or (text and _matches(r"-?\d+(\.\d+)?", value))
        case "array":
            return isinstance(value, list) or text
        case "object":
            return isinstance(value, dict)
    return True


def _matches(pattern: str, value: Any) -> bool:
    return isinstance(value, str) and re.fullmatch(pattern, value) is not None


def _out_of_bounds(name: str, value: Any, spec: Spec) -> Iterator[str]:
    if "enum" in spec and str(value) not in map(str, spec["enum"]):
        yield f"{name}: {value!r} is none of {', '.join(map(str, spec['enum']))}"
    if "min" in spec and float(value) < float(spec["min"]):
        yield f"{name}: {value} is less than {spec['min']}"
    if "max" in spec and float(value) > float(spec["max"]):
        yield f"{name}: {value} is more than {spec['max']}"
    if not isinstance(value, str):
        return
    if "shortest" in spec and len(value) < int(spec["shortest"]):
        yield f"{name}: {value!r} is shorter than {spec['shortest']}"
    if "longest" in spec and len(value) > int(spec["longest"]):
        yield f"{name}: {value!r} is longer than {spec['longest']}"
    if "pattern" in spec and not re.fullmatch(python_pattern(spec["pattern"]), value):
        yield f"{name}: {value!r} does not match {spec['pattern']}"
    if (check := _FORMATS.get(str(spec.get("format")))) and not check(value):
        yield f"{name}: {value!r} is no {spec['format']}"


def python_pattern(pattern: str) -> str:
    """Perl's ``(?^i:...)`` in Python's syntax."""
    return re.sub(r"\(\?\^u?:", "(?:", pattern).replace("(?^i:", "(?i:")


def _address(version: int) -> Any:
    return lambda text: _parses(ipaddress.ip_address, text, version)


def _network(version: int | None) -> Any:
    return lambda text: "/" in text and _parses(ipaddress.ip_interface, text, version)


def _parses(kind: Any, text: str, version: int | None) -> bool:
    try:
        return version in (None, kind(text).version)
    except ValueError:
        return False


#: Formats a text can be checked for without a cluster.
_FORMATS: Mapping[str, Any] = {
    "ipv4": _address(4),
    "ipv6": _address(6),
    "CIDR": _network(None),
    "CIDRv4": _network(4),
    "CIDRv6": _network(6),
    "mac-addr": lambda text: _matches(r"[0-9a-fA-F]{2}(:[0-9a-fA-F]{2}){5}", text),
    "pve-node": lambda text: _matches(r"[a-zA-Z0-9]([a-zA-Z0-9-]*[a-zA-Z0-9])?", text),
    "pve-vmid": lambda text: _matches(r"[1-9]\d{2,8}", text),
}

if __name__ == "__main__":
    sys.stdout.write(dump(compact(json.loads(Path(sys.argv[1]).read_text()))))
