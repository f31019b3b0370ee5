"""MACs that stay behind on FRR 10.3: seen by the operator's own reader, healed by its own helper. One real node.

Debian 12's FRR, which the other tests run on, does not forget ports; so this fetches nothing by itself and runs where
``python -m tests.frr.frr10`` was run once.
"""

from __future__ import annotations

import os
import subprocess
import time
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import pytest

from pve_evpn.domain.observation import NodeObservation
from pve_evpn.observe.frr import observation
from tests.frr import frr10
from tests.frr.world import VNI
from tests.waiting import await_

NODE = Path(__file__).parents[2] / "operator/pve_evpn/node"
VMIDS = range(110, 140)
CONFIG = """
router bgp 65001
 bgp router-id 10.0.0.1
 no bgp default ipv4-unicast
 neighbor 10.0.0.2 remote-as 65001
 address-family l2vpn evpn
  neighbor 10.0.0.2 activate
  advertise-all-vni
 exit-address-family
"""

pytestmark = [
    pytest.mark.frr_long,
    pytest.mark.skipif(bool(frr10.missing()), reason=f"LEFT OUT, zombies of FRR 10.3: {frr10.missing()}"),
]


def mac(vmid: int) -> str:
    return f"bc:24:11:00:00:{vmid - 100:02d}"


class OneNode:
    """A network namespace with the bridge of VNet EVPN1, and FRR 10 in it."""

    def __init__(self, folder: Path) -> None:
        self.netns = f"frr10-{os.getpid()}"
        self._run = frr10.ROOT / "run" / self.netns
        self._tools = folder / "bin"
        self._daemons: list[subprocess.Popen[bytes]] = []

    def sh(self, command: str, **environment: str) -> str:
        path = f"{self._tools}:{os.environ['PATH']}"
        done = subprocess.run(
            ["ip", "netns", "exec", self.netns, "sh", "-ec", command],
            capture_output=True, text=True, check=True, timeout=120, env={"PATH": path, **environment},
        )  # fmt: skip
        return done.stdout

    def start(self) -> None:
        subprocess.run(["ip", "netns", "add", self.netns], check=True)
        self.sh(
            "ip link set lo up; ip addr add 10.0.0.1/32 dev lo; ip link add EVPN1 type bridge;"
            "ip link add vxlan_EVPN1 type vxlan id 5001 dstport 4789 local 10.0.0.1 nolearning;"
            "ip link set vxlan_EVPN1 master EVPN1 up; bridge link set dev vxlan_EVPN1 learning off;"
            "ip link set EVPN1 up"
        )
        self._run.mkdir(parents=True)
        (self._run / "bgpd.conf").write_text(CONFIG)
        (self._run / "zebra.conf").touch()
        self._tools.mkdir()
        vtysh = self._tools / "vtysh"
        vtysh.write_text(f'#!/bin/sh\nexec chroot {frr10.ROOT} /usr/bin/vtysh "$@"\n')
        vtysh.chmod(0o755)
        self._daemon("zebra")
        await_("zebra listens", lambda: (self._run / "zserv").exists())
        self._daemon("bgpd", "-p", "0")
        await_("bgpd has the VNI", lambda: self.look().bgp_vnis)

    def _daemon(self, name: str, *more: str) -> None:
        inside = f"/run/{self.netns}"
        command = [
            "ip", "netns", "exec", self.netns, "chroot", str(frr10.ROOT), f"/usr/lib/frr/{name}", "-u", "root", "-g",
            "root", "-f", f"{inside}/{name}.conf", "-i", f"{inside}/{name}.pid", "-z", f"{inside}/zserv",
            "--vty_socket", inside, *more,
        ]  # fmt: skip
        self._daemons.append(subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL))

    def close(self) -> None:
        for daemon in reversed(self._daemons):
            daemon.terminate()
            daemon.wait(20)
        subprocess.run(["ip", "netns", "del", self.netns], check=True)
        subprocess.run(["rm", "-rf", str(self._run)], check=True)

    def look(self) -> NodeObservation:
        """What the operator would see."""
        folder = frr10.ROOT / "run" / self.netns
        link = Path("/run") / self.netns
        if not link.exists():
            link.symlink_to(folder)
        try:
            text = self.sh(f"{NODE}/pve-evpn-observe -d /run/{self.netns}", SSH_ORIGINAL_COMMAND="read")
        finally:
            link.unlink()
        return observation("pve1", datetime.now(UTC), text)

    def zombies(self) -> set[str]:
        return {row.mac for row in self.look().macs or () if row.zombie and row.vni == VNI}

    def ask(self, *requests: str) -> list[str]:
        lines = "\\n".join(requests)
        command = f"printf '{lines}\\n' | {NODE}/pve-evpn-pin -c /nowhere"
        return self.sh(command, SSH_ORIGINAL_COMMAND="pins").splitlines()[1:-1]

    def plug(self) -> None:
        for vmid in VMIDS:
            self.sh(
                f"ip link add tap{vmid}i0 type veth peer name g{vmid}; ip link set tap{vmid}i0 master EVPN1 up;"
                f"ip link set g{vmid} up"
            )

    def unplug(self) -> None:
        self.sh(";".join(f"ip link del tap{vmid}i0" for vmid in VMIDS))


@pytest.fixture(scope="module")
def node(tmp_path_factory: pytest.TempPathFactory) -> Iterator[OneNode]:
    made = OneNode(tmp_path_factory.mktemp("frr10"))
    try:
        made.start()
        assert (made.look().frr_version or "").startswith("10.")
        yield made
    finally:
        made.close()


def settled(node: OneNode) -> set[str]:
    """The zombies when nothing is under way any more: three looks say the same."""
    last: set[str] | None = None
    for _ in range(20):
        seen = [node.zombies()]
        for _ in range(2):
            time.sleep(1)
            seen.append(node.zombies())
        if seen[0] == seen[1] == seen[2]:
            return seen[0]
        last = seen[-1]
    raise AssertionError(f"the MACs do not come to rest: {last}")


def test_zombies_are_seen_and_healed(node: OneNode) -> None:
    """How many there are is FRR's luck: what matters is that none is left."""
    found: set[str] = set()
    for _ in range(5):
        node.plug()
        pinned = node.ask(*(f"pin EVPN1 {vmid} 0 {mac(vmid)}" for vmid in VMIDS))
        assert pinned == ["done"] * len(VMIDS)
        await_("all are local", lambda: {mac(vmid) for vmid in VMIDS} <= {row.mac for row in node.look().macs or ()})
        node.unplug()
        found = settled(node)
        if found:
            break
    assert found, "five times thirty ports were gone and FRR noticed them all: does it still have this fault?"
    assert node.ask(*(f"heal EVPN1 {each}" for each in sorted(found))) == ["done"] * len(found)
    await_("no zombie is left", lambda: not node.zombies())
    await_("nothing is announced any more", lambda: not [r for r in node.look().routes or () if r.route_type == 2])


def test_what_is_unpinned_first_stays_behind_as_nothing(node: OneNode) -> None:
    node.plug()
    node.ask(*(f"pin EVPN1 {vmid} 0 {mac(vmid)}" for vmid in VMIDS))
    ours = {mac(vmid) for vmid in VMIDS}
    await_("all are local", lambda: ours <= {row.mac for row in node.look().macs or ()})
    assert node.ask(*(f"unpin EVPN1 {vmid} 0 {mac(vmid)}" for vmid in VMIDS)) == ["done"] * len(VMIDS)
    node.unplug()
    assert not settled(node) & ours
    node.ask(*(f"heal EVPN1 {each}" for each in sorted(node.zombies())))
