"""What bgpd prints of EVPN: sessions, VNIs, routes.

Each function takes the printed text of the command it names and raises `FrrParseError` only.
"""

from __future__ import annotations

import functools
import re
from collections import defaultdict
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Literal, NamedTuple

from pve_evpn.domain.observation import BgpVniRow, EvpnRoute, PeerState
from pve_evpn.observe.frr.json import (
    MAX_VNI,
    FrrParseError,
    Row,
    as_ip,
    as_mac,
    as_text,
    as_vni,
    by_vni,
    flag,
    mapping,
    moment,
    number,
    number_or_none,
    sequence,
    table,
    text,
    text_or_none,
)

_TARGET_FORM = re.compile(r"\S+:\d{1,10}")
_TARGET = re.compile(r"\bRT:(\S+?):(\d{1,10})(?!\S)")
_MOBILITY = re.compile(r"\bMM:(\d{1,10})(, sticky MAC)?")
_ROUTER_MAC = re.compile(r"\bRmac:(\S+)")
_PREFIX_TYPE = re.compile(r"\[(\d)\]:")
#: What FRR gives routes the node itself originates.
_OWN_WEIGHT = 32768
_NO_PEER = "(unspec)"


@dataclass(frozen=True, slots=True)
class BgpSummary:
    """``show bgp l2vpn evpn summary``. Without a router id there is no BGP, or no EVPN in it."""

    router_id: str | None = None
    asn: int | None = None
    peers: tuple[PeerState, ...] = ()


def summary(printed: str, errors: Mapping[str, str] | None = None) -> BgpSummary:
    """``show bgp l2vpn evpn summary json``; also ``show bgp summary json``, whose ``l2VpnEvpn`` is the same.

    `errors` are those of `reset_reasons`. ``peerState`` is not read: it is ``OK`` for dead peers too.
    """
    whole = table(printed)
    row = mapping(whole["l2VpnEvpn"], "l2VpnEvpn") if "l2VpnEvpn" in whole else whole
    peers = mapping(row.get("peers", {}), "peers")
    states = (_peer(address, mapping(peer, "a peer"), errors or {}) for address, peer in peers.items())
    return BgpSummary(text_or_none(row, "routerId"), number_or_none(row, "as"), tuple(states))


#: The families of ``show bgp summary json`` that routers outside of the overlay are peers in.
_UNICAST = ("ipv4Unicast", "ipv6Unicast")


def unicast_peers(printed: str) -> tuple[PeerState, ...]:
    """``show bgp summary json``: the peers in the unicast families, by address.

    One that is a peer in both counts once, with the prefixes of both.
    """
    whole = table(printed)
    found: dict[str, PeerState] = {}
    for family in _UNICAST:
        peers = mapping(mapping(whole.get(family, {}), family).get("peers", {}), "peers")
        for address, row in peers.items():
            peer = _peer(address, mapping(row, "a peer"), {})
            found[peer.address] = _both(found[peer.address], peer) if peer.address in found else peer
    return tuple(found[address] for address in sorted(found))


def advertised_to(printed: str) -> tuple[str, ...]:
    """``show bgp ipv4 unicast NETWORK json``: the peers its best path is advertised to; none without such a route."""
    peers = mapping(table(printed).get("advertisedTo", {}), "advertisedTo")
    return tuple(sorted(as_text(address, "a peer's address") for address in peers))


def _both(one: PeerState, other: PeerState) -> PeerState:
    worse = one if other.established else other
    return replace(
        worse,
        prefixes_received=_sum(one.prefixes_received, other.prefixes_received),
        prefixes_sent=_sum(one.prefixes_sent, other.prefixes_sent),
    )


def _sum(one: int | None, other: int | None) -> int | None:
    return None if one is None and other is None else (one or 0) + (other or 0)


def _peer(address: str, row: Row, errors: Mapping[str, str]) -> PeerState:
    state = text(row, "state")
    received = number_or_none(row, "pfxRcd")
    peer = PeerState(
        address=as_text(address, "a peer's address"),
        state=state,
        hostname=text_or_none(row, "hostname"),
        remote_as=number_or_none(row, "remoteAs"),
        since=moment(row, "peerUptimeEstablishedEpoch"),
        prefixes_received=received if received is not None else number_or_none(row, "prefixReceivedCount"),
        prefixes_sent=number_or_none(row, "pfxSnt"),
    )
    return peer if peer.established else replace(peer, last_error=errors.get(address))


def reset_reasons(printed: str) -> dict[str, str]:
    """``show bgp l2vpn evpn summary failed json``: why each peer that is down was last reset, in FRR's words."""
    reasons: dict[str, str] = {}
    for address, value in mapping(table(printed).get("peers", {}), "peers").items():
        peer = mapping(value, "a peer")
        words = [text_or_none(peer, key) for key in ("lastResetDueTo", "lastNotificationReason")]
        if said := ": ".join(word for word in words if word):
            reasons[as_text(address, "a peer's address")] = said
    return reasons


def vnis(printed: str) -> tuple[BgpVniRow, ...]:
    """``show bgp l2vpn evpn vni json``, by VNI."""
    return tuple(sorted((_vni(vni, row) for vni, row in by_vni(table(printed))), key=lambda row: row.vni))


def _vni(vni: int, row: Row) -> BgpVniRow:
    originator = text_or_none(row, "originatorIp")
    router_mac = text_or_none(row, "rmac")
    return BgpVniRow(
        vni=vni,
        type="L3" if text(row, "type") == "L3" else "L2",
        rd=text_or_none(row, "rd"),
        originator_ip=originator if originator != "0.0.0.0" else None,  # noqa: S104  # FRR's "not set"
        import_rts=_targets(row, "importRTs", "importRts"),
        in_kernel=None if (word := text_or_none(row, "inKernel")) is None else word == "True",
        router_mac=as_mac(router_mac, "rmac") if router_mac else None,
    )


def _targets(row: Row, *keys: str) -> tuple[str, ...]:
    """The route targets below the first of the keys that is there: FRR has renamed it."""
    key = next((key for key in keys if key in row), keys[0])
    targets = tuple(as_text(target, key) for target in sequence(row.get(key, []), key))
    if all(_TARGET_FORM.fullmatch(target) for target in targets):
        return targets
    raise FrrParseError(f"{key} holds no route targets")


class _Community(NamedTuple):
    """What is used of a route's extended communities."""

    targets: tuple[str, ...]
    mobility: int
    sticky: bool
    router_mac: str | None


class _Path(NamedTuple):
    """One path before its VNI is known."""

    prefix: str
    rd: str
    kind: int
    row: Row
    own: bool
    community: _Community


def routes(printed: str, vnis: Collection[BgpVniRow] | None = None) -> tuple[EvpnRoute, ...]:
    """``show bgp l2vpn evpn route [detail] [type ...] json``: every path of every route.

    Args:
        printed: FRR's answer.
        vnis: The node's own VNIs, whose import targets say which VNI a route belongs to. None: not known, and the
            VNI is taken from the form of the route targets.

    Only the detailed form states the VNI. See `_Placing` for the others; where it is not known, it is None.
    """
    found = [
        _path(prefix, rd, mapping(path, "a path"))
        for entry in _by_rd(table(printed))
        for rd in (text(entry, "rd"),)
        for prefix, value in entry.items()
        if prefix.startswith("[")
        for path in _flat(mapping(value, "a prefix").get("paths", []))
    ]
    placing = _Placing(vnis, found)
    return tuple(_route(path, placing) for path in found)


def _by_rd(whole: Row) -> Iterator[Row]:
    """The RD objects; FRR 10.3 lists those without a match as ``{}``."""
    for value in whole.values():
        if isinstance(value, dict) and value:
            yield value


def _flat(paths: object) -> Iterator[object]:
    """A list of lists of paths, for reasons of FRR's own."""
    for entry in sequence(paths, "paths"):
        if isinstance(entry, list):
            yield from entry
        else:
            yield entry


def _path(prefix: str, rd: str, row: Row) -> _Path:
    kind = row.get("routeType")
    if kind is None and (found := _PREFIX_TYPE.match(prefix)):
        kind = int(found[1])
    if not isinstance(kind, int) or isinstance(kind, bool):
        raise FrrParseError("a route of unknown type")
    own = _peer_id(row) == _NO_PEER or row.get("weight") == _OWN_WEIGHT
    return _Path(as_text(prefix, "a prefix"), rd, kind, row, own, _community(_words(row)))


def _route(path: _Path, placing: _Placing) -> EvpnRoute:
    kind, row, community = path.kind, path.row, path.community
    ip, mac = row.get("ip"), row.get("mac")
    vni, l3_vni = placing.of(path)
    return EvpnRoute(
        route_type=kind,
        prefix=path.prefix,
        rd=path.rd,
        vni=vni,
        l3_vni=l3_vni,
        mac=as_mac(mac, "mac") if mac is not None else None,
        ip=as_ip(ip, "ip") if ip is not None else None,
        prefix_length=number(row, "ipLen") if kind == 5 and "ipLen" in row else None,
        next_hop=_next_hop(row),
        own=path.own,
        best=_best(row),
        valid=flag(row, "valid"),
        mobility=community.mobility,
        sticky=community.sticky,
        route_targets=community.targets,
        router_mac=community.router_mac,
        peer=None if path.own else _peer_id(row),
    )


class _Placing:
    """Finds the VNIs of a path: the L2 VNI of types 2 and 3, the L3 VNI of type 5 and of routed type 2.

    First match wins:

    1. what the path states (the detailed form);
    2. the VNI that imports one of its route targets, as bgpd does (RFC 7432, 7.10);
    3. the VNI with the route distinguisher of a path that the node itself originates;
    4. the VNI that an automatic target names, where every VNI of the node has automatic targets.

    bgpd compares only the second number of an automatic target, so that neighbours in other ASes match: that is the
    VNI, or with ``autort rfc8365-compatible`` 0x10000000 + VNI. The last number of a route distinguisher is not the
    VNI, and neither is the second number of a configured target.
    """

    def __init__(self, vnis: Collection[BgpVniRow] | None, paths: Collection[_Path]) -> None:
        self._by_target: defaultdict[str, set[_Place]] = defaultdict(set)
        self._by_number: defaultdict[int, set[_Place]] = defaultdict(set)
        self._by_rd: dict[str, _Place] = {}
        for row in vnis or ():
            place = (row.type, row.vni)
            for target in row.import_rts:
                administrator, number_ = _parts(target)
                self._by_target[target].add(place)
                if administrator == "*" or _named(target) == row.vni:
                    self._by_number[number_].add(place)
            if not row.import_rts:
                self._by_number[row.vni].add(place)
                self._by_number[_RFC8365 + row.vni].add(place)
            if row.rd:
                self._by_rd[row.rd] = place
        self._may_guess = vnis is None or (bool(vnis) and all(map(_automatic, vnis)))
        self._l2 = {row.vni for row in vnis or () if row.type == "L2"}
        self._l3 = {row.vni for row in vnis or () if row.type == "L3"}
        for path in paths:
            # MAC-only and type 3 routes carry L2 VNIs only, type 5 routes L3 VNIs only.
            named = [vni for target in path.community.targets if (vni := _named(target))]
            if path.kind == 3 or (path.kind == 2 and path.row.get("ip") is None):
                self._l2.update(named)
            elif path.kind == 5:
                self._l3.update(named)
        self._known: dict[tuple[object, ...], tuple[int | None, int | None]] = {}

    def of(self, path: _Path) -> tuple[int | None, int | None]:
        """L2 and L3 VNI; of type 5 the L3 VNI twice."""
        stated = _stated_vnis(path.row)
        key = (path.kind, path.community.targets, stated, path.rd if path.own else None)
        if key not in self._known:
            self._known[key] = self._place(path, *stated)
        return self._known[key]

    def _place(self, path: _Path, stated: int | None, stated_l3: int | None) -> tuple[int | None, int | None]:
        targets = path.community.targets
        own = self._by_rd.get(path.rd) if path.own else None
        guess_l2, guess_l3 = self._guess(path.kind, targets)
        third = stated_l3 or self._importing("L3", targets)
        if path.kind == 5:
            third = stated or third or (own[1] if own else None) or guess_l3
            return third, third
        second = stated or self._importing("L2", targets) or (own[1] if own and own[0] == "L2" else None)
        return second or guess_l2, third or guess_l3

    def _importing(self, type_: str, targets: tuple[str, ...]) -> int | None:
        """The one VNI of a type that imports one of the targets."""
        exact = {place for target in targets for place in self._by_target.get(target, ())}
        numbers = {place for target in targets for place in self._by_number.get(_parts(target)[1], ())}
        for places in (exact, numbers):
            if found := [vni for kind, vni in places if kind == type_]:
                return _only(found)
        return None

    def _guess(self, kind: int, targets: tuple[str, ...]) -> tuple[int | None, int | None]:
        if not self._may_guess:
            return None, None
        named = [vni for target in targets if (vni := _named(target))]
        third = _only([vni for vni in named if vni in self._l3])
        if kind == 5:
            third = third or _only(named)
            return third, third
        others = _only([vni for vni in named if vni not in self._l3])
        return others or _only([vni for vni in named if vni in self._l2]), third


#: Type and number of a VNI.
_Place = tuple[Literal["L2", "L3"], int]
#: What ``autort rfc8365-compatible`` adds to the VNI: type VXLAN (RFC 8365, 5.1.2.1).
_RFC8365 = 0x10000000


def _parts(target: str) -> tuple[str, int]:
    """``65001:5001`` in its administrator and its number."""
    administrator, _, number_ = target.rpartition(":")
    return administrator, int(number_)


def _named(target: str) -> int | None:
    """The VNI that a target names if it is automatic; None if its number can be none."""
    number_ = _parts(target)[1]
    if _RFC8365 < number_ <= _RFC8365 + MAX_VNI:
        number_ -= _RFC8365
    return number_ if 0 < number_ <= MAX_VNI else None


def _automatic(row: BgpVniRow) -> bool:
    return any(_named(target) == row.vni for target in row.import_rts)


def _only(candidates: Collection[int]) -> int | None:
    """The one candidate; of several none, because a guess would put a MAC into the wrong VNI."""
    distinct = set(candidates)
    return distinct.pop() if len(distinct) == 1 else None


def _stated_vnis(path: Row) -> tuple[int | None, int | None]:
    """``vni`` of the detailed form: ``"5001"`` or ``"5001/9000"``; remote type 3 has it as PMSI label only."""
    if (stated := path.get("vni")) is not None:
        second, _, third = str(stated).partition("/")
        return as_vni(second), as_vni(third) if third else None
    if (pmsi := path.get("pmsi")) is not None and (label := mapping(pmsi, "pmsi").get("label")):
        return as_vni(label), None
    return None, None


def _words(path: Row) -> str:
    """``extendedCommunity.string``; longer than other texts, because it may carry many route targets."""
    value = path.get("extendedCommunity")
    if value is None:
        return ""
    words = mapping(value, "extendedCommunity").get("string", "")
    if isinstance(words, str) and len(words) <= 8192:
        return words
    raise FrrParseError("extendedCommunity is no text")


@functools.lru_cache(maxsize=4096)
def _community(words: str) -> _Community:
    """Thousands of routes carry the same few communities."""
    targets = _TARGET.findall(words)
    mobility = _MOBILITY.search(words)
    router_mac = _ROUTER_MAC.search(words)
    return _Community(
        targets=tuple(f"{administrator}:{assigned}" for administrator, assigned in targets),
        mobility=int(mobility[1]) if mobility else 0,
        sticky=bool(mobility and mobility[2]),
        router_mac=as_mac(router_mac[1], "Rmac") if router_mac else None,
    )


def _peer_id(path: Row) -> str | None:
    if "peerId" in path:
        return text_or_none(path, "peerId")
    peer = path.get("peer")
    return None if peer is None else text_or_none(mapping(peer, "peer"), "peerId")


def _best(path: Row) -> bool:
    """True or absent; an object with ``overall`` in the detailed form."""
    best = path.get("bestpath", False)
    if isinstance(best, dict):
        return flag(best, "overall")
    return flag(path, "bestpath")


def _next_hop(path: Row) -> str | None:
    """The next hop in use, or else the first."""
    first = None
    for value in sequence(path.get("nexthops", []), "nexthops"):
        hop = mapping(value, "a next hop")
        if (ip := hop.get("ip")) is None:
            continue
        if hop.get("used") is True:
            return as_ip(ip, "a next hop")
        first = first or ip
    return None if first is None else as_ip(first, "a next hop")
