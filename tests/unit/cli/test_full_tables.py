"""How the command line reaches the operator's endpoint: only the server that was meant gets the token."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from kubernetes.aio.client.exceptions import ApiException

from pve_evpn.cli import full_tables
from pve_evpn.cli.failures import Refusal
from pve_evpn.cli.full_tables import Unavailable, Wanted, _ask, _Way, tables_of
from pve_evpn.cli.report.check import Check, Grade
from pve_evpn.cli.report.endpoint import endpoint_checks
from pve_evpn.cli.report.full_tables import (
    full_peers_report,
    full_routes_report,
    full_vni_report,
    has_mac,
    mac_blocks,
    with_reason,
)
from pve_evpn.cli.report.model import Report
from pve_evpn.cli.report.tables import peers_report, vni_report
from tests.redteam.test_tables_endpoint import ALL, BLUE_MAC, RED_MAC, World
from tests.unit.cli.people import node, snapshot

TARGET = f"{ALL}?table=peers"


@pytest.fixture
async def world() -> AsyncIterator[World]:
    made = World()
    async with made.serving():
        yield made


def way(world: World, *pins: str, ca_file: str = "", token: str = "admins-token") -> _Way:
    return _Way(f"https://127.0.0.1:{world.port}", None, "", f"Bearer {token}", frozenset(pins), ca_file=ca_file)


async def test_the_certificate_that_the_lease_names_is_enough(world: World) -> None:
    answer = await asyncio.to_thread(_ask, way(world, "0" * 64, world.fingerprint), TARGET)
    assert [node["name"] for node in answer["nodes"]] == ["pve1", "pve2", "pve3", "pve4"]


@pytest.mark.redteam
async def test_another_server_gets_no_token(world: World, tmp_path: Path) -> None:
    for other in (way(world, "0" * 64), way(world), way(world, ca_file=str(tmp_path / "none"))):
        with pytest.raises(Unavailable):
            await asyncio.to_thread(_ask, other, TARGET)
    assert world.api.asked == []


async def test_a_refusal_is_said_in_the_operators_words(world: World) -> None:
    with pytest.raises(Unavailable, match=r'403: proxmoxclusters\.pve-evpn\.dev "pve" is forbidden: User "alice"'):
        await asyncio.to_thread(_ask, way(world, world.fingerprint, token="alices-token"), TARGET)


async def test_a_service_is_asked_again_where_it_leads_to_another_replica(world: World) -> None:
    world.served.clear()
    with pytest.raises(Unavailable, match="421: operator-1 has the tables"):
        await asyncio.to_thread(_ask, way(world, world.fingerprint), TARGET)
    assert world.api.asked == ["tokenreviews", "subjectaccessreviews"]


@pytest.mark.parametrize("url", ["http://host:1", "host", "https://"])
async def test_a_url_without_tls_is_refused(url: str) -> None:
    with pytest.raises(Refusal, match="is no address"):
        await asyncio.to_thread(_ask, _Way(url, None, "", "Bearer x"), TARGET)


# --- doctor -----------------------------------------------------------------------------------------------------------


class Reviewer:
    """What the API server says of the caller itself."""

    allowed = True

    def __init__(self, _api: Any) -> None:
        pass

    async def create_self_subject_access_review(self, body: Any) -> Any:
        attributes = body.spec.resource_attributes
        assert (attributes.resource, attributes.subresource, attributes.name) == ("proxmoxclusters", "tables", "pve")
        return SimpleNamespace(status=SimpleNamespace(allowed=self.allowed))


@pytest.fixture
def through(world: World, monkeypatch: pytest.MonkeyPatch) -> World:
    """The running endpoint at the end of each port-forward."""
    notes = {"pve-evpn.dev/tables-port": str(world.port), "pve-evpn.dev/tables-fingerprint": world.fingerprint}
    leases = (lease("operator-1_uuid", {"pve-evpn.dev/replica-of": "x"}, notes),)
    monkeypatch.setattr(full_tables.client, "CoordinationV1Api", Coordination)
    monkeypatch.setattr(full_tables.client, "AuthorizationV1Api", Reviewer)
    monkeypatch.setattr(Coordination, "leases", leases)
    monkeypatch.setattr(Reviewer, "allowed", True)
    monkeypatch.setattr(
        full_tables, "_forwarded", lambda _way, replica: socket.create_connection(("127.0.0.1", replica.port))
    )
    return world


async def checked(token: str = "Bearer admins-token", days: float = 0, **wanted: str) -> dict[str, Check]:
    """The checks of doctor, by their names, so many days from now."""
    seen = await full_tables.examine(Settings(token), Wanted(**wanted), "pve")
    found = endpoint_checks("pve", seen, "pve-evpn-system", datetime.now(UTC) + timedelta(days=days))
    assert all(check.mend for check in found if check.grade in (Grade.WARN, Grade.FAIL))
    return {check.name.removeprefix("full tables").removeprefix(": "): check for check in found}


async def test_doctor_finds_nothing_to_mend(through: World) -> None:
    found = await checked()
    assert {name: check.grade for name, check in found.items()} == dict.fromkeys(
        ("", "certificate", "your right"), Grade.OK
    )
    assert found[""].found == "pod operator-1 answers"
    assert through.fingerprint in found["certificate"].found
    assert through.api.asked == ["tokenreviews", "subjectaccessreviews"]


async def test_doctor_says_that_it_is_off(through: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Coordination, "leases", ())
    (check,) = (await checked()).values()
    assert (check.grade, check.found) == (Grade.OK, "off: statuses show a part")
    assert "tables.enabled=true" in check.mend
    monkeypatch.setattr(Coordination, "error", ApiException(status=403))
    (check,) = (await checked()).values()
    assert (check.grade, check.found) == (Grade.UNKNOWN, "you may not list leases in pve-evpn-system (403)")


@pytest.mark.parametrize(
    ("token", "grade", "words", "mend"),
    [
        ("Bearer alices-token", Grade.WARN, "you may not get proxmoxclusters/tables", "create clusterrolebinding"),
        ("Bearer nobodys", Grade.WARN, "does not know your token", "kubectl create token"),
        ("", Grade.WARN, "client certificate, which the endpoint does not take", "kubectl create token"),
    ],
)  # fmt: skip
async def test_doctor_says_why_the_caller_may_not(
    through: World, token: str, grade: Grade, words: str, mend: str
) -> None:
    found = await checked(token)
    assert (found[""].grade, found["certificate"].grade) == (Grade.OK, Grade.OK), "it answers all the same"
    assert found["your right"].grade is grade
    assert words in found["your right"].found
    assert mend in found["your right"].mend


async def test_doctor_says_why_it_does_not_answer(through: World, monkeypatch: pytest.MonkeyPatch) -> None:
    through.api.is_away = True
    found = await checked()
    assert (found[""].grade, "auth-delegator" in found[""].mend) == (Grade.FAIL, True)
    assert found["your right"].grade is Grade.OK, "by the API server"
    monkeypatch.setattr(Reviewer, "allowed", False)
    assert (await checked())["your right"].grade is Grade.WARN
    through.api.is_away = False
    through.poll = None
    assert (await checked())[""].found.endswith("503: the nodes have not been polled yet")
    through.served.clear()
    assert (await checked())[""].grade is Grade.WARN

    def refused(_way: _Way, _replica: Any) -> Any:
        raise Unavailable("no port-forward to pve-evpn-system/operator-1 (...): Forbidden")

    monkeypatch.setattr(full_tables, "_forwarded", refused)
    found = await checked()
    assert found.keys() == {"", "your right"}
    assert (found[""].grade, "PVE_EVPN_TABLES_URL" in found[""].mend) == (Grade.WARN, True)


async def test_doctor_says_that_another_certificate_is_shown(through: World, monkeypatch: pytest.MonkeyPatch) -> None:
    notes = {"pve-evpn.dev/tables-port": str(through.port), "pve-evpn.dev/tables-fingerprint": "0" * 64}
    other = (lease("operator-1_uuid", {"pve-evpn.dev/replica-of": "x"}, notes),)
    monkeypatch.setattr(Coordination, "leases", other)
    found = await checked()
    assert found[""].grade is Grade.FAIL
    assert "no replica's Lease names the server's certificate" in found[""].found
    assert through.api.asked == [], "no token was sent"


@pytest.mark.parametrize(("days", "grade"), [(3630, Grade.OK), (3640, Grade.WARN), (3660, Grade.FAIL)])
@pytest.mark.usefixtures("through")
async def test_doctor_says_when_the_certificate_ends(days: float, grade: Grade) -> None:
    assert (await checked(days=days))["certificate"].grade is grade


# --- which replica ----------------------------------------------------------------------------------------------------


def lease(holder: str, labels: dict[str, str], annotations: dict[str, str]) -> Any:
    metadata = SimpleNamespace(labels=labels, annotations=annotations)
    return SimpleNamespace(metadata=metadata, spec=SimpleNamespace(holder_identity=holder))


class Coordination:
    """Two replicas; the second one leads for the cluster ``pve``."""

    leases: tuple[Any, ...] = ()
    error: ApiException | None = None

    def __init__(self, _api: Any) -> None:
        pass

    async def list_namespaced_lease(self, _namespace: str, label_selector: str) -> Any:
        assert label_selector == "app.kubernetes.io/name=pve-evpn-operator"
        if self.error:
            raise self.error
        return SimpleNamespace(items=self.leases)


def replica(pod: str) -> Any:
    notes = {"pve-evpn.dev/tables-port": "8443", "pve-evpn.dev/tables-fingerprint": f"of {pod}"}
    return lease(f"{pod}_uuid", {"pve-evpn.dev/replica-of": "x"}, notes)


LEADER = lease("operator-b_uuid", {"pve-evpn.dev/cluster-of": "x"}, {"pve-evpn.dev/cluster": "pve"})


class Settings:
    """The caller's client."""

    def __init__(self, token: str = "Bearer mine") -> None:
        self.configuration = SimpleNamespace(auth_settings=self.auth)
        self._token = token

    async def auth(self) -> Any:
        return {"BearerToken": {"value": self._token}} if self._token else {}


#: What the endpoint has of a node's peers.
shown_peers: list[Any] = [[]]


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch) -> list[_Way]:
    """What would be asked, and how."""
    ways: list[_Way] = []
    shown_peers[:] = [[]]

    def ask(way: _Way, _target: str) -> Any:
        ways.append(way)
        return {"nodes": [{"name": "pve1", "tables": {"peers": shown_peers[-1]}}]}

    monkeypatch.setattr(full_tables.client, "CoordinationV1Api", Coordination)
    monkeypatch.setattr(Coordination, "leases", (replica("operator-a"), replica("operator-b"), LEADER))
    monkeypatch.setattr(full_tables, "_ask", ask)
    return ways


async def shown(wanted: Wanted, settings: Any = None) -> Any:
    return await tables_of(settings or Settings(), wanted, "pve", "proxmoxclusters/pve", ["peers"])


async def test_the_replica_that_leads_is_asked_first(asked: list[_Way]) -> None:
    await shown(Wanted())
    assert [each.pod for each in asked[0].replicas] == ["operator-b", "operator-a"]
    assert asked[0].pins == {"of operator-a", "of operator-b"}
    assert asked[0].token == "Bearer mine"


async def test_statuses_answer_where_no_source_shows_the_tables(asked: list[_Way]) -> None:
    shown_peers.append(None)
    assert "it takes `ssh` in observe.sources" in await shown(Wanted())
    assert (await shown(Wanted(full=True)))["nodes"]


async def test_a_token_file_goes_to_the_endpoint_only(asked: list[_Way], tmp_path: Path) -> None:
    (tmp_path / "token").write_text("other\n")
    await shown(Wanted(token_file=str(tmp_path / "token")))
    assert (asked[0].token, asked[0].kubeconfig) == ("Bearer other", "Bearer mine")


async def test_a_ca_takes_the_place_of_the_lease(asked: list[_Way]) -> None:
    await shown(Wanted(url="https://tables.example.com", ca_file="ca.pem"))
    assert (asked[0].pins, asked[0].replicas) == (frozenset(), ())


async def test_why_there_are_no_full_tables(asked: list[_Way], monkeypatch: pytest.MonkeyPatch) -> None:
    assert "your kubeconfig has no token" in await shown(Wanted(), Settings(""))
    assert await shown(Wanted(full=False)) == "--no-full"
    monkeypatch.setattr(Coordination, "leases", (LEADER,))
    assert "`tables.enabled` of the chart" in await shown(Wanted())
    with pytest.raises(Refusal, match="does not serve them"):
        await shown(Wanted(full=True))
    monkeypatch.setattr(Coordination, "error", ApiException(status=403))
    assert "you may not list leases in pve-evpn-system" in await shown(Wanted())
    assert asked == []


# --- reports --------------------------------------------------------------------------------------------------------


async def test_routes_say_where_one_is_missing_and_what_could_not_be_read(world: World) -> None:
    _, answer = await world.ask("/tables/v1/namespaces/team-a/vnets/blue?table=routes", "alices-token")
    lost = answer["nodes"][2]["tables"]["routes"]
    gone = next(route for route in lost if route["type"] == 2)
    lost.remove(gone)
    report = full_routes_report(SimpleNamespace(key="VNet team-a/blue"), answer)  # type: ignore[arg-type]
    rows = report.data()["routes"]
    (row,) = [row for row in rows if row["prefix"] == gone["prefix"]]
    assert (row["node"], row["seenBy"], row["problem"]) == ("pve1", "2 of 3", "missing on pve3")
    assert not report.good
    assert report.data()["unread"] == ["No source shows the routes of pve4."]
    assert "polled" in report.data()["source"][0]


async def test_peers_are_named_and_a_node_that_failed_says_why(world: World) -> None:
    _, answer = await world.ask(f"{ALL}?table=peers", "admins-token")
    known = {"address": "192.168.16.3", "node": "the-third", "state": "Established"}
    made = snapshot(node("pve1", peers=[known]), node("pve4"))
    report = full_peers_report(made, made.of_kind("EvpnNode"), {"pve": answer})
    data = report.data()
    assert {row["neighbor"]: (row["node"], row["state"]) for row in data["pve-pve1"]} == {
        "192.168.16.2": ("pve2", "Established"),  # as it calls itself
        "192.168.16.3": ("the-third", "Established"),
        "192.168.16.4": ("pve4", "Established"),
    }
    assert data["pve-pve4"] == ["It cannot be read: ssh: no SSH connection to 192.168.16.4 port 22."]
    assert report.good


def test_a_row_of_the_full_tables_is_that_of_the_status_and_is_not_cut() -> None:
    made = snapshot(
        node(
            "pve1",
            peers=[{"address": "192.0.2.2", "remoteAs": 65000, "state": "Idle", "prefixesReceived": 3, "bfd": "down",
                    "since": "2026-01-05T11:00:00Z", "lastError": "x"}],
            vnis=[{"vni": 5001, "type": "L2", "vnet": "blue", "macs": 2, "arpNd": 3, "remoteVteps": 1,
                   "tenantVrf": "vrf_zone1"}],
        )
    )  # fmt: skip
    (resource,) = made.of_kind("EvpnNode")
    peer = resource.status.peers[0].model_dump(by_alias=True, mode="json") | {"lastError": "x" * 500}
    vni = resource.status.vnis[0].model_dump(by_alias=True) | {"remoteVteps": ["192.0.2.2"], "remoteVtepCount": 1}
    answer = {"nodes": [{"name": "pve1", "ageSeconds": 1, "tables": {"peers": [peer], "vnis": [vni]}}]}
    full = full_peers_report(made, [resource], {"pve": answer})
    assert full.data() == {"pve-pve1": [peers_report(made).data()["pve-pve1"][0] | {"lastError": "x" * 500}]}
    assert not full.good
    assert full_vni_report(made, [resource], {"pve": answer}).data() == vni_report(made).data()


def test_a_report_from_statuses_says_that_it_is() -> None:
    assert with_reason(Report(), "x").data()["source"] == ["From statuses, which hold a part: x."]


async def test_a_trace_has_the_macs_routes_and_how_each_node_has_it(world: World) -> None:
    _, answer = await world.ask("/tables/v1/namespaces/team-a/vnets/blue", "alices-token")
    assert has_mac(answer, BLUE_MAC)
    assert not has_mac(answer, RED_MAC)
    data = Report(tuple(mac_blocks(answer, BLUE_MAC, "x"))).data()
    assert {row["nextHop"] for row in data["routes/x"]} == {"192.168.16.1"}
    assert {(row["node"], row["type"], row["remoteVtep"]) for row in data["macs/x"]} == {
        ("pve1", "local", None), ("pve2", "remote", "192.168.16.1"), ("pve3", "remote", "192.168.16.1"),
    }  # fmt: skip
    assert data["unread"] == ["No source shows the routes of pve4."]
    assert "macs/x" not in Report(tuple(mac_blocks({"nodes": [], "ageSeconds": 1}, BLUE_MAC, "x"))).data()
