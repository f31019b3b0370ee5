"""One answer of the node's helper, and the `NodeObservation` in it.

`pve-evpn-observe read` prints all documents of one vtysh, each below vtysh's own echo of the command, between a
first and a last line of its own. This module splits that and decides, per part, between *unknown* and *nothing*. It
does not talk to nodes.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Literal, TypeVar

from pve_evpn.domain.observation import BgpVniRow, FabricNeighbour, NodeObservation
from pve_evpn.observe.frr import bgpd, underlay, zebra
from pve_evpn.observe.frr.json import FrrParseError, as_text

VERSION = "show version"
EVPN = "show evpn json"
VNIS = "show evpn vni json"
MACS = "show evpn mac vni all json"
DEFAULTS = "show ip route vrf all 0.0.0.0/0 json"
SUMMARY = "show bgp l2vpn evpn summary json"
RESET_REASONS = "show bgp l2vpn evpn summary failed json"
UNICAST = "show bgp summary json"
BGP_VNIS = "show bgp l2vpn evpn vni json"
ROUTES = "show bgp l2vpn evpn route json"
BFD = "show bfd peers json"
OSPF = "show ip ospf neighbor json"
OPENFABRIC = "show openfabric neighbor json"
ISIS = "show isis neighbor json"

#: Everything the helper runs, by daemon and in its order. `show bgp l2vpn evpn route vni all` is not, and must
#: never be among them: it kills bgpd of FRR 10.3.
COMMANDS: Mapping[str, tuple[str, ...]] = {
    "zebra": (VERSION, EVPN, VNIS, MACS, DEFAULTS),
    "bgpd": (SUMMARY, RESET_REASONS, UNICAST, BGP_VNIS, ROUTES),
    "bfdd": (BFD,),
    "ospfd": (OSPF,),
    "fabricd": (OPENFABRIC,),
    "isisd": (ISIS,),
}

_FORMAT = "pve-evpn-observe "
_MARK = re.compile(r"(?:pve-evpn-observe (?P<word>.*)|\S{0,80}?[#>] (?P<command>show [a-z0-9 ./-]+))\r?$")
#: What every line that is not FRR's own holds, and how far from its beginning at most.
_WORDS, _FARTHEST = (_FORMAT, "# show ", "> show "), 100
#: What the helper itself reads of the node, a line for each, and how many words of it are used.
RP_FILTER, SNAT = "rp_filter", "snat"
_HOST, _MOST_WORDS = (RP_FILTER, SNAT), 1024
#: Lines between documents; an answer has about 20.
_MOST_MARKS = 10_000
#: What the helper says in its second line since it knows the command of that name.
_ALSO_ADVERTISED = _FORMAT + "also advertised"
_NETWORK = re.compile(r"show bgp ipv4 unicast (\S+) json")
_Part = TypeVar("_Part")


@dataclass(frozen=True, slots=True)
class Answer:
    """The helper's answer, split: printed text by command, daemons that do not run, errors in the helper's words.

    `host`: what the helper itself read of the node, by its word for that; absent where it could not, or is older.
    """

    documents: Mapping[str, str]
    down: frozenset[str] = frozenset()
    errors: tuple[str, ...] = ()
    host: Mapping[str, tuple[str, ...]] = field(default_factory=dict)


def split(answer: str) -> Answer:
    """The parts of one answer. Raises `FrrParseError` if it is none, of another version, or cut off."""
    first, _, _ = answer.partition("\n")
    if not first.startswith(_FORMAT):
        raise FrrParseError("the node did not answer as pve-evpn-observe does; is it the key's forced command?")
    if first.strip() != _FORMAT + "1":
        raise FrrParseError("pve-evpn-observe on the node is of another version; install the one of this release")
    marks = _marks(answer)
    if marks[-1]["word"] != "end":
        raise FrrParseError("the answer was cut off")
    documents: dict[str, str] = {}
    down: set[str] = set()
    errors: list[str] = []
    host: dict[str, tuple[str, ...]] = {}
    for mark, following in zip(marks, [*marks[1:], None], strict=True):
        if command := mark["command"]:
            documents[command] = answer[mark.end() : following.start() if following else len(answer)].strip()
            continue
        word, _, rest = mark["word"].partition(" ")
        if word == "down" and rest in COMMANDS:
            down.add(rest)
        elif word == "error":
            errors.append(as_text(rest[:200], "an error"))
        elif word in _HOST:
            host[word] = tuple(as_text(each, word) for each in rest.split()[:_MOST_WORDS])
    for daemon in down:
        for command in COMMANDS[daemon]:
            documents.pop(command, None)  # vtysh echoes a command before it finds the daemon dead
    return Answer(documents, frozenset(down), tuple(errors), host)


def _marks(answer: str) -> list[re.Match[str]]:
    """The lines between the documents. Looked for by their words: a pattern tried on each line of some megabytes of
    JSON takes as long as reading it."""
    starts = set()
    for word in _WORDS:
        position = answer.find(word)
        while position >= 0:
            begin = answer.rfind("\n", max(0, position - _FARTHEST), position) + 1
            if begin or position <= _FARTHEST:
                starts.add(begin)
            position = answer.find(word, position + 1)
    if len(starts) > _MOST_MARKS:
        raise FrrParseError("an answer of too many parts")
    ends = ((start, answer.find("\n", start)) for start in sorted(starts))
    found = (_MARK.match(answer, start, end if end >= 0 else len(answer)) for start, end in ends)
    return [mark for mark in found if mark]


class _Reading:
    """Reads parts of one answer and keeps what was wrong with them: one bad document spoils itself only."""

    def __init__(self, answer: Answer) -> None:
        self.answer = answer
        self.problems = list(answer.errors)

    def part(self, command: str, parse: Callable[[str], _Part]) -> _Part | None:
        printed = self.answer.documents.get(command)
        if printed is None:
            return None
        try:
            if printed.startswith("% "):
                raise FrrParseError(as_text(printed.partition("\n")[0][:120].strip(), "FRR's complaint"))
            return parse(printed)
        except FrrParseError as error:
            self.problems.append(f"{command}: {error}")
            return None


def observation(node: str, at: datetime, answer: str, source: Literal["ssh"] = "ssh") -> NodeObservation:
    """What the answer says. Raises `FrrParseError` only if it is no complete answer at all."""
    read = _Reading(split(answer))
    down = read.answer.down
    read.problems.extend(f"{daemon} is not running" for daemon in ("zebra", "bgpd") if daemon in down)

    reasons = read.part(RESET_REASONS, bgpd.reset_reasons)
    summary = read.part(SUMMARY, lambda printed: bgpd.summary(printed, reasons))
    bgp_running = False if "bgpd" in down else None if summary is None else summary.router_id is not None
    if bgp_running is False and "bgpd" not in down:
        read.problems.append("bgpd has no EVPN configured")

    evpn_on = read.part(EVPN, zebra.evpn_is_on)
    vnis = read.part(VNIS, zebra.vnis) if evpn_on else None
    bgp_vnis = read.part(BGP_VNIS, bgpd.vnis) if bgp_running else None
    # Where bgpd's table cannot be read, its targets are not known, and zebra's says at least which VNIs there are.
    own = bgp_vnis if bgp_vnis is not None else tuple(BgpVniRow(row.vni, row.type) for row in vnis or ())
    return NodeObservation(
        node=node,
        source=source,
        at=at,
        frr_version=read.part(VERSION, zebra.version),
        router_id=summary.router_id if summary else None,
        asn=summary.asn if summary else None,
        bgp_running=bgp_running,
        peers=() if bgp_running is False else summary.peers if summary else None,
        unicast_peers=() if "bgpd" in down else read.part(UNICAST, bgpd.unicast_peers),
        vnis=vnis,
        bgp_vnis=bgp_vnis,
        macs=read.part(MACS, zebra.macs) if evpn_on else None,
        routes=read.part(ROUTES, lambda printed: bgpd.routes(printed, own)) if bgp_running else None,
        bfd_peers=read.part(BFD, underlay.bfd_peers),
        fabric_neighbours=_underlay(read),
        isis_running=_isis_running(read.answer),
        isis_neighbours=() if "isisd" in down else read.part(ISIS, underlay.isis_neighbours),
        default_routes=read.part(DEFAULTS, zebra.default_routes),
        rp_filter=_rp_filter(read.answer.host.get(RP_FILTER)),
        translated=read.answer.host.get(SNAT),
        problems=tuple(sorted(set(read.problems))),
    )


def reads_advertised(answer: str) -> bool:
    """Whether the helper that gave this answer to `read` knows the command `advertised`."""
    return answer.partition("\n")[2].startswith(_ALSO_ADVERTISED)


def advertised(answer: str) -> dict[str, tuple[str, ...]]:
    """The answer to `advertised`: by network the peers it is advertised to. Raises `FrrParseError`."""
    found = split(answer)
    if found.errors:
        raise FrrParseError(found.errors[0])
    return {
        network[1]: bgpd.advertised_to(printed)
        for command, printed in found.documents.items()
        if (network := _NETWORK.fullmatch(command))
    }


def _rp_filter(words: tuple[str, ...] | None) -> dict[str, int] | None:
    """``all=0 vrfbr_tenants=2`` as numbers; None where nothing could be read."""
    pairs = (word.rpartition("=") for word in words or ())
    return {name: int(value) for name, _, value in pairs if name and value in ("0", "1", "2")} or None


def _isis_running(answer: Answer) -> bool | None:
    """None where the helper is of the time before it read isisd."""
    return False if "isisd" in answer.down else True if ISIS in answer.documents else None


def _underlay(read: _Reading) -> tuple[FabricNeighbour, ...] | None:
    """Neighbours of both protocols; a daemon that does not run is not used, which is no problem."""
    ospf = read.part(OSPF, underlay.ospf_neighbours)
    openfabric = read.part(OPENFABRIC, underlay.openfabric_neighbours)
    return None if ospf is None and openfabric is None else (ospf or ()) + (openfabric or ())
