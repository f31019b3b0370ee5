"""Virtual machines and containers: their configuration file, what of it waits, and who may not write now.

Modelled on the rules of the real code. A write first lands in the file's pending section; of a stopped guest it is
taken over at once, of a running one field by field, where hotplug can. What cannot waits for the next start, what
fails stays pending and is reported: for a VM's PUT and a container as parameter error, for a VM's POST as the task's
end. There are no disks, no memory and no processes behind it.
"""

from __future__ import annotations

import functools
import hashlib
import json
import random
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

from pve_lab import apidoc
from pve_lab.errors import bad_parameters, refused, wrong_parameters
from pve_lab.json_schema import MOST_NUMBERED
from pve_lab.nics import Nic

NET = re.compile(r"net(\d+)")
#: Fields that a running guest takes at once, because nothing inside of it depends on them.
_FAST = {
    "qemu": {"lock", "name", "onboot", "startup", "description", "protection", "hookscript", "tags", "vmstatestorage"},
    "lxc": {"lock", "hostname", "onboot", "startup", "description", "protection", "hookscript", "tags", "cores"},
}
#: Fields of a NIC whose change takes the device out and puts in a new one.
_REPLUG = ("model", "macaddr", "queues", "mtu")
_WORD = {"qemu": "VM", "lxc": "CT"}


@dataclass
class Guest:
    """One guest with its configuration file: the main section, and the pending one with what is to be deleted."""

    vmid: int
    kind: str
    node: str
    name: str
    config: dict[str, str] = field(default_factory=dict)
    running: bool = True
    speaks: bool = True
    last_spoke: float = 0.0
    ip: str = ""
    pool: str = ""
    pending: dict[str, str] = field(default_factory=dict)
    pending_delete: dict[str, bool] = field(default_factory=dict)

    @property
    def template(self) -> bool:
        return self.config.get("template") == "1"

    @property
    def lock(self) -> str:
        return self.config.get("lock", "")

    @property
    def digest(self) -> str:
        """Of the whole file: it changes with every pending value too."""
        return hashlib.sha1(self.file().encode()).hexdigest()  # noqa: S324

    def file(self) -> str:
        """The configuration file's text."""
        lines = [f"{key}: {value}" for key, value in sorted(self._main().items())]
        if self.pending or self.pending_delete:
            waiting = dict(self.pending)
            if self.pending_delete:
                marked = (f"!{key}" if force else key for key, force in sorted(self.pending_delete.items()))
                waiting["delete"] = ",".join(marked)
            lines += ["", "[PENDING]", *(f"{key}: {value}" for key, value in sorted(waiting.items()))]
        return "\n".join(lines) + "\n"

    # --- reading ------------------------------------------------------------------------------------------------

    def shown(self, *, current: bool) -> dict[str, Any]:
        """The configuration as it will be, or (``current``) as the running guest has it."""
        values = self._main()
        if not current:
            values = {key: value for key, value in {**values, **self.pending}.items() if key not in self.pending_delete}
        return {**{key: self._typed(key, value) for key, value in values.items()}, "digest": self.digest}

    def pending_rows(self) -> list[dict[str, Any]]:
        """Every option with its value, its pending one and whether it is to be deleted (2: by force)."""
        main = {**self._main(), "digest": self.digest}
        rows = []
        for key in sorted({*main, *self.pending, *self.pending_delete}):
            row: dict[str, Any] = {"key": key}
            if key in main:
                row["value"] = self._typed(key, main[key])
            if key in self.pending:
                row["pending"] = self._typed(key, self.pending[key])
            if key in self.pending_delete:
                row["delete"] = 2 if self.pending_delete[key] else 1
            rows.append(row)
        return rows

    def nics(self) -> dict[str, Nic]:
        """The live NICs."""
        return {key: Nic.parse(self.kind, text) for key, text in self.config.items() if NET.fullmatch(key)}

    def _typed(self, key: str, value: str) -> Any:
        """Options that the schema has as numbers are numbers in Proxmox' JSON; NICs and property strings are texts."""
        number = options(self.kind).get(key) in ("integer", "boolean") and value.lstrip("-").isdigit()
        return int(value) if number else value

    def _main(self) -> dict[str, str]:
        named = {"name" if self.kind == "qemu" else "hostname": self.name} if self.name else {}
        return {**named, **self.config}

    # --- becoming true ------------------------------------------------------------------------------------------

    def take(self, key: str) -> None:
        """Make one pending value or deletion the live one."""
        if key in self.pending_delete:
            del self.pending_delete[key]
            self.config.pop(key, None)
        if key in self.pending:
            self._set(key, self.pending.pop(key))

    def start(self) -> None:
        """A start takes over everything that waited."""
        if self.template:
            raise refused(f"you can't start a {'vm' if self.kind == 'qemu' else 'ct'} if it's a template\n")
        self._take_all()
        self.running = True

    def stop(self) -> None:
        """So does a stop through Proxmox."""
        self.running = False
        self._take_all()

    def _take_all(self) -> None:
        for key in [*self.pending_delete, *self.pending]:
            self.take(key)

    def _set(self, key: str, value: str) -> None:
        if key == ("name" if self.kind == "qemu" else "hostname"):
            self.name = value
        else:
            self.config[key] = value


@functools.cache
def options(kind: str) -> Mapping[str, str]:
    """Every option that a configuration of this kind may have, with its type in the schema."""
    params = apidoc.methods()[f"PUT /nodes/{{node}}/{kind}/{{vmid}}/config"].params
    found: dict[str, str] = {}
    for name, spec in params.items():
        names = [f"{name[:-3]}{n}" for n in range(MOST_NUMBERED)] if name.endswith("[n]") else [name]
        found |= dict.fromkeys(names, str(spec.get("type", "string")))
    return {name: type_ for name, type_ in found.items() if name not in _CONTROL and name not in ("node", "vmid")}


class Mac:
    """Invents MAC addresses, from a seed."""

    def __init__(self, seed: int) -> None:
        self._random = random.Random(f"mac:{seed}")

    def __call__(self) -> str:
        return ":".join(["BC", "24", "11", *(f"{self._random.getrandbits(8):02X}" for _ in range(3))])


@dataclass(frozen=True)
class Change:
    """A checked write: complete values, what to delete (with force or not), what pending to forget."""

    values: Mapping[str, str]
    delete: Mapping[str, bool] = field(default_factory=dict)
    revert: frozenset[str] = frozenset()

    @property
    def keys(self) -> set[str]:
        return {*self.values, *self.delete, *self.revert}


def read_change(kind: str, params: Mapping[str, Any], mac: Mac) -> Change:
    """Check what was sent as far as it can be checked without the guest."""
    values = {key: str(value) for key, value in params.items() if key not in _CONTROL}
    values |= _complete_nics(kind, values, mac)
    gone = _names(params.get("delete"))
    revert = _names(params.get("revert"))
    if not values and not gone and not revert:
        raise refused("no options specified\n")
    for key in revert:
        if key not in options(kind):
            raise bad_parameters(revert=f"unknown option '{key}'")
        if key in values:
            raise bad_parameters(delete=f"you can't use '-{key}' and -revert {key}' at the same time")
    for key in gone:
        if key in values:
            raise bad_parameters(delete=f"you can't use '-{key}' and -delete {key}' at the same time")
        if key in revert:
            raise bad_parameters(revert=f"you can't use '-delete {key}' and -revert {key}' at the same time")
        if key not in options(kind):
            raise bad_parameters(delete=f"unknown option '{key}'")
    force = str(params.get("force", "0")) == "1"
    return Change(values, dict.fromkeys(gone, force), frozenset(revert))


def _complete_nics(kind: str, values: Mapping[str, str], mac: Mac) -> dict[str, str]:
    """The NICs among the values as they are stored; the wrong ones are named all at once, before anything else."""
    complete, problems = {}, {}
    for key, value in values.items():
        if NET.fullmatch(key):
            try:
                complete[key] = Nic.parse(kind, value, key).with_mac(mac).text()
            except ValueError as problem:
                problems[key] = str(problem)
    if problems:
        raise wrong_parameters(problems)
    return complete


_CONTROL = ("delete", "revert", "digest", "skiplock", "force", "background_delay", "import-working-storage")


def _names(value: Any) -> list[str]:
    text = ",".join(map(str, value)) if isinstance(value, list) else str(value or "")
    return [name for name in re.split(r"[,; ]+", text) if name]


def check_writable(guest: Guest, digest: str, *, skiplock: bool = False) -> None:
    """Digest and lock, in the order (and with the words) of each kind's own code."""

    def locked() -> None:
        if guest.lock and not skiplock:
            raise refused(f"{_WORD[guest.kind]} is locked ({guest.lock})\n")

    if guest.kind == "lxc":
        locked()
        if digest and digest != guest.digest:
            raise refused("detected modified configuration - file changed by other user? Try again.\n")
        return
    if digest and digest != guest.digest:
        raise refused("checksum mismatch (file change by other user?)\n")
    locked()


def stage(guest: Guest, change: Change) -> list[str]:
    """Put the change into the pending section; texts of what was skipped."""
    notes, boot = [], guest.config.get("boot", "")
    for key in change.revert:
        guest.pending.pop(key, None)
        guest.pending_delete.pop(key, None)
    for key, force in change.delete.items():
        if key not in guest.config and key not in guest.pending:
            notes.append(f"cannot delete '{key}' - not set in current configuration!")
            continue
        guest.pending.pop(key, None)
        guest.pending_delete[key] = force
        boot = _boot_without(guest, boot, key)
    for key, value in change.values.items():
        guest.pending_delete.pop(key, None)
        guest.pending[key] = value
    _tidy(guest)
    return notes


def _boot_without(guest: Guest, boot: str, key: str) -> str:
    """A deleted device leaves the boot order, which waits like any option; without a device it is one blank."""
    order = re.search(r"order=([^,]*)", boot)
    devices = order[1].split(";") if order and guest.kind == "qemu" else []
    if key not in devices:
        return boot
    left = [device for device in devices if device != key]
    guest.pending["boot"] = f"order={';'.join(left)}" if left else " "
    return guest.pending["boot"]


def _tidy(guest: Guest) -> None:
    """Forget pending values that are the live ones, and deletions of what is not there."""
    for key in [key for key, value in guest.pending.items() if guest.config.get(key) == value]:
        del guest.pending[key]
    for key in [key for key in guest.pending_delete if key not in guest.config]:
        del guest.pending_delete[key]


class Bridges(Protocol):
    """The bridges of the guest's node, as far as a NIC cares."""

    def plug(self, guest: Guest, bridge: str) -> str:
        """Why a NIC cannot be plugged into it; empty if it can."""

    def bridge_mtu(self, guest: Guest, bridge: str) -> int | None:
        """Its MTU; None if there is no such bridge."""


def hotplug(guest: Guest, keys: Iterable[str], bridges: Bridges) -> dict[str, str]:
    """Take over what can be taken over now; errors per option. The rest stays pending.

    A stopped guest takes everything: it has nothing that could object.
    """
    errors: dict[str, str] = {}
    prefix = "hotplug problem - " if guest.kind == "qemu" else None
    waiting = {*guest.pending, *guest.pending_delete}
    for key in sorted(waiting & set(keys) if guest.running else waiting):
        if not guest.running or key in _FAST[guest.kind]:
            guest.take(key)
        elif NET.fullmatch(key) and _can_replug(guest, key):
            if (value := guest.pending.get(key)) is not None and (problem := _plugged(guest, value, bridges)):
                errors[key] = f"{prefix}{problem}" if prefix else f"unable to hotplug {key}: {problem}"
            else:
                guest.take(key)
    return errors


def _plugged(guest: Guest, value: str, bridges: Bridges) -> str:
    nic = Nic.parse(guest.kind, value)
    problem = bridges.plug(guest, nic.bridge) if nic.bridge else ""
    if guest.kind == "qemu" and nic.get("firewall") == "1" and problem == _no_bridge(nic.bridge):
        # With a firewall the NIC is on a bridge of its own, and it is the firewall's code that misses the other one.
        return f"interface {nic.bridge} does not exist\n"
    return problem


def _no_bridge(bridge: str) -> str:
    return f"bridge '{bridge}' does not exist\n"


def _can_replug(guest: Guest, key: str) -> bool:
    """Whether this change can be made while the guest runs."""
    if guest.kind == "lxc":
        # Its code takes out net0 to net9 only; a two-digit one waits.
        return key in guest.pending or len(key) == len("net0")
    if "network" in guest.config.get("hotplug", "network,disk,usb") or guest.config.get("hotplug") == "1":
        return True
    old, new = guest.config.get(key), guest.pending.get(key)
    if old is None or new is None:
        return False
    before, after = Nic.parse("qemu", old), Nic.parse("qemu", new)
    # Only the tap is plugged anew, which needs no hotplug.
    return bool(before.bridge and after.bridge) and all(before.get(k) == after.get(k) for k in _REPLUG)


def write(guest: Guest, change: Change, bridges: Bridges) -> None:
    """A synchronous write: PUT of either kind. Raises what it answers."""
    if guest.kind == "lxc":
        _check_mtus(guest, change, bridges)
    before = (dict(guest.config), dict(guest.pending), dict(guest.pending_delete), guest.name)
    stage(guest, change)
    errors = hotplug(guest, change.keys, bridges)
    if errors and guest.kind == "lxc":
        # On any error nothing is written.
        guest.config, guest.pending, guest.pending_delete, guest.name = before
    if errors:
        raise wrong_parameters(errors)
    if guest.kind == "lxc":
        _write_container_files(guest, bridges)


def _check_mtus(guest: Guest, change: Change, bridges: Bridges) -> None:
    """A container's NIC may not be larger than its bridge; a VM's may."""
    for key in sorted(change.values):
        nic = Nic.parse(guest.kind, change.values[key]) if NET.fullmatch(key) else None
        if nic is None or not nic.get("mtu"):
            continue
        mtu = bridges.bridge_mtu(guest, nic.bridge)
        if mtu is None:
            raise refused(_no_bridge(nic.bridge))
        if int(nic.get("mtu")) > mtu:
            raise refused(f"{key}: MTU size '{nic.get('mtu')}' is bigger than bridge MTU '{mtu}'\n")


def _write_container_files(guest: Guest, bridges: Bridges) -> None:
    """After the write Proxmox makes the container's own files, which needs every bridge: a 500 that comes too late."""
    for _, nic in sorted(guest.nics().items()):
        if bridges.bridge_mtu(guest, nic.bridge) is None:
            raise refused(_no_bridge(nic.bridge))


def task_error(errors: Mapping[str, str]) -> str:
    """How the task of a VM's POST ends when hotplug fails; empty without errors."""
    if not errors:
        return ""
    listed = " ".join(f"{key}: {text.strip()}" for key, text in sorted(errors.items()))
    return f"400 Parameter verification failed. {listed}"


# --- from a file ----------------------------------------------------------------------------------------------------


def read_guests(path: Path) -> dict[int, Guest]:
    """Guests of a JSON file: a list of objects with ``vmid``, ``kind``, ``node``, ``name``, ``running``, ``config``.

    Raises ValueError that says which entry is wrong, OSError if the file cannot be read.
    """
    guests: dict[int, Guest] = {}
    for place, row in enumerate(json.loads(path.read_text())):
        try:
            config = {str(key): str(value) for key, value in row.get("config", {}).items()}
            guest = Guest(int(row["vmid"]), row["kind"], row["node"], row.get("name", ""), config)
            guest.running = bool(row.get("running", True))
        except (AttributeError, KeyError, TypeError, ValueError) as problem:
            raise ValueError(f"{path}: entry {place}: {problem!r}") from None
        if guest.kind not in _WORD:
            raise ValueError(f"{path}: entry {place}: kind {guest.kind!r} is neither qemu nor lxc")
        guests[guest.vmid] = guest
    return guests
