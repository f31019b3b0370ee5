"""``make demo``: the seed topology, from kubectl apply to what EVPN says, on a real control plane and the lab.

It prints what a user would type and see. Everything it starts ends with it; with ``--keep`` it stays until Ctrl-C and
the two exports to use it are printed.
"""

from __future__ import annotations

import argparse
import contextlib
import signal
import sys
import tempfile
import time
from pathlib import Path

from pve_lab.cluster import Lab, seed
from tests.e2e.stack import KINDS, Stack, await_
from tests.kube.controlplane import ControlPlane, ensure

_BEGAN = time.monotonic()


def step(text: str) -> None:
    print(f"[{time.monotonic() - _BEGAN:5.1f} s] {text}", flush=True)


def shell(stack: Stack, *arguments: str) -> None:
    """Print a kubectl command and its answer."""
    print(f"\n$ kubectl {' '.join(arguments)}")
    print(stack.plane.kubectl(*arguments).rstrip(), flush=True)


def show(stack: Stack) -> None:
    for kind in KINDS:
        shell(stack, "get", kind, "-A")
    shell(stack, "get", "vnet", "evpn1", "-o", "jsonpath={range .status.nodes[*]}{.name}: {.state}{'\\n'}{end}")
    shell(stack, "get", "nic", "vm1-net0", "-o", "jsonpath={.status.evpn}")
    print()


def main() -> int:
    parser = argparse.ArgumentParser(prog="make demo")
    parser.add_argument("--keep", action="store_true", help="leave everything running")
    args = parser.parse_args()
    step("control plane programs (built once, then cached)")
    ensure()
    lab = Lab(["pve1", "pve2", "pve3", "pve4"], task_seconds=0.5)
    seed(lab)
    with tempfile.TemporaryDirectory(prefix="pve-evpn-demo-") as name, contextlib.ExitStack() as stop:
        folder = Path(name)
        plane = stop.enter_context(ControlPlane(folder / "kubernetes"))
        step(f"Kubernetes API server at {plane.url}")
        stack = Stack(plane, lab, folder)
        stop.callback(stack.close)
        stack.prepare()
        step(f"Proxmox VE lab at {stack.server.url}: pve1 to pve4, fabric Fabric1, VM 100 on pve4")
        stack.start_operator()
        step("operator running as its service account")
        documents = stack.seed()
        stack.apply(*documents)
        step("kubectl apply -f examples/seed/")
        for document in documents:
            stack.await_ready(document)
            step(f"Ready: {document['kind']} {document['metadata']['name']}")
        nic = documents[-1]
        await_("EVPN announces VM 100's NIC", lambda: stack.get(nic)["status"].get("evpn", {}).get("announcedBy"))
        show(stack)
        calls, writes = len(lab.journal), len(stack.writes())
        step(f"Proxmox was asked {calls} times, {writes} of them writes, with {lab.applies} apply")
        if args.keep:
            print(f"\nexport KUBECONFIG={plane.kubeconfig}\nexport PATH={plane.binaries['kubectl'].parent}:$PATH")
            print("Ctrl-C ends it.", flush=True)
            with contextlib.suppress(KeyboardInterrupt):
                signal.pause()
            return 0
        stack.delete(*documents)
        step("kubectl delete -f examples/seed/")
        left = {kind: list(objects) for kind, objects in lab.sdn.running.items() if objects}
        step(f"left in Proxmox: {left or 'nothing'}; VM 100 net0: {lab.guests[100].config['net0']}")
        return 1 if left or lab.applies != 2 else 0


if __name__ == "__main__":
    sys.exit(main())
