"""VMs and containers: configuration, its pending part, writes to it, and migration."""

from __future__ import annotations

from typing import Any

from pve_lab.cluster import Cluster
from pve_lab.errors import bad_parameters, refused
from pve_lab.guests import NET, Change, Guest, check_writable, read_change, write
from pve_lab.nics import Nic
from pve_lab.request import Call

#: The privilege an option wants, by how its name begins; anything else wants VM.Config.Options.
_PRIVILEGES = {
    ("net", "nameserver", "searchdomain", "hostname"): "VM.Config.Network",
    ("cores", "cpu", "sockets", "vcpus", "numa", "affinity"): "VM.Config.CPU",
    ("memory", "balloon", "shares", "swap"): "VM.Config.Memory",
    ("scsi", "virtio", "ide", "sata", "efidisk", "tpmstate", "rootfs", "mp", "unused"): "VM.Config.Disk",
    ("ci", "ipconfig", "sshkeys"): "VM.Config.Cloudinit",
    ("machine", "vga", "bios", "serial", "usb", "hostpci", "audio", "args", "hotplug"): "VM.Config.HWType",
}


def _guest(cluster: Cluster, call: Call, kind: str) -> Guest:
    """The guest of the path, on the node of the path: after a migration the old path answers 500."""
    cluster.reachable_node(call.path["node"])
    vmid = call.path["vmid"]
    guest = cluster.guests.get(int(vmid)) if vmid.isdigit() else None
    if guest is None or guest.node != call.path["node"] or guest.kind != kind:
        folder = "qemu-server" if kind == "qemu" else "lxc"
        raise refused(f"Configuration file 'nodes/{call.path['node']}/{folder}/{vmid}.conf' does not exist\n")
    return guest


def _change(cluster: Cluster, call: Call, kind: str) -> tuple[Guest, Change]:
    """A write that may be carried out: parameters, the guest, digest and lock are checked, in this order."""
    skiplock = call.flag("skiplock")
    if skiplock and call.user != "root@pam":
        raise bad_parameters(skiplock="Only root may use this option.")
    cluster.reachable_node(call.path["node"])
    change = read_change(kind, call.params, cluster.mac)
    guest = _guest(cluster, call, kind)
    _permitted(cluster, call, guest, change)
    check_writable(guest, str(call.params.get("digest") or ""), skiplock=skiplock)
    return guest, change


def _permitted(cluster: Cluster, call: Call, guest: Guest, change: Change) -> None:
    """Each option wants its privilege; a NIC the use of the network it gets and of the one it leaves, too."""
    where = f"/vms/{guest.vmid}"
    for key in sorted(change.keys):
        found = (name for starts, name in _PRIVILEGES.items() if key.startswith(starts))
        cluster.access.demand(call.user, where, next(found, "VM.Config.Options"))
    for key in sorted(change.keys):
        for text in (change.values.get(key), guest.config.get(key)):
            if text is not None and NET.fullmatch(key) and (bridge := Nic.parse(guest.kind, text).bridge):
                # By the zone of the edited copy, as in Proxmox.
                zone = cluster.sdn.edited["vnets"].get(bridge, {}).get("zone", "localnetwork")
                cluster.access.demand(call.user, f"/sdn/zones/{zone}/{bridge}", "SDN.Use")


class GuestHandlers:
    """What VMs and containers have in common."""

    def __init__(self, kind: str) -> None:
        self._kind = kind

    def listing(self, cluster: Cluster, call: Call) -> Any:
        node = cluster.reachable_node(call.path["node"])
        mine = [guest for guest in cluster.guests.values() if guest.kind == self._kind and guest.node == node.name]
        return [
            _state(guest) for guest in mine if cluster.access.allowed(call.user, f"/vms/{guest.vmid}", ("VM.Audit",))
        ]

    def config(self, cluster: Cluster, call: Call) -> Any:
        return _guest(cluster, call, self._kind).shown(current=call.flag("current"))

    def pending(self, cluster: Cluster, call: Call) -> Any:
        return _guest(cluster, call, self._kind).pending_rows()

    def status(self, cluster: Cluster, call: Call) -> Any:
        return {**_state(_guest(cluster, call, self._kind)), "ha": {"managed": 0}}

    def update(self, cluster: Cluster, call: Call) -> Any:
        guest, change = _change(cluster, call, self._kind)
        write(guest, change, cluster)


QEMU, LXC = GuestHandlers("qemu"), GuestHandlers("lxc")


def post_config(cluster: Cluster, call: Call) -> Any:
    """In a task; no UPID when it ends within ``background_delay``."""
    guest, change = _change(cluster, call, "qemu")
    delay = float(call.params.get("background_delay") or 0)
    if delay and cluster.task_seconds <= delay:
        write(guest, change, cluster)
        return None
    return cluster.write_guest(guest, change, call.user)


def may_migrate(cluster: Cluster, call: Call) -> Any:
    guest = _guest(cluster, call, "qemu")
    answer = {
        "running": int(guest.running), "local_disks": [], "local_resources": [], "mapped-resources": [],
        "mapped-resource-info": {}, "has-dbus-vmstate": 1, "dependent-ha-resources": [],
    }  # fmt: skip
    if guest.running:
        return answer
    return {**answer, "allowed_nodes": [n.name for n in cluster.nodes.values() if n.online and n.name != guest.node]}


def migrate(cluster: Cluster, call: Call) -> Any:
    guest = _guest(cluster, call, "qemu")
    target = str(call.params.get("target", ""))
    if target == guest.node:
        raise bad_parameters(target="target is local node.")
    if target not in cluster.nodes:
        raise refused(f"no such cluster node '{target}'\n")
    if not cluster.nodes[target].online:
        raise refused(f"node '{target}' is not online\n")
    check_writable(guest, "")
    if guest.running and not call.flag("online"):
        raise refused("can't migrate running VM without --online\n")
    return cluster.migrate(guest, target, call.user)


def reboot(cluster: Cluster, call: Call) -> Any:
    """A reboot through Proxmox takes over pending values; one inside of the guest does not."""
    guest = _guest(cluster, call, "qemu")
    if not guest.running:
        raise refused("VM is not running\n")
    task = cluster.tasks.start(guest.node, "qmreboot", call.user, cluster.now(), str(guest.vmid))

    def again() -> str:
        guest.stop()
        guest.start()
        return ""

    return cluster.run_task(task, again)


def agent_interfaces(cluster: Cluster, call: Call) -> Any:
    guest = _guest(cluster, call, "qemu")
    if not guest.running:
        raise refused(f"VM {guest.vmid} is not running\n")
    if not guest.config.get("agent", "0").startswith(("1", "enabled=1")):
        raise refused("No QEMU guest agent configured\n")
    rows = []
    for number, nic in enumerate(guest.nics().values()):
        addresses = (
            [{"ip-address": guest.ip, "ip-address-type": "ipv4", "prefix": 24}] if guest.ip and not number else []
        )
        rows.append({"name": f"eth{number}", "hardware-address": nic.mac.lower(), "ip-addresses": addresses})
    return {"result": rows}


def container_interfaces(cluster: Cluster, call: Call) -> Any:
    guest = _guest(cluster, call, "lxc")
    if not guest.running:
        return None
    rows = []
    for number, nic in enumerate(guest.nics().values()):
        row: dict[str, Any] = {
            "name": nic.get("name"), "hwaddr": nic.mac.lower(), "hardware-address": nic.mac.lower(), "ip-addresses": [],
        }  # fmt: skip
        if guest.ip and not number:
            row["inet"] = f"{guest.ip}/24"
            row["ip-addresses"] = [{"ip-address": guest.ip, "ip-address-type": "inet", "prefix": 24}]
        rows.append(row)
    return rows


def _state(guest: Guest) -> dict[str, Any]:
    """A guest's row in the lists, without the usage of CPU, memory and disks."""
    row: dict[str, Any] = {
        "vmid": guest.vmid, "name": guest.name, "status": "running" if guest.running else "stopped",
        "tags": guest.config.get("tags", ""), "lock": guest.lock,
    }  # fmt: skip
    row = {key: value for key, value in row.items() if value != ""}
    return {**row, "template": 1} if guest.template else row
