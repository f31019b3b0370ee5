"""The whole lab on real FRR: nodes on one underlay, their sshd, and the guests on them."""

from __future__ import annotations

import contextlib
import importlib.util
import re
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TypeVar

from pve_lab.frr import install
from pve_lab.frr.facts import NodeFacts, Tuning
from pve_lab.frr.guests import Guests, Nic
from pve_lab.frr.namespaces import SSH_PORT, LabFolder, NodeSpace, run
from pve_lab.frr.node import FrrNode, forward_packets, has_dummy, has_vrf
from pve_lab.frr.outside import INTERNET, Outside, OutsideRouter
from pve_lab.frr.sshd import HELPER, ClientKey, Sshd
from pve_lab.frr.tables import FrrTables
from pve_lab.running_config import RunningConfig

T = TypeVar("T")
#: Two ends, each a node and its NIC.
Cable = tuple[tuple[str, str], tuple[str, str]]


def ring(nics: Mapping[str, Sequence[str]]) -> list[Cable]:
    """Cables from each node's first NIC to the next node's last one; ``nics`` are the NICs that have no cable yet.

    Nodes with fewer than two get none.
    """
    nodes = [name for name, own in nics.items() if len(own) > 1]
    if len(nodes) < 2:
        return []
    return [
        ((name, nics[name][0]), (then, nics[then][-1])) for name, then in zip(nodes, nodes[1:] + nodes[:1], strict=True)
    ]


class Unavailable(RuntimeError):
    """Real FRR cannot be had on this machine; the text says why."""


class SshAccess:
    """Key, host keys and addresses for reading the nodes, and the command that the nodes let that key run."""

    def __init__(self, folder: Path, sshds: Mapping[str, Sshd]) -> None:
        self._sshds = sshds
        self.key = ClientKey(folder)
        self.private_key = self.key.private
        self.user = "root"
        self.port = SSH_PORT
        self.addresses = {name: sshd.address for name, sshd in sshds.items()}
        self.known_hosts = "".join(sshd.known_hosts for sshd in sshds.values())
        self.force(HELPER)

    def force(self, command: str) -> None:
        """Let the key do `command` on every node and nothing else."""
        for sshd in self._sshds.values():
            sshd.authorize(f'restrict,command="{command}" {self.key.public}')


class Topology:
    """Nodes by name with their addresses, running FRR with nothing configured yet. Raises `Unavailable`.

    Use it as a context manager, or call `close`: nothing of it outlives that, and nothing outlives the process.
    """

    def __init__(
        self,
        nodes: Mapping[str, str],
        *,
        ageing_seconds: float = 300,
        tuning: Tuning | None = None,
        prefix_length: int = 24,
        cables: Sequence[Cable] = (),
        outside: Outside | None = None,
    ) -> None:
        if why := install.missing():
            raise Unavailable(why)
        self._stop = contextlib.ExitStack()
        #: Ports of the switch by node: its eth0 first, then its cables, each with the bridge it is in.
        self._ports: dict[str, list[tuple[str, str]]] = {name: [] for name in nodes}
        self.world: OutsideRouter | None = None
        try:
            self._build(nodes, ageing_seconds, tuning or Tuning(), prefix_length)
            for number, cable in enumerate(cables, 1):
                self._lay(number, cable)
            if outside:
                self.world = self._connect(outside)
        except BaseException:
            self._stop.close()
            raise

    def _build(self, nodes: Mapping[str, str], ageing: float, tuning: Tuning, prefix_length: int) -> None:
        self.folder = LabFolder()
        self._stop.callback(self.folder.close)
        self.prefix = self.folder.prefix
        self._switch = self.folder.add("sw")
        run("ip", "-n", self._switch, "link", "add", "name", "br0", "type", "bridge", "stp_state", "0")
        run("ip", "-n", self._switch, "link", "set", "dev", "br0", "up")
        version = frr_version()
        self.nodes: dict[str, FrrNode] = {}
        self.sshd: dict[str, Sshd] = {}
        helpers = _helpers()
        for number, (name, address) in enumerate(nodes.items(), 1):
            space = NodeSpace(self.folder, name)
            self._stop.callback(space.close)
            forward_packets(space)
            self._wire(space, number, f"{address}/{prefix_length}")
            if number == 1:
                self.vrf, self.dummy = has_vrf(space), has_dummy(space)
            facts = NodeFacts(name, address, vrf=self.vrf)
            self.nodes[name] = FrrNode(space, facts, version, tuning, ageing)
            self.sshd[name] = Sshd(space, self.folder.address(number), helpers)
            self._stop.callback(self.sshd[name].stop)
        self.guests = Guests(self.folder, {name: node.space for name, node in self.nodes.items()})
        self.each(FrrNode.start)
        self.ssh = SshAccess(self.folder.path, self.sshd)
        for sshd in self.sshd.values():
            sshd.start()

    def _wire(self, space: NodeSpace, number: int, address: str) -> None:
        """A cable from the node's eth0 to the switch."""
        self._plug(space, "eth0", "br0", f"02:00:00:00:16:{number:02x}")
        space.ip("addr", "add", address, "dev", "eth0")

    def _plug(self, space: NodeSpace, nic: str, bridge: str, mac: str) -> None:
        ports = self._ports.setdefault(space.name, [])
        port = f"{space.name[:11]}-{len(ports)}"
        run(
            "ip", "link", "add", "name", nic, "netns", space.netns, "address", mac,
            "type", "veth", "peer", "name", port, "netns", self._switch,
        )  # fmt: skip
        run("ip", "-n", self._switch, "link", "set", "dev", port, "master", bridge, "up")
        space.ip("link", "set", "dev", nic, "up")
        ports.append((port, bridge))

    def _lay(self, number: int, cable: Cable) -> None:
        """A cable between two nodes' NICs. It goes through a bridge of its own, so that a node can be cut off."""
        bridge = f"cable{number}"
        run("ip", "-n", self._switch, "link", "add", "name", bridge, "type", "bridge", "stp_state", "0")
        run("ip", "-n", self._switch, "link", "set", "dev", bridge, "up")
        for end, (node, nic) in enumerate(cable):
            self._plug(self.nodes[node].space, nic, bridge, f"02:00:00:00:{0x20 + end:02x}:{number:02x}")

    def _connect(self, outside: Outside) -> OutsideRouter:
        """The router outside, on the switch, and the nodes' uplinks to it."""
        space = NodeSpace(self.folder, "world")
        self._stop.callback(space.close)
        forward_packets(space)
        self._plug(space, "eth0", "br0", "02:00:00:00:16:fe")
        space.ip("addr", "add", f"{INTERNET}/32", "dev", "lo")
        for node, uplink in outside.uplinks.items():
            self.nodes[node].space.ip("addr", "add", uplink, "dev", "eth0")
            space.ip("addr", "add", outside.router(node), "dev", "eth0")
        router = OutsideRouter(space, NodeFacts("world", INTERNET), frr_version(), Tuning(), 300)
        router.configure(outside)
        router.start(("zebra", "bgpd", "bfdd"))
        return router

    def __enter__(self) -> Topology:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        self._stop.close()

    # --- configuration ------------------------------------------------------------------------------------------

    def each(self, work: Callable[[FrrNode], T], nodes: Sequence[str] | None = None) -> dict[str, T]:
        """`work` on all nodes side by side."""
        names = list(nodes if nodes is not None else self.nodes)
        with ThreadPoolExecutor(max(1, len(names))) as pool:
            return dict(zip(names, pool.map(lambda name: work(self.nodes[name]), names), strict=True))

    def apply(self, running: RunningConfig, nodes: Sequence[str] | None = None) -> dict[str, list[str]]:
        """Reload nodes with a configuration; their logs. Raises `CommandFailed` with what the first one says."""
        return self.each(lambda node: node.reload(running), nodes)

    @property
    def left_out(self) -> list[str]:
        """What the kernel of this machine lacks, as text for users."""
        found = []
        if not self.vrf:
            found.append(
                "no VRF devices in this kernel: the first zone's L3 VNI is in the default VRF; "
                "other zones' L3 VNIs, type-5 routes and ip-vrf are left out"
            )
        if not self.dummy:
            found.append("no dummy devices in this kernel: a fabric's own addresses are put on lo")
        return found

    # --- reading ------------------------------------------------------------------------------------------------

    def vtysh(self, node: str, *commands: str) -> str:
        """FRR's output as text."""
        return self.nodes[node].vtysh(*commands)

    def tables(self, node: str) -> FrrTables:
        return FrrTables(self.nodes[node])

    # --- guests -------------------------------------------------------------------------------------------------

    def plug(self, node: str, nic: Nic) -> None:
        """Start a guest's NIC on a node. Raises `CommandFailed` where its bridge is not there."""
        self.guests.plug(node, nic, self.nodes[node].bridges.made.get(nic.bridge))

    def move(self, vmid: int, to: str, index: int = 0, *, gratuitous: bool = True) -> None:
        """Migrate a guest's NIC while it runs; `gratuitous`: with the frames that QEMU sends for it afterwards."""
        bridge = self.guests.nic(vmid, index).bridge
        self.guests.move(vmid, index, to, self.nodes[to].bridges.made.get(bridge), gratuitous=gratuitous)

    def unplug(self, vmid: int, index: int = 0) -> None:
        self.guests.unplug(vmid, index)

    def speak(self, vmid: int, index: int = 0, to: str | None = None) -> None:
        """Send one frame: a gratuitous ARP, or an ARP request for `to`."""
        self.guests.speak(vmid, index, to)

    def set_ageing(self, seconds: float) -> None:
        self.each(lambda node: node.bridges.set_ageing(seconds))

    # --- faults -------------------------------------------------------------------------------------------------

    def cut(self, node: str) -> None:
        """The node's packets vanish in the underlay; its link stays up. The machine still reaches its sshd."""
        for port, _ in self._ports[node]:
            run("ip", "-n", self._switch, "link", "set", "dev", port, "nomaster")

    def mend(self, node: str) -> None:
        for port, bridge in self._ports[node]:
            run("ip", "-n", self._switch, "link", "set", "dev", port, "master", bridge)

    def power_off(self, node: str) -> None:
        """The node is gone with everything on it, sshd too; its guests with it."""
        for nic in self.guests.nics(node):
            self.guests.unplug(nic.vmid, nic.index)
        self.sshd[node].stop()
        self.nodes[node].power_off()

    def power_on(self, node: str, running: RunningConfig | None = None) -> None:
        self.nodes[node].power_on(running or self.nodes[node].running)
        self.sshd[node].start()


def frr_version() -> str:
    """As in ``frr version`` of a configuration file."""
    match = re.search(r"version (\d[\w.]*)", run("/usr/lib/frr/zebra", "--version"))
    return match.group(1) if match else "8.4"


def _helpers() -> list[Path]:
    """The operator's helpers for nodes, where the operator is installed beside the lab."""
    spec = importlib.util.find_spec("pve_evpn")
    if spec is None or spec.origin is None:
        return []
    return [path for path in sorted((Path(spec.origin).parent / "node").iterdir()) if path.is_file()]
