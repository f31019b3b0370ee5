"""The new user's way on a real API server: install, Ready, networks, upgrade, uninstall, and what stays."""

from __future__ import annotations

import json
import runpy
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import yaml

from charts import generate
from tests.e2e.credentials import credentials_secret
from tests.e2e.process import ROOT
from tests.e2e.stack import NAMESPACE
from tests.engine.routing import bgp, fabric, isis, matching, prefix_list, route_map
from tests.engine.world import document as manifest
from tests.helm.conftest import CHART, Helm
from tests.helm.tools import ensure
from tests.helm.user import EXAMPLE, IMAGE, RELEASE, User, ready
from tests.kube.controlplane import ControlPlane
from tests.waiting import await_

pytestmark = [pytest.mark.kube, pytest.mark.timeout(420)]

release = runpy.run_path(str(ROOT / ".github/release.py"))


def test_from_a_values_file_to_a_network_and_with_exactly_the_rights_that_takes(user: User) -> None:
    assert len(EXAMPLE.splitlines()) == 9
    assert EXAMPLE in (ROOT / "docs/install.md").read_text()
    notes = user.install()
    assert "kubectl get pvec" in notes
    images = user.plane.kubectl("get", "deployment", "-n", NAMESPACE, "-o", "jsonpath={..image}")
    assert images.startswith("registry.example.com/pve-evpn-operator:")
    assert "ProxmoxCluster pve: applied" in user.kubelet.job_output
    rights = user.plane.kubectl("get", "clusterrole,clusterrolebinding,serviceaccount", "-n", NAMESPACE, "-o", "name")
    assert f"serviceaccount/{RELEASE}\n" in rights
    assert f"{RELEASE}-clusters" not in rights, "the Job's rights end with it"
    await_("the cluster is Ready", lambda: ready(user, "pvec", "pve"))
    assert len(user.kubelet.pods) == 2
    networks = user.networks()
    assert "kubectl rollout status deployment/pve-evpn-operator -n pve-evpn-system" in notes
    assert "/seed.yaml\n  kubectl apply -f seed.yaml" in notes
    user.plane.kubectl("apply", "-f", "-", stdin=release["seed"]())
    user.stack.await_ready(*networks[:3])
    user.stack.apply(*networks)
    user.stack.await_ready(*networks)
    assert user.lab.sdn.running["vnets"]["EVPN1"]["tag"] == 5001
    assert user.lab.applies == 1
    user.lab.sdn.services["dns"]["ns1"] = {"type": "powerdns", "url": "http://192.0.2.53", "key": "k"}
    routing = [{**each, "apiVersion": networks[0]["apiVersion"]} for each in _one_of_each_routing_kind()]
    user.stack.apply(*routing)
    for each in routing:
        user.stack.await_condition(each, "Programmed", "Programmed", 60)
    vnet = networks[2]
    for alias in ("a", "b", "a", "b"):  # the same Event again is counted in the one that is there: a patch
        user.stack.apply({**vnet, "spec": {**vnet["spec"], "alias": alias}})
        running = partial(lambda text: user.lab.sdn.running["vnets"]["EVPN1"].get("alias") == text, alias)
        await_(f"the alias is {alias}", running)
        user.stack.await_ready(vnet)
    user.stack.delete(*routing)
    user.stack.delete(*networks)
    user.plane.kubectl("delete", "pvec", "pve", "--timeout=50s")
    user.kubelet.stop()
    assert [used for used in user.kubelet.memory if used.peak > used.limit / 2] == [], "too near to being killed"
    assert len(user.kubelet.memory) == 3
    assert (_granted(user) - _used(user.plane), _used(user.plane) - _granted(user)) == (set(), set())


def _one_of_each_routing_kind() -> list[dict[str, Any]]:
    interfaces = {"allNodes": {"interfaces": [{"name": "vmbr0"}]}}
    own: dict[str, Any] = {"clusterRef": {"name": "pve"}}
    return [
        manifest("Ipam", "own", {**own, "type": "pve"}),
        manifest("DnsServer", "ns1", {**own, "url": "http://192.0.2.53"}),
        prefix_list(),
        route_map("rm1", matching(10, "pl1")),
        fabric(**interfaces),
        bgp(),
        isis(interfaces=["vmbr0"]),
    ]


def test_the_same_without_helm(user: User, tmp_path: Path) -> None:
    """`kubectl apply -f install.yaml`, a Secret and a ProxmoxCluster."""
    file = tmp_path / "install.yaml"
    file.write_text(generate.install(str(ensure()["helm"]), "registry.example.com/pve-evpn-operator:1.2.3"))
    assert "helm" not in file.read_text().partition("\n---\n")[2]
    (cluster,) = yaml.safe_load(user.values.read_text())["clusters"]
    documents = [
        credentials_secret("pve", "pve-credentials", cluster["credentials"], *cluster["spec"]["endpoints"]),
        {
            "apiVersion": "pve-evpn.dev/v1alpha1",
            "kind": "ProxmoxCluster",
            "metadata": {"name": "pve"},
            "spec": {**cluster["spec"], "credentialsSecretRef": {"name": "pve-credentials"}},
        },
    ]
    try:
        user.plane.kubectl("apply", "--server-side", "-f", str(file))
        user.plane.kubectl("wait", "--for=condition=Established", "crd", "--all", "--timeout=30s")
        user.plane.kubectl("apply", "-f", "-", stdin=yaml.safe_dump_all(documents))
        pods = user.kubelet.start_replicas(RELEASE)
        assert len(pods) == 2
        await_("the cluster is Ready", lambda: ready(user, "pvec", "pve"))
        assert (_used(user.plane) - _granted(user)) == set()
        said = user.plane.kubectl("apply", "--server-side", "-f", str(file), "-o", "name")  # an upgrade
        assert "deployment.apps/pve-evpn-operator" in said
        user.plane.kubectl("delete", "pvec", "pve", "--timeout=50s")
    finally:
        user.kubelet.stop()
        user.plane.kubectl("delete", "-f", str(file), "--ignore-not-found", "--timeout=50s", check=False)


def test_a_wrong_cluster_in_the_values_is_named_and_stops_nothing(user: User) -> None:
    """What only the API server can judge: a rule of the kind."""
    values = yaml.safe_load(user.values.read_text())
    wrong = {"name": "wrong", "spec": {**values["clusters"][0]["spec"], "credentialsSecretRef": {"name": "x"}}}
    wrong["spec"]["tls"] = {"fingerprint": wrong["spec"]["tls"]["fingerprint"], "insecureSkipVerify": True}
    values["clusters"].insert(0, wrong)
    user.values.write_text(yaml.safe_dump(values))
    done = user.helm("install", RELEASE, str(CHART), "--create-namespace", "-f", str(user.values), *IMAGE, check=False)
    assert done.returncode != 0
    assert "post-install" in done.stderr
    said = done.stdout + done.stderr  # Helm prints the Job's log
    assert "ProxmoxCluster wrong: " in said
    assert "spec.tls" in said
    user.kubelet.start_replicas(RELEASE)
    await_("the other cluster is Ready", lambda: ready(user, "pvec", "pve"))


def test_helm_3_and_a_job_that_says_which_right_it_lacks(user: User, helm3: Helm) -> None:
    user.run_helm = helm3
    install = ("install", RELEASE, str(CHART), "--create-namespace", "-f", str(user.values), *IMAGE)
    done = user.helm(*install, "--set", "rbac.create=false", check=False)
    assert done.returncode != 0
    said = done.stdout + done.stderr
    assert 'ProxmoxCluster pve: proxmoxclusters.pve-evpn.dev "pve" is forbidden' in said
    assert "(rbac.create=true grants it)" in said
    user.helm("upgrade", RELEASE, str(CHART), "-f", str(user.values), *IMAGE)
    user.kubelet.start_replicas(RELEASE)
    await_("the cluster is Ready", lambda: ready(user, "pvec", "pve"))
    user.helm("uninstall", RELEASE)
    assert user.plane.kubectl("get", "deploy", "-n", NAMESPACE, "-o", "name") == ""


def test_upgrade_brings_the_kinds_up_to_date_and_touches_no_network(user: User, older_chart: Path) -> None:
    user.install(older_chart)
    networks = user.networks()
    user.stack.apply(*networks)
    user.stack.await_ready(*networks)
    assert outdated_kinds(user), "the older kinds are not older"
    writes = user.stack.writes()
    leader = next(pod for pod in user.kubelet.pods if pod.leads)
    user.helm("upgrade", RELEASE, str(CHART), "-f", str(user.values), *IMAGE, "--set", "logLevel=DEBUG")
    user.kubelet.stop()  # a rolling update, in short
    user.kubelet.start_replicas(RELEASE)
    await_("a new replica leads", lambda: any(pod.leads for pod in user.kubelet.pods))
    assert leader.ended == 0
    assert outdated_kinds(user) == []
    user.stack.await_ready(*networks)
    assert user.stack.writes() == writes
    assert "DEBUG" in user.kubelet.pods[0].log.read_text() + user.kubelet.pods[1].log.read_text()


def test_uninstall_leaves_objects_and_networks_and_installing_again_finds_them(user: User) -> None:
    user.install()
    networks = user.networks()
    user.stack.apply(*networks)
    user.stack.await_ready(*networks)
    running, writes = json.dumps(user.lab.sdn.running, sort_keys=True), user.stack.writes()
    user.helm("upgrade", RELEASE, str(CHART), "-f", str(user.values), *IMAGE, "--set-json", "clusters=[]")
    assert user.plane.kubectl("get", "secret", "pve-credentials", "-n", NAMESPACE, "-o", "name")
    user.helm("uninstall", RELEASE)
    user.kubelet.stop()
    label = f"app.kubernetes.io/instance={RELEASE}"
    assert user.plane.kubectl("get", "deploy,clusterrole", "-n", NAMESPACE, "-l", label, "-o", "name") == ""
    for document in networks:
        assert user.stack.get(document)["metadata"].get("deletionTimestamp") is None
    assert json.dumps(user.lab.sdn.running, sort_keys=True) == running
    user.install()
    await_("it leads again", lambda: any(pod.leads for pod in user.kubelet.pods))
    user.stack.await_ready(*networks)
    assert user.stack.writes() == writes


def test_kinds_that_go_with_the_release_tear_nothing_down_and_the_way_out_is_there(user: User) -> None:
    """The worst uninstall: crds.keep=false, so every object is deleted while nobody is left to care for it."""
    user.install(CHART, "--set", "crds.keep=false")
    networks = user.networks()
    user.stack.apply(*networks)
    user.stack.await_ready(*networks)
    running, writes = json.dumps(user.lab.sdn.running, sort_keys=True), user.stack.writes()
    refused = user.command("release-finalizers", "--all", "--yes")
    assert refused.returncode == 1
    assert "the operator is running" in refused.stderr
    user.kubelet.stop()
    user.helm("uninstall", RELEASE)
    # The API server deletes the objects of a kind that goes, in its own time.
    await_("every object is being deleted", lambda: all("deletionTimestamp" in meta(user, d) for d in networks))
    assert all(meta(user, document)["finalizers"] for document in networks)

    told = user.command("release-finalizers", "--deleting")
    assert told.returncode == 0, told.stderr
    assert "VNet default/evpn1 (being deleted): EVPN1 stays in Proxmox" in told.stdout
    assert "NicAttachment default/vm1-net0 (being deleted): net0 of guest 100 stays on EVPN1" in told.stdout
    assert "Nothing was changed" in told.stdout
    assert user.stack.get(networks[2])["metadata"]["finalizers"]

    done = user.command("release-finalizers", "--deleting", "--yes")
    assert done.returncode == 0, done.stderr
    user.plane.kubectl("wait", "--for=delete", "crd/vnets.pve-evpn.dev", "--timeout=50s")
    assert json.dumps(user.lab.sdn.running, sort_keys=True) == running
    assert user.stack.writes() == writes


def meta(user: User, document: dict[str, Any]) -> dict[str, Any]:
    return dict(user.stack.get(document)["metadata"])


def outdated_kinds(user: User) -> list[str]:
    """Kinds whose schema in the API server is not the committed one."""
    found = []
    for path in sorted((ROOT / "crds").glob("*.yaml")):
        committed = yaml.safe_load(path.read_text())
        there = json.loads(user.plane.kubectl("get", "crd", committed["metadata"]["name"], "-o", "json"))
        if _properties(there) != _properties(committed):
            found.append(committed["spec"]["names"]["kind"])
    return found


def _properties(crd: dict[str, Any]) -> Any:
    return crd["spec"]["versions"][0]["schema"]["openAPIV3Schema"]["properties"]


# --- rights -------------------------------------------------------------------------------------------------------

Right = tuple[str, str, str]  # group, resource (with subresource), verb


def _used(plane: ControlPlane) -> set[Right]:
    """What the operator's ServiceAccount asked the API server for, whether it was let or not."""
    assert plane.audit_log is not None
    found = set()
    for line in plane.audit_log.read_text().splitlines():
        event = json.loads(line)
        if event["user"]["username"] == f"system:serviceaccount:{NAMESPACE}:{RELEASE}" and "objectRef" in event:
            what = event["objectRef"]
            resource = "/".join(filter(None, (what["resource"], what.get("subresource"))))
            found.add((what.get("apiGroup", ""), resource, event["verb"]))
    return found


def _granted(user: User) -> set[Right]:
    roles = [
        json.loads(user.plane.kubectl("get", kind, RELEASE, "-n", NAMESPACE, "-o", "json"))
        for kind in ("clusterrole", "role")
    ]
    return {
        (group, resource, verb)
        for role in roles
        for rule in role["rules"]
        for group in rule["apiGroups"]
        for resource in rule["resources"]
        for verb in rule["verbs"]
    }
