"""A network namespace with the bridges of a Proxmox node, for the helpers that run on nodes. Needs root."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

HELPER = Path(__file__).parents[2] / "operator/pve_evpn/node/pve-evpn-pin"
MAC, OTHER = "bc:24:11:00:00:01", "bc:24:11:00:00:02"


class Node:
    """A network namespace that looks like a Proxmox node: one VNet with VM 100, and VM 101 behind its firewall."""

    def __init__(self, name: str, folder: Path) -> None:
        self.name = name
        self.cluster = folder / "pve"

    def run(self, *command: str) -> str:
        done = subprocess.run(
            ["ip", "netns", "exec", self.name, *command], capture_output=True, text=True, timeout=30, check=True
        )
        return done.stdout

    def build(self) -> None:
        for line in (
            "link add EVPN1 type bridge",
            "link add vxlan_EVPN1 type vxlan id 5001 dstport 4789 local 10.0.0.1 nolearning",
            "link set vxlan_EVPN1 master EVPN1 up",
            "link set EVPN1 up",
            "link add vmbr0 type bridge",
            "link add fwbr101i0 type bridge",
            "link add tap100i0 type veth peer name guest100",
            "link set tap100i0 master EVPN1 up",
            "link set guest100 up",
            "link add tap101i0 type veth peer name guest101",
            "link set tap101i0 master fwbr101i0 up",
            "link add fwpr101p0 type veth peer name fwln101i0",
            "link set fwpr101p0 master EVPN1 up",
            "link add tap102i0 type veth peer name guest102",
            "link set tap102i0 master vmbr0 up",
        ):
            self.run("ip", *line.split())

    def configure(self, vmid: int, *lines: str, folder: str = "qemu-server") -> None:
        """Give a guest a configuration on this node, as Proxmox' cluster file system has it."""
        place = self.cluster / "nodes" / "pve1" / folder
        place.mkdir(parents=True, exist_ok=True)
        if not (self.cluster / "local").exists():
            (self.cluster / "local").symlink_to("nodes/pve1")
        (place / f"{vmid}.conf").write_text("".join(f"{line}\n" for line in lines))

    def ask(self, *lines: str, command: str = "pins", options: tuple[str, ...] = ()) -> list[str]:
        """The answers to some requests, without the first and the last line."""
        environment = {"PATH": os.environ["PATH"], "SSH_ORIGINAL_COMMAND": command}
        done = subprocess.run(
            ["ip", "netns", "exec", self.name, str(HELPER), "-c", str(self.cluster), *options],
            input="".join(f"{line}\n" for line in lines), capture_output=True, text=True, timeout=30, env=environment,
            check=True,
        )  # fmt: skip
        first, *answers, last = done.stdout.splitlines()
        assert (first, last) == ("pve-evpn-pin 1", "pve-evpn-pin end"), done.stdout
        return answers

    def start(self) -> subprocess.Popen[str]:
        """A helper that waits for requests."""
        environment = {"PATH": os.environ["PATH"], "SSH_ORIGINAL_COMMAND": "pins"}
        command = ["ip", "netns", "exec", self.name, str(HELPER), "-c", str(self.cluster)]
        return subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=environment)

    def entries(self, mac: str = MAC) -> list[str]:
        """The bridge's entries for a MAC, without the port's own."""
        lines = self.run("bridge", "fdb", "show", "br", "EVPN1").splitlines()
        return [line.removeprefix(mac).strip() for line in lines if line.startswith(mac)]

    def fdb(self, *words: str) -> None:
        self.run("bridge", "fdb", *words)
