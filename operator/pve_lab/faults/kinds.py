"""Every kind of fault by name, and a fault from text (command line) or JSON (admin port)."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any

from pve_lab.faults import foreign, guests, nodes, outside, pmxcfs, reloads, requests, tasks
from pve_lab.faults.fault import Fault

_ALL: tuple[type[Fault], ...] = (
    requests.Latency,
    requests.DropBefore,
    requests.DropAfter,
    requests.ErrorAnswer,
    requests.GatewayError,
    requests.ApplyWithoutWorker,
    requests.TokenExpired,
    pmxcfs.CfsLockBusy,
    pmxcfs.NoQuorum,
    nodes.NodeOffline,
    nodes.NodeHangs,
    nodes.NoIfupdown2,
    nodes.NodeReboot,
    reloads.ReloadFails,
    reloads.ReloadWarns,
    reloads.ReloadSlow,
    reloads.ReloadHangs,
    tasks.TaskWarns,
    tasks.TaskFails,
    foreign.ForeignLock,
    foreign.ForeignChange,
    foreign.OutOfBandEdit,
    foreign.HostEdit,
    outside.ServerFails,
    outside.ServerHangs,
    guests.GuestLocked,
    guests.GuestEdited,
    guests.GuestMoves,
    guests.HotplugFails,
)
KINDS: Mapping[str, type[Fault]] = {kind.name: kind for kind in _ALL}


def parse(text: str) -> Fault:
    """``name`` or ``name:key=value,key=value``; raises ValueError that names what is wrong."""
    name, _, rest = text.partition(":")
    params: dict[str, str] = {}
    last = ""
    for part in filter(None, rest.split(",")):
        key, separator, value = part.partition("=")
        if last == "set" and key not in ("object", "delete", "vmid"):
            # What is set may have commas of its own.
            params[last] += f",{part}"
            continue
        if not separator:
            raise ValueError(f"{part!r} is not key=value")
        params[key] = value
        last = key
    return make(name, params)


def make(name: str, params: Mapping[str, Any]) -> Fault:
    """A fault from its name and its parameters as text or JSON."""
    if name not in KINDS:
        raise ValueError(f"there is no fault {name!r}; there are {', '.join(sorted(KINDS))}")
    kind = KINDS[name]
    known = parameters(kind)
    if unknown := params.keys() - known.keys():
        raise ValueError(f"{name}: no parameter {', '.join(sorted(unknown))}; there are {', '.join(known)}")
    try:
        return kind(**{key: _converted(name, key, known[key], value) for key, value in params.items()})
    except TypeError as problem:
        raise ValueError(f"{name}: {str(problem).split(') ')[-1]}") from None


def parameters(kind: type[Fault]) -> dict[str, str]:
    """Names and types of a fault's parameters."""
    return {f.name: str(f.type) for f in dataclasses.fields(kind) if f.init}


def _converted(name: str, key: str, type_: str, value: Any) -> Any:
    if type_ == "bool":
        return str(value).lower() in ("1", "true", "yes")
    try:
        return {"int": int, "float": float}.get(type_, str)(value)
    except ValueError:
        raise ValueError(f"{name}: {key}={value!r} is no {type_}") from None
