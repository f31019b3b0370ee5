"""Commands with rights in one namespace only: each works or says in one line which right is missing."""

from __future__ import annotations

import json
import signal
import subprocess
import tarfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from pve_evpn.api.kinds import ANNOTATION_PAUSED, GROUP
from tests.cli.running import Running
from tests.cli.test_orphan import command
from tests.e2e.stack import TOKEN, Stack
from tests.waiting import await_

pytestmark = pytest.mark.kube

TENANT = "default"
KINDS = ["vnets", "nicattachments"]


@pytest.fixture
def seeded(stack: Stack) -> Iterator[Stack]:
    seed = stack.seed()
    stack.apply(*seed)
    stack.await_ready(*seed)
    yield stack
    stack.plane.kubectl("delete", "role,rolebinding,serviceaccount", "-n", TENANT, "-l", "people=test")


def rights(stack: Stack, name: str, verbs: list[str]) -> dict[str, str]:
    """The environment of a user who may do this with VNets and NicAttachments of one namespace, and nothing else."""
    metadata = {"name": name, "namespace": TENANT, "labels": {"people": "test"}}
    rbac = "rbac.authorization.k8s.io"
    documents = [
        {"apiVersion": "v1", "kind": "ServiceAccount", "metadata": metadata},
        {
            "apiVersion": f"{rbac}/v1", "kind": "Role", "metadata": metadata,
            "rules": [{"apiGroups": [GROUP], "resources": KINDS, "verbs": verbs}],
        },
        {
            "apiVersion": f"{rbac}/v1", "kind": "RoleBinding", "metadata": metadata,
            "roleRef": {"apiGroup": rbac, "kind": "Role", "name": name},
            "subjects": [{"kind": "ServiceAccount", "name": name, "namespace": TENANT}],
        },
    ]  # fmt: skip
    stack.plane.kubectl("apply", "-f", "-", stdin=yaml.safe_dump_all(documents))
    return {"KUBECONFIG": str(stack.plane.kubeconfig_for(TENANT, name))}


def refused(done: subprocess.CompletedProcess[str]) -> str:
    """The one line on stderr of a command that could not be done."""
    assert (done.returncode, done.stdout) == (1, "")
    [line] = done.stderr.splitlines()
    return line


def test_a_viewer_of_one_namespace(seeded: Stack, tmp_path: Path) -> None:
    stack, viewer = seeded, rights(seeded, "viewer", ["get", "list", "watch"])

    def run(*line: str, **more: str) -> subprocess.CompletedProcess[str]:
        return command(stack, *line, **viewer, **more)

    def data(*line: str) -> dict[str, Any]:
        done = run(*line, "-n", TENANT, "-o", "json")
        assert done.returncode == 0, done.stdout + done.stderr
        return dict(json.loads(done.stdout))

    status = data("status")
    assert [row["ready"] for row in status["vnets"] + status["nics"]] == ["True", "True"]
    assert "EvpnZone: you may not list evpnzones: it takes a ClusterRole, the kind has no namespace" in status["unread"]
    assert "Event: you may not list events" not in " ".join(status["unread"]), "status reads none"
    assert data("why", "vnet/evpn1")
    assert data("trace", "bc:24:11:11:11:11")
    assert data("routes", "evpn1")["routes"]
    graph = run("graph", "-n", TENANT, "-o", "dot")
    assert (graph.returncode, "evpn1" in graph.stdout) == (0, True), graph.stderr

    everywhere = run("status", "-o", "json")
    assert everywhere.returncode == 0
    assert "VNet: you may not list vnets in all namespaces: name one with -n" in json.loads(everywhere.stdout)["unread"]
    assert "name one with -n" in refused(run("why", "vnet/evpn1"))
    assert "name one with -n" in refused(run("trace", "bc:24:11:11:11:11"))
    for name in ("peers", "vni"):
        assert "you may not list evpnnodes: it takes a ClusterRole" in refused(run(name))
    for line in (["approve", "pve"], ["lock", "pve"], ["export", "--cluster", "pve"], ["pause", "pvec/pve"]):
        error = refused(run(*line))
        assert "proxmoxclusters" in error
        assert "cannot get" in error or "may not list" in error

    doctor = run("doctor", "-o", "json")
    checks = {row["check"]: row for row in json.loads(doctor.stdout)["kubernetes"]}
    assert (checks["operator"]["grade"], "cannot list resource" in checks["operator"]["found"]) == ("unknown", True)

    archive = tmp_path / "report.tar.gz"
    bundle = run("bundle", "-f", str(archive))
    assert "not read: VNet: Kubernetes says 403" in bundle.stdout, bundle.stderr
    with tarfile.open(archive) as files:
        assert any(name.endswith("/README.txt") for name in files.getnames())

    manifests = tmp_path / "networks.yaml"
    manifests.write_text(yaml.safe_dump_all(stack.seed()))
    (tmp_path / "ca.pem").write_text(stack.server.ca_pem)
    where = ["--endpoint", stack.server.url, "--ca-file", str(tmp_path / "ca.pem")]
    plan = run("plan", "-f", str(manifests), *where, PVE_TOKEN_ID=TOKEN[0], PVE_TOKEN=TOKEN[1])
    assert "so these count as not there" in plan.stdout, plan.stderr
    assert "you may list NicAttachment, VNet in default only" in " ".join(plan.stdout.split())
    tenants = tmp_path / "tenants.yaml"
    tenants.write_text(yaml.safe_dump_all([d for d in stack.seed() if d["kind"] in ("VNet", "NicAttachment")]))
    own = ["plan", "-f", str(tenants), *where, "--cluster", "pve", "-o", "json"]
    plan = run(*own, PVE_TOKEN_ID=TOKEN[0], PVE_TOKEN=TOKEN[1])
    assert plan.returncode == 1, plan.stderr
    rows = {row["object"]: row["message"] for row in json.loads(plan.stdout)["refused"]}
    assert rows["VNet default/evpn1"].endswith("you may not list EvpnZone: it may be there")
    assert "you may not list" in refused(run(*own[:3], PVE_TOKEN_ID=TOKEN[0], PVE_TOKEN=TOKEN[1]))
    assert "in all namespaces" in refused(run(*own, "--prune", PVE_TOKEN_ID=TOKEN[0], PVE_TOKEN=TOKEN[1]))

    page = Running(stack, tmp_path, "ui", "-n", TENANT, "--no-browser", **viewer)
    page.await_words("The page is at http://127.0.0.1:")
    assert page.end(signal.SIGINT) == 0


def test_a_tenant_pauses_and_resumes_what_is_theirs(seeded: Stack) -> None:
    """Rights to get and patch are enough: the kind is never listed."""
    stack, viewer = seeded, rights(seeded, "reader", ["get"])
    tenant, vnet = rights(stack, "tenant", ["get", "patch"]), seeded.seed()[3]
    assert "Nothing was changed" in command(stack, "pause", "vnet/evpn1", "-n", TENANT, **viewer).stdout
    error = command(stack, "pause", "vnet/evpn1", "-n", TENANT, "--yes", **viewer)
    assert (error.returncode, 'cannot patch resource "vnets"' in error.stderr) == (1, True)
    assert len(error.stderr.splitlines()) == 1

    for name, paused in (("pause", True), ("resume", False), ("reconcile", False)):
        done = command(stack, name, "vnet/evpn1", "-n", TENANT, "--yes", **tenant)
        assert done.returncode == 0, done.stderr
        annotations = stack.get(vnet)["metadata"].get("annotations") or {}
        assert (ANNOTATION_PAUSED in annotations) is paused
    stack.await_condition(vnet, "Paused", "NotPaused")
    assert 'namespace "kube-system"' in command(stack, "pause", "vnet/evpn1", "-n", "kube-system", **tenant).stderr


def test_watching_and_following(seeded: Stack, tmp_path: Path) -> None:
    stack, vnet = seeded, seeded.seed()[3]
    watching = Running(stack, tmp_path, "status", "--watch", "--interval", "1")
    watching.await_words("objects are Ready")
    follower = {**vnet, "metadata": {"name": "follower", "namespace": TENANT}}
    follower["spec"] = {"zoneRef": {"name": "later"}, "vni": 4711, "id": "follow"}
    stack.apply(follower)
    watching.await_words("EvpnZone later does not exist")

    following = Running(stack, tmp_path, "why", "vnet/follower", "-n", TENANT, "--follow")
    following.await_words("EvpnZone later does not exist")
    late = command(stack, "why", "vnet/follower", "-n", TENANT, "--follow", "--timeout", "1")
    assert late.returncode == 3
    stack.apply({**follower, "spec": {**follower["spec"], "zoneRef": {"name": "ezone1"}}})
    assert await_("the follower ends", following.ended) == (0,), following.text
    watching.await_words("objects are Ready", after="EvpnZone later does not exist")
    assert watching.end(signal.SIGINT) == 130
