"""Each fault, by its effect on a client."""

from __future__ import annotations

import http.client
from collections.abc import Callable
from pathlib import Path

import pytest

from pve_lab import faults
from pve_lab.faults import DROPPED, Fault
from pve_lab.lab import Lab
from pve_lab.server import LabServer
from tests.lab.clients import CONTROLLER, ZONE, LabClient

ZONES = "/cluster/sdn/zones"
NET0 = "virtio=BC:24:11:11:11:11,bridge=vmbr0,firewall=1"


def zones(pve: LabClient, **view: int) -> list[str]:
    return [row["zone"] for row in pve.get(ZONES, **view)]


def simple(pve: LabClient, zone: str = "s1") -> faults.Answer:
    return pve.ask("POST", ZONES, zone=zone, type="simple")


# --- around requests ----------------------------------------------------------------------------------------------


def test_latency(pve: LabClient) -> None:
    pve.lab.faults.add(faults.Latency(seconds=0.7, path=ZONES))
    pve.get("/version")
    assert pve.slept == 0
    assert zones(pve) == []
    assert pve.slept == 0.7


def test_a_connection_dropped_before_execution(pve: LabClient) -> None:
    pve.lab.faults.add(faults.DropBefore(method="POST", times=1))
    assert simple(pve) == DROPPED
    assert zones(pve) == []
    assert simple(pve).status == 200


def test_a_connection_dropped_after_execution(pve: LabClient) -> None:
    pve.lab.faults.add(faults.DropAfter(method="POST", times=1))
    assert simple(pve) == DROPPED
    assert zones(pve) == ["s1"]


@pytest.mark.parametrize("fault", [faults.DropBefore(), faults.DropAfter()])
def test_a_dropped_connection_is_cut_without_a_byte(fault: Fault) -> None:
    lab = Lab(["pve1"])
    lab.tokens["root@pam!tok"] = "secret"
    with LabServer(lab, plain_http=True) as server:
        host = server.url.removeprefix("http://")
        headers = {"Authorization": "PVEAPIToken=root@pam!tok=secret"}
        lab.faults.add(fault)
        connection = http.client.HTTPConnection(host, timeout=10)
        connection.request("GET", "/api2/json/version", headers=headers)
        with pytest.raises(http.client.RemoteDisconnected):
            connection.getresponse()
        lab.faults.clear()
        connection = http.client.HTTPConnection(host, timeout=10)
        connection.request("GET", "/api2/json/version", headers=headers)
        assert connection.getresponse().status == 200
        connection.close()


@pytest.mark.parametrize("status", [500, 502, 503])
def test_an_error_answer(pve: LabClient, status: int) -> None:
    pve.lab.faults.add(faults.ErrorAnswer(status=status, message="something broke", skip=1, times=1))
    assert zones(pve) == []
    given = pve.ask("GET", ZONES)
    assert (given.status, given.reason) == (status, "something broke")
    assert zones(pve) == []


@pytest.mark.parametrize(("status", "reason"), [(595, "Connection refused"), (596, "Connection timed out")])
@pytest.mark.parametrize(
    ("outcome", "now", "later"), [("lost", [], []), ("done", ["s1"], ["s1"]), ("late", [], ["s1"])]
)
def test_a_gateway_error_says_nothing_of_the_outcome(
    pve: LabClient, status: int, reason: str, outcome: str, now: list[str], later: list[str]
) -> None:
    pve.lab.faults.add(faults.GatewayError(status=status, outcome=outcome, seconds=30, method="POST"))
    given = simple(pve)
    assert (given.status, given.reason, given.body) == (status, reason, None)
    assert zones(pve) == now
    pve.wait(31)
    assert zones(pve) == later


def test_an_apply_without_a_worker_is_published_and_answers_500(pve: LabClient) -> None:
    """The answer is that of a refusal; the running copy, the lock and the tasks show that it is none."""
    pve.overlay()
    token = pve.post("/cluster/sdn/lock")
    pve.put(f"{ZONES}/z1", mtu=1400, lock_token=token)
    before = len(pve.reloads("pve1"))
    pve.lab.faults.add(faults.ApplyWithoutWorker(times=1))
    text = pve.message("PUT", "/cluster/sdn", lock_token=token, release_lock=1)
    assert text == "got no worker upid - start worker failed\n"
    pve.wait()
    assert pve.get(f"{ZONES}/z1", running=1)["mtu"] == 1400
    assert [row["status"] for row in pve.get("/nodes/pve1/sdn/zones")] == ["pending"]
    assert len(pve.reloads("pve1")) == before
    assert pve.lab.sdn.lock is None
    pve.put("/nodes/pve1/network")
    pve.wait()
    assert [row["status"] for row in pve.get("/nodes/pve1/sdn/zones")] == ["available"]
    pve.put("/cluster/sdn")


def test_a_busy_cluster_file_system(pve: LabClient) -> None:
    fault = pve.lab.faults.add(faults.CfsLockBusy())
    assert zones(pve) == []
    text = pve.message("POST", ZONES, zone="s1", type="simple")
    assert text.startswith("create sdn zone object failed: cfs-lock 'domain-sdn' error: got lock request timeout")
    pve.lab.faults.remove(fault)
    assert simple(pve).status == 200


def test_an_expired_token(pve: LabClient) -> None:
    pve.lab.faults.add(faults.TokenExpired(user="root@pam!tok"))
    given = pve.ask("GET", ZONES)
    assert (given.status, given.body) == (401, None)
    assert pve.ask("GET", ZONES, user="root@pam!other").status == 200


def test_chance_comes_from_the_seed_and_from_nothing_else() -> None:
    def run(seed: int) -> list[int]:
        pve = LabClient()
        pve.lab.faults.seed = seed
        pve.lab.faults.add(faults.ErrorAnswer(share=0.5, path=ZONES))
        return [pve.ask("GET", ZONES).status for _ in range(40)]

    first = run(1)
    assert first == run(1)
    assert first != run(2)
    assert 5 < first.count(500) < 35


def test_hooks_see_every_request_and_may_end_it(pve: LabClient) -> None:
    seen: list[str] = []

    class Killed(Exception):
        pass

    def kill(request: faults.Request) -> None:
        if request.method == "POST":
            raise Killed

    pve.lab.faults.before.append(lambda request: seen.append(f"before {request.method} {request.path}"))
    pve.lab.faults.after.append(lambda request, given: seen.append(f"after {request.path} {given.status}"))
    pve.get("/version")
    assert seen == ["before GET /version", "after /version 200"]
    pve.lab.faults.before.append(kill)
    with pytest.raises(Killed):
        simple(pve)
    assert zones(pve) == []


# --- the cluster and its nodes --------------------------------------------------------------------------------------


def test_no_quorum(pve: LabClient) -> None:
    fault = pve.lab.faults.add(faults.NoQuorum())
    assert pve.get("/cluster/status")[0]["quorate"] == 0
    assert zones(pve) == []
    assert pve.message("POST", ZONES, zone="s1", type="simple") == "cluster not ready - no quorum?\n"
    assert "could not commit SDN config: cfs-lock 'domain-sdn' error: no quorum!" in pve.message("PUT", "/cluster/sdn")
    assert "Permission denied" in pve.message("POST", "/nodes/pve4/qemu/100/config", net0=NET0)
    pve.lab.faults.remove(fault)
    assert simple(pve).status == 200


def test_half_of_the_nodes_are_no_quorum_either(pve: LabClient) -> None:
    pve.lab.faults.add(faults.NodeOffline(node="pve3"))
    assert pve.get("/cluster/status")[0]["quorate"] == 1
    pve.lab.faults.add(faults.NodeOffline(node="pve4"))
    assert pve.get("/cluster/status")[0]["quorate"] == 0


def test_a_node_offline(pve: LabClient) -> None:
    fault = pve.lab.faults.add(faults.NodeOffline(node="pve3"))
    row = next(row for row in pve.get("/cluster/status") if row["name"] == "pve3")
    assert row["online"] == 0
    given = pve.ask("GET", "/nodes/pve3/network")
    assert (given.status, given.body) == (595, None)
    pve.overlay()
    assert pve.get("/cluster/sdn/zones", running=1)
    pve.lab.faults.remove(fault)
    assert pve.get("/nodes/pve3/sdn/zones") == [{"zone": "z1", "status": "pending"}]
    assert pve.get("/nodes/pve2/sdn/zones") == [{"zone": "z1", "status": "available"}]


def test_an_apply_passes_over_an_offline_node_and_says_ok(pve: LabClient) -> None:
    pve.lab.faults.add(faults.NodeOffline(node="pve3"))
    upid = pve.put("/cluster/sdn")
    pve.wait()
    assert pve.exit_of(upid) == "OK"
    assert "command 'pvesh set /nodes/pve3/network --regenerate-frr 1' failed: exit code 255" in pve.log_of(upid)


def test_a_node_that_hangs(pve: LabClient) -> None:
    pve.lab.faults.add(faults.NodeHangs(node="pve3"))
    assert pve.ask("GET", "/nodes/pve3/network").status == 596
    assert pve.ask("GET", "/nodes/pve2/network").status == 200
    assert next(row for row in pve.get("/cluster/status") if row["name"] == "pve3")["online"] == 1


def test_a_node_without_ifupdown2_does_not_reload_and_says_so(pve: LabClient) -> None:
    pve.overlay()
    fault = pve.lab.faults.add(faults.NoIfupdown2(node="pve2"))
    before = len(pve.reloads("pve2"))
    pve.post("/nodes/pve2/network", iface="vmbr5", type="bridge")
    needs = "you need ifupdown2 to reload network configuration"
    assert pve.message("PUT", "/nodes/pve2/network") == f"{needs}\n"
    pve.put(f"{ZONES}/z1", mtu=1400)
    upid = pve.put("/cluster/sdn")
    pve.wait()
    assert pve.exit_of(upid) == "OK"
    assert needs in pve.log_of(upid)
    assert len(pve.reloads("pve2")) == before
    assert pve.lab.nodes["pve2"].network.changes, "the edit of the host waits on"
    assert "malformed JSON" in pve.message("GET", "/nodes/pve2/sdn/zones")
    assert [row["status"] for row in pve.get("/nodes/pve3/sdn/zones")] == ["available"]
    pve.lab.faults.remove(fault)
    assert [row["status"] for row in pve.get("/nodes/pve2/sdn/zones")] == ["pending"]


def test_a_node_refuses_a_reload_while_another_one_runs(pve: LabClient) -> None:
    pve.overlay()
    pve.put(f"{ZONES}/z1", mtu=1400)
    pve.put("/cluster/sdn")
    first, second = pve.put("/nodes/pve3/network"), pve.put("/nodes/pve3/network")
    assert pve.exit_of(second) == "command 'ifreload -a' failed: exit code 89"
    assert "error: Another instance of this program is already running." in pve.log_of(second)
    assert pve.exit_of(first) is None
    pve.wait()
    assert pve.exit_of(first) == "OK"
    assert pve.exit_of(pve.put("/nodes/pve3/network")) is None, "nothing runs any more"


def test_a_reload_that_fails(pve: LabClient) -> None:
    pve.lab.faults.add(faults.ReloadFails(node="pve2", times=1))
    pve.post("/nodes/pve2/network", iface="vmbr7", type="bridge")
    pve.overlay()
    upid = next(task.upid for task in pve.lab.tasks.of_type("reloadnetworkall"))
    assert pve.exit_of(upid) == "OK", "the cluster's task says nothing of a failed node"
    assert [row["status"] for row in pve.reloads("pve2")] == ["command 'ifreload -a' failed: exit code 1"]
    assert pve.get("/nodes/pve2/sdn/zones") == [{"zone": "z1", "status": "pending"}]
    assert pve.lab.nodes["pve2"].network.changes == "", "interfaces.new is renamed before ifreload runs"
    content = pve.get("/nodes/pve2/sdn/zones/z1/content")
    assert "please reload" in content[0]["statusmsg"]
    pve.put("/nodes/pve2/network")
    pve.wait()
    assert pve.get("/nodes/pve2/sdn/zones") == [{"zone": "z1", "status": "available"}]


def test_a_reload_that_warns(pve: LabClient) -> None:
    pve.lab.faults.add(faults.ReloadWarns(node="pve2"))
    pve.overlay()
    row = pve.reloads("pve2")[0]
    assert row["status"] == "WARNINGS: 1"
    assert pve.log_of(row["upid"]) == ["WARNING: frr reload command fail. Restarting frr.", "TASK WARNINGS: 1"]
    assert pve.get("/nodes/pve2/sdn/zones") == [{"zone": "z1", "status": "available"}]


def test_a_slow_reload(pve: LabClient) -> None:
    pve.lab.faults.add(faults.ReloadSlow(node="pve2", seconds=60))
    upid = pve.put("/cluster/sdn")
    pve.wait(59)
    assert pve.exit_of(upid) is None
    pve.wait(3)
    assert pve.exit_of(upid) == "OK"


def test_a_reload_that_hangs_keeps_the_apply_and_the_later_nodes_waiting(pve: LabClient) -> None:
    fault = pve.lab.faults.add(faults.ReloadHangs(node="pve3"))
    pve.post("/cluster/sdn/controllers", **CONTROLLER)
    pve.post(ZONES, **ZONE)
    upid = pve.put("/cluster/sdn")
    pve.wait(3600)
    assert pve.exit_of(upid) is None
    states = [pve.get(f"/nodes/{node}/sdn/zones")[0]["status"] for node in pve.lab.nodes]
    assert states == ["available", "available", "pending", "pending"]
    pve.lab.faults.remove(fault)
    pve.wait()
    assert pve.exit_of(upid) == "OK"
    assert pve.get("/nodes/pve4/sdn/zones")[0]["status"] == "available"


def test_a_task_that_warns_and_one_that_fails(pve: LabClient) -> None:
    pve.lab.faults.add(faults.TaskWarns(type="reloadnetworkall", times=1))
    pve.lab.faults.add(faults.TaskFails(type="qmconfig", error="got signal 9"))
    apply = pve.put("/cluster/sdn")
    write = pve.post("/nodes/pve4/qemu/100/config", net0=NET0 + ",rate=5")
    pve.wait()
    assert pve.exit_of(apply) == "WARNINGS: 1"
    assert pve.exit_of(write) == "got signal 9"
    assert pve.log_of(write)[-1] == "TASK ERROR: got signal 9"


def test_a_reboot_commits_what_is_staged_and_only_its_own_node_loads_it(pve: LabClient) -> None:
    pve.overlay()
    token = pve.post("/cluster/sdn/lock")
    pve.post(ZONES, zone="s1", type="simple", lock_token=token)
    pve.post("/nodes/pve2/network", iface="vmbr7", type="bridge")
    pve.lab.faults.add(faults.NodeReboot(node="pve2", seconds=60))
    assert pve.ask("GET", "/nodes/pve2/network").status == 595
    assert zones(pve, running=1) == ["z1"]
    pve.wait(61)
    assert zones(pve, running=1) == ["s1", "z1"]
    assert {row["status"] for row in pve.get("/nodes/pve2/sdn/zones")} == {"available"}
    assert {row["status"] for row in pve.get("/nodes/pve3/sdn/zones")} == {"pending"}
    assert "vmbr7" in {row["iface"] for row in pve.get("/nodes/pve2/network", type="bridge") if row.get("active")}


def test_a_reboot_with_nothing_staged_leaves_an_old_node_old(pve: LabClient) -> None:
    fault = pve.lab.faults.add(faults.NodeOffline(node="pve2"))
    pve.overlay()
    pve.lab.faults.remove(fault)
    pve.lab.faults.add(faults.NodeReboot(node="pve2"))
    pve.wait()
    assert pve.get("/nodes/pve2/sdn/zones") == [{"zone": "z1", "status": "pending"}]


# --- another client ------------------------------------------------------------------------------------------------


def test_a_foreign_lock(pve: LabClient) -> None:
    fault = pve.lab.faults.add(faults.ForeignLock())
    assert "invalid lock token" in pve.message("POST", "/cluster/sdn/lock", allow_pending=1)
    assert "invalid lock token" in pve.message("POST", ZONES, zone="s1", type="simple")
    pve.lab.faults.remove(fault)
    pve.post("/cluster/sdn/lock")


def test_a_lock_taken_over_in_mid_transaction(pve: LabClient) -> None:
    token = pve.post("/cluster/sdn/lock")
    pve.lab.faults.add(faults.ForeignLock())
    assert "invalid lock token" in pve.message("PUT", "/cluster/sdn", lock_token=token)


def test_a_foreign_pending_change(pve: LabClient) -> None:
    pve.overlay()
    fault = pve.lab.faults.add(faults.ForeignChange())
    states = {row["zone"]: row.get("state") for row in pve.get(ZONES, pending=1)}
    assert states == {"alien": "new", "z1": None}
    assert "pending changes" in pve.message("POST", "/cluster/sdn/lock")
    pve.lab.faults.remove(fault)
    assert zones(pve) == ["z1"]


def test_a_foreign_change_ignores_the_lock_of_another_client(pve: LabClient) -> None:
    pve.overlay()
    pve.post("/cluster/sdn/lock")
    pve.lab.faults.add(faults.ForeignChange(object="vnets/v1", set="alias=theirs"))
    row = next(row for row in pve.get("/cluster/sdn/vnets", pending=1) if row["vnet"] == "v1")
    assert (row["state"], row["pending"]) == ("changed", {"alias": "theirs"})


def test_an_out_of_band_edit(pve: LabClient) -> None:
    pve.overlay()
    pve.lab.faults.add(faults.OutOfBandEdit(object="vnets/v1", set="tag=6001"))
    pve.wait()
    assert pve.get("/cluster/sdn/vnets", running=1)[0]["tag"] == 6001
    assert pve.get("/nodes/pve1/sdn/zones") == [{"zone": "z1", "status": "available"}]
    pve.lab.faults.add(faults.OutOfBandEdit(object="vnets/v1", delete=True))
    assert pve.get("/cluster/sdn/vnets", running=1) == []


def test_a_pending_host_network_edit(pve: LabClient) -> None:
    fault = pve.lab.faults.add(faults.HostEdit(node="pve2"))
    whole = pve.ask("GET", "/nodes/pve2/network").body
    assert whole is not None
    assert "+iface vmbr7 inet manual" in whole["changes"]
    pve.lab.faults.remove(fault)
    assert "changes" not in (pve.ask("GET", "/nodes/pve2/network").body or {})


# --- guests -----------------------------------------------------------------------------------------------------------


def test_a_guest_locked_by_a_backup(pve: LabClient) -> None:
    fault = pve.lab.faults.add(faults.GuestLocked(vmid=100))
    assert pve.get("/nodes/pve4/qemu/100/config")["lock"] == "backup"
    assert pve.message("POST", "/nodes/pve4/qemu/100/config", net0=NET0) == "VM is locked (backup)\n"
    pve.lab.faults.remove(fault)
    pve.post("/nodes/pve4/qemu/100/config", net0=NET0)


def test_a_guest_edited_by_another_client(pve: LabClient) -> None:
    digest = pve.get("/nodes/pve4/qemu/100/config")["digest"]
    pve.lab.faults.add(faults.GuestEdited(vmid=100))
    assert "checksum mismatch" in pve.message("POST", "/nodes/pve4/qemu/100/config", net0=NET0, digest=digest)


def test_a_guest_that_moves(pve: LabClient) -> None:
    pve.lab.faults.add(faults.GuestMoves(vmid=100, target="pve1"))
    assert "does not exist" in pve.message("GET", "/nodes/pve4/qemu/100/config")
    assert pve.get("/nodes/pve1/qemu/100/config")["net0"] == NET0


def test_a_hotplug_that_fails(pve: LabClient) -> None:
    pve.lab.faults.add(faults.HotplugFails(vmid=100))
    upid = pve.post("/nodes/pve4/qemu/100/config", net0=NET0.replace("11:11,", "11:12,"))
    pve.wait()
    assert "hotplug problem - error on hot-unplugging" in str(pve.exit_of(upid))


# --- by name ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "fault"),
    [
        ("latency:seconds=0.5,path=/cluster/.*", faults.Latency(seconds=0.5, path="/cluster/.*")),
        ("gateway:status=595,outcome=done,times=2", faults.GatewayError(status=595, outcome="done", times=2)),
        ("no-quorum", faults.NoQuorum()),
        ("node-reboot:node=pve2,seconds=5", faults.NodeReboot(node="pve2", seconds=5)),
        ("out-of-band-edit:object=vnets/v1,delete=1", faults.OutOfBandEdit(object="vnets/v1", delete=True)),
        (
            "guest-edited:set=net0=virtio,bridge=vmbr0;cores=2,vmid=100",
            faults.GuestEdited(set="net0=virtio,bridge=vmbr0;cores=2", vmid=100),
        ),
        ("foreign-change:set=type=simple;mtu=1400", faults.ForeignChange(set="type=simple;mtu=1400")),
    ],
)
def test_faults_by_text(text: str, fault: Fault) -> None:
    assert faults.parse(text) == fault


@pytest.mark.parametrize(
    ("make", "named"),
    [
        (lambda: faults.parse("earthquake"), "no fault 'earthquake'"),
        (lambda: faults.parse("latency:colour=red"), "no parameter colour"),
        (lambda: faults.parse("latency:seconds"), "not key=value"),
        (lambda: faults.parse("latency:seconds=long"), "seconds"),
        (lambda: faults.parse("node-offline"), "node"),
        (lambda: faults.parse("gateway:outcome=perhaps"), "outcome"),
        (lambda: LabClient().lab.faults.add(faults.NodeOffline(node="pve9")), "no 'pve9'"),
        (lambda: LabClient().lab.faults.add(faults.GuestLocked(vmid=9)), "no guest 9"),
    ],
)
def test_wrong_faults_are_named(make: Callable[[], Fault], named: str) -> None:
    with pytest.raises(ValueError, match=named):
        make()


# --- servers outside ------------------------------------------------------------------------------------------------


def test_a_server_outside_that_answers_with_an_error(pve: LabClient) -> None:
    netbox = {"ipam": "nb1", "type": "netbox", "url": "https://netbox.example.com/api", "token": "t"}
    fault = pve.lab.faults.add(faults.ServerFails(url="https://netbox", answer="403 Forbidden"))
    refused = pve.ask("POST", "/cluster/sdn/ipams", **netbox)
    assert (refused.status, refused.body["message"]) == (
        500,
        "create sdn ipam object failed: Can't connect to netbox api: Invalid response from server: 403 Forbidden\n",
    )
    assert pve.ask("POST", "/cluster/sdn/ipams", ipam="own", type="pve").status == 200
    pve.lab.faults.remove(fault.id)
    assert pve.ask("POST", "/cluster/sdn/ipams", **netbox).status == 200
    with pytest.raises(ValueError, match="answer"):
        pve.lab.faults.add(faults.ServerFails(answer="no"))


def test_a_server_outside_that_hangs(pve: LabClient) -> None:
    pve.lab.faults.add(faults.ServerHangs())
    server = {"dns": "ns1", "type": "powerdns", "url": "http://192.0.2.53", "key": "k"}
    assert pve.ask("POST", "/cluster/sdn/dns", **server).status == 596
    assert [row["ipam"] for row in pve.get("/cluster/sdn/ipams")] == ["pve"]


def test_a_server_outside_that_hangs_keeps_out_subnets_and_addresses_of_its_zones(pve: LabClient) -> None:
    netbox = {"ipam": "nb1", "type": "netbox", "url": "https://netbox.example.com/api", "token": "t"}
    pve.ask("POST", "/cluster/sdn/ipams", **netbox)
    for number, ipam in enumerate(("pve", "nb1")):
        pve.ask("POST", "/cluster/sdn/zones", zone=f"z{number}", type="simple", ipam=ipam)
        pve.ask("POST", "/cluster/sdn/vnets", vnet=f"v{number}", zone=f"z{number}")
    fault = pve.lab.faults.add(faults.ServerHangs(url="https://netbox"))

    def subnet(number: int) -> int:
        new = {"subnet": f"10.{number}.0.0/24", "type": "subnet", "gateway": f"10.{number}.0.1"}
        return pve.ask("POST", f"/cluster/sdn/vnets/v{number}/subnets", **new).status

    assert (pve.ask("PUT", "/cluster/sdn/ipams/nb1", token="u").status, subnet(1), subnet(0)) == (596, 596, 200)
    assert pve.ask("POST", "/cluster/sdn/vnets/v1/ips", zone="z1", ip="10.1.0.9").status == 596
    assert pve.get("/cluster/sdn/vnets/v1/subnets") == []
    pve.lab.faults.remove(fault.id)
    assert subnet(1) == 200


def test_every_fault_has_a_sentence_and_a_test_here() -> None:
    text = Path(__file__).read_text()
    for name, kind in faults.KINDS.items():
        assert kind.__doc__, name
        assert f"faults.{kind.__name__}(" in text, name


def test_the_documentation_names_every_fault_with_its_parameters() -> None:
    text = (Path(__file__).parents[2] / "docs" / "lab.md").read_text()
    for name, kind in faults.KINDS.items():
        row = next((line for line in text.splitlines() if line.startswith(f"| `{name}` |")), "")
        own = faults.parameters(kind).keys() - faults.parameters(faults.RequestFault).keys()
        assert row, name
        assert all(f"`{key}`" in row for key in own), (name, own)
