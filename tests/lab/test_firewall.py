"""The firewall of VNets as pve-firewall keeps it: what is refused and stored, in which order."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pve_lab.firewall.macros import MACROS, canonical
from pve_lab.firewall.rules import KnownNames, read, written
from pve_lab.firewall.values import address_version, check_ports
from tests.lab.clients import LabClient

VNET = "/cluster/sdn/vnets/v1/firewall"
RULES, OPTIONS = f"{VNET}/rules", f"{VNET}/options"
DATACENTER = "/cluster/firewall"
MODIFIED = "detected modified configuration"
#: Of an empty list.
NOTHING = "da39a3ee5e6b4b0d3255bfef95601890afd80709"


@pytest.fixture(autouse=True)
def overlay(pve: LabClient) -> None:
    pve.overlay()


def comments(pve: LabClient) -> list[str]:
    rows = pve.get(RULES)
    assert [row["pos"] for row in rows] == list(range(len(rows)))
    return [row["comment"] for row in rows]


def add(pve: LabClient, comment: str = "a", **more: str) -> None:
    pve.post(RULES, **{"type": "forward", "action": "ACCEPT", "comment": comment, **more})


def stored(pve: LabClient, **params: str) -> dict[str, Any]:
    """The first rule after one was made with these properties."""
    pve.post(RULES, **{"type": "forward", "action": "ACCEPT", **params})
    row = dict(pve.get(RULES)[0])
    return {key: value for key, value in row.items() if key not in ("pos", "digest", "type", "action", "enable")}


# --- order and digests ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("pos", ["0", "1", "99"])
def test_a_new_rule_comes_first_whatever_place_is_asked_for(pve: LabClient, pos: str) -> None:
    for name in "ab":
        add(pve, name)
    add(pve, "new", pos=pos)
    assert comments(pve) == ["new", "b", "a"]


@pytest.mark.parametrize(
    ("place", "to", "order"),
    [(0, 0, "abcd"), (0, 1, "abcd"), (0, 2, "bacd"), (0, 4, "bcda"), (0, 99, "bcda"), (3, 0, "dabc"), (2, 1, "acbd")],
)
def test_a_moved_rule_stands_before_the_one_at_that_place(pve: LabClient, place: int, to: int, order: str) -> None:
    for name in "dcba":
        add(pve, name)
    pve.put(f"{RULES}/{place}", moveto=to)
    assert comments(pve) == list(order)


def test_a_rule_that_moves_is_not_changed_and_one_that_stays_is(pve: LabClient) -> None:
    for name in "cba":
        add(pve, name)
    pve.put(f"{RULES}/0", moveto=2, comment="x")
    assert comments(pve) == ["b", "a", "c"]
    pve.put(f"{RULES}/1", moveto=1, comment="x")
    assert comments(pve) == ["b", "x", "c"]


def test_options_and_rules_have_separate_digests(pve: LabClient) -> None:
    assert pve.get(OPTIONS) == {"digest": NOTHING}
    add(pve)
    assert pve.get(OPTIONS) == {"digest": NOTHING}
    of_rules = pve.get(RULES)[0]["digest"]
    pve.put(OPTIONS, enable=1, digest=NOTHING)
    assert pve.get(RULES)[0]["digest"] == of_rules
    assert MODIFIED in pve.message("PUT", OPTIONS, enable=0, digest=of_rules)
    for verb in ("PUT", "DELETE"):
        assert MODIFIED in pve.message(verb, f"{RULES}/0", digest=pve.get(OPTIONS)["digest"])
    pve.delete(f"{RULES}/0", digest=of_rules)


def test_creation_asks_for_no_digest(pve: LabClient) -> None:
    add(pve, digest="0" * 40)
    assert comments(pve) == ["a"]
    assert pve.errors("POST", RULES, type="forward", action="DROP", digest="0" * 65).keys() == {"digest"}


def test_equal_rules_have_equal_digests(pve: LabClient) -> None:
    add(pve)
    before = pve.get(RULES)[0]["digest"]
    pve.put(f"{RULES}/0", comment="b")
    assert pve.get(RULES)[0]["digest"] != before
    pve.put(f"{RULES}/0", comment="a")
    assert pve.get(RULES)[0]["digest"] == before


def test_a_vnet_without_a_file_trips_the_module(pve: LabClient) -> None:
    for verb in ("PUT", "DELETE"):
        assert "Can't use an undefined value as an ARRAY" in pve.message(verb, f"{RULES}/0")
    assert "no rule at position 0" in pve.message("GET", f"{RULES}/0")
    pve.put(OPTIONS, enable=1)
    assert "no rule at position 0" in pve.message("DELETE", f"{RULES}/0")


def test_one_rule_repeats_the_position_as_it_was_asked_for(pve: LabClient) -> None:
    add(pve)
    assert [pve.get(f"{RULES}/{pos}")["pos"] for pos in ("0", "00", "+0")] == ["0", "00", "+0"]
    assert pve.get(RULES)[0]["pos"] == 0


# --- what is stored -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("params", "kept"),
    [
        ({"macro": "https"}, {"macro": "HTTPS"}),
        ({"macro": "pInG", "source": "2001:db8::7"}, {"macro": "Ping", "source": "2001:db8::7", "ipversion": 6}),
        ({"dest": "10.9.0.0/16"}, {"dest": "10.9.0.0/16", "ipversion": 4}),
        ({"dest": "10.9"}, {"dest": "10.9", "ipversion": 4}),
        ({"proto": "icmpv6"}, {"proto": "icmpv6", "ipversion": 6}),
        ({"proto": "58"}, {"proto": "58"}),
        ({"comment": "  both ends  "}, {"comment": "both ends"}),
        ({"comment": "with # in it"}, {"comment": "with # in it"}),
        ({"comment": "-"}, {}),
        ({"comment": "0"}, {}),
        ({"comment": "one\ntwo"}, {"comment": "one"}),
        ({"source": "0", "dport": "0"}, {}),
        ({"source": "", "macro": ""}, {}),
        ({"type": "group", "action": "web", "source": "10.0.0.1", "log": "info", "comment": "c"}, {"comment": "c"}),
    ],
)
def test_a_rule_is_what_its_line_says(pve: LabClient, params: dict[str, str], kept: dict[str, Any]) -> None:
    assert stored(pve, **params) == kept


def test_a_line_break_in_a_comment_makes_a_second_rule(pve: LabClient) -> None:
    add(pve, "first\nFORWARD DROP -source 10.3.0.1 # second\nnot a rule")
    assert comments(pve) == ["first", "second"]
    assert pve.get(RULES)[1]["enable"] == 1


def test_a_line_break_can_begin_another_section(pve: LabClient) -> None:
    """Options are read from it if they are some of a VNet."""
    add(pve, "first\n[OPTIONS]\nenable: 1\nenable: 5\ncolour: red")
    assert comments(pve) == ["first"]
    assert pve.get(OPTIONS)["enable"] == 1
    assert "colour" not in pve.get(OPTIONS)


def test_a_macro_beside_a_group_spoils_the_rule(pve: LabClient) -> None:
    pve.post(RULES, type="group", action="web", macro="SSH")
    row = pve.get(RULES)[0]
    assert (row["action"], row["errors"]) == ("SSH(web)", {"action": "invalid characters in security group name"})


@pytest.mark.parametrize(("sent", "read_back"), [("0", 0), ("1", 1), ("2", 1), ("007", 1)])
def test_enabled_is_one_or_nothing(pve: LabClient, sent: str, read_back: int) -> None:
    add(pve, enable=sent)
    assert pve.get(RULES)[0]["enable"] == read_back
    pve.put(f"{RULES}/0", delete="enable")
    assert pve.get(RULES)[0]["enable"] == 1


def test_what_is_set_and_deleted_at_once(pve: LabClient) -> None:
    add(pve)
    pve.put(f"{RULES}/0", comment="b", delete="comment")
    assert "comment" not in pve.get(RULES)[0]
    pve.put(OPTIONS, enable=1, delete="enable")
    assert pve.get(OPTIONS)["enable"] == 1


def test_a_name_that_vanishes_leaves_the_rule_with_errors(pve: LabClient) -> None:
    pve.lab.firewall_names.aliases["office"] = "10.9.0.0/16"
    add(pve, source="Office")
    assert pve.get(RULES)[0]["ipversion"] == 4
    del pve.lab.firewall_names.aliases["office"]
    row = pve.get(RULES)[0]
    assert (row["source"], row["errors"]) == ("Office", {"source": "no such alias 'Office'"})
    assert pve.errors("PUT", f"{RULES}/0", comment="b").keys() == {"source"}
    pve.put(f"{RULES}/0", delete="source")


def test_the_sets_that_proxmox_makes_of_a_vnet_can_be_named(pve: LabClient) -> None:
    pve.lab.firewall_names.ipsets.add("blocked")
    for name in ("+sdn/v1-all", "+blocked", "+dc/blocked"):
        add(pve, source=name)
    assert pve.errors("POST", RULES, type="forward", action="DROP", source="+sdn/v2-all").keys() == {"source"}


def test_the_names_of_the_datacenter_are_listed_and_can_be_made(pve: LabClient) -> None:
    assert {"macro": "SSH", "descr": "SSH"} in pve.get(f"{DATACENTER}/macros")
    pve.post(f"{DATACENTER}/groups", group="web")
    pve.post(f"{DATACENTER}/ipset", name="blocked")
    pve.post(f"{DATACENTER}/aliases", name="Office", cidr="10.9.0.0/16")
    assert [row["group"] for row in pve.get(f"{DATACENTER}/groups")] == ["web"]
    assert [row["name"] for row in pve.get(f"{DATACENTER}/ipset")] == ["blocked"]
    (alias,) = pve.get(f"{DATACENTER}/aliases")
    assert (alias["name"], alias["cidr"], alias["ipversion"]) == ("Office", "10.9.0.0/16", 4)
    add(pve, source="office", dest="+blocked")
    assert pve.errors("POST", f"{DATACENTER}/groups", group="web") == {"group": "Security group 'web' already exists"}
    assert pve.errors("POST", f"{DATACENTER}/ipset", name="blocked") == {"name": "IPSet 'blocked' already exists"}
    assert pve.errors("POST", f"{DATACENTER}/aliases", name="OFFICE", cidr="::1").keys() == {"name"}
    assert pve.errors("POST", f"{DATACENTER}/aliases", name="home", cidr="everywhere").keys() == {"cidr"}


def test_ipsets_and_aliases_are_listed_to_auditors_only(pve: LabClient) -> None:
    def answers() -> list[int]:
        return [pve.ask("GET", f"{DATACENTER}/{name}", "op@pve!tok").status for name in lists]

    lists = ("macros", "groups", "ipset", "aliases")
    pve.lab.access.grant("op@pve", "/sdn", "SDN.Audit")
    assert answers() == [200, 200, 403, 403]
    pve.lab.access.grant("op@pve", "/", "Sys.Audit")
    assert answers() == [200] * 4


# --- what is refused ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("params", "named", "text"),
    [
        ({"type": "in"}, "type", "invalid rule type 'in'"),
        ({"action": "PERHAPS"}, "action", "unknown action"),
        ({"action": "REJECT"}, "action", "cannot define REJECT rules on forward chain"),
        ({"iface": "net0"}, "type", "parameter -i not allowed"),
        ({"macro": "Nope"}, "macro", "unknown macro 'Nope'"),
        ({"macro": "SSH", "proto": "udp"}, "proto", "already define in macro (value = 'tcp')"),
        ({"macro": "DNS", "proto": "tcp"}, "proto", "already define in macro (value = 'udp')"),
        ({"dport": "22"}, "proto", "'dport' requires this property"),
        ({"macro": "SSH", "sport": "1024"}, "proto", "'sport' requires this property"),
        ({"proto": "gre", "dport": "22"}, "dport", "protocol 'gre' does not support ports"),
        ({"proto": "UDP"}, "proto", "unknown protocol 'UDP'"),
        ({"proto": "any"}, "proto", "unknown protocol"),
        ({"proto": "udp", "dport": "53-54"}, "dport", "invalid port '53-54'"),
        ({"proto": "udp", "dport": "54:53"}, "dport", "did you mean '53:54'"),
        ({"proto": "udp", "dport": "70000"}, "dport", "invalid port '70000'"),
        ({"proto": "udp", "dport": "missing"}, "dport", "invalid port 'missing'"),
        ({"proto": "udp", "dport": ",".join("1:2" for _ in range(8))}, "dport", "too many entries"),
        ({"proto": "icmp", "icmp-type": "0"}, "icmp-type", "invalid icmp-type value '0'"),
        ({"proto": "icmp", "icmp-type": "packet-too-big"}, "icmp-type", "for proto 'icmp'"),
        ({"proto": "1", "icmp-type": "redirect"}, "proto", "'icmp-type' requires this property"),
        ({"source": "10.4.0.1/16"}, "source", "Invalid prefix"),
        ({"source": "10.4.0.1,"}, "source", "extraneous commas"),
        ({"source": "10.4.0.1, 10.4.0.2"}, "source", "Invalid chars in IP  10.4.0.2"),
        ({"source": "10.4.0.1-10.4.0.3,10.4.0.9"}, "source", "can't use a range in a list"),
        ({"source": "10.4.0.1,2001:db8::1"}, "source", "detected mixed ipv4/ipv6"),
        ({"source": "10.4.0.1", "dest": "2001:db8::1"}, "dest", "detected mixed ipv4/ipv6"),
        ({"proto": "icmp", "dest": "2001:db8::1"}, "dest", "detected mixed ipv4/ipv6"),
        ({"source": "missing"}, "source", "no such alias 'missing'"),
        ({"source": "+missing"}, "source", "no such ipset 'missing'"),
    ],
)
def test_wrong_rules_name_one_parameter(pve: LabClient, params: dict[str, str], named: str, text: str) -> None:
    errors = pve.errors("POST", RULES, **{"type": "forward", "action": "ACCEPT", **params})
    assert errors.keys() == {named}
    assert text in errors[named]
    assert pve.get(RULES) == []


def test_what_the_schema_finds_is_named_all_at_once(pve: LabClient) -> None:
    params = {"type": "forward", "action": "A", "source": "a b", "proto": "x", "dport": "y", "log": "z", "enable": "no"}
    assert pve.errors("POST", RULES, **params).keys() == params.keys() - {"type"}


def test_aliases_of_both_versions_are_refused_without_a_name(pve: LabClient) -> None:
    pve.lab.firewall_names.aliases.update(four="10.4.0.1", six="2001:db8::1")
    text = pve.message("POST", RULES, type="forward", action="DROP", source="four", dest="six")
    assert text == "detected mixed ipv4/ipv6 addresses in rule\n"


@pytest.mark.parametrize(
    ("path", "delete", "text"),
    [
        (f"{RULES}/0", "colour", "no such property ('colour')"),
        (f"{RULES}/0", "ipversion", "no such property ('ipversion')"),
        (f"{RULES}/0", "comment,type", "unable to delete required property 'type'"),
        (OPTIONS, "enable,colour", "no such option 'colour'"),
        (OPTIONS, "digest", "no such option 'digest'"),
    ],
)
def test_what_cannot_be_deleted(pve: LabClient, path: str, delete: str, text: str) -> None:
    add(pve)
    pve.put(OPTIONS, enable=1)
    assert pve.errors("PUT", path, delete=delete) == {"delete": text}
    assert comments(pve) == ["a"]
    assert pve.get(OPTIONS)["enable"] == 1


def test_a_dropped_condition_is_checked_against_what_stays(pve: LabClient) -> None:
    add(pve, proto="tcp", dport="22")
    assert pve.errors("PUT", f"{RULES}/0", delete="proto").keys() == {"proto"}
    pve.put(f"{RULES}/0", delete="proto,dport")
    assert not {"proto", "dport"} & pve.get(RULES)[0].keys()


# --- when there is one ----------------------------------------------------------------------------------------------


def test_only_an_applied_vnet_has_a_firewall(pve: LabClient) -> None:
    pve.post("/cluster/sdn/vnets", vnet="v2", zone="z1", tag=5002)
    for path in ("options", "rules"):
        text = pve.message("GET", f"/cluster/sdn/vnets/v2/firewall/{path}")
        assert text.startswith("invalid vnet specified at ")
    pve.put("/cluster/sdn")
    assert pve.get("/cluster/sdn/vnets/v2/firewall/rules") == []


def test_a_firewall_outlives_its_vnet(pve: LabClient) -> None:
    """Proxmox leaves the file: it works until the deletion is applied, and a new VNet of that name has it again."""
    add(pve)
    pve.delete("/cluster/sdn/vnets/v1")
    add(pve, "b")
    pve.put("/cluster/sdn")
    assert "invalid vnet specified" in pve.message("GET", RULES)
    pve.post("/cluster/sdn/vnets", vnet="v1", zone="z1", tag=5001)
    pve.put("/cluster/sdn")
    assert comments(pve) == ["b", "a"]


def test_neither_lock_nor_rollback_is_known_here(pve: LabClient) -> None:
    token = pve.post("/cluster/sdn/lock")
    add(pve)
    pve.post("/cluster/sdn/rollback", lock_token=token)
    assert comments(pve) == ["a"]


def test_the_index_needs_no_vnet(pve: LabClient) -> None:
    assert pve.get("/cluster/sdn/vnets/none/firewall") == [{"name": "rules"}, {"name": "options"}]


# --- the parts ------------------------------------------------------------------------------------------------------


def test_every_macro_is_found_in_any_case() -> None:
    assert all(canonical(name.upper()) == canonical(name.lower()) == name for name in MACROS)
    assert all(line.keys() <= {"proto", "dport", "sport"} for macro in MACROS.values() for line in macro.lines)


@pytest.mark.parametrize("text", ["", "+a1", "some-alias", "dc/alias", "10.0.0.0/255.0.0.0"])
def test_addresses_that_are_taken(text: str) -> None:
    address_version(text)


@pytest.mark.parametrize("text", ["ssh", "80,443", "1:2", "", "echo-request"])
def test_ports_that_are_taken(text: str) -> None:
    check_ports(text, icmp=True)


_property = st.fixed_dictionaries(
    {"type": st.just("forward"), "action": st.sampled_from(["ACCEPT", "DROP"]), "enable": st.sampled_from([0, 1])},
    optional={
        "source": st.sampled_from(["10.0.0.0/8", "10.0.0.1,10.0.0.2"]),
        "dest": st.sampled_from(["10.1.0.1-10.1.0.9"]),
        "log": st.sampled_from(["info", "nolog"]),
        "comment": st.text(st.characters(codec="ascii", categories=("L", "N", "P")), min_size=2).filter(
            lambda text: text.lstrip("#") != ""
        ),
    },
)


@given(_property)
def test_a_line_that_is_read_and_written_again_is_the_same(rule: dict[str, Any]) -> None:
    line = written(rule)
    found = read(line, KnownNames())
    assert found is not None
    assert {key: value for key, value in found.items() if key != "ipversion"} == rule
    assert written(found) == line
