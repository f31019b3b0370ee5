"""IPAMs and name servers outside: no pending view, no check of who uses them, and the server is asked first.

From the published source (PVE/API2/Network/SDN/Ipams.pm and Dns.pm); the recordings have the built-in IPAM alone.
"""

from __future__ import annotations

from pve_lab.faults import ServerFails
from tests.lab.clients import LabClient, SdnClient

NETBOX = {"ipam": "nb1", "type": "netbox", "url": "https://n.example.com/api", "token": "t"}


def test_a_write_takes_effect_at_once_and_a_rollback_leaves_it(empty: SdnClient) -> None:
    empty.do("POST", "/ipams", **NETBOX)
    empty.do("PUT", "/ipams/nb1", url="https://n.example.com/v2")
    empty.do("POST", "/rollback")
    (found,) = [row for row in empty.get("/ipams") if row["ipam"] == "nb1"]
    assert (found["url"], found["token"]) == ("https://n.example.com/v2", "t"), "the list shows the token"
    assert empty.wrong("GET", "/ipams", pending=1).keys() == {"pending"}


def test_one_that_a_zone_uses_can_be_deleted(api: SdnClient) -> None:
    """So a client has to look for its users."""
    api.do("POST", "/ipams", **NETBOX)
    api.do("PUT", "/zones/z1", ipam="nb1")
    api.do("DELETE", "/ipams/nb1")


def test_the_lock_covers_them(empty: SdnClient) -> None:
    empty.do("POST", "/lock")
    assert "invalid lock token provided!" in empty.refusal("POST", "/ipams", **NETBOX)


def test_what_a_type_needs_and_takes(empty: SdnClient) -> None:
    lacking = {key: value for key, value in NETBOX.items() if key != "token"}
    assert "token" in empty.refusal("POST", "/ipams", **lacking)
    assert empty.refusal("POST", "/ipams", **NETBOX, section=3) == "unexpected property 'section'\n"
    assert "section" in empty.refusal("POST", "/ipams", **{**NETBOX, "type": "phpipam"})


def test_a_server_that_does_not_answer_keeps_a_change_out_too() -> None:
    pve = LabClient()
    assert pve.ask("POST", "/cluster/sdn/ipams", **NETBOX).status == 200
    pve.lab.faults.add(ServerFails(url="https://n.", answer="500 Can't connect to n.example.com:443 (timeout)"))
    answer = pve.ask("PUT", "/cluster/sdn/ipams/nb1", token="u")
    assert answer.body["message"] == (
        "update sdn ipam object failed: Can't connect to netbox api: Invalid response from server: "
        "500 Can't connect to n.example.com:443 (timeout)\n"
    )
    assert pve.lab.sdn.services["ipams"]["nb1"]["token"] == "t"
    assert pve.ask("DELETE", "/cluster/sdn/ipams/nb1").status == 200, "a deletion asks nobody"
