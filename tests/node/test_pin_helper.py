"""The pin helper on a real kernel: what it does to a VNet's bridge, and all it refuses.

Needs root for a network namespace; FRR is not needed (what EVPN makes of pins is shown in tests/frr).
"""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

HELPER = Path(__file__).parents[2] / "operator/pve_evpn/node/pve-evpn-pin"
MAC, OTHER = "bc:24:11:00:00:01", "bc:24:11:00:00:02"
PIN, UNPIN, LOOK = (f"{verb} EVPN1 100 0 {MAC}" for verb in ("pin", "unpin", "look"))

pytestmark = pytest.mark.skipif(
    os.geteuid() != 0, reason="the pin helper's tests make a network namespace: run as root"
)


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


@pytest.fixture
def node(tmp_path: Path) -> Iterator[Node]:
    made = Node(f"pin{os.getpid()}", tmp_path)
    subprocess.run(["ip", "netns", "add", made.name], check=True)
    try:
        made.build()
        yield made
    finally:
        subprocess.run(["ip", "netns", "del", made.name], check=True)


def test_pinning_makes_one_plain_static_entry_and_is_idempotent(node: Node) -> None:
    assert node.ask(LOOK, PIN, PIN, LOOK) == ["gone", "done", "there", "there"]
    assert node.entries() == ["dev tap100i0 master EVPN1 static"]


def test_a_learned_mac_is_pinned_too(node: Node) -> None:
    node.fdb("replace", MAC, "dev", "tap100i0", "master", "dynamic")
    assert node.ask(PIN) == ["done"]
    assert node.entries() == ["dev tap100i0 master EVPN1 static"]


def test_unpinning_takes_away_what_was_pinned_and_nothing_else(node: Node) -> None:
    node.ask(PIN)
    assert node.ask(UNPIN, UNPIN) == ["done", "gone"]
    assert node.entries() == []
    node.fdb("replace", MAC, "dev", "tap100i0", "master", "dynamic")
    assert node.ask(UNPIN) == ["gone"]
    assert node.entries() == ["dev tap100i0 master EVPN1"]


def test_behind_the_firewall_the_port_of_the_vnet_is_pinned(node: Node) -> None:
    assert node.ask(f"pin EVPN1 101 0 {OTHER}") == ["done"]
    assert node.entries(OTHER) == ["dev fwpr101p0 master EVPN1 static"]


def test_a_mac_that_evpn_has_elsewhere_is_left_there(node: Node) -> None:
    node.fdb("replace", MAC, "dev", "vxlan_EVPN1", "master", "extern_learn", "dynamic")
    assert node.ask(PIN, UNPIN) == ["no remote", "gone"]
    assert node.entries() == ["dev vxlan_EVPN1 extern_learn master EVPN1"]


def test_a_static_entry_that_frr_moved_to_the_overlay_is_not_ours_any_more(node: Node) -> None:
    node.fdb("replace", MAC, "dev", "vxlan_EVPN1", "master", "extern_learn", "static")
    assert node.ask(PIN, UNPIN) == ["no remote", "gone"]


@pytest.mark.parametrize("state", [("static", "sticky"), ("permanent",)], ids=" ".join)
def test_entries_of_others_are_left_alone(node: Node, state: tuple[str, ...]) -> None:
    node.fdb("replace", MAC, "dev", "tap100i0", "master", *state)
    before = node.entries()
    assert node.ask(PIN, UNPIN) == ["no taken", "gone"]
    assert node.entries() == before


@pytest.mark.parametrize("line", [f"pin EVPN1 102 0 {MAC}", f"pin EVPN1 100 1 {MAC}", f"pin vmbr0 102 0 {MAC}"])
def test_only_a_port_of_a_vnet_is_ever_pinned(node: Node, line: str) -> None:
    assert node.ask(line) == ["no absent"]
    assert MAC not in node.run("bridge", "fdb", "show")


def test_a_guest_whose_configuration_is_elsewhere_does_not_run_here(node: Node) -> None:
    (node.cluster / "nodes" / "pve1" / "qemu-server").mkdir(parents=True)
    (node.cluster / "local").symlink_to("nodes/pve1")
    assert node.ask(PIN) == ["no elsewhere"]
    (node.cluster / "nodes" / "pve1" / "qemu-server" / "100.conf").touch()
    assert node.ask(PIN) == ["done"]
    (node.cluster / "nodes" / "pve1" / "qemu-server" / "100.conf").unlink()
    assert node.ask(UNPIN) == ["done"], "un-pinning is allowed after the guest has left"


def test_healing_lets_an_entry_come_and_go_and_leaves_no_trace(node: Node) -> None:
    before = node.run("bridge", "fdb", "show"), node.run("ip", "-br", "link")
    assert node.ask(f"heal EVPN1 {OTHER}") == ["done"]
    assert (node.run("bridge", "fdb", "show"), node.run("ip", "-br", "link")) == before
    for port in ("tap100i0", "fwpr101p0"):
        node.run("ip", "link", "del", port)
    before = node.run("bridge", "fdb", "show"), node.run("ip", "-br", "link")
    assert node.ask(f"heal EVPN1 {OTHER}") == ["done"]
    assert (node.run("bridge", "fdb", "show"), node.run("ip", "-br", "link")) == before


def test_healing_leaves_no_trace_either_when_nobody_waits_for_the_answer(node: Node) -> None:
    for port in ("tap100i0", "fwpr101p0"):
        node.run("ip", "link", "del", port)
    before = node.run("bridge", "fdb", "show"), node.run("ip", "-br", "link")
    with node.start() as helper:
        assert helper.stdout is not None
        assert helper.stdout.readline() == "pve-evpn-pin 1\n"
        helper.stdout.close()
        helper.communicate(f"heal EVPN1 {OTHER}\n", timeout=30)
    assert (node.run("bridge", "fdb", "show"), node.run("ip", "-br", "link")) == before


def test_a_mac_that_some_port_has_is_not_healed(node: Node) -> None:
    node.ask(PIN)
    node.fdb("replace", OTHER, "dev", "vxlan_EVPN1", "master", "extern_learn", "dynamic")
    assert node.ask(f"heal EVPN1 {MAC}", f"heal EVPN1 {OTHER}") == ["no local", "no remote"]
    assert node.entries() == ["dev tap100i0 master EVPN1 static"]


def test_what_is_no_request_is_refused(node: Node) -> None:
    lines = [
        "",
        "pin",
        f"pin EVPN1 100 0 {MAC} extra",
        f"pin EVPN1 100 32 {MAC}",
        f"pin EVPN1 100 -1 {MAC}",
        f"pin EVPN1 1 0 {MAC}",
        f"pin EVPN1 010 0 {MAC}",
        f"pin EVPN1;id 100 0 {MAC}",
        f"pin ../EVPN1 100 0 {MAC}",
        f"pin TOOLONGNAME 100 0 {MAC}",
        f"pin EVPN1 100 0 {MAC.upper()}",
        "pin EVPN1 100 0 01:00:5e:00:00:01",
        "pin EVPN1 100 0 00:00:00:00:00:00",
        "pin EVPN1 100 0 bc:24:11:00:00",
        "pin EVPN1 100 0 $(id)",
        "heal EVPN1",
        f"heal EVPN1 {MAC} x",
        f"add EVPN1 100 0 {MAC}",
        "* * * * *",
        f"look EVPN1 100 0 {MAC}\\",
    ]
    assert dict(zip(lines, node.ask(*lines), strict=True)) == dict.fromkeys(lines, "no syntax")
    assert MAC not in node.run("bridge", "fdb", "show")


def test_everything_else_is_the_observers_business(node: Node, tmp_path: Path) -> None:
    observe = tmp_path / "observe"
    observe.write_text('#!/bin/sh\necho "observe $* [$SSH_ORIGINAL_COMMAND]"\n')
    observe.chmod(0o755)
    for command in ("read", "show evpn json", "pins; id", "pins extra", ""):
        done = subprocess.run(
            [str(HELPER), "-o", str(observe), "-d", "/run/frr"],
            env={"PATH": os.environ["PATH"], "SSH_ORIGINAL_COMMAND": command},
            capture_output=True, text=True, check=True, timeout=30,
        )  # fmt: skip
        assert done.stdout == f"observe -d /run/frr [{command}]\n"
