"""An apply: its task, and the reload of each node."""

from __future__ import annotations

from tests.lab.clients import CONTROLLER, ZONE, LabClient


def test_the_running_copy_is_new_at_once_and_the_nodes_follow_one_by_one(pve: LabClient) -> None:
    pve.post("/cluster/sdn/controllers", **CONTROLLER)
    pve.post("/cluster/sdn/zones", **ZONE)
    upid = pve.put("/cluster/sdn")
    assert [row["zone"] for row in pve.get("/cluster/sdn/zones", running=1)] == ["z1"]
    states = []
    for _ in range(5):
        states.append([pve.get(f"/nodes/{n}/sdn/zones")[0]["status"] for n in pve.lab.nodes])
        pve.wait(0.25)
    assert [row.count("available") for row in states] == [0, 1, 2, 3, 4]
    assert pve.exit_of(upid) == "OK"
    assert [row["status"] for row in pve.reloads("pve3")] == ["OK"]


def test_the_task_runs_on_the_node_that_was_asked_and_belongs_to_the_asker(pve: LabClient) -> None:
    upid = pve.put("/cluster/sdn")
    row = pve.get(f"/nodes/pve1/tasks/{upid}/status")
    assert (row["type"], row["id"], row["user"], row["tokenid"]) == ("reloadnetworkall", "", "root@pam", "tok")
    pve.wait()
    assert sorted(pve.log_of(upid)) == ["TASK OK", *(f"pve{n}: reloading network config" for n in (1, 2, 3, 4))]
    reload = pve.reloads("pve2")[0]
    assert (reload["id"], reload["user"], reload.get("tokenid")) == ("networking", "root@pam", None)


def test_lists_of_tasks_are_filtered_and_paged(pve: LabClient) -> None:
    for _ in range(3):
        pve.put("/cluster/sdn")
        pve.wait(5)
    pve.put("/cluster/sdn")
    path = "/nodes/pve1/tasks"
    assert len(pve.get(path, typefilter="reloadnetworkall")) == 3, "a list shows ended tasks unless asked otherwise"
    assert [row["status"] for row in pve.get(path, source="active", typefilter="reloadnetworkall")] == ["RUNNING"]
    assert len(pve.get(path, source="all", typefilter="reloadnetworkall")) == 4
    assert len(pve.get(path, source="all", typefilter="reloadnetworkall", limit=2, start=1)) == 2
    newest = pve.get(path, source="all")[0]["starttime"]
    assert {row["starttime"] for row in pve.get(path, source="all", since=newest)} == {newest}
    assert pve.errors("GET", f"{path}/UPID:pve1:0:0:0:x::y:/status") == {"upid": "no such task"}


def test_a_stopped_apply_reloads_no_further_node(pve: LabClient) -> None:
    pve.overlay()
    upid = pve.put("/cluster/sdn")
    pve.wait(0.25)
    pve.delete(f"/nodes/pve1/tasks/{upid}")
    pve.wait(5)
    assert pve.exit_of(upid) == "interrupted by signal"
    fresh = [n for n, node in pve.lab.nodes.items() if node.applied_version == pve.lab.sdn.version]
    assert 0 < len(fresh) < 4


def test_one_node_can_be_reloaded_alone(pve: LabClient) -> None:
    pve.overlay()
    pve.lab.nodes["pve2"].applied_version = 0
    assert pve.get("/nodes/pve2/sdn/zones")[0]["status"] == "pending"
    upid = pve.put("/nodes/pve2/network", regenerate_frr=1)
    pve.wait()
    assert pve.exit_of(upid) == "OK"
    assert pve.get("/nodes/pve2/sdn/zones")[0]["status"] == "available"


def test_host_network_edits_ride_along_with_an_apply(pve: LabClient) -> None:
    whole = pve.ask("GET", "/nodes/pve2/network").body
    assert whole is not None
    assert "changes" not in whole
    pve.post("/nodes/pve2/network", iface="vmbr7", type="bridge", cidr="10.7.0.1/24")
    whole = pve.ask("GET", "/nodes/pve2/network").body
    assert whole is not None
    assert "+iface vmbr7 inet static" in whole["changes"]
    rows = {row["iface"]: row for row in whole["data"]}
    assert (rows["vmbr7"]["cidr"], rows["vmbr7"].get("active"), rows["vmbr0"]["active"]) == ("10.7.0.1/24", None, 1)
    pve.put("/cluster/sdn")
    pve.wait()
    assert {row["iface"]: row.get("active") for row in pve.get("/nodes/pve2/network", type="bridge")} == {
        "vmbr0": 1,
        "vmbr7": 1,
    }


def test_host_network_edits_can_be_taken_back(pve: LabClient) -> None:
    pve.put("/nodes/pve2/network/vmbr0", type="bridge", mtu=9000)
    assert pve.get("/nodes/pve2/network/vmbr0")["mtu"] == "9000"
    pve.delete("/nodes/pve2/network")
    assert "mtu" not in pve.get("/nodes/pve2/network/vmbr0")
    assert "already exists" in pve.errors("POST", "/nodes/pve2/network", iface="vmbr0", type="bridge")["iface"]
