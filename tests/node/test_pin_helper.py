"""The pin helper on a real kernel: what it does to a VNet's bridge, and all it refuses.

Needs root for a network namespace; FRR is not needed (what EVPN makes of pins is shown in tests/frr).
"""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest

from tests.node.namespace import HELPER, MAC, OTHER, Node

PIN, UNPIN, LOOK = (f"{verb} EVPN1 100 0 {MAC}" for verb in ("pin", "unpin", "look"))


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
    node.configure(101)
    assert node.ask(PIN) == ["no elsewhere"]
    node.configure(100, f"net0: virtio={MAC.upper()},bridge=EVPN1,firewall=1")
    assert node.ask(PIN) == ["done"]
    (node.cluster / "local" / "qemu-server" / "100.conf").unlink()
    assert node.ask(UNPIN) == ["done"], "un-pinning is allowed after the guest has left"


@pytest.mark.redteam
@pytest.mark.parametrize(
    "lines",
    [
        (f"net0: virtio={OTHER.upper()},bridge=EVPN1",),
        (f"net1: virtio={MAC.upper()},bridge=EVPN1",),
        (f"net0: virtio={OTHER},bridge=EVPN1", "[before]", f"net0: virtio={MAC},bridge=EVPN1"),
        (f"#net0: virtio={MAC},bridge=EVPN1", f"description: net0: virtio={MAC}"),
        (f"net0: virtio={MAC}:00,bridge=EVPN1",),
        (),
    ],
    ids=["another", "another NIC", "a snapshot", "words", "longer", "none"],
)
def test_only_the_mac_that_proxmox_gives_the_nic_is_pinned(node: Node, lines: tuple[str, ...]) -> None:
    node.configure(100, *lines)
    assert node.ask(PIN) == ["no other"]
    assert node.entries() == []


def test_the_mac_of_a_container_is_pinned(node: Node) -> None:
    node.configure(100, f"net0: name=eth0,bridge=EVPN1,hwaddr={MAC.upper()},type=veth", folder="lxc")
    assert node.ask(PIN) == ["done"]


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
