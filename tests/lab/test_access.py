"""Privileges for guests, tasks and nodes, and what lists leave out."""

from __future__ import annotations

import pytest

from tests.lab.clients import LabClient

USER = "op@pve!tok"
NET0 = "virtio=BC:24:11:11:11:11,bridge={},firewall=1"


@pytest.fixture
def grant(pve: LabClient):
    """Give privileges to the user, and so to its token."""

    def give(path: str, *privileges: str) -> None:
        pve.lab.access.grant(USER.partition("!")[0], path, *privileges)

    return give


def refusal(pve: LabClient, method: str, path: str, **params: str) -> str:
    given = pve.ask(method, path, user=USER, **params)
    assert given.status == 403, given
    return given.reason


def test_a_nic_wants_the_guest_and_both_networks(pve: LabClient, grant) -> None:
    pve.overlay()
    path, moved = "/nodes/pve4/qemu/100/config", NET0.format("v1")
    assert "/vms/100" in refusal(pve, "POST", path, net0=moved)
    grant("/vms/100", "VM.Config.Network")
    assert refusal(pve, "POST", path, net0=moved) == "Permission check failed (/sdn/zones/z1/v1, SDN.Use)"
    grant("/sdn/zones/z1/v1", "SDN.Use")
    assert refusal(pve, "POST", path, net0=moved) == "Permission check failed (/sdn/zones/localnetwork/vmbr0, SDN.Use)"
    grant("/sdn/zones/localnetwork", "SDN.Use")
    assert pve.ask("POST", path, user=USER, net0=moved).status == 200
    pve.wait()
    assert refusal(pve, "POST", path, cores="4") == "Permission check failed (/vms/100, VM.Config.CPU)"


def test_taking_a_nic_out_wants_the_network_it_was_on(pve: LabClient, grant) -> None:
    grant("/vms", "VM.Config.Network")
    assert "localnetwork/vmbr0" in refusal(pve, "PUT", "/nodes/pve2/lxc/200/config", delete="net0")


def test_lists_leave_out_what_one_may_not_see(pve: LabClient, grant) -> None:
    pve.overlay()

    def seen() -> set[str]:
        rows = pve.data(pve.ask("GET", "/cluster/resources", user=USER))
        return {row["id"] for row in rows if row["type"] != "node"}

    assert seen() == set()
    grant("/vms/200", "VM.Audit")
    assert seen() == {"lxc/200"}
    assert pve.data(pve.ask("GET", "/nodes/pve4/qemu", user=USER)) == []
    grant("/sdn/zones/z1", "SDN.Audit")
    assert seen() == {"lxc/200", *(f"network/pve{n}/zone/z1" for n in (1, 2, 3, 4))}
    assert pve.data(pve.ask("GET", "/nodes/pve1/sdn/zones", user=USER)) == [{"zone": "z1", "status": "available"}]


def test_a_task_is_its_owners_or_those_who_audit_the_node(pve: LabClient, grant) -> None:
    theirs = pve.put("/cluster/sdn")
    grant("/sdn", "SDN.Allocate")
    own = pve.data(pve.ask("PUT", "/cluster/sdn", user=USER))
    pve.wait()
    path = "/nodes/pve1/tasks/{}/status"
    assert pve.ask("GET", path.format(own), user=USER).status == 200
    assert refusal(pve, "GET", path.format(theirs)) == "Permission check failed (/nodes/pve1, Sys.Audit)"
    rows = pve.data(pve.ask("GET", "/nodes/pve1/tasks", user=USER))
    assert {row["upid"] for row in rows} == {own}
    grant("/nodes", "Sys.Audit")
    assert pve.ask("GET", path.format(theirs), user=USER).status == 200


def test_fabrics_and_their_nodes_are_filtered_apart(pve: LabClient, grant) -> None:
    def seen() -> tuple[int, int]:
        found = pve.data(pve.ask("GET", "/cluster/sdn/fabrics/all", user=USER))
        return len(found["fabrics"]), len(found["nodes"])

    assert seen() == (0, 0)
    grant("/sdn/fabrics", "SDN.Audit")
    assert seen() == (1, 0)
    grant("/nodes/pve1", "Sys.Audit")
    assert seen() == (1, 1)


def test_deleting_a_fabric_wants_its_nodes_too(pve: LabClient, grant) -> None:
    grant("/sdn/fabrics", "SDN.Allocate")
    given = pve.ask("DELETE", "/cluster/sdn/fabrics/fabric/Fabric1", user=USER)
    assert given.status == 500
    assert "missing 'Sys.Modify' on node pve1" in given.reason


@pytest.mark.parametrize(
    ("method", "path", "wanted"),
    [
        ("PUT", "/nodes/pve1/network", "(/nodes/pve1, Sys.Modify)"),
        ("GET", "/cluster/status", "(/, Sys.Audit)"),
        ("POST", "/nodes/pve4/qemu/100/migrate", "(/vms/100, VM.Migrate)"),
        ("GET", "/nodes/pve4/qemu/100/config", "(/vms/100, VM.Audit)"),
        ("GET", "/cluster/sdn/route-maps/entries/rm1", "(/sdn/route-maps/rm1, SDN.Audit|SDN.Allocate)"),
    ],
)
def test_what_the_schema_asks_for(pve: LabClient, method: str, path: str, wanted: str) -> None:
    assert wanted in refusal(pve, method, path)
