"""What the commands for people say beside vtysh's own words, on real FRR: sessions, VNIs, routes and where a MAC is.

vtysh is read here, by the text and JSON it prints for network people; nothing of the operator's parsers is used.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from pve_evpn.cli.program import COMMANDS
from pve_lab.guests import Guest
from tests.cli.every_command import LEFT_OUT, Tour
from tests.e2e.full_tables import FullTables, run
from tests.frr.conftest import Observing
from tests.frr.world import NODES, VM1, VNI
from tests.waiting import await_

pytestmark = [pytest.mark.cli, pytest.mark.frr_long]


class Unmanaged(NamedTuple):
    """A guest that no NicAttachment stands for."""

    vmid: int
    mac: str
    bridge: str
    node: str
    ip: str = ""


UNMANAGED = (
    Unmanaged(300, "bc:24:11:00:03:00", "EVPN1", "pve1", "10.50.1.30"),
    Unmanaged(301, "bc:24:11:00:03:01", "EVPN1", "pve2"),
    Unmanaged(302, "bc:24:11:00:03:02", "EVPN2", "pve2", "10.50.2.32"),
)


@pytest.fixture(scope="module")
def full(observing: Observing) -> Iterator[FullTables]:
    """With a second VNet and its VNI, and guests in both that no NicAttachment stands for."""
    vnet = observing.document("VNet")
    second = {**vnet, "metadata": {"name": "evpn2", "namespace": "default"}}
    second["spec"] = {"zoneRef": vnet["spec"]["zoneRef"], "id": "EVPN2", "vni": 5002}
    with FullTables(observing.stack) as made:
        observing.stack.apply(second)
        observing.stack.await_ready(second)
        for each in UNMANAGED:
            config = {"net0": f"virtio={each.mac.upper()},bridge={each.bridge}"}
            observing.lab.guests[each.vmid] = Guest(each.vmid, "qemu", each.node, f"vm{each.vmid}", config, ip=each.ip)
        observing.agree()
        yield made
        take_guests_away(observing)


@pytest.fixture(scope="module")
def admin(full: FullTables) -> Path:
    """Who may read all tables, once the operator that was started anew has read every node."""
    user = full.user("netadmin", "cluster-admin")
    await_("it has the tables of every node", lambda: "unread" not in answer(user, "routes", "evpn1", "--full"))
    return user


def take_guests_away(observing: Observing) -> None:
    """A VNet that guests of others are on cannot be deleted."""
    for each in UNMANAGED:
        observing.lab.guests.pop(each.vmid, None)


def answer(kubeconfig: Path, *arguments: str) -> Any:
    done = run(kubeconfig, *arguments, "-o", "json")
    assert done.returncode in (0, 3), done.stderr
    return json.loads(done.stdout)


def agree(what: str, shown: Any, seen: Any) -> None:
    """Wait until the command says what vtysh says: an answer is as old as the operator's last poll, two seconds."""
    last: list[Any] = []

    def same() -> bool:
        last[:] = [shown(), seen()]
        return bool(last[0] == last[1])

    try:
        await_(what, same, 20)
    except AssertionError:
        assert last[0] == last[1], what


# --- vtysh, read ----------------------------------------------------------------------------------------------------


def summary(observing: Observing, node: str) -> dict[str, tuple[int, str, Any, Any]]:
    """Per neighbor: AS, state, prefixes received and sent, as the table of `show bgp l2vpn evpn summary` has them.

    The column is ``State/PfxRcd``: a number means Established.
    """
    text = observing.frr.vtysh(node, "show bgp l2vpn evpn summary")
    head = next(line for line in text.splitlines() if line.startswith("Neighbor"))
    assert head.split()[:3] == ["Neighbor", "V", "AS"]
    found = {}
    for line in text.splitlines():
        if match := re.match(r"^(?:\S+\()?(\d+\.\d+\.\d+\.\d+)\)?\s+4\s+(.*)$", line):
            cells = match[2].split()
            asn, up_down = int(cells[0]), cells[6]
            assert re.fullmatch(r"never|\d\d:\d\d:\d\d|\d+[dwy].*", up_down), line
            state, sent = cells[7], cells[8]
            established = state.isdigit()
            found[match[1]] = (
                asn,
                "Established" if established else state,
                int(state) if established else 0,
                int(sent) if sent.isdigit() else 0,
            )
    return found


def vnis(observing: Observing, node: str) -> dict[int, tuple[str, int, int, Any, str]]:
    """Per VNI: type, MACs, ARPs, remote VTEPs and tenant VRF, as the table of `show evpn vni` has them."""
    text = observing.frr.vtysh(node, "show evpn vni")
    found = {}
    for line in text.splitlines():
        if match := re.match(r"^(\d+)\s+(L2|L3)\s+(\S+)\s+(\d+)\s+(\d+)\s+(\d+|n/a)\s+(\S+)", line):
            vteps = None if match[6] == "n/a" else int(match[6])
            found[int(match[1])] = (match[2], int(match[4]), int(match[5]), vteps, match[7])
    return found


def routes(observing: Observing, node: str, vni: int = VNI) -> set[tuple[int, str, str, str, int]]:
    """Type, RD, prefix, next hop and mobility sequence of each path of types 2 and 3 with the VNI's route target."""
    whole = json.loads(re.sub(r"^\s*\{\s*,", "{", observing.frr.vtysh(node, "show bgp l2vpn evpn route json")))
    found = set()
    for rd, entry in whole.items():
        if not isinstance(entry, dict):
            continue
        for prefix, value in entry.items():
            if not prefix.startswith("["):
                continue
            for path in (path for group in value["paths"] for path in group):
                words = path.get("extendedCommunity", {}).get("string", "")
                kind = int(prefix[1])
                if kind in (2, 3) and re.search(rf"\bRT:\d+:{vni}\b", words):
                    moves = re.search(r"\bMM:(\d+)", words)
                    hop = path["nexthops"][0]["ip"]
                    found.add((kind, rd, prefix, hop, int(moves[1]) if moves else 0))
    return found


def macs(observing: Observing, node: str, mac: str) -> set[tuple[str, str, int, int]]:
    """Type, port or VTEP, and both sequence numbers of a MAC, as the table of `show evpn mac vni` has them."""
    found = set()
    for line in observing.frr.vtysh(node, f"show evpn mac vni {VNI}").splitlines():
        pattern = r"^(\S+)\s+(local|remote)\s+(?:[NSXIPR]+\s+)?(\S+)\s+(?:\d+\s+)?(\d+)/(\d+)\s*$"
        if (match := re.match(pattern, line)) and match[1] == mac:
            found.add((match[2], match[3], int(match[4]), int(match[5])))
    return found


# --- the commands beside it ---------------------------------------------------------------------------------------


def test_peers_are_those_of_show_bgp_l2vpn_evpn_summary(observing: Observing, full: FullTables, admin: Path) -> None:
    for options in (["--full"], ["--no-full"]):
        for node in NODES:

            def shown(node: str = node, options: list[str] = options) -> Any:
                (rows,) = (v for k, v in answer(admin, "peers", node, *options).items() if k != "source")
                return {
                    row["neighbor"]: (row["as"], row["state"], row["received"] or 0, row["sent"] or 0) for row in rows
                }

            agree(f"peers {node} {options}", shown, lambda node=node: summary(observing, node))


def test_vni_is_show_evpn_vni(observing: Observing, full: FullTables, admin: Path) -> None:
    for options in (["--full"], ["--no-full"]):

        def shown(options: list[str] = options) -> Any:
            tables = {k: v for k, v in answer(admin, "vni", *options).items() if k != "source"}
            return {
                node.removeprefix("pve-"): {
                    row["vni"]: (row["type"], row["macs"], row["arpNd"], row["remoteVteps"], row["vrf"]) for row in rows
                }
                for node, rows in tables.items()
            }

        agree(f"vni {options}", shown, lambda: {node: vnis(observing, node) for node in NODES})


@pytest.mark.parametrize(("vnet", "vni"), [("evpn1", VNI), ("evpn2", 5002)])
def test_routes_are_those_of_show_bgp_l2vpn_evpn_route(
    vnet: str, vni: int, observing: Observing, full: FullTables, admin: Path
) -> None:
    def shown() -> Any:
        rows = answer(admin, "routes", vnet, "--full")["routes"]
        assert {row["seenBy"] for row in rows} == {"4 of 4"}
        return {
            (row["type"], row["rd"], row["prefix"], row["nextHop"], row["mobilitySequence"])
            for row in rows
            if row["type"] in (2, 3)
        }

    macs = [each.mac for each in UNMANAGED if each.bridge == vnet.upper()]
    await_("FRR advertises them", lambda: all(mac in str(routes(observing, "pve4", vni)) for mac in macs))
    agree(f"routes {vnet}", shown, lambda: routes(observing, "pve1", vni))


def test_routes_from_statuses_are_those_of_nicattachments(observing: Observing, full: FullTables, admin: Path) -> None:
    def shown() -> Any:
        rows = answer(admin, "routes", "evpn1", "--no-full")["routes"]
        return {(row["type"], row["prefix"], row["nextHop"], row["mobilitySequence"] or 0) for row in rows}

    def seen() -> Any:
        found = routes(observing, "pve1")
        return {(kind, prefix, hop, moves) for kind, _, prefix, hop, moves in found if kind == 3 or VM1 in prefix}

    agree("routes evpn1 --no-full", shown, seen)


def test_trace_says_where_vtysh_has_the_mac(observing: Observing, full: FullTables, admin: Path) -> None:
    names = {address: name for name, address in NODES.items()}

    def shown() -> Any:
        (facts,) = (v for k, v in answer(admin, "trace", VM1).items() if k.startswith("nic/"))
        return facts.get("advertisedBy"), facts.get("mobilitySequence", 0), facts["vni"], facts.get("evpn")

    def seen() -> Any:
        found = {(hop, moves) for _, _, prefix, hop, moves in routes(observing, "pve1") if VM1 in prefix}
        hop, moves = max(found or {(None, 0)}, key=lambda each: each[1])  # what it moved from goes a little later
        return names.get(hop), moves, VNI, "Advertised" if hop else "Silent"

    agree("trace before", shown, seen)
    home = observing.lab.guests[100].node
    other = "pve3" if home != "pve3" else "pve2"
    observing.lab.move(observing.lab.guests[100], other)
    await_("vtysh has the MAC there", lambda: seen()[0] == other)
    observing.agree()
    agree("trace after the move", shown, seen)
    assert shown()[1] >= 1


@pytest.mark.parametrize("mac", [VM1, UNMANAGED[0].mac])
def test_trace_has_the_macs_routes_and_rows_of_vtysh(
    mac: str, observing: Observing, full: FullTables, admin: Path
) -> None:
    """Also of a guest that no NicAttachment stands for."""

    def shown() -> Any:
        data = answer(admin, "trace", mac, "--full")
        (paths,) = (rows for key, rows in data.items() if key.startswith("routes/"))
        (rows,) = (rows for key, rows in data.items() if key.startswith("macs/"))
        return (
            {(row["type"], row["rd"], row["prefix"], row["nextHop"], row["mobilitySequence"]) for row in paths},
            {
                (
                    row["node"],
                    row["type"],
                    row["port"] or row["remoteVtep"],
                    row["localSequence"],
                    row["remoteSequence"],
                )
                for row in rows
            },
        )

    def seen() -> Any:
        rows = {(node, *row) for node in NODES for row in macs(observing, node, mac)}
        return {route for route in routes(observing, "pve1") if mac in route[2]}, rows

    await_("vtysh has it everywhere", lambda: len(seen()[1]) == len(NODES))
    agree(f"trace {mac}", shown, seen)


def test_a_session_that_is_down_is_down_in_both(observing: Observing, full: FullTables, admin: Path) -> None:
    observing.frr.nodes["pve2"].kill_daemon("bgpd")
    try:
        await_("vtysh shows it", lambda: summary(observing, "pve1")[NODES["pve2"]][1] != "Established", 40)

        def shown() -> Any:
            done = run(admin, "peers", "pve1", "--full", "-o", "json")
            assert done.returncode == 0, done.stderr
            (rows,) = json.loads(done.stdout).values()
            return {row["neighbor"]: row["state"] == "Established" for row in rows}

        def seen() -> Any:
            return {peer: row[1] == "Established" for peer, row in summary(observing, "pve1").items()}

        agree("peers while bgpd of pve2 is dead", shown, seen)
    finally:
        observing.frr.nodes["pve2"].start_daemon("bgpd")
    observing.agree()


def test_every_command_on_real_frr(observing: Observing, full: FullTables, admin: Path, tmp_path: Path) -> None:
    take_guests_away(observing)
    tour = Tour(observing.stack, full, admin, tmp_path)
    tour.whole()
    assert tour.used == {name for commands in COMMANDS.values() for name in commands} - LEFT_OUT


def test_without_a_way_to_full_tables_the_statuses_answer_and_say_so(
    observing: Observing, full: FullTables, admin: Path
) -> None:
    certificate = observing.stack.plane.kubeconfig  # the administrator's, without a token
    done = run(certificate, "peers", "pve1")
    assert done.returncode == 0, done.stderr
    assert "From statuses, which hold a part: your kubeconfig has no token" in done.stdout
    done = run(certificate, "peers", "pve1", "--full")
    assert done.returncode == 1
    assert "full tables cannot be had: your kubeconfig has no token" in done.stderr
