"""The admin port, and the command line of a lab that runs as a process."""

from __future__ import annotations

import dataclasses
import http.client
import json
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from pve_lab import faults
from pve_lab.admin import AdminServer
from pve_lab.client_examples import api_clients
from tests.lab.clients import LabClient

ROOT = Path(__file__).parents[2]


def send(url: str, verb: str, path: str, body: Any = None, headers: dict[str, str] | None = None) -> tuple[int, Any]:
    """One JSON request; status and the answer's JSON."""
    connection = http.client.HTTPConnection(url.removeprefix("http://"), timeout=20)
    connection.request(verb, path, None if body is None else json.dumps(body), headers or {})
    given = connection.getresponse()
    text = given.read()
    connection.close()
    return given.status, json.loads(text) if text else None


@pytest.fixture
def admin(pve: LabClient) -> Iterator[str]:
    with AdminServer(pve.lab) as server:
        yield server.url


def test_it_says_what_there_is(admin: str) -> None:
    status, index = send(admin, "GET", "/")
    assert status == 200
    assert index["faults"].keys() == faults.KINDS.keys()
    assert index["faults"]["node-offline"]["parameters"] == {"node": "str"}


def test_a_fault_begins_is_listed_and_ends(admin: str, pve: LabClient) -> None:
    status, begun = send(admin, "POST", "/faults", {"fault": "node-offline", "node": "pve3"})
    assert (status, begun) == (200, {"fault": "node-offline", "id": begun["id"], "node": "pve3"})
    assert pve.ask("GET", "/nodes/pve3/network").status == 595
    assert send(admin, "GET", "/faults") == (200, [begun])
    assert send(admin, "DELETE", f"/faults/{begun['id']}") == (200, None)
    assert pve.ask("GET", "/nodes/pve3/network").status == 200


NEEDED = {"node": "pve2", "vmid": 100, "target": "pve1", "type": "srvreload"}


@pytest.mark.parametrize("name", sorted(faults.KINDS))
def test_every_fault_is_begun_and_ended_by_its_name(admin: str, pve: LabClient, name: str) -> None:
    required = [f.name for f in dataclasses.fields(faults.KINDS[name]) if f.init and f.default is dataclasses.MISSING]
    params = {key: NEEDED[key] for key in required}
    status, begun = send(admin, "POST", "/faults", {"fault": name, **params})
    assert (status, begun["fault"]) == (200, name), begun
    assert send(admin, "DELETE", f"/faults/{begun['id']}") == (200, None)
    pve.wait(60)
    assert pve.lab.faults.active == []
    assert (pve.lab.quorate, pve.lab.sdn.lock, pve.lab.has_pending) == (True, None, False)
    assert all(node.online and not node.network.changes for node in pve.lab.nodes.values())
    by_text = ":".join([name, ",".join(f"{key}={value}" for key, value in params.items())])
    assert faults.parse(by_text) == faults.make(name, params)


def test_all_faults_end_at_once(admin: str, pve: LabClient) -> None:
    for body in ({"fault": "no-quorum"}, {"fault": "guest-locked", "vmid": 100}):
        assert send(admin, "POST", "/faults", body)[0] == 200
    send(admin, "DELETE", "/faults")
    assert pve.lab.quorate
    assert pve.lab.guests[100].lock == ""


def test_state_and_journal(admin: str, pve: LabClient) -> None:
    pve.post("/cluster/sdn/zones", zone="s1", type="simple")
    _, state = send(admin, "GET", "/state")
    assert (state["pending"], state["lock"], state["nodes"]["pve1"]["online"]) == (True, None, True)
    assert state["guests"]["100"]["nics"]["net0"].startswith("virtio=")
    pve.lab.journal.append(("GET", "/version", 200))
    assert send(admin, "GET", "/journal") == (200, [{"method": "GET", "path": "/version", "status": 200}])
    send(admin, "DELETE", "/journal")
    assert pve.lab.journal == []


def test_guests_are_stopped_started_silenced_and_moved(admin: str, pve: LabClient) -> None:
    guest = pve.lab.guests[100]
    pve.put("/nodes/pve4/qemu/100/config", cores=4)
    for action, check in (
        ("stop", lambda: not guest.running),
        ("start", lambda: guest.running and guest.config["cores"] == "4"),
        ("silence", lambda: not guest.speaks),
        ("speak", lambda: guest.speaks),
        ("restart", lambda: guest.running),
    ):
        assert send(admin, "POST", f"/guests/100/{action}")[0] == 200
        assert check(), action
    assert send(admin, "POST", "/guests/100/move", {"target": "pve2"})[0] == 200
    assert guest.node == "pve2"


@pytest.mark.parametrize(
    ("verb", "path", "body", "status", "named"),
    [
        ("POST", "/faults", {}, 400, "name one"),
        ("POST", "/faults", {"fault": "earthquake"}, 400, "no fault 'earthquake'"),
        ("POST", "/faults", {"fault": "node-offline", "node": "pve9"}, 400, "no 'pve9'"),
        ("POST", "/faults", [], 400, "JSON object"),
        ("DELETE", "/faults/77", None, 404, "no fault 77"),
        ("POST", "/guests/7/stop", None, 404, "no guest 7"),
        ("POST", "/guests/100/move", {"target": "x"}, 400, "no node 'x'"),
        ("GET", "/nothing", None, 404, "unknown"),
    ],
)
def test_mistakes_are_named(admin: str, verb: str, path: str, body: Any, status: int, named: str) -> None:
    got, answer = send(admin, verb, path, body)
    assert got == status
    assert named in answer["error"]


# --- as a process ---------------------------------------------------------------------------------------------------


@contextmanager
def running(*arguments: str) -> Iterator[tuple[str, str]]:
    """``python -m pve_lab``: the URLs of its API and of its admin port."""
    command = [sys.executable, "-m", "pve_lab", "--port", "0", "--plain-http", "--admin-port", "0", *arguments]
    environment = {**os.environ, "PYTHONPATH": str(ROOT / "operator")}
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=environment)
    assert process.stdout is not None
    try:
        urls: list[str] = []
        for line in process.stdout:
            urls += re.findall(r"http://127\.0\.0\.1:\d+$", line.partition(", token")[0].strip())
            if len(urls) == 2:
                break
        yield urls[0], urls[1]
    finally:
        process.send_signal(signal.SIGTERM)
        process.wait(20)


def test_faults_by_command_line_and_while_it_runs() -> None:
    headers = {"Authorization": "PVEAPIToken=root@pam!tok=secret"}
    with running("--fault", "node-offline:node=pve3", "--fault", "error:path=/version,status=503", "--seed", "3") as (
        api,
        admin,
    ):
        assert send(api, "GET", "/api2/json/version", headers=headers)[0] == 503
        assert send(api, "GET", "/api2/json/nodes/pve3/network", headers=headers)[0] == 595
        assert [fault["fault"] for fault in send(admin, "GET", "/faults")[1]] == ["node-offline", "error"]
        send(admin, "DELETE", "/faults")
        assert send(api, "GET", "/api2/json/version", headers=headers)[0] == 200


def test_guests_of_a_file_and_clocks_that_are_off(tmp_path: Path) -> None:
    headers = {"Authorization": "PVEAPIToken=root@pam!tok=secret"}
    file = tmp_path / "guests.json"
    file.write_text('[{"vmid": 7, "kind": "qemu", "node": "pve1", "name": "a", "running": false, "config": {}}]')
    with running("--empty", "--guests", str(file), "--clock-offset", "-600") as (api, _):
        guests = send(api, "GET", "/api2/json/nodes/pve1/qemu", headers=headers)[1]["data"]
        assert [(row["vmid"], row["status"]) for row in guests] == [(7, "stopped")]
        upid = send(api, "PUT", "/api2/json/cluster/sdn", headers=headers)[1]["data"]
        assert 590 < time.time() - int(upid.split(":")[4], 16) < 660


@pytest.mark.parametrize(
    ("text", "named"),
    [("earthquake", "there is no fault 'earthquake'"), ("node-offline:node=pve9", "there is no 'pve9'")],
)
def test_a_wrong_fault_stops_the_start(text: str, named: str) -> None:
    command = [sys.executable, "-m", "pve_lab", "--port", "0", "--plain-http", "--fault", text]
    environment = {**os.environ, "PYTHONPATH": str(ROOT / "operator")}
    done = subprocess.run(command, capture_output=True, text=True, env=environment, timeout=60)
    assert done.returncode != 0
    assert named in done.stderr


def test_it_says_how_to_point_clients_at_it() -> None:
    text = api_clients("https://127.0.0.1:8006", "root@pam!tok", "secret", Path("/tmp/ca.pem"))
    assert (
        "curl --cacert /tmp/ca.pem -H 'Authorization: PVEAPIToken=root@pam!tok=secret' https://127.0.0.1:8006" in text
    )
    assert "port=8006, user='root@pam', token_name='tok'" in text
    assert "--from-file=ca.crt=/tmp/ca.pem" in text
    plain = api_clients("http://127.0.0.1:8006", "root@pam!tok", "secret", None)
    assert "--insecure" not in plain
    assert "proxmoxer" not in plain
