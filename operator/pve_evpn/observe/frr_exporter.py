"""Reading frr_exporter: sessions and VNI counts, without any access to the node itself.

The exporter (github.com/tynany/frr_exporter) prints what ``show bgp l2vpn evpn summary`` and ``show evpn vni`` say as
Prometheus text. It has no routes, no MACs and no names of VTEPs, so the MAC states of NICs and flood lists stay Unknown
with it. Its collector for this, ``bgpl2vpn``, has to be switched on.
"""

from __future__ import annotations

import asyncio
import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Literal

import aiohttp
from prometheus_client.parser import text_string_to_metric_families

from pve_evpn.domain.observation import ESTABLISHED, NodeObservation, PeerState, SourceName, VniRow
from pve_evpn.observe.frr.json import FrrParseError, as_text, as_vni
from pve_evpn.observe.reach import anywhere
from pve_evpn.observe.source import NodeTarget, NodeUnreadable, now

MAX_ANSWER = 8 * 1024 * 1024
_CHUNK = 256 * 1024
#: The library needs a time that grows with the square of a line's length.
_LONGEST_LINE = 4096
_COLLECTOR = "bgpl2vpn"
_STATES = {0: "Down", 1: ESTABLISHED, 2: "Idle (Admin)"}


class FrrExporterSource:
    """Reads frr_exporter on nodes.

    `timeout` is in seconds, for one node's whole answer. `reach` gives a node's address, or refuses it.
    """

    def __init__(
        self,
        *,
        scheme: Literal["http", "https"] = "http",
        port: int = 9342,
        path: str = "/metrics",
        timeout: float = 10,
        reach: Callable[[NodeTarget], str] = anywhere,
    ) -> None:
        self._scheme = scheme
        self._port = port
        self._path = path
        self._timeout = aiohttp.ClientTimeout(total=timeout)
        self._session: aiohttp.ClientSession | None = None
        self._reach = reach
        self._parsing = asyncio.Lock()

    @property
    def name(self) -> SourceName:
        return "frrExporter"

    async def read(self, node: NodeTarget) -> NodeObservation:
        if self._session is None:
            # Nothing is unpacked: what was not asked for is refused below.
            headers = {"Accept-Encoding": "identity"}
            self._session = aiohttp.ClientSession(timeout=self._timeout, headers=headers, auto_decompress=False)
        address = self._reach(node)
        host = f"[{address}]" if ":" in address else address
        url = f"{self._scheme}://{host}:{self._port}{self._path}"
        try:
            async with self._session.get(url, allow_redirects=False) as response:
                if response.status != 200:
                    raise NodeUnreadable("Unreadable", f"{url} answered {response.status}")
                if response.headers.get("Content-Encoding", "identity") != "identity":
                    raise NodeUnreadable("Unreadable", f"{url} answered compressed, which was not asked for")
                body = bytearray()
                while (chunk := await response.content.read(_CHUNK)) and len(body) <= MAX_ANSWER:
                    body += chunk
        except TimeoutError:
            raise NodeUnreadable("Timeout", f"{url} did not answer in time") from None
        except aiohttp.ClientError:
            raise NodeUnreadable("Unreachable", f"{url} cannot be read") from None
        if len(body) > MAX_ANSWER:
            raise NodeUnreadable("Unreadable", f"{url} answered more than {MAX_ANSWER} bytes")
        try:
            # In a thread, and one after the other: some MiB of text take seconds.
            async with self._parsing:
                return await asyncio.to_thread(parse, node.name, now(), body.decode("utf-8", errors="replace"))
        except FrrParseError as error:
            raise NodeUnreadable("Unreadable", f"{url}: {error}") from None

    async def close(self) -> None:
        session, self._session = self._session, None
        if session is not None:
            await session.close()


@dataclass(slots=True)
class _Scrape:
    """What is of interest in one scrape, as it comes."""

    collectors: dict[str, bool] = field(default_factory=dict)
    asn: int | None = None
    peers: dict[str, dict[str, float]] = field(default_factory=dict)
    remote_as: dict[str, int | None] = field(default_factory=dict)
    vnis: dict[int, dict[str, float]] = field(default_factory=dict)
    labels: dict[int, Mapping[str, str]] = field(default_factory=dict)


_PEER_SAMPLES = {
    "frr_bgp_peer_state": "state",
    "frr_bgp_peer_uptime_seconds": "uptime",
    "frr_bgp_peer_prefixes_received_count_total": "received",
    "frr_bgp_peer_prefixes_advertised_count_total": "sent",
}
_VNI_SAMPLES = {
    "frr_bgp_l2vpn_evpn_mac_count_total": "macs",
    "frr_bgp_l2vpn_evpn_arp_nd_count_total": "arp_nd",
    "frr_bgp_l2vpn_evpn_remote_vtep_count_total": "vteps",
}


def parse(node: str, at: datetime, text: str) -> NodeObservation:
    """One scrape as an observation. Raises `FrrParseError` if it is no Prometheus text, or says nothing of EVPN."""
    scrape = _scrape(text)
    working = scrape.collectors.get(_COLLECTOR)
    if working is False:
        raise FrrParseError(f"frr_exporter's collector {_COLLECTOR} failed; BGP may not be running")
    if working is None and not scrape.peers and not scrape.vnis:
        raise FrrParseError(f"frr_exporter shows nothing of EVPN; start it with --collector.{_COLLECTOR}")
    return NodeObservation(
        node=node,
        source="frrExporter",
        at=at,
        asn=scrape.asn,
        bgp_running=True if scrape.peers else None,
        peers=tuple(_peer(address, values, scrape, at) for address, values in scrape.peers.items()),
        vnis=tuple(_vni(vni, scrape) for vni in sorted(scrape.vnis)),
    )


def _scrape(text: str) -> _Scrape:
    scrape = _Scrape()
    if max(map(len, text.splitlines()), default=0) > _LONGEST_LINE:
        raise FrrParseError(f"a line of more than {_LONGEST_LINE} characters")
    try:
        for family in text_string_to_metric_families(text):
            for sample in family.samples:
                _take(scrape, sample.name, sample.labels, sample.value)
    except (ValueError, KeyError, IndexError, TypeError, AttributeError):
        # The library's parser has no error class of its own.
        raise FrrParseError("not Prometheus text") from None
    return scrape


def _take(scrape: _Scrape, name: str, labels: Mapping[str, str], value: float) -> None:
    if name == "frr_collector_up":
        scrape.collectors[labels.get("collector", "")] = value == 1
    elif (column := _PEER_SAMPLES.get(name)) and labels.get("afi") == "l2vpn" and labels.get("safi") == "evpn":
        peer = as_text(labels.get("peer"), "a peer's address")
        scrape.peers.setdefault(peer, {})[column] = value
        scrape.remote_as[peer] = scrape.remote_as.get(peer) or _integer(labels.get("peer_as"))
        scrape.asn = scrape.asn or _integer(labels.get("local_as"))
    elif column := _VNI_SAMPLES.get(name):
        vni = as_vni(labels.get("vni"))
        scrape.vnis.setdefault(vni, {})[column] = value
        scrape.labels[vni] = labels


def _peer(address: str, values: Mapping[str, float], scrape: _Scrape, at: datetime) -> PeerState:
    uptime = _count(values.get("uptime"))
    try:
        since = (at - timedelta(seconds=uptime)) if uptime else None
    except OverflowError:
        raise FrrParseError("a session of impossible age") from None
    return PeerState(
        address=address,
        state=_STATES.get(int(_count(values.get("state")) or 0), "Down"),
        remote_as=scrape.remote_as.get(address),
        since=since,
        prefixes_received=_count(values.get("received")),
        prefixes_sent=_count(values.get("sent")),
    )


def _vni(vni: int, scrape: _Scrape) -> VniRow:
    values, labels = scrape.vnis[vni], scrape.labels[vni]
    return VniRow(
        vni=vni,
        type="L3" if labels.get("type") == "L3" else "L2",
        vxlan_interface=_label(labels, "vxlanIf", "vxlan_if"),
        macs=_count(values.get("macs")),
        arp_nd=_count(values.get("arp_nd")),
        remote_vtep_count=_count(values.get("vteps")),
        tenant_vrf=_label(labels, "tenantVrf", "tenant_vrf"),
    )


def _label(labels: Mapping[str, str], *names: str) -> str | None:
    return next((as_text(labels[name], name) for name in names if labels.get(name)), None)


def _count(value: float | None) -> int | None:
    """``None`` for what is absent or, as -1, was no number in FRR."""
    if value is None or not math.isfinite(value) or value < 0:
        return None
    return int(value)


def _integer(text: str | None) -> int | None:
    return int(text) if text and text.isascii() and text.isdigit() and len(text) <= 10 else None
