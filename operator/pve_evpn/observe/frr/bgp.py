"""What bgpd says of EVPN: sessions, VNIs, routes.

Each function takes the printed text of the command it names and raises `FrrParseError` only.
"""

from __future__ import annotations

import functools
import re
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass, replace
from typing import NamedTuple

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
        import_rts=_targets(row, "importRTs"),
        export_rts=_targets(row, "exportRTs"),
        in_kernel=None if (word := text_or_none(row, "inKernel")) is None else word == "True",
        router_mac=as_mac(router_mac, "rmac") if router_mac else None,
    )


def _targets(row: Row, key: str) -> tuple[str, ...]:
    return tuple(as_text(target, key) for target in sequence(row.get(key, []), key))


class _Community(NamedTuple):
    """What is of interest in an extended community."""

    targets: tuple[str, ...]
    named: tuple[int, ...]
    """The VNIs its route targets may name."""
    mobility: int
    sticky: bool
    router_mac: str | None


class _Path(NamedTuple):
    """One path before its VNI is known."""

    prefix: str
    rd: str
    kind: int
    row: Row
    community: _Community


def routes(printed: str, l2_vnis: Collection[int] = (), l3_vnis: Collection[int] = ()) -> tuple[EvpnRoute, ...]:
    """``show bgp l2vpn evpn route [detail] [type ...] json``: every path of every route.

    Only the detailed form states the VNI. Otherwise it is the number in the route target that is an L2 VNI. Which
    numbers are is learnt from `l2_vnis` and `l3_vnis` (the node's own tables) and from the routes themselves: type
    3 and MAC-only routes carry L2 VNIs only, type 5 routes L3 VNIs only. The RD's last number is not the VNI.
    """
    found = [
        _path(prefix, rd, mapping(path, "a path"))
        for entry in _by_rd(table(printed))
        for rd in (text(entry, "rd"),)
        for prefix, value in entry.items()
        if prefix.startswith("[")
        for path in _flat(mapping(value, "a prefix").get("paths", []))
    ]
    l2, l3 = set(l2_vnis), set(l3_vnis)
    for path in found:
        if path.kind == 3 or (path.kind == 2 and path.row.get("ip") is None):
            l2.update(path.community.named)
        elif path.kind == 5:
            l3.update(path.community.named)
    placing = _Placing(l2, l3)
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
    return _Path(as_text(prefix, "a prefix"), rd, kind, row, _community(_words(row)))


def _route(path: _Path, placing: _Placing) -> EvpnRoute:
    kind, row, community = path.kind, path.row, path.community
    peer = _peer_id(row)
    own = peer == _NO_PEER or row.get("weight") == _OWN_WEIGHT
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
        own=own,
        best=_best(row),
        valid=flag(row, "valid"),
        mobility=community.mobility,
        sticky=community.sticky,
        route_targets=community.targets,
        router_mac=community.router_mac,
        peer=None if own else peer,
    )


class _Placing:
    """Puts paths into VNIs. What a path itself states counts more than what its route targets suggest."""

    def __init__(self, l2: set[int], l3: set[int]) -> None:
        self._l2 = l2
        self._l3 = l3
        self._known: dict[tuple[object, ...], tuple[int | None, int | None]] = {}

    def of(self, path: _Path) -> tuple[int | None, int | None]:
        """L2 and L3 VNI."""
        stated = _stated_vnis(path.row)
        key = (path.kind, path.community.named, stated)
        if key not in self._known:
            self._known[key] = self._place(path.kind, path.community.named, *stated)
        return self._known[key]

    def _place(
        self, kind: int, named: tuple[int, ...], stated: int | None, stated_l3: int | None
    ) -> tuple[int | None, int | None]:
        third = stated_l3 or _only([vni for vni in named if vni in self._l3])
        if kind == 5:
            third = stated or third or _only(named)
            return third, third
        others = _only([vni for vni in named if vni not in self._l3])
        return stated or others or _only([vni for vni in named if vni in self._l2]), third


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
        named=tuple(vni for _, assigned in targets if 0 < (vni := int(assigned)) <= MAX_VNI),
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
