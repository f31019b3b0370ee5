"""Every command of README, docs/, examples/ and the chart works as it is printed; tests/documented has the shell.

A page that installs, takes over or removes something is a story of its own and is run in its order; the commands of all
other pages are run on the seed. ``tests/unit/test_documented_lines.py`` holds that none is left out without a reason.
"""

from __future__ import annotations

import re
import runpy
import shutil
from collections.abc import Iterable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import yaml

from charts import generate
from pve_lab.admin import AdminServer
from tests.brownfield import brownfield
from tests.documented.lines import READING, ROOT, Line, chapter, notes
from tests.documented.shell import Shell
from tests.e2e.process import NAMESPACE
from tests.e2e.stack import TOKEN
from tests.helm.tools import CHART, ensure
from tests.helm.user import IMAGE, RELEASE, User, ready
from tests.waiting import await_

pytestmark = [pytest.mark.kube, pytest.mark.timeout(420)]

release = runpy.run_path(str(ROOT / ".github/release.py"))
VERSION = release["versions"]()["pyproject.toml"]
PROXMOX = "https://pve1.example.com:8006"
TENANT: dict[str, Any] = {"name": "blue", "namespace": "team-a"}
NAMESPACES = ("team-a", "networks", "argocd")


class Reader:
    """A person at a terminal who types what a page prints."""

    def __init__(self, user: User, folder: Path) -> None:
        self.user = user
        server = user.stack.server
        self.fingerprint = yaml.safe_load(user.values.read_text())["clusters"][0]["spec"]["tls"]["fingerprint"]
        published = folder / "published"
        here = folder / "here"
        environment = {
            **user.plane.environment,
            **dict.fromkeys(("HELM_CACHE_HOME", "HELM_CONFIG_HOME", "HELM_DATA_HOME"), str(folder / "helm-home")),
            "PVESH_URL": server.url,
            "PVESH_TOKEN": "=".join(TOKEN),
            "PVESH_CA": str(here / "pve-root-ca.pem"),
        }
        self.shell = Shell(here, environment, user.lab.access)
        self.shell.program("helm", f'exec {ensure()["helm"]} "$@"')
        self.shell.replaced = {
            re.escape(f"https://github.com/pve-evpn/pve-evpn-operator/releases/download/v{VERSION}"): str(published),
            r"oci://ghcr.io/pve-evpn/charts/pve-evpn-operator( --version \S+)?": " ".join([str(CHART), *IMAGE]),
            r"(?<= )charts/pve-evpn-operator(?= )": str(CHART),
            re.escape(PROXMOX): server.url,
            re.escape(PROXMOX.partition("//")[2]): server.url.partition("//")[2],
            "https://pve1:8006": server.url,
            "AB:CD:...": self.fingerprint,
            "HASH": "0123456789abcdef",
            "COMMAND": "status",
            "USER@REALM": "pve-evpn@pve",
        }
        (here / "pve-root-ca.pem").write_text(server.ca_pem or "")
        for name in ("token", "operator-token"):
            (here / name).write_text(TOKEN[1])
        shutil.copy(user.values, here / "my-values.yaml")
        published.mkdir()
        (published / "seed.yaml").write_text(release["seed"]())
        (published / "install.yaml").write_text(generate.install(str(ensure()["helm"]), IMAGE[1].partition("=")[2]))
        self.play(chapter("access"))
        for name in ("plan", "export"):  # as the one of that page, under other names
            user.lab.tokens[f"pve-evpn@pve!{name}"] = TOKEN[1]
        for name in NAMESPACES:
            user.plane.kubectl("create", "namespace", name)

    @property
    def here(self) -> Path:
        """Where the commands are typed."""
        return self.shell.folder

    def play(self, lines: Iterable[Line]) -> str:
        """Type them one after the other; what they printed."""
        said = ""
        for line in lines:
            self.shell.turn_to(line.page)
            self._before(line.text)
            if line.text.startswith("helm "):
                with self.user.kubelet.running_jobs():
                    said += self.shell.run(line)
            else:
                said += self.shell.run(line)
            self._after(line.text)
        return said

    def _before(self, text: str) -> None:
        kubectl = self.user.plane.kubectl
        if made := re.search(r"create secret generic (\S+)", text):
            kubectl("delete", "secret", made[1], "-n", NAMESPACE, "--ignore-not-found")
        if "annotate secret pve-credentials" in text:
            kubectl("annotate", "secret", "pve-credentials", "-n", NAMESPACE, "pve-evpn.dev/endpoints-")
        if text.startswith("helm uninstall"):
            self.user.kubelet.withdraw()

    def _after(self, text: str) -> None:
        if text.startswith(("helm install", "helm upgrade")) or "install.yaml" in text:
            self.user.kubelet.withdraw()
            self.user.kubelet.start_replicas(RELEASE)
            self.user.kubelet.publish(RELEASE)
            pods = self.user.kubelet.pods
            await_("a replica serves", lambda: any(pod.readiness.startswith("200") for pod in pods))

    def seed(self) -> list[dict[str, Any]]:
        """The seed topology and one VNet more; returns when they are Ready."""
        networks = self.user.networks()
        tenant = {**networks[2], "metadata": TENANT, "spec": {**networks[2]["spec"], "id": "blue", "vni": 5002}}
        tenant["spec"].pop("subnets", None)
        self.user.stack.apply(*networks, tenant)
        self.user.stack.await_ready(*networks, tenant)
        return [*networks, tenant]


@pytest.fixture
def reader(user: User, tmp_path: Path) -> Iterator[Reader]:
    made = Reader(user, tmp_path)
    yield made
    user.kubelet.withdraw()
    user.plane.kubectl("delete", "-f", str(tmp_path / "published/install.yaml"), "--ignore-not-found", "--wait=false")
    user.command("release-finalizers", "--all", "--yes", "--even-if-running")
    user.plane.kubectl("delete", "namespace", *NAMESPACES, "--ignore-not-found", "--timeout=50s")
    assert user.stack.undeclared == []


def test_the_first_path_every_page_an_upgrade_and_the_end(reader: Reader, user: User) -> None:
    for line in chapter("other charts"):
        reader.shell.run(replace(line, text=f"{line.text} --dry-run=server"))
    said = reader.play(chapter("first path"))
    await_("the cluster is Ready", lambda: ready(user, "pvec", "pve"))
    typed = notes(said)
    assert len(typed) > 5
    reader.play(typed)
    networks = reader.seed()
    reader.play(chapter("upgrade"))

    for name, text in _files(reader).items():
        (reader.here / name).write_text(text)
    (reader.here / "next-step").chmod(0o755)
    user.plane.kubectl("create", "configmap", "argocd-cm", "-n", "argocd")
    problems: list[str] = []
    with AdminServer(user.lab) as admin:
        reader.shell.replaced["127.0.0.1:8007"] = admin.url
        for line in chapter(READING):
            reader.shell.turn_to(line.page)
            if line.text.startswith("pve-evpn plan"):
                _lay_out(reader, networks)
            if line.text.startswith("pve-evpn export") and line.page == "README.md":
                reader.shell.export("PVE_TOKEN_ID", "pve-evpn@pve!export")
                reader.shell.export("PVE_TOKEN_FILE", "token")
            try:
                reader.play([line])
            except AssertionError as problem:
                problems.append(str(problem))
    assert problems == [], "\n".join(problems)

    reader.play(chapter("remove everything"))
    assert not any(user.lab.sdn.running[kind] for kind in ("vnets", "zones", "controllers", "subnets"))
    assert user.plane.kubectl("get", "crd", "-o", "name").count("pve-evpn.dev") == 0


def test_the_page_on_installing_and_an_end_that_leaves_networks(reader: Reader, user: User) -> None:
    reader.play(chapter("install"))
    reader.seed()
    reader.play(chapter("leave networks"))
    assert {"EVPN1", "blue"} <= user.lab.sdn.running["vnets"].keys()
    assert user.plane.kubectl("get", "crd", "-o", "name").count("pve-evpn.dev") == 0


def test_taking_over_without_helm_and_ways_out_of_a_stuck_deletion(reader: Reader, user: User) -> None:
    brownfield(user.lab)
    writes = user.stack.writes()
    reader.play(chapter("without Helm"))
    for line in chapter("import"):
        if line.text.startswith("git diff"):
            assert "managementPolicy" in reader.shell.run(replace(line, text="git diff networks"))
        reader.play([line])
        if "--observe-only" in line.text:
            reader.shell.run(replace(line, text="git init -q && git add networks"))
        if line.text.startswith("kubectl apply -k"):
            folder = (reader.here / "networks").glob("*.yaml")
            made = [each for path in folder for each in yaml.safe_load_all(path.read_text()) if each]
            made = [each for each in made if each.get("apiVersion", "").startswith("pve-evpn.dev")]
            assert len(made) > 40
            user.stack.await_ready(*made, seconds=120)
    assert user.stack.writes() == writes
    origins = user.plane.kubectl("get", "vnet", "-A", "-o", "jsonpath={.items[*].status.origin}").split()
    assert set(origins) == {"Adopted"}

    zone = next(each["spec"]["zoneRef"] for each in made if each["kind"] == "VNet")
    everybody = '{"spec": {"allowedNamespaces": {"from": "All", "selector": null}}}'
    user.plane.kubectl("patch", "evpnz", zone["name"], "--type=merge", "-p", everybody)
    tenant = {"apiVersion": made[0]["apiVersion"], "kind": "VNet", "metadata": TENANT}
    tenant["spec"] = {"zoneRef": zone, "id": "blue", "vni": 7777}
    user.stack.apply(tenant)
    user.stack.await_ready(tenant)
    for line in chapter("stuck deletion"):
        if line.text.endswith("--deleting"):
            user.kubelet.withdraw()
            user.plane.kubectl("delete", "vnet", "-n", "networks", "--all", "--wait=false")
        reader.play([line])
    assert user.plane.kubectl("get", "vnet", "-A", "-o", "name") == ""
    assert len(user.lab.sdn.running["vnets"]) >= 40


def _files(reader: Reader) -> dict[str, str]:
    """What a reader of these pages has made by himself."""
    (reader.here / "examples").mkdir()
    for path in (ROOT / "examples").rglob("*"):
        if path.is_file():
            copy = reader.here / path.relative_to(ROOT)
            copy.parent.mkdir(parents=True, exist_ok=True)
            copy.write_text(path.read_text())
    server = reader.user.stack.server
    cluster = reader.user.stack.seed()[0]
    cluster["spec"]["tls"] = {"fingerprint": reader.fingerprint}  # as the values have it, which made it
    (secret,) = yaml.safe_load_all((ROOT / "examples/secret.example.yaml").read_text())
    secret["metadata"]["annotations"]["pve-evpn.dev/endpoints"] = server.url
    secret["stringData"] = {"tokenId": TOKEN[0], "token": TOKEN[1], "ca.crt": server.ca_pem}
    nothing = {
        "apiVersion": cluster["apiVersion"],
        "kind": "EvpnController",
        "metadata": {"name": "evpn1"},
        "spec": {"clusterRef": {"name": "pve"}, "asn": 65001, "underlay": {}},
    }
    return {
        "controller.yaml": yaml.safe_dump(nothing),
        "next-step": "#!/bin/sh\n",
        "examples/secret.example.yaml": yaml.safe_dump(secret),
        "examples/seed/00-cluster.yaml": yaml.safe_dump(cluster),
    }


def _lay_out(reader: Reader, networks: list[dict[str, Any]]) -> None:
    """A folder of manifests with one change."""
    shutil.rmtree(reader.here / "networks", ignore_errors=True)
    (reader.here / "networks").mkdir()
    changed = [
        {**each, "spec": {**each["spec"], "mtu": 1400}} if each["kind"] == "EvpnZone" else each for each in networks
    ]
    (reader.here / "networks/all.yaml").write_text(yaml.safe_dump_all(changed))
