"""NICs as their users see them: with kubectl, as a tenant with a role of its own, and by the examples."""

from __future__ import annotations

import json
from typing import Any

import pytest
import yaml

from pve_lab.guests import Guest
from tests.e2e.stack import ROOT, Stack
from tests.kube.controlplane.kubectl import KubectlError
from tests.waiting import await_

pytestmark = pytest.mark.kube
EXAMPLES = ROOT / "examples"


def example(name: str) -> list[dict[str, Any]]:
    return [document for document in yaml.safe_load_all((EXAMPLES / name).read_text()) if document]


def guest(stack: Stack, vmid: int, kind: str, name: str, config: dict[str, str], **more: Any) -> Guest:
    stack.lab.guests[vmid] = made = Guest(vmid, kind, "pve2", name, config, **more)
    return made


def row(stack: Stack, document: dict[str, Any]) -> dict[str, str]:
    """One object as `kubectl get nic` prints it."""
    namespace = document["metadata"]["namespace"]
    head, line = stack.plane.kubectl("get", "nic", "-n", namespace, document["metadata"]["name"]).splitlines()
    starts = [head.index(word) for word in head.split()]
    cells = [line[a:b].strip() for a, b in zip(starts, [*starts[1:], None], strict=True)]
    return dict(zip(head.split(), cells, strict=True))


def test_kubectl_answers_whether_it_is_connected_where_and_what_the_fabric_knows(stack: Stack) -> None:
    seed = stack.seed()
    nic = seed[-1]
    stack.apply(*seed)
    stack.await_ready(*seed)
    await_("EVPN has been looked at", lambda: row(stack, nic)["EVPN"] == "Advertised")
    shown = row(stack, nic)
    assert {key: shown[key] for key in ("GUEST", "NODE", "VNET", "MAC", "READY", "REASON")} == {
        "GUEST": "100",
        "NODE": "pve4",
        "VNET": "evpn1",
        "MAC": "bc:24:11:11:11:11",
        "READY": "True",
        "REASON": "Ready",
    }
    assert shown["SINCE"]
    stack.lab.move(stack.lab.guests[100], "pve2")
    await_("the move is shown", lambda: row(stack, nic)["NODE"] == "pve2")
    stack.lab.guests[100].config["lock"] = "backup"
    stack.apply({**nic, "spec": {**nic["spec"], "mtu": 1400}})
    assert "backup" in stack.await_condition(nic, "Ready", "GuestLocked")
    assert row(stack, nic)["REASON"] == "GuestLocked"
    del stack.lab.guests[100].config["lock"]
    stack.await_ready(nic)


class Tenant:
    """Somebody who may write VNets and NicAttachments in one namespace, and read nothing else."""

    def __init__(self, stack: Stack, namespace: str) -> None:
        self._stack = stack
        self.namespace = namespace
        rules = [{"apiGroups": ["pve-evpn.dev"], "resources": ["vnets", "nicattachments"], "verbs": ["*"]}]
        role = {"metadata": {"name": "networks", "namespace": namespace}}
        rbac = "rbac.authorization.k8s.io"
        subject = {"kind": "User", "name": "blue-team", "apiGroup": rbac}
        binding = {"roleRef": {"apiGroup": rbac, "kind": "Role", "name": "networks"}, "subjects": [subject]}
        stack.apply(
            {"apiVersion": f"{rbac}/v1", "kind": "Role", **role, "rules": rules},
            {"apiVersion": f"{rbac}/v1", "kind": "RoleBinding", **role, **binding},
        )

    def apply(self, *documents: dict[str, Any]) -> None:
        text = yaml.safe_dump_all(documents)
        self._stack.plane.kubectl("apply", "--as=blue-team", "-n", self.namespace, "-f", "-", stdin=text)

    def may_not(self, *words: str) -> bool:
        """Whether the API server forbids a command."""
        try:
            self._stack.plane.kubectl(*words, "--as=blue-team", "-n", self.namespace)
        except KubectlError as error:
            return "is forbidden" in str(error)
        return False


def test_a_tenant_wires_its_own_guests_and_learns_nothing_of_others(stack: Stack) -> None:
    cluster, controller, *_ = stack.seed()
    namespace, zone, vnet, nic = example("tenant-namespace.yaml")
    mine = guest(stack, 701, "qemu", "db1", {"net0": "virtio=BC:24:11:00:07:01,bridge=vmbr0"}, pool="blue")
    guest(stack, 702, "qemu", "secret", {"net0": "virtio=BC:24:11:00:07:02,bridge=vmbr0"}, pool="red")
    stack.apply(cluster, controller, namespace, zone)
    grant = {"namespaces": {"matchLabels": {"pve-evpn.dev/tenant": "blue"}}, "guests": {"pools": ["blue"]}}
    patch = [{"op": "add", "path": "/spec/guestAccess/-", "value": grant}]
    stack.plane.kubectl("patch", "pvec", "pve", "--type=json", "-p", json.dumps(patch))
    tenant = Tenant(stack, "blue")
    tenant.apply(vnet, nic)
    stack.await_ready(vnet, nic)
    bridge = stack.get(vnet)["status"]["id"]
    assert bridge in mine.config["net1"]
    assert mine.config["net0"] == "virtio=BC:24:11:00:07:01,bridge=vmbr0"
    assert (row(stack, nic)["GUEST"], row(stack, nic)["VNET"]) == ("701", vnet["metadata"]["name"])

    def asking_for(object_: str, **guest_: Any) -> dict[str, Any]:
        return {**nic, "metadata": {"name": object_, "namespace": "blue"}, "spec": {**nic["spec"], "guest": guest_}}

    others = asking_for("others", vmid=702), asking_for("nobody", vmid=799)
    named = asking_for("others-name", name="secret"), asking_for("nobody-name", name="nosuch")
    tenant.apply(*others, *named)
    for pair, (theirs, missing) in ((others, ("702", "799")), (named, ("secret", "nosuch"))):
        answers = [stack.await_condition(document, "Ready", "RefNotFound") for document in pair]
        assert answers[0].replace(theirs, "X") == answers[1].replace(missing, "X")
        statuses = [stack.get(document)["status"].keys() for document in pair]
        assert statuses[0] == statuses[1]
    assert stack.lab.guests[702].config == {"net0": "virtio=BC:24:11:00:07:02,bridge=vmbr0"}
    assert tenant.may_not("get", "pvec")
    assert tenant.may_not("patch", "pvec", "pve", "--type=merge", "-p", '{"metadata":{"labels":{"x":"y"}}}')

    stack.plane.kubectl("label", "namespace", "blue", "pve-evpn.dev/tenant-")
    stack.await_condition(nic, "Accepted", "RefNotPermitted")
    assert bridge in mine.config["net1"], "nothing is torn down"
    assert row(stack, nic)["NODE"] == ""
    stack.plane.kubectl("label", "namespace", "blue", "pve-evpn.dev/tenant=blue")
    stack.await_ready(vnet, nic)
    stack.plane.kubectl("delete", "namespace", "blue", "--timeout=50s")
    assert list(mine.config) == ["net0"]


def test_the_container_and_the_silent_appliance_of_the_examples(stack: Stack) -> None:
    seed = stack.seed()
    [container] = example("container.yaml")
    zone, meter = example("silent-appliance.yaml")
    ct = guest(stack, 110, "lxc", "ct110", {"net0": "name=eth0,bridge=vmbr0,hwaddr=BC:24:11:00:01:10,type=veth"})
    guest(stack, 120, "qemu", "meter", {"net0": "virtio=BC:24:11:00:01:20,bridge=vmbr0"})
    stack.apply(*seed, container, zone, meter)
    stack.await_ready(*seed, container, zone)
    live = ct.nics()["net0"]
    assert [live.get(field) for field in ("bridge", "ip", "gw", "name")] == [
        "EVPN1",
        "10.1.0.110/24",
        "10.1.0.1",
        "eth0",
    ]
    message = await_("the meter is connected", lambda: _programmed(stack, meter))
    assert stack.get(meter)["status"]["pinned"] is False
    assert "bridgeMacLearning: false" in message
    assert "observe.ssh.pinning" in message
    assert stack.lab.sdn.running["zones"][stack.get(zone)["status"]["id"]]["bridge-disable-mac-learning"] == 1
    stack.delete(container)
    assert ct.nics()["net0"].get("link_down") == "1", "its deletionPolicy"
    del stack.lab.guests[110]  # it is still on the VNet, which would hold back the VNet's deletion


def _programmed(stack: Stack, document: dict[str, Any]) -> str:
    condition = stack.condition(document, "Programmed")
    return str(condition["message"]) if condition.get("status") == "True" else ""
