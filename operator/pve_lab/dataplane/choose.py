"""The data plane somebody asks for by name, and what to tell them about it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pve_lab.dataplane import Dataplane
from pve_lab.dataplane.frr import install
from pve_lab.dataplane.frr.lab import Unavailable
from pve_lab.dataplane.frr.plane import FrrPlane
from pve_lab.dataplane.model import Model

if TYPE_CHECKING:
    from pve_lab.cluster import Lab

NAMES = ("model", "frr")


def choose(lab: Lab, name: str, *, ageing_seconds: float = 300) -> Dataplane:
    """Give the lab a data plane; for ``frr``, install it first where that can be done. Raises `Unavailable`."""
    if name == "frr":
        if why := install.ensure():
            raise Unavailable(why)
        lab.dataplane = FrrPlane(lab, ageing_seconds=ageing_seconds)
    else:
        lab.dataplane = Model(lab)
    return lab.dataplane


def introduction(plane: Dataplane) -> str:
    """What it is, what it leaves out, and how to look into it."""
    lines = list(plane.notes)
    if isinstance(plane, FrrPlane):
        frr = plane.frr
        hosts = frr.folder.path / "known_hosts"
        hosts.write_text(frr.ssh.known_hosts)
        lines.append("Look into the nodes, with vtysh as root or as the operator does by ssh:")
        for name, node in frr.nodes.items():
            lines.append(f"  vtysh --vty_socket {node.space.folder / 'run'}   # {name}")
        key = f"ssh -i {frr.ssh.key.path} -o UserKnownHostsFile={hosts} -p {frr.ssh.port}"
        lines += [f"  {key} {frr.ssh.user}@{address} read   # {name}" for name, address in frr.ssh.addresses.items()]
    return "\n".join(lines)
