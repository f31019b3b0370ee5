"""One lab node: FRR's daemons, what a reload does to them and to the bridges, and faults on demand."""

from __future__ import annotations

import json
import signal
import threading
import time
from collections.abc import Iterable
from pathlib import Path

from pve_lab.frr import fabrics
from pve_lab.frr.bridges import Bridges
from pve_lab.frr.config import frr_conf, isis_controllers
from pve_lab.frr.facts import NodeFacts, Tuning
from pve_lab.frr.namespaces import CommandFailed, NodeSpace, inside, run
from pve_lab.running_config import RunningConfig, networks

DAEMONS = ("zebra", "bgpd", "ospfd", "bfdd", "staticd")
#: These run only where the configuration needs them. Proxmox starts fabricd,
#: and with it all others again; isisd an administrator starts.
ON_DEMAND = ("fabricd", "isisd")
_OPTIONS = {"zebra": ("-s", "90000000")}
_BIN = Path("/usr/lib/frr")


class FrrNode:
    """A node that runs, and can be made to fail."""

    def __init__(self, space: NodeSpace, facts: NodeFacts, version: str, tuning: Tuning, ageing_seconds: float) -> None:
        self.space = space
        self.facts = facts
        self.bridges = Bridges(space, ageing_seconds, vrf=facts.vrf)
        self.running = RunningConfig()
        self.fail_reload = ""
        self._version = version
        self._tuning = tuning
        self._reloading = threading.Lock()
        self._on_demand: set[str] = set()
        self._addresses: set[tuple[str, str]] = set()
        for part in ("run", "etc", "log"):
            run("chown", "-R", "frr:frr", str(space.folder / part))
        self._write_conf(self.running)
        (space.folder / "etc" / "vtysh.conf").touch()

    # --- daemons ------------------------------------------------------------------------------------------------

    def _restart(self) -> None:
        self.stop()
        self.start((*DAEMONS, *sorted(self._on_demand)))

    def start(self, daemons: Iterable[str] = DAEMONS) -> None:
        """Start daemons and give them the node's frr.conf, as the service does when the node boots."""
        for daemon in daemons:
            self.start_daemon(daemon, configure=False)
        # A daemon that has just started may refuse a line, as fabricd does now and then with its interfaces.
        deadline = time.monotonic() + 5
        while True:
            try:
                self.space.run("vtysh", "-b")
                return
            except CommandFailed:
                if time.monotonic() > deadline:
                    raise
            time.sleep(0.1)

    def start_daemon(self, daemon: str, *, configure: bool = True) -> None:
        options = _OPTIONS.get(daemon, ())
        self.space.run(str(_BIN / daemon), "-d", "-A", "127.0.0.1", *options)
        if configure:
            self.space.run("vtysh", "-b", "-d", daemon)

    def kill_daemon(self, daemon: str, number: int = signal.SIGKILL) -> None:
        """End a daemon as if it had crashed; nothing starts it again by itself. Returns when it is gone."""
        pid = (self.space.folder / "run" / f"{daemon}.pid").read_text().strip()
        self.space.run("sh", "-c", f"kill -{int(number)} {pid}", check=False)
        deadline = time.monotonic() + 10
        while self.space.run("sh", "-c", f"kill -0 {pid} 2>/dev/null && echo runs", check=False):
            if time.monotonic() > deadline:
                raise CommandFailed(f"{daemon} on {self.facts.name} does not end")
            time.sleep(0.02)

    def stop(self) -> None:
        """End all daemons, dead ones too: what they leave behind goes."""
        for daemon in (*DAEMONS, *ON_DEMAND):
            if (self.space.folder / "run" / f"{daemon}.pid").exists():
                self._end(daemon)

    def _end(self, daemon: str) -> None:
        self.kill_daemon(daemon)
        (self.space.folder / "run" / f"{daemon}.pid").unlink()
        (self.space.folder / "run" / f"{daemon}.vty").unlink(missing_ok=True)

    def vtysh(self, *commands: str) -> str:
        """What FRR prints; empty where the daemon does not run."""
        arguments = [argument for command in commands for argument in ("-c", command)]
        return run("vtysh", "--vty_socket", str(self.space.folder / "run"), *arguments, check=False)

    # --- reload -------------------------------------------------------------------------------------------------

    def reload(self, running: RunningConfig, mtu: int | None = None) -> list[str]:
        """What ``srvreload`` does on a node: interfaces first, then FRR. Raises `CommandFailed`; the log otherwise.

        ``mtu``: that of the underlay's interface; None leaves it as it is.
        """
        with self._reloading:
            if self.fail_reload:
                raise CommandFailed(self.fail_reload)
            if mtu is not None:
                self.space.ip("link", "set", "dev", self.facts.underlay, "mtu", str(mtu))
            self._fabric_addresses(running)
            log = self.bridges.reload(networks(running, self.facts.name, self.facts.address))
            self._write_conf(running)
            self.running = running
            before, self._on_demand = self._on_demand, self._needed(running)
            if "fabricd" in before ^ self._on_demand:
                self._restart()  # as Proxmox does where the file of daemons changes
                return log
            for daemon in self._on_demand - before:
                self.start_daemon(daemon)
            log += self._reload_frr()
            for daemon in before - self._on_demand:
                self._end(daemon)
            return log

    def _reload_frr(self) -> list[str]:
        """As Proxmox does it: where the script fails, FRR is restarted, and the task has a warning."""
        script = _BIN / "frr-reload.py"
        try:
            if script.exists():
                self.space.run(str(script), "--reload", "--stdout", "--log-level", "error", "/etc/frr/frr.conf")
            else:
                self.space.run("vtysh", "-b")
        except CommandFailed:
            self._restart()
            return ["WARNING: frr reload command fail. Restarting frr."]
        return []

    def _write_conf(self, running: RunningConfig) -> None:
        text = frr_conf(running, self.facts, self._version, self._tuning)
        (self.space.folder / "etc" / "frr.conf").write_text(text)

    def _needed(self, running: RunningConfig) -> set[str]:
        """Those of `ON_DEMAND` that are to run on this node."""
        found = {"fabricd"} if any(row.get("protocol") == "openfabric" for row in running.fabrics.values()) else set()
        return found | {"isisd"} if isis_controllers(running, self.facts.name) else found

    def _fabric_addresses(self, running: RunningConfig) -> None:
        """The fabrics' addresses on the node's interfaces; those of fabrics that are gone go with them."""
        there = {row["ifname"] for row in json.loads(self.space.ip("-j", "link", "show"))}
        wanted = {(device, cidr) for device, cidr in fabrics.addresses(running, self.facts) if device in there}
        for device in fabrics.link_local(running, self.facts) & there:
            self.space.sysctl(**{f"ipv6__conf__{device}__disable_ipv6": 0})
        if fabrics.forwards_ipv6(running, self.facts):
            self.space.sysctl(ipv6__conf__all__forwarding=1)
        for device, cidr in self._addresses - wanted:
            self.space.ip("addr", "del", cidr, "dev", device)
        for device, cidr in wanted:
            self.space.ip("addr", "replace", cidr, "dev", device)
        self._addresses = wanted

    # --- power --------------------------------------------------------------------------------------------------

    def power_off(self) -> None:
        """All daemons gone, no interface left but the NIC, which is down."""
        self.space.ip("link", "set", "dev", self.facts.underlay, "down")
        self.stop()
        self.bridges.remove_all()

    def power_on(self, running: RunningConfig) -> None:
        """Boot with the configuration of `running`: what was staged for this node goes live with it."""
        self.space.ip("link", "set", "dev", self.facts.underlay, "up")
        self.running = running
        self._write_conf(running)
        self._fabric_addresses(running)
        self.bridges.reload(networks(running, self.facts.name, self.facts.address))
        self._on_demand = self._needed(running)
        self._restart()


def has_vrf(space: NodeSpace) -> bool:
    """Whether this kernel has VRF devices; found by creating one, which is the only sure way."""
    return _can_add(space, "vrf", "table", "999")


def has_dummy(space: NodeSpace) -> bool:
    return _can_add(space, "dummy")


def _can_add(space: NodeSpace, *kind: str) -> bool:
    try:
        space.ip("link", "add", "name", "probe0", "type", *kind)
    except CommandFailed:
        return False
    space.ip("link", "del", "dev", "probe0")
    return True


def forward_packets(space: NodeSpace) -> None:
    """What Proxmox sets on a node with EVPN, and silence of the node's own interfaces on IPv6."""

    def write() -> None:
        values = {
            "ipv4/ip_forward": "1",
            "ipv4/conf/all/rp_filter": "0",
            "ipv4/conf/default/rp_filter": "0",
            "ipv6/conf/all/disable_ipv6": "1",
            "ipv6/conf/default/disable_ipv6": "1",
        }
        for name, value in values.items():
            path = Path("/proc/sys/net", name)
            if path.exists():
                path.write_text(value)

    inside(space.netns, write)
