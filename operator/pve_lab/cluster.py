"""The cluster: nodes, tasks, guests, the SDN configuration, and how an apply and a reload carry it to the nodes.

One lock guards it all, and each request runs alone. What takes time waits in the timers and happens when it is due.
"""

from __future__ import annotations

import copy
import secrets
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field, replace

from pve_lab.access import Access
from pve_lab.errors import ApiError, died, refused
from pve_lab.firewall.rules import KnownNames
from pve_lab.firewall.vnet import VnetFirewall
from pve_lab.guests import Change, Guest, Mac, hotplug, stage, task_error
from pve_lab.host_network import HostNetwork
from pve_lab.ports import Dataplane, Interference, NoInterference, ReloadEffects
from pve_lab.releases import FULL_VERSIONS
from pve_lab.running_config import RunningConfig
from pve_lab.sdn.config import SdnConfig
from pve_lab.sdn.config_file import ConfigFile
from pve_lab.sdn.fabrics import Fabrics
from pve_lab.sdn.objects import Config
from pve_lab.sdn.prefix_lists import PrefixLists
from pve_lab.sdn.route_maps import RouteMaps
from pve_lab.tasks import Task, Tasks
from pve_lab.tickets import Tickets
from pve_lab.timers import Action, Timers

_IFRELOAD_BUSY = "command 'ifreload -a' failed: exit code 89"
NO_IFUPDOWN2 = "you need ifupdown2 to reload network configuration"
NO_IFQUERY = (
    "malformed JSON string, neither tag, array, object, number, string or atom, at character offset 0 "
    '(before "(end of string)")'
)


@dataclass
class Node:
    """One member. ``applied`` is the SDN configuration it has loaded, with its version."""

    name: str
    address: str
    online: bool = True
    applied: Config | None = None
    applied_version: int = 0
    loaded: RunningConfig = field(default_factory=RunningConfig)
    reloads: int = 0
    # Without it no reload is made, and the status of zones is an error.
    ifupdown2: bool = True
    network: HostNetwork = field(init=False)
    # Of the certificate of its API: 32 bytes in hexadecimal, another one for every node of every lab.
    fingerprint: str = field(default_factory=lambda: secrets.token_bytes(32).hex(":").upper())

    def __post_init__(self) -> None:
        self.network = HostNetwork(self.address)

    def strip(self) -> None:
        """Make it a node of the recordings, on which ifupdown2 was a stub: reloads work, and nothing is there of it.

        ``ifquery`` prints nothing, no bridge is up, and a bridge counts as there as soon as it is configured.
        """
        self.network = HostNetwork(self.address, ["eth0"], bare=True)

    @property
    def bare(self) -> bool:
        """Whether it is a node of the recordings."""
        return self.network.bare


class Cluster:
    """All state of a lab.

    ``task_seconds`` is how long an apply takes in all, and every other task; ``clock`` gives Unix seconds, and by
    ``clock_offset`` seconds the clocks of all nodes are ahead of it: those of tasks and of the ``Date`` header.
    """

    #: Loads configurations on the nodes and shows what they have learned. Set by ``Lab``.
    dataplane: Dataplane
    interference: Interference = NoInterference()

    def __init__(
        self,
        nodes: list[str],
        *,
        version: str = "9.2.3",
        task_seconds: float = 0.3,
        seed: int = 0,
        clock: Callable[[], float] = time.time,
        clock_offset: float = 0.0,
    ) -> None:
        self.version = version = FULL_VERSIONS.get(version, version)
        self.mutex = threading.RLock()
        self.now: Callable[[], float] = (lambda: clock() + clock_offset) if clock_offset else clock
        self.sleep: Callable[[float], None] = time.sleep
        self.access = Access()
        self.tickets = Tickets(seed)
        self.sdn = SdnConfig(seed, version, nodes)
        self.fabrics = Fabrics(self.sdn)
        self.route_maps = RouteMaps(self.sdn)
        self.prefix_lists = PrefixLists(self.route_maps)
        self.nodes = {name: Node(name, f"192.168.16.{i}") for i, name in enumerate(nodes, 1)}
        self.guests: dict[int, Guest] = {}
        self.firewalls: dict[str, VnetFirewall] = {}
        self.firewall_names = KnownNames()
        self.tasks = Tasks()
        self.timers = Timers()
        self.task_seconds = task_seconds
        self.quorum_lost = False
        self.mac = Mac(seed)
        # How long a wrong token waits for its 401; the real one waits 3 seconds.
        self.refusal_seconds = 0.0
        # Token -> secret.
        self.tokens = self.access.secrets
        self.journal: list[tuple[str, str, int]] = []
        self.applies = 0
        # Without a worker an apply is published, and nothing reloads.
        self.workers_start = True

    def reachable_node(self, name: str) -> Node:
        """A member that answers; raises what pveproxy says of one that does not."""
        node = self.nodes.get(name)
        if node is None:
            raise ApiError(500, f"hostname lookup '{name}' failed")
        if not node.online:
            raise ApiError(595, "No route to host")
        return node

    @property
    def quorate(self) -> bool:
        return not self.quorum_lost and sum(node.online for node in self.nodes.values()) * 2 > len(self.nodes)

    def settle(self) -> None:
        """Run what is due by now."""
        with self.mutex:
            self.timers.run(self.now())
            self.dataplane.follow()

    # --- tasks --------------------------------------------------------------------------------------------------

    def run_task(self, task: Task, work: Callable[[], str] = lambda: "", seconds: float | None = None) -> str:
        """End the task after its time, having done ``work``, which says what went wrong; the task's UPID."""

        def finish(when: float) -> None:
            self.end_task(task, when, work())

        self.timers.at(self.now() + (self.task_seconds if seconds is None else seconds), finish)
        self.settle()
        return task.upid

    def end_task(self, task: Task, when: float, error: str = "") -> None:
        effects = self.interference.with_task(task.type)
        for text in effects.warnings:
            task.warn(text)
        task.end(when, error or effects.error)

    # --- applying -----------------------------------------------------------------------------------------------

    def commit(self) -> None:
        """Publish everything staged, foreign edits included."""
        self.sdn.commit()
        for file in self._files:
            file.commit()

    def rollback(self) -> None:
        """Discard everything staged, foreign edits included."""
        self.sdn.rollback()
        for file in self._files:
            file.rollback()

    @property
    def has_pending(self) -> bool:
        """Whether anything is staged, fabrics and policies included."""
        return self.sdn.has_pending() or any(file.has_pending for file in self._files)

    @property
    def _files(self) -> list[Fabrics | ConfigFile]:
        """The configuration files beside that of controllers, zones, VNets and subnets."""
        return [self.fabrics, self.route_maps.entries, self.prefix_lists.lists]

    def apply(self, user: str, published: Callable[[], None] = lambda: None) -> str:
        """Commit at once, then reload node after node; the cluster's task ends well whatever they do.

        ``published`` is called in between, when the configuration is new and no task has begun.
        """
        self.applies += 1
        self.commit()
        published()
        if not self.workers_start:
            raise refused("got no worker upid - start worker failed\n")
        first = next(iter(self.nodes))
        task = self.tasks.start(first, "reloadnetworkall", user, self.now())
        self._reload_next(task, list(self.nodes.values()), self.now())
        self.settle()
        return task.upid

    def _reload_next(self, task: Task, waiting: list[Node], when: float) -> None:
        """One node after the other: a node that hangs keeps those after it waiting."""
        if not waiting or not task.running:
            self.end_task(task, when)
            return
        node, *rest = waiting
        task.log.append(f"{node.name}: reloading network config")
        if node.online and node.ifupdown2:
            self._reload(node, "root@pam", when, lambda then: self._reload_next(task, rest, then))
            return
        if node.online:
            task.log.append(NO_IFUPDOWN2)
        command = f"pvesh set /nodes/{node.name}/network --regenerate-frr 1"
        task.log.append(f"command '{command}' failed: exit code 255")
        self._reload_next(task, rest, when)

    def reload(self, node: Node, user: str) -> str:
        """Reload one node alone; the task's UPID. Without ifupdown2 no task begins."""
        if not node.ifupdown2:
            raise refused(f"{NO_IFUPDOWN2}\n")
        task = self._reload(node, user, self.now(), lambda _: None)
        self.settle()
        return task.upid

    def _reload(self, node: Node, user: str, when: float, then: Action) -> Task:
        """Host-network edits come into force, then the SDN configuration as it is published now.

        One at a time: ifupdown2 refuses to begin while another of its processes runs on the node (published source).
        """
        task = self.tasks.start(node.name, "srvreload", user, when, "networking")
        node.network.commit()
        config, version = copy.deepcopy(self.sdn.running), self.sdn.version
        busy = node.reloads > 0 and not node.bare
        node.reloads += 1
        if busy:
            task.log.append("error: Another instance of this program is already running.")
        effects = ReloadEffects(0.0, _IFRELOAD_BUSY) if busy else self.interference.with_reload(node.name)
        seconds = self.task_seconds / len(self.nodes) if effects.seconds is None else effects.seconds
        for text in effects.warnings:
            task.warn(text)
        running, work = self.published(), None

        def finish(due: float) -> None:
            nonlocal work
            failure = effects.error
            if not failure:
                work = work or self.dataplane.reload(node.name, running)
                if not work.done():
                    self.timers.at(self.now() + 0.05, finish)
                    return
                failure = str(work.exception() or "")
            if work and not failure:
                task.log.extend(work.result())
                self.load(node, config, version, running)
            node.reloads -= 1
            self.end_task(task, due, failure)
            then(due)

        if effects.hold:
            effects.hold(lambda: self.timers.at(self.now(), finish))
        else:
            self.timers.at(when + seconds, finish)
        return task

    def load(self, node: Node, config: Config, version: int, running: RunningConfig) -> None:
        """A node has this configuration from now on."""
        node.applied, node.applied_version, node.loaded = config, version, running

    def reboot(self, node: Node, seconds: float) -> None:
        """A node goes down and comes back; at boot it commits what is staged, asks no lock, and reloads only itself.

        With nothing staged it keeps what it had loaded before, even if that is old.
        """
        node.online = False

        def boot(_: float) -> None:
            node.online = True
            node.network.commit()
            if self.has_pending:
                self.commit()
                self.dataplane.reload(node.name, self.published())
                self.load(node, copy.deepcopy(self.sdn.running), self.sdn.version, self.published())

        self.timers.at(self.now() + seconds, boot)
        self.settle()

    def published(self) -> RunningConfig:
        """The running configuration, as a node reads it."""
        return RunningConfig.of(
            self.sdn.running,
            self.fabrics.fabrics.running,
            self.fabrics.nodes.running.values(),
            self.route_maps.entries.running.values(),
            self.prefix_lists.lists.running.values(),
        )

    def staged(self) -> RunningConfig:
        """The configuration as an apply would publish it now."""
        return RunningConfig.of(
            self.sdn.edited,
            self.fabrics.fabrics.edited,
            self.fabrics.nodes.edited.values(),
            self.route_maps.entries.edited.values(),
            self.prefix_lists.lists.edited.values(),
        )

    # --- guests -------------------------------------------------------------------------------------------------

    def write_guest(self, guest: Guest, change: Change, user: str) -> str:
        """A VM's write in the background: pending at once, live (or not) when the task ends."""
        task = self.tasks.start(guest.node, "qmconfig", user, self.now(), str(guest.vmid))
        task.log += stage(guest, change)
        return self.run_task(task, lambda: task_error(hotplug(guest, change.keys, self)))

    def migrate(self, guest: Guest, target: str, user: str) -> str:
        """The guest is locked until it is there."""
        guest.config["lock"] = "migrate"
        type_ = "qmigrate" if guest.kind == "qemu" else "vzmigrate"
        task = self.tasks.start(guest.node, type_, user, self.now(), str(guest.vmid))

        def arrive() -> str:
            guest.config.pop("lock", None)
            if not self.nodes[target].online:
                return "migration aborted"
            problems = [text for nic in guest.nics().values() if (text := self._missing(target, nic.bridge))]
            if guest.running and problems:
                return problems[0].strip()
            self.move(guest, target)
            return ""

        return self.run_task(task, arrive)

    def move(self, guest: Guest, target: str) -> None:
        """The guest is on another node from now on."""
        guest.node = target

    def plug(self, guest: Guest, bridge: str) -> str:
        """Why a NIC of the guest cannot be plugged into a bridge of its node; empty if it can."""
        return self.interference.with_hotplug(guest.vmid) or self._missing(guest.node, bridge)

    def bridge_mtu(self, guest: Guest, bridge: str) -> int | None:
        """The MTU of a bridge of the guest's node; None if there is none.

        A VNet has its zone's MTU, or what the underlay leaves to a tunnel.
        """
        network = self.nodes[guest.node].network
        if not bridge or self._missing(guest.node, bridge):
            return None
        if bridge in network.bridges():
            return network.mtu(bridge)
        vnet = self.sdn.running["vnets"].get(bridge, {})
        zone = self.sdn.running["zones"].get(vnet.get("zone", ""), {})
        tunnel = zone.get("type") in ("evpn", "vxlan")
        return int(zone.get("mtu") or (1450 if tunnel else 1500))

    def _missing(self, name: str, bridge: str) -> str:
        node = self.nodes[name]
        if not bridge or bridge in node.network.bridges():
            return ""
        if vnet := self.sdn.running["vnets"].get(bridge):
            only = self.sdn.running["zones"].get(vnet["zone"], {}).get("nodes")
            if only and name not in str(only).split(","):
                return f"vnet {bridge} is not allowed on this node\n"
        there = self.sdn.running if node.bare else node.applied
        if there is not None and bridge in there["vnets"]:
            return ""
        return f"bridge '{bridge}' does not exist\n"

    # --- firewall -----------------------------------------------------------------------------------------------

    def firewall(self, vnet: str) -> VnetFirewall:
        """The firewall of a VNet; its file outlives the VNet."""
        return self.firewalls.setdefault(vnet, VnetFirewall(self.names_for_rules))

    def names_for_rules(self) -> KnownNames:
        """Aliases and IP sets of the datacenter, and the sets that Proxmox makes for each VNet that is applied."""
        parts = ("all", "no-gateway", "gateway", "dhcp")
        made = {f"{vnet}-{part}" for vnet in self.sdn.running["vnets"] for part in parts}
        return replace(self.firewall_names, sdn_ipsets=made)

    # --- status of zones ----------------------------------------------------------------------------------------

    def zone_rows(self, node: Node) -> list[dict[str, str]]:
        """``/nodes/N/sdn/zones``."""
        if node.bare or not node.ifupdown2:
            raise refused(died(NO_IFQUERY, "Network/SDN/Zones.pm", 200))
        return [{"zone": zone, "status": status} for zone, status in self.zone_states(node).items()]

    def zone_states(self, node: Node) -> dict[str, str]:
        """The node's zones: available only where it has loaded the newest version and every VNet is there."""
        states = {}
        for zone, props in sorted(self.sdn.running["zones"].items()):
            if (only := props.get("nodes")) and node.name not in only.split(","):
                continue
            states[zone] = "available" if node.applied_version == self.sdn.version else "pending"
            vnets = [vnet for vnet, row in self.sdn.running["vnets"].items() if row.get("zone") == zone]
            if states[zone] == "available" and any(self.dataplane.missing(node.name, vnet) for vnet in vnets):
                states[zone] = "error"
        return states
