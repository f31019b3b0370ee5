"""``make demo``: a topology of ``examples/``, from kubectl apply to what EVPN says, on a real control plane and a lab.

It prints what a user would type and see. Everything it starts ends with it; with ``--keep`` it stays until Ctrl-C and
prints how to use kubectl, the operator's log and metrics, and the lab's API. With ``--cluster current`` the objects go
into the user's own cluster, and the demo removes everything it put there.
"""

from __future__ import annotations

import argparse
import contextlib
import random
import shlex
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

from pve_lab.client_examples import node_access
from pve_lab.dataplane.create import NAMES, create
from pve_lab.dataplane.frr import FrrDataplane
from pve_lab.frr.topology import Topology, Unavailable
from pve_lab.lab import Lab, seed
from pve_lab.lab import bare as bare_lab
from tests import from_bare_nodes
from tests.e2e.stack import KINDS, TOKEN, Stack
from tests.frr import tables
from tests.frr.by_ssh import await_agreement, observe_by_ssh
from tests.kube.controlplane import ControlPlane, CurrentCluster, KubectlError, ensure
from tests.waiting import await_

_BEGAN = time.monotonic()


def step(text: str) -> None:
    print(f"[{time.monotonic() - _BEGAN:5.1f} s] {text}", flush=True)


def shell(stack: Stack, *arguments: str) -> None:
    """Print a kubectl command, as a shell takes it, and its answer; nothing where there are no such objects."""
    if answer := stack.plane.kubectl(*arguments).rstrip():
        print(f"\n$ kubectl {shlex.join(arguments)}\n{answer.expandtabs(16)}", flush=True)


def show(stack: Stack) -> None:
    for kind in KINDS:
        shell(stack, "get", kind, "-A")
    shell(stack, "get", "vnet", "evpn1", "-o", 'jsonpath={range .status.nodes[*]}{.name}: {.state}{"\\n"}{end}')
    shell(stack, "get", "nic", "vm1-net0", "-o", "jsonpath={.status.evpn}")
    print()


def cluster_of(name: str, folder: Path) -> Callable[[], ControlPlane | CurrentCluster]:
    """``embedded``: a control plane of our own, built first if it has to be. ``current``: the user's."""
    if name == "current":
        return lambda: CurrentCluster(folder)
    step("control plane programs (built once, then cached)")
    ensure()
    return lambda: ControlPlane(folder)


def agreement(stack: Stack, frr: Topology) -> None:
    """The operator's tables beside FRR's own; then VM 100 migrates and a bgpd dies, and they still agree."""
    _, controller, _, vnet, nic = stack.seed()
    tables.show(stack, frr, shell)
    step("the operator's statuses and FRR's vtysh agree, on all four nodes")
    stack.lab.move(stack.lab.guests[100], "pve3")
    step("VM 100 migrates from pve4 to pve3")
    await_("the NIC's status follows", lambda: stack.get(nic)["status"].get("evpn", {}).get("announcedBy") == "pve3")
    await_agreement(stack, frr, nic, vnet)
    shell(stack, "get", "nic", "-A")
    step("pve3 advertises VM 100, with one move counted; the statuses and vtysh agree")
    frr.nodes["pve2"].kill_daemon("bgpd")
    step("bgpd of pve2 is killed")

    def named() -> bool:
        return "not running on pve2" in stack.condition(controller, "Operational").get("message", "")

    await_("pve2 is named", named)
    shell(stack, "get", "evpnc,evpnn")
    frr.nodes["pve2"].start_daemon("bgpd")
    await_("all sessions are back", lambda: stack.get(controller)["status"].get("sessionsSummary") == "12/12")
    await_agreement(stack, frr, nic, vnet)
    step("bgpd of pve2 runs again: 12 of 12 sessions, and the statuses and vtysh agree")


def tour(stack: Stack, frr: Topology | None = None) -> int:
    """Apply the seed, show it, and say what it cost; the number of applies."""
    documents = stack.seed()
    stack.apply(*documents)
    step("kubectl apply -f examples/seed/")
    for document in documents:
        stack.await_ready(document)
        step(f"Ready: {document['kind']} {document['metadata']['name']}")
    step(f"until all were Ready, {asked(stack)}")
    nic = documents[-1]
    await_("EVPN advertises VM 100's NIC", lambda: stack.get(nic)["status"].get("evpn", {}).get("announcedBy"))
    if frr:
        await_("all sessions are up", lambda: stack.get(documents[1])["status"].get("sessionsSummary") == "12/12")
        await_agreement(stack, frr, nic, documents[3])
    show(stack)
    if frr:
        agreement(stack, frr)
    step(f"with the syncs and polls since, {asked(stack)}")
    return stack.lab.applies


def asked(stack: Stack) -> str:
    """How much Proxmox was asked so far, in words."""
    calls, writes = len(stack.lab.journal), len(stack.writes())
    return f"Proxmox was asked {calls} times, {writes} of them writes, with {stack.lab.applies} apply"


def sdn_left(lab: Lab) -> dict[str, list[str]]:
    return {kind: list(objects) for kind, objects in lab.sdn.running.items() if objects}


def leave(stack: Stack, topology: str) -> bool:
    """Delete the objects, and what the user may have added; whether Proxmox is as it was before."""
    if stack.operator.ended is not None:
        step(f"the operator has ended with {stack.operator.ended} by itself, so the objects are not deleted in Proxmox")
        return False
    try:
        documents = stack.example(from_bare_nodes.FOLDER if topology == "bare" else "seed")
        random.shuffle(documents)
        stack.delete(*documents, wait=False)
        stack.delete_all()
    except (KubectlError, subprocess.TimeoutExpired) as error:
        step(f"the objects could not be deleted: {str(error).splitlines()[0]}")
        return False
    step(f"kubectl delete: {len(documents)} objects in a random order")
    left = from_bare_nodes.left(stack.lab) if topology == "bare" else sdn_left(stack.lab)
    step(f"left in Proxmox: {left or 'nothing'}; VM 100 net0: {stack.lab.guests[100].config['net0']}")
    return not left


def wait_for_user(stack: Stack) -> None:
    """Print how to reach each part, and wait for Ctrl-C."""
    cluster, (token, secret) = stack.plane, TOKEN
    print(f"\nexport KUBECONFIG={cluster.kubeconfig}\nexport PATH={cluster.program.parent}:$PATH")
    print(f"tail -f {stack.log}")
    print(f"curl http://127.0.0.1:{stack.operator.http}/metrics")
    print(f"curl -k -H 'Authorization: PVEAPIToken={token}={secret}' {stack.server.url}/api2/json/cluster/sdn/vnets")
    print("Ctrl-C ends it.", flush=True)
    with contextlib.suppress(KeyboardInterrupt):
        while True:  # signal.pause() would miss one that came just before it, or that another thread took
            time.sleep(0.2)


def main() -> int:
    parser = argparse.ArgumentParser(prog="make demo")
    parser.add_argument("--keep", action="store_true", help="leave everything running until Ctrl-C")
    parser.add_argument("--cluster", choices=["embedded", "current"], default="embedded", help="whose Kubernetes")
    parser.add_argument("--dataplane", choices=NAMES, default="model", help="frr: real FRR on the nodes, needs root")
    parser.add_argument("--topology", choices=["seed", "bare"], default="seed", help="bare: examples/from-bare-nodes")
    args = parser.parse_args()
    bare = args.topology == "bare"
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # both ways of ending it leave nothing behind
    lab = Lab(["pve1", "pve2", "pve3", "pve4"], task_seconds=0.5)
    (bare_lab if bare else seed)(lab)
    with tempfile.TemporaryDirectory(prefix="pve-evpn-demo-") as name, contextlib.ExitStack() as stop:
        folder = Path(name)
        try:
            nodes = create(lab, args.dataplane, uplinks=from_bare_nodes.UPLINKS if bare else {})
        except Unavailable as error:
            print(f"no real FRR here: {error}", file=sys.stderr)
            return 1
        stop.callback(nodes.close)
        print(node_access(nodes), flush=True)
        try:
            plane = stop.enter_context(cluster_of(args.cluster, folder / "kubernetes")())
        except RuntimeError as error:
            print(f"the demo cannot run: {error}", file=sys.stderr)
            return 1
        step(f"Kubernetes API server at {plane.url}")
        stack = Stack(plane, lab, folder)
        if args.cluster == "current":
            stop.callback(stack.remove)
        stop.callback(stack.close)
        stack.prepare()
        step(
            f"Proxmox VE lab at {stack.server.url}: pve1 to pve4, {'no' if bare else 'an OSPF'} fabric, VM 100 on pve4"
        )
        stack.start_operator()
        step("operator running as its service account")
        frr = nodes.frr if isinstance(nodes, FrrDataplane) else None
        if frr:
            observe_by_ssh(stack, frr)
        applies = from_bare_nodes.tour(stack, frr, step, shell) if bare else tour(stack, frr)
        if args.keep:
            wait_for_user(stack)
        clean = leave(stack, args.topology)
        return 0 if clean and applies == 1 else 1


if __name__ == "__main__":
    sys.exit(main())
