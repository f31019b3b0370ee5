"""Objects that an earlier release stored still work: they stay valid, can be changed, and cost no write to Proxmox."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import yaml

from pve_evpn.api.kinds import KINDS as API_KINDS
from pve_evpn.api.schema import default_status
from pve_lab.lab import Lab, seed
from tests.e2e.process import ROOT
from tests.e2e.stack import KINDS, Stack
from tests.kube.controlplane import ControlPlane
from tests.waiting import await_

pytestmark = pytest.mark.kube


def documents(folder: Path) -> list[dict[str, Any]]:
    return [document for path in sorted(folder.glob("*.yaml")) for document in yaml.safe_load_all(path.read_text())]


def test_objects_of_the_release_before_live_on(release: Path, plane: ControlPlane, tmp_path: Path) -> None:
    lab = Lab(["pve1", "pve2", "pve3", "pve4"], task_seconds=0.2)
    seed(lab)
    stack = Stack(plane, lab, tmp_path)
    stack.prepare()
    plane.kubectl("apply", "--server-side", "--force-conflicts", "-f", str(release / "crds"))
    objects = documents(release / "objects")
    objects[0]["spec"] |= {"endpoints": [stack.server.url], "observe": {"intervalSeconds": 2}}
    stack.apply(*objects)
    stack.start_operator()
    stack.await_ready(*objects)
    stack.stop_operator()
    writes = stack.writes()
    before = {document["metadata"]["name"]: stack.get(document)["spec"] for document in objects}

    plane.kubectl("apply", "--server-side", "--force-conflicts", "-f", str(ROOT / "crds"))
    stack.start_operator()
    await_("two whole passes", lambda: stack.metric("pve_evpn_reconcile_duration_seconds_count") >= 2)
    stack.await_ready(*objects)
    assert {document["metadata"]["name"]: stack.get(document)["spec"] for document in objects} == before
    assert stack.writes() == writes, "an upgrade must not change networks"

    vnet = next(document for document in objects if document["kind"] == "VNet")
    vnet["spec"]["alias"] = "renamed after the upgrade"
    stack.apply(vnet)
    stack.await_ready(vnet)
    assert lab.sdn.running["vnets"]["EVPN1"]["alias"] == "renamed after the upgrade"
    stack.delete(*objects)
    assert not any(lab.sdn.running.values())
    stack.close()


def test_every_stored_object_may_be_written_back_under_the_new_kinds(release: Path, plane: ControlPlane) -> None:
    """What an editor or a GitOps tool does: the same object again, unchanged."""
    plane.kubectl("apply", "--server-side", "-f", str(release / "crds"))
    plane.kubectl("wait", "--for=condition=Established", "crd", "--all", "--timeout=30s")
    plane.kubectl("apply", "-f", str(release / "objects"))
    plane.kubectl("apply", "--server-side", "--force-conflicts", "-f", str(ROOT / "crds"))
    stored = json.loads(plane.kubectl("get", ",".join(KINDS), "-A", "-o", "json"))["items"]
    assert len(stored) == len(documents(release / "objects"))
    for item in stored:
        assert item["status"] == default_status(API_KINDS[item["kind"]]), "no operator has seen it yet"
        item["metadata"].setdefault("labels", {})["touched"] = "yes"
        plane.kubectl("replace", "-f", "-", stdin=json.dumps(item))


def test_no_stored_version_is_dropped(release: Path) -> None:
    """An object in etcd in a version that the kind no longer has could not be read any more."""
    for path in sorted((release / "crds").glob("*.yaml")):
        old, new = (yaml.safe_load(file.read_text())["spec"] for file in (path, ROOT / "crds" / path.name))
        assert {v["name"] for v in old["versions"] if v["storage"]} <= {v["name"] for v in new["versions"]}
        assert old["scope"] == new["scope"]
