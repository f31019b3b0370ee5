"""Tickets: logins the lab accepts and refuses, and the operator's session with one."""

from __future__ import annotations

from collections.abc import Iterator
from urllib.parse import quote, unquote, urlencode

import pytest

from pve_evpn.pve import errors
from pve_evpn.pve.credentials import Credentials
from pve_evpn.pve.session import PveSession
from pve_evpn.pve.transport import Trust
from pve_lab.lab import Lab, seed
from pve_lab.server import LabServer
from tests.lab.clients import FORM, Clock, Wire

USER, PASSWORD = "root@pam", "pass word&=%"


class Site:
    """A lab with one password, a clock that can be moved, and requests to it."""

    def __init__(self) -> None:
        self.clock = Clock()
        self.lab = Lab(["pve1"], task_seconds=0, clock=self.clock)
        seed(self.lab)
        self.lab.tickets.passwords[USER] = PASSWORD
        self.server = LabServer(self.lab, plain_http=True)
        self.url = self.server.url

    def ask(self, method: str, path: str, headers: dict[str, str] | None = None, **form: str) -> tuple[int, str, dict]:
        body, kind = (urlencode(form), FORM) if form else (None, "")
        answer, data = Wire(self.server, "").send(method, "/api2/json" + path, body, kind, **(headers or {}))
        return answer.status, answer.reason, data["data"] if data else {}

    def log_in(self, password: str = PASSWORD) -> dict[str, str]:
        status, reason, data = self.ask("POST", "/access/ticket", username=USER, password=password)
        assert status == 200, reason
        return {"Cookie": f"PVEAuthCookie={quote(data['ticket'])}", "CSRFPreventionToken": data["CSRFPreventionToken"]}


@pytest.fixture
def site() -> Iterator[Site]:
    made = Site()
    with made.server:
        yield made


def test_a_ticket_reads_and_with_the_csrf_token_writes(site: Site) -> None:
    headers = site.log_in()
    assert site.ask("GET", "/version", {"Cookie": headers["Cookie"]})[0] == 200
    form = {"zone": "s1", "type": "simple"}
    status, reason, _ = site.ask("POST", "/cluster/sdn/zones", {"Cookie": headers["Cookie"]}, **form)
    assert (status, reason) == (401, "Permission denied - invalid csrf token")
    assert site.ask("POST", "/cluster/sdn/zones", headers, **form)[0] == 200
    upid = site.ask("PUT", "/cluster/sdn", headers)[2]
    assert str(upid).endswith(":root@pam:"), "the task is the user's own"


def test_the_realm_may_be_given_apart(site: Site) -> None:
    status, _, data = site.ask("POST", "/access/ticket", username="root", realm="pam", password=PASSWORD)
    assert (status, data["username"]) == (200, USER)


@pytest.mark.parametrize("form", [{"password": "wrong"}, {"username": "nobody@pam"}, {"password": "PVE:root@pam:0::x"}])
def test_a_wrong_password_is_a_bare_401(site: Site, form: dict[str, str]) -> None:
    status, reason, data = site.ask("POST", "/access/ticket", **{"username": USER, "password": PASSWORD, **form})
    assert (status, reason, data) == (401, "authentication failure", {})


def test_a_ticket_ends_and_can_be_renewed_before(site: Site) -> None:
    headers = site.log_in()
    ticket = headers["Cookie"].removeprefix("PVEAuthCookie=")
    site.clock.now += 7000
    renewed = site.log_in(unquote(ticket))
    site.clock.now += 1000
    assert site.ask("GET", "/version", headers)[1] == "permission denied - invalid PVE ticket"
    assert site.ask("GET", "/version", renewed)[0] == 200


def test_a_forged_ticket_is_none(site: Site) -> None:
    headers = site.log_in()
    forged = headers["Cookie"].replace("root", "evil")
    assert site.ask("GET", "/version", {"Cookie": forged})[0] == 401
    assert site.ask("GET", "/version")[1] == "No ticket"


def test_the_operators_session_logs_in_and_writes() -> None:
    lab = Lab(["pve1"], task_seconds=0)
    lab.tickets.passwords[USER] = PASSWORD
    with LabServer(lab) as server:
        session = PveSession(server.url, Credentials(USER, None, PASSWORD), Trust(ca_pem=server.ca_pem), 10)
        assert session.call("GET", "/version", {})["data"]
        session.call("POST", "/cluster/sdn/zones", {"zone": "s1", "type": "simple"})
        assert "s1" in lab.sdn.edited["zones"]
        session.close()
        with pytest.raises(errors.AuthenticationFailed) as caught:
            PveSession(server.url, Credentials(USER, None, "wrong"), Trust(ca_pem=server.ca_pem), 10)
        assert "wrong" not in str(caught.value)
