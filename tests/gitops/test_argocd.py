"""Networks kept by the real Argo CD: git commits in, Proxmox out, and what a person sees on the way.

The Application comes from the ApplicationSet of the examples, with their project and their health checks. Each test
begins and ends with the seed topology at rest; only the last one takes everything away.
"""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from typing import Any

import pytest

from pve_evpn.api.kinds import KINDS as OUR_KINDS
from pve_lab.faults import foreign_edit, foreign_request
from pve_lab.lab import Lab, seed
from tests.e2e.stack import KINDS, Stack
from tests.gitops.argo import NAMESPACE, USERS_OWN, ArgoCD, Repository
from tests.kube.controlplane import ControlPlane
from tests.waiting import await_

pytestmark = [pytest.mark.kube, pytest.mark.argocd, pytest.mark.timeout(600)]

APP = "networks-pve"
REST_SECONDS = 60.0


class World:
    """Operator, lab, Argo CD and the repository it follows."""

    def __init__(self, stack: Stack, argo: ArgoCD, repository: Repository) -> None:
        self.stack = stack
        self.lab = stack.lab
        self.argo = argo
        self.repository = repository
        self.seed = stack.seed()
        self.head = ""

    def commit(self, message: str, **changes: dict[str, Any] | None) -> None:
        """Changes by file name without its ending; None removes the file."""
        files = {f"clusters/pve/{name}.yaml": document for name, document in changes.items()}
        self.head = self.repository.commit(message, files)

    def revert(self) -> None:
        self.head = self.repository.revert()

    def await_health(self, health: str, sync: str = "Synced") -> None:
        self.argo.await_state(APP, self.head, sync, health)

    def vnet(self, name: str, **spec: Any) -> dict[str, Any]:
        return {
            **self.seed[3],
            "metadata": {"name": name, "namespace": "default"},
            "spec": {**self.seed[3]["spec"], **spec},
        }

    def running(self, kind: str) -> dict[str, Any]:
        return dict(self.lab.sdn.running[kind])


@pytest.fixture(scope="module")
def world(cluster: ControlPlane, tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    folder = tmp_path_factory.mktemp("argocd")
    lab = Lab(["pve1", "pve2", "pve3", "pve4"], task_seconds=0.2)
    seed(lab)
    stack = Stack(cluster, lab, folder)
    stack.prepare()
    try:
        stack.start_operator()
        repository = Repository(folder / "networks")
        with ArgoCD(cluster, folder / "argocd") as argo:
            made = World(stack, argo, repository)
            made.commit("The seed topology", **{f"{n}-{d['kind'].lower()}": d for n, d in enumerate(made.seed)})
            argo.create("project.yaml", repository)
            argo.create("applicationset.yaml", repository, allowEmpty=True)
            yield made
            # pytest shows this for a failed test only
            print(cluster.kubectl("get", ",".join(KINDS), "-A", "-o", "wide", check=False))
            print(argo.logs())
    finally:
        print("\n".join(stack.log.read_text().splitlines()[-40:]))
        stack.close()


def test_first_sync(world: World) -> None:
    world.await_health("Healthy")
    assert world.lab.applies == 1
    assert world.running("vnets")["EVPN1"]["tag"] == 5001
    assert {status for status, _ in world.argo.health_of(APP).values()} == {"Healthy"}
    assert len(world.argo.health_of(APP)) == len(world.seed)


def test_the_settings_that_were_there_stay(world: World) -> None:
    text = world.stack.plane.kubectl("get", "configmap", "argocd-cm", "-n", NAMESPACE, "-o", "json")
    settings = json.loads(text)["data"]
    assert {key: settings[key] for key in USERS_OWN} == USERS_OWN
    assert len(settings) == len(USERS_OWN) + len(OUR_KINDS)


def test_a_commit_adds_a_vnet_and_its_revert_removes_it(world: World) -> None:
    world.await_health("Healthy")
    world.commit("A second network", more=world.vnet("more", id="more", vni=5002))
    world.await_health("Healthy")
    assert world.running("vnets")["more"]["tag"] == 5002
    world.revert()
    world.await_health("Healthy")
    await_("the VNet is gone from Proxmox", lambda: set(world.running("vnets")) == {"EVPN1"})


def test_a_conflicting_vni_is_degraded_with_our_words_and_a_revert_heals_it(world: World) -> None:
    world.await_health("Healthy")
    world.commit("A network with a VNI that is taken", taken=world.vnet("taken", id="taken"))
    world.await_health("Degraded")
    health = world.argo.health_of(APP)
    status, message = health.pop("VNet/taken")
    assert status == "Degraded"
    assert "5001" in message
    assert message == world.stack.condition(world.vnet("taken"), "Ready")["message"]
    assert {status for status, _ in health.values()} == {"Healthy"}  # nothing else suffers
    assert set(world.running("vnets")) == {"EVPN1"}
    world.revert()
    world.await_health("Healthy")


def test_a_manual_change_in_proxmox_is_corrected(world: World) -> None:
    world.await_health("Healthy")
    syncs = world.argo.syncs(APP)
    foreign_edit(world.lab, "vnets/EVPN1", {"tag": "5999"})
    foreign_request(world.lab, "PUT", "/cluster/sdn")
    await_("the VNI is back", lambda: str(world.running("vnets")["EVPN1"]["tag"]) == "5001")
    world.await_health("Healthy")
    assert world.argo.syncs(APP) == syncs  # the operator's work: for Argo CD nothing differed


def test_a_manual_change_in_proxmox_is_shown_where_it_may_not_be_corrected(world: World) -> None:
    world.await_health("Healthy")
    cluster = world.seed[0]
    report = {**cluster, "spec": {**cluster["spec"], "drift": "Report"}}
    world.commit("Drift is reported only", **{"0-proxmoxcluster": report})
    world.await_health("Healthy")
    foreign_edit(world.lab, "vnets/EVPN1", {"tag": "5999"})
    foreign_request(world.lab, "PUT", "/cluster/sdn")
    message = world.stack.await_condition(world.seed[3], "Drifted", "FieldsDiffer")
    assert "5999" in message
    told = await_("Argo CD shows it", lambda: _told(world, "VNet/evpn1", message))
    assert "not corrected" in told
    assert str(world.running("vnets")["EVPN1"]["tag"]) == "5999"
    world.revert()
    world.await_health("Healthy")
    assert str(world.running("vnets")["EVPN1"]["tag"]) == "5001"


def test_a_manual_change_in_kubernetes_is_healed_once(world: World) -> None:
    world.await_health("Healthy")
    world.commit("A description", **{"3-vnet": world.vnet("evpn1", alias="servers")})
    world.await_health("Healthy")
    syncs = world.argo.syncs(APP)
    patch = '{"spec":{"alias":"by hand"}}'
    world.stack.plane.kubectl("patch", "vnet", "evpn1", "-n", "default", "--type=merge", "-p", patch)
    await_("Argo CD heals it", lambda: world.argo.syncs(APP) == syncs + 1)
    await_("the alias is back", lambda: world.running("vnets")["EVPN1"].get("alias") == "servers")
    world.await_health("Healthy")
    world.revert()
    world.await_health("Healthy")
    assert world.argo.syncs(APP) == syncs + 2


def test_at_rest_nobody_fights_anybody(world: World) -> None:
    """A minute of full comparisons and of the operator's passes: no sync, no write to an object, none to Proxmox."""
    world.await_health("Healthy")
    before = world.argo.syncs(APP), world.stack.writes(), _versions(world)
    passes = world.stack.metric("pve_evpn_reconcile_duration_seconds_count")
    compared, ends = 0, time.monotonic() + REST_SECONDS
    while time.monotonic() < ends:
        world.argo.refresh(APP)
        compared += 1
        world.await_health("Healthy")
    assert compared >= 10
    assert world.stack.metric("pve_evpn_reconcile_duration_seconds_count") >= passes + 10
    assert (world.argo.syncs(APP), world.stack.writes(), _versions(world)) == before


def _told(world: World, name: str, message: str) -> str | None:
    health = world.argo.health_of(APP)[name][1]
    return health if health.startswith(message) else None


def _versions(world: World) -> list[str]:
    return [world.stack.get(document)["metadata"]["resourceVersion"] for document in world.seed]


def test_everything_pruned_in_one_commit(world: World) -> None:
    world.await_health("Healthy")
    names = [f"{n}-{d['kind'].lower()}" for n, d in enumerate(world.seed)]
    # the folder stays, or its Application would go instead of what it holds
    (world.repository.folder / "clusters/pve/README").write_text("No networks here at present.\n")
    world.commit("No networks", **dict.fromkeys(names))
    world.await_health("Healthy")
    await_("all objects are gone", lambda: not any(world.stack.get(document) for document in world.seed))
    assert not any(world.lab.sdn.running.values())
    assert world.lab.sdn.edited == world.lab.sdn.running
    assert world.lab.sdn.lock is None
    assert world.lab.guests[100].config["net0"] == "virtio=BC:24:11:11:11:11,bridge=vmbr0,firewall=1"
