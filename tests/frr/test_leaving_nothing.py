"""A lab takes away what it made, however it ends."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

from pve_lab.frr.namespaces import STATE
from pve_lab.frr.topology import Topology
from tests.waiting import await_

ROOT = Path(__file__).parents[2]
_KILLED = """
import os, sys
from pve_lab.frr.topology import Topology
lab = Topology({"pve1": "192.168.16.1"})
print(lab.prefix, lab.nodes["pve1"].space.pid, flush=True)
sys.stdin.read()
"""


def namespaces() -> str:
    return subprocess.run(["ip", "netns", "list"], capture_output=True, text=True, check=True).stdout


def one_node() -> Topology:
    return Topology({"pve1": "192.168.16.1"})


def test_of_a_lab_that_ended_there_is_nothing() -> None:
    with one_node() as lab:
        prefix, folder, pid = lab.prefix, lab.folder.path, lab.nodes["pve1"].space.pid
    assert prefix not in namespaces()
    assert not folder.exists()
    assert not Path(f"/proc/{pid}").exists()


def test_of_a_killed_lab_nothing_runs_and_the_next_one_takes_the_rest_away() -> None:
    environment = {**os.environ, "PYTHONPATH": str(ROOT / "operator")}
    lab = subprocess.Popen(
        [sys.executable, "-c", _KILLED], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=environment
    )
    assert lab.stdout is not None
    prefix, pid = lab.stdout.readline().split()
    assert prefix in namespaces()
    lab.send_signal(signal.SIGKILL)
    lab.communicate()
    await_("the node's processes end", lambda: not Path(f"/proc/{pid}").exists())
    with one_node():
        assert prefix not in namespaces()
        assert not (STATE / prefix).exists()


def test_labs_side_by_side_do_not_meet() -> None:
    with one_node() as one, one_node() as other:
        assert one.ssh.addresses["pve1"] != other.ssh.addresses["pve1"]
        one.nodes["pve1"].kill_daemon("bgpd")
        assert other.tables("pve1").json("show evpn") == {}
        assert "bgpd" in other.vtysh("pve1", "show daemons")
        assert "bgpd" not in one.vtysh("pve1", "show daemons")
    assert one.prefix not in namespaces()
    assert other.prefix not in namespaces()


def test_the_lab_as_a_process_says_what_it_is_and_ends_tidily() -> None:
    command = [sys.executable, "-m", "pve_lab", "--dataplane", "frr", "--nodes", "pve1", "--port", "0"]
    environment = {**os.environ, "PYTHONPATH": str(ROOT / "operator")}
    lab = subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=environment)
    assert lab.stdout is not None
    said = "".join(
        iter(lambda: lab.stdout.readline(), "Read the nodes' FRR, with vtysh as root or as the operator does by ssh:\n")
    )
    assert "The data plane is real FRR" in said
    assert ("no VRF devices" in said) is (not _kernel_has_vrf())
    vtysh = lab.stdout.readline().split("#")[0].split()
    prefix = Path(vtysh[2]).parts[-3]
    assert subprocess.run([*vtysh, "-c", "show version"], capture_output=True, check=True).stdout.startswith(
        b"FRRouting"
    )
    lab.send_signal(signal.SIGTERM)
    lab.communicate(timeout=30)
    assert lab.returncode == 0
    assert prefix not in namespaces()
    assert not (STATE / prefix).exists()


def _kernel_has_vrf() -> bool:
    with one_node() as lab:
        return lab.vrf
