"""The examples as files: the seed is the topology it promises to be, and every kind is shown."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import yaml

from pve_evpn.api.kinds import GROUP, KINDS

EXAMPLES = Path(__file__).parents[3] / "examples"


def objects(*patterns: str) -> list[dict[str, Any]]:
    files = [path for pattern in patterns for path in sorted(EXAMPLES.glob(pattern))]
    found = [document for path in files for document in yaml.safe_load_all(path.read_text()) if document]
    return [document for document in found if str(document.get("apiVersion", "")).startswith(GROUP)]


def test_the_seed_is_the_promised_topology() -> None:
    seed = {document["kind"]: document["spec"] for document in objects("seed/*.yaml")}
    assert seed.keys() == {"ProxmoxCluster", "EvpnController", "EvpnZone", "VNet", "NicAttachment"}
    assert seed["ProxmoxCluster"]["endpoints"] == [f"https://192.168.16.{n}:8006" for n in (1, 2, 3, 4)]
    assert (seed["EvpnController"]["asn"], seed["EvpnController"]["underlay"]) == (65001, {"fabric": "Fabric1"})
    assert (seed["EvpnZone"]["id"], seed["EvpnZone"]["vrfVni"]) == ("EZone1", 100001)
    assert (seed["VNet"]["id"], seed["VNet"]["vni"]) == ("EVPN1", 5001)
    nic = seed["NicAttachment"]
    assert (nic["device"], nic["macAddress"]) == ("net0", "bc:24:11:11:11:11")


def test_the_seed_grants_its_namespace_its_guest() -> None:
    seed = {document["kind"]: document for document in objects("seed/*.yaml")}
    grant = seed["ProxmoxCluster"]["spec"]["guestAccess"][0]
    labels = grant["namespaces"]["matchLabels"]
    assert labels == {"kubernetes.io/metadata.name": seed["NicAttachment"]["metadata"]["namespace"]}
    span, vmid = grant["guests"]["vmids"][0], seed["NicAttachment"]["spec"]["guest"]["vmid"]
    assert span["from"] <= vmid <= span["to"]


def test_every_file_is_in_the_index() -> None:
    linked = set(re.findall(r"\]\(([^)]+\.yaml)\)", (EXAMPLES / "README.md").read_text()))
    files = {
        str(path.relative_to(EXAMPLES))
        for pattern in ("*.yaml", "seed/*.yaml", "from-bare-nodes/*.yaml")
        for path in EXAMPLES.glob(pattern)
    }
    assert files - {"secret.example.yaml"} == linked


def test_examples_are_valid_for_the_models() -> None:
    for document in objects("**/*.yaml"):
        KINDS[document["kind"]].spec_model.model_validate(document["spec"])


def test_names_do_not_collide_between_files() -> None:
    named = [
        (d["kind"], d["metadata"].get("namespace"), d["metadata"]["name"]) for d in objects("*.yaml", "seed/*.yaml")
    ]
    assert len(named) == len(set(named))
