"""Virtual machines and containers: their configuration file, what of it waits, and who may not write now.

Modelled on the rules of the real code. A write first lands in the file's pending section; of a stopped guest it is
taken over at once, of a running one field by field, where hotplug can. What cannot waits for the next start, what
fails stays pending and is reported: for a VM's PUT and a container as parameter error, for a VM's POST as the task's
end. There are no disks, no memory and no processes behind it.
"""

from __future__ import annotations

import hashlib
import random
import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from pve_lab.errors import ApiError, bad_parameters, refused
from pve_lab.nics import Nic

NET = re.compile(r"net(\d+)")
#: Fields that a running guest takes at once, because nothing inside of it depends on them.
_FAST = {
    "qemu": {"lock", "name", "onboot", "startup", "description", "protection", "hookscript", "tags", "vmstatestorage"},
    "lxc": {"lock", "hostname", "onboot", "startup", "description", "protection", "hookscript", "tags", "cores"},
}
#: Fields of a NIC whose change takes the device out and puts in a new one.
_REPLUG = ("model", "macaddr", "queues", "mtu")
#: Options that are numbers in Proxmox' schema and so in its JSON; NICs, names and property strings are not.
_INTEGERS = {"cores", "sockets", "onboot", "protection", "template", "numa", "kvm", "balloon", "unprivileged", "swap"}
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
    def label(self) -> str:
        return f"{_WORD[self.kind]} {self.vmid}"

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
            lines += ["", "[PENDING]"]
            if self.pending_delete:
                marked = (f"!{key}" if force else key for key, force in sorted(self.pending_delete.items()))
                lines.append(f"delete: {','.join(marked)}")
            lines += [f"{key}: {value}" for key, value in sorted(self.pending.items())]
        return "\n".join(lines) + "\n"

    # --- reading ------------------------------------------------------------------------------------------------

    def shown(self, *, current: bool) -> dict[str, Any]:
        """The configuration as it will be, or (``current``) as the running guest has it."""
        values = self._main()
        if not current:
            values = {key: value for key, value in {**values, **self.pending}.items() if key not in self.pending_delete}
        return {**{key: _typed(key, value) for key, value in values.items()}, "digest": self.digest}

    def pending_rows(self) -> list[dict[str, Any]]:
        """Every option with its value, its pending one and whether it is to be deleted (2: by force)."""
        main = {**self._main(), "digest": self.digest}
        rows = []
        for key in sorted({*main, *self.pending, *self.pending_delete}):
            row: dict[str, Any] = {"key": key}
            if key in main:
                row["value"] = main[key]
            if key in self.pending:
                row["pending"] = self.pending[key]
            if key in self.pending_delete:
                row["delete"] = 2 if self.pending_delete[key] else 1
            rows.append(row)
        return rows

    def nics(self) -> dict[str, Nic]:
        """The live NICs."""
        return {key: Nic.parse(self.kind, text) for key, text in self.config.items() if NET.fullmatch(key)}

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


def _typed(key: str, value: str) -> Any:
    return int(value) if key in _INTEGERS and value.lstrip("-").isdigit() else value


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
    gone = _names(params.get("delete"))
    revert = _names(params.get("revert"))
    if not values and not gone and not revert:
        raise refused("no options specified\n")
    for key in revert:
        if key in values:
            raise bad_parameters(delete=f"you can't use '-{key}' and -revert {key}' at the same time")
    for key in gone:
        if key in values:
            raise bad_parameters(delete=f"you can't use '-{key}' and -delete {key}' at the same time")
        if key in revert:
            raise bad_parameters(revert=f"you can't use '-revert {key}' and '-delete {key}' at the same time")
    problems = {}
    for key, value in values.items():
        if NET.fullmatch(key):
            try:
                values[key] = Nic.parse(kind, value).with_mac(mac).text()
            except ValueError as problem:
                problems[key] = str(problem)
    if problems:
        raise ApiError(400, "Parameter verification failed.\n", problems)
    force = str(params.get("force", "0")) == "1"
    return Change(values, dict.fromkeys(gone, force), frozenset(revert))


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
    notes = []
    for key in change.revert:
        guest.pending.pop(key, None)
        guest.pending_delete.pop(key, None)
    for key, force in change.delete.items():
        if key not in guest.config and key not in guest.pending:
            notes.append(f"cannot delete '{key}' - not set in current configuration!")
            continue
        guest.pending.pop(key, None)
        guest.pending_delete[key] = force
    for key, value in change.values.items():
        guest.pending_delete.pop(key, None)
        guest.pending[key] = value
    _tidy(guest)
    return notes


def _tidy(guest: Guest) -> None:
    """Forget pending values that are the live ones, and deletions of what is not there."""
    for key in [key for key, value in guest.pending.items() if guest.config.get(key) == value]:
        del guest.pending[key]
    for key in [key for key in guest.pending_delete if key not in guest.config]:
        del guest.pending_delete[key]


#: Says why a NIC cannot be plugged into a bridge on the guest's node; empty if it can.
Plug = Callable[[Guest, str], str]


def hotplug(guest: Guest, keys: Iterable[str], plug: Plug) -> dict[str, str]:
    """Take over what can be taken over now; errors per option. The rest stays pending.

    A stopped guest takes everything: it has nothing that could object.
    """
    errors: dict[str, str] = {}
    prefix = "hotplug problem - " if guest.kind == "qemu" else None
    for key in sorted(set(keys) & {*guest.pending, *guest.pending_delete}):
        if not guest.running or key in _FAST[guest.kind]:
            guest.take(key)
        elif NET.fullmatch(key) and _can_replug(guest, key):
            if (value := guest.pending.get(key)) is not None and (problem := _plugged(guest, value, plug)):
                errors[key] = f"{prefix}{problem}" if prefix else f"unable to hotplug {key}: {problem}"
            else:
                guest.take(key)
    return errors


def _plugged(guest: Guest, value: str, plug: Plug) -> str:
    nic = Nic.parse(guest.kind, value)
    return plug(guest, nic.bridge) if nic.bridge else ""


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


def write(guest: Guest, change: Change, plug: Plug) -> None:
    """A synchronous write: PUT of either kind. Raises what it answers."""
    before = (dict(guest.config), dict(guest.pending), dict(guest.pending_delete), guest.name)
    stage(guest, change)
    errors = hotplug(guest, change.keys, plug)
    if not errors:
        return
    if guest.kind == "lxc":
        # On any error nothing is written.
        guest.config, guest.pending, guest.pending_delete, guest.name = before
    raise ApiError(400, "Parameter verification failed.\n", errors)


def task_error(errors: Mapping[str, str]) -> str:
    """How the task of a VM's POST ends when hotplug fails; empty without errors."""
    if not errors:
        return ""
    listed = " ".join(f"{key}: {text.strip()}" for key, text in sorted(errors.items()))
    return f"400 Parameter verification failed. {listed}"
