"""A bundle has what a bug report needs; with pseudonyms, nothing of the network's names and addresses is in it."""

from __future__ import annotations

import copy
import re
from typing import Any

import pytest
import yaml

from pve_evpn.cli.report.anonymise import Anonymiser
from pve_evpn.cli.report.bundle import Material, files_of

KEY = b"k" * 32
PRIVATE = (
    "acme", "rack7-node1", "fileserver", "blue-net", "EVPNBLUE", "Payroll", "pve.acme.example", "vmbr-acme",
    "192.0.2.17", "2001:db8:7::17", "bc:24:11:aa:bb:cc", "BC:24:11:AA:BB:CC", "owner-jane",
)  # fmt: skip


def material() -> Material:
    def made(kind: str, name: str, spec: dict[str, Any], status: dict[str, Any], namespace: str = "") -> dict[str, Any]:
        metadata = {
            "name": name, "managedFields": [{"manager": "kubectl"}], "labels": {"owner": "owner-jane"},
            "annotations": {"kubectl.kubernetes.io/last-applied-configuration": "{}", "pve-evpn.dev/origin": "Created"},
            **({"namespace": namespace} if namespace else {}),
        }  # fmt: skip
        return {"metadata": metadata, "spec": spec, "status": status}

    cluster = made(
        "ProxmoxCluster", "acme", {"endpoints": ["https://pve.acme.example:8006", "https://192.0.2.17:8006"]},
        {"version": "9.2.3", "nodes": [{"name": "rack7-node1", "address": "192.0.2.17"}],
         "lastTransaction": {"outcome": "Applied", "steps": ["create vnet EVPNBLUE"]}},
    )  # fmt: skip
    vnet = made("VNet", "blue-net", {"id": "EVPNBLUE", "alias": "Payroll"}, {"id": "EVPNBLUE", "vni": 5001}, "acme")
    nic = made(
        "NicAttachment", "nic1", {"guest": {"name": "fileserver"}},
        {"guestName": "fileserver", "macAddress": "bc:24:11:aa:bb:cc", "node": "rack7-node1",
         "previousBridge": "vmbr-acme",
         "evpn": {"ips": ["192.0.2.17", "2001:db8:7::17"]},
         "conditions": [{"type": "Ready", "status": "True", "reason": "Ready",
                         "message": "fileserver is on rack7-node1"}]},
        "acme",
    )  # fmt: skip
    event = {
        "metadata": {"creationTimestamp": "2026-01-01T00:00:00Z"}, "type": "Normal", "reason": "MacMoved",
        "regarding": {"kind": "NicAttachment", "namespace": "acme", "name": "nic1"},
        "note": "BC:24:11:AA:BB:CC moved to rack7-node1 (192.0.2.17)",
    }  # fmt: skip
    log = (
        "2026-01-01T00:00:00.000000Z INFO engine: acme: read https://pve.acme.example:8006/api2/json, rack7-node1 and "
        "192.0.2.17/24, 2001:db8:7::17, bc:24:11:aa:bb:cc, version 9.2.3.1 FRR 8.4.4, at 11:22:33\n"
    )
    return Material(
        {"ProxmoxCluster": [cluster], "VNet": [vnet], "NicAttachment": [nic]}, [event],
        {"command line": "0.1.0"}, {"logs/pod.log": log}, {"metrics of pod": "you may not at pve.acme.example"},
    )  # fmt: skip


def test_everything_is_in_it_and_secrets_were_never_read() -> None:
    files = files_of(material())
    assert set(files) == {
        "README.txt", "events.yaml", "logs/pod.log", "objects/NicAttachment.yaml", "objects/ProxmoxCluster.yaml",
        "objects/VNet.yaml", "transactions.yaml", "versions.yaml",
    }  # fmt: skip
    [vnet] = yaml.safe_load_all(files["objects/VNet.yaml"])
    assert vnet["spec"]["alias"] == "Payroll"
    assert "managedFields" not in vnet["metadata"]
    assert "last-applied" not in files["objects/VNet.yaml"]
    assert yaml.safe_load(files["transactions.yaml"])["last"]["acme"]["steps"] == ["create vnet EVPNBLUE"]
    assert "metrics of pod" in files["README.txt"]


def test_with_pseudonyms_nothing_private_is_in_any_file() -> None:
    for name, text in files_of(material(), KEY).items():
        for private in PRIVATE:
            assert private.lower() not in text.lower(), (name, private)


def test_what_is_no_name_stays() -> None:
    files = files_of(material(), KEY)
    assert "version 9.2.3.1" not in files["logs/pod.log"]  # it looks like an address: better too much than too little
    assert "FRR 8.4.4, at 11:22:33" in files["logs/pod.log"]
    [nic] = yaml.safe_load_all(files["objects/NicAttachment.yaml"])
    assert nic["status"]["conditions"][0]["reason"] == "Ready"
    [cluster] = yaml.safe_load_all(files["objects/ProxmoxCluster.yaml"])
    assert cluster["status"]["version"] == "9.2.3"


def test_one_value_has_one_pseudonym_everywhere() -> None:
    files = files_of(material(), KEY)
    [nic] = yaml.safe_load_all(files["objects/NicAttachment.yaml"])
    [event] = yaml.safe_load(files["events.yaml"])
    mac, node = nic["status"]["macAddress"], nic["status"]["node"]
    assert re.fullmatch(r"02(:[0-9a-f]{2}){5}", mac)
    assert node.startswith("node-")
    assert event["note"].startswith(f"{mac} moved to {node} ")
    assert node in nic["status"]["conditions"][0]["message"]


def test_addresses_of_one_network_stay_in_one() -> None:
    anonymiser = Anonymiser(KEY, ())
    first, second, other = (anonymiser.text(text) for text in ("192.0.2.1", "192.0.2.2", "198.51.100.1"))
    assert first.rpartition(".")[0] == second.rpartition(".")[0] != other.rpartition(".")[0]
    assert first.endswith(".1")
    assert anonymiser.text("2001:db8::1") == anonymiser.text("2001:DB8:0:0::1") != anonymiser.text("2001:db8::2")
    assert anonymiser.text("127.0.0.1 0.0.0.0 ::1 ::") == "127.0.0.1 0.0.0.0 ::1 ::"


def test_another_bundle_has_other_pseudonyms() -> None:
    assert Anonymiser(KEY, ()).text("192.0.2.1") != Anonymiser(b"x" * 32, ()).text("192.0.2.1")


@pytest.mark.parametrize("name", ["default", "100", "true"])
def test_words_of_everybody_are_no_names(name: str) -> None:
    assert Anonymiser(KEY, [("namespace", name)]).text(f"{name} is here") == f"{name} is here"


def test_what_was_read_is_not_changed() -> None:
    made = material()
    before = copy.deepcopy(made)
    files_of(made, KEY)
    assert made == before
